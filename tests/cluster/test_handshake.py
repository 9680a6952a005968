"""What a node makes of another's hello."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casty.cluster.handshake import Identity, judge
from casty.raft.types import ClusterId, NodeId, StoreId
from casty.wire.messages import Hello

ME = Identity(NodeId("me"), StoreId(bytes(16)), b"m" * 16, "casty", 3, True)
THEM = Hello(NodeId("them"), "casty", StoreId(b"s" * 16), b"t" * 16, "actor", "host:1", 3)
ONE, TWO = ClusterId(b"1" * 16), ClusterId(b"2" * 16)


@pytest.mark.parametrize(
    ("hello", "cluster_id"),
    [
        (THEM, None),
        (replace(THEM, cluster_id=ONE), None),
        (replace(THEM, cluster_id=ONE), ONE),
        (THEM, ONE),
        (replace(THEM, member=False, expected_size=9), None),
    ],
)
def test_these_two_may_talk(hello: Hello, cluster_id: ClusterId | None) -> None:
    """HELLO-4: a cluster id counts where both have one, a size where both are members."""
    assert judge(hello, ME, cluster_id) is None


@pytest.mark.parametrize(
    ("hello", "code", "rule", "words"),
    [
        (
            replace(THEM, version=2),
            "VERSION_MISMATCH",
            "HELLO-4",
            "speaks version 2 of the protocol, this node 1",
        ),
        (replace(THEM, cluster="x"), "CLUSTER_MISMATCH", "HELLO-4", "cluster 'x', this node to 'casty'"),
        (replace(THEM, cluster_id=TWO), "CLUSTER_MISMATCH", "HELLO-4", f"id {TWO.hex()}"),
        (replace(THEM, boot_id=ME.boot_id), "SELF_CONNECTION", "HELLO-6", "me dialled itself"),
        (replace(THEM, node_id=ME.node_id), "NODE_ID_IN_USE", "HELLO-6", "called me, too"),
        (replace(THEM, expected_size=0), "BAD_PAYLOAD", "HELLO-5", "expects a cluster of 0 members"),
        (replace(THEM, expected_size=0, member=False), "BAD_PAYLOAD", "HELLO-5", "of 0 members"),
        (replace(THEM, address="host"), "BAD_PAYLOAD", "HELLO-5", "the address of node them: an address is"),
        (replace(THEM, expected_size=4), "SIZE_MISMATCH", "HELLO-4", "same expected_cluster_size"),
    ],
)
def test_these_two_may_not(hello: Hello, code: str, rule: str, words: str) -> None:
    """HELLO-4 to HELLO-6: with code, rule, both values, and the remedy."""
    objection = judge(hello, ME, ONE)
    assert objection is not None
    assert (objection.code, objection.rule) == (code, rule)
    assert words in objection.text
