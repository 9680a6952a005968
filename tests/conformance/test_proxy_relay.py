"""A relay of which nothing is asked: every byte and every end arrives as it was sent."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance._protocol import FRAME_BYTES_MAX
from conformance.proxy.relay import Relay, split_address
from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.trace.store import Trace
from conformance.wire.frame import Frame
from tests.conformance.relayed import BOUND, Server, Socket, dial, hello, pair, ping, vote
from tests.support import run

GARBAGE = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"
TLS = bytes.fromhex("16030100f8010000f40303") + bytes(range(200))


def test_frames_pass_in_both_directions_and_are_recorded_before_they_arrive() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect("n1", "raft")
            near.write(vote(3), ping(1))
            await far.take(vote(3), ping(1))
            far.write(ping(1))
            await near.take(ping(1))
            opened, *sent = net.trace
            assert isinstance(opened, Opened)
            assert (opened.dialler, opened.listener, opened.lane) == ("n1", "n2", "raft")
            assert net.fates == [
                ("n1", "n2", "PEER_LIST", "passed"),
                ("n1", "n2", "VOTE_REQUEST", "passed"),
                ("n1", "n2", "PING", "passed"),
                ("n2", "n1", "PING", "passed"),
            ]
            assert isinstance(sent[1], Sent)
            assert sent[1].frame == vote(3)
            assert [record.time for record in net.trace] == sorted(record.time for record in net.trace)

    run(main())


def test_the_beginning_of_a_frame_does_not_wait_for_its_end() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            data = vote(3).encode()
            near.write(data[:9])
            await far.take(data[:9])
            assert len(net.fates) == 1
            near.write(data[9:])
            await far.take(data[9:])
            assert net.fates[1:] == [("n1", "n2", "VOTE_REQUEST", "passed")]

    run(main())


@settings(max_examples=25, deadline=None)
@given(
    frames=st.lists(
        st.builds(Frame, st.integers(0, 255), st.binary(max_size=20), st.binary(max_size=300)), max_size=8
    ),
    tail=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
)
def test_any_stream_in_any_pieces_arrives_byte_for_byte(
    frames: list[Frame], tail: bytes, cuts: list[int]
) -> None:
    stream = b"".join(frame.encode() for frame in frames) + tail
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    pieces = [stream[start:end] for start, end in pairwise(places)]

    async def main() -> None:
        async with pair() as net:
            near = await net.dial()
            far = await net.server.accept()
            for piece in pieces:
                near.write(piece)
                await far.take(piece)
            near.finish()
            assert await far.rest() == (b"", "fin")
            assert recorded(net.trace) == stream

    run(main())


def recorded(trace: Trace, source: str | None = None) -> bytes:
    """The stream that the records of one direction add up to."""
    data = b""
    for record in trace:
        if isinstance(record, Sent | Raw) and (record.source is None or record.source == source or not source):
            data += record.frame.encode() if isinstance(record, Sent) else record.data
    return data


def test_large_frames_pass_in_both_directions_at_once() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            there, back = Frame(1, b"a", b"x" * 3_000_000), Frame(6, b"", b"y" * 3_000_000)
            near.write(there)
            far.write(back)
            await asyncio.gather(near.drain(), far.drain(), near.take(back), far.take(there))
            assert {fate[2:] for fate in net.fates[1:]} == {("ACTOR_MSG", "passed"), ("ASK_RES", "passed")}

    run(main())


@pytest.mark.parametrize("data", [GARBAGE, TLS, b"\x00"], ids=["http", "tls", "one byte"])
def test_bytes_that_are_no_frames_pass_and_are_recorded_as_they_are(data: bytes) -> None:
    async def main() -> None:
        async with pair() as net:
            near = await net.dial()
            near.write(data)
            far = await net.server.accept()
            await far.take(data)
            far.write(data)
            await near.take(data)
            near.finish()
            assert await far.rest() == (b"", "fin")
            far.finish()
            assert await near.rest() == (b"", "fin")
            opened, *others = net.trace
            assert isinstance(opened, Opened)
            assert (opened.dialler, opened.listener) == (None, "n2")
            raws = [record for record in others if isinstance(record, Raw)]
            assert {(raw.source, raw.target, raw.data) for raw in raws} == {
                (None, "n2", data),
                ("n2", None, data),
            }

    run(main())


def test_a_frame_over_the_limit_passes_as_bytes_and_so_does_what_follows() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            head = b"\x01\x00\x00" + (FRAME_BYTES_MAX - 6).to_bytes(4)
            near.write(vote(3), head, b"some", vote(4))
            await far.take(vote(3), head, b"some", vote(4))
            assert net.fates[1:] == [("n1", "n2", "VOTE_REQUEST", "passed")]
            last = net.trace[-1]
            assert isinstance(last, Raw)
            assert last.data == head + b"some" + vote(4).encode()
            assert "FRAME_TOO_LARGE" in last.problem

    run(main())


def test_a_frame_that_is_cut_off_by_the_end_is_recorded_as_bytes() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            near.write(vote(3).encode()[:-1])
            near.finish()
            assert await far.rest() == (vote(3).encode()[:-1], "fin")
            raw, closed = net.trace[-2:]
            assert isinstance(raw, Raw)
            assert raw.problem == f"the stream ends within a frame, after {vote(3).size - 1} bytes of it"
            assert isinstance(closed, Closed)

    run(main())


def test_a_half_closed_connection_still_carries_the_answer() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            near.write(vote(3))
            near.finish()
            assert await far.rest() == (vote(3).encode(), "fin")
            far.write(ping(1))
            await near.take(ping(1))
            far.finish()
            assert await near.rest() == (b"", "fin")
            assert net.ends == [("n1", "fin"), ("n2", "fin")]

    run(main())


@pytest.mark.parametrize("by", ["n1", "n2"])
def test_a_reset_arrives_as_a_reset(by: str) -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            one, other = (near, far) if by == "n1" else (far, near)
            one.reset()
            assert await other.rest() == (b"", "reset")
            assert net.ends == [(by, "reset")]

    run(main())


def test_a_full_close_arrives_as_a_fin_and_what_is_written_after_it_as_a_reset() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            near.close()
            assert await far.rest() == (b"", "fin")
            # The dialler's kernel answers these bytes with a RST, which the relay must pass on.
            far.write(ping(1))
            await net.trace.wait(
                lambda record: isinstance(record, Closed) and record.how == "reset", seconds=BOUND
            )
            assert net.ends == [("n1", "fin"), ("n1", "reset")]

    run(main())


def test_a_receiver_that_does_not_read_stops_the_reading_from_the_sender() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            frame = Frame(1, b"a", b"x" * 65_000)
            sent = 0
            # Kernel buffers on both connections, and little between them: more than that cannot be got rid of.
            while sent < 64 << 20:
                near.write(frame)
                sent += frame.size
                try:
                    async with asyncio.timeout(0.5):
                        await near.drain()
                except TimeoutError:
                    break
            assert sent < 48 << 20, "a receiver that reads nothing should stop the sender"
            relayed = sum(record.frame.size for record in net.trace if isinstance(record, Sent))
            assert relayed <= sent
            got = 0
            while got < sent:
                got += len(await far.read(1 << 20))
            assert got == sent

    run(main())


def test_a_connection_to_a_node_that_does_not_listen_is_reset() -> None:
    async def main() -> None:
        async with pair() as net:
            net.network.serve("n2", None)
            near = await net.dial()
            assert await near.rest() == (b"", "reset")
            await net.server.close()
            net.network.serve("n2", net.server.address)
            near = await net.dial()
            assert await near.rest() == (b"", "reset")
            marks = [record for record in net.trace if isinstance(record, Marked)]
            assert [(mark.node, mark.event) for mark in marks] == [("n2", "refused")] * 2

    run(main())


def test_a_restarted_node_is_reached_under_the_old_address() -> None:
    async def main() -> None:
        async with pair() as net:
            await net.connect()
            again = Server()
            await again.start()
            net.network.serve("n2", again.address)
            near = await net.dial()
            near.write(hello("n1"))
            await (await again.accept()).take(hello("n1"))
            await again.close()

    run(main())


def test_many_connections_at_once_keep_apart() -> None:
    async def main() -> None:
        async with pair() as net:
            ends = [await net.connect(f"n{number}") for number in range(10, 40)]
            for number, (near, _) in enumerate(ends):
                near.write(vote(number))
            for number, (_, far) in enumerate(ends):
                await far.take(vote(number))
            opened = [record for record in net.trace if isinstance(record, Opened)]
            assert len({record.connection for record in opened}) == 30

    run(main())


def test_closing_the_network_resets_what_is_open() -> None:
    async def main() -> None:
        async with pair() as net:
            near, far = await net.connect()
            silent = await net.dial()
            await net.server.accept()
            await net.network.close()
            assert [(await end.rest())[1] for end in (near, far, silent)] == ["reset"] * 3

    run(main())


def test_a_relay_alone_needs_no_network_and_keeps_nothing() -> None:
    async def main() -> None:
        server = Server()
        await server.start()
        trace = Trace(keep=False)
        tapped: list[object] = []
        trace.watch(tapped.append)
        relay = Relay(trace, "node", server.address)
        near = await dial(await relay.start())
        near.write(hello("n1"), vote(1))
        far: Socket = await server.accept()
        await far.take(hello("n1"), vote(1))
        await relay.close()
        await near.abandon()
        await server.close()
        assert [type(record) for record in tapped] == [Opened, Sent, Sent, Closed]
        assert len(trace) == 0

    run(main())


def test_an_opaque_relay_does_not_look_for_frames() -> None:
    async def main() -> None:
        async with pair(dialler="n1") as net:
            near = await net.dial()
            near.write(hello("n7"))
            far = await net.server.accept()
            await far.take(hello("n7"))
            opened, raw = net.trace
            assert isinstance(opened, Opened)
            assert isinstance(raw, Raw)
            assert (opened.dialler, raw.source, raw.target) == ("n1", "n1", "n2")
            assert raw.data == hello("n7").encode()

    run(main())


def test_addresses_are_read_strictly() -> None:
    assert split_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert split_address("[::1]:80") == ("::1", 80)
    for wrong in ("", "80", ":80", "host:", "host:x", "host:70000", "host:²"):
        with pytest.raises(ValueError, match="expected host:port"):
            split_address(wrong)
