"""What $raft says of a node (KV-3), and the state of $kv as digests and snapshots show it (KV-4, KV-5)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from conformance.case import Harm, case
from conformance.cases.services import FOREIGN_STATE, acknowledge_all, alone, expect_kv, foreign_log
from conformance.peer.troupe import entries
from conformance.verdict import Unmet
from conformance.wire.value import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conformance.peer.client import Client
    from conformance.stage import Stage
    from conformance.wire.message import Entry

STATE: Final[Mapping[str, Any]] = {"b": 1, "a": "x", "B": 2.5, "ß": None, "": False, "aa": b"\0", "𝄞": -1}
"""Keys whose order is told by their bytes and by nothing else."""


def state_bytes(state: Mapping[str, Any]) -> bytes:
    """A state of $kv as KV-5 says: the array of all pairs, sorted by the bytes of their keys."""
    return pack([[key, state[key]] for key in sorted(state, key=str.encode)])


def hashed(said: object) -> str:
    """A SHA-256 as lower-case hex, which is how $raft says it."""
    return said.hex() if isinstance(said, bytes) else str(said).lower()


async def expect_digest(client: Client, state: Mapping[str, Any], applied: int) -> None:
    """Raises `Unmet` unless $raft digest is that of this state, after this index."""
    said = await client.raft("digest")
    wanted = {"last_applied": applied, "sha256": sha256(state_bytes(state)).hexdigest()}
    if {"last_applied": said.get("last_applied"), "sha256": hashed(said.get("sha256"))} != wanted:
        raise Unmet(f"$raft digest of {dict(state)!r}: {wanted}", repr(said))


@case("K-10", "KV-3", harm=Harm.PROTOCOL, capabilities=("introspect",))
async def status_is_what_the_wire_shows(stage: Stage) -> None:
    """$raft status says what the node is, whom it follows and how far its log goes.

    given: n1, a follower of n2 in term 3 whose log ends at (4, 3), committed to 2
    when: it is asked for its status, before n2 came and after
    expect: the fields of spec/launch.md with just these values
    why: what cannot be seen cannot be judged
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.meet()
    await troupe.expect_status(node_id="n1", store_id=troupe.server.store_id, term=0, last_log_index=0)
    await troupe.expect_status(leader=None, voted_for=None, commit_index=0, cluster_id=None)
    await troupe.form(n2)
    troupe.term = 3
    await troupe.replicate(n2, (1, 1), entries(1, 3, 3), commit=2)
    await troupe.expect_status(
        term=3, leader=list(n2.server), commit_index=2, last_applied=2, durable_index=4, last_log_index=4
    )
    await troupe.expect_status(
        last_log_term=3, snapshot_index=0, snapshot_term=0, cluster_id=troupe.cluster_id, voted_for=None
    )
    status = await troupe.status()
    said = (str(status.get("role")).lower(), str(status.get("standing")).lower())
    if said != ("follower", "member"):
        raise Unmet("role follower, standing member", repr(said))


