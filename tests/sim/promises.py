"""What a message promises when it leaves must be on the disk at that moment (spec PERSIST-1 to PERSIST-3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from tests.sim.violation import Violation

if TYPE_CHECKING:
    from casty.raft.events import Outgoing
    from casty.raft.messages import Message, Request, Response
    from casty.raft.types import ServerId
    from tests.sim.process import Process
    from tests.sim.trail import Remembered

HARMLESS = ("NOT_A_MEMBER",)
"""Refusals that correct servers may cause: a stranger cannot know that it is one."""


class Promises:
    """The ledger of all votes and acknowledgements that ever left, of all servers."""

    def __init__(self) -> None:
        self.votes: dict[tuple[ServerId, int], ServerId] = {}
        """By voter and term."""

    def leave(self, process: Process, memory: Remembered, outgoing: Outgoing) -> None:
        message = outgoing.message
        match message:
            case Refusal():
                if message.code not in HARMLESS and not _is_locked_out(process, memory, message.code):
                    raise Violation("no refusals among honest servers", f"to {outgoing.to}: {message}")
                return
            case PreVoteRequest() | VoteRequest() | AppendEntriesRequest() | InstallSnapshotRequest():
                self._ask(process, memory, outgoing.to, message)
            case _:
                self._answer(process, memory, outgoing, message)
        self._require_durable_term(memory, message)

    def _require_durable_term(self, memory: Remembered, message: Message) -> None:
        durable = memory.hard_state.term
        if message.term > durable:
            raise Violation("term durable before it leaves", f"{message}, while the disk says {durable}")

    # ---------------------------------------------------------------------------------------------- requests

    def _ask(self, process: Process, memory: Remembered, to: ServerId, request: Request) -> None:
        if process.asked.setdefault((to, request.seq), request) is not request:
            raise Violation("seq used once", f"{request} repeats {process.asked[to, request.seq]}")
        match request:
            case VoteRequest():
                hard = memory.hard_state
                if hard.term == request.term and hard.voted_for != process.server:
                    raise Violation("own vote durable", f"{request}, while the disk voted for {hard.voted_for}")
                if request.formation and hard.lock != request.members:
                    raise Violation("lock durable", f"{request}, while the disk is locked to {hard.lock}")
                self._vote(process.server, request.term, process.server)
            case AppendEntriesRequest() | InstallSnapshotRequest():
                leader = process.realm.leaders.get(request.term) if process.realm is not None else None
                if leader != (process.server, process.boot):
                    raise Violation(
                        "only leaders replicate", f"{request}, but term {request.term}'s is {leader}"
                    )
            case PreVoteRequest():
                self._require_discovered(process, request)

    def _require_discovered(self, process: Process, request: PreVoteRequest) -> None:
        """A FRESH server campaigns for nothing but what it has discovered (spec FORM-4)."""
        is_fresh = request.formation and process.status.standing == "fresh"
        if is_fresh and frozenset(request.members) not in process.discovered:
            raise Violation("fresh servers know their list", f"{process.server} asks {request}")

    def _vote(self, voter: ServerId, term: int, candidate: ServerId) -> None:
        first = self.votes.setdefault((voter, term), candidate)
        if first != candidate:
            text = f"{voter} voted for {first} and for {candidate} in term {term}"
            raise Violation("one vote per term", text)

    # --------------------------------------------------------------------------------------------- responses

    def _answer(self, process: Process, memory: Remembered, outgoing: Outgoing, response: Response) -> None:
        request = process.question(outgoing.via, response.seq)
        if request is None or request.term != response.request_term:
            raise Violation("an answer has a question", f"{response} answers {request}")
        match response, request:
            case VoteResponse(vote_granted=True), VoteRequest():
                self._grant(process, memory, outgoing.to, request)
            case PreVoteResponse(vote_granted=True), PreVoteRequest():
                self._require_fit(process, outgoing.to, request)
            case AppendEntriesResponse(success=True), AppendEntriesRequest():
                end = request.prev_log_index + len(request.entries)
                if response.match_index > end:
                    raise Violation("match within the request", f"{response} to a request that ends at {end}")
                self._acknowledge(process, memory, response.match_index, request)
            case InstallSnapshotResponse(installed=True), InstallSnapshotRequest():
                self._acknowledge(process, memory, request.last_included_index, request)
            case _:
                pass

    def _grant(self, process: Process, memory: Remembered, to: ServerId, request: VoteRequest) -> None:
        voter, hard = process.server, memory.hard_state
        self._require_fit(process, to, request)
        if hard.term < request.term or (hard.term == request.term and hard.voted_for != to):
            raise Violation("vote durable before the grant", f"{voter} grants {request}; the disk says {hard}")
        if memory.trail.last == 0 and hard.lock != request.members:
            raise Violation("lock durable", f"{voter} grants {request}; the disk is locked to {hard.lock}")
        self._vote(voter, request.term, to)

    def _require_fit(self, process: Process, to: ServerId, request: VoteRequest | PreVoteRequest) -> None:
        """Voter and candidate are on the list, and it is the voter's (spec FORM-4, FORM-5, FORM-9)."""
        voter = process.server
        if voter not in request.members or to not in request.members:
            raise Violation("only listed servers grant", f"{voter} grants {to}'s {request}")
        discovered = process.fresh_when_asked.get(request)
        if discovered is not None and not (request.formation and frozenset(request.members) in discovered):
            raise Violation("fresh servers know their list", f"{voter} grants {request}, knowing {discovered}")

    def _acknowledge(
        self,
        process: Process,
        memory: Remembered,
        index: int,
        request: AppendEntriesRequest | InstallSnapshotRequest,
    ) -> None:
        """The log up to `index` was durable, and is the one the leader of that term had."""
        realm = process.realm
        if index == 0:
            return
        if realm is None:
            raise Violation("acknowledged is durable", f"{process.server} has {index} of no cluster")
        if index <= memory.trail.base:
            return
        claimed = realm.leader_link(request.term, index)
        if claimed is None or claimed not in memory.ever:
            text = (
                f"{process.server} acknowledges {index} to the leader of term {request.term}; its disk ends at "
            )
            raise Violation("acknowledged is durable", f"{text}{memory.trail.last}")


def _is_locked_out(process: Process, memory: Remembered, code: str) -> bool:
    """Whether it is locked to a list that never led to a cluster: where one id ran twice, the other store was
    elected with its name, and what the leader sends to that name is not for it (spec FORM-8)."""
    lock = memory.hard_state.lock
    return code == "BAD_FORMATION" and lock is not None and process.server in lock and process.realm is None
