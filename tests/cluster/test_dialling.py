"""Hosts with several addresses, of which some are dead: in the ways in which addresses are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from casty.cluster import peer as peer_module
from casty.cluster.address import Address
from casty.cluster.dialling import PLACES_MAX, Dialler, first_of, interleaved
from tests.cluster.harness import client, meshed, until, within
from tests.cluster.test_tls import authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

on_linux = pytest.mark.needs("loopback")


def resolve(monkeypatch: pytest.MonkeyPatch, name: str, *hosts: str) -> None:
    """The name has these addresses, in this order."""
    found = socket.getaddrinfo

    def lookup(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host != name:
            return found(host, port, *args, **kwargs)
        return [entry for each in hosts for entry in found(each, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@contextlib.contextmanager
def listening(host: str, port: int, backlog: int = 8) -> Iterator[socket.socket]:
    """A socket that listens there, and accepts nothing."""
    with socket.socket() as there:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        there.bind((host, port))
        there.listen(backlog)
        yield there


@contextlib.contextmanager
def dropping(host: str, port: int) -> Iterator[None]:
    """An address that answers nobody who wants to connect: its queue is full."""
    with listening(host, port, 0), contextlib.ExitStack() as stack:
        for _ in range(16):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0.3)
            try:
                sock.connect((host, port))
            except TimeoutError:
                yield
                return
        raise AssertionError("the queue never got full")


@on_linux
async def test_an_address_that_drops_what_it_gets_keeps_nobody_from_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PEER-12: nor does one that refuses, before it."""
    resolve(monkeypatch, "two.test", "127.0.0.3", "127.0.0.2", "127.0.0.1")
    async with client(node_id="a") as a:
        with dropping("127.0.0.2", a.listen.port):
            async with client(f"two.test:{a.listen.port}", node_id="b") as b:
                await within(meshed(a, b), peer_module.CONNECT_SECONDS - 1)


@on_linux
async def test_an_address_where_tls_hangs_keeps_nobody_from_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PEER-12: and what was begun there is ended."""
    ca = authority(tmp_path)
    resolve(monkeypatch, "two.test", "127.0.0.2", "127.0.0.1")
    async with client(node_id="a", tls=ca.issue("a")) as a:
        with listening("127.0.0.2", a.listen.port) as hanging:
            async with client(f"two.test:{a.listen.port}", node_id="b", tls=ca.issue("b")) as b:
                await within(meshed(a, b), peer_module.CONNECT_SECONDS - 1)
                begun, _ = hanging.accept()
                with begun:
                    begun.settimeout(5.0)
                    while await asyncio.to_thread(begun.recv, 4096):
                        pass


@on_linux
async def test_an_address_that_never_says_hello_comes_last_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PEER-12: whoever is there is not the node one looks for."""
    monkeypatch.setattr(peer_module, "HELLO_SECONDS", 0.1)
    resolve(monkeypatch, "two.test", "127.0.0.2", "127.0.0.1")
    async with client(node_id="a") as a:
        with listening("127.0.0.2", a.listen.port):
            async with client(f"two.test:{a.listen.port}", node_id="b") as b:
                await within(meshed(a, b))


