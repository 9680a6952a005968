"""Older copies of a data directory: who comes back with one is told apart (HELLO-10, HELLO-11, LEADER-10)."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.case import Harm, Layer, Level, case
from conformance.cases.leadership import carries, heartbeats
from conformance.peer.troupe import entries
from conformance.verdict import Unmet, Unplayable
from conformance.wire.describe import summary
from conformance.wire.message import Boot, message

if TYPE_CHECKING:
    from conformance.peer.line import Heard, Line
    from conformance.peer.peer import Peer
    from conformance.peer.troupe import Troupe
    from conformance.stage import Stage

SECONDS: Final = 5.0
"""How long a revision may take to be said, where it SHOULD be within one second (PEER-11)."""


def reboot(peer: Peer, boot: bytes, revision: int | None, *earlier: tuple[bytes, int]) -> None:
    """The peer's next hello is of this boot, which began with that revision, after these."""
    peer.boot_id = boot
    peer.revision = revision
    peer.boots = [Boot(boot, revision), *(Boot(*each) for each in earlier)] if revision and earlier else None


def boots(stage: Stage, count: int) -> list[bytes]:
    return [stage.rng.randbytes(16) for _ in range(count)]


async def turned_away(troupe: Troupe, peer: Peer) -> None:
    """The peer says hello: it is closed without one in answer, and an ERROR there says STALE_DATA."""
    line = await peer.connect(troupe.node.address, troupe.node.node_id)
    line.send(peer.hello())
    await line.gone(f"the connection of {peer.node_id} to be closed, whose directory is an older copy")
    for heard in line.inbox.all:
        if heard.message.kind != "ERROR" or heard["code"] != "STALE_DATA":
            raise heard.unmet("nothing, or an ERROR STALE_DATA", summary(heard.message))


async def parted(peer: Peer) -> None:
    """All connections of the peer end; it says nothing more under its present boot."""
    for line in peer.lines:
        await line.close()
    peer.lines.clear()
    peer.answers_hello = False


@case("D-51", "HELLO-11", harm=Harm.DURABILITY)
async def an_older_copy_is_turned_away(stage: Stage) -> None:
    """A member whose boots show an older copy of its directory is turned away, however far that has come.

    given: n1; n2 said hello by boot x with revision 100, and is gone
    when: n2 comes with revision 900, by boot y that began with 52 after x; then with 900, by a boot without x;
        then by a boot that began with 101 after x
    expect: closed without a hello, twice; then a hello in answer
    why: it has forgotten what it acknowledged and voted since its revision 51
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    x, y, w, z = boots(stage, 4)
    reboot(n2, x, 100, (w, 7))
    await troupe.meet()
    await parted(n2)
    reboot(n2, y, 900, (x, 8))
    n2.boots = [Boot(y, 52), Boot(x, 8)]
    await turned_away(troupe, n2)
    reboot(n2, z, 900, (w, 7))
    await turned_away(troupe, n2)
    right = stage.rng.randbytes(16)
    reboot(n2, right, 101, (x, 100), (w, 7))
    await n2.dial(troupe.node.address, "n1")


@case("D-52", "HELLO-11", harm=Harm.DURABILITY)
async def a_revision_that_is_not_higher_is_turned_away(stage: Stage) -> None:
    """Without a list of boots the number decides: another boot must say a higher one than was said before.

    given: n1; n2 said hello with revision 100 and later, in its peers, 120, and is gone
    when: n2 comes by another boot with revision 120; by another with 121; by a third that says none
    expect: closed without a hello; then a hello in answer, twice
    why: two processes on copies of one directory begin with the same number
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    first, second, third, fourth = boots(stage, 4)
    reboot(n2, first, 100)
    await troupe.meet()
    n2.raft.send(message("PEER_LIST.peers", "n2", peers=[], revision=120))
    await n2.raft.ping()
    await parted(n2)
    reboot(n2, second, 120)
    await turned_away(troupe, n2)
    for boot, revision in ((third, 121), (fourth, None)):
        reboot(n2, boot, revision)
        await n2.dial(troupe.node.address, "n1")
        await parted(n2)


