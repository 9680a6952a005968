"""Starting and ending a node: what it is told, what it prints, what its status says (LAUNCH-1 … LAUNCH-6)."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conformance.case import Harm, case
from conformance.cases.discovery import listed
from conformance.cases.hello import turned_away
from conformance.node.contract import read_description
from conformance.peer.troupe import entries
from conformance.verdict import Unmet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from conformance.node.contract import Launch
    from conformance.peer.peer import Peer
    from conformance.stage import Stage

SECONDS = 10.0
"""How long a node may take to end, on a machine of ordinary speed."""


async def run(
    stage: Stage, launch: Launch, *more: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Runs the command to its end, with these words after it: status, standard output, standard error."""
    folder = stage.folder / "run"
    folder.mkdir(exist_ok=True)
    config = folder / "config.json"
    launch.write(config)
    process = await asyncio.create_subprocess_exec(
        *launch.command(stage.settings.command, config),
        *more,
        env=launch.environment(config, environment or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(stage.scaled(2 * SECONDS)):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Unmet("the command to end by itself", f"it still runs: {' '.join(more)}") from None
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


@case("L-01", "LAUNCH-2", "LAUNCH-5", harm=Harm.PROTOCOL)
async def ready_is_all_it_prints(stage: Stage) -> None:
    """The one line on standard output is READY, when the node accepts connections, with what it is.

    given: n1, just started
    when: its READY line has come, n2 dials it at once; it then follows n2, answers asks and mistakes, and ends
    expect: node_id n1, protocol 1, an implementation and its capabilities; a hello; nothing more on standard
    output, to the end
    why: whoever launches it waits for that line, and reads no other
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    said = troupe.node.description
    wrong = said.node_id != "n1" or said.protocol != 1 or not said.impl
    if wrong or not stage.settings.caps <= said.caps:
        declared = ", ".join(sorted(stage.settings.caps))
        raise Unmet(f"READY of n1, protocol 1, an impl, and the capabilities {declared}", repr(said))
    await troupe.follow(n2, entries(1), commit=2)
    client = await troupe.client()
    await client.value("$echo", "READY {}\n")
    client.line.send_bytes(b"\x01\x00\x00\xff\xff\xff\xff", "a frame over the limit")
    await client.line.gone()
    await troupe.node.terminate(stage.scaled(SECONDS))
    if troupe.node.remarks:
        raise Unmet("nothing on standard output after READY", "; ".join(troupe.node.remarks))


@case("L-02", "LAUNCH-3", harm=Harm.LIVENESS)
async def only_the_advertised_address_is_told(stage: Stage) -> None:
    """The address that a node announces is the one it was told, in hellos and in gossip; else the one it bound.

    given: n1, told to advertise n3's address (as that of a proxy); and n4, told nothing
    when: n2 dials both, and is told of each by the other
    expect: the advertised address of n1, never the one it bound; of n4 the one it bound
    why: the others reach it there and nowhere else
    """
    proxy = stage.peer("proxy")
    advertised = await proxy.listen()
    told, untold = stage.node(stage.launch(advertise=advertised)), stage.node(stage.launch("n4"))
    await told.start()
    await untold.start()
    n2, n3 = stage.peer("n2"), stage.peer("n3")
    for node, address in ((told, advertised), (untold, untold.address)):
        line = await n2.dial(node.address, node.node_id)
        assert line.hello is not None
        line.hello.expect(address=address)
        heard = await (await n3.dial(node.address, node.node_id)).hear("PEER_LIST.peers")
        if node.address in listed(heard).values() and address != node.address:
            raise heard.unmet(f"{node.node_id} at {address} or not at all", f"at {node.address}", "peers")


@case("L-03", "LAUNCH-4", harm=Harm.HANG)
async def sigterm_ends_it(stage: Stage) -> None:
    """SIGTERM ends a node with status 0, whatever it is doing.

    given: n1, a follower of n2, with an ask that takes a minute, a client that does not read, and half a frame
    when: SIGTERM comes
    expect: status 0 within ten seconds; the connections end; it starts again on its directory
    why: an operator who has to use kill -9 will use it always
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    client, deaf, half = await troupe.client(), await troupe.client(), await troupe.client()
    client.send_ask("$sleep", 60)
    deaf.line.pause()
    for _ in range(50):
        deaf.send_ask("$echo", "x" * 100_000)
    half.line.send_bytes(b"\x01\x00\x05$echo\x00\x10", "half a frame")
    await n2.raft.ping()
    status = await troupe.node.terminate(stage.scaled(SECONDS))
    if status != 0:
        raise Unmet("exit status 0 after SIGTERM", f"{status}")
    await client.line.gone()
    await troupe.rejoin(n2)
    (await n2.ask(n2.append(1, (2, 1)))).expect(success=True, match_index=2)


@case("L-04", "LAUNCH-4", harm=Harm.HANG)
async def the_end_of_input_ends_it(stage: Stage) -> None:
    """With CF_EXIT_ON_EOF=1 a node ends with status 0 when its standard input does.

    given: n1, a follower of n2, started with CF_EXIT_ON_EOF=1
    when: its standard input ends
    expect: status 0 within ten seconds
    why: no node must outlive a suite that was killed
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    troupe.node.process.close_input()
    status = await troupe.node.exited(stage.scaled(SECONDS))
    if status != 0:
        raise Unmet("exit status 0 at the end of standard input", f"{status}")


@case("L-05", "LAUNCH-4", harm=Harm.LIVENESS)
async def else_the_end_of_input_means_nothing(stage: Stage) -> None:
    """Without CF_EXIT_ON_EOF the end of standard input is of no account.

    given: n1, started with CF_EXIT_ON_EOF empty
    when: its standard input ends, and half a second passes
    expect: it answers as before
    why: a service has no standard input
    """
    troupe = await stage.troupe(environment={"CF_EXIT_ON_EOF": ""})
    client = await troupe.client()
    troupe.node.process.close_input()
    if await client.value("$sleep", 0.5) != 0.5:
        raise Unmet("$sleep to reply 0.5", "another value")
    await client.line.ping()


@case("L-06", "LAUNCH-5", harm=Harm.PROTOCOL)
async def it_describes_itself(stage: Stage) -> None:
    """With --describe the command prints one JSON object and ends with status 0; READY says the same.

    given: the command with --describe after it
    when: it is run, without a data directory that could be used; then a node is started
    expect: status 0; impl, protocol 1 and caps as in READY; nothing else on standard output
    why: the suite decides by it what to play
    """
    launch = replace(stage.launch(), data_dir=str(stage.folder / "config.json" / "no-directory"))
    status, out, err = await run(stage, launch, "--describe")
    if status != 0:
        raise Unmet("--describe to end with status 0", f"status {status}: {err[-200:]}")
    described = read_description(out)
    fields: dict[str, Any] = json.loads(out)
    if described.protocol != 1 or not {"impl", "protocol", "caps"} <= fields.keys():
        raise Unmet("impl, protocol 1 and caps", out[:200])
    node = stage.node(stage.launch())
    await node.start()
    said = node.description
    if (said.impl, said.protocol, said.caps) != (described.impl, described.protocol, described.caps):
        raise Unmet(f"READY to say what --describe says: {described}", repr(said))


@case("L-07", "LAUNCH-5", "LAUNCH-2", harm=Harm.PROTOCOL)
async def what_it_cannot_do_it_refuses(stage: Stage) -> None:
    """A request for a capability that the node does not have ends it with status 127, before READY.

    given: the command, asked by CF_CAPS for a capability that was made up; and for those it declares
    when: it is run
    expect: status 127, a line on standard error and none on standard output; READY with those it has
    why: a suite that believes what is not there goes green on what it did not play
    """
    wanted = stage.launch(caps=[*sorted(stage.settings.caps), "no-such-capability"])
    status, out, err = await run(stage, wanted)
    if status != 127 or out or not err.strip():
        raise Unmet("status 127, a line on standard error and no READY", f"status {status}, {out!r}, {err!r}")
    node = stage.node(stage.launch(caps=sorted(stage.settings.caps)))
    await node.start()


@case("L-08", "LAUNCH-6", "FORM-1", "PERSIST-1", harm=Harm.DURABILITY)
async def the_directory_is_the_server(stage: Stage) -> None:
    """Started again with the same directory, wherever it listens now, a node is the same server.

    given: n1, a follower of n2 in term 3 with entries up to (3, 3), ended by SIGTERM
    when: it is started again
    expect: the same node id and store id, another boot id; term 3 and entry 3; another directory is another
    store
    why: what it promised is bound to what it remembers
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1, 3))
    boot = _boot_id(n2)
    await troupe.node.terminate(stage.scaled(SECONDS))
    await troupe.rejoin(n2)
    if _boot_id(n2) == boot:
        raise Unmet("another boot id after a restart", "the same")
    (await n2.ask(n2.request_vote(0, (0, 0), troupe.members))).expect(term=3, vote_granted=False)
    (await n2.ask(n2.append(3, (3, 3)))).expect(success=True, match_index=3)
    other = stage.node(replace(stage.launch("n4"), node_id="n1"))
    await other.start()
    line = await stage.peer("n9").dial(other.address, "n1")
    assert line.hello is not None
    if line.hello["store_id"] == troupe.node.store_id:
        raise line.hello.unmet("another store id with another directory", "the same", "store_id")


