"""What the command line means, once it is read."""

from pathlib import Path

import pytest

from stages.arguments import parse
from stages.command.image import ImageArguments
from stages.reference import Reference

IMAGE = ["image", "--rootfs", "tree", "--out", "image"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], None),
        (["--base", "oci:folder"], Path("folder")),
        (
            ["--base", "mirror.example/vllm"],
            Reference(host="mirror.example", repository="vllm", tag=None, digest=None),
        ),
    ],
)
def test_the_base_is_read_where_the_lock_says_or_elsewhere(
    given: list[str], expected: object
) -> None:
    """Nothing means the lock's own place; a layout begins with `oci:`."""
    found = parse([*IMAGE, *given]).arguments

    assert isinstance(found, ImageArguments)
    assert found.base == expected