@case("D-53", "HELLO-11", harm=Harm.DURABILITY)
async def what_grows_out_of_a_refused_boot_is_turned_away(stage: Stage) -> None:
    """A node that is started often on an older copy does not come in once its revision is high enough.

    given: n1; n2 said revision 100 by boot x; by boot y, on an older copy, it was turned away
    when: it comes with revision 900, by boot z whose boots say nothing of x, but of y
    expect: closed without a hello
    why: a supervisor starts it every few seconds, and each start raises the number
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    x, y, z = boots(stage, 3)
    reboot(n2, x, 100)
    await troupe.meet()
    await parted(n2)
    reboot(n2, y, 52)
    await turned_away(troupe, n2)
    later = [Boot(stage.rng.randbytes(16), 800 - at) for at in range(30)]
    reboot(n2, z, 900)
    n2.boots = [Boot(z, 900), *later, Boot(y, 52)]
    await turned_away(troupe, n2)


@case("P-31", "HELLO-11", "PERSIST-1", harm=Harm.DURABILITY)
async def what_was_said_of_directories_survives(stage: Stage) -> None:
    """What a peer said of its directory is remembered after `kill -9`.

    given: n1, a follower of n2, which said revision 100; n1 acknowledged entries after that, was killed and
        started again
    when: n2 says hello by another boot, with revision 100; by another, with 101
    expect: closed without a hello; a hello in answer
    why: backups are put back while the whole cluster is stopped
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    first, second, third = boots(stage, 3)
    reboot(n2, first, 100)
    await troupe.follow(n2, entries(1, 1))
    await parted(n2)
    await troupe.node.kill()
    await n3.restart()
    await troupe.node.start()
    await troupe.meet(n3)
    reboot(n2, second, 100)
    await turned_away(troupe, n2)
    reboot(n2, third, 101)
    await n2.dial(troupe.node.address, "n1")


def said(troupe: Troupe) -> Heard:
    """The node's latest hello; raises `Unplayable` where it says no revision."""
    lines = [line for peer in troupe.peers for line in peer.lines if line.hello is not None]
    hello = lines[-1].hello
    assert hello is not None
    if hello.get("revision") is None:
        raise Unplayable("the node's hello says no revision (HELLO-10), and need not")
    return hello


def reached(hello: Heard, boot: bytes) -> int | None:
    """How far the directory had come when that boot ended, as the node's boots show; None where they do not."""
    listed = list(hello.get("boots") or ())
    for later, earlier in pairwise(listed):
        if earlier.boot_id == boot:
            return int(later.revision) - 1
    return None


async def announced(lines: list[Line], more_than: int, seconds: float) -> int:
    """The revision that the node says in its peers, once it is above a number."""
    for line in lines:
        for heard in line.inbox.all:
            revision = heard.get("revision") if heard.message.kind == "PEER_LIST.peers" else None
            if revision is not None and revision > more_than:
                return int(revision)

    def is_more(heard: Heard) -> bool:
        return int(heard.get("revision") or 0) > more_than

    return int((await lines[0].hear("PEER_LIST.peers", seconds=seconds, where=is_more))["revision"])


