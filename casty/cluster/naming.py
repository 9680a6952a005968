"""What a node may be called, and what it is called where nobody says. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from casty.raft.types import NodeId
from casty.wire._protocol import NODE_ID_BYTES_MAX
from casty.wire.schema import is_node_id

if TYPE_CHECKING:
    from casty.cluster.address import Address

CLUSTER_BYTES_MAX = 255
"""A hello has 4096 bytes in all (spec limit hello_bytes_max), and tells the name of nodes that do not match."""


def checked_node_id(text: str) -> NodeId:
    """The node id. Raises ValueError for what cannot name a node (spec HELLO-5)."""
    if not is_node_id(text):
        limit = NODE_ID_BYTES_MAX
        msg = f"a node id is 1 to {limit} of the characters A-Z a-z 0-9 . _ : -, not {text!r:.100}"
        raise ValueError(msg)
    return NodeId(text)


def checked_cluster_name(text: str) -> str:
    """The cluster's name. Raises ValueError for one that no hello can carry (spec HELLO-3)."""
    if not text or not text.isprintable() or len(text.encode()) > CLUSTER_BYTES_MAX:
        msg = f"a cluster's name is 1 to {CLUSTER_BYTES_MAX} bytes of printable characters, not {text!r:.100}"
        raise ValueError(msg)
    return text


def default_node_id(address: Address, machine: str) -> NodeId:
    """The address a node is known by; a wildcard host names no node, so its machine's name stands for it."""
    host = machine if address.is_wildcard else address.host
    return NodeId(re.sub(r"[^A-Za-z0-9._:-]", "-", f"{host}:{address.port}")[-NODE_ID_BYTES_MAX:])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
