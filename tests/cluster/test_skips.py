"""An entry that no member can read: refused before it is in the log, and once in one, skipped by decision."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgpack
import pytest

from casty import ApplyError, DistributedActorSystem, SerializationError, StorageError
from casty.cluster.skips import Skips, name_of
from casty.raft.events import Committed, Proposed
from casty.raft.types import Entry, EntryKind, Index, Term
from casty.wire._protocol import EXT_DATACLASS
from casty.wire.types import wire_name
from tests.cluster.harness import (
    BOUND,
    Recorder,
    append,
    cluster,
    durable,
    leader_of,
    node,
    others,
    until,
    within,
)
from tests.cluster.machines import bench

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

BAD = b"\xc1"
"""What no member can read."""


@dataclass
class OwnInit:
    a: int
    b: int

    def __init__(self, a: int) -> None:
        self.a, self.b = a, 0


@dataclass
class Positive:
    a: int

    def __post_init__(self) -> None:
        if self.a <= 0:
            raise ValueError("not positive")


def negative() -> Positive:
    made = Positive(1)
    made.a = -1
    return made


@pytest.mark.parametrize(
    "command",
    [
        {"s": {float("nan"), float("nan")}},
        {float("nan"): 1, float("nan"): 2},
        {number * (2**61 - 1): None for number in range(1, 101)},
        OwnInit(1),
        [negative()],
    ],
    ids=["set of NaN", "keys that are NaN", "keys of one hash", "own __init__", "__post_init__"],
)
async def test_what_no_member_could_read_is_not_appended(command: object) -> None:
    """VALUE-8: committed, it would end Raft on every node, at every start."""
    async with cluster(1) as (alone,):
        machine = Recorder(alone)
        assert await alone.append_command("before")
        last = alone.commit_index
        with pytest.raises(SerializationError):
            await alone.append_command(command)
        assert await alone.append_command("after")
        assert alone.commit_index == last + 1
        assert machine.commands == ["before", "after"]


async def test_a_type_is_asked_for_although_there_is_no_callback_yet() -> None:
    """VALUE-2: the callback that comes would have to read it."""
    async with cluster(1) as (alone,):
        with pytest.raises(SerializationError, match="Positive could not be read by every member"):
            await alone.append_command(Positive(1))


async def propose(leader: DistributedActorSystem, data: bytes) -> None:
    """Appends what `append_command` refuses: as another implementation may, or an earlier version."""
    outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    leader.post(Proposed(outcome, data))
    assert await within(outcome)


async def with_bad_entry(directory: Path, size: int = 1) -> str:
    """Makes a cluster whose log has a command, an entry that cannot be read, and a command; gives its name."""
    async with cluster(size, each=durable(directory)) as nodes:
        await append(nodes, "before")
        leader = await leader_of(nodes)
        await propose(leader, BAD)
        index = leader.commit_index
        await append(nodes, "after")
        assert leader.raft is not None
        return name_of(Index(index), leader.raft.log.entry(Index(index)))


async def until_it_ends(
    size: int,
    each: Callable[[int], dict[str, Any]],
    use: Callable[[list[DistributedActorSystem]], Awaitable[None]] | None = None,
    **options: Any,
) -> None:
    """Runs a cluster, with a callback on each node or as `use` says, until Raft has ended on a node of it."""
    async with cluster(size, each=each, **options) as nodes:
        if use is None:
            Recorder(*nodes)
        else:
            await use(nodes)
        await asyncio.sleep(BOUND)


async def test_the_error_says_how_to_go_on_and_all_members_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """COMMIT-5: at each start the same error, until every member is told to skip the very entry it names."""
    name = await with_bad_entry(tmp_path, 3)
    for _ in range(2):
        with pytest.raises(StorageError, match=rf"every member skip_entries=\['{name}'\]") as caught:
            await until_it_ends(3, durable(tmp_path))
        assert f"--skip-entry {name}" in str(caught.value)
    caplog.clear()
    async with cluster(3, each=durable(tmp_path), skip_entries=[name]) as nodes:
        machines = [Recorder(each) for each in nodes]
        await append(nodes, "new")
        await until(lambda: all(machine.commands == ["before", "after", "new"] for machine in machines))
    said = [record for record in caplog.records if "is skipped" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.WARNING] * 3
    assert all(name in record.getMessage() for record in said)


async def test_a_field_that_a_member_does_not_know_ends_raft_there_and_both_shapes_are_named() -> None:
    """COMMIT-6: dropped in silence, it would make the states of old and new members differ for good."""
    body = msgpack.packb([wire_name(Positive), {"a": 1, "note": "new"}])
    data: bytes = msgpack.packb(msgpack.ExtType(EXT_DATACLASS, body))
    applied: list[Any] = []

    async def use(nodes: list[DistributedActorSystem]) -> None:
        nodes[0].register_type(Positive)
        await propose(nodes[0], data)
        nodes[0].set_apply_callback(applied.append)

    text = r"Positive has the fields 'a', 'note' there, and 'a' on this node, which does not know 'note'"
    with pytest.raises(StorageError, match=text):
        await until_it_ends(1, lambda number: {}, use)
    assert applied == []


async def test_a_member_that_is_not_told_stops_and_the_others_go_on(tmp_path: Path) -> None:
    """COMMIT-5: none skips an entry by itself, even though a majority does."""
    name = await with_bad_entry(tmp_path, 3)

    def each(number: int) -> dict[str, Any]:
        return {**durable(tmp_path)(number), "skip_entries": [name] if number else []}

    seen: list[list[Any]] = []

    async def use(nodes: list[DistributedActorSystem]) -> None:
        machines = [Recorder(system) for system in nodes[1:]]
        await append(nodes, "new")
        await until(lambda: all(machine.commands == ["before", "after", "new"] for machine in machines))
        seen.extend(machine.commands for machine in machines)
        Recorder(nodes[0])

    with pytest.raises(StorageError, match="cannot be decoded on this node"):
        await until_it_ends(3, each, use)
    assert len(seen) == 2


@pytest.mark.parametrize("part", [1, 2], ids=["term", "checksum"])
async def test_another_entry_at_that_index_is_not_skipped_and_nothing_is_applied(
    tmp_path: Path, part: int
) -> None:
    """COMMIT-5: who decided saw something else than this log."""
    name = await with_bad_entry(tmp_path)
    parts = name.split(":")
    parts[part] = {1: "77", 2: "00000000"}[part]
    other = ":".join(parts)
    text = rf"skip_entries names {other}, but entry \d+ is {name} on this node"
    with pytest.raises(StorageError, match=text):
        await until_it_ends(1, durable(tmp_path), skip_entries=[other])


async def test_a_good_entry_that_is_named_is_skipped_and_others_are_not(tmp_path: Path) -> None:
    """COMMIT-5: by the entry alone, not by whether it can be read; an index to come is no match."""
    name = await with_bad_entry(tmp_path)
    good = f"{int(name.split(':')[0]) - 1}:{name.split(':')[1]}:{crc32(b'\xa6before'):08x}"
    async with cluster(1, each=durable(tmp_path), skip_entries=[name, good, "4711:3:9a0b1c2d"]) as (alone,):
        machine = Recorder(alone)
        await append([alone], "new")
        assert machine.commands == ["after", "new"]


async def test_no_op_and_members_entries_are_not_skipped() -> None:
    """COMMIT-5: a command is."""
    skips = Skips(["1:1:00000000"])
    for kind in (EntryKind.NOOP, EntryKind.MEMBERS):
        with pytest.raises(ValueError, match=f"entry 1 is no command but a {kind} entry on this node"):
            skips.skips(Index(1), Entry(Term(1), kind, b""))
    assert skips.skips(Index(1), Entry(Term(1), EntryKind.COMMAND, b""))


async def test_a_snapshot_that_took_its_place_makes_it_harmless(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """COMMIT-5: the state has what whoever took the snapshot did; the log says so."""
    name = await with_bad_entry(tmp_path)
    for boot in (1, 2):
        caplog.clear()
        async with cluster(1, each=durable(tmp_path), skip_entries=[name]) as (alone,):
            machine = Recorder(alone)

            def restore(data: bytes, machine: Recorder = machine) -> None:
                machine.commands = [data.decode()]

            def create(machine: Recorder = machine) -> bytes:
                return repr(machine.commands).encode()

            alone.set_snapshot_callbacks(create, restore)
            await append([alone], boot)
            if boot == 1:
                assert machine.commands == ["before", "after", 1]
                assert await within(alone.create_snapshot())
            else:
                assert machine.commands == ["['before', 'after', 1]", 2]
                assert f"entry {name} is not skipped here: the state is that of a snapshot" in caplog.text


async def test_a_member_that_was_away_is_sent_the_state_instead(tmp_path: Path) -> None:
    """COMMIT-5: it need not be told, for it never sees the entry."""
    each = durable(tmp_path)
    async with cluster(3, each=each) as nodes:
        leader = await leader_of(nodes)
        present = [*others(nodes, leader)[:1], leader]
        away = next(number for number, system in enumerate(nodes) if system not in present)
        await nodes[away].shutdown()
        await append(present, "before")
        await propose(leader, BAD)
        assert leader.raft is not None
        index = Index(leader.commit_index)
        name = name_of(index, leader.raft.log.entry(index))
    first, second = (number for number in range(3) if number != away)

    def started(number: int, *seeds: DistributedActorSystem, **options: Any) -> DistributedActorSystem:
        return node(*seeds, size=3, node_id=f"n{number + 1}", **each(number), **options)

    async with (
        started(first, skip_entries=[name]) as one,
        started(second, one, skip_entries=[name]) as other,
    ):
        machines = [Recorder(one), Recorder(other)]
        leader = await append([one, other], "after")
        await until(lambda: all(machine.commands == ["before", "after"] for machine in machines))
        leader.set_snapshot_callbacks(lambda: b"before, after", lambda data: None)
        assert await within(leader.create_snapshot())
        restored: list[bytes] = []
        async with started(away, leader) as late:
            late.set_snapshot_callbacks(bytes, restored.append)
            machine = Recorder(late)
            await append([leader], "new")
            await until(lambda: machine.commands == ["new"])
        assert restored == [b"before, after"]


async def test_a_proposal_that_is_skipped_is_told_so() -> None:
    """COMMIT-4, COMMIT-5: neither success nor failure: committed, and not applied."""
    entry = Entry(Term(3), EntryKind.COMMAND, BAD)
    name = name_of(Index(1), entry)
    assert name == f"1:3:{crc32(BAD):08x}"
    async with bench(skips=Skips([name])) as b:
        seen: list[Any] = []
        b.machine.set_apply_callback(seen.append)
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        b.machine.submit(Committed(Index(1), (entry,), {Index(1): outcome}))
        with pytest.raises(ApplyError, match="entry 1 is committed, but was skipped, as skip_entries says"):
            await within(outcome)
        (after,) = b.commit(2, "after")
        assert await within(after)
        assert (seen, b.machine.last_applied, b.fatal) == (["after"], 2, [])


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        ("4711:3:9a0b1c2d", TypeError, "must be a collection of names, not '4711:3:9a0b1c2d'"),
        (["4711"], ValueError, "is named INDEX:TERM:CHECKSUM, such as 4711:3:9a0b1c2d, not '4711'"),
        (["0:3:9a0b1c2d"], ValueError, "not '0:3:9a0b1c2d'"),
        (["4711:3:9A0B1C2D"], ValueError, "not '4711:3:9A0B1C2D'"),
        (["4711:3:9a0b1c2d\n"], ValueError, "not '4711:3:9a0b1c2d"),
        (
            ["5:3:9a0b1c2d", "5:4:9a0b1c2d"],
            ValueError,
            "two entries of one index: 5:3:9a0b1c2d and 5:4:9a0b1c2d",
        ),
    ],
)
def test_what_names_no_entry_is_refused_before_the_start(names: Any, error: type[Exception], text: str) -> None:
    """COMMIT-5: a decision that was mistyped must not look like one that was carried out."""
    with pytest.raises(error, match=text):
        node(size=1, skip_entries=names)
