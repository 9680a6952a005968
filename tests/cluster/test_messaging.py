"""Messages, asks and lookups between nodes."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import logging
import math
import sys
import uuid
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import msgpack
import pytest

from casty import (
    ActorFailedError,
    ActorNotFoundError,
    ActorRef,
    ActorStoppedError,
    ActorSystem,
    AskTimeoutError,
    DeadLetter,
    MailboxFullError,
    MessageTooLargeError,
    NodeUnreachableError,
    SerializationError,
    SystemStoppedError,
    UnknownTypeError,
)
from casty.cluster import link as link_module
from casty.cluster.lookup import GRACE
from casty.wire import _protocol as p
from tests.cluster.actors import (
    Add,
    Clumsy,
    Color,
    Counter,
    Echo,
    Host,
    Introduce,
    Keeper,
    Mute,
    Nested,
    Odd,
    Point,
    Quitter,
    Total,
)
from tests.cluster.harness import accepted, client, cluster, dialled, meshed, pair, until, within
from tests.cluster.peers import Listener, peer_of
from tests.support import run


def test_a_remote_ref_is_used_like_a_local_one() -> None:
    """VALUE-1, MSG-3; the seed: a RemoteRef behaves exactly like a local ActorRef."""

    async def main() -> None:
        async with pair() as (a, b):
            local = await a.spawn(Counter, name="counter")
            remote = await b.lookup("counter", Counter)
            await remote.send(Add(2))
            await local.send(Add(3))
            assert await remote.ask(Total()) == await local.ask(Total()) == 5
            assert (remote.name, remote.node_id, remote.address) == ("counter", "a", "counter")
            assert (str(remote), repr(remote)) == (str(local), repr(local))
            assert remote == local
            assert hash(remote) == hash(local)
            assert remote != await b.spawn(Counter, name="counter")

    run(main())


def test_messages_of_one_sender_arrive_in_order_sends_and_asks_alike() -> None:
    """MSG-2."""

    async def main() -> None:
        async with pair() as (a, b):
            keeper = Keeper()
            await a.spawn(lambda: keeper, name="keeper")
            ref = await b.lookup("keeper")
            asks: list[asyncio.Task[Any]] = []
            for number in range(0, 1000, 2):
                await ref.send(number)
                asks.append(asyncio.create_task(ref.ask(number + 1)))
                await asyncio.sleep(0)
            await asyncio.gather(*asks)
            assert keeper.kept == list(range(1000))

    run(main())


def test_a_fast_sender_lets_the_loop_turn_and_loses_nothing() -> None:
    """MSG-6: a loop of sends that never has to wait must not starve everybody else."""

    async def main() -> None:
        async with pair() as (a, b):
            keeper = Keeper()
            await a.spawn(lambda: keeper, name="keeper")
            ref = await b.lookup("keeper")
            turns = 0

            async def tick() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            ticking = asyncio.create_task(tick())
            for number in range(20_000):
                await ref.send(number)
            assert turns > 3
            ticking.cancel()
            assert await keeper.until(20_000) == list(range(20_000))

    run(main())


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -(1 << 63),
        (1 << 64) - 1,
        1 << 200,
        -(1 << 200),
        1.5,
        math.inf,
        "é\n\0",
        b"\x00\xff",
        [1, [2, []]],
        {1: "a", (1, 2): "b", "c": {}},
        (1, (2,)),
        {1, 2},
        frozenset({"a"}),
        Color.BLUE,
        Point(1, 2),
        Nested(Point(1), Color.RED, [Point(3)]),
        datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 2),
        datetime.time(1, 2, 3, 4),
        datetime.timedelta(days=-1, microseconds=1),
        decimal.Decimal("-12.50"),
        uuid.UUID(int=7),
        complex(1, -2),
    ],
    ids=repr,
)
def test_every_kind_of_value_comes_back_as_it_was_sent(value: object) -> None:
    """VALUE-1; as command-line users see it: what works in one process works across nodes."""

    async def main() -> None:
        async with pair() as (a, b):
            await a.spawn(Echo, name="echo")
            for kind in (Point, Nested, Color):
                a.register_type(kind)
            reply = await (await b.lookup("echo")).ask(value)
            assert reply == value
            assert type(reply) is type(value)

    run(main())


def test_what_an_actor_accepts_needs_no_registration() -> None:
    """VALUE-2: types of a spawned actor's messages, at any depth, are admitted."""

    async def main() -> None:
        async with pair(trusted_modules=()) as (a, b):
            await a.spawn(Counter, name="counter")
            ref = await b.lookup("counter")
            await ref.send(Add(4))
            assert await ref.ask(Total()) == 4

    run(main())


