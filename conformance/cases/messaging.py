"""Actors on the wire: messages, asks and lookups (MSG-1 … MSG-11)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from conformance.case import Harm, Level, case
from conformance.cases.services import alone, expect_kv, value_of
from conformance.node.resources import memory
from conformance.verdict import Unmet
from conformance.wire.message import message
from conformance.wire.packing import Raw
from conformance.wire.value import Dataclass, Ref

if TYPE_CHECKING:
    from conformance.stage import Stage

MIB = 1 << 20


@case("M-01", "MSG-3", "KV-1", harm=Harm.PROTOCOL)
async def an_ask_is_answered(stage: Stage) -> None:
    """An ask is answered with its id, and nil is an answer.

    given: n1, alone
    when: a client asks $echo for 42 with the ids 0, 7 and 2^64-1, and for nil
    expect: 42 with each id; nil, which is a value and no code
    why: the id is all that tells answers apart
    """
    troupe = await stage.troupe()
    line = (await troupe.client()).line
    for id in (0, 7, 2**64 - 1):
        line.send(message("ASK_REQ", "$echo", id=id, message=42))
        (await line.hear("ASK_RES", id=id)).expect(value=42, code=None)
    line.send(message("ASK_REQ", "$echo", id=8, message=None))
    heard = (await line.hear("ASK_RES", id=8)).expect(code=None)
    if "value" not in heard.message.fields or heard["value"] is not None:
        raise heard.unmet("a value, which is nil", "none, or another")


@case("M-02", "MSG-3", harm=Harm.LIVENESS)
async def nobody_is_told_of_at_once(stage: Stage) -> None:
    """An ask for an actor that is not there is answered ACTOR_NOT_FOUND, however long its asker would wait.

    given: n1, alone
    when: a client asks "nobody", with a timeout of an hour and without one, and an actor by a number
    expect: ACTOR_NOT_FOUND each time; $echo answers afterwards
    why: a failure that looks like a timeout costs its user a night
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    for name, timeout in (("nobody", 3_600_000), ("nobody", None), ("@123456789", None), ("$ECHO", None)):
        id = client.send_ask(name, 1, timeout_ms=timeout)
        (await client.line.hear("ASK_RES", id=id)).expect(code="ACTOR_NOT_FOUND")
    if await client.value("$echo", 1) != 1:
        raise Unmet("$echo to reply 1", "another value")


@case("M-03", "MSG-3", harm=Harm.LIVENESS)
async def a_thousand_asks_are_answered_once_each(stage: Stage) -> None:
    """Asks that overlap on one connection are each answered once, with their own value.

    given: n1, alone
    when: a client sends a thousand asks to $echo, $sleep and nobody, without waiting
    expect: a thousand answers, each id once, each with its own value or code
    why: answers that are mixed up are worse than none
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    wanted: dict[int, object] = {}
    for number in range(1000):
        actor = ("$echo", "$sleep", "nobody")[number % 3]
        value = number % 7 / 1000 if actor == "$sleep" else f"ask {number}"
        wanted[client.send_ask(actor, value)] = "ACTOR_NOT_FOUND" if actor == "nobody" else value
    for _ in range(1000):
        heard = await client.line.hear("ASK_RES")
        expected = wanted.pop(heard["id"], "no answer: this id had one, or was never asked")
        got = heard.get("code") or heard.get("value")
        if (got or 0) != expected:
            raise heard.unmet(f"{expected!r} to the ask {heard['id']}", repr(got))
    await client.line.ping()
    client.line.inbox.nothing("ASK_RES")


@case("M-04", "MSG-3", "ERROR-3", harm=Harm.LIVENESS)
async def an_actor_that_fails_says_so(stage: Stage) -> None:
    """An ask that its actor cannot handle is answered ACTOR_FAILED, and the actor goes on.

    given: n1, alone
    when: a client asks $sleep for a text, a map, nil and a negative number; then for 0.01
    expect: ACTOR_FAILED each time, not silence; 0.01
    why: one bad message must not take an actor, or its asker's night
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    for nonsense in ("soon", {"seconds": 1}, None, -1):
        (await client.ask("$sleep", nonsense)).expect(code="ACTOR_FAILED")
    if await client.value("$sleep", 0.01) != 0.01:
        raise Unmet("$sleep to reply 0.01", "another value")


