"""The user's state machine: commands in log order, snapshots between them, all in one task.

Nothing here runs in the step path of Raft, so that a slow callback costs no election.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from casty.arguments import checked_callable
from casty.cluster.repeats import Repeats
from casty.cluster.skips import Skips, name_of
from casty.errors import ApplyError, OverloadedError, ReentrancyError, StorageError, SystemStoppedError
from casty.hooks import ENDS_PROGRAM, is_cancelled, is_torn_down, raise_from_loop, text_of
from casty.raft.events import Committed, Restored
from casty.raft.types import EntryKind, Index

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from casty.errors import CastyError
    from casty.raft.types import Entry

logger = logging.getLogger(__name__)

type ApplyCallback = Callable[[Any], object]
"""Gets each committed command, in order. May be a coroutine function."""

type CreateSnapshot = Callable[[], bytes | bytearray | Awaitable[bytes | bytearray]]
type RestoreSnapshot = Callable[[bytes], object]

SNAPSHOT_BYTES = 64 << 20
"""A snapshot is also due after commands of so many bytes, or as many as the last one had."""

AHEAD_MAX = 65_536
AHEAD_BYTES_MAX = 64 << 20
"""What may wait to be applied: commands beyond these are refused, for they would only fill the memory."""

CALLBACK_SECONDS = 1.0
"""A task that a callback has started may append when that has returned: for so long it is waited for."""

YIELD_EVERY = 64
YIELD_SECONDS = 0.005
"""Commands applied, and time spent on them, before others may run: callbacks that never wait must not hold the
loop."""


class _Call:
    """One run of a callback. Tasks that it starts know it by their context."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.over = asyncio.Event()


_call: ContextVar[_Call | None] = ContextVar("casty_callback", default=None)


