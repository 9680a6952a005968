"""Why a node is not ready yet, in words that are true of the state its cluster is in. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.formation import REMEDY
from casty.raft.quorum import majority

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from casty.raft.types import Configuration, Members, ServerId


def outlook(
    me: ServerId,
    here: Collection[ServerId],
    expected_size: int,
    *,
    formed: Collection[ServerId],
    bound_to: Members | None,
    configuration: Configuration | None,
) -> tuple[str, str]:
    """What has not happened, and why, as far as this node can tell.

    `here` are the servers that are connected as members, this one included, `formed` those that said that their
    cluster has formed. `bound_to` is the list this server has, `configuration` that of the cluster it knows.
    """
    if configuration is not None:
        return "this node has heard of no leader", _of_the_formed(me, here, configuration)
    if bound_to is not None:
        there = [member for member in bound_to if member in here]
        names = _names(bound_to)
        return (
            "the cluster has not formed",
            f"of its {len(bound_to)} members ({names}) {_are(there)} connected; it forms when all are",
        )
    if formed:
        return (
            "this node is in no cluster",
            f"a cluster has formed without it: {_names(formed)} belong to it. {REMEDY}",
        )
    if len(here) > expected_size:
        return (
            "the cluster has not formed",
            f"{len(here)} members are connected ({_names(here)}), and it forms with exactly {expected_size}: "
            "stop those that do not belong, or give all the right expected_cluster_size",
        )
    return "the cluster has not formed", f"of {expected_size} members {_are(here)} connected"


def _of_the_formed(me: ServerId, here: Collection[ServerId], configuration: Configuration) -> str:
    members = configuration.members
    there = [member for member in members if member in here]
    if me not in members:
        return (
            f"it is a learner of the cluster of {_names(members)}, which lists {me.node_id} with another "
            f"store; of them {_are(there)} connected"
        )
    needed = majority(len(members))
    lack = "" if len(there) >= needed else f", and {needed} are needed to elect one"
    return f"it is a member of the cluster of {_names(members)}, of which {_are(there)} connected{lack}"


def _names(servers: Iterable[ServerId]) -> str:
    return ", ".join(sorted({server.node_id for server in servers}))


def _are(servers: Collection[ServerId]) -> str:
    return f"{_names(servers)} are" if servers else "none is"
