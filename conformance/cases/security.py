"""What a stranger must not be able to do: run code, read a log's secrets, leave traces on the disk (T-*)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from conformance.case import Harm, Level, case
from conformance.cases.hello import turned_away
from conformance.node.process import last_words
from conformance.verdict import Unmet, Unplayable
from conformance.wire.message import message
from conformance.wire.packing import Ext
from conformance.wire.value import Dataclass, EnumMember

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.peer.client import Client
    from conformance.stage import Stage


async def expect_unknown(client: Client, *values: Any) -> None:
    """Asks $echo and sends it messages; raises `Unmet` unless each ask is answered UNKNOWN_TYPE."""
    for value in values:
        client.line.send(message("ACTOR_MSG", "$echo", message=value))
        (await client.ask("$echo", value)).expect(code="UNKNOWN_TYPE")


@case("T-01", "VALUE-2", harm=Harm.SECURITY)
async def a_message_runs_no_program(stage: Stage) -> None:
    """A message that names a program's class, or a function, makes nothing of it.

    given: n1, alone
    when: a client sends $echo dataclasses of the types subprocess:Popen, os:system, builtins:open and more,
    whose fields would create a file
    expect: UNKNOWN_TYPE to each ask; there is no such file
    why: a decoder that imports by name runs whatever the peer names
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    made = stage.folder / "made-by-a-message"
    touch, path = ["touch", str(made)], str(made)
    await expect_unknown(
        client,
        Dataclass("subprocess:Popen", {"args": touch}),
        Dataclass("subprocess:run", {"args": touch}),
        Dataclass("subprocess.Popen", {"args": touch}),
        Dataclass("os:system", {"command": f"touch {path}"}),
        Dataclass("builtins:open", {"file": path, "mode": "w"}),
        Dataclass("builtins:eval", {"source": f"open({path!r}, 'w')"}),
        Dataclass("pathlib:Path.touch", {"self": path}),
        Dataclass("tempfile:mkdtemp", {"dir": str(stage.folder)}),
        EnumMember("subprocess:Popen", touch),
        EnumMember("builtins:open", path),
        [{"deep": Dataclass("subprocess:Popen", {"args": touch})}],
        Dataclass("m:Unknown", {"field": Dataclass("subprocess:Popen", {"args": touch})}),
    )
    if made.exists():
        raise Unmet(f"nothing at {made.name}", "a file: the message was executed")


@case("T-02", "VALUE-2", "LAUNCH-2", harm=Harm.SECURITY)
async def a_message_loads_no_module(stage: Stage) -> None:
    """A type of a module that is not loaded is not looked for.

    given: n1, alone, with a module on its path that leaves a file when it is loaded, should it be in Python
    when: a client sends $echo values of types in that module, in `this`, which prints when it is loaded, and
    with paths and archives for modules
    expect: UNKNOWN_TYPE to each ask; no file, nothing printed
    why: to load code is to run it
    """
    trap = stage.folder / "path"
    trap.mkdir()
    made = stage.folder / "made-by-an-import"
    (trap / "conformance_trap.py").write_text(f"open({str(made)!r}, 'w').close()\n", encoding="utf-8")
    node = stage.launch()
    troupe = await stage.troupe(launch=node, environment={"PYTHONPATH": str(trap)})
    client = await troupe.client()
    modules = ("conformance_trap", "this", "__main__", "..conformance_trap", "./conformance_trap", str(trap))
    for module in modules:
        await expect_unknown(client, Dataclass(f"{module}:Thing", {}), EnumMember(f"{module}:Thing", 1))
    if made.exists():
        raise Unmet("no module to be loaded for a message", "it was")
    if troupe.node.process.printed:
        raise Unmet("nothing on standard output", repr(troupe.node.process.printed[:80]))


@case("T-03", "VALUE-4", "VALUE-2", harm=Harm.SECURITY)
async def only_the_table_is_built(stage: Stage) -> None:
    """Extension codes that are not in the table build nothing, and neither do bodies that do not fit.

    given: n1, alone
    when: a client asks $echo with values of the codes -128 to 127 that are not in the table, and with zones
    that are paths
    expect: BAD_MESSAGE each time
    why: codes of msgpack libraries' own, such as pickled objects, would come in by them
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    wrong = [Ext(code, b"\x01") for code in (*range(-128, 1), *range(15, 128))]
    zones = ("/etc/passwd", "../../etc/passwd", "", ".", "Europe/../../x", "a" * 300)
    wrong += [Ext(7, ["2024-07-01T12:00:00.000000", 0, zone]) for zone in zones]
    for value in wrong:
        id = client.send_ask("$echo", value, detail="malformed")
        (await client.line.hear("ASK_RES", id=id)).expect(code="BAD_MESSAGE")


@case("T-07", "HELLO-4", harm=Harm.SAFETY)
async def another_cluster_has_no_word(stage: Stage) -> None:
    """Raft frames of a node of another cluster are not read, though it may share ids with this one.

    given: n1, a member of the cluster that n2 formed, in term 1
    when: a node called n3, with n3's store but another cluster id, says hello and in the same write asks for a
    vote of term 9 and sends AppendEntries of term 9
    expect: closed without a hello; n1 is in term 1 as before
    why: two clusters whose nodes share names would depose each other's leaders
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2)
    await n3.restart()
    twin = stage.peer("n3")
    twin.store_id = n3.store_id
    vote = message("VOTE_REQUEST", "n3", seq=1, **n3.request_vote(9, (9, 8), troupe.members).fields)
    beat = message("APPEND_ENTRIES_REQ", "n3", seq=2, **n3.append(9, (1, 1)).fields)
    await turned_away(troupe, twin, twin.hello(cluster_id=b"y" * 16), vote, beat)
    (await n2.ask(n2.append(1, (1, 1)))).expect(success=True, term=1)


