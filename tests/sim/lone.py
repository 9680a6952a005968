"""One server by itself, as a value: what it does with an event, worked out once for each state and event."""

from __future__ import annotations

import pickle
from array import array
from collections import deque
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from io import BytesIO
from random import Random
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, override

from casty.raft.events import Connected, Discovered, Persisted, Role, Ticked
from casty.raft.messages import Refusal
from casty.raft.node import Raft
from casty.raft.types import Configuration, HardState, Millis, Recovered, ServerId
from tests.sim.trace import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from casty.raft.events import Event
    from casty.raft.messages import Message
    from casty.raft.options import Options
    from casty.raft.types import Write


class Place(NamedTuple):
    """One run of a process on one machine. Its number never comes again."""

    machine: int
    boot: int

    def __str__(self) -> str:
        return f"{self.machine}.{self.boot}"


class Mail(NamedTuple):
    to: Place
    sender: ServerId
    origin: Place
    message: Message


type Acquaintances = tuple[tuple[ServerId, Place], ...]
"""Whom a server has met, sorted; at most one under each node id."""


@dataclass(frozen=True, slots=True)
class Lone:
    """A server: where it runs, what it has met, what its disk holds, and its core; None while it is down."""

    place: Place
    me: ServerId
    disk: Recovered
    met: Acquaintances
    now: int = 0
    core: bytes | None = None
    leads: int = 0
    """The term it leads."""
    configuration: Configuration | None = None
    committed: bool = False


class Steady(Random):
    """Dice that always show the same: the order of events decides, and that is searched anyway."""

    def __init__(self, name: bytes) -> None:
        super().__init__(0)
        self.name = name

    @override
    def randint(self, a: int, b: int) -> int:
        return a

    @override
    def randbytes(self, n: int) -> bytes:
        return self.name.rjust(n, b"-")

    @override
    def __reduce__(self) -> tuple[type[Steady], tuple[bytes]]:
        return Steady, (self.name,)


