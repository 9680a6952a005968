"""Disks that somebody has damaged, filled or mixed up: a server refuses to start rather than to forget
(PERSIST-5)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.case import Harm, Layer, case
from conformance.cases.snapshot import chunk
from conformance.node.disk import SmallDisk, deadly, files, flip_in, traced
from conformance.peer.troupe import entries
from conformance.trace.record import Marked
from conformance.verdict import Unmet, Unplayable
from conformance.wire.message import Entry
from conformance.wire.value import pack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage

CONFIG_STATUS = 78
SECTOR = 512
"""Bytes that reach a disk together or not at all: a torn write ends with one."""


async def refuses(troupe: Troupe, name: str) -> bool:
    """Whether it refuses to start; raises `Unmet` unless it does so with status 78 and a line with `name`."""
    try:
        await troupe.node.start()
    except Unmet as unmet:
        if f"exit status {CONFIG_STATUS}" not in unmet.got:
            raise Unmet(
                f"exit status {CONFIG_STATUS} of a node that cannot use its directory", unmet.got
            ) from None
        if not any(name in line for line in troupe.node.last_words()):
            raise Unmet(f"a line on standard error that names {name}", unmet.got) from None
        return True
    return False


async def keeps_promises(troupe: Troupe, promised: bytes) -> None:
    """After `promise`: the vote of term 3 is given to n2 and to nobody else, entries up to 4 are there.

    Under another store id than the one that promised it is another server, from which nobody expects anything
    (FORM-1, FORM-9).
    """
    n2, n3 = troupe.peers
    for peer in (n2, n3):
        await peer.restart()
    await troupe.meet()
    if troupe.node.store_id != promised:
        return
    (await n3.ask(n3.request_vote(3, (9, 2), troupe.members))).expect(vote_granted=False)
    (await n2.ask(n2.append(3, (4, 1)))).expect(success=True, match_index=4)


async def promise(troupe: Troupe) -> bytes:
    """n1 acknowledges entries up to 4, grants n2 its vote in term 3, and is killed: the store id it did so
    with."""
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 1, 1))
    (await n2.ask(n2.request_vote(3, (4, 1), troupe.members))).expect(vote_granted=True)
    await troupe.node.kill()
    return troupe.server.store_id


@case("P-10", "PERSIST-1", "VOTE-4", "APPEND-7", "SNAP-4", layer=Layer.DISK, harm=Harm.DURABILITY,
      capabilities=("snapshot",), tools=("strace",), seconds=240)  # fmt: skip
async def killed_at_any_sync_it_keeps_its_word(stage: Stage) -> None:
    """Killed at its first, second, third … sync, a server has kept every promise that it sent.

    given: n1, a follower with entry 1, that will be killed as it enters its k-th sync from here
    when: it is asked for a vote, sent entries, a conflict and a snapshot; it dies on the way and is
    started
    again
    expect: it starts, and what it had granted, acknowledged or installed is so; for each k until it survives
    why: a crash comes at the worst moment
    """
    for which in range(1, 40):
        troupe = await stage.troupe(launch=stage.launch(data=f"k{which}"))
        if await _survives(troupe, which):
            return
        await troupe.node.end()
        await troupe.leave()
    raise Unmet("the script to end before the fortieth sync", "more syncs")


async def _survives(troupe: Troupe, which: int) -> bool:
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    kept: list[Callable[[], Awaitable[object]]] = []
    try:
        async with traced(troupe.node, *deadly(which)):
            await _script(troupe, kept)
            return True
    except Unmet:
        await troupe.node.exited(30)
    n2, n3 = troupe.peers
    await troupe.rejoin(n2, n3)
    for check in kept:
        await check()
    return False


async def _script(troupe: Troupe, kept: list[Callable[[], Awaitable[object]]]) -> None:
    """A vote, entries, a conflict, a snapshot; each promise that arrives leaves a check that it was kept."""
    n2, n3 = troupe.peers

    async def same_vote() -> None:
        (await n3.ask(n3.request_vote(2, (9, 1), troupe.members))).expect(vote_granted=False)

    async def has(prev: tuple[int, int]) -> None:
        (await n2.ask(n2.append(9, prev))).expect(success=True)

    (await n2.ask(n2.request_vote(2, (1, 1), troupe.members))).expect(vote_granted=True)
    kept.append(same_vote)
    troupe.term = 2
    await troupe.replicate(n2, (1, 1), entries(2, 2, 2))
    kept.append(lambda: has((4, 2)))
    troupe.term = 3
    kept[:] = [lambda: has((2, 2))]  # what conflicts with the next request may be gone from here on
    await troupe.replicate(n2, (2, 2), entries(3, first=3))
    kept[:] = [lambda: has((3, 3))]
    (await n2.ask(chunk(troupe, n2, (9, 3)))).expect(installed=True)
    kept[:] = [lambda: has((9, 3))]


@case("P-12", "PERSIST-4", "PERSIST-5", layer=Layer.DISK, harm=Harm.DURABILITY, tools=("tmpfs",))
async def full_disk_loses_nothing(stage: Stage) -> None:
    """On a full disk nothing is acknowledged that is not there; with space again, all that was is.

    given: n1 on a disk of 4 MiB
    when: n2 sends entries of 300,000 bytes until n1 takes no more; the disk is made larger, n1 started again
    expect: exit status 74; every acknowledged entry is there after the restart
    why: an acknowledged entry that never reached the disk is a committed entry lost
    """
    launch = stage.launch()
    disk = await SmallDisk.make(Path(launch.data_dir), "4m")
    stage.closing.push_async_callback(disk.close)
    troupe = await stage.troupe(launch=launch, under=disk.under)
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    last = 1
    try:
        for index in range(2, 40):
            entry = Entry(1, "command", pack({"op": "put", "key": "k", "value": bytes(300_000)}))
            await troupe.replicate(n2, (index - 1, 1), [entry])
            last = index
    except Unmet:
        status = await troupe.node.exited(stage.patience)
        if status != 74:
            raise Unmet("exit status 74 on a full disk", f"{status}") from None
    else:
        raise Unmet("no more acknowledgements once 4 MiB are full", f"{last} entries of 300,000 bytes")
    await disk.resize("64m")
    await troupe.rejoin(n2, n3)
    (await n2.ask(n2.append(1, (last, 1)))).expect(success=True, match_index=last)


@case("P-14", "PERSIST-5", layer=Layer.DISK, harm=Harm.DURABILITY, seconds=120)
async def torn_write_leaves_a_prefix(stage: Stage) -> None:
    """With the end of its last write undone, a server has a prefix of its log, or refuses to start.

    given: n1, killed, with entries up to 5, the last of 1,500 bytes; in the file that changed with it, the
        last 1, 7 and 60 bytes of what changed, those in its last sector, and all, are as they were before it
    when: it is started again
    expect: entries 1 to 4, with 5 or without, and nothing else; or status 78 and the name of the file
    why: a torn write must neither stop a server for good nor leave a hole (etcd issues 5230, 11488)
    """
    value = stage.rng.randbytes(1_500)
    large = Entry(1, "command", pack({"op": "put", "key": "k", "value": value}))
    for undone in (1, 7, 60, SECTOR, 0):
        troupe = await stage.troupe(launch=stage.launch(data=f"torn{undone}"))
        n2, n3 = troupe.peers
        await troupe.follow(n2, entries(1, 1, 1))
        folder = troupe.node.launch.data_dir
        before = {(path, path.stat().st_ino): path.read_bytes() for path in files(folder)}
        await troupe.replicate(n2, (4, 1), [large])
        await troupe.node.kill()
        name = ""
        for path in files(folder):
            old, new = before.get((path, path.stat().st_ino)), path.read_bytes()
            if old is not None and old != new:  # one that was renamed over another is whole or not there
                name = name or path.name
                path.write_bytes(torn(old, new, undone))
                what = f"{path.name}: {undone or 'all'} of what changed last undone"
                stage.trace.append(Marked(stage.trace.now(), "n1", "tampered", what))
        if not name:
            raise Unplayable("no file of the data directory changed with an entry")
        if not await refuses(troupe, name):
            for peer in (n2, n3):
                await peer.restart()
            await troupe.meet()
            had = [(await n2.ask(n2.append(2, (index, 1))))["success"] for index in range(1, 6)]
            if had != sorted(had, reverse=True) or not all(had[:4]):
                raise Unmet("entries 1 to 4, and 5 or not", f"{had}")
        await troupe.node.end()
        await troupe.leave()


def torn(old: bytes, new: bytes, undone: int) -> bytes:
    """A file that became `new`, without the last bytes of what changed: so many, all (0), or those of a sector.

    Where it had grown beyond them in the same write, as files do for which room is made, the room stays.
    """
    had = old.ljust(len(new), b"\0")
    changed = [at for at, byte in enumerate(new) if at >= len(had) or byte != had[at]] or [len(new)]
    first, end = changed[0], changed[-1] + 1
    if undone == SECTOR:
        at = (end - 1) // SECTOR * SECTOR
    elif undone:
        at = end - undone
    else:
        at = first
    at = max(first, at)
    if len(old) < end == len(new):
        return new[:at] + old[at:]
    return new[:at] + had[at:]


@case("P-15", "PERSIST-5", layer=Layer.DISK, harm=Harm.DURABILITY)
async def flipped_bit_is_found(stage: Stage) -> None:
    """With one bit flipped in an entry in the middle of its log, a server refuses to start and names the file.

    given: n1, killed, with entries up to 6; one bit of the command at index 3 is flipped
    when: it is started again
    expect: status 78 and a line that names the file
    why: it would apply something that nobody ever proposed, or skip what was committed
    hint: a checksum over each record, and one record's in the next
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    mark = stage.rng.randbytes(24).hex().encode()
    marked = Entry(1, "command", pack({"op": "put", "key": "k", "value": mark.decode()}))
    await troupe.follow(n2, [*entries(1), marked, *entries(1, 1, 1, first=4)])
    await troupe.node.kill()
    path = flip_in(troupe.node.launch.data_dir, mark)
    if not await refuses(troupe, path.name):
        raise Unmet("a refusal to start", "READY")