def _boot_id(peer: Peer) -> bytes:
    """That of the node, as it said when this peer dialled it."""
    hello = peer.raft.hello
    assert hello is not None
    boot_id: bytes = hello["boot_id"]
    return boot_id


@case("L-09", "LAUNCH-6", "LAUNCH-1", harm=Harm.DURABILITY)
async def the_directory_knows_its_name(stage: Stage) -> None:
    """Without a node id a node takes the one that its directory remembers.

    given: a node that was started as n7, and ended
    when: it is started on the same directory with an empty node id
    expect: READY and a hello of n7, with the same store
    why: a service that is configured by its directory alone cannot be given two names
    """
    node = stage.node(stage.launch("n7"))
    await node.start()
    n2 = stage.peer("n2")
    first = (await n2.dial(node.address, "n7")).hello
    await node.terminate(stage.scaled(SECONDS))
    node.launch = replace(node.launch, node_id="")
    await n2.restart()
    await node.start()
    if node.description.node_id != "n7":
        raise Unmet("READY of n7", f"of {node.description.node_id!r}")
    second = (await n2.dial(node.address, "n7")).hello
    if first is None or second is None or first["store_id"] != second["store_id"]:
        raise Unmet("the same store id", "another")


@case("L-10", "LAUNCH-1", "LAUNCH-6", "PEER-2", harm=Harm.PROTOCOL)
async def it_is_what_it_was_told(stage: Stage) -> None:
    """Node id, size, cluster, seeds and directory are those that the node was started with.

    given: a node told to be n5 of five in the cluster "rocket", with a seed, in a directory that is not there
    when: it is started
    expect: it dials the seed with a hello that says so; files appear in that directory and nowhere else
    why: who tells it cannot look into it
    """
    seed = stage.peer("seed-1", size=5)
    seed.cluster = "rocket"
    seeds = [await seed.listen(), "127.0.0.1:9"]
    launch = stage.launch("n5", size=5, cluster="rocket", seeds=seeds)
    nested = stage.folder / "nodes" / "n5" / "deep" / "data"
    node = stage.node(replace(launch, data_dir=str(nested)))
    before = _files(stage.folder)
    await node.start()
    await seed.dialled()
    hello = seed.lines[0].hello
    assert hello is not None
    hello.expect(cluster="rocket", expected_size=5)
    if hello.message.name != "n5":
        raise hello.unmet("a hello of n5", hello.message.name)
    made = _files(stage.folder) - before
    ours = {"config.json", "stderr.txt", "wire.jsonl"}
    stray = {path for path in made if nested not in path.parents and path.name not in ours}
    if stray or not any(nested in path.parents for path in made):
        raise Unmet("files in the data directory and nowhere else", f"{sorted(map(str, stray))}")


