"""Commands that every member carries out in the same order."""

from __future__ import annotations

import asyncio
import inspect
import logging
import typing
from typing import TYPE_CHECKING, Any, cast

from casty.arguments import checked_timeout
from casty.cluster.node import ClusterNode
from casty.errors import CommitUncertainError, MessageTooLargeError, OverloadedError
from casty.raft.events import Proposed, Received, Role
from casty.raft.types import Index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casty.cluster.link import Link
    from casty.cluster.machine import ApplyCallback
    from casty.errors import CastyError
    from casty.raft.events import Committed, Ready
    from casty.raft.messages import AppendEntriesRequest, AppendEntriesResponse

logger = logging.getLogger(__name__)

COMMAND_OVERHEAD = 1024
"""What a request with one entry needs beside the command."""


class LogReplicationMixin(ClusterNode):
    """Needs: raft, machine, wire, proposals, failure.

    Provides: `append_command`, `set_apply_callback`, `commit_index`, `last_applied`.
    Handles: APPEND_ENTRIES_REQ, APPEND_ENTRIES_RES.
    Performs: handing committed entries to the state machine, and outcomes to those who wait for them.
    """

    __slots__ = ()

    @property
    def commit_index(self) -> int:
        """The last log index this node knows to be committed; 0 before the start and after the end."""
        return self.raft.commit_index if self.raft is not None else 0

    @property
    def last_applied(self) -> int:
        """The last log index whose command the apply callback has been given here; it stays after the end."""
        return self.machine.last_applied

    def set_apply_callback(self, callback: ApplyCallback) -> None:
        """Sets what is called with each committed command, in log order; it may be a coroutine function.

        It gets everything from the start: a snapshot's state by the restore callback, then each command. After
        a restart it gets that again. What it raises is logged, and told to whoever appended the command.
        Types that its parameter is annotated with are admitted in commands, as by `register_type`, and its
        package is trusted.

        A node has one: the same one again changes nothing, another one is a RuntimeError, and what cannot be
        called, None for instance, a TypeError. It may be set before the start and at any time after it; it then
        gets what it missed. Raises StorageError where Raft has failed here, SystemStoppedError once the node
        has shut down, and RuntimeError outside its event loop. On a node without Raft it is never called.
        """
        self.require_not_over("set_apply_callback()")
        self.machine.set_apply_callback(callback)
        self.types.trust_code(callback)
        self.types.admit(*_command_types(callback))

    async def append_command(self, command: object, *, timeout: float | None = 5.0) -> bool:
        """Appends a command to the replicated log and waits until it is committed and applied here.

        False means that it certainly was not appended, and may be tried on another node, or here later: this
        node does not lead, has no part in Raft, or is starting. Others run before False is returned, so a loop
        that tries again holds up no other task.

        Raises CommitUncertainError where it may yet be committed: leadership was lost, the disk failed, the
        node has shut down, or `timeout` seconds passed (None is without a bound). Raises ApplyError where it is
        committed but the callback raised. All other errors mean that it certainly was not appended:
        OverloadedError while this leader has too much to commit or to apply for one more in that time,
        SerializationError for a command that some member could not read, MessageTooLargeError for one that no
        frame can carry, ReentrancyError in a callback of the state machine, which it would wait for,
        StorageError once Raft has failed here, SystemStoppedError once the node has shut down, RuntimeError
        before the start and outside the node's event loop, TypeError and ValueError for a timeout that is no
        time. Commands appended by one caller commit in call order.
        """
        seconds = checked_timeout(timeout)
        await self.require_running("append_command()")
        if self.raft is None or self.raft.role is not Role.LEADER:
            await asyncio.sleep(0)  # who tries again and again must not keep the loop from finding a leader
            return False
        await self.machine.outlive_callback("append_command()")
        self._refuse_load(seconds)
        data = self.commands.encode(command)
        if len(data) > self.frame_bytes_max - COMMAND_OVERHEAD:
            limit = self.frame_bytes_max - COMMAND_OVERHEAD
            raise MessageTooLargeError(f"the command has {len(data):,} bytes; the limit is {limit:,}")
        outcome: asyncio.Future[bool] = self.loop.create_future()
        self.proposals.add(outcome)
        timer = None
        if seconds is not None:
            timer = self.loop.call_later(seconds, _time_out, outcome, seconds)
        self.post(Proposed(outcome, data))
        try:
            return await outcome
        finally:
            self.proposals.discard(outcome)
            if timer is not None:
                timer.cancel()

    def _refuse_load(self, seconds: float | None) -> None:
        last = self.raft.log.last_index if self.raft is not None else 0
        self.machine.refuse_load(max(last - self.machine.last_applied, len(self.proposals)), seconds)

    def _on_append(self, link: Link, message: AppendEntriesRequest | AppendEntriesResponse) -> None:
        if link.server is not None:
            self.post(Received(link.server, message, link))

    def _apply(self, committed: Committed) -> None:
        self.machine.submit(committed)

    def _tell(self, ready: Ready) -> None:
        """Tells those whose commands were not appended, and those who will not learn the outcome of theirs."""
        for outcome in _open(ready.refused):
            outcome.set_result(False)
        for outcome in _open(ready.overloaded):
            most = self.options.uncommitted_bytes_max
            text = f"more than {most:,} bytes of commands are not committed yet; nothing was appended"
            outcome.set_exception(OverloadedError(text))
        for outcome in _open(ready.lost):
            text = "leadership was lost before the command was committed; it may be committed yet"
            outcome.set_exception(CommitUncertainError(text))

    def _fail_proposals(self, error: CastyError) -> None:
        """Raft has ended here: nobody will learn more."""
        for outcome in self.proposals:
            if not outcome.done():
                outcome.set_exception(error)


def _open(tickets: Iterable[object]) -> list[asyncio.Future[bool]]:
    """Of the calls with these tickets, those that still wait."""
    outcomes = (cast("asyncio.Future[bool]", ticket) for ticket in tickets)
    return [outcome for outcome in outcomes if not outcome.done()]


def _command_types(callback: ApplyCallback) -> tuple[Any, ...]:
    """What the callback's parameter is annotated with, if anything is and can be told."""
    try:
        hints = typing.get_type_hints(callback if inspect.isroutine(callback) else type(callback).__call__)
        return tuple(hints[name] for name in inspect.signature(callback).parameters if name in hints)
    except Exception:  # annotations may be anything, and names that only type checkers see
        return ()


def _time_out(outcome: asyncio.Future[bool], timeout: float) -> None:
    if not outcome.done():
        text = f"the command was not committed and applied within {timeout:g} s; it may be yet"
        outcome.set_exception(CommitUncertainError(text))


def index_being_applied(node: LogReplicationMixin) -> Index:
    """Within the apply callback: the index of the command it was called with."""
    return Index(node.last_applied + 1)