@case("K-11", "KV-3", harm=Harm.PROTOCOL, capabilities=("introspect",))
async def log_is_what_was_replicated(stage: Stage) -> None:
    """$raft log gives index, term and hash of the entries that the log holds in a range.

    given: n1, a follower of n2 with entries 1 to 4
    when: it is asked for 2 to 3, for 0 to 99 and for 5 to 9
    expect: their indexes, terms and SHA-256 over kind, a zero byte and data; what is not there is left out
    why: two logs are compared by it
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    log = entries(1, 2, 2)
    await troupe.follow(n2, log)
    first = troupe.first_entry.data
    rows = [_row(index, entry) for index, entry in enumerate(log, start=2)]
    client = await troupe.client()
    for begin, end, wanted in ((2, 3, rows[:2]), (0, 99, None), (5, 9, [])):
        said = await client.raft("log", **{"from": begin, "to": end})
        got = [(index, term, hashed(digest)) for index, term, digest in said]
        if wanted is None:
            wanted = [(1, 1, sha256(b"members\0" + first).hexdigest()), *rows]
        if got != wanted:
            raise Unmet(f"the entries {begin} to {end}: {wanted}", repr(said))


def _row(index: int, entry: Entry) -> tuple[int, int, str]:
    return index, entry.term, sha256(entry.kind.encode() + b"\0" + entry.data).hexdigest()


@case("K-12", "KV-3", "KV-5", harm=Harm.SAFETY, capabilities=("introspect",))
async def digest_is_that_of_the_sorted_pairs(stage: Stage) -> None:
    """$raft digest is the SHA-256 of the msgpack array of all pairs, sorted by the bytes of their keys.

    given: n1, alone, leads
    when: a client puts values of several kinds under keys of several scripts, and deletes one
    expect: the digest of the state, after each, with the index it holds for
    why: nodes of different implementations with equal states must say so
    hint: sort by UTF-8 bytes, not by UTF-16 units or a language's own order
    """
    _, client = await alone(stage)
    state: dict[str, Any] = {}
    for key, value in STATE.items():
        answer = await client.kv("put", key, value=value)
        state[key] = value
        await expect_digest(client, state, answer["index"])
    answer = await client.kv("delete", "aa")
    del state["aa"]
    await expect_digest(client, state, answer["index"])


@case("K-13", "KV-3", "SNAP-9", harm=Harm.SAFETY, capabilities=("introspect", "snapshot"))
async def snapshot_compacts_and_loses_nothing(stage: Stage) -> None:
    """$raft snapshot compacts the log up to what is applied; the state is as before, after a restart, too.

    given: n1, alone, leads, and has some state
    when: it is told to take a snapshot, and is then killed and started again
    expect: ok true; snapshot_index is last_applied; the log holds nothing before; the values are there
    why: history goes, what it came to stays
    """
    troupe, client = await alone(stage)
    for key, value in STATE.items():
        await client.kv("put", key, value=value)
    before = await troupe.status()
    if (await client.raft("snapshot")).get("ok") is not True:
        raise Unmet("$raft snapshot to answer ok true", "another answer")
    await troupe.expect_status(snapshot_index=before["last_applied"], snapshot_term=before["last_log_term"])
    if await client.raft("log", **{"from": 1, "to": before["last_applied"]}) != []:
        raise Unmet("no entries in the log that the snapshot covers", "some")
    await troupe.restart()
    client = await troupe.client()
    while (await client.kv("get", "b")).get("code") == "not_leader":
        pass
    for key, value in STATE.items():
        await expect_kv(client, value, "get", key)


@case("K-14", "KV-4", "KV-5", "COMMIT-3", harm=Harm.SAFETY, capabilities=("introspect",))
async def foreign_commands_give_the_same_digest(stage: Stage) -> None:
    """After the same entries a node has the same digest as any other, whoever appended them.

    given: n1, a follower of n2, with commands of another implementation, senseless ones among them
    when: n2 commits them one by one
    expect: last_applied follows, and the digest at the end is that of the state they come to
    why: a node that stumbles over an entry of another's differs from all others for ever
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    log = foreign_log()
    await troupe.follow(n2, log)
    client = await troupe.client()
    for index in range(2, 2 + len(log)):
        (await n2.ask(n2.append(1, (1 + len(log), 1), commit=index))).expect(success=True)
        applied = (await client.raft("digest"))["last_applied"]
        if applied != index:
            raise Unmet(f"last_applied {index}", f"{applied}")
    await expect_digest(client, FOREIGN_STATE, 1 + len(log))


@case("K-15", "KV-5", "SNAP-8", "FORM-6", harm=Harm.SAFETY, capabilities=("introspect", "snapshot"))
async def snapshots_are_the_sorted_pairs(stage: Stage) -> None:
    """The snapshot that a leader sends is the array that the digest is taken of.

    given: n1, elected by n2 and n3, has some state and has compacted its log; n2 comes back without its disk
    when: n2 refuses AppendEntries as one with an empty log does
    expect: INSTALL_SNAPSHOT_REQ with the pairs sorted by the bytes of their keys, their CRC-32 and size
    why: a follower of another implementation installs it
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    acknowledge_all(troupe)
    client = await troupe.client()
    for key, value in STATE.items():
        await client.kv("put", key, value=value)
    await client.raft("snapshot")
    members = troupe.members
    n2.lives, n2.store_id = False, stage.rng.randbytes(16)
    await n2.restart()
    await troupe.meet(n2, back=True)
    heard = await n2.requests.hear("APPEND_ENTRIES_REQ")
    data = b""
    while heard.message.kind != "INSTALL_SNAPSHOT_REQ" or not heard["done"]:
        if heard.message.kind == "APPEND_ENTRIES_REQ":
            n2.answer(heard, success=False, match_index=0, conflict_index=1)
        else:
            data += heard["data"]
            last, offset = heard["last_included_index"], len(data)
            n2.answer(heard, last_included_index=last, offset=offset, installed=False)
        heard = await n2.requests.hear("APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ")
    data += heard["data"]
    heard.expect(size=len(data), checksum=crc32(data), cluster_id=troupe.cluster_id, members=members)
    if data != state_bytes(STATE):
        raise heard.unmet(f"{state_bytes(STATE).hex()}", f"{data.hex()}", "data")