@case("L-11", "LAUNCH-1", harm=Harm.PROTOCOL)
async def the_environment_counts_before_the_file(stage: Stage) -> None:
    """What the environment says counts, where the file says something else.

    given: a node whose file names the cluster "casty", and whose environment names it "rocket"
    when: it is started, and dialled by a node of either
    expect: a hello to that of "rocket"; that of "casty" is turned away
    why: one variable is how an operator makes an exception
    """
    troupe = await stage.troupe(environment={"CF_CLUSTER": "rocket"})
    n2, n3 = troupe.peers
    n2.cluster = "rocket"
    await n2.dial(troupe.node.address, "n1")
    await turned_away(troupe, n3, n3.hello())


@case("L-12", "LAUNCH-4", harm=Harm.HANG)
async def sigterm_comes_again(stage: Stage) -> None:
    """A node that is told to end again and again, while it ends, ends with status 0 all the same.

    given: n1, a follower of n2, with a client that asks and does not read
    when: SIGTERM comes, and again every few milliseconds until the node has ended
    expect: status 0 within ten seconds; it starts again on its directory
    why: a supervisor, a shell and a container's runtime may each pass the signal on
    hint: the handler must be in its place until the process is gone
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2, entries(1))
    deaf = await troupe.client()
    deaf.line.pause()
    for _ in range(50):
        deaf.send_ask("$echo", "x" * 100_000)
    await n2.raft.ping()
    process = troupe.node.process
    ending = asyncio.create_task(troupe.node.terminate(stage.scaled(SECONDS)))
    while not ending.done():
        await asyncio.wait([ending], timeout=0.005)
        if not ending.done() and process.status is None:
            process.signal(signal.SIGTERM)
    status = await ending
    if status != 0:
        raise Unmet("exit status 0 after SIGTERM, however often it comes", f"{status}")
    await troupe.rejoin(n2)
    (await n2.ask(n2.append(1, (2, 1)))).expect(success=True, match_index=2)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
