"""What a network under orders does to frames, byte for byte."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.proxy.direction import WAITING_BYTES_MAX
from conformance.proxy.faults import Blackhole, Corrupt, Delay, Drop, Duplicate, Fault, Hold, Slice, Throttle
from conformance.trace.record import Closed, Marked, Raw, Sent
from conformance.wire.frame import Frame
from tests.conformance.relayed import BOUND, hello, pair, ping, turns, vote
from tests.support import run

VOTES = frozenset({7})


def test_a_dropped_frame_is_missing_and_its_neighbours_are_not() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Drop(), "n1", "n2", VOTES))
            near.write(ping(1), vote(3), ping(2))
            await far.take(ping(1), ping(2))
            assert [fate[2:] for fate in net.fates[1:]] == [
                ("PING", "passed"),
                ("VOTE_REQUEST", "dropped"),
                ("PING", "passed"),
            ]

    run(main())


def test_a_fault_ends_when_it_has_hit_often_enough() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Drop(), kinds=VOTES, times=2))
            near.write(vote(1), vote(2), vote(3))
            await far.take(vote(3))

    run(main())


def test_a_fault_touches_only_its_source_target_and_lane() -> None:
    async def main() -> None:
        async with pair() as net:
            raft, raft_end = await net.connect("n1", "raft")
            actor, actor_end = await net.connect("n1", "actor")
            other, other_end = await net.connect("n3", "raft")
            net.network.add(Fault(Drop(), "n1", "n2", VOTES, lane="raft"))
            for end in (raft, actor, other):
                end.write(vote(1), ping(1))
            await raft_end.take(ping(1))
            await actor_end.take(vote(1), ping(1))
            await other_end.take(vote(1), ping(1))
            raft_end.write(vote(2))
            await raft.take(vote(2))

    run(main())


def test_a_held_frame_and_all_behind_it_wait_for_the_release() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            held = Fault(Hold(), kinds=VOTES)
            net.network.add(held)
            near.write(ping(1), vote(1), ping(2))
            await far.take(ping(1))
            near.write(vote(2), ping(3))
            near.finish()
            await net.trace.wait(lambda record: isinstance(record, Closed), seconds=BOUND)
            far.write(ping(9))
            await near.take(ping(9))
            assert await net.network.release(held) == 2
            assert await far.rest() == (stream(vote(1), ping(2), vote(2), ping(3)), "fin")

    run(main())


def test_a_release_goes_on_holding_what_comes_later() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            held = Fault(Hold(), kinds=VOTES)
            net.network.add(held)
            near.write(vote(1))
            await net.seen("held")
            assert await net.network.release(held) == 1
            await far.take(vote(1))
            near.write(vote(2))
            await net.trace.wait(
                lambda record: isinstance(record, Sent) and record.frame == vote(2), seconds=BOUND
            )
            assert await net.network.release(held) == 1
            await far.take(vote(2))

    run(main())


def test_held_frames_may_be_overtaken_where_that_is_asked() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            held = Fault(Hold(overtaken=True), kinds=VOTES)
            net.network.add(held)
            near.write(vote(1), ping(1), vote(2), ping(2))
            await far.take(ping(1), ping(2))
            near.finish()
            await net.trace.wait(lambda record: isinstance(record, Closed), seconds=BOUND)
            assert await net.network.release(held) == 2
            assert await far.rest() == (stream(vote(1), vote(2)), "fin")

    run(main())


def test_healing_releases_what_is_held_and_ends_all_faults() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Hold(), kinds=VOTES))
            net.network.add(Fault(Drop(), kinds=frozenset({17})))
            near.write(vote(1), ping(1), vote(2))
            await net.trace.wait(
                lambda record: isinstance(record, Sent) and record.frame == vote(2), seconds=BOUND
            )
            net.network.heal()
            near.write(ping(2))
            await far.take(vote(1), vote(2), ping(2))
            marks = [record.event for record in net.trace if isinstance(record, Marked)]
            assert marks == ["fault", "fault", "heal", "heal"]

    run(main())


def test_a_delayed_frame_arrives_later_and_nothing_overtakes_it() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Delay(0.05, 0.1), kinds=VOTES))
            began = time.monotonic()
            near.write(vote(1), ping(1), vote(2), ping(2))
            await far.take(vote(1))
            assert time.monotonic() - began >= 0.05
            await far.take(ping(1), vote(2), ping(2))
            delays = [record.detail for record in net.trace if isinstance(record, Sent) and record.detail]
            assert len(delays) == 2
            assert all(0.05 <= float(delay.removesuffix(" s")) <= 0.1 for delay in delays)

    run(main())


def test_the_end_does_not_overtake_a_delayed_frame() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Delay(0.05, 0.05), kinds=VOTES))
            near.write(vote(1))
            await net.seen("delayed")
            near.reset()
            assert await far.rest() == (vote(1).encode(), "reset")

    run(main())


def test_a_duplicated_frame_arrives_again_at_once() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Duplicate(2), kinds=VOTES))
            near.write(vote(1), ping(1))
            await far.take(vote(1), vote(1), vote(1), ping(1))
            assert [fate[2:] for fate in net.fates[1:]] == [("VOTE_REQUEST", "duplicated"), ("PING", "passed")]

    run(main())


def test_a_sliced_frame_arrives_in_segments_of_their_own() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Slice(5, pause=0.02), kinds=VOTES))
            near.write(ping(1), vote(1), ping(2))
            await far.take(ping(1))
            pieces: list[bytes] = []
            while sum(map(len, pieces)) < vote(1).size:
                pieces.append(await far.read(1000))
            # On a busy machine two may be read together, and the last with what follows.
            assert b"".join(pieces).startswith(vote(1).encode())
            assert len(pieces) > 1
            await far.take(ping(2).encode()[len(b"".join(pieces)) - vote(1).size :])

    run(main())


def test_slices_of_a_byte_arrive_whole() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Slice()))
            near.write(vote(1), ping(1))
            near.finish()
            assert await far.rest() == (stream(vote(1), ping(1)), "fin")

    run(main())


def test_a_throttled_frame_takes_its_time() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Throttle(20_000), kinds=frozenset({1})))
            frame = Frame(1, b"a", bytes(4000))
            began = time.monotonic()
            near.write(frame, ping(1))
            await far.take(frame, ping(1))
            assert 0.15 < time.monotonic() - began < 5

    run(main())


def test_a_throttled_direction_stops_the_reading_from_its_sender() -> None:
    async def main() -> None:
        async with pair() as net:
            near, _ = await net.connect()
            net.network.add(Fault(Throttle(10), kinds=frozenset({1})))
            near.write(*(Frame(1, b"a", bytes(1 << 20)) for _ in range(40)))
            await net.seen("throttled", "ACTOR_MSG")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await near.drain()
            read = sum(record.frame.size for record in net.trace if isinstance(record, Sent))
            assert read <= WAITING_BYTES_MAX + (3 << 20)

    run(main())


@pytest.mark.parametrize(("offset", "place"), [(0, 0), (9, 9), (-1, 15)])
def test_a_corrupted_frame_differs_in_one_byte(offset: int, place: int) -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Corrupt(offset, 0x81), kinds=VOTES))
            wanted = bytearray(vote(1).encode())
            wanted[place] ^= 0x81
            near.write(vote(1), ping(1))
            await far.take(bytes(wanted), ping(1))
            [sent] = [record for record in net.trace if isinstance(record, Sent) and record.fate == "corrupted"]
            assert (sent.frame, sent.detail) == (vote(1), f"byte {place} by 0x81")

    run(main())


def test_a_frame_without_the_byte_to_corrupt_passes() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            net.network.add(Fault(Corrupt(500)))
            near.write(vote(1))
            await far.take(vote(1))
            assert net.fates[1:] == [("n1", "n2", "VOTE_REQUEST", "passed")]

    run(main())


def test_a_blackhole_swallows_frames_and_the_end_until_it_is_removed() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            hole = Fault(Blackhole(), "n1", "n2")
            net.network.add(hole)
            near.write(vote(1))
            near.finish()
            await net.trace.wait(lambda record: isinstance(record, Closed), seconds=BOUND)
            far.write(ping(1))
            await near.take(ping(1))
            net.network.remove(hole)
            assert await far.rest() == (b"", "fin")
            assert net.fates[1:] == [
                ("n1", "n2", "VOTE_REQUEST", "blackholed"),
                ("n2", "n1", "PING", "passed"),
            ]

    run(main())


def test_a_frame_of_which_a_part_has_gone_is_not_touched_any_more() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            data = vote(1).encode()
            near.write(data[:10])
            await far.take(data[:10])
            net.network.add(Fault(Drop()))
            near.write(data[10:], vote(2))
            await net.seen("dropped")
            await far.take(data[10:])
            assert [fate[3] for fate in net.fates[1:]] == ["passed", "dropped"]

    run(main())


def test_faults_add_up_in_the_order_of_their_addition() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            for action in (Delay(0, 0.001), Duplicate(), Corrupt(-1, 1), Drop()):
                net.network.add(Fault(action, kinds=VOTES, times=None if action != Drop() else 0))
            near.write(vote(2))
            await far.take(vote(2), vote(3))
            [sent] = [record for record in net.trace if isinstance(record, Sent) and record.frame == vote(2)]
            assert sent.fate == "delayed"
            assert sent.detail.endswith("s; duplicated 2 in all; corrupted byte 31 by 0x01")

    run(main())


def test_garbage_meets_the_faults_that_ask_for_no_kind() -> None:
    async def main() -> None:
        async with pair() as net:
            net.network.add(Fault(Drop(), kinds=VOTES))
            net.network.add(Fault(Duplicate()))
            near = await net.dial()
            garbage = b"\x16\x00\x00\xff\xff\xff\xff" * 6
            near.write(garbage)
            far = await net.server.accept()
            await far.take(garbage)
            net.network.add(Fault(Drop(), target="n2"))
            near.write(garbage)
            await net.trace.wait(
                lambda record: isinstance(record, Raw) and "dropped" in record.problem, seconds=BOUND
            )
            net.network.heal()
            # A stream of which something is missing stays dead: what follows would be taken for something else.
            near.write(garbage)
            near.finish()
            assert await far.rest() == (b"", "fin")

    run(main())


@settings(max_examples=20)
@given(
    frames=st.lists(st.builds(vote, st.integers(0, 255)) | st.builds(ping, st.integers(0, 255)), max_size=12),
    cuts=st.lists(st.integers(0, 400), max_size=6),
    when=st.integers(0, 6),
)
def test_what_is_not_dropped_arrives_in_order_however_it_is_cut(
    frames: list[Frame], cuts: list[int], when: int
) -> None:
    sent = stream(hello("n1"), *frames)
    places = sorted({min(cut, len(sent)) for cut in cuts} | {0, len(sent)})

    async def main() -> None:
        async with pair() as net:
            near = await net.dial()
            for number, start in enumerate(places[:-1]):
                if number == when:
                    net.network.add(Fault(Drop(), "n1", "n2", VOTES))
                    net.network.add(Fault(Delay(0, 0.0001), probability=0.5))
                near.write(sent[start : places[number + 1]])
                await near.drain()
                await turns(3)
            near.finish()
            got = await (await net.server.accept()).rest()
            records = [record for record in net.trace if isinstance(record, Sent)]
            assert [record.frame for record in records] == [hello("n1"), *frames]
            assert got == (stream(*(r.frame for r in records if r.fate != "dropped")), "fin")

    run(main())


def stream(*frames: Frame) -> bytes:
    return b"".join(frame.encode() for frame in frames)
