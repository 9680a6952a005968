"""How values from the network look in error texts: short and escaped, whatever they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SHOWN_MAX: Final = 100
"""How many characters or bytes of a text are shown."""


def clipped(text: str) -> str:
    """The beginning of a text that somebody else wrote, perhaps about a value of any size."""
    return text if len(text) <= 2 * SHOWN_MAX else f"{text[: 2 * SHOWN_MAX]}…"


def text_of(thing: object, form: Callable[[object], str] = str) -> str:
    """What somebody else's exception or object says of itself; it may fail even in that."""
    try:
        # An exact str: what a subclass of it does when it is cut or sent is not known.
        return str.__str__(form(thing))
    except BaseException as error:
        return f"{type(thing).__name__}, whose text cannot be made ({type(error).__name__})"


def packable(text: str) -> str:
    """The text of an exception, which may hold halves of surrogate pairs; they are escaped."""
    return text.encode(errors="backslashreplace").decode()


def shown(value: object) -> str:
    """The value as JSON people would name it; of something large, only what it is."""
    content: Any = value
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if value.bit_length() <= 64 else "a large integer"
        case float():
            return repr(value)
        case str() | bytes():
            return repr(content[:SHOWN_MAX]) + ("…" if len(content) > SHOWN_MAX else "")
        case list() | tuple():
            return f"an array of {len(content)}"
        case dict():
            return f"a map of {len(content)}"
        case _:
            return f"a {type(content).__name__}"