@case("M-05", "MSG-6", harm=Harm.LIVENESS)
async def asks_do_not_delay_raft(stage: Stage) -> None:
    """Raft frames behind an ask that takes long are handled at once.

    given: n1, a follower of n2
    when: n2 asks $sleep for two seconds, and sends AppendEntries and a vote request behind it, on the same
    connection
    expect: both answered before the ask
    why: a heartbeat that waits for a user's handler is a lost leader
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    n2.raft.send(message("ASK_REQ", "$sleep", id=1, message=2))
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True)
    (await n2.ask(n2.request_vote(0, (0, 0), troupe.members))).expect(vote_granted=False)
    n2.raft.inbox.nothing("ASK_RES")
    await n2.raft.hear("ASK_RES", id=1)


@case("M-06", "MSG-2", "MSG-1", harm=Harm.PROTOCOL)
async def messages_arrive_in_order(stage: Stage) -> None:
    """Messages and asks of one connection reach an actor in the order in which they were sent.

    given: n1, alone, leads
    when: a client sends $kv two hundred appends without waiting, messages and asks in turn, and then a get
    expect: the letters in their order
    why: a sender that has to wait for each message to keep their order can send one a round trip
    """
    _, client = await alone(stage)
    letters = [chr(0x61 + number % 26) + str(number) for number in range(200)]
    for number, letter in enumerate(letters):
        request = {"op": "append", "key": "k", "value": letter}
        if number % 2:
            client.send_ask("$kv", request)
        else:
            client.line.send(message("ACTOR_MSG", "$kv", message=request))
    got = value_of(await client.kv("get", "k"), "get")
    if got != "".join(letters):
        raise Unmet("".join(letters), repr(got))


@case("M-07", "MSG-1", harm=Harm.PROTOCOL)
async def messages_for_nobody_are_dropped(stage: Stage) -> None:
    """A message for an actor that is not there, or that cannot be decoded, is dropped; nobody is told.

    given: n1, alone
    when: a client sends messages to "nobody", to a number, and one of an unknown type to $echo
    expect: nothing in answer, no ERROR; the connection stays
    why: a message is at most once; what became of it is the sender's question to ask
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    client.line.inbox.skip()
    for name, value in (
        ("nobody", 1),
        ("@99", None),
        ("$echo", Dataclass("m:Unknown", {"a": 1})),
    ):
        client.line.send(message("ACTOR_MSG", name, message=value))
    await client.value("$echo", 1)
    client.line.inbox.nothing("ASK_RES")
    client.line.inbox.nothing("LOOKUP_RES")


@case("M-08", "MSG-5", "PEER-6", harm=Harm.PROTOCOL)
async def answers_to_nothing_are_ignored(stage: Stage) -> None:
    """Answers that nobody waits for change nothing, whatever they say.

    given: n1, who has dialled n2
    when: n2 sends ASK_RES and LOOKUP_RES with ids of no question, twice, on both connections
    expect: nothing in answer; the connections stay
    why: late answers are as common as timeouts
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.meet(n2, back=True)
    for line in n2.lines:
        for _ in range(2):
            line.send(message("ASK_RES", "", id=1, value=Ref("n1", "$echo")))
            line.send(message("ASK_RES", "", id=2, code="ACTOR_FAILED", error_type="Oops", text="late"))
            line.send(message("LOOKUP_RES", "$echo", id=1, found=True, actor_class="m:Echo"))
        await line.ping()
        line.inbox.nothing("ERROR")


@case("M-09", "MSG-4", harm=Harm.PROTOCOL)
async def an_ask_that_is_too_late_is_not_handled(stage: Stage) -> None:
    """An ask whose time is over when it arrives has no effect.

    given: n1, alone, leads
    when: a client puts 1 with a timeout of an hour, and 2 with a timeout of 0 ms
    expect: k is 1; the second put is not answered
    why: the asker was told that it timed out, and has asked somebody else
    """
    _, client = await alone(stage)
    put = {"op": "put", "key": "k"}
    id = client.send_ask("$kv", {**put, "value": 1}, timeout_ms=3_600_000)
    value_of(await client.kv_answer(id), "put")
    late = client.send_ask("$kv", {**put, "value": 2}, timeout_ms=0)
    await expect_kv(client, 1, "get", "k")
    for heard in client.line.inbox.all:
        if heard.message.kind == "ASK_RES" and heard["id"] == late:
            raise heard.unmet("no answer to an ask that nobody waits for", "one")


@case("M-11", "MSG-8", harm=Harm.LIVENESS)
async def a_reply_that_fits_no_frame_is_told_of(stage: Stage) -> None:
    """A reply too large for a frame is answered REPLY_TOO_LARGE; the actor goes on.

    given: n1, alone, leads; the value of k is a str of 18 MiB, appended in two halves
    when: a client gets k, and then something small
    expect: REPLY_TOO_LARGE, then the small value; the connection stays
    why: silence would be taken for a lost message, and asked again
    """
    _, client = await alone(stage)
    for half in (9 * MIB, 18 * MIB):
        await expect_kv(client, half, "append", "k", value="x" * (9 * MIB))
    await expect_kv(client, None, "put", "small", value=1)
    (await client.ask("$kv", {"op": "get", "key": "k"})).expect(code="REPLY_TOO_LARGE")
    await expect_kv(client, 1, "get", "small")


@case("M-16", "MSG-3", level=Level.STRICT, harm=Harm.LIVENESS)
async def an_ask_that_is_too_deep_is_answered(stage: Stage) -> None:
    """An ask whose message nests too deep is answered, for its id can be read.

    given: n1, alone
    when: a client asks $echo with a message of three hundred levels
    expect: BAD_MESSAGE with its id
    why: its asker would wait for its timeout
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    id = client.send_ask("$echo", Raw(b"\x91" * 300 + b"\xc0"), detail="malformed")
    (await client.line.hear("ASK_RES", id=id)).expect(code="BAD_MESSAGE")


