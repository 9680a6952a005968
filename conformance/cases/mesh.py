"""How real nodes find each other: late seeds, restarts on another port, a chain of seeds (spec/cluster.md)."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from conformance.case import Harm, Layer, case

if TYPE_CHECKING:
    from conformance.stage import Stage


@case("D-06b", "PEER-2", "FORM-4", layer=Layer.LIVE, harm=Harm.LIVENESS)
async def late_seeds_are_joined(stage: Stage) -> None:
    """A node whose seeds are down at its start joins them, without a restart, once they are up.

    given: n1, which knows n2 and n3; they know nobody, and are down until n1 has dialled each three times
    when: they start
    expect: one cluster of all three
    why: machines start in any order
    """
    cluster = await stage.cluster(seeds={"n1": ("n2", "n3")}, is_started=False)
    since = cluster.wires.now
    await cluster.start("n1")
    for name in ("n2", "n3"):
        await cluster.wires.refused(name, 3, since=since)
    await cluster.start("n2", "n3")
    await cluster.wires.leader(followers=2)
    await cluster.put("k", 1)


@case("D-07b", "PEER-2", "LEADER-7", "LAUNCH-3", layer=Layer.LIVE, harm=Harm.LIVENESS)
async def restarted_peers_are_found_again(stage: Stage) -> None:
    """A node that starts again on another port, behind the address it advertised, is dialled and followed up.

    given: three nodes; one is killed, and dialled in vain by the others
    when: it starts again; the network knows its new port
    expect: both others dial it; it follows the leader
    why: most restarts are as short as this, and must not cost a member
    """
    cluster = await stage.cluster()
    await cluster.put("k", 1)
    lost = stage.rng.choice(cluster.names)
    since = cluster.wires.now
    await cluster.kill(lost)
    await cluster.wires.refused(lost, 4, since=since)
    since = cluster.wires.now
    await cluster.start(lost)
    await cluster.wires.connected([(other, lost) for other in cluster.others(lost)], since=since)
    await cluster.wires.leader(followers=2)
    await cluster.put("k", 2)


@case("D-08", "PEER-1", "PEER-2", "PEER-6", layer=Layer.LIVE, harm=Harm.LIVENESS)
async def chain_of_seeds_becomes_a_mesh(stage: Stage) -> None:
    """Nodes that each know one other all get to know each other.

    given: five nodes; n2 knows n1, n3 knows n2, and so on
    when: they start
    expect: each has dialled each other; all follow one leader
    why: a list of all nodes on each of them is one more thing that is wrong some day
    """
    chain = {f"n{number}": (f"n{number - 1}",) for number in range(2, 6)}
    cluster = await stage.cluster(5, seeds=chain)
    await cluster.wires.connected(permutations(cluster.names, 2))
    await cluster.wires.leader(followers=4)
    await cluster.put("k", 1)
