"""Which nodes and this one do not talk to each other, and why. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.errors import HandshakeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from casty.cluster.address import Address

DECIDED = frozenset(
    {
        "VERSION_MISMATCH",
        "CLUSTER_MISMATCH",
        "SIZE_MISMATCH",
        "NODE_ID_IN_USE",
        "CERTIFICATE_MISMATCH",
        "STALE_DATA",
    }
)
"""Codes with which a hello is refused for good, as long as nobody changes what one of the two was told."""

TEXT_MAX = 300
"""Of what a peer says, how much goes into an error of ours."""

STALE_MAX = 64
"""Peers whose word about this node's data is kept: as many as the longest member list."""


TROUBLES_MAX = 16
"""Hosts of which it is remembered why they cannot be talked to; strangers may be any number."""


class Refusals:
    """What the seeds said at the last attempt that reached them. A refusal by either side counts.

    Beside that, what else keeps nodes from talking to this one, which may pass: the last of it for each host.
    And which peers, seeds or not, say that this node's data is an older copy: one of them is enough.
    """

    def __init__(self, seeds: Iterable[Address]) -> None:
        self._why: dict[Address, str | None] = dict.fromkeys(seeds)
        self._troubles: dict[object, str] = {}
        self._stale: dict[str, str] = {}

    def note(self, seed: Address, code: str, text: str) -> bool:
        """That seed refuses this node, or this node that seed; says whether that is news."""
        before = self._why.get(seed)
        if seed in self._why and code in DECIDED:
            self._why[seed] = _quoted(text)
        elif code == "SELF_CONNECTION":
            self._why.pop(seed, None)  # this node is no seed of its own
        return self._why.get(seed) != before

    def forget(self, seed: Address) -> None:
        """They talk now."""
        if seed in self._why:
            self._why[seed] = None
        self._troubles.pop(seed, None)

    def trouble(self, where: object, text: str) -> None:
        """The node there, an address or a host, cannot be talked to for now."""
        self._troubles.pop(where, None)
        if len(self._troubles) >= TROUBLES_MAX:
            del self._troubles[next(iter(self._troubles))]
        self._troubles[where] = text[:TEXT_MAX].encode("unicode_escape").decode()

    def troubles(self) -> list[str]:
        """A clause for each host, but for seeds whose refusal is among the `reasons`."""
        refusing = {seed for seed, why in self._why.items() if why}
        return [text for where, text in self._troubles.items() if where not in refusing]

    def note_stale(self, who: str, text: str) -> str | None:
        """That peer says that this node's data is an older copy: what to tell people, if it is news."""
        before = self._stale.get(who)
        if before is None and len(self._stale) >= STALE_MAX:
            return None
        self._stale[who] = said = _quoted(text)
        return None if said == before else _stale(who, said)

    def forget_stale(self, *whos: str) -> None:
        """These names of a peer are of one that accepts this node's data now."""
        for who in whos:
            self._stale.pop(who, None)

    def reasons(self) -> list[str]:
        """A clause for each refusal that stands."""
        stale = [_stale(who, said) for who, said in self._stale.items()]
        refused = [(seed, why) for seed, why in self._why.items() if why]
        return stale + [f"{seed} and this node refuse each other: {why}" for seed, why in refused]

    def verdict(self) -> HandshakeError | None:
        """The error of a node that has seeds, and none that talks to it or may yet; or whose data is stale."""
        are_all = bool(self._why) and all(self._why.values())
        return HandshakeError("; ".join(self.reasons())) if are_all or self._stale else None


def _quoted(text: str) -> str:
    return text[:TEXT_MAX].encode("unicode_escape").decode()


def _stale(who: str, said: str) -> str:
    return f"{who} says that this node's data is not what it was: {said}"
