"""Frames on a stream: lengths, limits, cuts and ends, types nobody knows, and errors (FRAME-1 … ERROR-3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance._protocol import FRAME_BYTES_MAX, TYPE_NAMES
from conformance.case import Harm, Level, case
from conformance.cases.golden import FENCE
from conformance.node.resources import descriptors, memory
from conformance.trace.record import Sent
from conformance.verdict import Unmet
from conformance.wire.frame import Frame
from conformance.wire.message import decode, encode, message
from conformance.wire.packed import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.peer.client import Client
    from conformance.stage import Stage
    from conformance.wire.packed import Node


def lookup(id: int, name: str = "$echo") -> bytes:
    """The bytes of a LOOKUP_REQ."""
    return encode(message("LOOKUP_REQ", name, id=id)).encode()


@case("F-02", "FRAME-2", harm=Harm.PROTOCOL)
async def time_cuts_no_frame(stage: Stage) -> None:
    """A frame may take as long as its sender likes.

    given: n1, alone; two clients
    when: one sends a LOOKUP_REQ byte by byte, with 1.2 s in the middle, while the other asks
    expect: LOOKUP_RES to it
    why: a timer that drops half a frame loses the place of all that follow
    """
    troupe = await stage.troupe()
    slow, other = await troupe.client(), await troupe.client()
    slow.line.answers_pings = False  # a pong has no place within the frame
    for at, byte in enumerate(lookup(7)):
        slow.line.send_bytes(bytes([byte]), "a byte of a LOOKUP_REQ")
        await slow.line.drain()
        await other.value("$sleep", 1.2 if at == 9 else 0.01)
    (await slow.line.hear("LOOKUP_RES", id=7)).expect(found=True)


@case("F-03", "FRAME-2", "MSG-7", harm=Harm.PROTOCOL)
async def many_frames_may_come_at_once(stage: Stage) -> None:
    """Every frame of one segment is read.

    given: n1, alone
    when: fifty LOOKUP_REQs come in one write, and a half one after them
    expect: fifty LOOKUP_RES, one for each id; the last one once its rest has come
    why: a reader that takes one frame from a read leaves the others until the next
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    whole = b"".join(lookup(id) for id in range(50))
    half = lookup(50)
    client.line.send_bytes(whole + half[:9], "fifty LOOKUP_REQs and a half")
    answered = {(await client.line.hear("LOOKUP_RES", found=True))["id"] for _ in range(50)}
    if answered != set(range(50)):
        raise Unmet("one LOOKUP_RES for each id 0 to 49", f"the ids {sorted(answered)}")
    client.line.send_bytes(half[9:], "the rest of a LOOKUP_REQ")
    await client.line.hear("LOOKUP_RES", id=50, found=True)


@case("F-04", "FRAME-2", harm=Harm.PROTOCOL)
async def a_frame_may_be_cut_anywhere(stage: Stage) -> None:
    """Wherever TCP cuts a frame, it is the same frame.

    given: n1, alone; two clients
    when: one sends a LOOKUP_REQ in two pieces, once for each place between two bytes; the other asks between
    the pieces, so that they arrive apart
    expect: LOOKUP_RES each time
    why: most readers are right for all cuts but one
    """
    troupe = await stage.troupe()
    cut, other = await troupe.client(), await troupe.client()
    for at in range(1, len(lookup(0))):
        data = lookup(at)
        cut.line.send_bytes(data[:at], f"a LOOKUP_REQ up to byte {at}")
        await cut.line.drain()
        await other.line.ping()
        cut.line.send_bytes(data[at:], "the rest of it")
        await cut.line.hear("LOOKUP_RES", id=at, found=True)


