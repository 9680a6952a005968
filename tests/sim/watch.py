"""The observer: after every step of every server, what must hold does (paper, Figure 3, and our own rules)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Committed, Restored, Role
from casty.raft.types import EntryKind, base_after
from tests.sim.promises import Promises
from tests.sim.realm import Realm
from tests.sim.trail import Delta, Remembered
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from casty.raft.events import Ready, Status
    from casty.raft.types import Entry, Members, Recovered, ServerId, Write
    from tests.sim.clients import Clients
    from tests.sim.process import Process
    from tests.sim.tally import Tally

CAMPAIGNING = (Role.PRE_CANDIDATE, Role.CANDIDATE, Role.LEADER)


class Watch:
    """Knows everything of all servers and all their runs, and compares each new fact with what it knows."""

    def __init__(self, clients: Clients, tally: Tally, *, coarse: bool) -> None:
        self.coarse = coarse
        """Several events may lie between two looks at a server."""
        self.clients = clients
        self.tally = tally
        self.realms: dict[Members, Realm] = {}
        self.remembered: dict[ServerId, Remembered] = {}
        self.forgotten: dict[ServerId, Remembered] = {}
        self.promises = Promises()

    # ---------------------------------------------------------------------------------------------- the disk

    def booted(self, process: Process, recovered: Recovered) -> None:
        """A store gives back what was durable when it went down, and the server takes it for its state."""
        memory = self.remembered.setdefault(process.server, Remembered())
        memory.on_the_way.clear()
        trail = memory.trail
        found = (recovered.hard_state, _covered(recovered), recovered.base.index, len(recovered.entries))
        if found != (memory.hard_state, trail.covered, trail.base, len(trail.links)):
            raise Violation("the disk remembers", f"{process.server} finds {found}, not {memory.hard_state}")
        process.trail = trail.copy()
        process.realm = self._realm_of(process)
        process.status = status = process.raft.status()
        process.commit = trail.covered
        hard = recovered.hard_state
        if (status.term, status.voted_for) != (hard.term, hard.voted_for):
            raise Violation("the server remembers", f"{status} after {hard}")
        self._compare_log(process, status)

    def synced(self, server: ServerId, token: int) -> None:
        self.remembered[server].sync(token)

    # ------------------------------------------------------------------------------------------- every `ready`

    def ready(self, process: Process, ready: Ready) -> None:
        """What a server did since the last time, before any of it takes effect on others."""
        status = process.raft.status()
        before, led = process.status, process.led
        if process.led and (status.role is not Role.LEADER or status.term != process.led):
            self.left(process)
        self._compare_status(process, before, status)
        if ready.write is not None:
            self._wrote(process, ready.write, status)
        self._compare_log(process, status)
        if status.role is Role.LEADER and process.led != status.term:
            self._elected(process, status)
        if status.commit_index > process.commit:
            self._committed(process, status, led)
        process.status = status
        memory = self.remembered[process.server]
        for outgoing in ready.messages:
            self.promises.leave(process, memory, outgoing)
        for effect in ready.apply:
            self._handed(process, memory, effect)

    def left(self, process: Process) -> None:
        """A leader ceased to be one: its log as it is now is what its followers' promises are held against."""
        if process.led and process.realm is not None and process.realm.trails.get(process.led) is process.trail:
            process.realm.trails[process.led] = process.trail.copy()
        process.led = 0

    def _compare_status(self, process: Process, before: Status, status: Status) -> None:
        if status.term < before.term:
            raise Violation("terms never fall", f"{process.server}: {before.term}, then {status.term}")
        if status.commit_index < before.commit_index:
            raise Violation("commit never falls", f"{before.commit_index}, then {status.commit_index}")
        if status.term == before.term and before.voted_for not in (None, status.voted_for):
            raise Violation("one vote per term", f"{before.voted_for}, then {status.voted_for}")
        if status.role in CAMPAIGNING and process.realm is not None:
            if process.server not in process.realm.members:
                raise Violation("learners do not campaign", f"{process.server} is {status.role}")
            if status.role is Role.LEADER and process.led == status.term:
                return
        if not status.snapshot_index <= status.commit_index <= status.last_log_index:
            raise Violation("commit within the log", f"{status}")

    def _wrote(self, process: Process, write: Write, status: Status) -> None:
        """Takes over how the log changed, and holds a leader to its own log (Figure 3: leader append-only)."""
        trail = process.trail
        if write.entries or write.snapshot is not None:
            process.realm = self._realm_of(process)
        if process.led == status.term and write.first_index is not None and write.first_index <= trail.last:
            text = f"{process.server} rewrites {write.first_index} of {trail.last} in its term {status.term}"
            raise Violation("leader append-only", text)
        delta = self._delta(process, write)
        trail.change(delta)
        self.remembered[process.server].on_the_way.append(delta)

    def _delta(self, process: Process, write: Write) -> Delta:
        snapshot, base, before = None, None, 0
        trail, realm = process.trail, process.realm
        if write.snapshot is not None:
            assert realm is not None
            index, term = write.snapshot.last_included_index, write.snapshot.last_included_term
            if index > len(realm.settled) or realm.settled[index - 1].entry.term != term:
                raise Violation(
                    "snapshots hold what is committed", f"{process.server} has one of {index}@{term}"
                )
            before = realm.settled[index - 1].link
            self._require_kept(process, write, index, before)
            snapshot = (index, term, before)
            kept = write.base or base_after(write.snapshot)
            base = (kept.index, kept.term, realm.settled[kept.index - 1].link if kept.index else 0)
        terms, links = [], []
        if write.entries:
            assert write.first_index is not None
            at = int(write.first_index)
            if snapshot is None or at > snapshot[0] + 1:
                before = trail.link_at(at - 1) or 0
            for entry in write.entries:
                before = self._enter(process, before, at, entry)
                terms.append(int(entry.term))
                links.append(before)
                at += 1
        return Delta(write.token, write.hard_state, snapshot, write.first_index, terms, links, base)

    def _require_kept(self, process: Process, write: Write, index: int, there: int) -> None:
        """A snapshot replaces a log that is not its own, and leaves one that is (spec SNAP-5, SNAP-6)."""
        trail = process.trail
        if write.first_index is None and trail.link_at(index) not in (None, there):
            raise Violation("log matching", f"snapshot of {index} over another history")
        rewrites = write.first_index is not None and write.first_index <= trail.last
        if rewrites and trail.link_at(index) == there and not self.coarse:
            raise Violation("a matching log is kept", f"snapshot of {index} cuts a log up to {trail.last}")

    def _enter(self, process: Process, before: int, at: int, entry: Entry) -> int:
        if process.realm is None:
            raise Violation("entries belong to a cluster", f"{process.server} has {at} of no cluster")
        there = process.realm.enter(before, at, entry)
        if entry.kind is EntryKind.COMMAND:
            self.clients.appeared(entry.data)
        return there

    def _compare_log(self, process: Process, status: Status) -> None:
        """The log in memory is what the writes made it."""
        trail = process.trail
        have = (status.snapshot_index, status.snapshot_term, status.last_log_index, status.last_log_term)
        begins = process.raft.log.base_index
        if (begins, *have) != (trail.base, trail.covered, trail.covered_term, trail.last, trail.last_term):
            text = f"{process.server}: {begins} {have}, written was {trail.base} {trail.covered}..{trail.last}"
            raise Violation("every change is written", f"{text}@{trail.last_term}")

    # ------------------------------------------------------------------------------------ leaders and commits

    def _elected(self, process: Process, status: Status) -> None:
        realm, term, me = process.realm, int(status.term), process.server
        if realm is None:
            raise Violation("leaders have a cluster", f"{me} leads term {term}")
        first = realm.leaders.setdefault(term, (me, process.boot))
        if first != (me, process.boot):
            raise Violation("election safety", f"{first[0]} and {me} both lead term {term}")
        index, there = realm.last_settled_before(term)
        if process.trail.base < index and process.trail.link_at(index) != there:
            text = f"{me} leads term {term} without the committed entry {index}; its log ends at "
            raise Violation("leader completeness", f"{text}{process.trail.last}@{process.trail.last_term}")
        self._require_votes(process, realm, term)
        process.led = term
        realm.trails[term] = process.trail
        self.tally.elected(realm.members, me)

    def _require_votes(self, process: Process, realm: Realm, term: int) -> None:
        """Everybody counted was asked, granted, and was counted once (spec VOTE-6, FORM-3)."""
        granted = {process.server} & set(realm.members)
        granted |= process.granted.get(term, set()) & set(realm.members)
        hard = self.remembered[process.server].hard_state
        if hard.term < term or (hard.term == term and hard.voted_for != process.server):
            raise Violation("own vote durable", f"{process.server} leads term {term}; its disk says {hard}")
        formed = process.trail.base > 0 or process.trail.terms[0] < term
        needed = len(realm.members) // 2 + 1 if formed else len(realm.members)
        if len(granted) < needed:
            names = ", ".join(sorted(str(server) for server in granted))
            text = f"{process.server} leads term {term} by {names}, where {needed} were needed"
            raise Violation("elected by enough", text)

    def _committed(self, process: Process, status: Status, led: int) -> None:
        realm, trail = process.realm, process.trail
        assert realm is not None
        commit, known = int(status.commit_index), len(realm.settled)
        for index in range(max(process.commit, trail.base) + 1, min(commit, known) + 1):
            if trail.link_at(index) != realm.settled[index - 1].link:
                raise Violation("state machine safety", f"{process.server} commits another entry {index}")
        if commit > known:
            self._announced(process, realm, known, commit, led)
        process.commit = commit

    def _announced(self, process: Process, realm: Realm, known: int, commit: int, led: int) -> None:
        """A commit that nobody knew of: by a leader, in its term, with a majority of disks (spec COMMIT-1).

        Several events may lie between two looks at a server: it led in term `led` before them, or leads now.
        """
        trail = process.trail
        term = trail.term_at(commit)
        if not led and not process.led:
            raise Violation("leaders commit", f"{process.server} commits {commit}, which no leader announced")
        if term is None or term not in (led, process.led):
            text = f"{process.server} commits {commit}@{term}, leading in term {process.led or led}"
            raise Violation("only the own term is counted", text)
        there = trail.link_at(commit)
        assert there is not None
        realm.require_durable(commit, there)
        if known == 0:
            self._require_one_cluster(realm)
        for index in range(known + 1, commit + 1):
            at, entry_term = trail.link_at(index), trail.term_at(index)
            assert at is not None
            assert entry_term is not None
            realm.settle(index, at, entry_term, term)
            self.clients.settled(index, realm.settled[-1].entry)

    def _require_one_cluster(self, realm: Realm) -> None:
        """Two clusters that ever committed anything share no server (spec FORM-2, FORM-3)."""
        for other in self.realms.values():
            shared = set(other.members) & set(realm.members)
            if other is not realm and other.settled and shared:
                raise Violation("one cluster", f"{realm.members} and {other.members} share {shared}")

    def _realm_of(self, process: Process) -> Realm | None:
        configuration = process.raft.configuration
        if configuration is None:
            return None
        members = configuration.members
        if process.realm is not None and process.realm.members != members:
            raise Violation("one list for ever", f"{process.server}: {process.realm.members}, then {members}")
        return self.realms.setdefault(members, Realm(members, self.remembered, self.forgotten))

    # ---------------------------------------------------------------------------------------- state machines

    def _handed(self, process: Process, memory: Remembered, effect: Committed | Restored) -> None:
        """Only what is committed, durable here and next in order reaches a state machine (spec COMMIT-3)."""
        realm = process.realm
        assert realm is not None
        if isinstance(effect, Restored):
            process.handed = int(effect.snapshot.last_included_index)
            if memory.trail.covered < process.handed:
                raise Violation("applied is durable", f"snapshot {process.handed} of {process.server}")
            return
        if effect.first_index != process.handed + 1 or not effect.entries:
            text = f"{process.server} gets {effect.first_index}, after {process.handed}"
            raise Violation("applied in order", text)
        for index, entry in enumerate(effect.entries, effect.first_index):
            if index > len(realm.settled) or realm.settled[index - 1].entry != entry:
                raise Violation("state machine safety", f"{process.server} gets another {index}")
        process.handed += len(effect.entries)
        if memory.trail.last < process.handed:
            raise Violation(
                "applied is durable", f"{process.server} gets {process.handed} before its disk does"
            )
        self.clients.handed(process, effect)

    def applied(self, process: Process) -> None:
        """Equal indexes, equal states, however they were reached."""
        realm, machine = process.realm, process.machine
        if realm is None:
            return
        state = (machine.commands, machine.digest)
        if realm.states.setdefault(machine.applied, state) != state:
            text = f"{process.server} at {machine.applied}: {state}, not {realm.states[machine.applied]}"
            raise Violation("equal states at equal indexes", text)


def _covered(recovered: Recovered) -> int:
    return int(recovered.snapshot.last_included_index) if recovered.snapshot is not None else 0