@case("T-08", "HELLO-5", "LAUNCH-6", harm=Harm.SECURITY)
async def names_are_no_paths(stage: Stage) -> None:
    """Names that strangers choose make no files outside the data directory.

    given: n1, alone
    when: hellos come with node ids that are paths, that hold a zero, and of 255 bytes; peer lists and actors
    with such names
    expect: the hellos are refused; there are no files but in the data directory, and none of those names
    why: a file that is called as a peer likes is a file where it likes
    """
    troupe = await stage.troupe()
    names = ("../../x", "/tmp/x", "a/b", "x\0y", "", "n" * 255, "ñ", "..\\x", "n 2", "n2\n")
    before = _files(stage.folder)
    for name in names:
        stranger = stage.peer("n9")
        stranger.node_id = name
        await turned_away(troupe, stranger, stranger.hello())
    client = await troupe.client()
    client.line.send(client.peer.peers(*((name, "127.0.0.1:9") for name in names)))
    for name in names:
        client.line.send(message("ACTOR_MSG", name, message=1))
        await client.lookup(name)
    made = {path for path in _files(stage.folder) - before if "data" not in path.parts}
    if made:
        raise Unmet("no new files outside the data directory", ", ".join(map(str, sorted(made))))


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@case("T-09", "LAUNCH-2", harm=Harm.SECURITY)
async def it_listens_on_this_machine_only(stage: Stage) -> None:
    """A node that is told nothing else listens on a loopback address, and on no other.

    given: n1, ready
    when: somebody connects to its port at another address of this machine
    expect: the connection is refused
    why: whoever reaches the port may use every actor
    """
    troupe = await stage.troupe()
    host = _own_address()
    port = int(troupe.node.address.rpartition(":")[2])
    with socket.socket() as sock:
        sock.settimeout(stage.scaled(2.0))
        try:
            sock.connect((host, port))
        except OSError:
            return
    raise Unmet(
        "the node to listen on loopback only", f"it accepts connections at another address, port {port}"
    )


def _own_address() -> str:
    """An address of this machine that is not loopback. Nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
            host: str = sock.getsockname()[0]
        except OSError:
            host = "127.0.0.1"
    if host.startswith("127."):
        raise Unplayable("this machine has no address but loopback")
    return host


@case("T-10", "ERROR-1", harm=Harm.SECURITY)
async def what_peers_say_is_escaped_in_the_log(stage: Stage) -> None:
    """Texts of peers reach the log short and escaped, if at all.

    given: n1, alone
    when: a client sends an ERROR whose code, rule and text hold line ends, escapes of terminals and a megabyte
    expect: no such line and no such escape on standard error, and less than a hundred kilobytes
    why: a log that strangers can write into is no log
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    forged = "oops\n2024-01-01 00:00:00 INFO forged line\r\x1b[2J\x1b]0;title\x07\u202e\x00"
    client.line.send(message("ERROR", "", code=forged, rule=forged, text=forged + "z" * (1 << 20)))
    client.line.send(message("ERROR", forged, code="BAD_PAYLOAD", rule="PAYLOAD-2", text=forged))
    await client.line.ping()
    written = (troupe.node.folder / "stderr.txt").read_bytes()
    lines = last_words(troupe.node.folder / "stderr.txt", 100)
    if any(line.startswith("2024-01-01") for line in lines) or b"\x1b" in written or b"\0" in written:
        raise Unmet("the text of a peer to be escaped in the log", repr(written[-300:]))
    if len(written) > 100_000:
        raise Unmet("the text of a peer to be shortened in the log", f"{len(written):,} bytes")


@case("T-11", "VALUE-2", level=Level.STRICT, harm=Harm.SECURITY)
async def secrets_stay_out_of_the_log(stage: Stage) -> None:
    """Messages and values do not show in the log of a node that was told nothing else.

    given: n1, alone in a cluster of three
    when: a client sends a secret to $echo, to $kv, to nobody, and in a value of an unknown type
    expect: answers, the last one UNKNOWN_TYPE; the secret is not on standard error
    why: logs travel further than data
    """
    troupe = await stage.troupe()
    client = await troupe.client()
    secret = "swordfish-4711"
    for actor in ("$echo", "nobody"):
        client.line.send(message("ACTOR_MSG", actor, message=secret))
        await client.ask(actor, secret)
    await client.ask("$kv", {"op": "put", "key": secret, "value": secret})
    await expect_unknown(client, Dataclass("m:Unknown", {"password": secret}))
    if secret.encode() in (troupe.node.folder / "stderr.txt").read_bytes():
        raise Unmet("the values of messages to stay out of the log", "one of them is there")
