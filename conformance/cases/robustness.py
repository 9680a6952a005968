"""Hostile and broken peers: garbage, depth, sizes, the ends of numbers, and floods."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from conformance._protocol import NUMBER_MAX, TYPE_NAMES
from conformance.case import Harm, case
from conformance.cases.golden import FENCE
from conformance.cases.hello import expect_follower
from conformance.node.resources import memory, peak
from conformance.peer.troupe import command, entries
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.frame import Frame
from conformance.wire.message import Entry, encode, message
from conformance.wire.packing import Ext, Raw
from conformance.wire.value import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.peer.line import Line
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage

GARBAGE: Final = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "Redis": b"PING\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(0x1F9),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
}
"""What comes to any port sooner or later."""


async def unheard(line: Line, frames: Iterable[Frame]) -> None:
    """Sends frames that break the schema: nothing comes but an ERROR or a code, and the line stays."""
    for frame in frames:
        before = len(line.inbox.all)
        line.send(frame, detail="malformed")
        await line.ping(FENCE)
        for heard in line.inbox.all[before:]:
            said = heard.message
            if said.kind in ("PING", "PEER_LIST.peers") or said.get("code") is not None:
                continue
            raise heard.unmet(f"nothing, or an ERROR, to a malformed {frame.kind}", summary(said))


async def following(stage: Stage) -> tuple[Troupe, Peer, Peer]:
    """n1, a follower of n2 in term 1, whose log ends at (1, 1); n2 and n3."""
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    return troupe, n2, n3


@case("X-01", "HELLO-1", "ERROR-3", harm=Harm.CRASH)
async def garbage_is_turned_away(stage: Stage) -> None:
    """Bytes of other protocols, and of none, end their connection and nothing else.

    given: n1, a follower of n2
    when: an HTTP, a Redis, an SSH and a TLS client come, zeros, ones, and ten times 8 KiB at random
    expect: each is closed, without a hello; n1 still follows n2
    why: every open port is scanned
    """
    troupe, _, n3 = await following(stage)
    random = {f"random {at}": stage.rng.randbytes(8192) for at in range(10)}
    for name, data in (GARBAGE | random).items():
        line = await n3.connect(troupe.node.address, "n1")
        line.send_bytes(data, name)
        line.finish()
        await line.gone(f"the connection to be closed after {name}")
        line.inbox.nothing("PEER_LIST.hello")
    await expect_follower(troupe)


@case("X-02", "PAYLOAD-6", "ERROR-3", harm=Harm.CRASH)
async def depth_crashes_nothing(stage: Stage) -> None:
    """A payload nested beyond 256 levels is BAD_PAYLOAD, wherever the depth is hidden.

    given: n1, a follower of n2
    when: n3 sends a hundred thousand arrays in each other, maps, tuples in tuples, and the same in an ask, in a
    field of a Raft request, in an unknown field and in a key
    expect: nothing but ERROR or BAD_MESSAGE; the connection stays; n1 still follows n2
    why: a byte for each level exhausts the stack of a decoder that recurses
    """
    troupe, _, n3 = await following(stage)
    arrays, maps = b"\x91" * 100_000 + b"\xc0", b"\x81\xa0" * 50_000 + b"\xc0"
    tuples: bytes = b"\xc0"
    for _ in range(3000):
        tuples = pack(Ext(3, [Raw(tuples)]))
    hidden = [Raw(arrays), Raw(maps), Raw(tuples), {"deep": Raw(arrays)}, [1, Raw(tuples)]]
    vote = dict(n3.request_vote(0, (0, 0), ()).fields) | {"seq": 1}
    frames = [encode(message("ACTOR_MSG", "$echo", message=deep)) for deep in hidden]
    frames += [encode(message("ASK_REQ", "$echo", id=at, message=deep)) for at, deep in enumerate(hidden)]
    frames += [encode(message("PING", "", id=1, pong=False, later=deep)) for deep in hidden]
    frames += [encode(message("VOTE_REQUEST", "n3", **(vote | {"members": deep}))) for deep in hidden]
    frames += [Frame(17, b"", b"\x83\xa2id\x01\xa4pong\xc2" + arrays + b"\x01")]
    await unheard(n3.raft, frames)
    await expect_follower(troupe)


@case("X-03", "PAYLOAD-6", "ERROR-3", harm=Harm.CRASH, tools=("proc",))
async def announced_elements_cost_no_memory(stage: Stage) -> None:
    """Arrays, maps, strs, bins and extension values that announce more than there is cost no memory.

    given: n1, a follower of n2
    when: n3 sends payloads that announce 2^32-1 of each, and 250 nested arrays that each announce two
    hundred thousand elements, with as many bytes behind them
    expect: nothing but ERROR; the connection stays; n1's memory never grows by 200 MiB
    why: five bytes must not cost four gigabytes, not even for a moment
    """
    troupe, _, n3 = await following(stage)
    pid = troupe.node.process.pid
    before = memory(pid)
    huge = b"\xff\xff\xff\xff"
    heads = [b"\xdd" + huge, b"\xdf" + huge, b"\xdb" + huge, b"\xc6" + huge, b"\xc9" + huge + b"\x03"]
    payloads = [*heads, *(b"\x81\xa2id" + head for head in heads), *(b"\x91" + head for head in heads)]
    frames = [Frame(type, b"n3", payload) for payload in payloads for type in (1, 2, 4, 5, 7, 12, 14, 17)]
    many = (200_000).to_bytes(4)
    for head in (b"\xdd", b"\xdf"):
        nested = (head + many) * 250 + bytes(200_000)
        frames += [Frame(type, b"n3", nested) for type in (1, 17)]
    await unheard(n3.raft, frames)
    if (grown := peak(pid) - before) > 200 << 20:
        raise Unmet("less than 200 MiB for what was announced", f"{grown >> 20} MiB")
    await expect_follower(troupe)


@case("X-04", "PAYLOAD-2", "PAYLOAD-3", "PAYLOAD-4", "ERROR-3", harm=Harm.SAFETY)
async def extension_values_are_no_fields(stage: Stage) -> None:
    """An extension value in place of a field is BAD_PAYLOAD, whatever it stands for.

    given: n1, a follower of n2 in term 1
    when: n3 sends vote requests and AppendEntries of term 9 whose fields are timestamps, bigints, tuples and
    sets, one at a time
    expect: nothing but ERROR; n1 is in term 1 as before
    why: a decoder that turns them into numbers and lists before it looks takes what nobody sent
    """
    troupe, _, n3 = await following(stage)
    timestamp = Raw(b"\xd6\xff" + (9).to_bytes(4))
    requests = [n3.request_vote(9, (9, 8), troupe.members), n3.append(9, (1, 1), entries(9))]
    frames: list[Frame] = []
    for request in requests:
        whole = dict(request.fields) | {"seq": 5}
        for field, value in whole.items():
            wrong: list[Any] = [timestamp, Raw(b"\xc7\x09\x0d\x01" + bytes(8)), Raw(b"\xd4\x63\x05")]
            if isinstance(value, list):
                wrong += [Ext(3, []), Ext(4, [])]
            frames += [encode(replace(request, fields={**whole, field: each})) for each in wrong]
    await unheard(n3.raft, frames)
    await expect_follower(troupe)


@case("X-05", "PAYLOAD-3", "TERM-1", "VOTE-2", "APPEND-2", harm=Harm.SAFETY)
async def numbers_may_be_as_large_as_they_may(stage: Stage) -> None:
    """Terms and indexes up to 2^63-1 are numbers like any other.

    given: n1, a follower of n2 in term 1
    when: n2 sends AppendEntries after index 2^63-1, and with leader_commit 2^63-1; n3 asks for a vote of term
    2^63-1 with a last entry (2^63-1, 2^63-1); n3 sends AppendEntries of that term
    expect: refused; taken; granted; taken, with that term
    why: numbers that turn negative, or lose their last bits in a float, elect anybody
    """
    troupe, n2, n3 = await following(stage)
    most = NUMBER_MAX
    (await n2.ask(n2.append(1, (most, 1)))).expect(success=False, term=1)
    (await n2.ask(n2.append(1, (most - 1, 1), entries(1, first=most)))).expect(success=False, term=1)
    (await n2.ask(n2.append(1, (1, 1), commit=most))).expect(success=True, match_index=1)
    (await n3.ask(n3.request_vote(most - 1, (most, most - 1), troupe.members))).expect(vote_granted=True)
    vote = await n3.ask(n3.request_vote(most, (most, most), troupe.members))
    vote.expect(vote_granted=True, term=most, request_term=most)
    (await n2.ask(n2.request_vote(most - 1, (most, most), troupe.members))).expect(
        vote_granted=False, term=most
    )
    (await n3.ask(n3.append(most, (1, 1), entries(most)))).expect(success=True, term=most, match_index=2)


@case("X-06", "PAYLOAD-1", "PAYLOAD-2", "ERROR-3", harm=Harm.CRASH)
async def payloads_of_another_shape(stage: Stage) -> None:
    """A payload that is no map has no effect, in any type that has fields.

    given: n1, a follower of n2
    when: n3 sends arrays, nil, numbers, strs, bins, extension values and empty maps as each type
    expect: nothing but ERROR; the connection stays; n1 still follows n2
    why: the first field of what is no map is where decoders crash
    """
    troupe, _, n3 = await following(stage)
    shapes = [pack(value) for value in ([], [1, 2, 3], None, 7, -1, 1.5, "id", b"id", True, {}, (1, 2), {1: 2})]
    types = [type for type in TYPE_NAMES if TYPE_NAMES[type] not in ("ACTOR_MSG", "HEARTBEAT")]
    await unheard(n3.raft, [Frame(type, b"n3", shape) for type in types for shape in shapes])
    await expect_follower(troupe)


@case("X-07", "TERM-3", "VOTE-6", "ERROR-3", harm=Harm.SAFETY)
async def answers_to_no_request_change_nothing(stage: Stage) -> None:
    """Raft responses that nobody waits for change nothing.

    given: n1, a follower of n2 in term 1, who has dialled n2 and n3
    when: n2 and n3 send grants, pre-vote grants, successes and installed snapshots of term 1, on all lines
    expect: nothing in answer, no request; n1 still follows n2
    why: late answers come, and must not elect
    """
    troupe, _, _ = await following(stage)
    common = {"term": 1, "request_term": 1}
    for peer in troupe.peers:
        await peer.dialled()
        for line in peer.lines:
            for seq in (0, 1, 2, 3, 2**64 - 1):
                fields = {**common, "seq": seq}
                line.send(
                    message("VOTE_RESPONSE", peer.node_id, **fields, vote_granted=True),
                    message("PRE_VOTE_RESPONSE", peer.node_id, **fields, vote_granted=True),
                    message("APPEND_ENTRIES_RES", peer.node_id, **fields, success=True, match_index=9),
                    message(
                        "INSTALL_SNAPSHOT_RES",
                        peer.node_id,
                        **fields,
                        last_included_index=9,
                        offset=0,
                        installed=True,
                    ),
                )
            await line.ping()
        await troupe.fence(peer)
        peer.requests.nothing("VOTE_REQUEST")
        peer.requests.nothing("APPEND_ENTRIES_REQ")
    await expect_follower(troupe)


@case("X-08", "APPEND-4", "APPEND-7", "FRAME-4", harm=Harm.HANG)
async def batches_of_any_shape_are_taken(stage: Stage) -> None:
    """Twenty thousand entries of no bytes in one request, and one entry of eight megabytes, are stored.

    given: n1, a follower of n2
    when: n2 sends both
    expect: success, with everything stored
    why: what one node sends in one frame another must be able to take
    """
    troupe, n2, _ = await following(stage)
    await troupe.replicate(n2, (1, 1), [Entry(1, "noop", b"")] * 20_000)
    large = Entry(1, "command", command("put", "k", value=b"x" * (8 << 20)))
    await troupe.replicate(n2, (20_001, 1), [large])


@case("X-09", "ERROR-3", "PEER-2", harm=Harm.LIVENESS, tools=("prlimit",), seconds=90)
async def descriptors_run_out_and_come_back(stage: Stage) -> None:
    """A node without descriptors keeps the connections it has, and accepts again once some are free.

    given: n1, which may have 128 descriptors, a follower of n2
    when: 200 clients connect and say hello; n2 sends heartbeats; all clients leave; another one comes
    expect: n2 is answered all the time; the last client is served
    why: an accept loop that ends with the first error, or that spins, is a node lost
    """
    troupe = await stage.troupe(under=("prlimit", "--nofile=128:128"))
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    crowd: list[Line] = []
    for number in range(200):
        guest = stage.peer(f"guest-{number}", member=False)
        line = await guest.connect(troupe.node.address, "n1")
        line.send(guest.hello("actor"))
        crowd.append(line)
        if number % 20 == 19:
            (await n2.ask(n2.append(1, (1, 1)), seconds=stage.scaled(3.0))).expect(success=True)
    (await n3.ask(n3.request_vote(0, (0, 0), troupe.members))).expect(vote_granted=False)
    for line in crowd:
        line.reset()
    await asyncio.gather(*(line.closed.wait() for line in crowd))
    await expect_follower(troupe)
    await _served_at_last(stage, troupe)


async def _served_at_last(stage: Stage, troupe: Troupe) -> None:
    """Somebody new gets in within the bound, however often it is turned away before."""
    n2 = troupe.peers[0]
    try:
        async with asyncio.timeout(stage.patience):
            while True:
                late = stage.peer("late", member=False)
                line = await late.connect(troupe.node.address, "n1")
                line.send(late.hello("actor"))
                try:
                    await line.hear("PEER_LIST.hello")
                except Unmet:
                    await n2.raft.ping()
                    continue
                return
    except TimeoutError:
        raise Unmet("a newcomer to be accepted once descriptors are free", "none") from None
