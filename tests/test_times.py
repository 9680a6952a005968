"""What is no time, no count and no flag is refused wherever one is given, before anything is done with it."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from casty import Actor, ActorSystem, Context, DistributedActorSystem
from casty.arguments import SECONDS_MAX, checked_count, checked_flag, checked_seconds, checked_timeout
from casty.testing import Probe
from conformance import cli

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NO_TIMES: dict[str, Any] = {
    "NaN": math.nan,
    "negative": -0.001,
    "minus infinity": -math.inf,
    "infinite": math.inf,
    "huge": 1e300,
    "a huge int": 10**400,
    "text": "5",
    "True": True,
    "False": False,
    "a timedelta": timedelta(seconds=5),
    "a decimal": Decimal(5),
    "a list": [5],
    "complex": 5j,
    "what cannot be shown": [10**5000],
    "bytes": b"5",
}


def kind_of(wrong: object) -> type[Exception]:
    """ValueError for numbers out of bounds, TypeError for what is no number."""
    is_number = isinstance(wrong, (int, float)) and not isinstance(wrong, bool)
    return ValueError if is_number else TypeError


# ---------------------------------------------------------------------------------------------- the one check


@pytest.mark.parametrize("wrong", NO_TIMES.values(), ids=NO_TIMES)
def test_what_is_no_time_is_refused_with_its_value(wrong: Any) -> None:
    """[ACTOR-37]: the text names the argument, and shows in few characters what was given."""
    with pytest.raises(kind_of(wrong), match=r"^delay must be .*, not ") as raised:
        checked_seconds("delay", wrong)
    assert len(str(raised.value)) < 200
    with pytest.raises(kind_of(wrong), match="None waits without a bound"):
        checked_timeout(wrong)


@pytest.mark.parametrize("right", [0, 0.0, -0.0, 1, 5e-324, 2.5, SECONDS_MAX, int(SECONDS_MAX)])
def test_what_is_a_time_is_one(right: float) -> None:
    """[ACTOR-37]: an int is as good as a float."""
    assert checked_seconds("delay", right) == right
    assert type(checked_timeout(right)) is float
    assert checked_timeout(None) is None


@pytest.mark.parametrize("wrong", [0, -1, 10, True, False, 2.0, math.nan, "5", None, 10**400])
def test_what_is_no_count_is_refused(wrong: Any) -> None:
    """[ACTOR-37]."""
    is_number = isinstance(wrong, int) and not isinstance(wrong, bool)
    with pytest.raises(ValueError if is_number else TypeError, match=r"^size must be "):
        checked_count("size", wrong, least=1, most=9)
    assert [checked_count("size", size, least=1, most=9) for size in (1, 9)] == [1, 9]


@pytest.mark.parametrize("wrong", [0, 1, "no", None, []])
def test_what_is_no_flag_is_refused(wrong: Any) -> None:
    """[ACTOR-37]: "no" would count as yes."""
    with pytest.raises(TypeError, match=r"^member must be True or False, not "):
        checked_flag("member", wrong)
    assert checked_flag("member", True) is True


# ------------------------------------------------------------------------------------- wherever one is given


class Counting(Actor[Any]):
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.count = 0

    async def receive(self, msg: Any, ctx: Context[Any]) -> None:
        self.count += 1
        ctx.reply(self.count)


type Given = Callable[[DistributedActorSystem, Any], Awaitable[Any]]

TIMEOUTS: dict[str, Given] = {
    "ask here": lambda system, time: system.ref("n1", "here").ask("x", timeout=time),
    "ask elsewhere": lambda system, time: system.ref("n2", "there").ask("x", timeout=time),
    "lookup": lambda system, time: system.lookup("here", timeout=time),
    "lookup of nobody": lambda system, time: system.lookup("nobody", timeout=time),
    "stop": lambda system, time: system.stop(system.ref("n1", "here"), timeout=time),
    "append_command": lambda system, time: system.append_command("x", timeout=time),
    "wait_ready": lambda system, time: system.wait_ready(time),
    "Probe.next": lambda system, time: Probe[Any]().next(time),
    "Probe.expect": lambda system, time: Probe[Any]().expect("x", time),
}


@pytest.mark.parametrize("wrong", NO_TIMES.values(), ids=NO_TIMES)
async def test_a_call_with_a_timeout_that_is_none_does_nothing(wrong: Any) -> None:
    """[ACTOR-37]: nothing is sent, appended or stopped, on a node that could."""
    fast: dict[str, Any] = {"heartbeat_interval": 0.01, "election_timeout": 0.02}
    async with DistributedActorSystem("127.0.0.1", 0, (), 1, node_id="n1", **fast) as system:
        here = await system.spawn(Counting, name="here")
        await system.wait_ready(20)
        index = system.commit_index
        for call in TIMEOUTS.values():
            with pytest.raises(kind_of(wrong), match="timeout must be "):
                await call(system, wrong)
        assert await here.ask("x") == 1
        assert system.commit_index == index


async def test_none_is_no_bound_wherever_a_timeout_is_given() -> None:
    """[ACTOR-37]."""
    fast: dict[str, Any] = {"heartbeat_interval": 0.01, "election_timeout": 0.02}
    async with (
        asyncio.timeout(20),
        DistributedActorSystem("127.0.0.1", 0, (), 1, shutdown_timeout=None, node_id="n1", **fast) as system,
    ):
        await system.wait_ready(None)
        here = await system.spawn(Counting, name="here")
        assert await here.ask("x", timeout=None) == 1
        assert await system.append_command("x", timeout=None) is True
        looking = asyncio.create_task(system.lookup("late", timeout=None))
        await asyncio.sleep(0)
        probe = Probe[Any]()
        late = await system.spawn(lambda: probe, name="late")
        assert await looking == late
        await late.send("x")
        await probe.expect("x", None)
        await system.stop(here, timeout=None)


@pytest.mark.parametrize("wrong", NO_TIMES.values(), ids=NO_TIMES)
async def test_an_actor_has_no_such_times(wrong: Any) -> None:
    """[ACTOR-37], [ACTOR-23], [ACTOR-28]: its delays, and the time it has for `on_stop`."""

    class Odd(Counting):
        stop_timeout = wrong

    async with ActorSystem() as system:
        probe = Probe[str]()
        ref = await system.spawn(lambda: probe)
        with pytest.raises(kind_of(wrong), match="delay must be"):
            probe.context.send_after(wrong, "never")
        with pytest.raises(kind_of(wrong), match=r"Odd\.stop_timeout must be"):
            await system.spawn(Odd, name="odd")
        with pytest.raises(kind_of(wrong)):
            await ref.ask("x", timeout=wrong)
        assert probe.unread == 0


async def test_an_actor_may_take_its_time_to_stop() -> None:
    """[ACTOR-23]: None is no bound."""

    class Patient(Counting):
        stop_timeout = None

        async def on_stop(self) -> None:
            await asyncio.sleep(0)
            stopped.append(self.count)

    stopped: list[int] = []
    async with ActorSystem() as system:
        await (await system.spawn(Patient)).ask("x")
    assert stopped == [1]


# ---------------------------------------------------------------------------------------------- constructors


TIMES = ("heartbeat_interval", "election_timeout", "shutdown_timeout")


@pytest.mark.parametrize("option", TIMES)
@pytest.mark.parametrize("wrong", NO_TIMES.values(), ids=NO_TIMES)
def test_a_node_has_no_such_times(option: str, wrong: Any) -> None:
    """[ACTOR-37]."""
    with pytest.raises(kind_of(wrong), match=f"^{option} must be "):
        DistributedActorSystem("127.0.0.1", 0, **{option: wrong})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heartbeat_interval": 0}, "heartbeat_interval must be 0.001 to 3600 seconds, not 0"),
        ({"election_timeout": 3601}, "election_timeout must be 0.001 to 3600 seconds, not 3601"),
        ({"heartbeat_interval": None}, "heartbeat_interval must be a number of seconds, not None"),
        ({"expected_cluster_size": True}, "expected_cluster_size must be a whole number, not True"),
        ({"expected_cluster_size": 3.0}, r"expected_cluster_size must be a whole number, not 3\.0"),
        ({"expected_cluster_size": "3"}, "expected_cluster_size must be a whole number, not '3'"),
        ({"mailbox_size": 2.5}, r"mailbox_size must be a whole number, not 2\.5"),
        ({"mailbox_size": True}, "mailbox_size must be a whole number, not True"),
        ({"mailbox_size": 0}, "mailbox_size must be at least 1, not 0"),
        ({"snapshot_every": 0.5}, r"snapshot_every must be a whole number, not 0\.5"),
        ({"snapshot_every": True}, "snapshot_every must be a whole number, not True"),
        ({"max_frame_size": 1e6}, "max_frame_size must be a whole number, not 1000000"),
        ({"max_frame_size": None}, "max_frame_size must be a whole number, not None"),
        ({"random_seed": "7"}, "random_seed must be a whole number, not '7'"),
        ({"random_seed": True}, "random_seed must be a whole number, not True"),
        ({"port": True}, "port must be a whole number, not True"),
        ({"port": "80"}, "port must be a whole number, not '80'"),
        ({"port": 10**400}, r"port must be 0 to 65535, not a number of 1,\d+ bits"),
        ({"host": None}, "host must be a str, not None"),
        ({"node_id": 5}, "node_id must be a str, not 5"),
        ({"seeds": [8001]}, "a seed must be a str, not 8001"),
        ({"seeds": 8001}, "seeds must be a collection of addresses, not 8001"),
        ({"advertise": ("h", 1)}, r"advertise must be a str, not \('h', 1\)"),
        ({"cluster": None}, "cluster must be a str, not None"),
        ({"member": "no"}, "member must be True or False, not 'no'"),
        ({"copy_messages": 1}, "copy_messages must be True or False, not 1"),
        ({"on_dead_letter": "print"}, "on_dead_letter must be a function or another callable, not 'print'"),
    ],
)
def test_a_node_has_no_such_sizes_counts_and_flags(options: dict[str, Any], words: str) -> None:
    """[ACTOR-37]."""
    with pytest.raises((TypeError, ValueError), match=words):
        DistributedActorSystem(**{"host": "127.0.0.1", "port": 0, **options})


# --------------------------------------------------------------------------------------------- command lines


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "1e300", "x", "", "0x10"])
def test_the_suite_takes_no_such_scale(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By it all its bounds of time are multiplied."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", f"--scale={text}", "--", "true"])
    assert ended.value.code == cli.USAGE
    assert "is no number above 0, at most 100" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "9" * 30, "٣", "nan", ""])
def test_the_suite_takes_no_such_counts(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of workers, for instance."""
    for option in ("--workers", "--repeat"):
        with pytest.raises(SystemExit):
            cli.main(["run", f"{option}={text}", "--", "true"])
        assert "is no whole number from 1 to" in capsys.readouterr().err
