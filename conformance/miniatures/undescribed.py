"""Answers `--describe` with something else than one JSON object."""

from __future__ import annotations

print("usage: undescribed [--help]")
