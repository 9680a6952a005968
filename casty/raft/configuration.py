"""The cluster's configuration as the bytes of entry 1 (spec FORM-6), and what makes a member list valid.

The codec of the wire checks the lists in messages by the same rule, on its own: the core imports nothing of it,
so that it can be run, and proved wrong, by itself. Entry 1 is the one entry whose bytes are the core's and not
its users'; msgpack is how the specification writes it, and as pure as the rest.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgpack

from casty.raft.types import ClusterId, Configuration, NodeId, ServerId, StoreId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casty.raft.types import Members

MEMBERS_MAX = 64
"""The longest member list (spec limit members_max)."""


def sorted_members(servers: Iterable[ServerId]) -> Members:
    """The servers as a member list: sorted by the bytes of their node ids (spec FORM-6)."""
    return tuple(sorted(servers, key=lambda server: (server.node_id.encode(), server.store_id)))


def is_member_list(members: Members) -> bool:
    """Whether this could be a cluster's list: not empty, not too long, sorted, node ids distinct."""
    ids = [server.node_id.encode() for server in members]
    return 1 <= len(ids) <= MEMBERS_MAX and all(a < b for a, b in pairwise(ids))


def encode_configuration(configuration: Configuration) -> bytes:
    """The data of entry 1."""
    return msgpack.packb(
        {
            "cluster_id": configuration.cluster_id,
            "members": [[server.node_id, server.store_id] for server in configuration.members],
        }
    )


def decode_configuration(data: bytes) -> Configuration:
    """The configuration in entry 1's data. Raises ValueError, saying what is wrong: the sender's fault."""
    try:
        value: Any = msgpack.unpackb(data)
    except Exception as error:
        msg = f"entry 1 holds {len(data)} bytes that are no configuration ({error})"
        raise ValueError(msg) from error
    match value:
        case {"cluster_id": bytes(cluster_id), "members": [*servers]} if len(cluster_id) == 16:
            members = tuple(_server(server) for server in servers)
        case _:
            msg = f"entry 1 must hold a map of cluster_id and members, not {value!r:.80}"
            raise ValueError(msg)
    if not is_member_list(members):
        found = ", ".join(map(str, members)) or "none"
        msg = f"entry 1's members must be sorted, distinct and 1 to {MEMBERS_MAX}, not {found:.200}"
        raise ValueError(msg)
    return Configuration(ClusterId(cluster_id), members)


def _server(value: Any) -> ServerId:
    match value:
        case [str(node_id), bytes(store_id)] if len(store_id) == 16:
            return ServerId(NodeId(node_id), StoreId(store_id))
        case _:
            msg = f"a member is [node_id, 16 bytes], not {value!r:.80}"
            raise ValueError(msg)
