"""The model's configuration, tokenizer and chat template, as far as they load without a server.

tokenizers and jinja2 are used where they are installed; where not, the report says so.
"""

import importlib.util
import json
import re
from dataclasses import dataclass, field
from typing import Any

from stages.lockfile import CONFIG
from stages.smoke.content import Content, read
from stages.smoke.report import WrongError
from stages.weights import check_no_code

LARGEST = 256 * 2**20  # bytes of a tokenizer
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
TEMPLATE, OLD_TEMPLATE = "chat_template.jinja", "chat_template.json"
SAMPLE = "The capital of France is"
_GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")  # a mark for training alone


@dataclass(frozen=True, kw_only=True)
class Words:
    """A model's small files.

    Attributes:
        paths: Every file of the model.
        not_shown: Receives what could not be tried here.
    """

    content: Content
    paths: frozenset[str]
    not_shown: list[str] = field(default_factory=list)

    def config(self) -> str:
        """Look at config.json.

        Raises:
            WrongError: It names no architecture.
            UnsafeError: It names code to load.
        """
        found = self._object(CONFIG)
        check_no_code(CONFIG, json.dumps(found).encode())
        named = found.get("architectures")
        if not isinstance(named, list) or not named or not all(isinstance(x, str) for x in named):
            raise WrongError(f"{CONFIG} names no architectures")
        length = context(found)
        return f"{', '.join(named)}, {length or 'an unknown number of'} tokens"

    def length(self, asked: str | None) -> str:
        """Hold MAX_MODEL_LEN, None when the image does not set it, against the model's own.

        Raises:
            WrongError: It is no number, or more than the model's.
        """
        own = context(self._object(CONFIG))
        if asked is None:
            return f"the model's own: {own}"
        if not asked.isdigit() or (own is not None and int(asked) > own):
            raise WrongError(f"MAX_MODEL_LEN is {asked!a}, the model takes {own} tokens")
        return f"{asked} of {own}"

    def tokenizer(self) -> str:
        """Load the tokenizer.

        Raises:
            WrongError: It does not load, or does not give a text back.
        """
        if TOKENIZER not in self.paths:
            self.not_shown.append(f"the tokenizer: the model has no {TOKENIZER}")
            return f"the model has no {TOKENIZER}"
        found = self._object(TOKENIZER)
        if not isinstance(found.get("model"), dict):
            raise WrongError(f"{TOKENIZER} holds no model")
        if not importlib.util.find_spec("tokenizers"):
            self.not_shown.append("that the tokenizer loads: tokenizers is not installed here")
            return "sound JSON with a model"
        return _loaded(json.dumps(found))

    def template(self) -> str:
        """Render the chat template.

        Raises:
            WrongError: It does not render, or loses the message.
        """
        text = self._template()
        if text is None:
            self.not_shown.append("chats: the model has no chat template")
            return "the model has no chat template"
        if not importlib.util.find_spec("jinja2"):
            self.not_shown.append("that the chat template renders: jinja2 is not installed here")
            return f"{len(text)} characters"
        return _rendered(text, self._special())

    def _template(self) -> str | None:
        """Find the chat template where transformers looks for it; of several, the default."""
        found: Any = None
        if TEMPLATE in self.paths:
            found = read(self.content, TEMPLATE, most=LARGEST).decode(errors="replace")
        elif OLD_TEMPLATE in self.paths:
            found = self._object(OLD_TEMPLATE).get("chat_template")
        elif TOKENIZER_CONFIG in self.paths:
            found = self._object(TOKENIZER_CONFIG).get("chat_template")
        if isinstance(found, list):
            named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
            found = named.get("default")
        if found is not None and not isinstance(found, str):
            raise WrongError("the chat template is no text")
        return found

    def _special(self) -> dict[str, str]:
        """Give the tokens that a template may name."""
        found = self._object(TOKENIZER_CONFIG) if TOKENIZER_CONFIG in self.paths else {}
        named = {name: one for name, one in found.items() if name.endswith("_token")}
        texts = {
            name: one.get("content") if isinstance(one, dict) else one
            for name, one in named.items()
        }
        return {name: text for name, text in texts.items() if isinstance(text, str)}

    def _object(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(read(self.content, path, most=LARGEST))
        except (ValueError, RecursionError) as error:
            raise WrongError(f"{path} is not sound JSON: {error}") from error
        if not isinstance(found, dict):
            raise WrongError(f"{path} is no JSON object")
        return found


def context(config: dict[str, Any]) -> int | None:
    """Give how many tokens the model takes; None when its configuration does not say."""
    inner = config.get("text_config")
    for one in (config, inner if isinstance(inner, dict) else {}):
        if type(one.get("max_position_embeddings")) is int:
            return int(one["max_position_embeddings"])
    return None


def _loaded(text: str) -> str:
    import tokenizers  # noqa: PLC0415 - only where it is installed

    try:
        loaded = tokenizers.Tokenizer.from_str(text)
        ids = loaded.encode(SAMPLE).ids
        back = loaded.decode(ids)
    except Exception as error:  # the library raises plain Exception
        raise WrongError(f"{TOKENIZER} does not load: {error}") from error
    if SAMPLE not in back:
        raise WrongError(f"{TOKENIZER} gives {back!a} back for {SAMPLE!a}")
    return f"{loaded.get_vocab_size()} tokens; {SAMPLE!r} has {len(ids)}"


def _rendered(text: str, special: dict[str, str]) -> str:
    """Render as transformers does: sandboxed, with these functions and extensions."""
    import jinja2.sandbox  # noqa: PLC0415 - only where it is installed

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals.update(raise_exception=refuse, strftime_now=lambda _: "2026-01-01")
    messages = [{"role": "user", "content": SAMPLE}]
    try:
        shown = environment.from_string(_GENERATION.sub("", text)).render(
            messages=messages, add_generation_prompt=True, tools=None, documents=None, **special
        )
    except Exception as error:  # a template can raise anything
        raise WrongError(f"the chat template does not render: {error}") from error
    if SAMPLE not in shown:
        raise WrongError("the chat template loses the message")
    return f"{len(shown)} characters for one message"
