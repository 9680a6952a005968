"""Timelines show every operation, what was done to the cluster meanwhile, and the answer that is impossible."""

from __future__ import annotations

from html.parser import HTMLParser

from conformance.history.checker import check
from conformance.history.operation import Operation
from conformance.history.page import page
from conformance.history.timeline import Band, bands, text
from conformance.trace.record import Marked, Record

STALE = [
    Operation(1, "put", "x", "<1>", 0.0, 0.5, "ok", None, "n1", 2, 1),
    Operation(2, "put", "x", "<2>", 1.0, 1.5, "ok", None, "n1", 3, 1),
    Operation(1, "cas", "x", ("<7>", "<8>"), 1.2, None, "unknown"),
    Operation(2, "put", "x", "no", 1.6, 1.7, "failed"),
    Operation(1, "get", "x", None, 2.0, 2.5, "ok", "<1>", "n3", 4, 1),
]
MARKS: list[Record] = [
    Marked(0.2, "n2", "kill", ""),
    Marked(0.3, "n2", "start", "casty node"),
    Marked(0.9, "n2", "ready", "127.0.0.1:1"),
    Marked(1.1, None, "fault", "Drop() n1→n2"),
    Marked(1.2, None, "fault", "Drop() n2→n1"),
    Marked(1.8, None, "heal", "Drop() n1→n2"),
    Marked(2.2, "n3", "pause", ""),
]


def test_bands_last_from_a_fault_to_its_end_or_to_the_last() -> None:
    assert bands(MARKS, 9.0) == [
        Band(0.2, 0.9, "n2 down"),
        Band(0.3, 0.3, "n2 start"),
        Band(1.1, 1.8, "Drop() n1→n2"),
        Band(1.2, 9.0, "Drop() n2→n1"),
        Band(2.2, 9.0, "n3 paused"),
    ]


def test_the_text_has_a_line_for_everything_and_marks_what_is_impossible() -> None:
    lines = text(STALE, MARKS, check(STALE, seconds=5)).splitlines()
    assert lines[0] == "key x: client 1: get x = '<1>' is impossible; it could have answered '<2>'"
    assert len(lines) == 3 + len(STALE) + 5
    [marked] = [line for line in lines if "<<<" in line]
    assert marked.startswith("   2.000    2.500  ")
    assert marked.endswith("█  client 1: get x = '<1>'  <<< impossible")
    [unknown] = [line for line in lines if "cas" in line]
    assert unknown.startswith("   1.200        ?  ")
    assert unknown.count("▒") > 20, "as long as the history: its effect may come at any time"
    assert any("-- Drop() n1→n2" in line for line in lines)


class Outline(HTMLParser):
    """Tags that are closed in their order, and what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.classes: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.classes += (given.get("class") or "").split()
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes += (dict(attrs).get("class") or "").split()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    outline = Outline()
    html = page(STALE, MARKS, check(STALE, seconds=5), title="C-12 <stale>")
    outline.feed(html)
    assert (outline.open, outline.links) == ([], [])
    assert outline.classes.count("impossible") == 2, "in the few and in the whole"
    assert outline.classes.count("head") == 1
    assert outline.classes.count("band") >= 5
    assert "C-12 <stale>" in outline.words
    assert any("get x = '<1>'" in words for words in outline.words)
    assert "prefers-color-scheme: dark" in html


def test_a_page_of_nothing_is_a_page() -> None:
    outline = Outline()
    outline.feed(page([]))
    assert (outline.open, outline.classes.count("ok")) == ([], 0)
