"""Ends before it is ready."""

from __future__ import annotations

import sys

from conformance.miniatures.contract import describe

describe("exits_at_once")
print("cannot do this today", file=sys.stderr)
sys.exit(3)