def test_a_type_that_is_not_admitted_is_refused_by_name_and_nothing_is_imported() -> None:
    """VALUE-2: the ask learns of it at once, the text says how to register the type."""

    async def main() -> None:
        async with pair(trusted_modules=()) as (a, b):
            await a.spawn(Echo, name="echo")
            ref = await b.lookup("echo")
            with pytest.raises(UnknownTypeError, match=r"register_type.*\(node a\)"):
                await ref.ask(Point(1))
            a.register_type(Point)
            with pytest.raises(UnknownTypeError, match="the reply of node a"):
                await ref.ask(Point(1))
            b.register_type(Point)
            assert await ref.ask(Point(1)) == Point(1)

    run(main())


def test_a_name_in_a_message_never_imports_a_module() -> None:
    """VALUE-2: not even of a package that is trusted."""

    async def main() -> None:
        async with client(node_id="a", trusted_modules=("tests", "xml")) as a:
            await a.spawn(Echo, name="echo")
            sys.modules.pop("xml.dom.pulldom", None)
            async with peer_of(a) as peer:
                for name in ("xml.dom.pulldom:PullDOM", "subprocess:Popen", "os:system", "a", ":", "a:b:c"):
                    body = b"\xc7" + bytes([len(_packed([name, {}])), 1]) + _packed([name, {}])
                    payload = b"\x82\xa2id\x01\xa7message" + body
                    peer.send(bytes([p.ASK_REQ, 0, 4]) + b"echo" + len(payload).to_bytes(4, "big") + payload)
                    answer = await peer.answer(1)
                    assert answer.payload["code"] == "UNKNOWN_TYPE", name
            assert "xml.dom.pulldom" not in sys.modules

    run(main())


def _packed(value: object) -> bytes:
    return msgpack.packb(value)


def test_a_type_can_be_called_otherwise_on_the_wire() -> None:
    """VALUE-2: two versions of a module agree on a name."""

    async def main() -> None:
        async with pair() as (a, b):
            elsewhere = ModuleType("elsewhere")
            moved: type = dataclass(frozen=True)(type("Moved", (), {"__annotations__": {"x": int}}))
            moved.__module__, moved.__qualname__ = "elsewhere", "Moved"
            setattr(elsewhere, "Moved", moved)  # noqa: B010
            a.register_type(Point, "shape.Point")
            b.register_type(moved, "shape.Point")
            keeper = Keeper()
            await a.spawn(lambda: keeper, name="keeper")
            make = cast("Any", moved)
            await (await b.lookup("keeper")).send(make(x=3))
            assert await keeper.until(1) == [Point(3, 0)]

    run(main())


# ------------------------------------------------------------------------------------------------- refs


def test_refs_in_messages_and_replies_come_home() -> None:
    """VALUE-5: a ref that names the receiving node is local again."""

    async def main() -> None:
        async with pair() as (a, b):
            await a.spawn(Host, name="host")
            keeper = Keeper()
            mine = await b.spawn(lambda: keeper)
            host = await b.lookup("host")
            back = await host.ask(Introduce(mine))
            assert await keeper.until(1) == ["hello"]
            assert back is mine
            worker = cast("ActorRef[Any]", await host.ask("spawn"))
            assert (worker.node_id, worker.name) == ("a", None)
            await worker.send(Add(3))
            assert await worker.ask(Total()) == 3
            assert await host.ask("self") == host

    run(main())


def test_a_third_node_reaches_the_ref_on_its_own_connection() -> None:
    """VALUE-5."""

    async def main() -> None:
        async with pair() as (a, b), client(a, node_id="c") as c:
            await meshed(a, b, c)
            keeper = Keeper()
            await a.spawn(lambda: keeper, name="keeper")
            await b.spawn(Host, name="host")
            await (await c.lookup("host")).ask(Introduce(await c.lookup("keeper")))
            assert await keeper.until(1) == ["hello"]

    run(main())


