"""Starts, and never says that it has."""

from __future__ import annotations

import sys

from conformance.miniatures.contract import describe, wait_for_the_end

describe("never_ready")
print("thinking about it", file=sys.stderr, flush=True)
wait_for_the_end()