@case("P-16", "PERSIST-5", "PERSIST-1", layer=Layer.DISK, harm=Harm.DURABILITY, seconds=180)
async def damaged_file_is_refused_or_needless(stage: Stage) -> None:
    """With any of its files emptied, filled with garbage or removed, a server refuses to start, or keeps
    its
    word.

    given: n1, killed, with entries up to 4 acknowledged and its vote of term 3 given to n2
    when: each file of its directory in turn is emptied, overwritten or removed, and the node started
    expect: status 78; or the vote is still given and the entries are there; or it is another server, with
    a
    new store id
    why: a server that starts anew with an old name votes twice and forgets what it acknowledged
    """
    troupe = await stage.troupe()
    promised = await promise(troupe)
    folder = Path(troupe.node.launch.data_dir)
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    damages: list[tuple[str, Callable[[Path], object]]] = [
        ("emptied", lambda path: path.write_bytes(b"")),
        ("garbage", lambda path: path.write_bytes(b"\xa7" * max(64, path.stat().st_size))),
        ("removed", lambda path: path.unlink()),
    ]
    for name in [path.relative_to(kept) for path in files(kept)]:
        for what, damage in damages:
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
            damage(folder / name)
            stage.note(f"{name} {what}")
            if not await refuses(troupe, ""):
                try:
                    await keeps_promises(troupe, promised)
                except Unmet as unmet:
                    raise Unmet(
                        f"status 78 or the word kept with {name} {what}", unmet.got, frame=unmet.frame
                    ) from None
                await troupe.node.kill()


