"""Messages: order, dead letters, fairness, and what an actor's own context is worth (spec/actors.md)."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pytest

from casty.actor import Actor, Context
from casty.dead_letters import DeadLetter
from casty.errors import ActorStoppedError, AskTimeoutError, SerializationError
from casty.system import ActorSystem
from casty.testing import Probe
from tests.support import run


@dataclass(frozen=True)
class Pause:
    """Keeps an actor busy until `go` is set; `begun` is set when it is."""

    begun: asyncio.Event
    go: asyncio.Event

    @classmethod
    def new(cls) -> Pause:
        return cls(asyncio.Event(), asyncio.Event())


class Recorder(Actor[Any]):
    """Writes down what it handles, replies to "list" with it, and calls what can be called."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        match msg:
            case Pause(begun, go):
                begun.set()
                await go.wait()
            case "list":
                ctx.reply(list(self.seen))
            case _ if callable(msg):
                msg()
            case _:
                self.seen.append(msg)


def logged(caplog: pytest.LogCaptureFixture, by: str = "casty", level: int = logging.WARNING) -> list[str]:
    """What was logged. Without asyncio's debug mode, which has much to say on a busy machine."""
    found = [record for record in caplog.records if record.name.partition(".")[0] == by]
    return [record.getMessage() for record in found if record.levelno >= level]


def test_a_message_is_handled_after_the_one_before_it_has_been() -> None:
    """[ACTOR-1]"""

    class Slow(Actor[str]):
        async def receive(self, msg: str, ctx: Context[str]) -> None:
            steps.append(f"{msg} begins")
            await asyncio.sleep(0)
            steps.append(f"{msg} ends")

    steps: list[str] = []

    async def main() -> None:
        async with ActorSystem() as system:
            slow = await system.spawn(Slow)
            await asyncio.gather(slow.send("a"), slow.send("b"))

    run(main())
    assert steps == ["a begins", "a ends", "b begins", "b ends"]


def test_messages_of_many_senders_are_handled_in_the_order_of_the_calls() -> None:
    """[ACTOR-2]"""

    async def main() -> None:
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
            await asyncio.gather(*(recorder.send(number) for number in range(3000)))
            assert await recorder.ask("list") == list(range(3000))

    run(main())


def test_an_ask_does_not_overtake_the_messages_sent_before_it() -> None:
    """[ACTOR-2] Although the actor, woken by the first message, has not run yet when the ask comes."""

    async def main() -> None:
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
            await recorder.send("first")
            assert await recorder.ask("list") == ["first"]

    run(main())


def test_sending_to_a_stopped_actor_makes_a_dead_letter(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-3]"""
    letters: list[DeadLetter] = []

    async def main() -> None:
        async with ActorSystem(on_dead_letter=letters.append) as system:
            recorder = await system.spawn(Recorder, name="recorder")
            await system.stop(recorder)
            await recorder.send("too late")
            assert system.dead_letter_count == 1

    with caplog.at_level(logging.DEBUG, logger="casty"):
        run(main())
    assert letters == [DeadLetter("too late", "recorder", None, "actor recorder has stopped")]
    assert "dead letter for recorder: str (actor recorder has stopped)" in logged(caplog, level=logging.DEBUG)


def test_sending_after_the_system_has_shut_down_makes_a_dead_letter() -> None:
    """[ACTOR-3]"""

    async def main() -> int:
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
        await recorder.send("too late")
        return system.dead_letter_count

    assert run(main()) == 1


def test_a_dead_letter_hook_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-3]"""

    def hook(letter: DeadLetter) -> None:
        raise ValueError(letter.message)

    async def main() -> None:
        async with ActorSystem(on_dead_letter=hook) as system:
            recorder = await system.spawn(Recorder)
            await system.stop(recorder)
            await recorder.send("too late")

    run(main())
    assert logged(caplog) == ["on_dead_letter raised on str"]


