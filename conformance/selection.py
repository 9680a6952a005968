"""Which cases a run plays."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from conformance.case import GROUPS, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from conformance.case import Case


class SelectionError(ValueError):
    """A pattern that fits nothing, or nothing left to play: the caller's fault."""


def select(
    cases: Iterable[Case],
    patterns: Sequence[str] = (),
    *,
    layers: Sequence[str] = (),
    level: str = "strict",
    nightly: bool = False,
) -> list[Case]:
    """The cases that fit one of the patterns (all, without): an id, a pattern of ids, a group, a rule or a tag.

    Cases tagged `nightly` are left out unless asked for by `nightly` or by their id. Raises `SelectionError`
    for a
    pattern that fits no case, and when no case is left: a run that plays nothing proves nothing.
    """
    cases = list(cases)
    for pattern in patterns:
        if not any(_fits(case, pattern) for case in cases):
            known = ", ".join(GROUPS.values())
            raise SelectionError(
                f"{pattern!r} fits no case; give an id (E-06), a pattern (E-*), a rule (VOTE-3) or a group: "
                f"{known}"
            )
    chosen = [
        case
        for case in cases
        if (not patterns or any(_fits(case, pattern) for pattern in patterns))
        and (not layers or case.layer in layers)
        and (level == "strict" or case.level is Level.CORE)
        and ("nightly" not in case.tags or nightly or case.id in patterns)
    ]
    if not chosen:
        fits = select(cases, patterns, nightly=True)
        asleep = [case.id for case in fits if "nightly" in case.tags]
        if not nightly and len(asleep) == len(fits):
            raise SelectionError(
                f"no case is left to play: {' '.join(asleep)} only with --nightly, or by their ids"
            )
        raise SelectionError("no case is left to play: none that fits is of this layer and level")
    return chosen


def _fits(case: Case, pattern: str) -> bool:
    return (
        fnmatchcase(case.id, pattern) or pattern == case.group or pattern in case.rules or pattern in case.tags
    )
