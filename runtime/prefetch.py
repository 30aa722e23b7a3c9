"""Read the weights into the page cache while Python imports.

Where image layers are fetched lazily, memory-mapped weights would come in page by page.
"""

import os
from collections.abc import Sequence
from pathlib import Path

BLOCK_BYTES = 16 * 1024 * 1024
SHARE_OF_MEMORY = 0.5
"""Weights larger than this share of the free memory would only push each other out."""


def fits(weights: Sequence[Path], available: int) -> bool:
    """Whether the files' bytes fit well into `available` bytes of memory."""
    return sum(file.stat().st_size for file in weights) <= available * SHARE_OF_MEMORY


def read(weights: Sequence[Path]) -> None:
    """Read every file once, in blocks, and forget the bytes."""
    block = bytearray(BLOCK_BYTES)
    for file in weights:
        with file.open("rb", buffering=0) as opened:
            while opened.readinto(block):
                pass


def available_bytes() -> int:
    """Memory that the kernel can give without swapping, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
