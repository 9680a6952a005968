"""The space-time picture of a trace: a line per node, time going down, an arrow per message.

`svg` draws it for a page, `page` as an HTML page of its own that scrolls below the nodes' names. Both hold
everything they need, and are legible in light and dark.
"""

from __future__ import annotations

from html import escape
from math import atan2, degrees, log2
from typing import TYPE_CHECKING, Final

from conformance.trace.looks import LEGEND, STYLE
from conformance.trace.rows import Arrow, Band, Note, Turn
from conformance.trace.story import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from conformance.trace.record import Record, Sent
    from conformance.trace.rows import Role, Row, Story

_GUTTER: Final = 74
_LEFT: Final = 66
_HEAD: Final = 34
_ROW: Final = 25
_SLOPE: Final = 10
_GAP_MAX: Final = 30
_CHARACTER: Final = 6.3
"""How wide a letter of a label is, about."""
_LANES: Final = {1: 320, 2: 320, 3: 270, 4: 240, 5: 215, 6: 195, 7: 180}
"""How far the nodes' lines are apart, by their number."""
_OVERHANG: Final = 40
"""How far a band reaches beyond the lines of the nodes it is about."""


def svg(
    records: Iterable[Record],
    *,
    title: str = "",
    since: float | None = None,
    until: float | None = None,
    everything: bool = False,
    is_asked: Callable[[Sent], bool] | None = None,
) -> str:
    """The picture as one SVG document.

    Heartbeats and the like are drawn as one, unless `everything` is asked for.
    """
    story = tell(records, since=since, until=until, everything=everything, is_asked=is_asked)
    drawing = _Drawing(story, title, with_head=True)
    return drawing.document()


def page(
    records: Iterable[Record],
    *,
    title: str = "",
    since: float | None = None,
    until: float | None = None,
    everything: bool = False,
    is_asked: Callable[[Sent], bool] | None = None,
) -> str:
    """The picture as an HTML page."""
    story = tell(records, since=since, until=until, everything=everything, is_asked=is_asked)
    drawing = _Drawing(story, "", with_head=False)
    name = _escaped(title or "What the wire showed")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title>\n<style>{STYLE}\n"
        "body{margin:0;background:var(--bg);color:var(--ink);font-family:ui-sans-serif,system-ui,sans-serif}"
        "h1{font-size:17px;margin:16px 20px 4px}"
        ".names{position:sticky;top:0;background:var(--bg);border-bottom:1px solid var(--hair)}"
        "</style></head><body>\n"
        f"<h1>{name}</h1>\n"
        f'<div class="names">{drawing.names()}</div>\n{drawing.document()}</body></html>\n'
    )


