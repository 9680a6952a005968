"""What the wires of a live cluster show: who leads, who campaigns, who is dialled by whom.

Nothing here asks a node. A server leads as long as others answer its AppendEntries with success. Frames that
never arrived show what their sender did, and nothing about who heard of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from conformance import _protocol as protocol
from conformance.trace.record import Marked, Opened, Sent
from conformance.verdict import Unmet
from conformance.wire.describe import summary
from conformance.wire.message import PayloadError, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from conformance.trace.record import Record
    from conformance.trace.store import Trace
    from conformance.wire.message import Message

RAFT: Final = frozenset(
    {
        protocol.VOTE_REQUEST,
        protocol.VOTE_RESPONSE,
        protocol.PRE_VOTE_REQUEST,
        protocol.PRE_VOTE_RESPONSE,
        protocol.APPEND_ENTRIES_REQ,
        protocol.APPEND_ENTRIES_RES,
        protocol.INSTALL_SNAPSHOT_REQ,
        protocol.INSTALL_SNAPSHOT_RES,
    }
)
"""The types of Raft's frames. Others are not doubled on purpose: an ask that comes twice is done twice."""
LOST: Final = ("dropped", "blackholed", "held")
"""What became of frames that did not arrive."""


class Reign(NamedTuple):
    """A leader, and the term it leads."""

    term: int
    leader: str


class Seen(NamedTuple):
    """A frame of Raft in a trace."""

    record: Sent
    said: Message

    @property
    def source(self) -> str:
        return self.record.source or ""

    @property
    def target(self) -> str:
        return self.record.target or ""

    def unmet(self, expected: str) -> Unmet:
        """A failure that this frame shows."""
        return Unmet(expected, f"{self.source}→{self.target} {summary(self.said)}", frame=self.record.frame)


