"""Entry 1's bytes: a member list and a cluster id, and nothing that merely looks like them."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from casty.raft.configuration import (
    MEMBERS_MAX,
    decode_configuration,
    encode_configuration,
    is_member_list,
    sorted_members,
)
from casty.raft.types import Configuration, NodeId, ServerId, StoreId
from tests.raft.shorthand import N1, N2, N3, configuration, server

ID = b"c" * 16
LISTED = [["n1", b"1" * 16], ["n2", b"2" * 16]]


def test_what_was_encoded_is_what_is_decoded() -> None:
    """FORM-6: entry 1 holds "the member list it was elected by and a cluster id"."""
    assert decode_configuration(encode_configuration(configuration(5))) == configuration(5)


def test_entry_one_is_a_map_of_cluster_id_and_members() -> None:
    """FORM-6: byte for byte, so that another implementation's entry 1 is ours."""
    data = encode_configuration(Configuration(configuration().cluster_id, (N1,)))
    assert data == (
        b"\x82\xaacluster_id\xc4\x10" + b"c" * 16 + b"\xa7members\x91\x92\xa2n1\xc4\x10" + b"\x01" * 16
    )


def test_a_later_versions_key_is_ignored() -> None:
    """FORM-6, PAYLOAD-1: "Keys that the receiver does not know are ignored"."""
    data = msgpack.packb({"cluster_id": ID, "members": LISTED, "since": 1})
    assert [member.node_id for member in decode_configuration(data).members] == ["n1", "n2"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"members": LISTED},
        {"cluster_id": ID},
        {"cluster_id": ID[1:], "members": LISTED},
        {"cluster_id": "c" * 16, "members": LISTED},
        {"cluster_id": ID, "members": "n1"},
        {"cluster_id": ID, "members": []},
        {"cluster_id": ID, "members": [["n1"]]},
        {"cluster_id": ID, "members": [["n1", b"1" * 15]]},
        {"cluster_id": ID, "members": [["n1", "1" * 16]]},
        {"cluster_id": ID, "members": [[b"n1", b"1" * 16]]},
        {"cluster_id": ID, "members": [*LISTED, ["n3", b"3" * 16, 0]]},
        {"cluster_id": ID, "members": LISTED[::-1]},
        {"cluster_id": ID, "members": [["n1", b"1" * 16], ["n1", b"2" * 16]]},
        {"cluster_id": ID, "members": [[f"n{i:03}", ID] for i in range(MEMBERS_MAX + 1)]},
    ],
)
def test_anything_else_is_the_senders_mistake(value: Any) -> None:
    """FORM-8: a leader's entry 1 that says nothing is refused, whatever it is instead."""
    with pytest.raises(ValueError, match=r"^entry 1|^a member is"):
        decode_configuration(msgpack.packb(value))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x82", b"\x00\x00", b"\x91" * 5000, b"\xa1\xff"])
def test_bytes_that_are_no_msgpack_are_the_senders_mistake(data: bytes) -> None:
    """FORM-8: no other exception comes out, however odd the bytes."""
    with pytest.raises(ValueError, match=r"no configuration|must hold a map"):
        decode_configuration(data)


def test_the_longest_list_is_one_of_64() -> None:
    """FORM-6, limit members_max: 64 servers are a list, 65 are not, and none are not."""
    many = [server(1)._replace(node_id=NodeId(f"n{i:03}")) for i in range(65)]
    assert [is_member_list(tuple(many[:size])) for size in (0, 1, 64, 65)] == [False, True, True, False]


def test_members_are_sorted_by_the_bytes_of_their_ids() -> None:
    """FORM-6: "Sorted by node id (bytes)"; n10 comes before n2, and capitals before small letters."""
    names = ["n2", "n10", "N3", "n1"]
    servers = [ServerId(NodeId(name), StoreId(bytes(16))) for name in names]
    assert [s.node_id for s in sorted_members(servers)] == ["N3", "n1", "n10", "n2"]


def test_two_stores_of_one_node_are_no_list() -> None:
    """FORM-4: "exactly expected_cluster_size pairs of distinct node ids"."""
    assert not is_member_list(sorted_members({N1, N2, N3, server(3, store=9)}))
