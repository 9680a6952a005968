"""The structs of `spec/wire.md`, as they stand in messages."""

from __future__ import annotations

from typing import NamedTuple


class Server(NamedTuple):
    """A node together with the disk it remembers with."""

    node_id: str
    store_id: bytes


class Entry(NamedTuple):
    """One entry of the log; its index is its place."""

    term: int
    kind: str
    data: bytes


class Peer(NamedTuple):
    """A node and where to dial it."""

    node_id: str
    address: str


class Boot(NamedTuple):
    """A start of a process on a data directory."""

    boot_id: bytes
    revision: int


class Configuration(NamedTuple):
    """What entry 1 holds: the cluster's id and its servers, sorted by the bytes of their node ids."""

    cluster_id: bytes
    members: tuple[Server, ...]
