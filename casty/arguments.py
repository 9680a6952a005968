"""What callers pass for times, sizes and counts, checked before anything is done with it. Pure."""

from __future__ import annotations

from typing import cast, overload

SECONDS_MAX = 1e9
"""Some thirty years. A longer time is a mistake, or is meant to be None: no bound."""


def checked_seconds(name: str, value: float, *, least: float = 0.0, most: float = SECONDS_MAX) -> float:
    """The time: a finite number of seconds within these bounds, both included.

    Raises TypeError for what is no number (True does not count), and ValueError for NaN, infinity and what is
    out of bounds.
    """
    given = cast("object", value)  # an annotation is no more than a promise
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        msg = f"{name} must be a number of seconds, not {_shown(given)}"
        raise TypeError(msg)
    if not least <= given <= most:  # as NaN is not
        msg = f"{name} must be {least:g} to {most:g} seconds, not {_shown(given)}"
        raise ValueError(msg)
    return float(given)


@overload
def checked_timeout(value: float, name: str = "timeout") -> float: ...
@overload
def checked_timeout(value: float | None, name: str = "timeout") -> float | None: ...
def checked_timeout(value: float | None, name: str = "timeout") -> float | None:
    """The time that a caller waits: 0 seconds or more; None is no bound. Raises as `checked_seconds` does."""
    if value is None:
        return None
    try:
        return checked_seconds(name, value)
    except (TypeError, ValueError) as error:
        msg = f"{error}; None waits without a bound"
        raise type(error)(msg) from None


def checked_count(name: str, value: int, *, least: int | None, most: int | None = None, unit: str = "") -> int:
    """The whole number, within its bounds.

    Raises TypeError for what is no whole number (True and 2.0 do not count), and ValueError for what is out of
    bounds.
    """
    given = cast("object", value)
    if isinstance(given, bool) or not isinstance(given, int):
        msg = f"{name} must be a whole number, not {_shown(given)}"
        raise TypeError(msg)
    if least is not None and (given < least or (most is not None and given > most)):
        bounds = f"at least {_shown(least)}" if most is None else f"{_shown(least)} to {_shown(most)}"
        msg = f"{name} must be {bounds}{unit}, not {_shown(given)}"
        raise ValueError(msg)
    return given


def checked_flag(name: str, value: bool) -> bool:
    """True or False. Raises TypeError for anything else, for "no" would count as yes."""
    given = cast("object", value)
    if not isinstance(given, bool):
        msg = f"{name} must be True or False, not {_shown(given)}"
        raise TypeError(msg)
    return given


def checked_text(name: str, value: str) -> str:
    """The text. Raises TypeError for anything but a str."""
    given = cast("object", value)
    if not isinstance(given, str):
        msg = f"{name} must be a str, not {_shown(given)}"
        raise TypeError(msg)
    return given


def checked_callable(name: str, value: object) -> None:
    """Raises TypeError for what cannot be called."""
    if not callable(value):
        msg = f"{name} must be a function or another callable, not {_shown(value)}"
        raise TypeError(msg)


def _shown(value: object) -> str:
    """What was given, in a few characters. Python refuses to print very long numbers, and `repr` may fail."""
    if not isinstance(value, int) or isinstance(value, bool):
        try:
            return f"{value!r:.80}"
        except Exception:
            return f"a {type(value).__name__}"
    if abs(value) > 10**30:
        return f"a number of {value.bit_length():,} bits"
    return f"{value:,}" if abs(value) >= 100_000 else str(value)
