"""The valid golden vectors, played to a live node: they are taken as they are meant."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from conformance.case import Harm, case
from conformance.peer.troupe import entries
from conformance.vectors import valid
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.message import decode
from conformance.wire.packing import Raw
from conformance.wire.value import pack

if TYPE_CHECKING:
    from conformance.peer.client import Client
    from conformance.peer.line import Line
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage
    from conformance.vectors import Vector
    from conformance.wire.frame import Frame
    from conformance.wire.message import Message

FENCE: Final = 2**64 - 1
"""The id of the pings after each vector: none of them has it in a question."""
ANSWERS: Final = {
    "LOOKUP_REQ": "LOOKUP_RES",
    "ASK_REQ": "ASK_RES",
    "VOTE_REQUEST": "VOTE_RESPONSE",
    "PRE_VOTE_REQUEST": "PRE_VOTE_RESPONSE",
    "APPEND_ENTRIES_REQ": "APPEND_ENTRIES_RES",
    "INSTALL_SNAPSHOT_REQ": "INSTALL_SNAPSHOT_RES",
}


async def vector_troupe(stage: Stage, *, term: int = 1) -> tuple[Troupe, Peer]:
    """The node n3, a member beside n1 and n2 with the vectors' cluster id, in that term; and n1."""
    troupe = await stage.troupe(launch=stage.launch("n3"))
    n1, n2 = troupe.peers
    troupe.cluster_id = b"\xc1" * 16
    await troupe.follow(n2, entries(1), term=term)
    return troupe, n1


def blame(vector: Vector, unmet: Unmet) -> Unmet:
    """The failure, with the vector that it is about."""
    expected = f"vector {vector.id} ({', '.join(vector.rules)}): {unmet.expected}"
    return Unmet(expected, unmet.got, frame=unmet.frame, start=unmet.start, end=unmet.end)


async def accepted(line: Line, vector: Vector) -> None:
    """Plays a valid vector: what it asks for is answered, and nothing in it is called an error."""
    frame = vector.frame
    assert frame is not None, vector.id
    said = decode(frame)
    before = len(line.inbox.all)
    if len(vector.chunks) == 1:
        line.send(frame)
    else:
        for chunk in vector.chunks:
            line.send_bytes(chunk, f"a piece of vector {vector.id}")
            await line.drain()
    try:
        await _answered(line, said)
        await line.ping(FENCE)
    except Unmet as unmet:
        raise blame(vector, unmet) from None
    for heard in line.inbox.all[before:]:
        if heard.message.kind == "ERROR" and heard["code"] in ("BAD_PAYLOAD", "BAD_NAME", "UNKNOWN_FRAME_TYPE"):
            raise blame(vector, heard.unmet("no ERROR", summary(heard.message)))


async def _answered(line: Line, said: Message) -> None:
    if said.kind == "PING" and not said["pong"]:
        await line.hear("PING", id=said["id"], pong=True)
    elif said.kind == "LOOKUP_REQ":
        (await line.hear("LOOKUP_RES", id=said["id"])).expect(found=False)
    elif said.kind == "ASK_REQ" and said.get("timeout_ms") != 0:  # nobody waits for that one any more
        answer = await line.hear("ASK_RES", id=said["id"])
        if answer.get("code") != "UNKNOWN_TYPE":  # of which the vectors have some
            answer.expect(code="ACTOR_NOT_FOUND")
    elif said.kind in ANSWERS and said.kind != "ASK_REQ":
        (await line.hear(ANSWERS[said.kind], seq=said["seq"])).expect(request_term=said["term"])


@case("F-01", "FRAME-1", "FRAME-2", "FRAME-7", "PEER-8", "ERROR-1", "MSG-3", "MSG-7", harm=Harm.PROTOCOL)
async def valid_vectors_are_taken_as_they_are_meant(stage: Stage) -> None:
    """Frames as the golden vectors have them, however they are cut, get the answers they ask for.

    given: n3, a member
    when: n1 sends the vectors of the files frames, control, asking and lookups
    expect: pings, lookups and asks answered with their ids; no ERROR; the connection stays
    why: byte order, lengths and formats are all that two implementations have in common
    hint: spec/vectors/README.md; `conformance explain` shows the rules of a vector
    """
    _, n1 = await vector_troupe(stage)
    for vector in valid("frames", "control", "asking", "lookups"):
        if vector.fits_every_node:
            await accepted(n1.raft, vector)


@case("F-12", "PAYLOAD-3", "PAYLOAD-4", harm=Harm.PROTOCOL)
async def every_width_means_the_same(stage: Stage) -> None:
    """Integers, strs, maps and arrays are the same in every msgpack format that holds them.

    given: n3, a member in term 6
    when: n1 sends vectors and values in longer formats than they need
    expect: the answers that the shortest formats get
    why: many a packer writes an integer in the width of its variable
    hint: decode by kind, not by the first byte
    """
    _, n1 = await vector_troupe(stage, term=6)
    for vector in valid("lookups", "control", "raft-votes", "asking"):
        if {"PAYLOAD-3", "PAYLOAD-4", "PAYLOAD-7"} & set(vector.rules) and vector.id != "VOTE-LARGEST":
            await accepted(n1.raft, vector)
    wide = {
        "cc": [b"\xcc\x05", b"\xcd\x00\x05", b"\xce" + bytes(3) + b"\x05", b"\xcf" + bytes(7) + b"\x05"],
        "d0": [b"\xd0\x05", b"\xd1\x00\x05", b"\xd2" + bytes(3) + b"\x05", b"\xd3" + bytes(7) + b"\x05"],
    }
    for formats in wide.values():
        for five in formats:
            heard = await n1.ask(replace(n1.request_vote(0, (0, 0), ()), fields=_old_vote(five)))
            heard.expect(request_term=5, vote_granted=False, term=6)


