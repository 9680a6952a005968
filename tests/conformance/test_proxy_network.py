"""What a network under orders does to connections, and how it knows whose they are."""

from __future__ import annotations

import pytest

from conformance.proxy.faults import Blackhole, Drop, Fault, Hold, Refuse
from conformance.trace.record import Closed, Opened, Raw, Sent
from conformance.wire.frame import Frame
from tests.conformance.relayed import BOUND, hello, pair, ping, turns, vote
from tests.support import run

VOTES = frozenset({7})


def test_a_blackhole_swallows_new_connections_whole() -> None:
    async def main() -> None:
        async with pair() as net:
            net.network.add(Fault(Blackhole(), "n1", "n2"))
            near = await net.dial()
            near.write(hello("n1"))
            await net.seen("blackholed", "PEER_LIST")
            near.reset()
            await net.trace.wait(lambda record: isinstance(record, Closed), seconds=BOUND)
            await turns()
            assert not net.server.has_waiting

    run(main())


def test_a_refused_dialler_is_reset_and_its_target_hears_nothing() -> None:
    async def main() -> None:
        async with pair() as net:
            open_near, open_far = await net.connect("n1")
            net.network.add(Fault(Refuse(), "n1", "n2"))
            near = await net.dial()
            near.write(hello("n1"))
            assert await near.rest() == (b"", "reset")
            open_near.write(vote(1))
            await open_far.take(vote(1))
            await net.connect("n3")
            assert not net.server.has_waiting
            assert net.fates[1] == ("n1", "n2", "PEER_LIST", "dropped")
            assert net.ends == [(None, "reset")]

    run(main())


def test_everybody_can_be_refused_before_a_word_is_said() -> None:
    async def main() -> None:
        async with pair() as net:
            net.network.add(Fault(Refuse(), target="n2", times=1))
            assert await (await net.dial()).rest() == (b"", "reset")
            await net.connect("n1")

    run(main())


def test_a_partition_lets_nothing_through_either_way_and_heals() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect("n1")
            other, other_far = await net.connect("n3")
            faults = net.network.partition(["n1"], ["n2", "n3"])
            assert {(fault.source, fault.target) for fault in faults} == {
                ("n1", "n2"),
                ("n1", "n3"),
                ("n2", "n1"),
                ("n3", "n1"),
            }
            near.write(vote(1))
            await net.seen("dropped")
            far.write(ping(1))
            await net.seen("dropped", "PING")
            other.write(vote(2))
            await other_far.take(vote(2))
            late = await net.dial()
            late.write(hello("n1"))
            await net.seen("dropped", "PEER_LIST")
            assert not net.server.has_waiting
            net.network.heal()
            near.write(vote(3))
            await far.take(vote(3))

    run(main())


def test_a_hello_that_nobody_heard_is_answered_with_an_end_when_its_dialler_gives_up() -> None:
    async def main() -> None:
        async with pair() as net:
            net.network.partition(["n1"], ["n2"])
            near = await net.dial()
            near.write(hello("n1"))
            await net.seen("dropped", "PEER_LIST")
            near.finish()
            assert await near.rest() == (b"", "fin")
            assert not net.server.has_waiting

    run(main())


def test_a_reset_by_the_network_ends_both_sides_of_the_connections_of_a_pair() -> None:
    async def main() -> None:
        async with pair() as net:
            ends = [await net.connect("n1", lane) for lane in ("raft", "actor")]
            other, other_far = await net.connect("n3")
            assert await net.network.reset("n2", "n1") == 2
            for end in [end for both in ends for end in both]:
                assert await end.rest() == (b"", "reset")
            other.write(vote(1))
            await other_far.take(vote(1))
            assert net.ends == [(None, "reset")] * 2

    run(main())


@pytest.mark.parametrize("ended", ["n1", "n2"])
def test_a_direction_that_the_network_half_closes_ends_and_the_other_lives(ended: str) -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            here, there = (near, far) if ended == "n1" else (far, near)
            assert net.network.half_close(ended, "n1" if ended == "n2" else "n2") == 1
            assert await there.rest() == (b"", "fin")
            here.write(vote(1))
            await net.seen("dropped")
            there.write(ping(1))
            await here.take(ping(1))

    run(main())


def test_frames_of_a_cut_connection_arrive_late_while_a_new_one_is_in_use() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            held = Fault(Hold(), "n1", "n2", VOTES)
            net.network.add(held)
            near.write(vote(1), vote(2))
            await net.trace.wait(
                lambda record: isinstance(record, Sent) and record.frame == vote(2), seconds=BOUND
            )
            assert await net.network.cut("n1", "n2") == 1
            assert await near.rest() == (b"", "reset")
            again, again_far = await net.connect()
            again.write(ping(1))
            await again_far.take(ping(1))
            far.write(ping(7))
            await net.seen("dropped", "PING")
            assert await net.network.release(held) == 2
            await far.take(vote(1), vote(2))
            far.finish()
            assert await far.rest() == (b"", "fin")

    run(main())


