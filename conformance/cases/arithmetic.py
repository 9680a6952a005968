"""What the commands of $kv come to, on every node alike (KV-6), and a command that nobody can read (KV-4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from conformance.case import Harm, case
from conformance.cases.services import alone, expect_kv, expect_no
from conformance.peer.troupe import command
from conformance.verdict import Unmet
from conformance.wire.message import Entry

if TYPE_CHECKING:
    from conformance.stage import Stage

MOST, LEAST = 2**64 - 1, -(2**63)


@case("K-20", "KV-6", harm=Harm.SAFETY)
async def cas_compares_kind_and_value(stage: Stage) -> None:
    """cas swaps only where kind and value are the expected ones; nil stands for no such key, too.

    given: n1, alone, leads
    when: a client swaps where 1 is and true or 1.0 expected, where "1" is and bin expected, 0.0 for -0.0, and
    nil for a key that is not there and for one that holds nil
    expect: false three times, then true
    why: one node that takes true for 1 has another state than the rest
    """
    _, client = await alone(stage)
    for present, expected, done in (
        (1, True, False),
        (1, 1.0, False),
        (True, 1, False),
        (0, False, False),
        ("1", b"1", False),
        ("", None, False),
        (None, 0, False),
        (1, 1, True),
        (1.5, 1.5, True),
        (b"\0", b"\0", True),
        (0.0, -0.0, True),
        (None, None, True),
        (2**63, 2**63, True),
    ):
        await expect_kv(client, None, "put", "k", value=present)
        await expect_kv(client, done, "cas", "k", expect=expected, value="swapped")
        await expect_kv(client, "swapped" if done else present, "get", "k")
    await expect_kv(client, True, "cas", "not there", expect=None, value=1)
    await expect_kv(client, False, "cas", "not there either", expect=0, value=1)
    await expect_kv(client, None, "get", "not there either")


@case("K-21", "KV-6", harm=Harm.SAFETY)
async def sums_are_of_the_kinds_of_their_parts(stage: Stage) -> None:
    """incr gives an integer of integers, a float where one is a float, and nothing that is no value.

    given: n1, alone, leads
    when: a client adds at the ends of the integers, floats to integers, and what has no sum
    expect: exact integers; floats; bad_request where the sum is beyond 64 bits or NaN, and the value as before
    why: where one language wraps, another rounds and a third goes on
    """
    _, client = await alone(stage)
    sums: list[tuple[Any, Any, Any]] = [
        (None, 5, 5),
        (2**53, 1, 2**53 + 1),
        (MOST - 1, 1, MOST),
        (LEAST + 1, -1, LEAST),
        (1, 1.5, 2.5),
        (1, 1.0, 2.0),
        (0.5, 1, 1.5),
        (1e308, 1e308, float("inf")),
    ]
    for present, by, total in sums:
        await expect_kv(client, None, "put", "n", value=present)
        await expect_kv(client, total, "incr", "n", value=by)
        await expect_kv(client, total, "get", "n")
    for present, by in ((MOST, 1), (LEAST, -1), (True, 1), ("1", 1), (float("inf"), float("-inf"))):
        await expect_kv(client, None, "put", "n", value=present)
        await expect_no(client, "bad_request", {"op": "incr", "key": "n", "value": by})
        await expect_kv(client, present, "get", "n")
    await expect_kv(client, 7, "incr", "not there", value=7)


@case("K-22", "KV-6", harm=Harm.SAFETY)
async def lengths_count_code_points(stage: Stage) -> None:
    """append gives the new length in code points; a key that holds nil is there.

    given: n1, alone, leads
    when: a client appends characters of one to four bytes; puts nil under a key and deletes it twice; puts NaN
    expect: lengths in characters, not in bytes and not in UTF-16 units; true, then false; bad_request
    why: a length is a result like any other, and must be the same everywhere
    """
    _, client = await alone(stage)
    length = 0
    for more in ("a", "ß", "☃", "𝄞", "", "e\u0301"):
        length += len(more)
        await expect_kv(client, length, "append", "t", value=more)
    await expect_kv(client, None, "put", "nil", value=None)
    await expect_kv(client, True, "delete", "nil")
    await expect_kv(client, False, "delete", "nil")
    await expect_no(client, "bad_request", {"op": "put", "key": "nan", "value": float("nan")})
    await expect_no(client, "bad_request", {"op": "put", "key": "big", "value": 2**64})
    await expect_kv(client, None, "get", "nan")


@case("K-23", "KV-4", harm=Harm.SAFETY)
async def what_cannot_be_read_ends_the_server(stage: Stage) -> None:
    """A node that must apply a command whose data is no value at all goes no further.

    given: n1, a follower of n2, with a command whose data is no msgpack
    when: n2 commits it
    expect: exit status 74
    why: to pass over it would be a guess that the others may not make
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, [Entry(1, "command", b"\xc1")])
    n2.request(n2.append(1, (2, 1), commit=2))
    status = await troupe.node.exited(stage.patience)
    if status != 74:
        raise Unmet("exit status 74", f"{status}")


@case("K-24", "COMMIT-5", harm=Harm.SAFETY, capabilities=("introspect", "skip"))
async def only_the_entry_that_was_named_is_left_out(stage: Stage) -> None:
    """A command that cannot be read is left out by a node that was told its name, and by no other.

    given: n1, a follower of n2, with a command whose data is no msgpack, and a good one after it; it has ended
    when: n1 is started again, told another checksum, then another term, then the entry's own name; each time n2
    commits both
    expect: exit status 74 twice; then the good command is applied
    why: what one member leaves out and another does not makes them differ for good
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    data = b"\xc1"
    await troupe.follow(n2, [Entry(1, "command", data), Entry(1, "command", command())])
    names = (f"2:1:{crc32(data) ^ 1:08x}", f"2:2:{crc32(data):08x}")
    for name in (None, *names):
        if name is not None:
            await troupe.rejoin(n2, environment={"CF_SKIP_ENTRY": name})
        n2.request(n2.append(1, (3, 1), commit=3))
        status = await troupe.node.exited(stage.patience)
        if status != 74:
            raise Unmet(f"exit status 74 with CF_SKIP_ENTRY={name}", f"{status}")
    await troupe.rejoin(n2, environment={"CF_SKIP_ENTRY": f"2:1:{crc32(data):08x}"})
    n2.request(n2.append(1, (3, 1), commit=3))
    await troupe.applied(3)