@case("P-29", "HELLO-10", harm=Harm.DURABILITY)
async def revisions_rise(stage: Stage) -> None:
    """At each start a node's revision is higher than any it said before, and its boots say so.

    given: n1, a follower, says revisions; it takes entries, and is killed and started again, three times
    when: its hellos are looked at
    expect: each time a higher revision under the same store id, and boots that begin with the present boot, go
        on with the one before, and show that it ended with no less than was said
    why: a node that says less than before is taken for an older copy, and kept out
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    before = said(troupe)
    for index in range(2, 5):
        await troupe.replicate(n2, (index - 1, 1), entries(1, first=index))
        await troupe.restart()
        now = said(troupe)
        if now["revision"] <= before["revision"]:
            raise now.unmet(f"a revision above {before['revision']}", f"{now['revision']}", "revision")
        if now.get("boots") is not None:
            if now["boots"][0].boot_id != now["boot_id"]:
                raise now.unmet("boots that begin with the present one", "another", "boots")
            ended = reached(now, before["boot_id"])
            if ended is None or ended < before["revision"]:
                wanted = f"boots with the earlier one, ended at {before['revision']}"
                raise now.unmet(wanted, f"{ended}", "boots")
        before = now


@case("D-54", "PEER-11", level=Level.STRICT, harm=Harm.DURABILITY, tags=("timing",))
async def a_revision_that_has_risen_is_said(stage: Stage) -> None:
    """A node whose directory has come further says so soon, without being asked.

    given: n1, a follower, says a revision in its hello
    when: it takes entries
    expect: a PEER_LIST with a higher revision
    why: a copy that was made while it ran is told apart only by what it said after that
    """
    troupe = await stage.troupe()
    n2, _ = troupe.peers
    await troupe.follow(n2)
    hello = said(troupe)
    await troupe.replicate(n2, (1, 1), entries(1, 1))
    lines = [line for peer in troupe.peers for line in peer.lines]
    await announced(lines, hello["revision"], stage.scaled(SECONDS))


@case("P-30", "HELLO-10", "HELLO-11", "ERROR-3", layer=Layer.DISK, harm=Harm.DURABILITY, seconds=120)
async def a_restored_copy_shows(stage: Stage) -> None:
    """A node that starts on an older copy of its directory shows it in its hello, and goes on when told so.

    given: n1, a follower, whose directory is copied while it runs; it takes entries, says how far it has come,
        and is killed; the copy takes the place of its directory
    when: it is started; n2 answers its hello with ERROR STALE_DATA and closes
    expect: its boots, or its revision, fall short of what it said; it goes on, and answers n3
    why: a member that does not notice counts a vote and entries that are forgotten
    """
    troupe = await stage.troupe()
    n2, n3 = troupe.peers
    await troupe.follow(n2, entries(1, 1))
    hello = said(troupe)
    data = Path(troupe.node.launch.data_dir)
    copy = data.with_name("copy")
    shutil.copytree(data, copy)
    await troupe.replicate(n2, (3, 1), entries(1, 1, first=4))
    lines = [line for peer in troupe.peers for line in peer.lines]
    had = await announced(lines, hello["revision"], stage.scaled(SECONDS))
    await troupe.node.kill()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    for peer in (n2, n3):
        await peer.restart()
    await troupe.node.start()
    await troupe.meet(n3)
    now = said(troupe)
    ended = reached(now, hello["boot_id"])
    if (now["revision"] if ended is None else ended + 1) > had:
        got = f"the boot ended at {ended}, revision {now['revision']}"
        raise now.unmet(f"boots or a revision that show less than {had}", got, "revision")
    line = await n2.connect(troupe.node.address, "n1")
    line.send(n2.hello())
    await line.hear("PEER_LIST.hello")
    line.send(message("ERROR", "", code="STALE_DATA", rule="HELLO-11", text="your directory is an older copy"))
    await line.ping()
    line.finish()
    await n3.raft.ping()


async def back_in_a_new_boot(troupe: Troupe, peer: Peer) -> Heard:
    """The peer restarts, and is dialled: the first AppendEntries to its new boot."""
    peer.lives = False
    await peer.restart()
    await troupe.meet(peer)
    await peer.dialled()
    return await peer.requests.hear("APPEND_ENTRIES_REQ")


@case("R-51", "LEADER-10", harm=Harm.DURABILITY)
async def a_follower_that_lost_what_it_acknowledged_counts_no_more(stage: Stage) -> None:
    """A member that refuses what it had acknowledged to this leader is told so, kept out, and not counted.

    given: n1 leads; n2 acknowledged everything, and came back under another boot
    when: n2 refuses the first AppendEntries after what it acknowledged, with the hint of a shorter log; then
        says hello again under the same boot; n3 is alive, and acknowledges nothing new; a command comes
    expect: ERROR STALE_DATA, if anything, and the connection closed; no hello in answer; the command is not
        committed until n3 has it
    why: its directory is an older copy: counted, it could elect a leader without the entries it lost
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.lead()
    for peer in (n2, n3):
        peer.acknowledge(await carries(troupe, peer, 1))
    heard = await back_in_a_new_boot(troupe, n2)
    if not 0 < heard["prev_log_index"] <= n2.stored:
        raise heard.unmet(f"AppendEntries after an entry up to {n2.stored}", "another", "prev_log_index")
    asked = heard.line
    n2.answer(heard, success=False, match_index=0, conflict_index=1)
    await asked.gone("the connection to the member that lost data to be closed")
    told = [h for line in n2.lines for h in line.inbox.all if h.message.kind == "ERROR"]
    for error in told:
        if error["code"] != "STALE_DATA":
            raise error.unmet("ERROR STALE_DATA", str(error["code"]), "code")
    await turned_away(troupe, n2)
    n2.lives = n3.lives = True
    client = await troupe.client()
    client.send_ask("$kv", {"op": "put", "key": "k", "value": 1})
    await carries(troupe, n3, 2)
    await heartbeats(troupe, n3)
    client.line.inbox.nothing("ASK_RES")
    n3.acknowledge(await carries(troupe, n3, 2))
    await client.line.hear("ASK_RES")


@case("R-52", "LEADER-10", "LEADER-6", harm=Harm.LIVENESS)
async def a_late_refusal_is_no_loss(stage: Stage) -> None:
    """A refusal of a request that left before the acknowledgement came is old news, and closes nothing.

    given: n1 leads; two requests are on their way to n2, the second after what the first carries
    when: n2 acknowledges the first, and then refuses the second with the hint of a shorter log, as if it had
        come first; it is asked on
    expect: n2's connections stay, and it is sent what follows what it acknowledged
    why: requests may overtake each other on two connections; a healthy member must not be kept out
    """
    troupe = await stage.troupe(eager=True)
    n2, n3 = troupe.peers
    await troupe.lead()
    n2.lives = False
    client = await troupe.client()
    sent: list[Heard] = []
    for index in (2, 3):
        client.send_ask("$kv", {"op": "put", "key": f"k{index}", "value": index})
        sent.append(await carries(troupe, n2, index))
        n3.acknowledge(await carries(troupe, n3, index))
    first, second = sent
    if second["prev_log_index"] < 2:
        raise Unplayable("the node does not send a second request before the first is answered")
    n2.requests.skip()
    n2.acknowledge(first)
    n2.answer(second, success=False, match_index=0, conflict_index=2)
    n2.stored, n2.lives = 2, True
    heard = await n2.requests.hear("APPEND_ENTRIES_REQ", where=lambda h: h["prev_log_index"] >= 2)
    n2.acknowledge(heard)
    n2.acknowledge(await carries(troupe, n2, 3))
    if n2.raft.closed.is_set():
        raise Unmet("the connections of n2 to stay", f"closed: {n2.raft.closed_how}")