def test_a_busy_actor_lets_others_run_after_64_messages() -> None:
    """[ACTOR-4]"""

    async def main() -> list[Any]:
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
            for number in range(200):
                await recorder.send(number)
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # one turn in which the actor starts, and one batch
            cell = system._registry.find(recorder.address)
            assert cell is not None
            assert isinstance(cell.actor, Recorder)
            return list(cell.actor.seen)

    assert len(run(main())) in (64, 128)


def test_awaiting_sends_in_a_loop_does_not_starve_the_receiver() -> None:
    """[ACTOR-4] With a plain queue, 10,000 awaited puts leave the consumer without a single turn."""

    async def main() -> int:
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
            backlog_max = 0
            cell = system._registry.find(recorder.address)
            assert cell is not None
            for number in range(10_000):
                await recorder.send(number)
                backlog_max = max(backlog_max, len(cell.inbox or ()))
            return backlog_max

    assert run(main()) <= 1025 + 64


def test_asking_in_a_loop_does_not_starve_the_others() -> None:
    """[ACTOR-4] Though none of these asks needs a turn of the loop."""

    async def main() -> int:
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        loop.call_soon(turn)
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
            for _ in range(2560):
                await recorder.ask("list")
        return turns

    assert run(main()) >= 10


def test_an_unknown_message_is_delivered_and_its_ask_ends_without_a_reply() -> None:
    """[ACTOR-6]"""

    class Picky(Actor[int]):
        async def receive(self, msg: int, ctx: Context[int]) -> None:
            match msg:
                case int():
                    ctx.reply(msg)

    async def main() -> None:
        async with ActorSystem() as system:
            picky: Any = await system.spawn(Picky)
            with pytest.raises(AskTimeoutError, match="handled without a reply"):
                await picky.ask("not an int", timeout=0.01)

    run(main())


class Copying(ActorSystem):
    """Copies only lists, so that there is something that cannot be copied."""

    def _copy(self, message: Any) -> Any:
        if not isinstance(message, list):
            raise SerializationError(f"{message!r} is not a list")
        return list(message)