class Machine:
    """Applies what Raft commits. Until a callback is set, it keeps what there is to apply (spec COMMIT-3).

    `decode` turns an entry's data into the command; `save` makes a snapshot of the state after an index durable
    and compacts the log; `fatal` ends Raft on this node, for a state that could not be restored or a command
    that could not be read leaves nothing right to do. `skips` are entries that no member can read, and that all
    members are told to leave out. With `random` snapshots are taken up to a quarter earlier than
    `snapshot_every` says.
    """

    def __init__(
        self,
        decode: Callable[[bytes], object],
        save: Callable[[Index, bytes], Awaitable[bool]],
        fatal: Callable[[StorageError], None],
        *,
        snapshot_every: int | None = None,
        skips: Skips | None = None,
        random: Random | None = None,
    ) -> None:
        self.last_applied = Index(0)
        self._decode = decode
        self._save = save
        self._fatal = fatal
        self._snapshot_every = snapshot_every
        self._skips = skips or Skips()
        self._snapshot_index = Index(0)
        self._tried_index = Index(0)
        """Of the last attempt at a snapshot, whatever became of it."""
        self._random = random
        self._every_now = self._draw()
        self._snapshot_bytes = self._unsaved_bytes = 0
        """Of the last snapshot, and of the commands applied since it was tried."""
        self._repeats = Repeats()
        self._apply: ApplyCallback | None = None
        self._create: CreateSnapshot | None = None
        self._restore: RestoreSnapshot | None = None
        self._work: deque[Committed | Restored] = deque()
        self._wanted: asyncio.Future[bool] | None = None
        self._saving: asyncio.Task[bool] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._ended: CastyError | None = None
        self._waiting: list[tuple[Index, asyncio.Future[None]]] = []
        """The callers that wait until everything up to an index is applied."""
        self._task: asyncio.Task[Any] | None = None
        """The one that runs the callbacks."""
        self._in_a_row = 0
        """Entries gone through since others could last run."""
        self._yield_at = 0.0
        self._seconds_each = 0.0
        """What a command has taken of late, an average."""
        self._waiting_bytes = 0
        """Of the entries that Raft has handed over and that are not applied yet."""

    # ----------------------------------------------------------------------------------- what others call

    @property
    def has_callback(self) -> bool:
        """Whether commands are applied, rather than kept until they can be."""
        return self._apply is not None

    @property
    def lacks_restore(self) -> bool:
        """Whether what is to be applied next is a snapshot, and no callback restores it."""
        return bool(self._work) and isinstance(self._work[0], Restored) and self._restore is None

    def set_apply_callback(self, callback: ApplyCallback) -> None:
        """Sets it once: two callbacks would each have a part of the commands. The same one again is no news."""
        self._set_once("set_apply_callback", (self._apply,), (callback,))
        self._apply = callback
        self._rouse()

    def set_snapshot_callbacks(self, create: CreateSnapshot, restore: RestoreSnapshot) -> None:
        """Sets both once, for the same reason."""
        self._set_once("set_snapshot_callbacks", (self._create, self._restore), (create, restore))
        self._create, self._restore = create, restore
        self._rouse()

    def _set_once(self, setter: str, old: tuple[object, ...], new: tuple[object, ...]) -> None:
        for callback in new:
            checked_callable(f"what {setter}() is given", callback)
        if any(callback is not None for callback in old) and old != new:
            msg = f"{setter}() was called before, with {_named(old)}; it cannot become {_named(new)}"
            raise RuntimeError(msg)

    def submit(self, item: Committed | Restored) -> None:
        """Queues what Raft hands over. Without a callback a proposal is done when it is committed."""
        if isinstance(item, Committed) and self._apply is None:
            for ticket in item.tickets.values():
                _resolve(ticket, True)
            item.tickets.clear()
        if isinstance(item, Restored) and self._restore is None and self._apply is not None:
            logger.error("a snapshot came, but there is no callback to restore it: see set_snapshot_callbacks")
        if isinstance(item, Committed):
            self._waiting_bytes += sum(len(entry.data) for entry in item.entries)
        self._work.append(item)
        self._rouse()

    def refuse_load(self, ahead: int, seconds: float | None) -> None:
        """Raises OverloadedError where one command more, behind `ahead` others, would wait for too long."""
        if self._apply is None:
            return
        wait = ahead * self._seconds_each
        if ahead > AHEAD_MAX or self._waiting_bytes > AHEAD_BYTES_MAX:
            text = f"{ahead:,} commands with {self._waiting_bytes:,} bytes committed of them"
            raise OverloadedError(f"{text} are not applied yet; nothing was appended")
        if seconds is not None and wait > seconds:
            text = f"{ahead:,} commands wait for the apply callback, about {wait:.1f} s by the last ones"
            raise OverloadedError(f"{text}; the timeout is {seconds:g} s; nothing was appended")

    def applied(self, index: Index) -> asyncio.Future[None]:
        """Done when everything up to `index` is applied; at once where no callback is set to apply it.

        Fails with what ends the machine. Each call has its own future, which the caller may cancel.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._ended is not None:
            done.set_exception(self._ended)
        elif self._apply is None or self.last_applied >= index:
            done.set_result(None)
        else:
            self._waiting.append((index, done))
        return done

    def _note_applied(self, index: Index) -> None:
        self.last_applied = index
        if not self._waiting:
            return
        for wanted, done in self._waiting:
            if wanted <= index and not done.done():
                done.set_result(None)
        self._waiting = [(wanted, done) for wanted, done in self._waiting if not done.done()]

    def _log_failure(self, snapshot: asyncio.Future[bool]) -> None:
        error = snapshot.exception() if not snapshot.cancelled() else None
        if error is None:
            self._repeats.settle("snapshot")
        elif not isinstance(error, SystemStoppedError):
            text = f"no snapshot: {text_of(error, repr)}"
            added = self._repeats.tell(("snapshot",), text, snapshot.get_loop().time())
            logger.log(logging.DEBUG if added is None else logging.ERROR, "%s%s", text, added or "")

    def create_snapshot(self) -> asyncio.Future[bool]:
        """Asks for a snapshot of the state as it is between two commands; calls that overlap share it.

        The future is True when it is saved, False if nothing was applied since the last one. It raises what the
        callback raised, TypeError where that gave no bytes, and whatever ended the machine. It is shared, so
        whoever awaits it must shield it from their own cancellation.
        """
        if self._ended is not None:
            raise self._ended
        if self._create is None:
            msg = "create_snapshot() needs set_snapshot_callbacks(create, restore) first"
            raise RuntimeError(msg)
        self.refuse_callbacks("create_snapshot()")
        return self._want_snapshot()

    def _want_snapshot(self) -> asyncio.Future[bool]:
        if self._wanted is None:
            self._wanted = asyncio.get_running_loop().create_future()
            self._wanted.add_done_callback(_look_at)
            self._rouse()
        return self._wanted

    def refuse_callbacks(self, call: str) -> None:
        """Raises ReentrancyError in a callback, for what comes after it would wait for it to return."""
        if self._task is not None and self._task is asyncio.current_task():
            msg = f"a callback of the state machine awaits {call}, which waits for the callback"
            raise ReentrancyError(msg)

    async def outlive_callback(self, call: str) -> None:
        """In a task that a callback has started: waits until that has returned, for it may wait for this task.

        Raises ReentrancyError if it does not return. An actor that the callback asks is no such task.
        """
        self.refuse_callbacks(call)
        within = _call.get()
        if within is None or within.machine is not self or within.over.is_set():
            return
        try:
            async with asyncio.timeout(CALLBACK_SECONDS):
                await within.over.wait()
        except TimeoutError:
            msg = (
                f"a task that a callback of the state machine has started calls {call}, which waits for the "
                f"callback; that has not returned within {CALLBACK_SECONDS:g} s"
            )
            raise ReentrancyError(msg) from None

    def end(self, error: CastyError) -> None:
        """Nothing more is applied once the current command is; whoever waits for a snapshot gets this error."""
        self._ended = self._ended or error
        self._work.clear()
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            if not done.done():
                done.set_exception(self._ended)
        if self._wanted is not None:
            self._conclude(self._wanted, error)
        self._rouse()

    async def run(self) -> None:
        """Works until ended or cancelled."""
        self._task = asyncio.current_task()
        try:
            while self._ended is None:
                if self._work and self._ready_for(self._work[0]):
                    await self._do(self._work.popleft())
                elif self._wanted is None or self._is_saving:
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
                    self._wake = None
                    self._others_ran()
                if self._snapshot_is_due():
                    self._want_snapshot().add_done_callback(self._log_failure)
                if self._wanted is not None and not self._is_saving:
                    await self._take_snapshot(self._wanted)
        finally:
            if self._saving is not None:
                self._saving.cancel()

    # ------------------------------------------------------------------------------------------- applying

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _ready_for(self, item: Committed | Restored) -> bool:
        return (self._apply if isinstance(item, Committed) else self._restore) is not None

    async def _do(self, item: Committed | Restored) -> None:
        match item:
            case Restored(snapshot):
                await self._restore_to(snapshot.last_included_index, snapshot.data)
            case Committed(first_index, entries, tickets):
                for place, entry in enumerate(entries):
                    if self._ended is not None:
                        return
                    index = Index(first_index + place)
                    if self._is_skipped(index, entry, tickets.get(index)):
                        logger.warning("entry %s is skipped, as skip_entries says", name_of(index, entry))
                    elif entry.kind is EntryKind.COMMAND and self._ended is None:
                        await self._apply_one(index, entry, tickets.get(index))
                    if self._ended is None:
                        self._note_applied(index)
                        self._unsaved_bytes += len(entry.data)
                        self._waiting_bytes -= len(entry.data)
                    await self._let_others_run()

    async def _let_others_run(self) -> None:
        """When it is time, whether the commands came together or one by one."""
        self._in_a_row += 1
        now = asyncio.get_running_loop().time()
        if self._in_a_row >= YIELD_EVERY or now >= self._yield_at:
            took = (now - self._yield_at + YIELD_SECONDS) / self._in_a_row
            self._seconds_each += (took - self._seconds_each) / 8
            await asyncio.sleep(0)
            self._others_ran()

    def _others_ran(self) -> None:
        self._in_a_row = 0
        self._yield_at = asyncio.get_running_loop().time() + YIELD_SECONDS

    def _is_skipped(self, index: Index, entry: Entry, ticket: object | None) -> bool:
        try:
            is_skipped = self._skips.skips(index, entry)
        except ValueError as error:
            self._fail(str(error))
            return False
        if is_skipped:
            _fail(ticket, ApplyError(f"entry {index} is committed, but was skipped, as skip_entries says"))
        return is_skipped

    async def _apply_one(self, index: Index, entry: Entry, ticket: object | None) -> None:
        assert self._apply is not None, "entries are applied only once there is a callback"
        try:
            command = self._decode(entry.data)
        except BaseException as error:  # a dataclass runs code of its own when it is made
            self._fail(_unreadable(index, entry, error), error)
            return
        try:
            outcome = self._apply(command)
            if inspect.isawaitable(outcome):
                await self._run_callback(outcome)
        except BaseException as error:
            if self._passes(error):
                raise
            logger.exception("the apply callback raised on entry %d", index)
            failure = ApplyError(
                f"entry {index} is committed, but the apply callback raised {text_of(error, repr)}"
            )
            failure.__cause__ = error
            _fail(ticket, failure)
            if isinstance(error, ENDS_PROGRAM):
                # It may have come in the midst of a change, and on this node alone.
                self._fail(f"the apply callback was broken off on entry {index} by the program's end", error)
        else:
            _resolve(ticket, True)

    async def _run_callback(self, awaitable: Awaitable[object]) -> None:
        """Runs it so that tasks it starts can be told from others."""
        call = _Call(self)
        token = _call.set(call)
        try:
            await awaitable
        finally:
            call.over.set()
            _call.reset(token)

    async def _restore_to(self, index: Index, data: bytes) -> None:
        assert self._restore is not None, "a snapshot is restored only once there is a callback"
        try:
            outcome = self._restore(data)
            if inspect.isawaitable(outcome):
                await outcome
        except BaseException as error:
            if self._passes(error):
                raise
            self._fail(f"the snapshot that ends at {index} cannot be restored: {text_of(error, repr)}", error)
            return
        self._snapshot_index = index
        self._note_applied(index)
        for name in self._skips.up_to(index):
            text = "entry %s is not skipped here: the state is that of a snapshot that ends at %d"
            logger.warning(text, name, index)

    def _passes(self, error: BaseException) -> bool:
        """Whether this task is to end, as opposed to an error that left a user's callback."""
        return is_cancelled(error) or is_torn_down(error, self._task)

    def _fail(self, why: str, cause: BaseException | None = None) -> None:
        """Nothing later may be applied to a state that is not what it should be."""
        failure = StorageError(why)
        failure.__cause__ = cause
        self.end(failure)
        self._fatal(failure)
        if isinstance(cause, ENDS_PROGRAM):
            raise_from_loop(cause)

    # ------------------------------------------------------------------------------------------ snapshots

    @property
    def _is_saving(self) -> bool:
        return self._saving is not None and not self._saving.done()

    def _snapshot_is_due(self) -> bool:
        if self._snapshot_every is None or self._create is None or self._wanted is not None or self._is_saving:
            return False
        count = self.last_applied - max(self._snapshot_index, self._tried_index)
        is_enough = count >= self._every_now or self._unsaved_bytes >= max(SNAPSHOT_BYTES, self._snapshot_bytes)
        return self._ended is None and count > 0 and is_enough

    def _draw(self) -> int:
        """After how many entries the next snapshot is due. Members that fill equal disks take theirs apart."""
        every = self._snapshot_every or 0
        return every - self._random.randint(0, every // 4) if self._random is not None else every

    async def _take_snapshot(self, wanted: asyncio.Future[bool]) -> None:
        """Serialises the state here, between two commands; saving it goes on beside the next ones.

        One that is wanted while another is being saved is taken after that: commands do not wait for it.
        """
        index = self._tried_index = self.last_applied
        self._every_now, self._unsaved_bytes = self._draw(), 0
        try:
            data = await self._serialised() if index > self._snapshot_index else None
        except BaseException as error:
            if self._passes(error):
                raise
            self._conclude(wanted, _as_failure(error))
            if isinstance(error, ENDS_PROGRAM):
                raise_from_loop(error)
            return
        if data is None:
            self._conclude(wanted, False)
            return
        self._snapshot_bytes = len(data)
        self._saving = asyncio.ensure_future(self._save(index, data))
        self._saving.add_done_callback(lambda saving: self._saved(wanted, index, saving))
        self._wanted = None

    async def _serialised(self) -> bytes:
        assert self._create is not None, "a snapshot is taken only with a callback"
        outcome = self._create()
        return _as_bytes(await outcome if inspect.isawaitable(outcome) else outcome)

    def _saved(self, wanted: asyncio.Future[bool], index: Index, saving: asyncio.Task[bool]) -> None:
        if saving.cancelled():
            _settle(wanted, self._ended or SystemStoppedError("the node ended while the snapshot was saved"))
        elif (error := saving.exception()) is not None:
            _settle(wanted, error)
        else:
            if saving.result():
                self._snapshot_index = max(self._snapshot_index, index)
            _settle(wanted, saving.result())
        self._rouse()  # another may be due by now

    def _conclude(self, wanted: asyncio.Future[bool], outcome: bool | BaseException) -> None:
        self._wanted = None
        _settle(wanted, outcome)


def _named(callbacks: tuple[object, ...]) -> str:
    return " and ".join(f"{callback!r:.100}" for callback in callbacks)


def _unreadable(index: Index, entry: Entry, error: BaseException) -> str:
    name = name_of(index, entry)
    return (
        f"entry {index} cannot be decoded on this node: {text_of(error)}. If a member can read it, this one "
        f"lacks something: repair it. If no member can, give every member skip_entries=[{name!r}] "
        f"(casty node: --skip-entry {name}) and start them again"
    )


def _as_bytes(data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray):
        return bytes(data)
    msg = f"the snapshot callback must return bytes, not {type(data).__name__}"
    raise TypeError(msg)


def _as_failure(error: BaseException) -> BaseException:
    """What a future may raise: a cancellation that leaked out of a callback must not look like one of whoever
    waits, no end of the program must end it a second time, and no future takes a StopIteration."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    is_leak = isinstance(error, asyncio.CancelledError)
    what = "was cancelled from within" if is_leak else f"raised {text_of(error, repr)}"
    failure = RuntimeError(f"the snapshot callback {what}")
    failure.__cause__ = error
    return failure


def _settle(future: asyncio.Future[bool], outcome: bool | BaseException) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _resolve(ticket: object | None, outcome: bool) -> None:
    if isinstance(ticket, asyncio.Future):
        _settle(cast("asyncio.Future[bool]", ticket), outcome)


def _fail(ticket: object | None, error: Exception) -> None:
    if isinstance(ticket, asyncio.Future):
        _settle(cast("asyncio.Future[bool]", ticket), error)


def _look_at(snapshot: asyncio.Future[bool]) -> None:
    """Whoever wanted it may be gone; asyncio is not to report that nobody looked."""
    if not snapshot.cancelled():
        snapshot.exception()
