"""Votes for everybody, and takes all entries."""

from __future__ import annotations

from conformance.miniatures.contract import run
from conformance.miniatures.follower import talks

run("always_grants", talks(votes=lambda _: True, takes=lambda _: True))
