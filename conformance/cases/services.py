"""The actors that the suite drives a node with: $kv, $echo, $sleep; and the log of $kv (KV-1, KV-2, KV-4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from conformance.case import Harm, case
from conformance.cases.leadership import carries
from conformance.peer.troupe import EAGER_MS, command
from conformance.verdict import Unmet
from conformance.wire.message import Entry
from conformance.wire.packed import read
from conformance.wire.packing import is_dict
from conformance.wire.value import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.peer.client import Client
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage

VALUES: Final[list[Any]] = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64 - 1, 1.0, -0.5, "", "größe ☃", b"", b"\0\xff"
]  # fmt: skip
"""One of each kind that a value may be of."""


async def alone(stage: Stage) -> tuple[Troupe, Client]:
    """A node in a cluster of one, which leads, and a client."""
    election = round(EAGER_MS * stage.settings.scale)
    troupe = await stage.troupe(1, launch=stage.launch(size=1, election_ms=election))
    client = await troupe.client()
    while not (answer := await client.kv("get", "nothing"))["ok"]:
        if answer.get("code") != "not_leader":
            raise Unmet("$kv get to succeed, or to say not_leader until it leads", repr(answer))
    return troupe, client


def value_of(answer: dict[str, Any], asked: str) -> Any:
    """The value of a success. Raises `Unmet` for anything else."""
    if answer.get("ok") is not True or "value" not in answer:
        raise Unmet(f"$kv to answer {asked} with ok true and a value", repr(answer))
    return answer["value"]


def acknowledge_all(troupe: Troupe) -> None:
    """From now on the peers, who keep the node in power, take every entry for stored, at once."""
    for peer in troupe.peers:
        peer.stored = 2**32


async def expect_kv(client: Client, wanted: Any, op: str, key: str, **rest: Any) -> None:
    """Asks $kv, and raises `Unmet` unless it succeeds with that value, in kind, too."""
    asked = f"{op} {key} {rest}"
    got = value_of(await client.kv(op, key, **rest), asked)
    if pack(got) != pack(wanted):
        raise Unmet(f"{asked} to give {wanted!r}", repr(got))


async def expect_no(client: Client, code: str, request: Any) -> dict[str, Any]:
    """Asks $kv, and raises `Unmet` unless it refuses with that code, definitely."""
    answer = await client.kv_answer(client.send_ask("$kv", request))
    fields = {"ok": False, "code": code, "definite": True}
    if any(answer.get(name) != wanted for name, wanted in fields.items()):
        raise Unmet(f"$kv to answer {request!r} with {code}, definite true", repr(answer))
    if not isinstance(answer.get("text"), str) or not isinstance(answer.get("leader", 0), str | None):
        raise Unmet("a text, and the leader as a node id or nil", repr(answer))
    return answer


@case("K-01", "KV-1", "KV-2", "VALUE-1", harm=Harm.PROTOCOL)
async def put_get_and_delete(stage: Stage) -> None:
    """$kv keeps values of every kind, in kind, and deletes them.

    given: n1, alone, leads
    when: a client puts, gets and deletes a value of each kind; deletes again and gets what is not there
    expect: nil for put, the value for get, true for delete, then false and nil; each with the next index
    why: the suite judges everything else by these answers
    """
    _, client = await alone(stage)
    index = 0
    for number, value in enumerate(VALUES):
        key = f"k{number}"
        answer = await client.kv("put", key, value=value)
        if value_of(answer, "put") is not None or answer["index"] <= index or not answer["term"]:
            raise Unmet(f"nil, an index above {index} and a term", repr(answer))
        index = answer["index"]
        await expect_kv(client, value, "get", key)
        await expect_kv(client, True, "delete", key)
        await expect_kv(client, False, "delete", key)
        await expect_kv(client, None, "get", key)


@case("K-02", "KV-1", "KV-2", harm=Harm.PROTOCOL)
async def compare_and_set(stage: Stage) -> None:
    """cas sets a value if the present one is the expected one, and says whether it did.

    given: n1, alone, leads; k is 1
    when: a client swaps 2 for 3, 1 for 2, and 1 for 4
    expect: false, true, false; k is 2
    why: locks and counters of clients are built from it
    """
    _, client = await alone(stage)
    await expect_kv(client, None, "put", "k", value=1)
    for expected, value, done in ((2, 3, False), (1, 2, True), (1, 4, False)):
        await expect_kv(client, done, "cas", "k", expect=expected, value=value)
    await expect_kv(client, 2, "get", "k")


@case("K-03", "KV-1", "KV-2", harm=Harm.PROTOCOL)
async def increment_and_append(stage: Stage) -> None:
    """incr adds to a number and append to a str, 0 and empty where there is none; neither to another kind.

    given: n1, alone, leads
    when: a client adds 5, -7 and 1.5 to n, appends "ab" and "c" to t; then adds to t, appends to n, adds true
    expect: 5, -2, -0.5; 2, 3; then bad_request, definite, and n and t as before
    why: a request that half the nodes take and half refuse makes them differ
    """
    _, client = await alone(stage)
    for by, total in ((5, 5), (-7, -2), (1.5, -0.5)):
        await expect_kv(client, total, "incr", "n", value=by)
    for more, length in (("ab", 2), ("c", 3)):
        await expect_kv(client, length, "append", "t", value=more)
    wrong = (
        ("incr", "t", 1),
        ("append", "n", "x"),
        ("append", "t", 1),
        ("incr", "n", "1"),
        ("incr", "n", True),
    )
    for op, key, value in wrong:
        await expect_no(client, "bad_request", {"op": op, "key": key, "value": value})
    await expect_kv(client, -0.5, "get", "n")
    await expect_kv(client, "abc", "get", "t")


@case("K-04", "KV-2", harm=Harm.PROTOCOL)
async def senseless_requests_are_refused(stage: Stage) -> None:
    """What is no request is bad_request, certainly without effect, and said to be so.

    given: n1, alone, leads; k is 1
    when: a client sends no op, an unknown one, fields that are missing, and fields of other kinds
    expect: ok false, bad_request, definite true, with a text, each time; k is still 1
    why: a client that waits for what cannot be waits for ever
    """
    _, client = await alone(stage)
    await expect_kv(client, None, "put", "k", value=1)
    for request in (
        {"op": "put", "key": "k"},
        {"op": "put", "value": 2},
        {"op": "cas", "key": "k", "value": 2},
        {"op": "swap", "key": "k", "value": 2},
        {"op": 7, "key": "k", "value": 2},
        {"key": "k", "value": 2},
        {"op": "put", "key": 7, "value": 2},
        {"op": "put", "key": b"k", "value": 2},
        {"op": "put", "key": "k", "value": [2]},
        {"op": "put", "key": "k", "value": {"a": 2}},
        {"op": "cas", "key": "k", "expect": [1], "value": 2},
        {},
    ):
        await expect_no(client, "bad_request", request)
    await expect_kv(client, 1, "get", "k")


@case("M-13", "KV-2", "COMMIT-4", harm=Harm.LIVENESS)
async def followers_name_the_leader(stage: Stage) -> None:
    """A node that does not lead refuses every request of $kv, and names the leader if it knows one.

    given: n1, who knows nobody; later a follower of n2
    when: a client sends each op, before and after, and one that makes no sense
    expect: not_leader, definite true, leader nil, then n2; bad_request for the last; n1's log has got no entry
    why: clients find the leader by it, and know that they may ask again
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    client = await troupe.client()
    fields = {"key": "k", "value": "1", "expect": None}
    for leader in (None, "n2"):
        if leader is not None:
            await troupe.follow(n2)
        for op in ("put", "get", "cas", "append", "delete"):
            answer = await expect_no(client, "not_leader", {"op": op, **fields})
            if answer["leader"] != leader:
                raise Unmet(f"leader {leader!r}", repr(answer))
        await expect_no(client, "not_leader", {"op": "incr", "key": "k", "value": 1})
        await expect_no(client, "bad_request", {"op": "put", "key": "k"})
    (await n2.ask(n2.append(1, (2, 1)))).expect(success=False)
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True)