class _Drawing:
    """Places the rows of a story, and draws them from the back to the front."""

    def __init__(self, story: Story, title: str, *, with_head: bool) -> None:
        self._story = story
        self._title = title
        self._lane = _LANES.get(len(story.nodes), 165)
        self._x = {node: _GUTTER + _LEFT + at * self._lane for at, node in enumerate(story.nodes)}
        self._width = _GUTTER + 2 * _LEFT + self._lane * max(0, len(story.nodes) - 1) + 24
        self._width = max(self._width, 560)
        self._top = (40 if title else 8) + (_HEAD + 14 if with_head else 6)
        self._with_head = with_head
        self._zero = story.rows[0].time if story.rows else 0.0
        self._at = list(self._places())
        self._bottom = (self._at[-1] if self._at else self._top) + 40

    def document(self) -> str:
        """The whole picture."""
        legend = _Legend(self._width, self._kinds())
        height = self._bottom + 26 + legend.height
        nodes = ", ".join(self._story.nodes)
        about = f"Nodes {nodes}; {len(self._story.rows)} rows from top to bottom in the order of time."
        shown_title = self._title or "Messages between nodes"
        parts = [
            _opening(self._width, height, 'role="img" aria-labelledby="t d" '),
            f'<title id="t">{_escaped(shown_title)}</title><desc id="d">{_escaped(about)}</desc>',
            f"<style>{STYLE}</style>",
            _rect("bg", 0, 0, self._width, height, 8),
        ]
        if self._title:
            parts.append(_text("title", 20, 29, self._title))
        if self._with_head:
            parts += self._names_at(self._top - _HEAD - 12)
        parts += self._lines()
        for row, y in zip(self._story.rows, self._at, strict=True):
            parts += self._row(row, y)
        if self._story.left_out:
            text = f"… {self._story.left_out:,} more rows are not drawn"
            parts.append(_text("soft", _GUTTER, self._bottom + 8, text))
        parts += legend.parts(self._bottom + 22)
        return "\n".join(parts) + "\n</svg>\n"

    def _kinds(self) -> set[str]:
        """The roles and tones that occur."""
        kinds: set[str] = set(self._story.roles.values())
        for row in self._story.rows:
            kinds |= set(row.roles.values()) | ({row.tone} if isinstance(row, Arrow) else set())
        return kinds

    def names(self) -> str:
        """The nodes' names alone, as wide as the picture."""
        return _opening(self._width, _HEAD + 8) + "".join(self._names_at(6)) + "</svg>"

    def _places(self) -> Iterator[int]:
        """Where the rows are: further apart where more time passes, but not in proportion."""
        y, before = float(self._top + 14), self._zero
        for row in self._story.rows:
            passed = max(0.0, row.time - before)
            y += min(_GAP_MAX, 3.2 * log2(1 + passed / 0.004))
            yield round(y)
            y += _ROW + (6 if isinstance(row, Turn | Band) else 0)
            before = row.end if isinstance(row, Band) else row.time

    def _names_at(self, y: int) -> Iterator[str]:
        for node, x in self._x.items():
            width = max(64, round(len(node) * 8) + 24)
            yield _rect("box", x - width // 2, y, width, _HEAD - 6, 6)
            yield _text("name", x, y + 19, node)

    def _lines(self) -> Iterator[str]:
        """The nodes' lines, in pieces: one for each role."""
        for node, x in self._x.items():
            role: Role = self._story.roles.get(node, "absent")
            start = self._top - 10
            for row, y in zip(self._story.rows, self._at, strict=True):
                if node in row.roles and row.roles[node] != role:
                    yield self._piece(x, start, y, role)
                    role, start = row.roles[node], y
            yield self._piece(x, start, self._bottom, role)

    def _piece(self, x: int, start: int, end: int, role: Role) -> str:
        if role in ("absent", "down", "paused"):
            return _path(role, f"M{x} {start}V{end}")
        width = 9 if role == "leader" else 7
        return _rect(role, x - width / 2, start, width, max(0, end - start))

    def _row(self, row: Row, y: int) -> Iterator[str]:
        yield _text("time", _GUTTER - 12, y + 4, f"{row.time - self._zero:.3f}")
        match row:
            case Arrow():
                yield from self._arrow(row, y)
            case Band():
                yield from self._band(row, y)
            case Turn():
                yield from self._chip(self._x[row.node], y, row.text, f"turn {row.tone}")
            case Note():
                right = self._width - 16
                yield _path(f"rule {row.tone}", f"M{_GUTTER} {y}H{right}")
                middle = (_GUTTER + right) / 2
                yield _text(f"label middle {row.tone}", middle, y + 4, self._fit(row.text, 3))
            case _:
                pass
        for node, text in row.chips.items():
            yield from self._chip(self._x[node], y, text, "chip")

    def _arrow(self, row: Arrow, y: int) -> Iterator[str]:
        start, end = self._x[row.source], self._x[row.target]
        lost = row.fate in ("dropped", "blackholed")
        tone = "error" if row.fate == "corrupted" else row.tone
        way = 1 if end > start else -1
        if start == end:
            way, end = 1, start + 60
        x1, x2 = start + 5 * way, end - 6 * way
        y2 = float(y + _SLOPE)
        if lost:
            x2, y2 = round((x1 + x2) / 2), y + _SLOPE / 2
        broken = "" if row.fate == "passed" else " broken"
        suffix = "" if row.fate == "passed" else f" · {row.fate}"
        yield f'<g class="msg"><title>{_escaped(row.about)}</title>'
        yield _path(f"arrow {tone}{broken}", f"M{x1} {y}L{x2} {y2}")
        if lost:
            yield _path("cross", f"M{x2 - 5} {y2 - 5}l10 10m0 -10l-10 10")
        else:
            yield _path(f"head {tone}", f"M{x2 + way} {y2}l{-9 * way} -5v10z")
        clear = self._chip_room(row)
        middle = start + way * (self._lane + clear) / 2
        text = self._fit(row.text + suffix, 1, clear)
        slope = _SLOPE * abs(middle - start) / max(1, abs(end - start))
        angle = degrees(atan2(y2 - y, x2 - x1)) if way > 0 else degrees(atan2(y - y2, x1 - x2))
        turned = f' transform="rotate({angle:.1f} {middle:.0f} {y + slope:.1f})"'
        yield _text(f"label middle {tone}", middle, y + slope - 4.5, text, turned) + "</g>"

    def _chip_room(self, row: Arrow) -> float:
        """How much of the first lane the chip at the arrow's beginning takes."""
        text = row.chips.get(row.source, "")
        return len(text) * 3.4 + 4 if text else 0

    def _band(self, row: Band, y: int) -> Iterator[str]:
        places = [self._x[node] for group in row.groups for node in group]
        left, right = min(places), max(places)
        lasted = row.end - row.time
        text = f"{row.text}, {lasted:.1f} s" if lasted >= 0.05 else row.text
        fitted = self._fit(text, max(1.0, (right - left) / self._lane), -2 * _OVERHANG)
        half = max((right - left) / 2 + _OVERHANG, len(fitted) * _CHARACTER / 2 + 16)
        middle = max((left + right) / 2, _GUTTER + half)
        yield _rect("band", middle - half, y - 11, 2 * half, 22, 11)
        yield _text("label middle quiet inband", middle, y + 4, fitted)

    def _chip(self, x: int, y: int, text: str, kind: str) -> Iterator[str]:
        width = round(len(text) * 6.6 + 16)
        left = min(max(_GUTTER, x - width // 2), self._width - width - 4)
        yield _rect(kind, left, y - 10, width, 20, 10)
        yield _text(f"{kind} words", left + width / 2, y + 4, text)

    def _fit(self, text: str, lanes: float, less: float = 0) -> str:
        """As much of the text as has room in so many lanes."""
        most = max(8, int((self._lane * lanes - 26 - less) / _CHARACTER))
        return text if len(text) <= most else text[: most - 1] + "…"


def _opening(width: int, height: int, more: str = "") -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" {more}'
        'font-family="ui-sans-serif, system-ui, -apple-system, sans-serif" font-size="12">'
    )


def _text(kind: str, x: float, y: float, text: str, more: str = "") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{more}>{_escaped(text)}</text>'


def _rect(kind: str, x: float, y: float, width: float, height: float, radius: int = 0) -> str:
    corners = f' rx="{radius}"' if radius else ""
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"{corners}/>'


def _path(kind: str, path: str) -> str:
    return f'<path class="{kind}" d="{path}"/>'


def _escaped(text: str) -> str:
    """For XML, without what it cannot hold or a reader cannot see."""
    return escape("".join(c if c.isprintable() or c == "\n" else "·" for c in text))


class _Legend:
    """What the colours mean, in as many lines as it takes."""

    def __init__(self, width: int, kinds: set[str]) -> None:
        self._items = [item for item in LEGEND if item[1] in kinds]
        self._places: list[tuple[int, int]] = []
        x, y = _GUTTER - 40, 0
        for _, _, text in self._items:
            size = 34 + round(len(text) * _CHARACTER) + 18
            if x + size > width - 10:
                x, y = _GUTTER - 40, y + 20
            self._places.append((x, y))
            x += size
        self.height = y + 26

    def parts(self, top: int) -> Iterator[str]:
        for (shape, kind, text), (x, y) in zip(self._items, self._places, strict=True):
            at = top + y
            if shape == "line":
                yield _rect(kind, x, at - 3, 24, 7)
            elif shape == "thin":
                yield _path(kind, f"M{x} {at}h24")
            else:
                yield _path(f"arrow {kind}", f"M{x} {at}h20") + _path(
                    f"head {kind}", f"M{x + 25} {at}l-9 -5v10z"
                )
            yield _text("soft", x + 31, at + 4, text)