def test_answers_of_a_cut_listener_arrive_late() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            held = Fault(Hold(), "n2", "n1")
            net.network.add(held)
            far.write(ping(1))
            await net.seen("held", "PING")
            assert await net.network.cut("n2", "n1") == 1
            assert await far.rest() == (b"", "reset")
            assert await net.network.release(held) == 1
            await near.take(ping(1))
            near.finish()
            assert await near.rest() == (b"", "fin")

    run(main())


def test_a_connection_that_is_cut_before_it_was_dialled_is_dialled_for_what_was_held() -> None:
    async def main() -> None:
        async with pair() as net:
            held = Fault(Hold(), "n1")
            net.network.add(held)
            near = await net.dial()
            near.write(hello("n1"))
            await net.seen("held", "PEER_LIST")
            assert await net.network.cut("n1", "n2") == 1
            assert await near.rest() == (b"", "reset")
            assert await net.network.release(held) == 1
            await (await net.server.accept()).take(hello("n1"))

    run(main())


def test_a_hello_that_comes_in_two_parts_is_waited_for_while_a_fault_may_concern_it() -> None:
    async def main() -> None:
        async with pair() as net:
            net.network.add(Fault(Drop(), "n1", "n2", VOTES))
            near = await net.dial()
            data = hello("n1", "raft").encode()
            near.write(data[:20])
            await near.drain()
            await turns()
            assert not net.server.has_waiting
            near.write(data[20:], vote(1), ping(1))
            await (await net.server.accept()).take(hello("n1", "raft"), ping(1))

    run(main())


@pytest.mark.parametrize(
    ("first", "dialler"),
    [
        (Frame(4, b"n1", b"\xc1"), "n1"),
        (Frame(4, b"\xff", b"\xc1"), None),
        (Frame(4, b"n1", b"\x81\xa5peers\x90"), None),
        (vote(1), None),
        (Frame(4, b"n1", bytes(5000)), "n1"),
    ],
    ids=["mistaken hello", "no name", "peers", "vote", "large"],
)
def test_a_dialler_is_known_by_the_name_of_its_hello(first: Frame, dialler: str | None) -> None:
    async def main() -> None:
        async with pair() as net:
            near = await net.dial()
            near.write(first)
            await (await net.server.accept()).take(first)
            opened = net.trace[0]
            assert isinstance(opened, Opened)
            assert (opened.dialler, opened.lane) == (dialler, None)

    run(main())


def test_a_node_that_is_down_ends_a_connection_whose_hello_was_read() -> None:
    async def main() -> None:
        async with pair() as net:
            net.network.add(Fault(Drop(), "n7"))
            net.network.serve("n2", None)
            near = await net.dial()
            near.write(hello("n1"))
            assert await near.rest() == (b"", "reset")
            assert net.fates == [("n1", "n2", "PEER_LIST", "passed")]
            assert net.ends == [("n2", "reset")]

    run(main())


def test_a_sender_that_dies_leaves_its_held_frames_behind() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            held = Fault(Hold())
            net.network.add(held)
            near.write(vote(1))
            await net.seen("held")
            near.reset()
            await net.trace.wait(lambda record: isinstance(record, Closed), seconds=BOUND)
            net.network.remove(held)
            assert await far.rest() == (vote(1).encode(), "reset")

    run(main())


def test_a_held_hello_dials_when_it_is_released() -> None:
    async def main() -> None:
        async with pair() as net:
            held = Fault(Hold(), "n1")
            net.network.add(held)
            near = await net.dial()
            near.write(hello("n1"))
            await net.seen("held", "PEER_LIST")
            assert not net.server.has_waiting
            assert await net.network.release(held) == 1
            far = await net.server.accept()
            await far.take(hello("n1"))

    run(main())


def test_an_opaque_connection_is_known_by_its_listener() -> None:
    async def main() -> None:
        async with pair(dialler="n1") as net:
            net.network.add(Fault(Refuse(), "n1", "n2", times=1))
            near = await net.dial()
            assert await near.rest() == (b"", "reset")
            net.network.add(Fault(Hold(), "n1"))
            near = await net.dial()
            near.write(b"\x16\x03\x01")
            await net.trace.wait(lambda record: isinstance(record, Raw), seconds=BOUND)
            net.network.heal()
            await (await net.server.accept()).take(b"\x16\x03\x01")
            assert {record.dialler for record in net.trace if isinstance(record, Opened)} == {"n1"}

    run(main())
