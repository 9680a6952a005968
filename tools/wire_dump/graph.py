"""`wire-dump graph`: the space-time picture of an input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from conformance.trace.picture import page, svg
from wire_dump.events import records
from wire_dump.mistakes import UsageError
from wire_dump.selection import opened
from wire_dump.show import status_of

if TYPE_CHECKING:
    import argparse


def graph(parsed: argparse.Namespace) -> int:
    """Writes the picture: SVG or HTML, by the name of the file."""
    path = Path(parsed.output)
    draw = {".svg": svg, ".html": page}.get(path.suffix)
    if draw is None:
        raise UsageError(f"-o {parsed.output}: expected a name that ends in .svg or .html")
    since, until = parsed.since, parsed.until
    parsed.since = None  # what happened before says who leads, and who is down
    with opened(parsed) as (source, watch):
        parsed.since = since
        title = parsed.title
        text = draw(records(source.events), title=title, since=since, until=until, everything=parsed.everything)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"-o {parsed.output}: {error.strerror}") from None
    return status_of(parsed, watch)
