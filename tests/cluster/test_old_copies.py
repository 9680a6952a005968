"""A node and its peers' directories: what is said of them, and what happens where one is an older copy."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from casty import HandshakeError
from casty.raft.events import LostData
from casty.raft.types import Index, NodeId, ServerId, StoreId, Term
from casty.wire import _protocol as p
from tests.cluster.harness import BOUND, cluster, leader_of, node, until, within
from tests.cluster.peers import Listener, frame, peer_of
from tests.support import logged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cluster.peers import Peer, Said

STALE = {
    "code": "STALE_DATA",
    "rule": "HELLO-11",
    "text": "an older copy; put the right one back, or remove it",
}


async def said(**options: Any) -> dict[str, Any]:
    """The hello of a node that is given these options."""
    async with node(size=3, **options) as n1, peer_of(n1, greet=False) as peer:
        answer = await peer.greet()
        hello: dict[str, Any] = answer.payload
        return hello


async def test_a_member_with_a_directory_says_how_far_it_has_come(tmp_path: Path) -> None:
    """HELLO-10: more at each start, with the boots so far; the newest is the one that speaks."""
    first = await said(persistence_dir=tmp_path)
    second = await said(persistence_dir=tmp_path)
    assert second["revision"] > first["revision"]
    assert first["boots"] == [[first["boot_id"], first["revision"]]]
    assert [boot for boot, _ in second["boots"]] == [second["boot_id"], first["boot_id"]]
    assert second["boots"][0][1] - 1 >= first["revision"]


@pytest.mark.parametrize("options", [{}, {"member": False}], ids=["in memory", "no member"])
async def test_a_node_without_a_part_in_the_log_says_nothing_of_it(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """HELLO-10: what it remembers is no promise to anybody."""
    directory = tmp_path if "member" in options else None
    assert not {"revision", "boots"} & (await said(persistence_dir=directory, **options)).keys()


async def test_a_revision_that_has_risen_is_said_to_members(tmp_path: Path) -> None:
    """PEER-11: in a peer list of its own."""
    async with node(size=1, persistence_dir=tmp_path) as n1:
        await n1.wait_ready(BOUND)
        async with peer_of(n1, greet=False) as peer:
            hello = await peer.greet(member=True, expected_size=1)
            assert await within(n1.append_command("x"))
            while (heard := await peer.next()).type != p.PEER_LIST:
                pass
            assert heard.payload["peers"] == []
            assert heard.payload["revision"] > hello.payload["revision"]


async def refused(n1: Any, store_id: bytes, **hello: Any) -> tuple[str, str] | None:
    """The ERROR that a member's hello under a new boot is answered with; None where it is let in."""
    async with peer_of(n1, "n2", greet=False) as peer:
        peer.store_id = store_id
        peer.send(peer.hello(member=True, **hello))
        answer = await peer.next()
        return None if answer.type == p.PEER_LIST else (answer.payload["code"], answer.payload["text"])


@pytest.mark.parametrize("keeps", [True, False], ids=["a directory", "in memory"])
async def test_an_older_copy_is_refused_by_whom_it_was_said_to(keeps: bool, tmp_path: Path) -> None:
    """HELLO-11: by a node without a directory of its own as well, for as long as it lives."""
    store = os.urandom(16)
    async with node(persistence_dir=tmp_path if keeps else None) as n1:
        assert await refused(n1, store, revision=100) is None
        await until(lambda: not n1.links.of(NodeId("n2")))
        code, text = await refused(n1, store, revision=100) or ("", "")
        assert (code, "an older copy" in text, "remove this one" in text) == ("STALE_DATA", True, True)
        assert await refused(n1, store, revision=101) is None
        await until(lambda: not n1.links.of(NodeId("n2")))
        assert await refused(n1, os.urandom(16), revision=1) is None
    if keeps:
        async with node(persistence_dir=tmp_path) as n1:
            assert (await refused(n1, store, revision=101) or ("",))[0] == "STALE_DATA"


async def test_who_takes_no_part_in_the_log_is_not_compared(tmp_path: Path) -> None:
    """HELLO-11: a member and a client do not count on each other."""
    store = os.urandom(16)
    async with node(persistence_dir=tmp_path) as n1:
        assert await refused(n1, store, revision=100) is None
        await until(lambda: not n1.links.of(NodeId("n2")))
        async with peer_of(n1, "n2", greet=False) as peer:
            peer.store_id = store
            await peer.greet(member=False, revision=1)


