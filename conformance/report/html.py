"""What the pages have in common: a document that needs nothing else, and the tone of each state."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from conformance.report.text import printable
from conformance.verdict import State

TONES: Final[dict[str, str]] = {
    State.PASS: "good", State.FAIL: "bad", State.XPASS: "bad", State.NONSTRICT: "warn", State.XFAIL: "warn",
    State.INCONCLUSIVE: "odd", State.HARNESS_ERROR: "odd", State.SKIP: "none", State.UNSUPPORTED: "none",
}  # fmt: skip
"""The class by which a state is coloured."""
SIGNS: Final[dict[str, str]] = {
    State.PASS: "✓", State.FAIL: "✗", State.XPASS: "✗", State.NONSTRICT: "!", State.XFAIL: "!",
    State.INCONCLUSIVE: "?", State.HARNESS_ERROR: "?", State.SKIP: "–", State.UNSUPPORTED: "–",
}  # fmt: skip
"""For those who see no colours."""
WORST: Final = (
    State.HARNESS_ERROR, State.FAIL, State.XPASS, State.INCONCLUSIVE, State.NONSTRICT, State.XFAIL, State.PASS,
    State.SKIP, State.UNSUPPORTED,
)  # fmt: skip
"""Of a case that was played several times the first of these is shown."""
_FOLDER: Final = Path(__file__).parent


def document(title: str, body: str, *, script: bool = False) -> str:
    """A whole page, with its style and, if wanted, its script in it."""
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    code = f"\n<script>\n{(_FOLDER / 'page.js').read_text(encoding='utf-8')}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}{code}\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Anything as text of a page, whatever a node has put into it."""
    return escape(printable(str(value)))


def pill(state: str) -> str:
    """A state as a coloured word."""
    return f'<span class="pill {TONES[state]}">{state}</span>'


def worst(states: list[str]) -> str:
    """The state that stands for them all."""
    return next(state for state in WORST if state in states)