class Book:
    """All states of servers ever seen, by number, and where each event leads from there."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.lone: list[Lone] = []
        self.mail: list[Mail] = []
        self._number_of: dict[object, int] = {}
        self._mail_number_of: dict[Mail, int] = {}
        self._told: dict[int, str] = {}
        self._steps: dict[object, tuple[int, frozenset[int]]] = {}

    def boot(self, place: Place, disk: Recovered, me: ServerId, met: Acquaintances) -> int:
        name = f"cid{place}".encode()
        raft = Raft(me, self.options, disk, Steady(name), Millis(0))
        lone = Lone(place, me, disk, met)
        _greet(raft, lone)
        after, _ = self._settle(lone, raft, synced=True)
        return after

    def down(self, number: int, disk: Recovered) -> int:
        """The same machine without a process, and with that disk."""
        lone = self.lone[number]
        me = ServerId(lone.me.node_id, disk.store_id)
        return self._number(Lone(lone.place, me, disk, ()))

    def meet(self, number: int, met: Acquaintances) -> int:
        key = (number, met)
        if key not in self._steps:
            lone = replace(self.lone[number], met=met)
            raft = _awake(lone)
            _greet(raft, lone)
            self._steps[key] = self._settle(lone, raft, synced=True)
        return self._steps[key][0]

    def step(self, number: int, event: Event, *, synced: bool) -> tuple[int, frozenset[int]]:
        """What becomes of the server, and what it sends. Without the sync, what it wrote has not arrived."""
        key = (number, event, synced)
        if key not in self._steps:
            lone = self.lone[number]
            raft = _awake(lone)
            if isinstance(event, Ticked) and raft.deadline is not None:
                lone = replace(lone, now=max(lone.now, raft.deadline))
            raft.step(event, Millis(lone.now))
            self._steps[key] = self._settle(lone, raft, synced=synced)
        return self._steps[key]

    def _settle(self, lone: Lone, raft: Raft, *, synced: bool) -> tuple[int, frozenset[int]]:
        """Does what `ready` says, to the end; or up to the first write, if that is not to be synced."""
        where, sent, disk = dict(lone.met), set[int](), lone.disk
        while (ready := raft.ready()) is not None:
            for outgoing in ready.messages:
                to = outgoing.via if isinstance(outgoing.via, Place) else where.get(outgoing.to)
                if to is not None and not isinstance(outgoing.message, Refusal):
                    sent.add(self._mail_number(Mail(to, lone.me, lone.place, outgoing.message)))
            if ready.write is None:
                continue
            if not synced:
                break
            disk = _remember(disk, ready.write)
            raft.step(Persisted(ready.write.token), Millis(lone.now))
        after = replace(
            lone,
            disk=disk,
            core=pickle.dumps(raft),
            leads=raft.status().term if raft.role is Role.LEADER else 0,
            configuration=raft.configuration,
            committed=raft.commit_index > 0,
        )
        return self._number(after, frozen(raft)), frozenset(sent)

    def told(self, letter: int) -> str:
        """What is said of the mail of this number in a history."""
        if letter not in self._told:
            mail = self.mail[letter]
            self._told[letter] = f"{mail.origin} -> {mail.to}  {describe(mail.message)}"
        return self._told[letter]

    def _mail_number(self, mail: Mail) -> int:
        if mail not in self._mail_number_of:
            self._mail_number_of[mail] = len(self.mail)
            self.mail.append(mail)
        return self._mail_number_of[mail]

    def _number(self, lone: Lone, core: object = None) -> int:
        """Equal servers have equal numbers, whatever objects they share inside. `core` is its core, frozen."""
        number = self._number_of.setdefault((lone.place, lone.met, lone.now, lone.disk, core), len(self.lone))
        if number == len(self.lone):
            self.lone.append(lone)
        return number


def _awake(lone: Lone) -> Raft:
    assert lone.core is not None
    raft = pickle.loads(lone.core)
    assert isinstance(raft, Raft)
    return raft


def _greet(raft: Raft, lone: Lone) -> None:
    """Its connections are those to whom it has met."""
    raft.step(Discovered(frozenset({lone.me, *dict(lone.met)})), Millis(lone.now))
    for server, place in lone.met:
        raft.step(Connected(server, bytes(place)), Millis(lone.now))


def _remember(disk: Recovered, write: Write) -> Recovered:
    """A disk after one more write. Nobody takes snapshots here."""
    assert write.snapshot is None
    hard: HardState = write.hard_state or disk.hard_state
    entries = disk.entries
    if write.first_index is not None:
        entries = (*entries[: write.first_index - 1], *write.entries)
    return Recovered(disk.store_id, hard, None, entries)


def frozen(value: Any) -> object:
    """The value as something hashable that says all there is to it. Any: it takes apart what it is given."""
    kind = type(value)
    if kind not in _FREEZING:
        _FREEZING[kind] = _freezing(kind)
    return _FREEZING[kind](value)


_FREEZING: dict[type, Callable[[Any], object]] = {}
"""By class, for there are millions of values."""


def _freezing(kind: type) -> Callable[[Any], object]:
    """How a value of this class is frozen."""
    if kind in _PLAIN or issubclass(kind, Enum):
        return _itself
    if issubclass(kind, tuple | list | deque):
        return _frozen_items
    if issubclass(kind, set | frozenset):
        return lambda value: frozenset(_frozen_items(value))
    if issubclass(kind, dict):
        return lambda value: frozenset(_frozen_items(value.items()))
    if kind in (bytearray, array):
        return bytes
    if kind is BytesIO:
        return lambda value: value.getvalue()
    if issubclass(kind, Random):
        return lambda _: None
    if not is_dataclass(kind):
        slots: tuple[str, ...] = getattr(kind, "__slots__", ())
        return lambda value: _frozen_items([getattr(value, name) for name in slots or sorted(vars(value))])
    params: Any = getattr(kind, "__dataclass_params__", None)
    if params.frozen and params.eq:
        return _itself
    names = [field.name for field in fields(kind)]
    return lambda value: _frozen_items([getattr(value, name) for name in names])


_PLAIN = frozenset({NoneType, bool, int, str, bytes})


def _itself(value: Any) -> object:
    return value


def _frozen_items(items: Iterable[Any]) -> tuple[object, ...]:
    return tuple([item if type(item) in _PLAIN else frozen(item) for item in items])
