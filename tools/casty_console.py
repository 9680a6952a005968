"""What every program of the project does with its standard streams: `casty`, `conformance`, `wire-dump` and the
scripts in `tools` and `spec`.

A terminal, a pipe or a file may not take every character, may be closed, may be full, and its reader may
stop reading. No program ends with a traceback for that. It stands beside the library and the suite because
neither imports the other.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_IO: Final = 74

PLAIN: Final = {
    "→": "->",
    "←": "<-",
    "↔": "<->",
    "…": "...",
    "–": "-",
    "—": "--",
    "─": "-",
    "│": "|",
    "├": "+",
    "└": "+",
    "┘": "+",
    "▶": ">",
    "▪": "*",
    "×": "x",
    "·": ".",
    "•": "*",
    "●": "*",
    "○": "o",
    "✓": "+",
    "✗": "x",
    "«": "<<",
    "»": ">>",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "“": '"',
    "”": '"',
    "„": '"',
    "‘": "'",
    "’": "'",
    "§": "section ",
    "±": "+/-",
    "█": "#",
    "▒": "=",
    "░": ".",
    "\N{NO-BREAK SPACE}": " ",
}
"""What stands in ASCII for the characters that our texts use."""
_LOST: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF))
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def program[**P](main: Callable[P, int]) -> Callable[P, int]:
    """Makes `main`, which returns an exit status, fit for any standard streams.

    Where the reader of standard output stops reading, the program ends quietly, with its own status or 0. Where
    the output cannot be written, it says so and returns 74.
    """

    @wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        _prepare()
        try:
            status = main(*args, **kwargs)
        except SystemExit as end:
            if lost := _end():
                raise SystemExit(lost) from end
            raise
        except OSError as error:
            if not is_lost(error):
                raise
            return _end(error)
        return _end() or status

    return run


def complain(text: str) -> None:
    """Says it on standard error, if there is somebody who reads it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _mute()


def is_lost(error: BaseException) -> bool:
    """Whether the error says that a stream takes no more, which is none of the program's own. One about a file
    names it.
    """
    if isinstance(error, BrokenPipeError):
        return True
    return isinstance(error, OSError) and error.filename is None and error.errno in _LOST


def is_coloured(choice: str = "auto", stream: TextIO | None = None) -> bool:
    """Whether to colour standard output, or another stream: always, never, or on a terminal that can, unless
    NO_COLOR is set (no-color.org).
    """
    return choice == "always" or (choice == "auto" and is_live(stream) and not os.environ.get("NO_COLOR"))


def is_live(stream: TextIO | None = None) -> bool:
    """Whether standard output, or another stream, is a terminal that obeys escape sequences."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def json_text(value: Any) -> str:
    """The value as JSON on one line, which standard output takes without replacing anything in it."""
    is_unicode = codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_unicode)
    return json.dumps(value) if is_unicode and _SURROGATE.search(text) else text


def argument(text: str) -> str:
    """A text from the command line, which is UTF-8 whatever the locale; bytes that are not become `\\xff`."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text


def _prepare() -> None:
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nowhere(descriptor))
        elif descriptor and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="casty.plain")


def _nowhere(descriptor: int) -> Any:
    """A stream for one that was closed before the program began. It takes its number, which the next file to be
    opened would get, and with it what children write.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(opened, opened == descriptor)
    return open(opened, "w" if descriptor else "r", encoding="utf-8", errors="casty.plain")


def _end(failure: OSError | None = None) -> int:
    """Writes what is left; 74 where that cannot be done, for any other reason than that nobody reads it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        failure = error
    _mute()
    if failure is None or isinstance(failure, BrokenPipeError):
        return 0
    complain(f"standard output cannot be written: {failure.strerror or failure}")
    return EXIT_IO


def _mute() -> None:
    """Puts nothing in the place of a stream that takes no more, so that the interpreter can end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """The error handler: an equivalent where there is one, else the character's number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_instead, error.object[error.start : error.end])), error.end


def _instead(character: str) -> str:
    if character in PLAIN:
        return PLAIN[character]
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file's name that was no text (PEP 383)
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error("casty.plain", _in_ascii)
