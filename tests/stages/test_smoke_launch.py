"""How the image's server is started out of a tree, decided from the image's own words."""

from pathlib import Path

import pytest

from stages.errors import UsageError
from stages.secret import Secret
from stages.smoke import launch
from stages.smoke.limits import limits, served
from stages.smoke.report import Arguments, Level, Versions

ENV = {
    "HF_HOME": "/model-cache",
    "HOME": "/tmp",  # noqa: S108 - what the image says
    "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
    "MODEL_NAME": "acme/tiny",
    "PATH": "/opt/venv/bin",
    "PORT": "8000",
    "PYTHONPATH": "/opt/prewarm",
}
MACHINE = {"PATH": "/usr/bin", "LD_PRELOAD": "libtcmalloc.so", "HF_TOKEN": "hf_x", "LANG": ""}


def environment(tree: str, **more: str) -> dict[str, str]:
    """Give the environment of a server out of a tree."""
    return launch.environment(
        ENV,
        tree=Path(tree),
        machine=MACHINE,
        scratch=Path("/scratch"),
        more=more,
        key=Secret("the-key") if more else None,
    )


def test_a_tree_has_the_images_settings_at_its_own_paths() -> None:
    """Programs and libraries are the machine's, and nothing else of its environment comes along."""
    assert environment("/tree") == {
        "HF_HOME": "/tree/model-cache",
        "HOME": "/scratch",
        "LD_PRELOAD": "libtcmalloc.so",
        "MODEL_NAME": "acme/tiny",
        "PATH": "/usr/bin",
        "PORT": "8000",
        "PYTHONPATH": "/tree/opt/prewarm",
        "START_TIMEOUT": "300",
        "TMPDIR": "/scratch",
    }


def test_the_root_has_the_images_own_paths() -> None:
    """In a container of the image nothing is moved; settings and key go over the image's."""
    found = environment("/", PORT="9", START_TIMEOUT="5")

    assert found["HF_HOME"] == "/model-cache"
    assert found["HOME"] == ENV["HOME"]
    assert "TMPDIR" not in found
    assert (found["PORT"], found["START_TIMEOUT"], found["VLLM_API_KEY"]) == ("9", "5", "the-key")


def test_the_image_starts_itself_with_another_interpreter() -> None:
    """Only the interpreter is another."""
    entrypoint = ("python3", "-P", "-m", "runtime")
    arguments = Arguments(entrypoint=entrypoint, cmd=("--x",), env={})

    assert launch.command(arguments, "/venv/bin/python") == [
        "/venv/bin/python", "-P", "-m", "runtime", "--x"
    ]  # fmt: skip


@pytest.mark.parametrize("entrypoint", [(), ("bash", "-c", "python3")])
def test_an_image_that_starts_something_else_is_refused(entrypoint: tuple[str, ...]) -> None:
    """No interpreter can stand for it."""
    arguments = Arguments(entrypoint=entrypoint, cmd=(), env={})

    with pytest.raises(UsageError, match="which no --python can stand for"):
        launch.command(arguments, "python3")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (Level.CPU, {"VLLM_TORCH_COMPILE_LEVEL": "0", "A": "b"}),
        (Level.GPU, {"A": "b"}),
    ],
)
def test_a_cpu_compiles_nothing(level: Level, expected: dict[str, str]) -> None:
    """It would take a compiler and minutes; what is given goes last."""
    assert launch.changes(level, {"A": "b"}) == expected
    assert launch.changes(level, {"VLLM_TORCH_COMPILE_LEVEL": "1"}) == {
        "VLLM_TORCH_COMPILE_LEVEL": "1"
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2000:0", (2000, 0)), ("prewarm", None), ("2000", None), (None, None)],
)
def test_the_user_is_the_images(text: object, expected: object) -> None:
    """Where it is told by numbers, which need no table of names."""
    assert launch.user(text) == expected


def test_settings_are_read_and_keys_refused() -> None:
    """A key would be seen by all who list processes."""
    problems: list[str] = []

    found = launch.settings(["A=b=c", "B=", "C", "VLLM_API_KEY=x", "1=2"], problems)

    assert found == {"A": "b=c", "B": ""}
    assert len(problems) == 3
    assert "for which there is --key-file" in problems[0]


@pytest.mark.parametrize(
    ("level", "tested", "isolated", "device", "expected"),
    [
        (Level.STATIC, None, None, None, ["which image", "none was started"]),
        (Level.CPU, "0.9.0", True, "cpu", ["which image", "ran on a CPU"]),
        (
            Level.CPU,
            "0.9.1",
            False,
            "cpu",
            ["which image", "ran on a CPU", "vLLM 0.9.0", "network"],
        ),
        (Level.GPU, "0.9.0", True, "L4", ["which image", "other GPUs than L4"]),
        (Level.GPU, None, True, None, ["which image"]),
    ],
)
def test_a_report_tells_what_was_not_shown(
    level: Level,
    tested: str | None,
    isolated: bool | None,  # noqa: FBT001 - a parameter of the table
    device: str | None,
    expected: list[str],
) -> None:
    """It follows from how it was tried."""
    vllm = Versions(image="0.9.0", tested=tested)

    found = list(limits(level, image=None, vllm=vllm, isolated=isolated, device=device))

    assert len(found) == len(expected)
    assert all(part in text for part, text in zip(expected, found, strict=True))


def test_a_report_tells_what_was_otherwise() -> None:
    """Settings of the image's own value are not otherwise."""
    found = list(served({"PORT": "8000", "DTYPE": "float32"}, ENV, user=(2000, 0)))

    assert found == [
        "the image's own DTYPE: the server had 'float32'",
        "the image's user 2000:0: the server ran as another",
        "the image's base: the server ran on this machine's programs and libraries",
    ]
    assert len(list(served({}, ENV, user=None))) == 1
