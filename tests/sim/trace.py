"""The transcript of a run, in columns: time, node, role, term, event. Two runs of a seed have the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.raft.events import Committed, Restored
from casty.raft.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    Refusal,
    VoteRequest,
    VoteResponse,
)

if TYPE_CHECKING:
    from casty.raft.events import Ready
    from casty.raft.messages import Message
    from casty.raft.types import ServerId, Write
    from tests.sim.process import Process
    from tests.sim.schedule import Schedule


class Trace:
    """Lines, in the order of events."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.lines: list[str] = []

    def world(self, text: str) -> None:
        self.lines.append(f"{self.schedule.now:>7}  {'*':<4} {'':<13} {'':>4}  {text}")

    def note(self, process: Process, text: str) -> None:
        self.lines.append(self._head(process) + text)

    def received(self, process: Process, sender: ServerId, message: Message) -> None:
        self.note(process, f"<- {sender}  {describe(message)}" + ("  (paused)" if process.paused else ""))

    def ready(self, process: Process, ready: Ready) -> None:
        head = self._head(process)
        say = self.lines.append
        if ready.write is not None:
            say(f"{head}write {describe_write(ready.write)}")
        for outgoing in ready.messages:
            say(f"{head}-> {outgoing.to}  {describe(outgoing.message)}")
        for effect in ready.apply:
            say(f"{head}{describe_effect(effect)}")
        for name, tickets in (("refused", ready.refused), ("lost", ready.lost)):
            if tickets:
                say(f"{head}{name} {len(tickets)} proposals")
        for notice in ready.notices:
            say(f"{head}{notice.level}: {notice.text}")

    def _head(self, process: Process) -> str:
        status = process.raft.status()
        return f"{self.schedule.now:>7}  {process.host.name:<4} {status.role:<13} {status.term:>4}  "


def describe(message: Message | Refusal) -> str:
    """A message on one line, with the paper's names shortened to what a column can hold."""
    match message:
        case VoteRequest(term, seq, index, last, formation, members):
            kind = f"formation of {len(members)}" if formation else "majority"
            return f"VOTE? term={term} log={index}@{last} {kind} seq={seq}"
        case PreVoteRequest(term, seq, index, last, formation, members):
            kind = f"formation of {len(members)}" if formation else "majority"
            return f"PRE-VOTE? term={term} log={index}@{last} {kind} seq={seq}"
        case VoteResponse(term, _, seq, granted):
            return f"VOTE {'granted' if granted else 'denied'} term={term} seq={seq}"
        case PreVoteResponse(term, _, seq, granted):
            return f"PRE-VOTE {'granted' if granted else 'denied'} term={term} seq={seq}"
        case AppendEntriesRequest(term, seq, prev, prev_term, commit, entries):
            what = f"+{len(entries)}" if entries else "heartbeat"
            return f"APPEND {what} after {prev}@{prev_term} commit={commit} term={term} seq={seq}"
        case AppendEntriesResponse(term, _, seq, success, match, hint, hint_term):
            hints = f" hint={hint}@{hint_term}" if hint is not None else ""
            return f"APPENDED {'to' if success else 'no'} {match} term={term} seq={seq}{hints}"
        case InstallSnapshotRequest():
            ends = f"{message.last_included_index}@{message.last_included_term}"
            part = f"{message.offset}+{len(message.data)}/{message.size}"
            return f"SNAPSHOT of {ends} bytes {part} term={message.term} seq={message.seq}"
        case InstallSnapshotResponse():
            state = "installed" if message.installed else f"wants {message.offset}"
            return f"SNAPSHOT {state} of {message.last_included_index} term={message.term} seq={message.seq}"
        case Refusal(code, rule, text):
            return f"ERROR {code} ({rule}) {text}"


def describe_write(write: Write) -> str:
    parts = [f"#{write.token}"]
    if write.hard_state is not None:
        lock = f" lock={len(write.hard_state.lock)}" if write.hard_state.lock is not None else ""
        parts.append(f"term={write.hard_state.term} vote={write.hard_state.voted_for}{lock}")
    if write.snapshot is not None:
        parts.append(f"snapshot={write.snapshot.last_included_index}@{write.snapshot.last_included_term}")
    if write.first_index is not None:
        terms = ",".join(str(entry.term) for entry in write.entries)
        parts.append(f"log from {write.first_index}: terms {terms or 'none'}")
    return " ".join(parts)


def describe_effect(effect: Committed | Restored) -> str:
    if isinstance(effect, Restored):
        return f"restore snapshot of {effect.snapshot.last_included_index}"
    last = effect.first_index + len(effect.entries) - 1
    return f"apply {effect.first_index}..{last}, {len(effect.tickets)} proposed here"
