"""Models that are broken, each in one way, and what the static smoke test says of each."""

from tests.stages.smoking import INDEX, ONE, TWO, sound, tensor, tensors

WITHOUT_TEMPLATE = {"chat_template.jinja": None}

# Files that are changed (None takes one away), the check that fails, and what its detail says.
MODELS: dict[str, tuple[dict[str, bytes | None], str, str]] = {
    "cut tensors": ({TWO: sound()[TWO][:-1]}, "safetensors", "bytes, its header says"),
    "more than tensors": ({TWO: sound()[TWO] + b"x"}, "safetensors", "bytes, its header says"),
    "cut header": ({TWO: tensors({}, length=9)}, "safetensors", "a header of 9"),
    "empty file": ({TWO: b""}, "safetensors", "has 0 bytes and a header of 0"),
    "no header": ({TWO: tensors({"c": tensor(0, 4)}, length=3)}, "safetensors", "is not sound"),
    "a list": ({TWO: b"\2\0\0\0\0\0\0\0[]"}, "safetensors", "is not sound"),
    "a gap": ({TWO: tensors({"c": tensor(2, 4)}, bytes(4))}, "safetensors", "begins at byte 2"),
    "an overlap": (
        {TWO: tensors({"c": tensor(0, 4), "d": tensor(2, 6)}, bytes(6))},
        "safetensors", "'d' begins at byte 2, expected 4"
    ),
    "unknown kind": (
        {TWO: tensors({"c": tensor(0, 4, dtype="Q4_K")}, bytes(4))}, "safetensors", "'Q4_K'"
    ),
    "another shape": (
        {TWO: tensors({"c": tensor(0, 4, shape=[3])}, bytes(4))}, "safetensors", "say otherwise"
    ),
    "negative shape": (
        {TWO: tensors({"c": tensor(0, 4, shape=[-1, -2])}, bytes(4))}, "safetensors", "no number"
    ),
    "no offsets": ({TWO: tensors({"c": {"dtype": "F32"}})}, "safetensors", "is not sound"),
    "twice": (
        {TWO: tensors({"a": tensor(0, 4)}, bytes(4))}, "safetensors", f"and {ONE} both hold 'a'"
    ),
    "no tensors": (
        {ONE: tensors({}), TWO: tensors({}), INDEX: None}, "safetensors", "has no tensors"
    ),
    "index of more": (
        {INDEX: b'{"weight_map": {"a": "x"}}'}, "safetensors", "the files differ in 'a'"
    ),
    "no index": ({INDEX: b"[]"}, "safetensors", "is no index of tensors"),
    "no architecture": ({"config.json": b'{"architectures": []}'}, "config", "no architectures"),
    "code": (
        {"config.json": b'{"architectures": ["A"], "auto_map": {}}'}, "config", "auto_map"
    ),
    "no JSON": ({"config.json": b"{"}, "config", "is not sound JSON"),
    "no object": ({"config.json": b"[]"}, "config", "is no JSON object"),
    "tokenizer of nothing": ({"tokenizer.json": b"{}"}, "tokenizer", "holds no model"),
    "tokenizer that does not load": (
        {"tokenizer.json": b'{"model": {}}'}, "tokenizer", "does not load"
    ),
    "tokenizer that forgets": (
        {"tokenizer.json": b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'},
        "tokenizer", "for 'The capital of France is'"
    ),
    "template with an error": (
        {"chat_template.jinja": b"{% for %}"}, "chat template", "does not render"
    ),
    "template that refuses": (
        {"chat_template.jinja": b"{{ raise_exception('roles') }}"}, "chat template", "roles"
    ),
    "template that reaches out": (
        {"chat_template.jinja": b"{{ messages.__class__.__mro__[1].__subclasses__() }}"},
        "chat template", "does not render: access to attribute"
    ),
    "template that loses the message": (
        {"chat_template.jinja": b"hello"}, "chat template", "loses the message"
    ),
    "template that is no text": (
        WITHOUT_TEMPLATE | {"tokenizer_config.json": b'{"chat_template": 5}'},
        "chat template", "is no text"
    ),
}  # fmt: skip
