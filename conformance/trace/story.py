"""What happened, told from records: messages as arrows, what they changed, and what may be said in one line.

A story is what a picture shows. Roles and terms are those that the messages imply: who asks for votes is a
candidate, whose AppendEntries is seen leads its term, and who answers follows. Commits are told when the leader
announces them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.trace.rows import Arrow, Band, Note, Role, Row, Story, Turn, nodes_of
from conformance.trace.words import Tone, caption
from conformance.wire.describe import summary
from conformance.wire.message import Message, decode
from conformance.wire.problem import PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from conformance.trace.record import Record

QUIET_MIN: Final = 3
"""So many heartbeats and the like in a row are told as one."""


def tell(
    records: Iterable[Record],
    *,
    since: float | None = None,
    until: float | None = None,
    everything: bool = False,
    is_asked: Callable[[Sent], bool] | None = None,
    rows_max: int = 2000,
) -> Story:
    """The story of the records between two times; what was before counts for what is known of the nodes, and so
    do messages that are not asked for.

    Runs of heartbeats and gossip are told as one, and pings not at all, unless `everything` is asked for. Rows
    beyond `rows_max` are left out.
    """
    teller = _Teller(is_asked)
    rows: list[Row] = []
    roles: dict[str, Role] = {}
    left_out = 0
    told = _between(teller.rows(records), since, until, roles)
    for row in _gathered(told, everything=everything):
        if len(rows) < rows_max:
            rows.append(row)
        else:
            left_out += 1
    shown = {node for row in rows for node in nodes_of(row)} | roles.keys()
    members = sorted(node for node in shown if node in teller.members or not teller.members)
    return Story(rows, members + sorted(shown.difference(members)), left_out, roles)


def _between(
    told: Iterable[_Told], since: float | None, until: float | None, roles: dict[str, Role]
) -> Iterator[_Told]:
    """The rows from `since` to `until`; the roles that the earlier ones give go into `roles`."""
    for item in told:
        if until is not None and item.row.time > until:
            return
        if since is not None and item.row.time < since:
            roles |= item.row.roles
        else:
            yield item


@dataclass(slots=True)
class _Told:
    """A row, and what it counts as where it may be told with others: empty where it may not."""

    row: Row
    quiet: str = ""
    hidden: bool = False
    """It is not asked for, and only what it says of the nodes is told."""


@dataclass(slots=True)
class _Node:
    role: Role = "absent"
    term: int = 0
    connections: int = 0


class _Teller:
    """Goes through the records and keeps what is known of each node."""

    def __init__(self, is_asked: Callable[[Sent], bool] | None = None) -> None:
        self._is_asked = is_asked
        self.nodes: dict[str, _Node] = {}
        self.members: set[str] = set()
        self._commits: dict[tuple[str, int], int] = {}
        self._matches: dict[tuple[str, str, int], int] = {}
        self._leads: set[tuple[str, int]] = set()
        self._ends: dict[int, tuple[str | None, str]] = {}
        self._is_marked = False

    def rows(self, records: Iterable[Record]) -> Iterator[_Told]:
        for record in records:
            match record:
                case Sent():
                    yield from self._sent(record)
                case Raw(time, _, source, target, data, problem):
                    text = f"{len(data):,} bytes that are no frame"
                    ends = self._known(source), self._known(target)
                    yield _Told(
                        Arrow(time, source=ends[0], target=ends[1], text=text, tone="error", about=problem)
                    )
                case Marked():
                    yield from self._marked(record)
                case Opened(_, connection, dialler, listener, _):
                    self._ends[connection] = dialler, listener
                    for node in (dialler, listener):
                        if node in self.nodes:
                            self.nodes[node].connections += 1
                case Closed():
                    yield from self._closed(record)

    def _sent(self, record: Sent) -> Iterator[_Told]:
        source, target = self._known(record.source), self._known(record.target)
        arrow = Arrow(record.time, source=source, target=target, fate=record.fate)
        hidden = self._is_asked is not None and not self._is_asked(record)
        try:
            message = decode(record.frame)
        except PayloadError as error:
            arrow.text, arrow.tone, arrow.about = f"{record.frame.kind} ✗ {error.code}", "error", str(error)
            yield _Told(arrow, hidden=hidden)
            return
        arrow.text, arrow.tone = caption(message)
        about = [f"{record.time:.6f} s  {source} → {target}", summary(message), f"{record.frame.size:,} bytes"]
        arrow.about = "\n".join(
            [*about, *([f"{record.fate} {record.detail}"] if record.fate != "passed" else [])]
        )
        quiet = self._quiet(message, source, target)
        if target != "?" and message.kind in ("APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ"):
            self._hear(arrow, target, message["term"])
        turn = self._learn(arrow, message, source)
        if turn is not None:
            yield _Told(turn)
        loud = arrow.chips or arrow.roles or record.fate != "passed"
        yield _Told(arrow, "" if loud else quiet, hidden)

    def _known(self, node: str | None) -> str:
        name = node or "?"
        if name not in self.nodes:
            self.nodes[name] = _Node()
        return name

    def _quiet(self, message: Message, source: str, target: str) -> str:
        """What the message counts as where it changes nothing."""
        match message.kind:
            case "PEER_LIST.hello" | "PEER_LIST.peers":
                return "hello" if message.kind.endswith("hello") else "peer list"
            case "PING":
                return "ping"
            case "HEARTBEAT":
                return "heartbeat"
            case "APPEND_ENTRIES_REQ" if not message["entries"]:
                return "heartbeat"
            case "APPEND_ENTRIES_RES" if message["success"]:
                key = (source, target, message["term"])
                before, self._matches[key] = self._matches.get(key, -1), message["match_index"]
                return "answer" if before >= message["match_index"] else ""
            case "INSTALL_SNAPSHOT_REQ" if message["offset"] and not message["done"]:
                return "chunk"
            case "INSTALL_SNAPSHOT_RES" if not message["installed"]:
                return "answer"
            case _:
                return ""

    def _learn(self, arrow: Arrow, message: Message, source: str) -> Turn | None:
        """Puts what the message says of its sender into the arrow; tells the turn that comes before it."""
        kind, term = message.kind, message.get("term")
        if not self._is_marked and self.nodes[source].role == "down":
            self._turn(arrow, source, "absent")  # it is there again; as what, it has yet to say
        if kind == "PEER_LIST.hello" and message.get("member") is not False:
            self.members.add(source)
        if term is None or source == "?":
            return None
        self.members.add(source)
        node = self.nodes[source]
        turn = None
        if term > node.term:
            node.term = term
            arrow.chips[source] = f"term {term}"
        if kind in ("APPEND_ENTRIES_REQ", "INSTALL_SNAPSHOT_REQ"):
            if (source, term) not in self._leads:
                self._leads.add((source, term))
                turn = Turn(
                    arrow.time, {source: "leader"}, node=source, text=f"leader of term {term}", tone="lead"
                )
                arrow.chips.pop(source, None)
                node.role = "leader"
            commit = message.get("leader_commit", 0)
            if commit > self._commits.get((source, term), 0):
                self._commits[source, term] = commit
                arrow.chips[source] = f"commit {commit}"
        self._turn(arrow, source, _ROLES.get(kind, "follower"))
        return turn

    def _hear(self, arrow: Arrow, node: str, term: int) -> None:
        """A candidate that hears from a leader gives up (VOTE-7)."""
        if self.nodes[node].role in ("prevote", "candidate") and term >= self.nodes[node].term:
            self._turn(arrow, node, "follower")

    def _turn(self, row: Row, node: str, role: Role) -> None:
        if self.nodes[node].role != role and not (role == "follower" and self.nodes[node].role == "leader"):
            row.roles[node] = role
            self.nodes[node].role = role

    def _marked(self, record: Marked) -> Iterator[_Told]:
        node, event = record.node, record.event
        self._is_marked |= event in _TURNS
        if event == "scripted" and node is not None:
            self._known(node)
            return
        if node is None:
            tone: Tone = "fault" if event in ("fault", "reset", "half-close", "cut", "partition") else "note"
            yield _Told(Note(record.time, text=f"{event}: {record.text}" if record.text else event, tone=tone))
            return
        node = self._known(node)
        self.members.add(node)
        text, role, tone = _TURNS.get(event, (event, None, "note"))
        turn = Turn(record.time, node=node, text=text, tone=tone)
        if role is not None:
            turn.roles[node] = role
            self.nodes[node].role = role
        if event not in _TURNS and record.text:
            turn.text = f"{event}: {record.text}"
        if event != "ready":  # told by what it says next
            yield _Told(turn, "refused connection" if event == "refused" else "")

    def _closed(self, record: Closed) -> Iterator[_Told]:
        """Where nobody marks what becomes of nodes, one that ends all its connections is gone."""
        ends = self._ends.pop(record.connection, (None, ""))
        for end in ends:
            if end in self.nodes:
                self.nodes[end].connections -= 1
        source = record.source
        if self._is_marked or source not in self.nodes or self.nodes[source].connections > 0:
            return
        if self.nodes[source].role not in ("absent", "down"):
            self.nodes[source].role = "down"
            text = "ended all its connections"
            yield _Told(Turn(record.time, {source: "down"}, node=source, text=text, tone="fault"))


_ROLES: Final[dict[str, Role]] = {
    "VOTE_REQUEST": "candidate",
    "PRE_VOTE_REQUEST": "prevote",
    "APPEND_ENTRIES_REQ": "leader",
    "INSTALL_SNAPSHOT_REQ": "leader",
}
"""What a sender is; a follower, if it sends anything else of Raft's."""