@on_linux
async def test_an_address_with_a_wrong_certificate_keeps_nobody_from_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PEER-12: another cluster may be there."""
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs", "somebody")
    resolve(monkeypatch, "two.test", "127.0.0.2", "127.0.0.1")
    async with (
        client(node_id="a", tls=ours.issue("a")) as a,
        client(node_id="x", host="127.0.0.2", port=a.listen.port, tls=theirs.issue("x")),
        client(f"two.test:{a.listen.port}", node_id="b", tls=ours.issue("b")) as b,
    ):
        await within(meshed(a, b))


async def test_a_lookup_that_takes_longer_than_an_attempt_is_not_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PEER-5: a name that hangs has one thread, and one that is slow is reached in the end."""
    answer, asked = threading.Event(), list[str]()
    found = socket.getaddrinfo

    def slow(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "slow.test":
            asked.append(host)
            answer.wait(20.0)
            host = "127.0.0.1"
        return found(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(peer_module, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(peer_module, "REDIAL_SECONDS", 0.01)
    try:
        async with client(node_id="a") as a, client(f"slow.test:{a.listen.port}", node_id="b") as b:
            await until(lambda: any(tried.failures > 2 for tried in b.book._attempts.values()))
            assert len(asked) == 1
            answer.set()
            await meshed(a, b)
    finally:
        answer.set()


async def test_an_error_says_what_took_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the operator: was it the name, or the host?"""
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [answer.wait(20.0)][:0])
    try:
        with pytest.raises(TimeoutError, match=r"looking up hanging\.test took longer than 0\.05 s"):
            await Dialler().connect(Address("hanging.test", 1), 0.05, None)
    finally:
        answer.set()


async def test_a_name_without_an_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is dialled again like any other."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [])
    with pytest.raises(OSError, match="the name has no address"):
        await Dialler().connect(Address("empty.test", 1), 5.0, None)


# Which addresses, and in which order.


def test_both_families_have_their_turn() -> None:
    """RFC 8305 section 4: a network whose IPv6 is dead is known early."""
    six, four = [Address(f"::{n}", 1) for n in range(3)], [Address(f"10.0.0.{n}", 1) for n in range(2)]
    assert interleaved([*six, *four, *six]) == [six[0], four[0], six[1], four[1], six[2]]


def test_what_was_useless_comes_last_and_what_is_gone_is_forgotten() -> None:
    """So that every address has its turn, though only some are tried at a time."""
    dialler, name = Dialler(), Address("name", 1)
    places = [Address(f"10.0.0.{n}", 1) for n in range(PLACES_MAX + 2)]
    assert dialler._in_order(name, places) == places[:PLACES_MAX]
    for place in places[:PLACES_MAX]:
        dialler.was_useless(name, place.host)
    assert dialler._in_order(name, places) == [*places[PLACES_MAX:], *places[: PLACES_MAX - 2]]
    dialler.was_useless(name, places[0].host)
    assert dialler._in_order(name, places[:2]) == [places[1], places[0]]
    assert len(dialler._useless[name]) == 2


# The first of several.


class Attempts:
    """What is to be tried, and what has become of it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.discarded: list[str] = []
        self.outcomes: dict[str, asyncio.Future[str]] = {}

    def make(self, name: str) -> Callable[[], Any]:
        self.outcomes[name] = asyncio.get_running_loop().create_future()

        async def attempt() -> str:
            self.begun.append(name)
            try:
                return await asyncio.shield(self.outcomes[name])
            finally:
                self.ended.append(name)

        return attempt

    def race(self, *names: str, delay: float) -> asyncio.Task[str]:
        return asyncio.create_task(first_of([self.make(name) for name in names], delay, self.discarded.append))


async def test_each_attempt_gets_a_start_and_the_losers_are_cancelled() -> None:
    """RFC 8305 section 5."""
    attempts = Attempts()
    race = attempts.race("a", "b", "c", delay=0.01)
    await until(lambda: len(attempts.begun) == 3)
    attempts.outcomes["b"].set_result("b")
    assert await within(race) == "b"
    assert sorted(attempts.ended) == ["a", "b", "c"]
    assert attempts.discarded == []


async def test_after_a_failure_the_next_begins_at_once() -> None:
    """RFC 8305 section 5: and the error that says most is told."""
    attempts = Attempts()
    race = attempts.race("a", "b", "c", delay=60.0)
    for name, error in (("a", OSError("a")), ("b", ssl.SSLError("b")), ("c", OSError("c"))):
        await until(lambda: attempts.begun[-1:] == [name])  # noqa: B023 (awaited before the next turn)
        attempts.outcomes[name].set_exception(error)
    with pytest.raises(ssl.SSLError, match="b"):
        await within(race)


async def test_of_two_that_succeed_at_once_one_is_discarded() -> None:
    """Its connection is closed, and has said nothing."""
    attempts = Attempts()
    race = attempts.race("a", "b", delay=0.01)
    await until(lambda: len(attempts.begun) == 2)
    for name in ("a", "b"):
        attempts.outcomes[name].set_result(name)
    assert await within(race) == "a"
    assert attempts.discarded == ["b"]


async def test_who_gives_up_ends_all_attempts() -> None:
    """A node that ends leaves no task behind."""
    attempts = Attempts()
    race = attempts.race("a", "b", delay=0.01)
    await until(lambda: len(attempts.begun) == 2)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert sorted(attempts.ended) == ["a", "b"]