@case("K-05", "KV-1", "MSG-6", harm=Harm.LIVENESS)
async def echo_and_sleep(stage: Stage) -> None:
    """$echo replies with what it got; $sleep with the seconds it was given, when they have passed.

    given: n1, alone in a cluster of three
    when: a client asks $sleep for 0.4, $echo for a map, and $sleep for 0
    expect: the map and 0 before the 0.4, which takes as long as it says
    why: with these the suite sees that an ask delays nothing else
    """
    troupe = await stage.troupe()
    client, other = await troupe.client(), await troupe.client()
    began = stage.trace.now()
    slow = client.send_ask("$sleep", 0.4)
    value: dict[str, Any] = {"a": [1, None], "b": {"c": 2.5}}
    if await client.value("$echo", value) != value or await other.value("$sleep", 0) != 0:
        raise Unmet(f"$echo to reply with {value!r} and $sleep with 0", "something else")
    client.line.inbox.nothing("ASK_RES", id=slow)
    (await client.line.hear("ASK_RES", id=slow)).expect(value=0.4)
    if (took := stage.trace.now() - began) < 0.39:
        raise Unmet("$sleep 0.4 to take 0.4 s", f"{took:.3f} s")


FOREIGN: Final[Sequence[bytes]] = (
    command("put", "a", value=1),
    command("put", "b", value="x", client="c7", seq=12, later=[1, {"y": None}]),
    pack({"value": 5, "key": "a", "op": "incr"}),
    command("append", "b", value="yz"),
    command("cas", "a", expect=6, value=7),
    command("cas", "a", expect=6, value=8),
    command("put", "gone", value=b"\0"),
    command("delete", "gone"),
    command("get", "a"),
    command("put", "größe", value=-1.5),
    # what is no request, or what the state does not allow, changes nothing
    command("incr", "b", value=1),
    command("append", "a", value="x"),
    command("swap", "a", value=9),
    command("put", "a", value=[9]),
    pack({"op": "put", "key": "a"}),
    pack({"op": "put", "key": 1, "value": 9}),
    pack([1, 2]),
    pack(None),
    pack("put"),
    pack(7),
)
"""Commands as another implementation might have appended them."""
FOREIGN_STATE: Final = {"a": 7, "b": "xyz", "größe": -1.5}
"""What they come to."""