def test_a_ref_survives_the_restart_of_its_node_and_of_its_actor() -> None:
    """actors.md rule 32: a ref is a node and a name, not a connection."""

    async def main() -> None:
        async with client(node_id="b") as b:
            port = 0
            ref = b.ref("a", "counter")
            for _ in range(2):
                async with client(b, node_id="a", port=port) as a:
                    port = a.listen.port
                    counter = await a.spawn(Counter, name="counter")
                    await meshed(a, b)
                    await ref.send(Add(1))
                    assert await ref.ask(Total()) == 1
                    await a.stop(counter)
                    with pytest.raises(ActorNotFoundError):
                        await ref.ask(Total())
                    await a.spawn(Counter, name="counter")
                    assert await ref.ask(Total()) == 0
                await until(lambda: not b.peers)

    run(main())


def test_a_ref_to_this_node_finds_an_actor_spawned_later() -> None:
    """VALUE-5: at home, a ref needs no connection."""

    async def main() -> None:
        letters: list[DeadLetter] = []
        async with client(node_id="a", on_dead_letter=letters.append) as a:
            ref = a.ref("a", "late")
            await ref.send(Add(1))
            with pytest.raises(ActorNotFoundError, match="no actor late on node a, which is this one"):
                await ref.ask(Total())
            await a.spawn(Counter, name="late")
            await ref.send(Add(2))
            assert await ref.ask(Total()) == 2
            assert [letter.message for letter in letters] == [Add(1)]

    run(main())


def test_a_ref_of_a_system_without_a_cluster_cannot_be_sent() -> None:
    """VALUE-1: it would name nothing elsewhere."""

    async def main() -> None:
        async with pair() as (a, b), ActorSystem() as alone:
            await a.spawn(Echo, name="echo")
            ref = await b.lookup("echo")
            await ref.ask(ref)  # the codec has met refs before
            with pytest.raises(SerializationError, match="system without a cluster"):
                await ref.ask([await alone.spawn(Echo)])

    run(main())


# ------------------------------------------------------------------------------------------- how asks fail


def test_each_way_an_ask_can_fail_has_its_exception_at_once() -> None:
    """MSG-3, MSG-8, MSG-12, the table of ask errors: only silence waits for the timeout."""

    async def main() -> None:
        async with pair() as (a, b):
            for kind in (Clumsy, Quitter, Odd, Echo, Counter):
                await a.spawn(kind, name=kind.__name__)
            with pytest.raises(ActorFailedError, match="RuntimeError: no, never on node a") as failed:
                await b.ref("a", "Clumsy").ask("no, never", timeout=None)
            assert (failed.value.error_type, failed.value.node_id) == ("RuntimeError", "a")
            with pytest.raises(ActorStoppedError, match="node a"):
                await b.ref("a", "Quitter").ask(1, timeout=None)
            with pytest.raises(ActorNotFoundError, match=r"no actor Nobody on node a \(node a\)"):
                await b.ref("a", "Nobody").ask(1, timeout=None)
            with pytest.raises(
                ActorFailedError, match="UnhandledMessage: actor Counter takes Add or Total, not str"
            ):
                await b.ref("a", "Counter").ask("what", timeout=None)
            with pytest.raises(SerializationError, match="cannot send a value of type object"):
                await b.ref("a", "Odd").ask("object", timeout=None)
            with pytest.raises(MessageTooLargeError, match="limit is 16,777,216"):
                await b.ref("a", "Odd").ask(17 << 20, timeout=None)
            assert await b.ref("a", "Odd").ask(3) == bytes(3)
            with pytest.raises(SerializationError, match=r"\[1\]"):
                await b.ref("a", "Echo").ask([1, object()], timeout=None)
            with pytest.raises(MessageTooLargeError, match="ASK_REQ frame of 16,777,2"):
                await b.ref("a", "Echo").ask(bytes(16 << 20), timeout=None)
            with pytest.raises(MessageTooLargeError):
                await b.ref("a", "Echo").send(bytes(16 << 20))
            with pytest.raises(NodeUnreachableError, match="node x is not connected; Echo was not asked"):
                await b.ref("x", "Echo").ask(1)
            assert len(a.asks) == len(b.asks) == 0

    run(main())


