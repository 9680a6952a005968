"""The invalid golden vectors, played to a live node: they have no effect, or end their connection."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from conformance.case import Harm, case
from conformance.cases.golden import FENCE, blame, vector_troupe
from conformance.vectors import invalid
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.value import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.peer.line import Heard, Line
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage
    from conformance.vectors import Vector


@case(
    "F-13",
    "PAYLOAD-2",
    "PAYLOAD-3",
    "PAYLOAD-4",
    "FORM-8",
    "APPEND-9",
    "ERROR-3",
    harm=Harm.PROTOCOL,
    seconds=120,
)
async def malformed_fields_have_no_effect(stage: Stage) -> None:
    """Every field of every payload, missing, of another kind or beyond its end: nothing happens.

    given: n3, a member in term 1 whose log ends at (2, 1)
    when: n1 sends the vectors of the files fields and raft that keep the connection
    expect: no answer but an ERROR with a code of the vector; the connection stays; term, vote and log are
    as before
    why: true is 1 in one language and not in another; a field that is guessed is a vote that is guessed
    hint: check the kind of each field before anything is done with any of them
    """
    troupe, n1 = await vector_troupe(stage)
    await without_effect(n1.raft, invalid("fields", "raft"))
    await expect_untouched(troupe)


@case("F-15", "FRAME-5", "PAYLOAD-6", "PAYLOAD-2", "VALUE-1", "ERROR-3", harm=Harm.PROTOCOL)
async def what_is_no_msgpack_has_no_effect(stage: Stage) -> None:
    """Payloads that are not one msgpack value, or too deep, are BAD_PAYLOAD, and the connection stays.

    given: n3, a member in term 1 whose log ends at (2, 1)
    when: n1 sends the vectors of the file msgpack
    expect: no answer but an ERROR or, for an ask, an ASK_RES, with a code of the vector; the connection stays
    why: trailing bytes are somebody else's message; depth exhausts stacks; announced lengths exhaust memory
    """
    troupe, n1 = await vector_troupe(stage)
    await without_effect(n1.raft, invalid("msgpack"))
    await expect_untouched(troupe)


@case("F-19", "VALUE-2", "VALUE-4", "VALUE-6", "VALUE-7", "MSG-3", harm=Harm.SECURITY)
async def values_that_fit_nothing_are_refused(stage: Stage) -> None:
    """Asks whose message cannot be decoded are answered with UNKNOWN_TYPE or BAD_MESSAGE.

    given: n3, a member
    when: n1 asks $echo with the values of the file values
    expect: an ASK_RES with the vector's code (UNKNOWN_TYPE, too, where it names a type); the connection stays
    why: a wrong date that is taken for another is worse than none; an ask without an answer is a lost night
    """
    _, n1 = await vector_troupe(stage)
    for at, vector in enumerate(invalid("values")):
        frame = vector.frame
        assert frame is not None
        if frame.kind == "ACTOR_MSG":
            n1.raft.send(replace(frame, name=b"$echo"), detail="malformed")
            continue
        marked = frame.payload.replace(b"\xa2id\x01", b"\xa2id" + pack(1000 + at), 1)
        n1.raft.send(replace(frame, name=b"$echo", payload=marked), detail="malformed")
        heard = await n1.raft.hear("ASK_RES", "ERROR")
        codes = vector.codes | {"UNKNOWN_TYPE"} if b"shop." in frame.payload else vector.codes
        if heard.get("code") not in codes or heard.get("id", 1000 + at) != 1000 + at:
            wanted = f"an ASK_RES to {1000 + at} with {' or '.join(sorted(codes))}"
            raise blame(vector, heard.unmet(wanted, summary(heard.message)))
    await n1.raft.ping(FENCE)


@case(
    "F-23", "HELLO-1", "HELLO-5", "HELLO-4", "HELLO-3", "PAYLOAD-2", "ERROR-3", harm=Harm.PROTOCOL, seconds=120
)
async def malformed_hellos_close(stage: Stage) -> None:
    """A connection that begins with anything but a good hello is closed, without a hello in answer.

    given: n3, a member
    when: the first frames of the invalid vectors come, each on a connection of its own
    expect: no hello; the connection is closed; an ERROR may come before; n1 and n2 are served on
    why: who does not say who it is cannot be told apart from anybody
    """
    troupe, _ = await vector_troupe(stage)
    stranger = stage.peer("n9")
    for vector in invalid("fields", "first", "frames"):
        if not vector.is_hello or not vector.fits_every_node:
            continue
        line = await stranger.connect(troupe.node.address, "n3")
        line.send_bytes(vector.wire, f"vector {vector.id}")
        await refused(line, vector)
        await line.close()
    await expect_untouched(troupe)


@case("F-10", "FRAME-3", "FRAME-4", "FRAME-8", "ERROR-3", harm=Harm.PROTOCOL)
async def broken_frames_close_and_unknown_types_do_not(stage: Stage) -> None:
    """A frame that cannot be read ends its connection; one of an unknown type is passed over.

    given: n3, a member
    when: clients send the vectors of the file frames, each on a connection of its own
    expect: closed for a bad name, for a frame over the limit and at the end of the stream; else it stays
    why: after a mistake in the layout nobody knows where the next frame begins
    """
    troupe, _ = await vector_troupe(stage)
    for vector in invalid("frames"):
        if vector.is_hello or not vector.fits_every_node:
            continue
        line = (await troupe.client()).line
        if not vector.closes:
            await without_effect(line, [vector])
            continue
        line.send_bytes(vector.wire, f"vector {vector.id}")
        if not vector.codes:  # the stream ends
            line.finish()
        await refused(line, vector)
    await expect_untouched(troupe)


async def refused(line: Line, vector: Vector) -> None:
    """Waits until the node has closed the connection for this; nothing but ERROR came before."""
    before = len(line.inbox.all) if line.hello is not None else 0
    try:
        await line.gone()
        for heard in line.inbox.all[before:]:
            _expect_blame(heard, vector.codes)
    except Unmet as unmet:
        raise blame(vector, unmet) from None


async def without_effect(line: Line, chosen: Iterable[Vector]) -> None:
    """Sends invalid vectors that keep the connection: nothing comes but ERROR or ASK_RES with their codes."""
    for vector in chosen:
        if vector.closes or not vector.fits_every_node:
            continue
        frame = vector.frame
        assert frame is not None
        before = len(line.inbox.all)
        line.send(frame, detail="malformed")
        try:
            await line.ping(FENCE)
            for heard in line.inbox.all[before:]:
                if not (heard.message.kind == "PING" and heard["pong"] and heard["id"] == FENCE):
                    _expect_blame(heard, vector.codes)
        except Unmet as unmet:
            raise blame(vector, unmet) from None


def _expect_blame(heard: Heard, codes: frozenset[str]) -> None:
    said = heard.message
    if said.kind in ("PEER_LIST.peers", "APPEND_ENTRIES_REQ") or (said.kind == "PING" and not said["pong"]):
        return
    if said.kind not in ("ERROR", "ASK_RES") or said.get("code") not in codes:
        wanted = " or ".join(sorted(codes)) or "no code at all"
        raise heard.unmet(f"nothing, or an ERROR or ASK_RES with {wanted}", summary(said))


async def expect_untouched(troupe: Troupe) -> None:
    """The node is alive, in term 1, its log ends at (2, 1), it follows n2, and its vote of term 2 is free."""
    n1, n2 = troupe.peers
    request = n1.request_vote(0, (0, 0), troupe.members)
    (await n1.ask(request)).expect(term=1, vote_granted=False)
    for kind in ("APPEND_ENTRIES_RES", "PRE_VOTE_RESPONSE", "INSTALL_SNAPSHOT_RES"):
        n1.raft.inbox.nothing(kind)
    (await n2.ask(n2.append(1, (2, 1)))).expect(success=True, match_index=2)
    (await n2.ask(n2.append(1, (3, 1)))).expect(success=False)
    (await n2.ask(n2.request_vote(2, (2, 1), troupe.members))).expect(vote_granted=True, term=2)
