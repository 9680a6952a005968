"""Which peers came back with an older copy of their data directory (spec HELLO-10, HELLO-11, PEER-11). Pure.

A directory's revision rises with all that is written to it and with each start of its process, and is
announced only once it is durable. So what a process finds at its start is at least what the process before has
said, unless the directory has been replaced by an older copy of itself. A copy that is written to may come to
any number; so a hello also lists the directory's latest boots, each with the revision it began with. By these
it shows that it has all of the boot that was heard of last, and nothing of a boot that was refused.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from casty.raft.types import PeerRevision
from casty.wire._protocol import BOOTS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from casty.raft.events import LostData
    from casty.raft.types import Boot, ServerId

PEERS_MAX: Final = 64
"""As many as the longest member list; beyond it the oldest that is on no list makes room."""

REFUSED_MAX: Final = 4
"""Boots on older copies that are remembered of each peer: a hello lists many more."""

NO_BOOT: Final = b""
"""Where nothing is known of a directory but boots that were refused."""

REMEDY: Final = (
    "stop it, and put the right directory back, or remove this one: then it comes back as a new server"
)


class Revisions:
    """What peers said of their directories, and what they were told of this node's own."""

    def __init__(self, known: Iterable[PeerRevision] = ()) -> None:
        self._known = {peer.server: peer for peer in known}
        self._keep: frozenset[ServerId] = frozenset()
        self._is_new = False
        self._said: int | None = None

    def objection(
        self, server: ServerId, boot_id: bytes, revision: int | None, boots: Sequence[Boot] = ()
    ) -> str | None:
        """Why this server must not come in: its directory is an older copy. None if nothing says so.

        An objection is remembered: what grows out of that boot is refused as well, whatever number it comes to.
        """
        known = self._known.get(server)
        if known is None or (why := _flaw(known, boot_id, revision, boots[:BOOTS_MAX])) is None:
            return None
        self._refuse(known, boot_id)
        return f"the data directory of node {server.node_id} is an older copy: {why}; {REMEDY}"

    def note(self, server: ServerId, revision: int, boot_id: bytes) -> None:
        """A server that came in says how far its directory has come."""
        known = self._known.get(server)
        if known is not None and revision <= known.revision:
            return
        if known is not None or self._make_room():
            refused = known.refused if known is not None else ()
            self._put(PeerRevision(server, revision, boot_id, refused))

    def lose(self, lost: LostData) -> str:
        """A member was found without what it had acknowledged: its boot stays out. Returns what to tell it.

        What that boot said of its directory is forgotten, for it was not said of the right one.
        """
        known = self._known.get(lost.server)
        if known is not None or self._make_room():
            if known is None or known.boot_id == lost.boot_id:
                known = PeerRevision(lost.server, 0, NO_BOOT, known.refused if known is not None else ())
            self._refuse(known, lost.boot_id)
        return (
            f"the data directory of node {lost.server.node_id} is an older copy: it acknowledged entry "
            f"{lost.acknowledged} to the leader of term {lost.term}, and does not have it; {REMEDY}"
        )

    def keep(self, servers: Iterable[ServerId]) -> None:
        """The members of the cluster, which are never forgotten."""
        self._keep = frozenset(servers)

    def to_write(self) -> tuple[PeerRevision, ...] | None:
        """All that is to be remembered, once after each change of it; None where nothing has changed."""
        if not self._is_new:
            return None
        self._is_new = False
        return tuple(self._known.values())

    def is_news(self, revision: int) -> bool:
        """Whether peers have not been told yet that this node's own directory has come so far."""
        if revision == self._said:
            return False
        self._said = revision
        return True

    def _refuse(self, known: PeerRevision, boot_id: bytes) -> None:
        if boot_id not in known.refused:
            self._put(known._replace(refused=(boot_id, *known.refused)[:REFUSED_MAX]))

    def _put(self, peer: PeerRevision) -> None:
        self._known[peer.server] = peer
        self._is_new = True

    def _make_room(self) -> bool:
        if len(self._known) < PEERS_MAX:
            return True
        oldest = next((server for server in self._known if server not in self._keep), None)
        if oldest is None:
            return False
        del self._known[oldest]
        return True


def _flaw(known: PeerRevision, boot_id: bytes, revision: int | None, boots: Sequence[Boot]) -> str | None:
    """What shows that this boot began on an older copy of what is known."""
    line = [boot_id, *(boot.boot_id for boot in boots)]
    if not set(line).isdisjoint(known.refused):
        return "it was refused as one before"
    if revision is None or known.boot_id in (boot_id, NO_BOOT):
        return None
    for later, boot in pairwise(boots):
        if boot.boot_id == known.boot_id:
            had = later.revision - 1
            return _short(had, known) if had < known.revision else None
    if len(boots) and len(boots) < BOOTS_MAX:
        return f"it has never been that of boot {known.boot_id.hex()[:8]}"
    return _short(revision, known) if revision <= known.revision else None


def _short(revision: int, known: PeerRevision) -> str:
    return f"its revision was {revision} when it was started, and {known.revision} before"