def test_what_an_actor_raises_may_say_anything(caplog: pytest.LogCaptureFixture) -> None:
    """MSG-3: half a surrogate pair in an exception's text reaches the asker, escaped."""
    caplog.set_level(logging.CRITICAL, "casty")  # the runner cannot pass on such a line

    class Rude(Clumsy):
        async def receive(self, msg: Any, ctx: Any) -> None:
            raise ValueError("\udcff" + "x" * 20_000)

    async def main() -> None:
        async with pair(max_frame_size=64 << 10) as (a, b):
            await a.spawn(Rude, name="rude")
            with pytest.raises(ActorFailedError, match=r"ValueError: \\udcffx") as failed:
                await b.ref("a", "rude").ask(1)
            assert len(failed.value.message) < 11_000
            with pytest.raises(ActorFailedError):
                await b.ref("a", "rude").ask(2)

    run(main())


def test_an_ask_of_a_full_mailbox_is_refused_and_a_message_is_a_dead_letter() -> None:
    """MSG-3; actors.md rule 14."""

    async def main() -> None:
        letters: list[DeadLetter] = []
        async with (
            client(node_id="a", mailbox_size=1, on_dead_letter=letters.append) as a,
            client(a, node_id="b") as b,
        ):
            await meshed(a, b)
            busy = asyncio.Event()

            class Busy(Echo):
                async def receive(self, msg: Any, ctx: Any) -> None:
                    busy.set()
                    await asyncio.Event().wait()

            ref = await a.spawn(Busy, name="busy")
            far = await b.lookup("busy")
            await far.send(1)
            await within(busy.wait())
            await far.send(2)
            with pytest.raises(MailboxFullError):
                await far.ask(3)
            await far.send(4)
            await until(lambda: letters)
            assert [letter.message for letter in letters] == [4]
            await a.stop(ref, timeout=0.01)

    run(main())


def test_silence_ends_at_the_timeout_and_a_late_answer_finds_nobody() -> None:
    """MSG-5; actors.md rules 5 and 6."""

    async def main() -> None:
        async with pair() as (a, b):
            mute = Mute()
            await a.spawn(lambda: mute, name="mute")
            await a.spawn(Echo, name="echo")
            ref = b.ref("a", "mute")
            with pytest.raises(AskTimeoutError, match=r"mute on node a gave no answer to int in 0\.02 s"):
                await ref.ask(1, timeout=0.02)
            assert len(b.asks) == 0
            patient = asyncio.create_task(ref.ask(2, timeout=math.inf))
            await until(lambda: len(mute.asked) == 2)
            for ctx in mute.asked:
                ctx.reply("late")
            assert await patient == "late"
            assert await b.ref("a", "echo").ask(3) == 3
            assert a.late_reply_count == 1

    run(main())


def test_a_cancelled_ask_leaves_nothing_behind() -> None:
    """Rule 8: the asker goes; what was sent is handled or not."""

    async def main() -> None:
        async with pair() as (a, b):
            mute = Mute()
            await a.spawn(lambda: mute, name="mute")
            asking = asyncio.create_task(b.ref("a", "mute").ask(1))
            await within(mute.came.wait())
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert len(b.asks) == 0
            mute.asked[0].reply("too late")
            await b.lookup("mute")

    run(main())


def test_asks_fail_when_the_connection_does_and_nothing_is_sent_again() -> None:
    """MSG-9: the outcome is unknown, and the text says so."""

    async def main() -> None:
        async with pair() as (a, b):
            mute = Mute()
            await a.spawn(lambda: mute, name="mute")
            asking = [asyncio.create_task(b.ref("a", "mute").ask(n, timeout=None)) for n in range(3)]
            await until(lambda: len(mute.asked) == 3)
            dialled(b, "a").abort()
            for ask in asking:
                with pytest.raises(NodeUnreachableError, match="may have been handled"):
                    await within(ask)
            await meshed(a, b)
            assert (await b.lookup("mute")).name == "mute"
            assert len(mute.asked) == 3

    run(main())