@case("F-05", "FRAME-5", "FRAME-7", "ERROR-3", harm=Harm.PROTOCOL)
async def no_payload_is_no_value(stage: Stage) -> None:
    """A payload of no bytes is BAD_PAYLOAD in every type but the legacy heartbeat, which is ignored.

    given: n1, a follower of n2 in term 1
    when: n3 sends a frame of each type without a payload
    expect: nothing but an ERROR; the connection stays; n1 is in term 1 as before
    why: the shortest mistake there is
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    for type in TYPE_NAMES:
        n3.raft.send(Frame(type, b"n3", b""), detail="malformed")
        await n3.raft.ping(FENCE)
    for heard in n3.raft.inbox.all:
        if heard.message.kind not in ("ERROR", "PING", "PEER_LIST.hello", "PEER_LIST.peers"):
            raise heard.unmet("nothing but an ERROR", heard.message.kind)
        if heard.message.kind == "ERROR" and heard["code"] != "BAD_PAYLOAD":
            raise heard.unmet("ERROR BAD_PAYLOAD", heard["code"], "code")
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True, term=1)


@case("F-06", "FRAME-4", harm=Harm.PROTOCOL)
async def a_frame_of_the_limit_is_accepted(stage: Stage) -> None:
    """A frame of exactly frame_bytes_max is taken; one of a byte more closes its connection, and no other.

    given: n1, alone; two clients
    when: an ask for nobody comes in a frame of 16,777,216 bytes; the other client sends one of 16,777,217
    expect: ACTOR_NOT_FOUND to the first; the second's connection is closed, the first's stays
    why: a limit that is off by one is another limit, and a message that is sent is lost
    """
    troupe = await stage.troupe()
    first, second = await troupe.client(), await troupe.client()
    rest = encode(message("ASK_REQ", "nobody", id=1, message=bytes(1 << 20))).size - (1 << 20)
    largest = encode(message("ASK_REQ", "nobody", id=1, message=bytes(FRAME_BYTES_MAX - rest)))
    assert largest.size == FRAME_BYTES_MAX
    first.line.send(largest)
    (await first.line.hear("ASK_RES", id=1)).expect(code="ACTOR_NOT_FOUND")
    over = Frame(largest.type, largest.name + b"y", largest.payload).encode()
    second.line.send_bytes(over[: 1 << 16], "a frame one byte over the limit, up to 64 KiB")
    await second.line.gone()
    await first.line.ping()


@case("F-07", "FRAME-4", harm=Harm.CRASH, tools=("proc",))
async def announced_bytes_cost_no_memory(stage: Stage) -> None:
    """Memory is taken for bytes that have arrived, never for those that a length announces.

    given: n1, alone
    when: forty clients each announce a frame of the limit and send its first hundred bytes
    expect: the node's memory grows by less than 64 MiB; a client is served; all connections stay
    why: a few hundred bytes must not cost half a gigabyte
    """
    troupe = await stage.troupe()
    header = b"\x01\x00\x04echo" + (FRAME_BYTES_MAX - 11).to_bytes(4)
    before = memory(troupe.node.process.pid)
    clients = [await troupe.client() for _ in range(40)]
    for client in clients:
        client.line.send_bytes(header + bytes(100), "the beginning of a frame of the limit")
    await (await troupe.client()).line.ping()
    grown = memory(troupe.node.process.pid) - before
    if grown > 64 << 20:
        raise Unmet("less than 64 MiB for 640 MiB that were announced", f"{grown >> 20} MiB")
    for client in clients:
        if client.line.closed.is_set():
            raise Unmet("connections with half a frame to stay", f"one ended: {client.line.closed_how}")


@case("F-08", "FRAME-1", "FRAME-3", "MSG-11", harm=Harm.PROTOCOL)
async def names_of_any_length_are_read(stage: Stage) -> None:
    """A name may have 65,535 bytes and any characters; whether an actor can be called so is another question.

    given: n1, alone
    when: a client looks up names of several bytes a character, and names that no actor can have: of none, of
    256 and of 65,535 bytes, with control characters after $echo
    expect: found is false, or an ERROR; the connection stays; $echo is found
    why: both bytes of the length count, and a name is not over at a zero
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    for name in ("größe-☃-𝄞", "", "e" * 256, "☃" * 21845, "$echo\0", "$echo\n", "@", "@$echo"):
        id = client.next_id()
        client.line.send(message("LOOKUP_REQ", name, id=id))
        await client.line.ping(FENCE)
        for heard in client.line.inbox.all:
            if heard.message.kind == "LOOKUP_RES" and heard["id"] == id and heard["found"]:
                raise heard.unmet(f"no actor called {name[:20]!r}", "found true", "found")
    if not await client.lookup("$echo"):
        raise Unmet("an actor called $echo", "found false")