class Witness:
    """Looks at a trace, or waits for what is to come in it; `patience` is the bound in seconds."""

    def __init__(self, trace: Trace, size: int, patience: float) -> None:
        self.trace = trace
        self.size = size
        self.patience = patience

    @property
    def now(self) -> int:
        """Where the trace ends: what has not happened yet comes from here on."""
        return len(self.trace)

    async def leader(
        self,
        *,
        since: int | None = None,
        followers: int | None = None,
        besides: Collection[str] = (),
        seconds: float | None = None,
    ) -> Reign:
        """Who leads from `since` (now, without) on: whom so many others answered with success.

        `followers` says how many; without, those who make a majority with it. `besides` are those who cannot be
        meant, though answers may be on their way to them. Raises `Unmet` when there is none in time.
        """
        wanted = self.size // 2 if followers is None else followers
        following: defaultdict[Reign, set[str]] = defaultdict(set)

        def is_followed(seen: Seen) -> bool:
            if not seen.said["success"] or seen.record.fate in LOST or seen.target in besides:
                return False
            loyal = following[Reign(seen.said["request_term"], seen.target)]
            loyal.add(seen.source)
            return len(loyal) >= wanted

        expected = f"a leader whom {wanted} others answer with success"
        if besides:
            expected += f", and who is not {' or '.join(sorted(besides))}"
        seen = await self.frame(
            expected, is_followed, protocol.APPEND_ENTRIES_RES, since=since, seconds=seconds
        )
        return Reign(seen.said["request_term"], seen.target)

    async def frame(
        self,
        expected: str,
        wanted: Callable[[Seen], bool],
        *types: int,
        since: int | None = None,
        seconds: float | None = None,
    ) -> Seen:
        """The first frame of these types that is wanted. Raises `Unmet`, with `expected`, when none comes."""
        found: list[Seen] = []

        def is_it(record: Record) -> bool:
            seen = look(record, *types)
            if seen is None or not wanted(seen):
                return False
            found.append(seen)
            return True

        await self.record(expected, is_it, since=since, seconds=seconds)
        return found[0]

    async def record(
        self,
        expected: str,
        wanted: Callable[[Record], bool],
        *,
        since: int | None = None,
        seconds: float | None = None,
    ) -> Record:
        """The first record that is wanted, from `since` (now, without) on. Raises `Unmet` when none comes."""
        bound = self.patience if seconds is None else seconds
        start = self.now if since is None else since
        try:
            return await self.trace.wait(wanted, seconds=bound, start=start)
        except TimeoutError:
            raise Unmet(expected, f"none of that kind on any wire for {bound:.1f} s") from None

    async def pass_by(self, count: int, *types: int) -> None:
        """Returns when so many more frames of these types (Raft's, without) have been seen.

        It is a clock that goes as fast as the cluster does.
        """
        left = count

        def is_last(record: Record) -> bool:
            nonlocal left
            left -= isinstance(record, Sent) and record.frame.type in (types or RAFT)
            return left <= 0

        await self.record(f"{count} more frames between the nodes", is_last)

    async def rounds(self, count: int, *nodes: str, since: int | None = None) -> dict[str, list[float]]:
        """Returns when each of the nodes has begun so many rounds of pre-votes: when it did, by node.

        Raises `Unmet`, with what they did instead, when they do not in time.
        """
        start = self.now if since is None else since
        begun: dict[str, dict[int, float]] = {node: {} for node in nodes}

        def is_last(seen: Seen) -> bool:
            if seen.source in begun:
                begun[seen.source].setdefault(seen.said["seq"], seen.record.time)
            return all(len(times) >= count for times in begun.values())

        expected = f"{count} rounds of pre-votes of {', '.join(nodes)} (ELECT-1)"
        try:
            await self.frame(expected, is_last, protocol.PRE_VOTE_REQUEST, since=start)
        except Unmet as unmet:
            raise Unmet(expected, f"{self.doings(nodes, start)}, in {self.patience:.1f} s") from unmet
        return {node: list(times.values()) for node, times in begun.items()}

    async def connected(self, pairs: Iterable[tuple[str, str]], *, since: int = 0) -> None:
        """Returns when each first of a pair has dialled the second for Raft; raises `Unmet` if one does not."""
        missing = set(pairs)

        def is_last(record: Record) -> bool:
            if isinstance(record, Opened) and record.lane != "actor":
                missing.discard((record.dialler or "", record.listener))
            return not missing

        try:
            await self.record("", is_last, since=since)
        except Unmet:
            left = ", ".join(f"{dialler}→{listener}" for dialler, listener in sorted(missing))
            raise Unmet(
                "each node to dial each other for Raft (PEER-2, PEER-6)", f"no hello {left} in time"
            ) from None

    async def refused(self, node: str, times: int, *, since: int | None = None) -> None:
        """Returns when so many connections to this node came to nothing, for it did not listen."""
        left = times

        def is_last(record: Record) -> bool:
            nonlocal left
            left -= isinstance(record, Marked) and (record.node, record.event) == (node, "refused")
            return left <= 0

        await self.record(f"{times} attempts to dial {node} (PEER-2)", is_last, since=since)

    def doings(self, nodes: Collection[str], since: int) -> str:
        """What these nodes have sent of Raft since then, in numbers, for people."""
        sent = Counter(
            f"{record.source} sent {record.frame.kind}"
            for record in self.trace[since:]
            if isinstance(record, Sent) and record.source in nodes and record.frame.type in RAFT
        )
        return (
            ", ".join(f"{what} {times} times" for what, times in sorted(sent.items())) or "no frame of theirs"
        )

    def frames(self, *types: int, since: int = 0) -> list[Seen]:
        """All frames of these types so far, from `since` on."""
        return [seen for record in self.trace[since:] if (seen := look(record, *types)) is not None]


def look(record: Record, *types: int) -> Seen | None:
    """The frame of a record, if it is of one of these types and says something."""
    if not isinstance(record, Sent) or record.frame.type not in types:
        return None
    try:
        return Seen(record, decode(record.frame))
    except PayloadError:
        return None