def test_answers_to_no_question_are_ignored() -> None:
    """MSG-5: unknown, second and foreign ids; unasked lookups and pongs (PEER-8)."""

    async def main() -> None:
        async with Listener() as listener, client(listener.address, node_id="a") as a:
            peer = await listener.greeted()
            await until(lambda: "peer" in a.peers)
            asking = asyncio.create_task(a.ref("peer", "x").ask(1))
            request = await peer.next()
            number = request.payload["id"]
            async with peer_of(a, "other") as other:
                for speaker in (peer, other):
                    for unknown in (0, number + 1, (1 << 64) - 1):
                        speaker.say(p.ASK_RES, "", {"id": unknown, "value": "wrong"})
                        speaker.say(p.LOOKUP_RES, "x", {"id": unknown, "found": True, "actor_class": "a:b"})
                        speaker.say(p.PING, "", {"id": unknown, "pong": True})
                other.say(p.ASK_RES, "", {"id": number, "value": "of another connection"})
                await other.ask("nobody", 1)
                peer.say(p.ASK_RES, "", {"id": number, "value": "right"})
                peer.say(p.ASK_RES, "", {"id": number, "value": "twice"})
                assert await within(asking) == "right"
                assert (await other.ask("nobody", 1, 2))["code"] == "ACTOR_NOT_FOUND"

    run(main())


def test_an_ask_that_is_too_old_is_not_started() -> None:
    """MSG-4: its asker has gone."""

    async def main() -> None:
        async with client(node_id="a") as a, peer_of(a) as peer:
            started = asyncio.Event()
            free = asyncio.Event()
            handled: list[Any] = []

            class Slow(Echo):
                async def receive(self, msg: Any, ctx: Any) -> None:
                    handled.append(msg)
                    started.set()
                    await free.wait()
                    ctx.reply(msg)

            await a.spawn(Slow, name="slow")
            peer.say(p.ASK_REQ, "slow", {"id": 1, "message": "first"})
            await within(started.wait())
            peer.say(p.ASK_REQ, "slow", {"id": 2, "timeout_ms": 0, "message": "too old"})
            peer.say(p.ASK_REQ, "slow", {"id": 3, "timeout_ms": (1 << 63) - 1, "message": "patient"})
            await peer.ask("nobody", 1, 4)
            free.set()
            assert (await peer.answer(3)).payload["value"] == "patient"
            assert handled == ["first", "patient"]

    run(main())


def test_a_thousand_asks_at_once_are_each_answered_once() -> None:
    """MSG-3 (conformance M-03)."""

    async def main() -> None:
        async with pair() as (a, b):
            await a.spawn(Echo, name="echo")
            ref = b.ref("a", "echo")
            replies = await asyncio.gather(*(ref.ask(number) for number in range(1000)))
            assert replies == list(range(1000))
            assert len(b.asks) == 0

    run(main())


# ---------------------------------------------------------------------------------------------- dead letters


def test_what_cannot_be_delivered_is_a_dead_letter_and_never_an_error() -> None:
    """MSG-1, MSG-12; actors.md rule 11."""

    async def main() -> None:
        here: list[DeadLetter] = []
        there: list[DeadLetter] = []
        async with (
            client(node_id="a", on_dead_letter=there.append, trusted_modules=()) as a,
            client(a, node_id="b", on_dead_letter=here.append) as b,
        ):
            await meshed(a, b)
            await a.spawn(Counter, name="counter")
            await b.ref("x", "y").send(1)
            await b.ref("a", "nobody").send(2)
            await b.ref("a", "counter").send("not accepted")
            await b.ref("a", "counter").send(Point(1))
            await until(lambda: len(there) == 3)
            assert [letter.reason for letter in here] == ["node x is not connected"]
            assert [(letter.address, letter.message) for letter in there] == [
                ("nobody", 2),
                ("counter", "not accepted"),
                ("counter", None),
            ]
            assert "not admitted" in there[2].reason
            assert (a.dead_letter_count, b.dead_letter_count) == (3, 1)

    run(main())


# -------------------------------------------------------------------------------------------------- lookups