@case("F-09", "FRAME-6", harm=Harm.PROTOCOL)
async def unknown_types_are_passed_over(stage: Stage) -> None:
    """Frames of types nobody knows are skipped by their lengths, whatever they hold.

    given: n1, alone
    when: a client sends frames of the types 0, 10, 11, 20, 200 and 255, with payloads that are no msgpack, and
    LOOKUP_REQs between them
    expect: LOOKUP_RES each time, and at the end
    why: new types must be able to appear beside old nodes
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    for id, type in enumerate((0, 10, 11, 20, 200, 255)):
        client.line.send(Frame(type, b"later", b"\xc1" * (1000 * id)), detail="malformed")
        client.line.send_bytes(lookup(id), "a LOOKUP_REQ")
        await client.line.hear("LOOKUP_RES", id=id, found=True)


@case("F-20", "FRAME-6", "ERROR-2", level=Level.STRICT, harm=Harm.PROTOCOL)
async def mistakes_are_told(stage: Stage) -> None:
    """Who makes a mistake is told, once for each unknown type, and before the connection is closed.

    given: n1, alone
    when: a client sends type 200 twice and type 201 once; another one a name that is not UTF-8
    expect: ERROR UNKNOWN_FRAME_TYPE twice, not three times; ERROR BAD_NAME, then the end
    why: whoever writes the other node sees what is wrong with it, and not the same a million times
    """
    troupe = await stage.troupe()
    client, other = await troupe.client(), await troupe.client()
    for type in (200, 200, 201):
        client.line.send(Frame(type, b"", b""), detail="malformed")
    for _ in range(2):
        (await client.line.hear("ERROR")).expect(code="UNKNOWN_FRAME_TYPE")
    await client.line.ping()
    client.line.inbox.nothing("ERROR")
    other.line.send_bytes(b"\x02\x00\x01\xff\x00\x00\x00\x01\xc0", "a name that is not UTF-8")
    (await other.line.hear("ERROR")).expect(code="BAD_NAME")
    await other.line.gone()


@case("F-11", "FRAME-8", "ERROR-3", harm=Harm.PROTOCOL, tools=("proc",))
async def ends_within_a_frame_leave_nothing(stage: Stage) -> None:
    """A connection that ends within a frame, by FIN or RST, is over, and its descriptor is given back.

    given: n1, a follower of n2
    when: forty clients send half of an ACTOR_MSG and end, half of them with a RST
    expect: as many descriptors open as before; n2 is served
    why: one descriptor lost a day is a node that accepts nothing after a year
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    before = descriptors(troupe.node.process.pid)
    for number in range(40):
        line = (await troupe.client()).line
        line.send_bytes(b"\x01\x00\x05$echo\x00\x00\x10\x00" + bytes(100), "half an ACTOR_MSG")
        await line.drain()
        if number % 2:
            line.reset()
        else:
            line.finish()
            await line.gone()
    open_now = before + 1
    for _ in range(200):
        await n2.raft.ping()
        if (open_now := descriptors(troupe.node.process.pid)) <= before:
            break
    else:
        raise Unmet(f"{before} descriptors, as before", f"{open_now}")
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True)


