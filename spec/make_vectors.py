#!/usr/bin/env python3
"""Writes the golden vectors below `spec/vectors`. With --check, says which files are stale."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

SPEC = Path(__file__).resolve().parent
sys.path[:0] = [str(SPEC), str(SPEC.parent / "tools")]  # so that it runs from anywhere, and under any name

from vectormaker import (  # noqa: E402
    asking,
    broken_fields,
    broken_frames,
    broken_sense,
    frames,
    kv,
    meeting,
    raft,
    values,
)

from casty_console import complain, program  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectormaker.vector import Group

GROUPS: tuple[Group, ...] = (
    frames.FRAMES,
    frames.CONTROL,
    frames.LOOKUPS,
    meeting.MEETING,
    asking.ASKING,
    values.PLAIN,
    values.EXTENSIONS,
    raft.VOTES,
    raft.REPLICATION,
    raft.SNAPSHOTS,
    broken_frames.FRAMES,
    broken_frames.MSGPACK,
    broken_frames.FIRST,
    broken_fields.FIELDS,
    broken_sense.RAFT,
    broken_sense.VALUES,
    kv.KV,
)

RETIRED: frozenset[str] = frozenset()
"""Ids of vectors that are gone. They stay unused, so that lists of them never mean something else."""


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """0: the files are up to date, or have been written. 1: some are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is stale")
    check: bool = parser.parse_args(arguments).check
    _look_at_ids()
    is_stale = False
    for group in GROUPS:
        path = SPEC / "vectors" / group.path
        text = _text(group)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        is_stale = True
        name = path.relative_to(SPEC.parent)
        if check:
            complain(f"{name} is stale; run python spec/make_vectors.py")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}: {len(group.vectors)} vectors")
    return 1 if check and is_stale else 0


def _look_at_ids() -> None:
    times = Counter(vector["id"] for group in GROUPS for vector in group.vectors)
    if twice := [id for id, count in times.items() if count > 1]:
        raise SystemExit(f"more than one vector has the id {', '.join(twice)}")
    if retired := RETIRED & times.keys():
        raise SystemExit(f"ids of vectors that are gone: {', '.join(sorted(retired))}")


def _text(group: Group) -> str:
    """One line for each key of a vector, so that a change shows as what it is."""
    vectors = ",\n".join(
        "    {\n"
        + ",\n".join(
            f"      {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in vector.items()
        )
        + "\n    }"
        for vector in group.vectors
    )
    return (
        f'{{\n  "about": {json.dumps(group.about, ensure_ascii=False)},\n  "vectors": [\n{vectors}\n  ]\n}}\n'
    )


if __name__ == "__main__":
    raise SystemExit(main())
