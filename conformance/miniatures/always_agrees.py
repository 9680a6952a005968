"""Takes all entries, whatever its log would have to hold before; votes for the first who asks in a term."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.miniatures.contract import run
from conformance.miniatures.follower import talks

if TYPE_CHECKING:
    from conformance.wire.message import Message

VOTES: dict[int, str] = {}


def votes(asked: Message) -> bool:
    if asked.kind == "PRE_VOTE_REQUEST":
        return True
    return VOTES.setdefault(asked["term"], asked.name) == asked.name


run("always_agrees", talks(votes=votes, takes=lambda _: True))
