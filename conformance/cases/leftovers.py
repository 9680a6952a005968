"""What crashes leave behind of files that were not finished: it keeps nobody from starting (PERSIST-5)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.case import Harm, Layer, case
from conformance.cases.damage import keeps_promises, promise
from conformance.cases.snapshot import install
from conformance.node.disk import RENAMES, renamed, traced
from conformance.verdict import Unmet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conformance.node.node import Node
    from conformance.stage import Stage


@case("P-22", "PERSIST-5", layer=Layer.DISK, harm=Harm.LIVENESS, tools=("strace",), seconds=240)
async def leftovers_do_no_harm(stage: Stage) -> None:
    """What a crash left of an unfinished file keeps nobody from starting, nor from making that file again.

    given: n1 starts on a new directory, and later installs a snapshot, under a trace of its renames; killed
        before one of them, it would have left the file under its old name: one is put there, whole, in half and
        empty, in the directory as it was before; and a file ending in .tmp that nobody knows
    when: it is started again
    expect: READY, and its word kept; the snapshot is installed
    why: a crash between writing a file and renaming it must not need an operator
    """
    log = stage.folder / "starting.txt"
    fresh = stage.node(stage.launch(data="fresh"))
    await fresh.start(under=("strace", "-f", "-o", str(log), "-e", f"trace={RENAMES}"))
    await fresh.end()
    for left, data in _unrenamed(log):
        shutil.rmtree(fresh.launch.data_dir)
        await _start_beside(fresh, left, data, fresh.kill)

    troupe = await stage.troupe()
    promised = await promise(troupe)
    folder = Path(troupe.node.launch.data_dir)
    kept = folder.with_name("promised")
    shutil.copytree(folder, kept)

    async def keeps_its_word() -> None:
        await keeps_promises(troupe, promised)
        troupe.term = 3
        if "snapshot" in stage.settings.caps:
            await install(troupe, troupe.peers[0], (9, 3))
        await troupe.node.kill()

    log = stage.folder / "installing.txt"
    await troupe.node.start()
    async with traced(troupe.node, f"trace={RENAMES}", log=log):
        await keeps_its_word()
    for left, data in [*_unrenamed(log), (folder / "left-behind.tmp", b"half a snapsh")]:
        await _start_beside(troupe.node, left, data, keeps_its_word, kept)


def _unrenamed(log: Path) -> list[tuple[Path, bytes]]:
    """The names that files had before they were renamed, with what is in them today."""
    return [(old, new.read_bytes() if new.exists() else b"") for old, new in renamed(log)]


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


async def _start_beside(
    node: Node, left: Path, data: bytes, check: Callable[[], Awaitable[object]], kept: Path | None = None
) -> None:
    """Starts the node on a directory as it was (a new one, without) beside this file, and checks it, three
    times."""
    folder = Path(node.launch.data_dir)
    for what, size in (("whole", len(data)), ("in half", len(data) // 2), ("empty", 0)):
        shutil.rmtree(folder, ignore_errors=True)
        if kept is not None:
            shutil.copytree(kept, folder)
        _put(left, data[:size])
        try:
            await node.start()
        except Unmet as unmet:
            expected = f"READY beside {left.name}, {what}, which a crash left behind"
            raise Unmet(expected, unmet.got) from None
        await check()