def test_lookup_prefers_home_then_the_smallest_node_id() -> None:
    """MSG-7; actors.md rule 30."""

    async def main() -> None:
        async with pair() as (a, b), client(a, node_id="c") as c:
            await meshed(a, b, c)
            await b.spawn(Counter, name="x")
            await a.spawn(Counter, name="x")
            assert (await c.lookup("x")).node_id == "a"
            assert (await b.lookup("x")).node_id == "b"
            mine = await c.spawn(Counter, name="x")
            assert await c.lookup("x") is mine

    run(main())


def test_lookup_that_finds_nothing_says_where_it_looked() -> None:
    """Rule 31."""

    async def main() -> None:
        async with pair() as (a, b):
            await a.spawn(Counter)
            for name in ("x", "@1"):
                with pytest.raises(
                    ActorNotFoundError, match=rf"no actor named '{name}' here or on a, after 0\.05 s"
                ):
                    await b.lookup(name, timeout=0.05)
            assert len(b.searches) == 0
            assert not b.open_searches

    run(main())


def test_lookup_checks_the_class_here_and_elsewhere() -> None:
    """Rule 31."""

    async def main() -> None:
        async with pair() as (a, b):
            await a.spawn(Counter, name="x")
            for system in (a, b):
                with pytest.raises(
                    TypeError, match=r"actor 'x' is a tests\.cluster\.actors:Counter, not a .*:Echo"
                ):
                    await system.lookup("x", Echo)
                assert (await system.lookup("x", Counter)).name == "x"

    run(main())


def test_lookup_asks_nodes_that_come_while_it_waits() -> None:
    """Rule 31: users need no loop around it."""

    async def main() -> None:
        async with client(node_id="b") as b:
            looking = asyncio.create_task(b.lookup("x", timeout=20))
            await until(lambda: b.open_searches)
            async with client(b, node_id="a") as a:
                await a.spawn(Counter, name="x")
                assert (await within(looking)).node_id == "a"

    run(main())


def test_lookup_finds_what_is_spawned_while_it_waits() -> None:
    """Rule 31: here or elsewhere; who starts first does not matter."""

    async def main() -> None:
        async with pair() as (a, b):
            for home in (a, b):
                name = f"of-{home.node_id}"
                looking = asyncio.create_task(b.lookup(name, Counter, timeout=20))
                await until(lambda: b.open_searches)
                await until(lambda: not len(b.searches))  # everybody has said no
                await home.spawn(Counter, name=name)
                assert (await within(looking)).node_id == home.node_id
                assert len(b.searches) == 0

    run(main())


def test_a_lookup_does_not_wait_for_a_node_that_is_slow_once_another_has_answered() -> None:
    """Rule 31: a node that never answers costs a moment, not the timeout; nothing is left open."""

    async def main() -> None:
        async with Listener() as listener, client(listener.address, node_id="b") as b:
            peer = await listener.greeted("slow")
            async with client(b, node_id="a") as a:
                await meshed(a, b)
                await a.spawn(Counter, name="x")
                begun = asyncio.get_running_loop().time()
                assert (await b.lookup("x", timeout=20)).node_id == "a"
                assert GRACE * 0.9 <= asyncio.get_running_loop().time() - begun < 10
                assert len(b.searches) == 0
                assert peer.node_id == "slow"

    run(main())


def test_a_node_lost_in_the_middle_of_a_lookup_counts_as_a_no() -> None:
    """Rule 31."""

    async def main() -> None:
        async with Listener() as listener, client(listener.address, node_id="b") as b:
            peer = await listener.greeted("slow")
            await until(lambda: ("slow", "actor") in b.links.dialled)
            looking = asyncio.create_task(b.lookup("x", timeout=20))
            assert (await peer.next()).type == p.LOOKUP_REQ
            await listener.deafen()
            peer.close()
            await until(lambda: not b.peers)
            async with client(b, node_id="a") as a:
                await a.spawn(Counter, name="x")
                assert (await within(looking)).node_id == "a"
                assert len(b.searches) == 0

    run(main())


