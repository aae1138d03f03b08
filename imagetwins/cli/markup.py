"""Text from anywhere, made safe for a terminal."""

from rich.markup import escape


def escape_markup(text: str) -> str:
    """Return `text` such that a terminal shows it and does nothing else: no markup, no control characters."""
    return escape("".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text))