@case("P-19", "PERSIST-5", "LAUNCH-6", layer=Layer.DISK, harm=Harm.DURABILITY)
async def directory_of_another_is_refused(stage: Stage) -> None:
    """A directory in use, or one of another node id, is refused with status 78.

    given: n1 runs on its directory
    when: a second process is started on it; n1 is killed and a node n7 started on it; then n1 again
    expect: status 78 and the directory's name, twice; n1 starts
    why: two processes would write one log; and a server would vote under two names
    """
    troupe = await stage.troupe()
    folder = troupe.node.launch.data_dir
    for node_id in ("n1", "n7"):
        other = stage.node(replace(troupe.node.launch, node_id=node_id))
        other.folder = stage.folder / "nodes" / f"second-{node_id}"
        try:
            await other.start()
        except Unmet as unmet:
            if f"exit status {CONFIG_STATUS}" not in unmet.got:
                raise Unmet(f"status {CONFIG_STATUS} for {node_id} on the directory of n1", unmet.got) from None
        else:
            raise Unmet(f"status {CONFIG_STATUS} for {node_id} on the directory of n1", "READY")
        if not any(folder in line or Path(folder).name in line for line in other.last_words()):
            raise Unmet(f"a line that names {folder}", repr(other.last_words()))
        if troupe.node.runs:
            await troupe.node.kill()
    await troupe.node.start()


@case("P-25", "PERSIST-5", "SNAP-4", layer=Layer.DISK, harm=Harm.DURABILITY, capabilities=("snapshot",))
async def damaged_snapshot_file_is_found(stage: Stage) -> None:
    """With one bit flipped in its stored snapshot, a server refuses to start and names the file.

    given: n1, killed, which installed a snapshot up to (9, 1); one bit of its state is flipped on the disk
    when: it is started again
    expect: status 78 and a line that names the file
    why: the state would be one that nobody ever had
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    mark = stage.rng.randbytes(24).hex()
    (await n2.ask(chunk(troupe, n2, (9, 1), data=pack([["k", mark]])))).expect(installed=True)
    await troupe.node.kill()
    path = flip_in(troupe.node.launch.data_dir, mark.encode())
    if not await refuses(troupe, path.name):
        raise Unmet("a refusal to start", "READY")