def test_before_its_start_and_after_its_end_a_node_looks_only_at_home() -> None:
    """Rule 27b."""

    async def main() -> None:
        system = client(node_id="a")
        ref = await system.spawn(Counter, name="x")
        assert (str(ref), ref.node_id) == ("x on node a", "a")
        assert await system.lookup("x") is ref
        with pytest.raises(ActorNotFoundError, match="has not started"):
            await system.lookup("y")
        with pytest.raises(NodeUnreachableError):
            await system.ref("b", "y").ask(1)
        async with system:
            pass
        with pytest.raises(SystemStoppedError, match="has shut down"):
            await system.lookup("y")
        with pytest.raises(SystemStoppedError, match="has shut down"):
            await system.ref("b", "y").ask(1)

    run(main())


def test_a_node_without_a_name_has_none_before_its_start() -> None:
    """Refs to its actors can be printed and compared all the same."""

    async def main() -> None:
        system = client()
        ref = await system.spawn(Counter, name="x")
        assert system.node_id is None
        assert str(ref) == "x"
        assert ref == await system.lookup("x")
        assert not system.peers
        async with system:
            assert ref.node_id == str(system.listen)
            assert str(ref) == f"x on node {system.listen}"

    run(main())


# --------------------------------------------------------------------------------- peers that do not read


def test_a_sender_waits_for_a_node_that_does_not_read() -> None:
    """MSG-10: what cannot leave is bounded; the sender goes on when the node reads, or is gone."""

    async def main() -> None:
        letters: list[DeadLetter] = []
        async with (
            Listener() as listener,
            client(listener.address, node_id="a", on_dead_letter=letters.append) as a,
        ):
            peer = await listener.greeted()
            peer.stop_reading()
            await until(lambda: ("peer", "actor") in a.links.dialled)
            link = dialled(a, "peer")
            ref = a.ref("peer", "x")
            sending = [asyncio.create_task(ref.send(bytes(1 << 20))) for _ in range(40)]
            await until(lambda: letters)
            assert not all(send.done() for send in sending)
            assert link.backlog < 18 << 20
            assert "reads too slowly" in letters[0].reason
            with pytest.raises(NodeUnreachableError, match="reads too slowly; x was not asked"):
                await ref.ask(1)
            await listener.deafen()
            peer.close()
            await within(asyncio.gather(*sending))

    run(main())


def test_replies_to_a_peer_that_does_not_read_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """MSG-10: the node reads no more asks of it, and serves others on."""

    async def main() -> None:
        async with client(node_id="a") as a:
            await a.spawn(Odd, name="odd")
            async with peer_of(a, "idle") as idle, peer_of(a, "busy") as busy:
                idle.stop_reading()
                for number in range(2000):
                    idle.say(p.ASK_REQ, "odd", {"id": number, "message": 1 << 20})
                link = accepted(a, "idle")
                await until(lambda: link.is_paused)
                assert (await busy.ask("odd", 3))["value"] == bytes(3)
                assert link.backlog < 8 << 20
                # It reads after all, and gets every answer.
                idle.read_again()
                for number in (0, 50):
                    assert len((await idle.answer(number)).payload["value"]) == 1 << 20

    run(main())


def test_a_peer_that_asks_and_never_reads_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """MSG-10: answers that cannot be refused end the connection when they are too many."""
    monkeypatch.setattr(link_module, "HOPELESS_AT", 4 << 20)

    async def main() -> None:
        async with client(node_id="a") as a:
            mute = Mute()
            await a.spawn(lambda: mute, name="mute")
            async with peer_of(a, "idle") as idle:
                idle.stop_reading()
                for number in range(40):
                    idle.say(p.ASK_REQ, "mute", {"id": number, "message": 1})
                await until(lambda: len(mute.asked) == 40)
                for ctx in mute.asked:
                    ctx.reply(bytes(1 << 20))
                await until(lambda: not a.links.accepted)

    run(main())


def test_asks_never_hold_up_raft() -> None:
    """MSG-6: a leader stays one while actors are asked for all they are worth."""

    async def main() -> None:
        async with cluster(election_timeout=0.8) as nodes:
            leader = next(node for node in nodes if node.is_leader)
            other = next(node for node in nodes if node is not leader)
            await leader.spawn(Echo, name="echo")
            raft = leader.raft
            assert raft is not None
            term = raft.status().term
            ref = await other.lookup("echo")
            for _ in range(20):
                await asyncio.gather(*(ref.ask(bytes(10_000)) for _ in range(50)))
            assert await leader.append_command("still here")
            assert raft.status().term == term

    run(main())
