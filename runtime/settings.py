"""The settings: read once from the environment, every problem reported together."""

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runtime.errors import RefusedError

DTYPES = ("auto", "bfloat16", "float16", "float32")
_DAY_SECONDS = 86400.0
_SWITCH = {"0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Secret:
    """A text that no message, log or `repr` shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hide `text`."""
        self._text = text

    def reveal(self) -> str:
        """Return the text, for a comparison or a header."""
        return self._text

    def __repr__(self) -> str:
        """Show that there is a secret, and nothing of it."""
        return "Secret(***)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One start's settings. The README's table says what each one means."""

    model_name: str = "google/gemma-3-1b-it"
    hf_home: Path = Path("/model-cache")
    host: str = ""
    """Address to listen on; empty is every address."""
    port: int = 8000
    max_model_len: int | None = None
    """Tokens; None is the model's own length."""
    dtype: str = "auto"
    compile_level: int = 1
    max_num_seqs: int | None = None
    """Requests decoded together; None is vLLM's default."""
    gpu_memory_utilization: float | None = None
    """Share of the GPU's memory, above 0 and at most 1; None is vLLM's default."""
    skip_prewarm: bool = False
    prewarm_lengths: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    """Prompt lengths of the warm-up, in tokens."""
    start_timeout: float = 0
    """Seconds for the engine to start; 0 is no limit."""
    prewarm_timeout: float = 300
    """Seconds for the whole warm-up."""
    shutdown_timeout: float = 8
    """Seconds from SIGTERM to the cut of requests in flight."""
    max_body_bytes: int = 32 * 1024 * 1024
    max_queue: int = 256
    """Requests in flight at once."""
    max_n: int = 16
    """Sequences that one request may ask for: prompts x `n`."""
    allow_routes: tuple[str, ...] = ()
    api_key: Secret | None = None

    @property
    def model_path(self) -> Path:
        """Folder that holds the model's files."""
        return self.hf_home / "models" / self.model_name


def parse(environ: Mapping[str, str]) -> Settings:
    """Read the settings out of `environ` (name -> text; empty text counts as unset).

    Raises:
        RefusedError: names every setting that cannot be read, its value and what was expected.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    for field, (name, read, expected) in _READERS.items():
        text = environ.get(name, "")
        if not text:
            continue
        try:
            values[field] = read(text)
        except ValueError:
            shown = "***" if field == "api_key" else repr(text)
            problems.append(f"{name}={shown}: expected {expected}")
    if problems:
        raise RefusedError(problems)
    return Settings(**values)


def _whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return read


def _seconds(low: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= _DAY_SECONDS:
            raise ValueError
        return value

    return read


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError
    return value


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError
    return _SWITCH[text.lower()]


def _choice(text: str) -> str:
    if text not in DTYPES:
        raise ValueError
    return text


def _model_name(text: str) -> str:
    parts = text.split("/")
    if len(parts) > 2 or not all(_WORD.fullmatch(part) for part in parts):  # noqa: PLR2004
        raise ValueError
    return text


def _key(text: str) -> Secret:
    """Take a key without the line end that files and `echo` leave behind."""
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError
    return Secret(key)


def _lengths(text: str) -> tuple[int, ...]:
    return tuple(map(_whole(1), text.replace(" ", "").split(",")))


def _routes(text: str) -> tuple[str, ...]:
    routes = tuple(text.replace(" ", "").split(","))
    if not all(route.startswith("/") for route in routes):
        raise ValueError
    return routes


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError
    return Path(os.path.normpath(path))


_TOKENS = "a whole number of tokens, at least 1"
_READERS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "model_name": ("MODEL_NAME", _model_name, "NAME or OWNER/NAME as on the Hub"),
    "hf_home": ("HF_HOME", _absolute, "an absolute path"),
    "host": ("HOST", str, "an address"),
    "port": ("PORT", _whole(1, 65535), "a port number from 1 to 65535"),
    "max_model_len": ("MAX_MODEL_LEN", _whole(1), _TOKENS),
    "dtype": ("DTYPE", _choice, f"one of {', '.join(DTYPES)}"),
    "compile_level": ("VLLM_TORCH_COMPILE_LEVEL", _whole(0, 3), "a level from 0 to 3"),
    "max_num_seqs": ("MAX_NUM_SEQS", _whole(1), "a whole number, at least 1"),
    "gpu_memory_utilization": ("GPU_MEMORY_UTILIZATION", _share, "a share above 0, at most 1"),
    "skip_prewarm": ("SKIP_PREWARM", _switch, "0 or 1"),
    "prewarm_lengths": ("PREWARM_LENGTHS", _lengths, "numbers of tokens, such as 128,256"),
    "start_timeout": ("START_TIMEOUT", _seconds(0), "seconds, 0 for no limit"),
    "prewarm_timeout": ("PREWARM_TIMEOUT", _seconds(0.001), "seconds above 0"),
    "shutdown_timeout": ("SHUTDOWN_TIMEOUT", _seconds(0), "seconds, at least 0"),
    "max_body_bytes": ("MAX_BODY_BYTES", _whole(1), "a whole number of bytes, at least 1"),
    "max_queue": ("MAX_QUEUE", _whole(1), "a whole number, at least 1"),
    "max_n": ("MAX_N", _whole(1), "a whole number, at least 1"),
    "allow_routes": ("ALLOW_ROUTES", _routes, "paths, such as /tokenize,/v1/embeddings"),
    "api_key": ("VLLM_API_KEY", _key, "printable ASCII characters"),
}
