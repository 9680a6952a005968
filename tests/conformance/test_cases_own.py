"""The project's own node keeps the suite: a small part of it, on every run of the tests.

The part is the first core case of each module of scripted cases, of those that need no tool of the system, have
no tag and are given no more time than usual: one of each chapter. `conformance run` plays all of them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from conformance.case import CATALOGUE, Layer, Level, load
from conformance.report.text import failure
from conformance.runner import perform
from conformance.settings import Settings
from conformance.vectors import vectors
from conformance.verdict import State

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.case import Case

pytestmark = pytest.mark.processes

NODE = (sys.executable, "-m", "casty.cli", "node")
CAPABILITIES = frozenset({"introspect", "snapshot", "prevote", "checkquorum", "skip", "tls", "mtls"})
PLAYED = {
    "valid/asking",
    "valid/control",
    "valid/frames",
    "valid/lookups",
    "valid/meeting",
    "valid/raft-append",
    "valid/raft-snapshots",
    "valid/raft-votes",
    "valid/values-extensions",
    "valid/values-plain",
    "invalid/fields",
    "invalid/first",
    "invalid/frames",
    "invalid/msgpack",
    "invalid/raft",
    "invalid/values",
}
"""The files of golden vectors that some case of `golden` or `malformed` sends to a node."""


def part() -> list[str]:
    """The ids of the part, in the order of the catalogue."""
    firsts: dict[str, Case] = {}
    for case in load().values():
        core = case.layer is Layer.SCRIPTED and case.level is Level.CORE
        if core and not case.tools and not case.tags and case.seconds <= 60:
            firsts.setdefault(case.module, case)
    return [case.id for case in firsts.values()]


def play(id: str, command: tuple[str, ...], out: Path) -> None:
    """Plays a case against this command; fails with what the console of the suite would show."""
    settings = Settings(command=command, caps=CAPABILITIES, out=out, expected_failures={})
    outcome = perform(CATALOGUE[id], settings)
    if outcome.state is not State.PASS:
        pytest.fail(failure(CATALOGUE[id], outcome), pytrace=False)


@pytest.mark.parametrize("id", part())
def test_the_projects_node_keeps(id: str, tmp_path: Path) -> None:
    play(id, NODE, tmp_path)


PLACEHOLDERS = (
    "--node-id={node_id}",
    "--data-dir={data_dir}",
    "--advertise={advertise}",
    "--seeds={seeds}",
    "--size={n}",
    "--heartbeat-ms={heartbeat_ms}",
    "--election-ms={election_ms}",
    "--seed={seed}",
    "--cluster=rocket",
)
CLEAN = ("env", "-i", f"PATH={os.defpath}")
"""Without the variables of the launch contract."""


@pytest.mark.parametrize(
    "command",
    [NODE, (*CLEAN, *NODE, "--config", "{config}"), (*CLEAN, *NODE, *PLACEHOLDERS)],
    ids=["environment", "file", "placeholders"],
)
def test_the_node_is_told_in_any_of_three_ways(command: tuple[str, ...], tmp_path: Path) -> None:
    """The environment, the file and the command line say the same (LAUNCH-1)."""
    play("L-10", command, tmp_path)


def test_every_file_of_vectors_is_played() -> None:
    """A new one needs a case."""
    assert {vector.file for vector in vectors()} == PLAYED
