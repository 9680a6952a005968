"""The mutants: what to replace in which file of the core, and the rule that then no longer holds."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    rule: str
    file: str
    old: str
    new: str


_OUTGOING = '__import__("casty.raft.events").raft.events.Outgoing'
_UP_TO_DATE = "state.log.is_up_to_date(request.last_log_index, request.last_log_term)\n    )\n\n\ndef _grant"

PLANTED = (
    # ------------------------------------------------------------------------------------------------- votes
    Mutant(
        "votes twice in a term", "VOTE-2", "election.py", "state.hard.voted_for in (None, candidate)", "True"
    ),
    Mutant(
        "votes without looking at the log", "VOTE-3", "election.py", _UP_TO_DATE, "True\n    )\n\n\ndef _grant"
    ),
    Mutant(
        "compares lengths before terms",
        "VOTE-3",
        "log.py",
        "(last_term, last_index) >= (self.last_term, self.last_index)",
        "(last_index, last_term) >= (self.last_index, self.last_term)",
    ),
    Mutant(
        "compares with the durable log only",
        "VOTE-3",
        "election.py",
        _UP_TO_DATE,
        "(request.last_log_term, request.last_log_index)"
        " >= (state.log.term_at(state.disk.index) or 0, state.disk.index)\n    )\n\n\ndef _grant",
    ),
    Mutant(
        "a grant leaves before it is durable",
        "VOTE-4",
        "election.py",
        "state.send_gated(sender, VoteResponse(state.term, request.term, request.seq, granted), via)",
        f"state.out.free.append({_OUTGOING}("
        "sender, VoteResponse(state.term, request.term, request.seq, granted), via))",
    ),
    Mutant(
        "a candidate asks before its vote is durable",
        "VOTE-4",
        "election.py",
        "        state.send_gated(server, request)",
        f"        state.out.free.append({_OUTGOING}(server, request))",
    ),
    Mutant(
        "a candidate counts itself before that is durable",
        "VOTE-6",
        "election.py",
        "state.poll = Poll(False, state.next_seq(), choice.members, choice.needed)",
        "state.poll = Poll(False, state.next_seq(), choice.members, choice.needed, {state.me})",
    ),
    Mutant(
        "counts a vote as often as it comes",
        "VOTE-6",
        "election.py",
        "poll.granted.add(sender)",
        "poll.granted.add((sender, len(poll.granted)))  # type: ignore[arg-type]",
    ),
    Mutant(
        "counts votes of other rounds",
        "TERM-3",
        "election.py",
        "(response.seq, response.request_term) != (poll.seq, state.term)",
        "False",
    ),
    Mutant("a majority is half", "VOTE-6", "quorum.py", "size // 2 + 1", "(size + 1) // 2"),
    Mutant(
        "stepping down frees the vote",
        "VOTE-2",
        "roles.py",
        "    was_leader = state.role is Role.LEADER\n",
        "    was_leader = state.role is Role.LEADER\n    state.set_hard(state.term, None)\n",
    ),
    Mutant(
        "a restart forgets the vote",
        "PERSIST-1",
        "node.py",
        "hard=recovered.hard_state,",
        "hard=type(recovered.hard_state)(recovered.hard_state.term, None, recovered.hard_state.lock),",
    ),
    # --------------------------------------------------------------------------------------------- formation
    Mutant(
        "forms with a majority",
        "FORM-3",
        "formation.py",
        "len(self.members) if self.formation else majority(len(self.members))",
        "majority(len(self.members))",
    ),
    Mutant(
        "a formation vote does not lock",
        "FORM-5",
        "election.py",
        "candidate, request.members if request.formation else None",
        "candidate, None",
    ),
    Mutant(
        "a locked server votes for any list",
        "FORM-5",
        "formation.py",
        "candidate in members and request.members == members",
        "candidate in members",
    ),
    Mutant(
        "a fresh server votes for any list",
        "FORM-4",
        "formation.py",
        "members = discovered_list(state) if request.formation else None",
        "members = request.members if request.formation else None",
    ),
    Mutant(
        "a learner campaigns",
        "FORM-9",
        "formation.py",
        "            return Ballot(members, formation=True) if members is not None else None\n"
        "        case Standing.LEARNER:\n            return None",
        "            return Ballot(members, formation=True) if members is not None else None\n"
        "        case Standing.LEARNER:\n            return Ballot(member_list(state) or (), formation=False)",
    ),
    Mutant(
        "acknowledgements of learners count",
        "FORM-9",
        "replication.py",
        "[p.match if p.counts else 0 for p in",
        "[p.match for p in",
    ),
    # ------------------------------------------------------------------------------------------- replication
    Mutant(
        "accepts a lower term",
        "APPEND-1",
        "following.py",
        "    if request.term < state.term or not _heed(state, sender, request, via):\n        _answer_no(",
        "    if not _heed(state, sender, request, via):\n        _answer_no(",
    ),
    Mutant(
        "does not compare the previous term",
        "APPEND-2",
        "following.py",
        "return state.log.term_at(prev) == request.prev_log_term if prev > 0",
        "return state.log.term_at(prev) is not None if prev > 0",
    ),
    Mutant(
        "truncates without a conflict",
        "APPEND-3",
        "following.py",
        "have = log.first_difference(first, entries)",
        "have = 0",
    ),
    Mutant(
        "commits what the leader has not matched",
        "APPEND-5",
        "following.py",
        "min(request.leader_commit, end)",
        "min(request.leader_commit, log.last_index)",
    ),
    Mutant(
        "the commit index falls",
        "APPEND-5",
        "following.py",
        "max(state.commit_index, min(request.leader_commit, end))",
        "min(request.leader_commit, end)",
    ),
    Mutant(
        "acknowledges its own last index",
        "APPEND-7",
        "following.py",
        "via, end, at_once=not fresh",
        "via, log.last_index, at_once=not fresh",
    ),
    Mutant(
        "acknowledges before it is durable",
        "PERSIST-2",
        "following.py",
        "state.send_gated(sender, whole, via)",
        "state.send_at_once(sender, whole, via)",
    ),
    Mutant(
        "opens the gate one write early",
        "PERSIST-2",
        "durable.py",
        "self.gate[0][0] < oldest",
        "self.gate[0][0] <= oldest",
    ),
    Mutant(
        "takes replaced entries for durable",
        "PERSIST-2",
        "durable.py",
        "        self.index = min(self.index, before)\n",
        "",
    ),
    Mutant(
        "a late sync makes replaced entries durable",
        "PERSIST-2",
        "durable.py",
        "write.last_index = before",
        "pass",
    ),
    Mutant(
        "a leader counts itself before that is durable",
        "COMMIT-2",
        "replication.py",
        "reached_by_majority([*matches, state.disk.index])",
        "reached_by_majority([*matches, state.log.last_index])",
    ),
    Mutant(
        "counts what it sent, not what was acknowledged",
        "COMMIT-1",
        "replication.py",
        "progress.took(response.match_index)",
        "progress.took(flight.last)",
    ),
    Mutant(
        "commits entries of old terms by counting",
        "COMMIT-1",
        "replication.py",
        "if reached <= state.commit_index or state.log.term_at(reached) != leadership.term:",
        "if reached <= state.commit_index:",
    ),
    Mutant(
        "commits with one server too few",
        "COMMIT-1",
        "quorum.py",
        "[majority(len(values)) - 1]",
        "[max(0, majority(len(values)) - 2)]",
    ),
    Mutant("uses a seq twice", "LEADER-8", "state.py", "self.seq += 1", "self.seq = max(self.seq, 1)"),
    Mutant(
        "keeps what a lost store had matched",
        "LEADER-7",
        "progress.py",
        "            self.match = Index(0)\n",
        "            pass\n",
    ),
    Mutant(
        "lost probes take room for ever",
        "LEADER-7",
        "progress.py",
        "self.flights.clear()\n        self.flights.add(",
        "self.flights.add(",
    ),
    Mutant(
        "begins a term without a no-op",
        "LEADER-2",
        "replication.py",
        'append(state, EntryKind.NOOP, b"")',
        "pass",
    ),
    Mutant(
        "heartbeats do not restart the timer",
        "ELECT-2",
        "roles.py",
        "    if state.election_deadline is not None:\n        restart_election_timer(state)",
        "    pass",
    ),
    # --------------------------------------------------------------------------------- snapshots and outcomes
    Mutant(
        "installs older snapshots",
        "SNAP-7",
        "following.py",
        "if request.last_included_index <= state.commit_index:",
        "if request.last_included_index < 0:",
    ),
    Mutant(
        "drops entries that follow the snapshot",
        "SNAP-5",
        "following.py",
        "if state.log.term_at(index) == term:",
        "if term < 0:",
    ),
    Mutant(
        "says installed before that is durable",
        "SNAP-4",
        "following.py",
        "    state.send_gated(sender, answer, via)",
        "    state.send_at_once(sender, answer, via)",
    ),
    Mutant(
        "joins chunks of different snapshots",
        "SNAP-2",
        "following.py",
        "incoming is None or incoming.key != key",
        "incoming is None",
    ),
    Mutant(
        "takes a chunk at any offset",
        "SNAP-2",
        "following.py",
        "if request.offset != incoming.size:",
        "if request.offset < 0:",
    ),
    Mutant(
        "applies before it is durable",
        "COMMIT-3",
        "node.py",
        "until = min(state.commit_index, state.disk.index)",
        "until = state.commit_index",
    ),
    Mutant(
        "refuses a command and appends it",
        "COMMIT-4",
        "replication.py",
        "        state.out.refused.append(ticket)\n        return\n",
        "        state.out.refused.append(ticket)\n        if leadership is None:\n            return\n",
    ),
    Mutant(
        "keeps tickets that a snapshot has answered",
        "COMMIT-4",
        "following.py",
        "    state.tickets.clear()\n",
        "",
    ),
    Mutant(
        "keeps tickets when it steps down",
        "COMMIT-4",
        "roles.py",
        "[index for index in state.tickets if index > state.commit_index]",
        "list[int]()",
    ),
    # ----------------------------------------------------------------------------------------------- barriers
    Mutant(
        "a barrier is passed without a commit in the term",
        "ACTOR-38",
        "barrier.py",
        "committed is not None and committed >= term",
        "committed is not None",
    ),
    Mutant(
        "a barrier is passed by what left before it was set",
        "ACTOR-38",
        "barrier.py",
        "barrier.told is None and via in barrier.vias",
        "barrier.told is None",
    ),
    Mutant(
        "a barrier is passed before its entries are here",
        "ACTOR-38",
        "barrier.py",
        "state.commit_index >= index and ",
        "",
    ),
    Mutant(
        "a barrier is never passed by a leader",
        "ACTOR-38",
        "barrier.py",
        "return would_pass(state)",
        "return False",
    ),
    # ----------------------------------------------------------------------------------------- older copies
    Mutant(
        "takes a late refusal for a loss",
        "LEADER-10",
        "replication.py",
        "flight.is_sure and _is_conflict",
        "progress.has(flight.prev) and _is_conflict",
    ),
)
