"""Every `dagger call` that a reader is shown works."""

import re
from pathlib import Path

import pytest

from tests.prewarm.calling import registered
from tests.prewarm.command_line import Line, lines, problems
from tests.prewarm.session import Session
from tests.support.server import ROOT

PLACES = (
    "*.md", "docs/**/*.md", "*.yaml", ".github/**/*.y*ml", "scripts/**/*", "ci/*.sh",
)  # fmt: skip
DOCUMENTS = sorted(
    found
    for place in PLACES
    for found in ROOT.glob(place)
    if found.is_file() and "__" not in str(found)
)
# A call, and what is wrong with it.
WRONG = {
    "announce": "no function announce",
    "publish": "publish needs --address",
    "--lock=x publish --address a": "no argument --lock",
    "publish --address a --tag=b": "no argument --tag",
    "smoke-test --level fast": "--level is one of cpu, gpu, static, not fast",
    "download-weights explode": "Directory has no function explode",
    "download-weights export --to x": "Directory's export has no --to",
    "assemble-image export-image --name x terminal --loud": "Void has no function terminal",
}
RIGHT = (
    "--help",
    "publish --help",
    "--hub http://hub.localhost:8080 --hub-service=tcp://127.0.0.1:8080 download-weights",
    "download-weights --hf-token 'env://HF_TOKEN?cacheKey=hf-token' export --path weights",
    "assemble-image export-image --name vllm",
    "serve --gpu up --ports 8000:8000",
    'publish "${arguments[@]}" > reference.txt',
    "smoke-test --level $_SMOKE --weights w export --path report.json  # level cpu",
)


def written(folder: Path, text: str) -> list[Line]:
    """Write a document, and read its calls."""
    file = folder / "document.md"
    file.write_text(text)
    return list(lines(file))


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_calls_fit_the_module(session: Session, file: Path) -> None:
    """Function, arguments, choices, and what is asked of the result."""
    wrong = {
        " ".join(line.words): found for line in lines(file) if (found := problems(line, session))
    }

    assert wrong == {}


def test_documents_show_calls() -> None:
    """The test above has something to look at, in the README and in the docs."""
    shown = {file.name for file in DOCUMENTS if list(lines(file))}

    assert {"README.md", "build.md"} <= shown


@pytest.mark.parametrize("call", WRONG)
def test_wrong_call_is_found(session: Session, tmp_path: Path, call: str) -> None:
    """Each mistake is named."""
    (line,) = written(tmp_path, f"Run `dagger call {call}` now.")

    assert problems(line, session) == [WRONG[call]]


@pytest.mark.parametrize("call", RIGHT)
def test_right_call_is_let_pass(session: Session, tmp_path: Path, call: str) -> None:
    """In a block, with options of dagger's own before it."""
    text = f"```console\n$ dagger --progress plain call {call}\n```\n"
    (line,) = written(tmp_path, text)

    assert problems(line, session) == []


def test_call_over_several_lines_is_one(tmp_path: Path) -> None:
    """As a shell reads it."""
    text = "```sh\ndagger call publish \\\n    --address a/b:c \\\n  | tee reference\n```\n"
    (line,) = written(tmp_path, text)

    assert line.words == ("publish", "--address", "a/b:c")


def test_prose_is_no_call(tmp_path: Path) -> None:
    """Outside of code the words mean nothing to a shell."""
    assert written(tmp_path, "The dagger call publish does it.") == []


def test_example_of_defaults_names_arguments(session: Session) -> None:
    """`FUNCTION_ARGUMENT` or `ARGUMENT` of the constructor, as the engine reads them."""
    constructor, functions = registered(session)
    known = {one.replace("_", "") for one in constructor.arguments}
    known |= {
        f"{name}_{one.replace('_', '')}"
        for name, function in functions.items()
        for one in function.arguments
    }
    text = (ROOT / ".env.example").read_text()

    named = re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE)
    assert {name.lower() for name in named} <= known
    assert len(named) > 1