class Keeper(Actor[list[int]]):
    """Keeps the first list it is sent, and replies with it, or with something that cannot be copied."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    async def receive(self, msg: list[int], ctx: Context[list[int]]) -> None:
        self.kept = self.kept or msg
        ctx.reply("not a list" if msg == [0] else self.kept)


def test_messages_are_passed_by_reference() -> None:
    """[ACTOR-7]"""

    async def main() -> None:
        async with ActorSystem() as system:
            keeper = await system.spawn(Keeper)
            numbers = [1]
            assert await keeper.ask(numbers) is numbers

    run(main())


def test_messages_and_replies_are_copied_where_that_is_asked_for() -> None:
    """[ACTOR-7]"""

    async def main() -> None:
        async with Copying(copy_messages=True) as system:
            keeper = await system.spawn(Keeper)
            numbers = [1]
            await keeper.send(numbers)
            numbers.append(2)
            reply = await keeper.ask([])
            assert reply == [1]
            reply.append(3)
            assert await keeper.ask([]) == [1]

    run(main())


def test_a_message_that_cannot_be_copied_raises_in_its_sender_and_is_not_sent() -> None:
    """[ACTOR-7]"""

    async def main() -> None:
        async with Copying(copy_messages=True) as system:
            keeper: Any = await system.spawn(Keeper)
            with pytest.raises(SerializationError, match="'text' is not a list"):
                await keeper.send("text")
            with pytest.raises(SerializationError, match="'text' is not a list"):
                await keeper.ask("text")
            assert await keeper.ask([5]) == [5]

    run(main())


def test_a_reply_that_cannot_be_copied_raises_in_the_asker_and_spares_the_actor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """[ACTOR-7]"""

    async def main() -> None:
        async with Copying(copy_messages=True) as system:
            keeper = await system.spawn(Keeper)
            with pytest.raises(SerializationError, match="'not a list' is not a list"):
                await keeper.ask([0])
            assert await keeper.ask([5]) == [0]

    run(main())
    assert logged(caplog) == ["a reply of type str cannot be copied"]


request: ContextVar[str] = ContextVar("request", default="none")


class Reader(Actor[str]):
    """Replies with the context variable, and sets it when told to."""

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        if msg != "read":
            request.set(msg)
        ctx.reply(request.get())


def test_an_actor_has_the_context_variables_of_its_spawner_whoever_wakes_it() -> None:
    """[ACTOR-15]"""

    async def main() -> None:
        async with ActorSystem() as system:
            request.set("the spawner's")
            reader = await system.spawn(Reader)
            request.set("the asker's")
            assert await reader.ask("read") == "the spawner's"
            await reader.send("its own")
            assert await reader.ask("read") == "its own"
            assert request.get() == "the asker's"

    run(main())


def test_an_idle_actor_has_no_task() -> None:
    """[ACTOR-15]"""

    async def main() -> None:
        async with ActorSystem() as system:
            recorders = [await system.spawn(Recorder) for _ in range(100)]
            for recorder in recorders:
                await recorder.send("work")
                await recorder.ask("list")
            assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_asking_an_idle_actor_takes_no_turn_of_the_loop() -> None:
    """[ACTOR-15]"""

    async def main() -> None:
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
            turned = False

            def turn() -> None:
                nonlocal turned
                turned = True

            asyncio.get_running_loop().call_soon(turn)
            assert await recorder.ask("list") == []
            assert not turned

    run(main())


class Link(Actor[str]):
    """One of a chain; passes the ask on to the next, and replies with how long the chain is from here."""

    def __init__(self, next_link: Any) -> None:
        self.next_link = next_link

    async def receive(self, msg: str, ctx: Context[str]) -> None:
        ctx.reply(1 if self.next_link is None else 1 + await self.next_link.ask(msg, timeout=None))


def test_a_long_chain_of_asks_does_not_overflow_the_stack() -> None:
    """[ACTOR-15] Three hundred actors, each asking the next from within its own receive."""

    async def main() -> Any:
        async with ActorSystem() as system:
            link: Any = None
            for _ in range(300):
                link = await system.spawn(Link, next_link=link)
            return await link.ask("how long?")

    assert run(main()) == 300


class Nested(Actor[int]):
    """Spawns another one inside its `on_start`, and that one another, `depth` times."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    async def on_start(self) -> None:
        if self.depth:
            await self.context.spawn(Nested, name=f"nested-{self.depth}", depth=self.depth - 1)

    async def receive(self, msg: int, ctx: Context[int]) -> None: ...


def test_starting_actors_inside_one_another_does_not_overflow_the_stack() -> None:
    """[ACTOR-15]"""

    async def main() -> None:
        async with ActorSystem() as system:
            await system.spawn(Nested, depth=300)
            await system.lookup("nested-1")

    run(main())


def test_a_bounded_mailbox_makes_senders_wait_in_order() -> None:
    """[ACTOR-5]"""

    async def main() -> None:
        async with ActorSystem(mailbox_size=2) as system:
            recorder = await system.spawn(Recorder)
            pause = Pause.new()
            await recorder.send(pause)
            await pause.begun.wait()
            senders = [asyncio.create_task(recorder.send(number)) for number in range(5)]
            await asyncio.sleep(0)
            assert [sender.done() for sender in senders] == [True, True, False, False, False]
            pause.go.set()
            await asyncio.gather(*senders)
            assert await recorder.ask("list") == [0, 1, 2, 3, 4]

    run(main())


def test_a_sender_goes_on_as_soon_as_there_is_room() -> None:
    """[ACTOR-5] Not only when the mailbox is empty: the third message needs the first two to be handled."""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            recorder = await system.spawn(Recorder)
            first, second = Pause.new(), Pause.new()
            await recorder.send(first)
            await first.begun.wait()
            await recorder.send(second)
            third = asyncio.create_task(recorder.send(3))
            await asyncio.sleep(0)
            assert not third.done()
            first.go.set()
            await second.begun.wait()
            await third
            second.go.set()
            assert await recorder.ask("list") == [3]

    run(main())


