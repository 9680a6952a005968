"""`wire-dump graph`: the space-time picture of an input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from conformance.trace.picture import page, svg
from wire_dump.events import Seen, records
from wire_dump.filters import parse
from wire_dump.mistakes import UsageError
from wire_dump.selection import opened
from wire_dump.show import status_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from conformance.trace.record import Sent
    from wire_dump.events import Event


def graph(parsed: argparse.Namespace) -> int:
    """Writes the picture: SVG or HTML, by the name of the file."""
    path = Path(parsed.output)
    draw = {".svg": svg, ".html": page}.get(path.suffix)
    if draw is None:
        raise UsageError(f"-o {parsed.output}: expected a name that ends in .svg or .html")
    asked = _Asked(parsed)
    parsed.since = parsed.filter = parsed.count = None  # what is not drawn says who leads, too, and who is down
    with opened(parsed) as (source, watch):
        text = draw(
            records(asked.over(source.events)),
            title=parsed.title,
            since=asked.since,
            until=parsed.until,
            everything=parsed.everything,
            is_asked=asked,
        )
        try:
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(f"-o {parsed.output}: {error.strerror}") from None
    return status_of(parsed, watch)


class _Asked:
    """Whether the frame that was read last is to be drawn."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        self.since: float | None = parsed.since
        self._wanted = parse(parsed.filter) if parsed.filter is not None else None
        self._left: int | None = parsed.count
        self._is_asked = True

    def over(self, events: Iterable[Event]) -> Iterator[Event]:
        """The same events, up to the last frame that is to be drawn. Each must be judged before the next."""
        for event in events:
            if self._left == 0:
                return
            if isinstance(event, Seen):
                is_late = self.since is None or event.time >= self.since
                self._is_asked = is_late and (self._wanted is None or self._wanted(event))
                if self._left is not None:
                    self._left -= self._is_asked
            yield event

    def __call__(self, _: Sent) -> bool:
        return self._is_asked
