"""What people are told about a node that is not ready: it must be true of the state its cluster is in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from casty.cluster.outlook import outlook
from casty.raft.options import Options
from casty.raft.types import ClusterId, Configuration, HardState, Recovered, Term
from tests.cluster.harness import client, cluster, durable, meshed, node, until, within
from tests.cluster.test_tls import authority
from tests.raft.harness import Server
from tests.raft.servers import fresh, member
from tests.raft.shorthand import N1, N2, N3, N4, THREE, append, entry_one, log, server

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from casty.raft.types import ServerId

CLUSTER = Configuration(ClusterId(b"c" * 16), THREE)


def said(
    *here: ServerId,
    me: ServerId = N1,
    size: int = 3,
    formed: Collection[ServerId] = (),
    **known: Any,
) -> str:
    known = {"bound_to": None, "configuration": None, **known}
    what, why = outlook(me, here, size, formed=formed, **known)
    return f"{what}: {why}"


def test_a_cluster_that_is_forming() -> None:
    """Who is here; who is too many; and what this node has promised already."""
    assert said(N1) == "the cluster has not formed: of 3 members n1 are connected"
    assert said(N1, N2, N3, N4) == (
        "the cluster has not formed: 4 members are connected (n1, n2, n3, n4), and it forms with exactly 3: "
        "stop those that do not belong, or give all the right expected_cluster_size"
    )
    assert said(N1, N4, bound_to=THREE) == (
        "the cluster has not formed: of its 3 members (n1, n2, n3) n1 are connected; it forms when all are"
    )


def test_a_cluster_that_has_formed_without_this_node() -> None:
    """It is not told that the cluster has not formed, nor to stop those who belong."""
    words = said(N4, *THREE, me=N4, formed=THREE)
    assert words.startswith(
        "this node is in no cluster: a cluster has formed without it: n1, n2, n3 belong to it. "
        "Its members never change: "
    )
    assert "member=False" in words


def test_a_member_of_a_cluster_that_has_formed() -> None:
    """What is missing is a leader, and perhaps a majority to elect one."""
    known: dict[str, Any] = {"bound_to": THREE, "configuration": CLUSTER}
    words = "this node has heard of no leader: it is a member of the cluster of n1, n2, n3, of which n1 are"
    alone = f"{words} connected"
    assert said(N1, N4, **known) == f"{alone}, and 2 are needed to elect one"
    assert said(N1, N3, **known).endswith("of which n1, n3 are connected")


def test_a_learner() -> None:
    """It waits for the leader that lists another store for its node id."""
    other = server(3, store=9)
    words = said(other, N1, me=other, bound_to=THREE, configuration=CLUSTER)
    assert words == (
        "this node has heard of no leader: it is a learner of the cluster of n1, n2, n3, which lists n3 with "
        "another store; of them n1 are connected"
    )


# What the core says.


def test_the_members_of_a_formed_cluster_are_not_to_be_stopped() -> None:
    """FORM-11: too many are here, but those that are do belong."""
    n4 = fresh(3, me=N4, discovered=False)
    n4.discovers(*THREE, N4, formed=THREE)
    assert [n.level for n in n4.notices] == ["warning"]
    assert n4.warned("a cluster has formed without", "n1", "n2", "n3", "belong to it", "member=False")


@pytest.mark.parametrize("entries", [(), log(1)], ids=["locked", "member"])
def test_another_size_than_that_of_the_list_is_told_at_the_start(entries: Any) -> None:
    """FORM-11: the list never changes, whatever the node is told to expect."""
    recovered = Recovered(N1.store_id, HardState(Term(1), None, THREE), None, entries)
    n1 = Server(recovered, options=Options(expected_size=5))
    assert [n.level for n in n1.notices] == ["warning"]
    assert n1.warned("expected_cluster_size is 5", "3 members (n1, n2, n3)", "start this node with 3")
    assert Server(recovered, options=Options(expected_size=3)).notices == []


def test_another_size_is_told_when_the_list_comes() -> None:
    """FORM-11: to a learner, which had none before."""
    n1 = fresh(5)
    first = entry_one(1, servers=(server(1, store=9), N2, N3))
    n1.hears(N2, append(1, first))
    assert n1.warned("expected_cluster_size is 5", "3 members (n1, n2, n3)")


def test_what_a_peer_chooses_does_not_make_a_notice_a_new_one() -> None:
    """ERROR-3: one that claims to lead term after term would fill the log."""
    n1 = member(1)
    for term in (2, 3):
        n1.hears(N2, append(term, prev=(1, 1)))
        n1.hears(N3, append(term, prev=(1, 1)))
    refused = [n for n in n1.notices if "TWO_LEADERS" in n.text]
    assert len(refused) == 2
    assert len({n.about for n in refused}) == 1


# What users see.


async def test_a_node_outside_a_formed_cluster_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    """Once in the log, and by `wait_ready`; its seeds talk to it, so nothing has been refused."""
    async with cluster(3) as nodes, node(nodes[0], node_id="n4") as outside:
        await meshed(*nodes, outside)
        with pytest.raises(TimeoutError) as raised:
            await outside.wait_ready(0.01)
        text = str(raised.value)
        assert text.startswith(
            "this node is in no cluster within 0.01 s: a cluster has formed without it: n1, n2"
        )
        told = [r.getMessage() for r in caplog.records if "has formed without" in r.getMessage()]
        assert told
        assert not [r for r in caplog.records if "stop those" in r.getMessage()]
        assert not [r for r in caplog.records if "not formed" in r.getMessage()]


async def test_a_member_without_a_majority_is_told_so(tmp_path: Path) -> None:
    """After a restart: its cluster has formed, and what is missing is the others."""
    async with cluster(3, each=durable(tmp_path)):
        pass
    async with node(node_id="n1", persistence_dir=tmp_path / "n1") as alone:
        with pytest.raises(TimeoutError) as raised:
            await alone.wait_ready(0.01)
    assert str(raised.value).endswith(
        "it is a member of the cluster of n1, n2, n3, of which n1 are connected, and 2 are needed to elect one"
    )


async def test_members_that_are_restarted_with_another_size_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They work on as the cluster they are."""
    async with cluster(3, each=durable(tmp_path)):
        pass
    async with cluster(3, each=lambda number: {**durable(tmp_path)(number), "size": 5}) as nodes:
        told = [r for r in caplog.records if "expected_cluster_size is 5 here" in r.getMessage()]
        assert len(told) == len(nodes)
        assert {r.levelno for r in told} == {logging.WARNING}