def test_a_cancelled_sender_takes_its_message_back() -> None:
    """[ACTOR-5] And the ones behind it move up."""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            recorder = await system.spawn(Recorder)
            pause = Pause.new()
            await recorder.send(pause)
            await pause.begun.wait()
            senders = [asyncio.create_task(recorder.send(number)) for number in range(4)]
            await asyncio.sleep(0)
            senders[1].cancel()
            await asyncio.wait([senders[1]])
            assert senders[1].cancelled()
            pause.go.set()
            await asyncio.gather(senders[0], senders[2], senders[3])
            assert await recorder.ask("list") == [0, 2, 3]

    run(main())


def test_a_sender_cancelled_when_its_message_has_room_has_sent_it() -> None:
    """[ACTOR-5]"""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            recorder = await system.spawn(Recorder)
            pause = Pause.new()
            await recorder.send(pause)
            await pause.begun.wait()
            senders: list[asyncio.Task[None]] = []
            await recorder.send(lambda: senders[0].cancel())
            senders.append(asyncio.create_task(recorder.send("sent")))
            await asyncio.sleep(0)
            pause.go.set()
            await asyncio.wait(senders)
            assert senders[0].cancelled()
            assert await recorder.ask("list") == ["sent"]

    run(main())


def test_a_sender_cancelled_while_the_actor_is_faster_has_sent_it() -> None:
    """[ACTOR-5] Woken first, the actor has handled the message before its sender can take it back."""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            recorder = await system.spawn(Recorder)
            pause = Pause.new()
            await recorder.send(pause)
            await pause.begun.wait()
            await recorder.send("first")
            sender = asyncio.create_task(recorder.send("second"))
            await asyncio.sleep(0)
            pause.go.set()
            sender.cancel()
            await asyncio.wait([sender])
            assert sender.cancelled()
            assert await recorder.ask("list") == ["first", "second"]

    run(main())


def test_a_cancelled_sender_that_was_being_let_in_leaves_its_room_to_the_next() -> None:
    """[ACTOR-5] The actor took the message before its own, which made room for it, when it was gone already."""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            recorder = await system.spawn(Recorder)
            first, second = Pause.new(), Pause.new()
            await recorder.send(first)
            await first.begun.wait()
            await recorder.send(second)
            gone, next_one = (asyncio.create_task(recorder.send(name)) for name in ("gone", "next"))
            await asyncio.sleep(0)
            first.go.set()
            gone.cancel()
            await second.begun.wait()
            await next_one
            second.go.set()
            assert await recorder.ask("list") == ["next"]

    run(main())