@case("M-12", "MSG-7", "MSG-11", "KV-1", harm=Harm.PROTOCOL)
async def a_lookup_says_who_is_here(stage: Stage) -> None:
    """A lookup is answered with found true for actors of this node, and false for all others.

    given: n1, alone
    when: a client looks up $echo, $sleep and $kv, nobody, and a name of 255 bytes
    expect: true three times, then false, each with its name and id
    why: every node answers for itself alone
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    for name, found in (
        ("$echo", True),
        ("$sleep", True),
        ("$kv", True),
        ("nobody", False),
        ("n" * 255, False),
    ):
        id = client.next_id()
        client.line.send(message("LOOKUP_REQ", name, id=id))
        heard = (await client.line.hear("LOOKUP_RES", id=id)).expect(found=found)
        if heard.message.name != name:
            raise heard.unmet(f"LOOKUP_RES of the name {name!r}", repr(heard.message.name))


@case("M-15", "MSG-10", harm=Harm.CRASH, tools=("proc",), seconds=120)
async def who_does_not_read_costs_little(stage: Stage) -> None:
    """Replies to a peer that does not read are bounded; others are served.

    given: n1, alone, leads; the value of k has 1 MiB
    when: a client sends four hundred gets and reads nothing; another one asks
    expect: n1 grows by less than 200 MiB; the other one is answered, each time within two seconds
    why: one slow peer must not take the memory of all
    """
    troupe, other = await alone(stage)
    await expect_kv(other, None, "put", "k", value=b"x" * MIB)
    deaf = await troupe.client()
    await deaf.line.ping()
    before = memory(troupe.node.process.pid)
    deaf.line.pause()
    for _ in range(400):
        deaf.send_ask("$kv", {"op": "get", "key": "k"})
    most = before
    for _ in range(20):
        await other.ask("$sleep", 0.05, seconds=stage.scaled(2.0))
        await other.ask("$kv", {"op": "get", "key": "none"}, seconds=stage.scaled(2.0))
        most = max(most, memory(troupe.node.process.pid))
    deaf.line.reset()
    await asyncio.wait_for(deaf.line.closed.wait(), stage.patience)
    if most - before > 200 * MIB:
        raise Unmet(
            "less than 200 MiB for 400 MiB of replies that nobody reads", f"{(most - before) // MIB} MiB"
        )


@case("M-17", "MSG-12", "KV-1", harm=Harm.PROTOCOL)
async def what_an_actor_does_not_accept_is_refused(stage: Stage) -> None:
    """A message of a type that the actor does not accept is refused at the boundary, and harms nobody.

    given: n1, alone; $sleep accepts integers and floats
    when: a client tells and asks it "soon", nil and a list, and then asks it for 0 seconds
    expect: ACTOR_FAILED with error_type UnhandledMessage for each ask; 0 at last
    why: an actor that gets what its author never thought of does what nobody thought of
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    for wrong in ("soon", None, [1]):
        client.line.send(message("ACTOR_MSG", "$sleep", message=wrong))
        heard = await client.ask("$sleep", wrong)
        heard.expect(code="ACTOR_FAILED", error_type="UnhandledMessage")
    if await client.value("$sleep", 0) != 0:
        raise Unmet("$sleep to reply 0", "another value")
