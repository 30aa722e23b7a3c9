"""`deploy`: an image -> a Cloud Run service's manifest, and the command that deploys it."""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import base, credentials, output, reference
from stages.command.options import Verb
from stages.credentials import Whose
from stages.deploy import facts, service
from stages.deploy.service import GPUS, Wish
from stages.errors import UsageError
from stages.hub import open_client
from stages.reference import Reference
from stages.registry import Registry
from stages.scan import layout
from stages.stop import Stop

OUT = Path("service.json")
KEY = "VLLM_API_KEY"
_SETTING = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>[^\0\n]*)")
_ACCOUNT = re.compile(r"[a-z0-9-]{1,63}@[a-z0-9.-]{1,200}\.gserviceaccount\.com")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,255}")


@dataclass(frozen=True, kw_only=True)
class DeployArguments:
    """What `deploy` was asked.

    Attributes:
        image: By its manifest's digest.
        layout: Where its configuration is read; None asks the registry.
    """

    image: Reference
    layout: Path | None
    wish: Wish
    out: Path


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    wish = Wish()
    parser.add_argument(
        "image", metavar="IMAGE", help="HOST/REPOSITORY[:TAG]@sha256:..., as pushed"
    )
    parser.add_argument(
        "--image",
        type=Path,
        dest="layout",
        metavar="LAYOUT",
        help="folder that `image` wrote, to ask no registry",
    )
    parser.add_argument("--service", metavar="NAME", help="the service's name [the model's]")
    parser.add_argument("--region", default=wish.region, help=f"[{wish.region}]")
    parser.add_argument("--gpu", choices=list(GPUS), default=wish.gpu, help=f"[{wish.gpu}]")
    parser.add_argument(
        "--key-secret", metavar="NAME", help=f"secret in Secret Manager that holds {KEY} [none]"
    )
    parser.add_argument(
        "--service-account", metavar="EMAIL", help="whom it runs as [the project's default]"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting over the image's, as MAX_MODEL_LEN=4096; can be repeated",
    )
    for name, default, told in (
        ("--concurrency", wish.concurrency, "requests that an instance is sent at a time"),
        ("--memory", wish.memory, "GiB of an instance; of the weights' size if not given"),
        ("--min-instances", wish.least_instances, "instances that are kept when nobody asks"),
        ("--max-instances", wish.most_instances, "instances at most"),
        ("--request-timeout", wish.request_timeout, "seconds for one request"),
    ):
        shown = "" if default is None else f" [{default}]"
        parser.add_argument(name, type=int, default=default, metavar="N", help=f"{told}{shown}")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help=f"[{OUT}]")
    parser.epilog = (
        "environment: REGISTRY_USERNAME with REGISTRY_PASSWORD or REGISTRY_PASSWORD_FILE, else "
        "DOCKER_CONFIG, for the registry that holds the image"
    )


def read(found: argparse.Namespace) -> DeployArguments:
    """Read the verb's arguments, naming every problem."""
    problems: list[str] = []
    image = _image(found.image, problems)
    settings = _settings(found.set, problems)
    if found.key_secret and not _SECRET.fullmatch(found.key_secret):
        problems.append(f"--key-secret: {found.key_secret[:100]!a} is no secret's name")
    if found.service_account and not _ACCOUNT.fullmatch(found.service_account):
        problems.append(
            f"--service-account: {found.service_account[:100]!a} is no service account's address; "
            "expected NAME@PROJECT.iam.gserviceaccount.com"
        )
    if problems or image is None:
        raise UsageError("; ".join(problems))
    wish = Wish(
        service=found.service,
        region=found.region,
        concurrency=found.concurrency,
        gpu=found.gpu,
        memory=found.memory,
        least_instances=found.min_instances,
        most_instances=found.max_instances,
        request_timeout=found.request_timeout,
        key_secret=found.key_secret,
        account=found.service_account,
        settings=settings,
    )
    return DeployArguments(image=image, layout=found.layout, wish=wish, out=found.out)


def prepare(arguments: DeployArguments, environ: Mapping[str, str], _stop: Stop) -> Verb:
    """Find the login for the image's registry, if it is asked."""
    login = None
    if arguments.layout is None:
        login = credentials.find(environ, arguments.image.host, whose=Whose.TARGET)
    return partial(run_sync, _run, arguments, login, abandon_on_cancel=True)


def _run(arguments: DeployArguments, login: credentials.Login | None) -> None:
    image, wish = arguments.image, arguments.wish
    output.check_file(arguments.out)
    if told := service.warning(image):
        sys.stderr.write(f"stages: warning: {told}\n")
    if arguments.layout:
        _check_layout(arguments.layout, image)
    with open_client() as client:
        source: base.Source = base.InRegistry(Registry(client, login=login), image)
        if arguments.layout:
            source = base.InLayout(arguments.layout)
        found = facts.read(source, image.digest or "", changes=wish.settings)
    text = json.dumps(service.manifest(image, found, wish), indent=2) + "\n"
    output.replace(arguments.out, text)
    command = ["gcloud", "run", "services", "replace", str(arguments.out), "--region", wish.region]
    sys.stdout.write(f"wrote {arguments.out}\n{shlex.join(command)}\n")


def _check_layout(folder: Path, image: Reference) -> None:
    """Refuse a layout of another image.

    Raises:
        UsageError: Names both.
    """
    if (found := layout.read(folder).manifest) != image.digest:
        raise UsageError(
            f"--image: {folder} holds {found}, IMAGE is {image.digest}: name the layout that was "
            "pushed, or leave --image out to ask the registry"
        )


def _image(text: str, problems: list[str]) -> Reference | None:
    try:
        image = reference.parse(text)
    except ValueError as error:
        problems.append(f"IMAGE: {error}")
        return None
    if image.digest is None:
        problems.append(f"IMAGE: {text!a} has no digest; expected the name that `push` printed")
    return image


def _settings(words: list[str], problems: list[str]) -> dict[str, str]:
    """Read settings like NAME=VALUE."""
    found: dict[str, str] = {}
    for word in words:
        parts = _SETTING.fullmatch(word)
        if not parts or parts["name"] == KEY:
            problems.append(
                f"--set takes NAME=VALUE, and no {KEY}, for which there is --key-secret"
            )
        else:
            found[parts["name"]] = parts["value"]
    return found