_TURNS: Final[dict[str, tuple[str, Role | None, Tone]]] = {
    "start": ("started", "follower", "note"),
    "ready": ("ready", "follower", "note"),
    "kill": ("killed", "down", "fault"),
    "exit": ("exited", "down", "fault"),
    "pause": ("paused", "paused", "fault"),
    "resume": ("resumed", "follower", "note"),
}


_GOSSIP: Final = frozenset(("hello", "peer list", "refused connection"))
"""Told together however few they are."""


def _gathered(told: Iterable[_Told], *, everything: bool) -> Iterator[Row]:
    """The rows, with runs of quiet ones made into bands, and without pings."""
    run: list[_Told] = []
    unseen: dict[str, Role] = {}
    for item in told:
        if item.hidden:
            unseen |= item.row.roles
            continue
        if item.quiet and not everything:
            if item.quiet != "ping":
                run.append(item)
            continue
        yield from _band(run)
        run = []
        item.row.roles = unseen | item.row.roles
        unseen = {}
        yield item.row
    yield from _band(run)


def _band(run: list[_Told]) -> Iterator[Row]:
    if len(run) < QUIET_MIN and not any(item.quiet in _GOSSIP for item in run):
        yield from (item.row for item in run)
        return
    kinds = Counter(item.quiet for item in run)
    answers = kinds.pop("answer", 0)
    text = ", ".join(_counted(count, kind) for kind, count in kinds.most_common())
    if answers:
        text = f"{text} and {_counted(answers, 'answer')}" if text else _counted(answers, "answer")
    first, last = run[0].row.time, run[-1].row.time
    groups = tuple(dict.fromkeys(tuple(nodes_of(item.row)) for item in run))
    yield Band(first, end=last, text=text, groups=groups)


def _counted(count: int, kind: str) -> str:
    return f"{count:,} {kind}{'s' * (count != 1)}"
