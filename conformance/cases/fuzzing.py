"""Mutants of good frames: what is malformed has no effect, and no bytes end the node (X-11, X-13)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from conformance.case import Harm, case
from conformance.cases.golden import FENCE, vector_troupe
from conformance.cases.malformed import expect_untouched
from conformance.vectors import valid
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.message import check
from conformance.wire.packed import PackedError, read
from conformance.wire.value import pack

if TYPE_CHECKING:
    from random import Random

    from conformance.peer.line import Line
    from conformance.stage import Stage
    from conformance.wire.frame import Frame
    from conformance.wire.packed import Node

FILES: Final = (
    "control",
    "asking",
    "lookups",
    "raft-append",
    "raft-snapshots",
    "raft-votes",
    "values-extensions",
    "values-plain",
)
INTERESTING: Final = bytes.fromhex("00017f80a0c0c1c2c3c4c7cacbcccfd3d4d8d9dbdcdddedfe0ff")
"""First bytes of every kind of value, and the ends of ranges."""
_KINDS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2**63, 2**64 - 1, 1.0),
    *("", "id", b"", bytes(16), [], {}, (1,), {1: 2}),
)
STRANGERS: Final = [pack(value) for value in _KINDS]
"""Values of every kind, to stand where another is expected."""


def seeds() -> list[Frame]:
    """The valid vectors that are small, as frames: what mutants are made of."""
    frames = [vector.frame for vector in valid(*FILES)]
    return [frame for frame in frames if frame is not None and len(frame.payload) < 600]


def mutant(frame: Frame, rng: Random) -> Frame:
    """The frame with a value of its payload exchanged, or with bytes changed, cut out, put in or doubled."""
    payload = bytearray(frame.payload)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(payload) + 1)
        match rng.randrange(8):
            case 0 if at < len(payload):
                payload[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(payload):
                payload[at] = rng.choice(INTERESTING)
            case 2:
                del payload[at : at + rng.choice((1, 1, 4, 16))]
            case 3:
                payload[at:at] = rng.choices(INTERESTING, k=rng.choice((1, 2, 9)))
            case 4:
                payload[at:at] = payload[max(0, at - 8) : at]
            case _:
                payload = exchanged(bytes(payload), rng)
    return replace(frame, payload=bytes(payload))


def exchanged(payload: bytes, rng: Random) -> bytearray:
    """The payload with one of its values, keys among them, exchanged for another; if it is msgpack at all."""
    nodes: list[Node] = []
    try:
        todo = [read(payload)]
    except PackedError:
        return bytearray(payload)
    while todo:
        nodes.append(todo.pop())
        todo += nodes[-1].children
    node = rng.choice(nodes)
    return bytearray(payload[: node.start] + rng.choice(STRANGERS) + payload[node.end :])


def is_malformed(frame: Frame) -> bool:
    """Whether every receiver must find it so; keys in the maps of entries may be of any kind to some."""
    return any(not (problem.rule == "PAYLOAD-1" and problem.path) for problem in check(frame))


async def play(line: Line, frames: list[Frame]) -> None:
    """Sends malformed frames on one connection; nothing may come but ERROR or ASK_RES with a code."""
    before = len(line.inbox.all)
    line.send(*frames, detail="malformed")
    await line.ping(FENCE)
    for heard in line.inbox.all[before:]:
        said = heard.message
        if said.kind in ("PING", "PEER_LIST.peers") or said.get("code") is not None:
            continue
        raise heard.unmet("nothing, or an ERROR or a code, to malformed frames", summary(said))


@case("X-11", "PAYLOAD-2", "PAYLOAD-6", "FRAME-5", "VALUE-4", "ERROR-3", harm=Harm.CRASH, seconds=120)
async def mutants_have_no_effect(stage: Stage) -> None:
    """Frames whose payload was damaged have no effect, however little is wrong with them.

    given: n3, a member in term 1 whose log ends at (2, 1)
    when: n1 sends three thousand mutants of the golden vectors that are malformed (those that are not are left
    out), twenty at a time
    expect: no answer but ERRORs and codes; the connection stays; term, vote and log are as before
    why: nobody thinks of every mistake
    hint: the seed of the failure plays the same mutants again; the trace has them
    """
    troupe, n1 = await vector_troupe(stage)
    chosen = seeds()
    count = 0
    while count < 3000:
        mutants = [mutant(stage.rng.choice(chosen), stage.rng) for _ in range(20)]
        if broken := [frame for frame in mutants if is_malformed(frame)]:
            await play(n1.raft, broken)
            count += len(broken)
    await expect_untouched(troupe)


@case("X-13", "FRAME-4", "FRAME-8", "ERROR-3", harm=Harm.CRASH, seconds=120)
async def broken_streams_end_alone(stage: Stage) -> None:
    """A stream with damaged bytes anywhere, lengths included, harms nobody but its connection.

    given: n3, a member in term 1
    when: eighty clients each say hello, send ten good frames with one to four bytes of them changed, and end
    expect: their connections end; n1 and n2 are served, and term, vote and log are as before
    why: after a damaged length everything is something else
    """
    troupe, _ = await vector_troupe(stage)
    harmless = [frame for frame in seeds() if frame.kind in ("PING", "LOOKUP_REQ", "ACTOR_MSG", "ERROR")]
    for _ in range(80):
        line = (await troupe.client()).line
        stream = bytearray(b"".join(frame.encode() for frame in stage.rng.choices(harmless, k=10)))
        for _ in range(stage.rng.randrange(1, 5)):
            stream[stage.rng.randrange(len(stream))] = stage.rng.choice(INTERESTING)
        line.send_bytes(bytes(stream), "ten frames with damaged bytes")
        line.finish()
        await line.gone("the connection to end with its stream")
    if not troupe.node.runs:
        raise Unmet("the node to run", "its process has ended")
    await expect_untouched(troupe)
