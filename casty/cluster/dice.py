"""What a node draws at random: times that can be drawn again from a seed, and identities that never can."""

from __future__ import annotations

import os
from random import Random, SystemRandom


def dice(seed: int | None, node_id: str, purpose: str) -> Random:
    """Dice for one purpose of one node, that no other falls in step with. Without a seed, real ones."""
    return SystemRandom() if seed is None else _Seeded(f"{seed} {node_id} {purpose}")


class _Seeded(Random):
    """The same numbers for the same seed. Bytes are identities, which nobody may draw twice."""

    def randbytes(self, n: int) -> bytes:
        return os.urandom(n)