class Busy(Actor[int]):
    """Sends itself as many messages as the first one says."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, msg: int, ctx: Context[int]) -> None:
        self.count += 1
        for _ in range(msg):
            await ctx.self_ref.send(0)
        ctx.reply(self.count)


def test_an_actor_never_waits_for_room_in_its_own_mailbox() -> None:
    """[ACTOR-5]"""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            busy = await system.spawn(Busy)
            assert await busy.ask(10) == 1
            assert await busy.ask(0) == 12

    run(main())


def test_a_held_back_sender_outlasts_messages_the_actor_sends_itself() -> None:
    """[ACTOR-5]"""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            busy = await system.spawn(Busy)
            asks = [asyncio.create_task(busy.ask(number)) for number in (3, 0, 0)]
            sends = [asyncio.create_task(busy.send(0)) for _ in range(3)]
            await asyncio.gather(*asks, *sends)
            assert await busy.ask(0) == 10

    run(main())


def test_senders_held_back_are_let_go_when_the_actor_stops() -> None:
    """[ACTOR-5] Their messages are dead letters."""

    async def main() -> int:
        async with ActorSystem(mailbox_size=1) as system:
            recorder = await system.spawn(Recorder)
            pause = Pause.new()
            await recorder.send(pause)
            await pause.begun.wait()
            senders = [asyncio.create_task(recorder.send(number)) for number in range(3)]
            await asyncio.sleep(0)
            await system.stop(recorder, timeout=0)
            await asyncio.gather(*senders)
            return system.dead_letter_count

    assert run(main()) == 3


def test_askers_are_not_held_back_twice() -> None:
    """[ACTOR-5] An ask in a full mailbox takes its place at once, and waits for the answer only."""

    async def main() -> None:
        async with ActorSystem(mailbox_size=1) as system:
            recorder = await system.spawn(Recorder)
            pause = Pause.new()
            await recorder.send(pause)
            await pause.begun.wait()
            asks = [asyncio.create_task(recorder.ask("list")) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            pause.go.set()
            assert await asyncio.gather(*asks) == [[], [], []]

    run(main())


@pytest.mark.parametrize("size", [0, -1])
def test_a_mailbox_has_room_for_one_message_at_least(size: int) -> None:
    """[ACTOR-5]"""
    with pytest.raises(ValueError, match=f"mailbox_size is {size}"):
        ActorSystem(mailbox_size=size)


def test_send_after_delivers_to_the_actor_itself() -> None:
    """[ACTOR-28]"""

    async def main() -> None:
        async with ActorSystem() as system:
            probe = Probe[str]()
            await system.spawn(lambda: probe)
            probe.context.send_after(0.001, "tick")
            await probe.expect("tick")

    run(main())


def test_send_after_can_be_cancelled() -> None:
    """[ACTOR-28]"""

    async def main() -> None:
        async with ActorSystem() as system:
            probe = Probe[str]()
            await system.spawn(lambda: probe)
            probe.context.send_after(0, "never").cancel()
            probe.context.send_after(0.001, "tick")
            await probe.expect("tick")
            assert probe.unread == 0

    run(main())


def test_timers_end_with_their_actor() -> None:
    """[ACTOR-28] They are cancelled, and neither they nor later ones become dead letters."""

    async def main() -> int:
        async with ActorSystem() as system:
            probe = Probe[str]()
            ref = await system.spawn(lambda: probe)
            context = probe.context
            before = context.send_after(0.01, "never")
            await system.stop(ref)
            after = context.send_after(0.01, "never")
            assert before.cancelled()
            assert after.cancelled()
            return system.dead_letter_count

    assert run(main()) == 0


def test_a_timer_that_fires_as_its_actor_stops_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """[ACTOR-28] It is due, so nothing can cancel it any more, but its callback has not run yet."""

    async def main() -> int:
        async with ActorSystem() as system:
            probe = Probe[str]()
            ref = await system.spawn(lambda: probe)
            timers = [probe.context.send_after(-1, "never") for _ in range(100)]
            await system.stop(ref)
            fired = asyncio.Event()
            asyncio.get_running_loop().call_later(0, fired.set)
            await fired.wait()
            assert len(timers) == 100
            return system.dead_letter_count

    assert run(main()) == 0
    assert logged(caplog, by="asyncio", level=logging.ERROR) == []


def test_a_probe_compares_what_it_is_sent() -> None:
    """The helper for users' tests, not a rule."""

    async def main() -> None:
        async with ActorSystem() as system:
            probe = Probe[str]()
            ref = await system.spawn(lambda: probe)
            question = asyncio.create_task(ref.ask("how much?"))
            (await probe.expect("how much?")).reply(5)
            assert await question == 5
            await ref.send("b")
            with pytest.raises(AssertionError, match="expected 'a', but 'b' came"):
                await probe.expect("a")
            with pytest.raises(AssertionError, match="none came in 0 s"):
                await probe.expect("c", timeout=0)

    run(main())


def test_an_ask_to_a_stopped_actor_is_no_dead_letter() -> None:
    """[ACTOR-3] Its asker knows."""

    async def main() -> int:
        async with ActorSystem() as system:
            recorder = await system.spawn(Recorder)
            await system.stop(recorder)
            with pytest.raises(ActorStoppedError):
                await recorder.ask("list")
            return system.dead_letter_count

    assert run(main()) == 0
