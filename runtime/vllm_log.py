"""What the engine's own log says of its start: which line ends which part of it.

Read in the sources of 0.9.0, 0.11.2, 0.25.1, 0.28.0, 0.32.0 and 0.33.0.
"""

import re

_TOOK = re.compile(
    r"(?:took|takes|finished in|time:) ([0-9.]+) s(?:ec|econds)?|and ([0-9.]+) seconds"
)

GRAPH_COMPILED = "graph compiled"
GRAPH_NOT_LOADED = "graph not loaded"

_LINES = (
    # what has just ended -> how the line begins that says so
    ("engine process", "Initializing a V"),
    ("device", "Starting to load model"),
    ("weights", "Loading weights took"),
    ("model", "Model loading took"),
    ("Dynamo", "Dynamo bytecode transform time"),
    (GRAPH_COMPILED, "Compiling a graph for"),
    ("graph loaded", "Directly load"),
    (GRAPH_NOT_LOADED, "Compiling model again"),
    ("torch.compile", "torch.compile took"),
    ("torch.compile", "torch.compile takes"),
    ("first run", "Initial profiling/warmup run took"),
    ("memory profile", "Available KV cache memory"),
    ("KV cache", "GPU KV cache size"),
    ("KV cache", "CPU KV cache size"),
    ("graph capture", "Graph capturing finished"),
    ("engine", "init engine (profile"),
)


def moment(text: str) -> tuple[str, float | None] | None:
    """Name what has ended and the seconds that the line says it took; None for other lines."""
    for name, begins in _LINES:
        if text.startswith(begins) or text.partition("] ")[2].startswith(begins):
            found = _TOOK.search(text)
            return name, float(found[1] or found[2]) if found else None
    return None


def speaks(logger: str) -> bool:
    """Whether a logger is the release's own."""
    return logger.partition(".")[0] == "vllm"
