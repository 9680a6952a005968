"""How much is remembered of a long trace. What is forgotten proves nothing any more; nothing false follows
from it."""

from __future__ import annotations

VOTES_MAX = 20_000
"""Votes and leaders, by term: more elections than any cluster survives."""
LINES_MAX = 10_000
"""Connections whose requests are still looked at in their order."""
SERVERS_MAX = 1024
"""Servers of which is remembered what they know and promised. A disk that is made anew is another server."""
STATES_MAX = 10_000
"""States, and ends of snapshots, that later ones are compared with."""


def trim[K, V](memory: dict[K, V], most: int) -> bool:
    """Forgets what was remembered first, until no more than so many are left. Whether there was anything to
    forget."""
    if len(memory) <= most:
        return False
    while len(memory) > most:
        del memory[next(iter(memory))]
    return True
