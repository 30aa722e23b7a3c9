"""`build`: a lock -> a registry's reference to the image, every stage in turn, with no engine."""

import argparse
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from stages import credentials, settings
from stages.command import image, options, push, smoke
from stages.command.options import RUNTIME, Verb
from stages.command.steps import BuildArguments, Steps
from stages.credentials import Whose
from stages.errors import UsageError
from stages.progress import Mode
from stages.smoke import launch
from stages.smoke.report import Level
from stages.stop import Stop
from stages.work import Work

LEVELS = (Level.STATIC, Level.CPU)
T = TypeVar("T")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    push.where(parser)
    options.lock(parser)
    for name, told in (
        ("--cache", "keeps downloaded bytes between runs"),
        ("--work", "receives what the stages make: tree, image, reports"),
    ):
        parser.add_argument(name, type=Path, required=True, metavar="DIR", help=told)
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="the model's files [downloaded where needed]"
    )
    parser.add_argument("--runtime", type=Path, default=RUNTIME, metavar="DIR", help=f"[{RUNTIME}]")
    parser.add_argument(
        "--compile-cache", type=Path, metavar="DIR", help="the folder that `bake` wrote [none]"
    )
    options.base(parser)
    parser.add_argument(
        "--level", choices=[one.value for one in LEVELS], default=Level.STATIC, help="[static]"
    )
    parser.add_argument(
        "--python",
        default=smoke.PYTHON,
        metavar="PATH",
        help=f"interpreter that has vLLM, for level cpu [{smoke.PYTHON}]",
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting over the image's, for the server of level cpu; can be repeated",
    )
    parser.add_argument(
        "--progress", choices=[mode.value for mode in Mode], default="auto", help="[auto]"
    )
    image.making(parser)
    options.token(parser)
    parser.epilog = push.ENVIRONMENT


def read(found: Namespace) -> BuildArguments:
    """Read the verb's arguments, naming every problem."""
    work, problems = Work(found.work), list[str]()
    made = _read(
        image.read,
        found,
        problems,
        rootfs=work.tree,
        compile_cache=None,  # it lies in the tree, which a server is started from
        out=work.image,
        known=False,
        ref_name=None,
    )
    pushed = _read(
        push.read, found, problems, layout=work.image, report=work.report, scan=work.scan
    )
    launch.settings(found.env, problems)
    if found.env and found.level != Level.CPU:
        problems.append("--env goes with --level cpu")
    if problems or made is None or pushed is None:
        raise UsageError("; ".join(dict.fromkeys(problems)))
    return BuildArguments(
        lock=found.lock,
        work=work,
        cache=found.cache,
        weights=found.weights,
        runtime=found.runtime,
        compile_cache=found.compile_cache,
        level=Level(found.level),
        python=found.python,
        env=tuple(found.env),
        progress=Mode(found.progress),
        token_file=found.token_file,
        image=made,
        push=pushed,
    )


def _read(
    read_verb: Callable[[Namespace], T], found: Namespace, problems: list[str], **more: object
) -> T | None:
    """Read what another verb will be asked; None where it has problems."""
    try:
        return read_verb(Namespace(**(vars(found) | more)))
    except UsageError as error:
        problems.append(str(error))
        return None


def prepare(arguments: BuildArguments, environ: Mapping[str, str], stop: Stop) -> Verb:
    """Read the Hub's token and the registries' logins, before anything is done."""
    found = settings.parse(environ, token_file=arguments.token_file)
    settings.created(environ, arguments.image.created)
    host = arguments.push.targets[0].host
    return Steps(
        arguments=arguments,
        environ=environ,
        token=found.token,
        login=credentials.find(environ, host, whose=Whose.TARGET),
        stop=stop,
    ).run
