"""Election timeouts of real clusters: drawn by chance, in vain without a majority, harmless on return."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from conformance._protocol import APPEND_ENTRIES_REQ, VOTE_REQUEST
from conformance.case import Harm, Layer, case
from conformance.verdict import Unmet

if TYPE_CHECKING:
    from conformance.stage import Stage

ROUNDS: Final = 7
SPREAD: Final = 0.3
"""Drawn evenly fifteen times, timeouts fill less of their range than this once in a million runs."""


@case("E-22", "ELECT-1", layer=Layer.LIVE, harm=Harm.LIVENESS, tags=("timing",))
async def timeouts_are_drawn_by_chance(stage: Stage) -> None:
    """Election timeouts differ, from time to time and from node to node.

    given: three members with an election timeout of 0.4 s that are cut off from each other
    when: each has begun seven rounds of pre-votes
    expect: the times between them fill at least 30 % of the range from 0.4 to 0.8 s
    why: equal timeouts elect nobody: all ask at once, and each votes for itself
    """
    cluster = await stage.cluster(election_ms=400)
    await cluster.wires.leader(followers=2)
    cluster.lose(cluster.names, cluster.names)
    begun = await cluster.wires.rounds(ROUNDS, *cluster.names)
    # The first rounds may have begun with the last heartbeat, or with a leader that gave up.
    waits = sorted(later - earlier for times in begun.values() for earlier, later in pairwise(times[1:]))
    spread = (waits[-1] - waits[0]) / stage.scaled(0.4)
    if spread < SPREAD:
        raise Unmet(f"{len(waits)} timeouts to fill at least {SPREAD:.0%} of their range", f"{spread:.0%}")


@case("E-25", "PREVOTE-1", "VOTE-6", "LEADER-4", layer=Layer.LIVE)
async def nobody_leads_without_a_majority(stage: Stage) -> None:
    """Without a majority nobody leads, however often it is tried.

    given: three members, all cut off from each other
    when: each has begun ten rounds of pre-votes
    expect: no VOTE_REQUEST, and no AppendEntries of anybody
    why: a leader of itself commits what nobody has
    """
    cluster = await stage.cluster(election_ms=200)
    await cluster.wires.leader(followers=2)
    cluster.lose(cluster.names, cluster.names)
    await cluster.campaign_in_vain(*cluster.names, rounds=1)
    since = cluster.wires.now
    await cluster.campaign_in_vain(*cluster.names, rounds=8)
    for seen in cluster.wires.frames(APPEND_ENTRIES_REQ, VOTE_REQUEST, since=since):
        raise seen.unmet("no leader, and no candidate, with one of three")
    cluster.network.heal()
    await cluster.put("k", 1)


@case("E-27", "PREVOTE-2", layer=Layer.LIVE, harm=Harm.LIVENESS, capabilities=("prevote",), tags=("timing",))
async def returning_node_deposes_nobody(stage: Stage) -> None:
    """A node that comes back after it was cut off follows the leader there is; the term stays.

    given: three nodes with an election timeout of 1 s; a follower is cut off for two rounds of pre-votes
    when: it is connected again
    expect: it follows the same leader in the same term; nobody asked for votes
    why: without pre-votes, every node that was away deposes the leader when it comes back
    """
    cluster = await stage.cluster(election_ms=1000, heartbeat_ms=100)
    reign = await cluster.wires.leader(followers=2)
    follower = stage.rng.choice(cluster.others(reign.leader))
    since = cluster.wires.now
    cluster.lose([follower], cluster.others(follower))
    cluster.lose(cluster.others(follower), [follower])
    await cluster.wires.rounds(2, follower)
    cluster.network.heal()
    after = await cluster.wires.leader(followers=2)
    for seen in cluster.wires.frames(VOTE_REQUEST, since=since):
        raise seen.unmet("no election because a node was away")
    if after != reign:
        raise Unmet(f"{reign.leader} to lead on in term {reign.term}", f"{after.leader} in term {after.term}")
