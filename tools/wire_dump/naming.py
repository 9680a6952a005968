"""Puts nodes' names to the addresses of a capture: by what is given, by hellos, by the names in frames."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from conformance._protocol import FRAME_NAMES, PEER_LIST
from conformance.trace.record import Closed, Marked, Opened
from conformance.wire.problem import PayloadError
from wire_dump.events import Seen, Trouble
from wire_dump.mistakes import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wire_dump.events import Event

KNOWN_MAX: Final = 8192
"""Names kept; of more, the one that was not used the longest is forgotten."""
LOOK_AHEAD_EVENTS: Final = 64
LOOK_AHEAD_BYTES: Final = 1 << 20
"""A frame is held back, within these limits, for the hello that says where it went."""
_NODE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class NamesError(UsageError):
    """What was given as names cannot be read."""


def parse_names(text: str) -> dict[str, str]:
    """Reads `n1=127.0.0.1:21001,n2=…`: node ids by address. A port alone stands for any host with it."""
    names: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        node, _, address = part.partition("=")
        if not address or not address.rpartition(":")[2].isdigit():
            raise NamesError(f"--names holds {part!r}; expected NODE=HOST:PORT or NODE=PORT")
        names[address] = node
    return names


class Names:
    """What is known of who is where."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._given = dict(given or {})
        self._known: OrderedDict[tuple[int, str], str] = OrderedDict()
        self._listeners: dict[int, str] = {}

    def learn(self, event: Event) -> None:
        """Takes what the event says of its source, and of others."""
        match event:
            case Opened(_, connection, _, listener, _):
                self._listeners[connection] = listener
                if len(self._listeners) > KNOWN_MAX:
                    del self._listeners[next(iter(self._listeners))]
            case Seen() if event.source is not None and FRAME_NAMES.get(event.frame.type) == "node":
                self._learn_from(event, event.source)
            case _:
                pass

    def name(self, connection: int, address: str) -> str | None:
        """The node at this end of the connection, if it is known."""
        if self._given:
            given = self._given.get(address) or self._given.get(address.rpartition(":")[2])
            if given:
                return given
        return self._known.get((connection, address)) or self._known.get((0, address))

    def _learn_from(self, event: Seen, address: str) -> None:
        if not _NODE_ID.fullmatch(event.frame.name):
            return
        node = event.frame.name.decode()
        if self._known.get((event.connection, address)) != node:
            self._keep(event.connection, address, node)
            if self._listeners.get(event.connection) == address:
                self._keep(0, address, node)
        if event.frame.type == PEER_LIST and not isinstance(message := event.decoded, PayloadError):
            if isinstance(own := message.get("address"), str):
                self._keep(0, own, node)
            for peer in message.get("peers", ()):
                self._keep(0, peer.address, peer.node_id)

    def _keep(self, connection: int, address: str, node: str) -> None:
        self._known[connection, address] = node
        self._known.move_to_end((connection, address))
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)


def named(events: Iterable[Event], names: Names) -> Iterator[Event]:
    """The events with names for addresses, in the same order; some are held back until the names are known."""
    naming = Naming(names)
    for event in events:
        yield from naming.push(event)
    yield from naming.flush()


class Naming:
    """Takes events one by one, and gives them back with names."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._waiting: deque[Event] = deque()
        self._held = 0

    def push(self, event: Event) -> Iterator[Event]:
        """The events that need not wait any longer."""
        waiting, names = self._waiting, self._names
        names.learn(event)
        waiting.append(event)
        self._held += _weight(event)
        while waiting and (
            len(waiting) > LOOK_AHEAD_EVENTS or self._held > LOOK_AHEAD_BYTES or _is_known(waiting[0], names)
        ):
            first = waiting.popleft()
            self._held -= _weight(first)
            yield _with_names(first, names)

    def flush(self) -> Iterator[Event]:
        """All the others."""
        while self._waiting:
            yield _with_names(self._waiting.popleft(), self._names)
        self._held = 0


def _weight(event: Event) -> int:
    return event.frame.size if isinstance(event, Seen) else 0


def _is_known(event: Event, names: Names) -> bool:
    match event:
        case Seen() | Trouble():
            ends = (event.source, event.target)
            return all(end is None or names.name(event.connection, end) for end in ends)
        case Opened(_, connection, dialler, listener, _):
            return bool(names.name(connection, listener) and (not dialler or names.name(connection, dialler)))
        case _:
            return True


def _with_names(event: Event, names: Names) -> Event:
    def name(connection: int, address: str | None) -> str | None:
        return None if address is None else names.name(connection, address) or address

    match event:
        case Seen() | Trouble():
            event.source = name(event.connection, event.source)
            event.target = name(event.connection, event.target)
            return event
        case Opened(time, connection, dialler, listener, lane):
            return Opened(time, connection, name(connection, dialler), name(connection, listener) or "", lane)
        case Closed(time, connection, source, how):
            return Closed(time, connection, name(connection, source), how)
        case Marked(time, node, mark, text):
            return Marked(time, name(0, node), mark, text)
