"""Whether two nodes may talk: what each makes of the other's hello (spec HELLO-*). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casty.cluster.address import parse_address
from casty.errors import ProtocolError
from casty.wire._protocol import PROTOCOL_VERSION

if TYPE_CHECKING:
    from casty.raft.types import Boot, ClusterId, NodeId, StoreId
    from casty.wire.messages import Hello


@dataclass(frozen=True, slots=True)
class Identity:
    """What this node says of itself in every hello; lane, address and cluster id are added when it is said."""

    node_id: NodeId
    store_id: StoreId
    boot_id: bytes
    cluster: str
    expected_size: int
    member: bool
    boots: tuple[Boot, ...] = ()
    """The latest of its directory, newest first; empty where it has none."""


def judge(hello: Hello, me: Identity, cluster_id: ClusterId | None) -> ProtocolError | None:
    """Why this node will not talk to the sender of that hello; None if it will (spec HELLO-4 to HELLO-6)."""
    if hello.version != PROTOCOL_VERSION:
        text = (
            f"node {hello.node_id} speaks version {hello.version} of the protocol, this node {PROTOCOL_VERSION}"
        )
        return ProtocolError("VERSION_MISMATCH", "HELLO-4", text)
    if hello.expected_size == 0:
        text = f"node {hello.node_id} expects a cluster of 0 members"
        return ProtocolError("BAD_PAYLOAD", "HELLO-5", text)
    try:
        parse_address(hello.address)
    except ValueError as error:
        return ProtocolError("BAD_PAYLOAD", "HELLO-5", f"the address of node {hello.node_id}: {error}")
    if hello.cluster != me.cluster:
        text = f"node {hello.node_id} belongs to cluster {hello.cluster!r}, this node to {me.cluster!r}"
        return ProtocolError("CLUSTER_MISMATCH", "HELLO-4", text)
    if hello.cluster_id is not None and cluster_id is not None and hello.cluster_id != cluster_id:
        text = (
            f"node {hello.node_id} belongs to the {hello.cluster!r} with id {hello.cluster_id.hex()}, "
            f"this node to the one with id {cluster_id.hex()}"
        )
        return ProtocolError("CLUSTER_MISMATCH", "HELLO-4", text)
    if hello.boot_id == me.boot_id:
        return ProtocolError("SELF_CONNECTION", "HELLO-6", f"node {me.node_id} dialled itself")
    if hello.node_id == me.node_id:
        text = f"this node is called {me.node_id}, too"
        return ProtocolError("NODE_ID_IN_USE", "HELLO-6", text)
    if hello.member and me.member and hello.expected_size != me.expected_size:
        text = (
            f"node {hello.node_id} expects a cluster of {hello.expected_size}, "
            f"this node one of {me.expected_size}: give all the same expected_cluster_size"
        )
        return ProtocolError("SIZE_MISMATCH", "HELLO-4", text)
    return None