async def test_who_speaks_tls_and_who_does_not_is_told_on_both_sides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A timeout alone would leave one looking for a network that is broken."""
    ca = authority(tmp_path)
    async with node(node_id="plain") as plain, node(plain, node_id="tls", tls=ca.issue("tls")) as secured:
        await until(lambda: secured.refusals.troubles())
        with pytest.raises(
            TimeoutError, match=rf"TLS with {plain.listen} fails: .*does the node there speak it"
        ):
            await secured.wait_ready(0.01)
        async with node(secured, node_id="other") as other:
            await until(lambda: other.refusals.troubles())
            with pytest.raises(TimeoutError, match=r"closes the connection without a hello: .* without TLS"):
                await other.wait_ready(0.01)
    for words in ("the TLS handshake of 127.0.0.1 fails", "it speaks TLS, and this node does not"):
        assert [r for r in caplog.records if words in r.getMessage()]


async def test_a_dialler_whose_certificate_is_not_believed_is_told_so(tmp_path: Path) -> None:
    """TLS 1.3 tells it only when its handshake is done."""
    ours, theirs = authority(tmp_path / "ours"), authority(tmp_path / "theirs", "somebody")
    mine, other = ours.issue("a"), theirs.issue("b")
    other = type(other)(other.cert, other.key, ours.file)  # it believes a, and is not believed
    async with client(node_id="a", tls=mine) as a, node(a, node_id="b", tls=other) as b:
        await until(lambda: b.refusals.troubles())
        with pytest.raises(TimeoutError, match=r"does it believe this node's certificate\?"):
            await within(b.wait_ready(0.01))


async def test_a_seed_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    """And no more once it is."""
    async with client(node_id="a") as a:
        port = a.listen.port
    async with node(f"127.0.0.1:{port}", node_id="b") as b:
        await until(lambda: b.refusals.troubles())
        with pytest.raises(TimeoutError, match=rf"127\.0\.0\.1:{port} cannot be reached: "):
            await b.wait_ready(0.01)
        async with client(node_id="a", port=port) as a:
            await meshed(a, b)
            await until(lambda: not b.refusals.troubles())
