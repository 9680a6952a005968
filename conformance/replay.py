"""A case that was kept, played once more: the same command, the same seed, the same settings.

What is drawn at random comes again; how processes and networks interleave does not. A failure that depends on
that may need several attempts.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from conformance import artifacts, script
from conformance.artifacts import ArtifactError, read_case
from conformance.case import load
from conformance.trial import Manner, hold, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.front import Exit


def replay(folder: Path, command: tuple[str, ...], out: Path) -> Exit:
    """Plays it, with another command where one is given; returns the status of a run.

    Raises `ArtifactError` where the folder holds no case, `CommandError` where the program is gone.
    """
    kept = read_case(folder)
    catalogue = load()
    if kept.case not in catalogue:
        raise ArtifactError(f"{folder}: this suite has no case {kept.case} any more")
    out = out.absolute()
    if folder.resolve().is_relative_to(out.resolve()):
        raise ArtifactError(f"{folder} would be overwritten: --out {out} is around it")
    if not command:
        _enter(kept.directory)
    settings = replace(
        kept.settings,
        out=out,
        keep=True,
        repeat=1,
        first_repeat=kept.repeat,
        selection=(kept.case,),
        command=command or kept.settings.command,
    )
    status, run = hold(settings, [catalogue[kept.case]], Manner(is_verbose=True))
    if run is not None and run.outcomes and kept.outcome is not None:
        state, before = run.outcomes[0].state, kept.outcome["state"]
        say(f"{kept.case} is {state}{', as before' if state == before else f'; it was {before} before'}")
    return status


def replay_script(folder: Path, node: str, command: tuple[str, ...]) -> Iterator[str]:
    """Sends a fresh node what `node` was sent, and tells line by line what it answers.

    Raises as `replay` does, and `Unmet` where the node does not start.
    """
    kept = read_case(folder)
    found = script.read_script(list(artifacts.records(folder)), node)
    folder = folder.absolute()
    if not command:
        _enter(kept.directory)
    with tempfile.TemporaryDirectory(prefix="conformance-") as home:
        answers = asyncio.run(
            script.perform(folder, found, command or kept.settings.command, kept.settings.scale, Path(home))
        )
    return script.report(found, answers)


def _enter(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise ArtifactError(
            f"the run was started in {directory}: {error.strerror}; give the command anew"
        ) from None