@case("F-21", "ERROR-1", harm=Harm.PROTOCOL)
async def errors_are_not_answered(stage: Stage) -> None:
    """An ERROR is read, and that is all.

    given: n1, a follower of n2 in term 1
    when: n2 sends it ERRORs of every kind of code, and malformed ones
    expect: nothing; the connection stays; n1 still follows n2
    why: two nodes that answer each other's errors never stop
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    n2.raft.inbox.skip()
    for code in ("BAD_PAYLOAD", "FRAME_TOO_LARGE", "TWO_LEADERS", "NODE_ID_IN_USE", "FROM_A_LATER_VERSION"):
        n2.raft.send(message("ERROR", "", code=code, rule="RULE-1", text="you did something wrong"))
    for payload in (b"", b"\xc1", b"\xc0", b"\x80", b"\x81\xa4code\x01"):
        n2.raft.send(Frame(16, b"", payload), detail="malformed")
    await troupe.fence(n2)
    n2.raft.inbox.nothing("ERROR")
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True, match_index=1)


@case("F-16", "PAYLOAD-5", "PAYLOAD-2", "PAYLOAD-3", "PAYLOAD-4", "FRAME-1", "FRAME-7", harm=Harm.PROTOCOL)
async def what_it_sends_keeps_its_schema(stage: Stage) -> None:
    """Frames of the node have the fields of their tables, each once, and no type that is never sent.

    given: n1, elected by n2 and n3
    when: a client puts, gets, asks, looks up, makes a mistake; n2 acknowledges and refuses
    expect: every frame keeps its schema, and no map repeats a key
    why: what a receiver makes of a repeated key is not specified
    """
    for frame in await _said(stage):
        if frame.type in (10, 11):
            raise Unmet("types 10 and 11 never to be sent", frame.kind, frame=frame)
        decode(frame)
        for node in _maps(read(frame.encode(), frame.payload_start)):
            keys = [frame.encode()[key.start : key.end] for key, _ in node.pairs]
            if len(set(keys)) < len(keys):
                raise Unmet("no key twice in a map", repr(keys), frame=frame, start=node.start, end=node.end)


@case("F-25", "PAYLOAD-7", level=Level.STRICT, harm=Harm.PROTOCOL)
async def what_it_sends_is_canonical(stage: Stage) -> None:
    """Frames of the node are in the shortest formats and the order of the tables.

    given: n1, elected by n2 and n3
    when: a client puts, gets, asks, looks up, makes a mistake; n2 acknowledges and refuses
    expect: every frame is, byte for byte, the one canonical form of what it says
    why: then equal messages are equal bytes, and recordings can be compared
    """
    for frame in await _said(stage):
        canonical = encode(decode(frame))
        if canonical != frame:
            raise Unmet(f"{canonical.encode().hex()}", f"{frame.encode().hex()}", frame=frame)


@case("F-26", "PEER-10", level=Level.STRICT, harm=Harm.LIVENESS, tools=("quickack",), tags=("timing",))
async def answers_wait_for_no_acknowledgement(stage: Stage) -> None:
    """A short answer leaves at once, although the one before it has not been acknowledged.

    given: n1, alone, and a client whose TCP acknowledges as late as it may
    when: up to ten times the client asks $echo, and $sleep for 5 ms, in one segment
    expect: once, at the least, the second answer follows the first within 30 ms
    why: with Nagle's algorithm it follows after 40 ms; so does every commit behind an acknowledgement
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    gaps: list[float] = []
    for _ in range(10):
        client.line.put_off_acknowledgements()
        first, second = client.next_id(), client.next_id()
        client.line.send(
            message("ASK_REQ", "$echo", id=first, message=0),
            message("ASK_REQ", "$sleep", id=second, message=0.005),
        )
        await client.line.hear("ASK_RES", id=first)
        began = stage.trace.now()
        await client.line.hear("ASK_RES", id=second)
        gaps.append(stage.trace.now() - began)
        if gaps[-1] < 0.03:  # not scaled: the 40 ms are a constant of the system
            return
    shown = ", ".join(f"{gap * 1000:.0f}" for gap in gaps)
    raise Unmet("the second answer within 30 ms of the first, once in ten times", f"after {shown} ms")


async def _said(stage: Stage) -> list[Frame]:
    """Frames of many types that a node under test wrote, in a short life as a leader."""
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    await _talk(client)
    heard = await n2.requests.hear("APPEND_ENTRIES_REQ")
    n2.answer(heard, success=False, match_index=0)
    await n2.requests.hear("APPEND_ENTRIES_REQ")
    (await n2.ask(n2.request_vote(0, (0, 0), troupe.members))).expect(vote_granted=False)
    (await n2.ask(n2.append(0, (0, 0)))).expect(success=False)
    return [each.frame for each in stage.trace if isinstance(each, Sent) and each.source == "n1"]


async def _talk(client: Client) -> None:
    await client.value("$echo", {"a": [1, 2.5, None, True, "x", b"y"]})
    await client.lookup("$echo")
    await client.lookup("nobody")
    (await client.ask("nobody", 1)).expect(code="ACTOR_NOT_FOUND")
    client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
    client.line.send(Frame(200, b"", b""), detail="malformed")
    await client.line.ping()


def _maps(root: Node) -> Iterator[Node]:
    todo: list[Any] = [root]
    while todo:
        node: Node = todo.pop()
        todo += node.children
        if node.kind == "map":
            yield node
