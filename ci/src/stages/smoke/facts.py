"""What the server says of itself: that it lives, which model it serves, how it became warm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.smoke.asking import Answer, Server, brief
from stages.smoke.report import WrongError

OK = 200
HEALTH, MODELS, START = "/health", "/v1/models", "/prewarm"
CHAT_KIND = "chat"  # what the server calls a chat request in its warm-up


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model that is served: its name, and the tokens of prompt and answer together."""

    name: str
    max_model_len: int


def expect(answer: Answer, status: int) -> Answer:
    """Give the answer if it has the status.

    Raises:
        WrongError: It has another.
    """
    if answer.status != status:
        raise WrongError(f"status {answer.status}, expected {status}: {brief(answer.text)}")
    return answer


def health(server: Server) -> str:
    """Ask as a platform's probe does."""
    expect(server.get(HEALTH), OK)
    return f"{HEALTH} answers {OK}"


def model(server: Server, *, wanted: str | None) -> Model:
    """Read the list of models.

    Args:
        server: Who is asked.
        wanted: The only name that may be served; None takes the first.

    Raises:
        WrongError: It is not a list of that model.
    """
    listed = expect(server.get(MODELS), OK).json().get("data")
    try:
        found = [Model(name=str(one["id"]), max_model_len=one["max_model_len"]) for one in listed]  # type: ignore[union-attr]
    except (TypeError, KeyError):
        found = []
    if not found or type(found[0].max_model_len) is not int or found[0].max_model_len < 1:
        raise WrongError(f"expected a list of models with max_model_len, got {brief(str(listed))}")
    if wanted not in {None, found[0].name}:
        raise WrongError(f"it serves {found[0].name!r}, expected {wanted!r}")
    return found[0]


def start(server: Server) -> Mapping[str, Any]:
    """Read the start's own report.

    Raises:
        WrongError: It does not say that the server is warm, and on which vLLM and device.
    """
    told = expect(server.get(START), OK).json()
    warmup = told.get("warmup")
    sound = (
        isinstance(warmup, dict)
        and isinstance(warmup.get("requests"), list)
        and isinstance(warmup.get("left_out"), dict)
        and all(isinstance(told.get(name), str) for name in ("vllm", "device", "model"))
        and isinstance(told.get("seconds_to_warm"), int | float)
    )
    if not sound:
        raise WrongError(f"expected the report of a start, got {brief(str(told))}")
    return told


def warmth(told: Mapping[str, Any]) -> str:
    """Say how the server became warm.

    Raises:
        WrongError: It opened without a warm-up.
    """
    kinds = len(told["warmup"]["requests"])
    if told["warmup"].get("skipped") or not kinds:
        raise WrongError("the server opened without a warm-up: take SKIP_PREWARM away")
    return f"warm after {told['seconds_to_warm']:.1f} s, {kinds} kinds of requests sent before"


def has_chat(told: Mapping[str, Any]) -> bool:
    """Whether the model answers chats: without a chat template the server cannot."""
    return CHAT_KIND not in told["warmup"]["left_out"]