def foreign_log() -> list[Entry]:
    """Entries 2 and so on of a leader of another implementation, in term 1."""
    return [Entry(1, "command", data) for data in FOREIGN]


@case("K-06", "KV-4", "COMMIT-3", "ERROR-3", harm=Harm.SAFETY)
async def commands_of_another_implementation_are_applied(stage: Stage) -> None:
    """Commands in the log are read by their fields, whoever appended them; what is no request changes nothing.

    given: n1, a follower of n2, whose log has commands without what n1 itself would add, with fields that
    nobody knows, and some that are no requests
    when: n2 commits them, and n1 becomes the leader
    expect: n1's $kv has what the requests among them come to
    why: nodes of different implementations share a log
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    log = foreign_log()
    await troupe.follow(n2, log, commit=1 + len(log))
    await troupe.commit(await troupe.succeed())
    acknowledge_all(troupe)
    client = await troupe.client()
    for key, value in (FOREIGN_STATE | {"gone": None}).items():
        await expect_kv(client, value, "get", key)


@case("K-07", "KV-4", "KV-1", "LEADER-2", harm=Harm.SAFETY)
async def its_commands_are_the_requests_fields(stage: Stage) -> None:
    """What $kv appends is a map of the request's own fields, with nothing that others must know.

    given: n1, elected by n2 and n3
    when: a client sends each op
    expect: entries of kind command whose data is a msgpack map with the request's op, key, value and expect
    why: a follower of another implementation applies it
    """
    troupe = await stage.troupe(eager=True)
    n2, _ = troupe.peers
    await troupe.lead()
    client = await troupe.client()
    asked: list[dict[str, Any]] = [
        {"op": "put", "key": "a", "value": b"\0\1"},
        {"op": "cas", "key": "a", "expect": None, "value": 1.5},
        {"op": "incr", "key": "n", "value": 2**40},
        {"op": "append", "key": "t", "value": "☃"},
        {"op": "delete", "key": "a"},
        {"op": "get", "key": "a"},
    ]
    for index, request in enumerate(asked, start=2):
        client.send_ask("$kv", request)
        heard = await carries(troupe, n2, index)
        entry: Entry = heard["entries"][index - heard["prev_log_index"] - 1]
        said: object = unpack(entry.data, read(entry.data), [])
        if entry.kind != "command" or not is_dict(said):
            raise heard.unmet(f"a command of a map with {request}", f"{entry.kind} {said!r}", "entries")
        ours = {name: said.get(name, "absent") for name in request}
        if pack(ours) != pack(request):
            raise heard.unmet(f"a map with {request}", repr(said), "entries")
