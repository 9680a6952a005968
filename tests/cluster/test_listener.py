"""How connections are let in, and how it is said that they are not."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from casty.cluster import listener as listener_module
from casty.cluster.address import Address
from casty.cluster.listener import Listener
from casty.cluster.peer import STRANGERS_MAX
from tests.cluster.harness import client, until, within
from tests.cluster.peers import peer_of
from tests.cluster.test_tls import authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from casty.cluster.link import Link


@contextlib.asynccontextmanager
async def dialled_by(address: tuple[str, int], count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections that say nothing."""
    pairs = [await asyncio.open_connection(*address) for _ in range(count)]
    try:
        yield [reader for reader, _ in pairs]
    finally:
        for _, writer in pairs:
            writer.close()


async def test_a_name_with_two_addresses_has_one_port() -> None:
    """Whoever resolves it may take either."""
    async with client(node_id="a", host="localhost") as a:
        assert a.listen.host == "localhost"
        places = {
            str(place[4][0])
            for place in socket.getaddrinfo("localhost", a.listen.port, type=socket.SOCK_STREAM)
        }
        reached = 0
        for place in places:
            with contextlib.suppress(OSError):  # IPv6 may be off, though the name knows of it
                _, writer = await asyncio.open_connection(place, a.listen.port)
                writer.close()
                reached += 1
        assert a.listener is not None
        assert reached == len(a.listener._sockets) > 0


@pytest.mark.parametrize("left", [0, 1, 2], ids=["none", "IPv4", "both"])
async def test_addresses_that_this_machine_has_not_are_passed_over(
    left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as one of the host's is its own."""
    places = ["127.0.0.1", "127.0.0.2"][:left] + ["203.0.113.1", "203.0.113.2"][left:]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, 0)) for place in places]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    if left == 0:
        with pytest.raises(
            OSError, match=r"cannot listen on 203\.0\.113\.2:0: cannot assign requested address"
        ):
            await client(node_id="a").serve()
        return
    async with client(node_id="a") as a:
        for place in places[:left]:
            _, writer = await asyncio.open_connection(place, a.listen.port)
            writer.close()


async def test_who_comes_second_to_listen_is_told_where() -> None:
    """Both may bind the port before either listens."""
    one, two = (
        Listener(_no_link, lambda: True, tls=None, tls_seconds=1, note=lambda about, text: None)
        for _ in range(2)
    )
    address = await one.listen(Address("127.0.0.1", 0))
    await two.listen(address)
    one.start()
    with pytest.raises(OSError, match=f"cannot listen on {address}: address already in use"):
        two.start()
    for each in (one, two):
        await each.close()
        await each.close()


def _no_link() -> Link:
    raise AssertionError("nobody connects")


async def test_neither_end_of_a_connection_holds_back_what_is_small() -> None:
    """PEER-10: an answer never waits until the one before it is acknowledged."""
    async with client(node_id="a") as a, client(a, node_id="b") as b:
        await until(lambda: a.links.all() and b.links.all())
        for link in (*a.links.all(), *b.links.all()):
            assert link._transport is not None
            end = link._transport.get_extra_info("socket")
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), link


async def test_a_host_without_a_name_is_said_to_be_none() -> None:
    """The port is in the text, too."""
    with pytest.raises(OSError, match=r"cannot listen on a{70}:0: no name of a host: "):
        await client(node_id="a", host="a" * 70).serve()


async def test_who_is_still_proving_himself_counts_as_a_stranger(tmp_path: Path) -> None:
    """The limit pending_hellos_max: TLS that never comes holds a place like a hello that never comes."""
    async with client(node_id="a", tls=authority(tmp_path).issue("a")) as a:
        assert a.listener is not None
        async with dialled_by(a.listen, STRANGERS_MAX):
            await until(lambda: a.listener and len(a.listener.arriving) == STRANGERS_MAX)
            async with dialled_by(a.listen, 3) as too_many:
                for reader in too_many:
                    assert await within(reader.read()) == b""
            assert len(a.listener.arriving) == STRANGERS_MAX
        await until(lambda: a.listener and not a.listener.arriving)
        assert not a.links.all()


async def test_connections_in_the_making_end_with_their_node(tmp_path: Path) -> None:
    """Rule 24: neither a task nor a socket is left."""
    for tls in (None, authority(tmp_path).issue("a")):
        async with client(node_id="a", tls=tls) as a:
            pairs = [await asyncio.open_connection(*a.listen) for _ in range(3)]
            assert a.listener is not None
            await until(lambda: a.listener and (a.listener.arriving or a.links.strangers))
            await within(a.shutdown())
            for reader, writer in pairs:
                with contextlib.suppress(ConnectionError):
                    assert await within(reader.read()) == b""
                writer.close()
            assert not a.listener.arriving
        assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


async def test_no_descriptor_left_is_one_line_and_a_pause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However often accept() fails; when it does no more, whoever waited gets in."""
    monkeypatch.setattr(listener_module, "RETRY_SECONDS", 0.01)
    plain = socket.socket.accept
    failures = 0

    def accept(listening: socket.socket) -> tuple[socket.socket, object]:
        nonlocal failures
        if failures < 5:
            failures += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return plain(listening)

    async with client(node_id="a") as a:
        monkeypatch.setattr(socket.socket, "accept", accept)
        async with peer_of(a) as peer:
            assert await peer.ask("nobody", 1)
    assert failures == 5
    assert caplog.text.count("this node accepts nothing for now: [Errno 24] Too many open files") == 1


@pytest.mark.parametrize(
    ("limit", "most"),
    [(resource.RLIM_INFINITY, float("inf")), (64, 48), (1024, 896), (1 << 20, 917504)],
)
def test_connections_leave_an_eighth_of_the_descriptors(
    limit: int, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And 16 at least: what the log needs for a new segment, a snapshot, and a directory to sync."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert listener_module._descriptors_for_connections() == most


async def test_a_pause_ends_with_its_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is accepted on a socket that is closed."""
    monkeypatch.setattr(listener_module, "RETRY_SECONDS", 0.01)

    def accept(listening: socket.socket) -> tuple[socket.socket, object]:
        raise OSError(errno.ENFILE, "Too many open files in system")

    async with client(node_id="a") as a:
        monkeypatch.setattr(socket.socket, "accept", accept)
        async with dialled_by(a.listen, 1):
            assert a.listener is not None
            await until(lambda: a.listener and a.listener._retries)
            await a.shutdown()
            await asyncio.sleep(0.03)
