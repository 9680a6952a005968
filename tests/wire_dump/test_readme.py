"""The page of the tool shows what the tool does: every command in it is run, and prints what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.wire_dump.samples import ROOT
from wire_dump.arguments import COMMANDS

PAGE = (ROOT / "tools" / "wire_dump" / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
EXAMPLES = [
    (found[1], found[2]) for block in BLOCKS for found in re.finditer(r"\$ (.*)\n((?:(?!\$ ).*\n)*)", block)
]


@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_every_example_prints_what_the_page_says(command: str, output: str) -> None:
    """From the checkout's root, in a shell."""
    tool = f"{shlex.quote(sys.executable)} tools/wire-dump"
    done = subprocess.run(
        command.replace("tools/wire-dump", tool, 1),
        shell=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=50,
    )
    assert done.stdout == output


def test_the_page_has_examples_and_names_every_command() -> None:
    """And no more than fits a page or two."""
    assert len(EXAMPLES) >= 8
    for name in COMMANDS:
        assert name in PAGE or name == "show"
    assert len(PAGE.split()) < 1300
