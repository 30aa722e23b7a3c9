"""Kept caches for tests, of a few small files."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from runtime import kept_cache
from runtime.kept_cache import Kept

GRAPH = "vllm/torch_compile_cache/0a/rank_0_0/backbone/computation_graph.py"
ARTEFACT = "vllm/torch_compile_cache/0a/inductor_cache/artefact"
KERNEL = "triton/KERNEL/kernel.cubin"
INDUCTOR = "inductor/5a/code.so"
BUILT = "flashinfer/0.6.13/cached_ops/sampling/sampling.so"

FILES = {path: path.encode() * 3 for path in (GRAPH, ARTEFACT, KERNEL, INDUCTOR, BUILT)}


def sha256(file: Path) -> str:
    """Hash a file as cache.json does."""
    return kept_cache.sha256(file)


def make(folder: Path, files: Mapping[str, bytes] = FILES, **more: object) -> Kept:
    """Write files and their cache.json as `bake` does."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    kept = Kept(folder=folder, files=kept_cache.listed(folder, files))
    kept = dataclasses.replace(kept, **more)  # type: ignore[arg-type]
    kept_cache.write(kept)
    return kept
