"""What is wrong with what the tool was told: shown as one line, without a traceback."""

from __future__ import annotations


class UsageError(ValueError):
    """The command line, or something in it, makes no sense; the message says what was expected."""
