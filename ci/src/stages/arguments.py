"""The command line of `python -m stages`."""

import argparse
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

from stages.command import VERBS
from stages.command.options import Verb
from stages.errors import UsageError
from stages.stop import Stop


@dataclass(frozen=True, kw_only=True)
class Command:
    """A verb and what it was asked; `arguments` is of the verb's own class."""

    module: ModuleType
    arguments: Any

    def prepare(self, environ: Mapping[str, str], stop: Stop) -> Verb:
        """Read all of the environment that the verb needs, and give what to run.

        Raises:
            UsageError: The environment holds what the verb cannot use.
        """
        verb: Verb = self.module.prepare(self.arguments, environ, stop)
        return verb


class _Parser(argparse.ArgumentParser):
    """A parser that leaves the message and the exit to the caller."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; names the help."""
        raise UsageError(f"{message}. `{self.prog} --help` shows what it takes")


def parse(argv: Sequence[str]) -> Command:
    """Read the command line.

    Raises:
        UsageError: It lacks something, or holds what no verb takes; lists every problem.
    """
    asked = next((word for word in argv if not word.startswith("-")), None)
    found = _parser(asked).parse_args(argv)
    module: ModuleType = found.module
    return Command(module=module, arguments=module.read(found))


def _parser(asked: str | None) -> argparse.ArgumentParser:
    """Make the parser, with the whole of the one verb that is asked for."""
    parser = _Parser(prog="python -m stages", allow_abbrev=False)
    parser.description = "Turn a Hugging Face model into a vLLM image, stage by stage."
    parser.epilog = (
        "environment: HF_ENDPOINT (the Hub's address), HF_TOKEN or HF_TOKEN_PATH (the token), "
        "NO_COLOR, SOURCE_DATE_EPOCH"
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, what in VERBS.items():
        verb = verbs.add_parser(name, help=what, description=what, allow_abbrev=False)
        if name == asked:
            module = importlib.import_module(f"stages.command.{name}")
            module.describe(verb)
            verb.set_defaults(module=module)
    return parser