async def test_who_is_told_goes_on_and_its_operator_learns_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """HELLO-11, ERROR-3: one ERROR for each peer that says so, and `wait_ready` does not wait for ever."""
    caplog.set_level(logging.ERROR, logger="casty")
    async with node(persistence_dir=tmp_path) as n1, peer_of(n1, "n2", greet=False) as peer:
        waiting = asyncio.create_task(n1.wait_ready())
        await peer.greet(member=True)
        for _ in range(2):
            peer.send(frame(p.ERROR, "", STALE))
        with pytest.raises(
            HandshakeError, match="n2 says that this node's data is not what it was: an older copy"
        ):
            await within(waiting)
        with pytest.raises(HandshakeError, match="put the right one back, or remove it"):
            await n1.wait_ready(BOUND)
        assert logged(caplog, level=logging.ERROR) == [
            f"{n1.node_id}: n2 says that this node's data is not what it was: {STALE['text']}"
        ]
        peer.say(p.PING, "", {"id": 1, "pong": False})
        while (await peer.next()).type != p.PING:
            pass


async def test_who_is_told_when_it_dials_learns_it_too(tmp_path: Path) -> None:
    """HELLO-1, HELLO-11: an ERROR in place of a hello, from an address it knows; one such peer is enough."""
    async with (
        Listener() as one,
        Listener() as other,
        node(one.address, other.address, persistence_dir=tmp_path) as n1,
    ):
        peer = await one.next()
        peer.send(frame(p.ERROR, "", STALE))
        with pytest.raises(HandshakeError, match=f"{one.address} says that this node's data"):
            await n1.wait_ready(BOUND)


async def test_who_is_told_by_a_stranger_or_a_client_does_not_care(tmp_path: Path) -> None:
    """HELLO-11: anybody who can connect could say so."""
    async with node(persistence_dir=tmp_path) as n1, peer_of(n1, greet=False) as stranger:
        stranger.send(frame(p.ERROR, "", STALE))
        await stranger.refused()
        async with peer_of(n1, "client") as client:
            client.send(frame(p.ERROR, "", STALE))
            client.say(p.PING, "", {"id": 1, "pong": False})
            while (await client.next()).type != p.PING:
                pass
        with pytest.raises(TimeoutError):
            await n1.wait_ready(0)


async def test_a_member_that_lost_data_is_told_and_kept_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """LEADER-10: on all its connections, with one ERROR here; its next boot is asked again."""
    caplog.set_level(logging.ERROR, logger="casty")
    async with node(persistence_dir=tmp_path) as n1, peer_of(n1, "n2", greet=False) as peer:
        await peer.greet(member=True)
        server = ServerId(NodeId("n2"), StoreId(peer.store_id))
        n1._keep_out(LostData(server, peer.boot_id, Index(7), Term(3)))
        assert await peer.refused() == "STALE_DATA"
        (line,) = logged(caplog, level=logging.ERROR)
        assert "node n2 is an older copy: it acknowledged entry 7 to the leader of term 3" in line
        async with peer_of(n1, "n2", greet=False, boot_id=peer.boot_id) as again:
            again.store_id = peer.store_id
            again.send(again.hello(member=True))
            assert await again.error() == ("STALE_DATA", "HELLO-11")
        assert await refused(n1, peer.store_id) is None


async def test_a_whole_cluster_that_is_put_back_together_forms_again(tmp_path: Path) -> None:
    """HELLO-11: all directories were copied while all nodes were stopped, and none is older than another."""
    data, copies = tmp_path / "data", tmp_path / "copies"

    async def served(folder: Path) -> None:
        async with cluster(3, each=lambda number: {"persistence_dir": folder / str(number)}) as nodes:
            leader = await leader_of(nodes)
            assert await within(leader.append_command("x"))

    await served(data)
    shutil.copytree(data, copies)
    await served(data)
    await served(copies)


async def test_a_node_that_ends_says_how_far_it_has_come(tmp_path: Path) -> None:
    """PEER-11: a cluster is often stopped just before its directories are copied, or put back."""
    async with node(size=1, persistence_dir=tmp_path) as n1:
        await n1.wait_ready(BOUND)
        async with peer_of(n1, "n2", greet=False) as peer:
            hello = await peer.greet(member=True, expected_size=1)
            assert await within(n1.append_command("x"))
            await n1.shutdown()
            lists = [said.payload async for said in rest_of(peer) if said.type == p.PEER_LIST]
            assert lists[-1]["revision"] > hello.payload["revision"]


async def rest_of(peer: Peer) -> AsyncIterator[Said]:
    """All that comes until the connection ends."""
    while True:
        try:
            yield await peer.next()
        except (AssertionError, ConnectionError):
            return
