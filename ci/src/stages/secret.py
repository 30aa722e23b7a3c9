"""A value that must not be seen."""

MASK = "***"


class Secret:
    """Text that shows itself only to who calls `reveal`; `repr` and `str` are a mask."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep `text`, which is not empty."""
        self._text = text

    def reveal(self) -> str:
        """Give the text itself, for the one header that needs it."""
        return self._text

    def hide_in(self, message: str) -> str:
        """Mask the secret wherever `message` holds it, as when a server echoes it."""
        return message.replace(self._text, MASK)

    def __repr__(self) -> str:
        """Show a mask."""
        return f"Secret({MASK})"

    __str__ = __repr__

    def __reduce__(self) -> str:
        """Refuse to be pickled, which would write the text."""
        raise TypeError("a secret is not pickled")
