"""`smoke`: an image, or the server that runs it -> whether it is as it should be."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from anyio.to_thread import run_sync

from stages import lockfile, output, settings
from stages.command import options
from stages.command.options import Verb
from stages.errors import SmokeError, UsageError
from stages.secret import Secret
from stages.smoke import asking, launch, network, report, subject
from stages.smoke.report import Level, Report
from stages.smoke.run import Serving, Smoke
from stages.stop import Stop

NONE, HOST = "none", "host"  # what --network takes
PYTHON = "python3"
LOG = "server.log"  # beside the report, unless it is named


@dataclass(frozen=True, kw_only=True)
class SmokeArguments:
    """What `smoke` was asked.

    Attributes:
        url: A server that runs already; None without one.
        level: How much to try; None takes what the server is.
        image: The layout of the image; None when a server alone is asked.
        weights: The model's folder; None when it is in the tree, in the layout or not at hand.
        serve: The tree to start a server out of; None starts none.
        env: Settings over the image's.
        isolated: Whether the server that is started shall have no network.
        log: Receives what the server writes; None takes a file beside the report.
    """

    image: Path | None
    lock: Path
    out: Path
    url: str | None = None
    level: Level | None = Level.STATIC
    weights: Path | None = None
    serve: Path | None = None
    python: str = PYTHON
    env: Mapping[str, str] = field(default_factory=dict)
    isolated: bool = True
    key_file: Path | None = None
    log: Path | None = None


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes. A key itself is never an argument."""
    parser.add_argument("url", nargs="?", metavar="URL", help="a server that runs already")
    parser.add_argument(
        "--level",
        choices=[level.value for level in Level],
        help="how much to try [static without a server, else what the server runs on]",
    )
    parser.add_argument("--image", type=Path, metavar="LAYOUT", help="folder that `image` wrote")
    options.lock(parser)
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="the model's files [the tree's or the layout's]"
    )
    parser.add_argument(
        "--serve", type=Path, metavar="TREE", help="start the image's server out of this tree"
    )
    parser.add_argument(
        "--python", default=PYTHON, metavar="PATH", help=f"interpreter that has vLLM [{PYTHON}]"
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting over the image's, for the server that is started; can be repeated",
    )
    parser.add_argument(
        "--network",
        choices=[NONE, HOST],
        default=NONE,
        help="what the started server has beside loopback; host takes this machine's [none]",
    )
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="holds the server's key [VLLM_API_KEY]"
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help=f"receives the server's log [{LOG} beside --out]"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="receives the report as JSON"
    )


def read(found: argparse.Namespace) -> SmokeArguments:
    """Read the verb's arguments, naming every problem."""
    problems = [text for wrong, text in _problems(found) if wrong]
    env = launch.settings(found.env, problems)
    if problems:
        raise UsageError("; ".join(problems))
    level = found.level or (None if found.url else Level.STATIC)
    return SmokeArguments(
        url=found.url,
        level=Level(level) if level else None,
        image=found.image,
        lock=found.lock,
        weights=found.weights,
        serve=found.serve.absolute() if found.serve else None,
        python=found.python,
        env=env,
        isolated=found.network == NONE,
        key_file=found.key_file,
        log=found.log,
        out=found.out,
    )


def _problems(found: argparse.Namespace) -> list[tuple[bool, str]]:
    """List what can be wrong with what was asked, and whether it is."""
    has_server = bool(found.url or found.serve)
    static = found.level == Level.STATIC
    return [
        (bool(found.url and found.serve), "URL and --serve are two servers: choose one"),
        (not found.url and not found.image, "give a URL, or --image, or --image and --serve"),
        (static and has_server, "--level static asks no server: leave URL and --serve out"),
        (
            found.level in {Level.CPU, Level.GPU} and not has_server,
            f"--level {found.level} needs a server: give a URL or --serve",
        ),
        (
            bool(found.serve) and found.level is None,
            "--serve needs --level: cpu or gpu, as vLLM's build there is",
        ),
        (
            bool(found.weights) and bool(found.serve or not found.image),
            "--weights goes with --image, and without --serve, whose tree holds the model",
        ),
        (bool(found.env) and not found.serve, "--env goes with --serve"),
    ]


def prepare(arguments: SmokeArguments, environ: Mapping[str, str], stop: Stop) -> Verb:
    """Read the key, and where programs and libraries lie."""
    key = settings.key(environ, key_file=arguments.key_file)
    address = asking.address(arguments.url, key=key) if arguments.url else None
    return partial(_run, arguments, address, key, environ, stop)


async def _run(
    arguments: SmokeArguments,
    address: str | None,
    key: Secret | None,
    environ: Mapping[str, str],
    stop: Stop,
) -> None:
    log = arguments.log or arguments.out.with_name(LOG)
    for path in (arguments.out, log):
        output.check_file(path)
    image = subject.read(arguments.image) if arguments.image else None
    lock = lockfile.read(arguments.lock) if image else None
    if arguments.serve and arguments.isolated:
        network.enter()  # while this process has one thread: a network is a thread's own
    with asking.open_client() as client:
        smoke = Smoke(
            client=client,
            level=arguments.level,
            subject=image,
            lock=lock,
            weights=arguments.weights,
            address=address,
            serving=_serving(arguments, log, environ),
            key=key,
            stop=stop,
        )
        found = await run_sync(smoke.run, abandon_on_cancel=address is not None)
    finish(found, arguments.out)


def _serving(arguments: SmokeArguments, log: Path, environ: Mapping[str, str]) -> Serving | None:
    if not arguments.serve or not arguments.level:
        return None
    return Serving(
        tree=arguments.serve,
        python=arguments.python,
        changes=launch.changes(arguments.level, arguments.env),
        log=log.absolute(),
        host_network=not arguments.isolated,
        machine=environ,
    )


def finish(found: Report, out: Path) -> None:
    """Write the report, and tell it.

    Raises:
        SmokeError: Something is not as it should be.
    """
    report.write(found, out)
    sys.stdout.write("".join(f"{check}\n" for check in found.checks))
    sys.stdout.write("".join(f"not shown: {text}\n" for text in found.not_shown))
    if not found.passed:
        names = ", ".join(check.name for check in found.failed)
        raise SmokeError(
            f"{len(found.failed)} of {len(found.checks)} checks failed ({names}): the image must "
            f"not be pushed. {out} says what was seen"
        )
    sys.stdout.write(f"passed, level {found.level}: wrote {out}\n")
