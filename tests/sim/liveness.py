"""After the heal: a cluster that can go on must, and one that cannot must say so.

What "can" means is worked out from what the disks hold and nothing else, so that neither a lazy core nor a lazy
checker gets away with "it was stuck anyway".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Role
from casty.raft.messages import PreVoteRequest
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.raft.types import Members, ServerId
    from tests.sim.clients import Command
    from tests.sim.process import Process
    from tests.sim.world import World

TIMEOUTS_MAX = 40
"""Election timeouts (the longest, 2 × election) that a healed cluster may go without a leader, or progress."""
LAST_COMMANDS = 10


def require_liveness(world: World) -> str:
    """Runs the healed world until it works, or until it is clear why it cannot. Returns the verdict."""
    patience = TIMEOUTS_MAX * 2 * world.plan.options.election_ms
    healed_at = world.schedule.now
    if not _wait(world, patience, lambda: _all_lead(world)):
        return _explain(world, healed_at)
    commands: list[Command] = []
    _until(world, patience, "commands commit", lambda: _serve(world, commands))
    _until(world, patience, "everybody catches up", lambda: _all_caught_up(world))
    _until(world, patience, "barriers are passed", lambda: _all_passed(world))
    _require_quiet_leader(world)
    world.clients.require_outcomes()
    return "live"


def _until(world: World, patience: int, what: str, reached: Callable[[], bool]) -> None:
    if not _wait(world, patience, reached):
        raise Violation(f"liveness: {what}", "; ".join(_in_short(process) for process in world.up()))


def _wait(world: World, patience: int, reached: Callable[[], bool]) -> bool:
    """Waits for it as long as there is progress: a slow disk may have to work off what the clients left it."""
    last, since = _progress(world), world.schedule.now
    while not reached():
        world.schedule.run(world.schedule.now + world.plan.options.heartbeat_ms)
        if (progress := _progress(world)) != last:
            last, since = progress, world.schedule.now
        elif world.schedule.now > since + patience:
            return False
    return True


def _in_short(process: Process) -> str:
    status = process.raft.status()
    last = f"{status.last_log_index}@{status.last_log_term}"
    place = f"commit {status.commit_index}, durable {status.durable_index}, log {status.snapshot_index}..{last}"
    return f"{process.server} {status.standing} {status.role} term {status.term} {place}"


def _progress(world: World) -> object:
    """What changes while a cluster works: logs grow on disks, and are applied."""
    return [(process.machine.applied, process.raft.status().durable_index) for process in world.up()]


def _serve(world: World, commands: list[Command]) -> bool:
    """One command at a time, to whoever leads; says whether enough are committed."""
    if not commands or commands[-1].outcome is not None:
        leaders = _leaders(world)
        if leaders:
            commands.append(world.clients.propose(leaders[-1], world.plan.command_bytes_max))
    return sum(command.outcome == "committed" for command in commands) >= LAST_COMMANDS


def _leaders(world: World) -> list[Process]:
    return [process for process in world.up() if process.raft.role is Role.LEADER]


def _leader_of(world: World, members: Members) -> Process | None:
    """Who leads this list, and has committed something of its own term."""
    for process in _leaders(world):
        realm = process.realm
        if realm is not None and realm.members == members:
            committed = process.trail.term_at(process.commit)
            return process if committed == process.raft.status().term else None
    return None


def _all_lead(world: World) -> bool:
    """Every list that can have a leader has one, and there is at least one such list."""
    lists = electable(world)
    return bool(lists) and all(_leader_of(world, members) is not None for members in lists)


def _all_caught_up(world: World) -> bool:
    for members in electable(world):
        leader = _leader_of(world, members)
        if leader is None:
            return False
        for process in _followers(world, members):
            if process.machine.applied != leader.machine.applied or process.realm is not leader.realm:
                return False
        if leader.machine.applied != leader.raft.log.last_index:
            return False
    return True


def _all_passed(world: World) -> bool:
    """Nobody waits any more at a server that hears a leader."""
    return not any(process.readers for members in electable(world) for process in _followers(world, members))


def _followers(world: World, members: Members) -> list[Process]:
    """Members and learners: all whose node id is on the list, unless they are bound to another one."""
    ids = {member.node_id for member in members}
    return [
        process
        for process in world.up()
        if process.server.node_id in ids and world.bound_to(process.server) in (None, members)
    ]


def _require_quiet_leader(world: World) -> None:
    """A cluster without faults keeps its leader, and nobody thinks of replacing it (spec LEADER-1, ELECT-2)."""
    before, asked = _terms(world), _pre_votes(world)
    world.schedule.run(world.schedule.now + 6 * world.plan.options.election_ms)
    if before != _terms(world):
        raise Violation("liveness: the leader stays", f"{before}, then {_terms(world)}")
    if asked != _pre_votes(world):
        raise Violation("liveness: the leader is heard", "somebody asked for pre-votes all the same")


def _terms(world: World) -> dict[ServerId, int]:
    return {process.server: process.raft.status().term for process in _leaders(world)}


def _pre_votes(world: World) -> int:
    """How many requests for a pre-vote those sent whose list has a majority here: the others ask for ever."""
    alive = electable(world)
    asked = [process.asked for process in world.up() if world.bound_to(process.server) in alive]
    return sum(isinstance(request, PreVoteRequest) for requests in asked for request in requests.values())


# ---------------------------------------------------------------------------------- what can be, by the disks


def electable(world: World) -> list[Members]:
    """The lists that the running servers can elect a leader of (spec FORM-3 to FORM-5)."""
    here = {process.server for process in world.up()}
    bound = {server: world.bound_to(server) for server in here}
    lists = {members for members in bound.values() if members is not None}
    found = [members for members in lists if _is_electable(world, members, bound)]
    if not lists and len(here) == world.plan.options.expected_size:
        found.append(tuple(sorted(here)))
    return sorted(found)


def _is_electable(world: World, members: Members, bound: dict[ServerId, Members | None]) -> bool:
    ours = [server for server in members if bound.get(server, ()) == members]
    if any(world.watch.remembered[server].trail.last > 0 for server in ours):
        return len(ours) > len(members) // 2
    fresh = [server for server in members if server in bound and bound[server] is None]
    if len(ours) + len(fresh) < len(members):
        return False
    return not fresh or set(bound) == set(members)


def _explain(world: World, healed_at: int) -> str:
    """Nobody leads. Either that is what the rules make of it, or it is a failure."""
    lists = electable(world)
    if lists:
        states = "; ".join(_in_short(process) for process in world.up())
        raise Violation("liveness: a leader is elected", f"{len(lists)} lists could have one: {states}")
    formed = [realm for realm in world.watch.realms.values() if realm.settled]
    world.tally.add("majorities lost" if formed else "formations wedged")
    if not formed:
        _require_notice(world, healed_at)
    return "majority lost" if formed else "formation wedged"


def _require_notice(world: World, healed_at: int) -> None:
    """The two cases of FORM-11 are named in an ERROR line, by a server that can see them."""
    up = world.up()
    ids = {process.server.node_id: process.server for process in up}
    for process in up:
        memory = world.watch.remembered[process.server]
        lock = memory.hard_state.lock
        if memory.trail.last > 0 or lock is None:
            due = lock is None and memory.trail.last == 0 and len(ids) > world.plan.options.expected_size
        else:
            due = any(ids.get(member.node_id, member) != member for member in lock)
        said = any(who is process and notice.level == "error" for _, who, notice in world.notices)
        if due and not said:
            raise Violation(
                "a wedge is explained", f"{process.server}, {process.raft.status().standing}, says nothing"
            )