def _old_vote(term: bytes) -> dict[str, Any]:
    """A VOTE_REQUEST of the term of these bytes."""
    members = [["n1", bytes(16)], ["n2", bytes(16)], ["n3", bytes(16)]]
    rest = {"last_log_index": 9, "last_log_term": 4, "formation": False, "members": members}
    return {"term": Raw(term), **rest}


@case("F-14", "PAYLOAD-1", harm=Harm.PROTOCOL)
async def unknown_keys_are_ignored(stage: Stage) -> None:
    """What a later version adds to a payload is passed over, whatever it holds.

    given: n3, a member in term 6
    when: n1 sends the vectors with unknown fields, and a heartbeat of its leader with one
    expect: the answers that they get without
    why: otherwise no field could ever be added
    """
    troupe, n1 = await vector_troupe(stage, term=6)
    for vector in valid("lookups", "raft-append", "asking"):
        if "PAYLOAD-1" in vector.rules:
            await accepted(n1.raft, vector)
    _, n2 = troupe.peers
    beat = n2.append(6, (2, 1))
    later = {
        "zone": "eu",
        "later": [{"a": 1}],
        "ext": Raw(b"\xd4\x63\x00"),
        "deep": Raw(b"\x91" * 200 + b"\xc0"),
    }
    (await n2.ask(replace(beat, fields={**beat.fields, **later}))).expect(success=True, match_index=2)


@case("F-17", "HELLO-1", "HELLO-4", "HELLO-5", "PEER-7", "PAYLOAD-1", harm=Harm.PROTOCOL)
async def valid_hellos_are_answered(stage: Stage) -> None:
    """Each hello of the golden vectors is answered with one, in its lane; peer lists of any length are taken.

    given: n3, alone
    when: the hellos of the vectors come, each on a connection of its own; then the peer lists, on one
    expect: a hello in the same lane each time; no ERROR
    why: a node that refuses a good hello is alone
    """
    troupe = await stage.troupe(launch=stage.launch("n3"))
    n1 = troupe.peers[0]
    for vector in valid("meeting"):
        if not vector.is_hello or vector.id == "HELLO-EMPTY-CLUSTER":  # that is another cluster
            continue
        assert vector.frame is not None
        said = decode(vector.frame)
        player = n1 if said.name == "n1" else stage.peer(said.name)
        line = await player.connect(troupe.node.address, "n3")
        line.send(vector.frame)
        try:
            (await line.hear("PEER_LIST.hello")).expect(lane=said["lane"])
        except Unmet as unmet:
            raise blame(vector, unmet) from None
        await line.close()
    line = await n1.dial(troupe.node.address, "n3")
    for vector in valid("meeting"):
        if not vector.is_hello:
            await accepted(line, vector)


@case("F-18", "PAYLOAD-3", "TERM-2", harm=Harm.PROTOCOL)
async def every_valid_raft_request_is_answered(stage: Stage) -> None:
    """Each Raft request of the golden vectors gets the response that repeats its seq and term.

    given: n3, a member in term 6; the vectors are of term 5, but for one of term 2^63-1
    when: n1 sends the Raft vectors, responses among them
    expect: a refusal of each request, with its seq and request_term; responses nobody waits for are ignored
    why: a request that is not understood is never answered, and its sender asks for ever
    """
    _, n1 = await vector_troupe(stage, term=6)
    chosen = valid("raft-append", "raft-snapshots", "raft-votes")
    for vector in sorted(chosen, key=lambda each: each.id == "VOTE-LARGEST"):  # after it no term is left
        await accepted(n1.raft, vector)


@case("M-10", "VALUE-1", "VALUE-5", "VALUE-2", "PAYLOAD-6", harm=Harm.PROTOCOL)
async def values_come_back_as_they_were(stage: Stage) -> None:
    """$echo replies with what it got, in value and in kind, whatever format it came in.

    given: n3, a member
    when: a client asks $echo with each value of the golden vectors, and with 255 nested arrays
    expect: the same value; UNKNOWN_TYPE for dataclasses and enums, of which the node admits none
    why: 1 is not 1.0, a tuple is no list, and a key is a key: what differs in one language is lost in another
    """
    troupe, _ = await vector_troupe(stage)
    client = await troupe.client()
    for vector in valid("values-plain", "values-extensions"):
        assert vector.frame is not None
        client.line.send(replace(vector.frame, name=b"$echo"))
        if "PAYLOAD-6" in vector.rules:  # within an ask it would be a level too deep
            continue
        try:
            await _echoed(client, vector.frame)
        except Unmet as unmet:
            raise blame(vector, unmet) from None
    for nested in (b"\x91" * 254 + b"\x90", b"\x81\xa1k" * 254 + b"\x80", b"\xd5\x03\x91\xc0"):
        await client.line.hear("ASK_RES", id=client.send_ask("$echo", Raw(nested)), code=None)


async def _echoed(client: Client, frame: Frame) -> None:
    wanted = decode(frame)["message"]
    id = client.send_ask("$echo", Raw(frame.payload))
    heard = await client.line.hear("ASK_RES", id=id)
    if b"shop." in frame.payload:
        heard.expect(code="UNKNOWN_TYPE")
        return
    heard.expect(code=None)
    got = heard["value"]
    both_nan = all(isinstance(value, float) and math.isnan(value) for value in (wanted, got))
    if not both_nan and pack(got) != pack(wanted):
        raise heard.unmet(f"{wanted!r:.200}", f"{got!r:.200}", "value")
