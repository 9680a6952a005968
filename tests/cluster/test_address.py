"""Addresses and names, as they are written and read."""

from __future__ import annotations

import pytest

from casty.cluster.address import Address, parse_address
from casty.cluster.naming import checked_node_id, default_node_id, is_loopback
from casty.cluster.sizes import core_options


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:1", Address("localhost", 1)),
        ("127.0.0.1:65535", Address("127.0.0.1", 65535)),
        ("[::1]:80", Address("::1", 80)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
        ("x" * 253 + ":80", Address("x" * 253, 80)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
    ],
)
def test_what_is_read_is_written_the_same(text: str, address: Address) -> None:
    """HELLO-5: host:port or [v6]:port."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "host:port"),
        ("host", "not 'host'"),
        ("host:", "host:port"),
        ("host:x", "host:port"),
        ("host:-1", "host:port"),
        ("host:0", "1 to 65535"),
        ("host:65536", "1 to 65535"),
        ("host:٣", "host:port"),
        ("host:008001", "host:port"),
        (":80", "needs a host"),
        ("[]:80", "needs a host"),
        ("a b:80", "needs a host"),
        ("a[b:80", "needs a host"),
        ("[[::1]]:80", "needs a host"),
        ("a\n:80", "needs a host"),
        ("::1:80", r"needs brackets, \[::1\]:80"),
        ("x" * 254 + ":80", "at most 253 bytes, not 254"),
        ("é" * 127 + ":80", "at most 253 bytes, not 254"),
    ],
)
def test_what_is_no_address_says_what_was_expected(text: str, words: str) -> None:
    """PEER-5, rule 49."""
    with pytest.raises(ValueError, match=words):
        parse_address(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "0:0:0:0:0:0:0:0"])
def test_a_wildcard_names_no_node(host: str) -> None:
    """PEER-4; rule 61: the machine's name stands for it in the default node id."""
    address = Address(host, 8001)
    assert address.is_wildcard
    assert default_node_id(address, "my machine") == "my-machine:8001"


def test_a_node_is_known_by_its_address_where_nobody_says() -> None:
    """Rule 61, HELLO-5: within 64 characters, and none but the allowed."""
    assert not Address("localhost", 1).is_wildcard
    assert default_node_id(Address("127.0.0.1", 1), "m") == "127.0.0.1:1"
    assert default_node_id(Address("::1", 1), "m") == "::1:1"
    assert default_node_id(Address("fe80::1%eth0", 1), "m") == "fe80::1-eth0:1"
    long = default_node_id(Address("x" * 100, 12345), "m")
    assert long == "x" * 58 + ":12345"
    assert checked_node_id(long) == long
    for wrong in ("", "x" * 65, "a b", "é", "a/b", "a\n"):
        with pytest.raises(ValueError, match="1 to 64"):
            checked_node_id(wrong)


def test_only_loopback_is_safe_without_tls() -> None:
    """actors.md §3: a warning says so for anything else."""
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.1", "example.org")))


def test_batches_and_chunks_fit_the_smallest_frame() -> None:
    """LEADER-8, the limits batch_bytes_max and chunk_bytes_max."""
    small = core_options(
        3, heartbeat_interval=0.3, election_timeout=1.0, frame_bytes_max=64 << 10, kept_entries=0
    )
    assert (small.batch_bytes_max, small.chunk_bytes_max) == (32 << 10, 32 << 10)
    large = core_options(
        3, heartbeat_interval=0.3, election_timeout=1.0, frame_bytes_max=16 << 20, kept_entries=0
    )
    assert (large.batch_bytes_max, large.chunk_bytes_max) == (1 << 20, 1 << 20)
    assert (large.heartbeat_ms, large.election_ms, large.expected_size) == (300, 1000, 3)
    for wrong in ((64 << 10) - 1, (1 << 30) + 1):
        with pytest.raises(ValueError, match=f"not {wrong if wrong < 100_000 else f'{wrong:,}'}"):
            core_options(3, heartbeat_interval=0.3, election_timeout=1.0, frame_bytes_max=wrong, kept_entries=0)
