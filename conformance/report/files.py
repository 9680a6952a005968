"""The files a run leaves behind for people and programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.front import Exit, Run
    from conformance.settings import Settings


def write_reports(settings: Settings, run: Run, status: Exit) -> list[str]:
    """Writes them and says, a line each, where they are."""
    results = settings.out / "results.json"
    results.write_text(
        json.dumps(
            {
                "impl": settings.impl,
                "command": settings.command,
                "seed": settings.seed,
                "status": int(status),
                "seconds": round(run.seconds, 3),
                "outcomes": [outcome.as_dict() for outcome in run.outcomes],
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    return [f"results  {results}", f"junit    {settings.out / 'junit.xml'}"]
