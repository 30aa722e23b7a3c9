"""The warm-up plan covers what the API serves, and names what it leaves out."""

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from runtime import plan
from runtime.plan import Request, Served

SERVED = Served(
    model="tiny",
    max_model_len=4096,
    vocabulary=1000,
    routes={plan.CHAT, plan.COMPLETIONS, plan.RESPONSES},
    has_chat_template=True,
)
LENGTHS = (128, 256, 512, 1024, 2048)


def kinds(wanted: plan.Plan) -> list[str]:
    """Return the plan's kinds in order."""
    return [step.kind for step in wanted.steps]


def requests(wanted: plan.Plan) -> list[Request]:
    """Return every request of the plan."""
    return [r for step in wanted.steps for r in (*step.first, *step.repeat)]


def test_every_kind_of_request_is_sent() -> None:
    """Lengths asked for, odd lengths, several at once, and each feature of the API."""
    wanted = plan.plan(SERVED, LENGTHS)

    assert kinds(wanted) == [
        *(f"{length} tokens" for length in (*LENGTHS, 7, 35, 131)),
        "3 at once",
        "chat",
        "streamed chat",
        "sampling",
        *(f"{count} logprobs" for count in (0, 1, 3, 5, 10, 15, 20)),
        "chat with logprobs",
        "JSON schema",
        "responses",
    ]
    assert wanted.left_out == {}


def test_prompts_have_the_length_asked_for() -> None:
    """Token ids, not words, make a length exact; they stay inside the vocabulary."""
    (step, *_) = plan.plan(SERVED, LENGTHS).steps
    prompt = step.first[0].body["prompt"]

    assert len(prompt) == 128
    assert all(0 <= token < SERVED.vocabulary for token in prompt)


def test_no_text_is_sent_twice() -> None:
    """A repeated prompt would be answered by the prefix cache and show nothing."""
    bodies = [json.dumps(request.body) for request in requests(plan.plan(SERVED, LENGTHS))]

    assert len(set(bodies)) == len(bodies)


def test_lengths_beyond_the_model_are_left_out_and_named() -> None:
    """PREWARM_LENGTHS may ask for more than MAX_MODEL_LEN."""
    short = dataclasses.replace(SERVED, max_model_len=512)
    wanted = plan.plan(short, LENGTHS)

    assert set(wanted.left_out) == {"512 tokens", "1024 tokens", "2048 tokens"}
    assert "max_model_len is 512" in wanted.left_out["512 tokens"]
    assert "256 tokens" in kinds(wanted)


def test_a_model_without_template_gets_no_chat() -> None:
    """What the model cannot serve is left out, and JSON goes by plain completion."""
    plain = dataclasses.replace(SERVED, has_chat_template=False)
    wanted = plan.plan(plain, LENGTHS)

    assert set(wanted.left_out) == {
        "chat",
        "streamed chat",
        "chat with logprobs",
        "responses",
    }
    assert "JSON schema" in kinds(wanted)
    assert all(request.path == plan.COMPLETIONS for request in requests(wanted))


def test_a_server_of_embeddings_gets_nothing() -> None:
    """Each kind is left out by its route, none is sent to fail."""
    wanted = plan.plan(dataclasses.replace(SERVED, routes={"/v1/embeddings"}), LENGTHS)

    assert wanted.steps == ()
    assert wanted.left_out["chat"] == "this server has no route /v1/chat/completions"


def test_a_short_queue_is_not_overrun() -> None:
    """MAX_QUEUE=2 would turn the third of three requests away."""
    wanted = plan.plan(dataclasses.replace(SERVED, max_queue=2), LENGTHS)

    assert wanted.left_out == {"3 at once": "MAX_QUEUE is 2"}


def test_a_lower_bound_of_logprobs_is_kept_to() -> None:
    """--max-logprobs 4 makes vLLM refuse more, which must not fail the start."""
    few = dataclasses.replace(SERVED, max_logprobs=4)
    wanted = plan.plan(few, LENGTHS)

    asked = [request.body.get("logprobs") for request in requests(wanted)]
    assert set(wanted.left_out) == {f"{count} logprobs" for count in (5, 10, 15, 20)}
    assert {number for number in asked if number is not True} == {None, 0, 1, 3}
    assert {r.body["top_logprobs"] for r in requests(wanted) if "top_logprobs" in r.body} == {4}


def test_no_bound_of_logprobs_leaves_nothing_out() -> None:
    """--max-logprobs -1 takes any number."""
    assert plan.plan(dataclasses.replace(SERVED, max_logprobs=-1), LENGTHS).left_out == {}


def test_a_release_without_responses_gets_none() -> None:
    """0.9.0 has no such route."""
    old = dataclasses.replace(SERVED, routes={plan.CHAT, plan.COMPLETIONS})

    assert plan.plan(old, LENGTHS).left_out == {
        "responses": "this server has no route /v1/responses"
    }


@given(
    st.integers(min_value=1, max_value=5000),
    st.integers(min_value=4, max_value=300_000),
    st.lists(st.integers(min_value=1, max_value=9000), min_size=1, max_size=6),
    st.booleans(),
)
def test_nothing_longer_than_the_model_is_ever_sent(
    length: int, vocabulary: int, lengths: list[int], template: object
) -> None:
    """For any model, each completion's prompt and answer fit, and every kind is accounted for."""
    served = dataclasses.replace(
        SERVED,
        max_model_len=length,
        vocabulary=vocabulary,
        has_chat_template=bool(template),
    )

    wanted = plan.plan(served, lengths)

    for request in requests(wanted):
        prompt = request.body.get("prompt")
        if isinstance(prompt, list):
            assert len(prompt) + request.body["max_tokens"] <= length
            assert max(prompt) < vocabulary
    assert len(wanted.steps) + len(wanted.left_out) == len({*lengths, *plan.ODD_LENGTHS}) + 14


def test_the_schema_is_compiled_beside_the_rest() -> None:
    """Its grammar takes a thread of its own; a queue with no room for one more keeps it in turn."""
    roomy = dataclasses.replace(SERVED, max_queue=len(plan.TOGETHER) + 1)
    full = dataclasses.replace(SERVED, max_queue=len(plan.TOGETHER))
    beside = [step.kind for step in plan.plan(roomy, LENGTHS).steps if step.beside]

    assert beside == [plan.SCHEMA]
    assert not any(step.beside for step in plan.plan(full, LENGTHS).steps)
