"""Two processes of one program, of which `multiprocessing` starts the second: its classes have one name in
both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
MODULE = "tests.processes.greeting"
SCRIPT = str(Path(__file__).with_name("greeting.py"))
PROGRAMS = {
    "script": ([SCRIPT], "__main__"),
    "module": (["-m", MODULE], MODULE),
    "run_path": (["-c", f"import runpy; runpy.run_path({SCRIPT!r}, run_name='__main__')"], "__main__"),
}


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_programs_classes_have_one_name_in_all_its_processes(program: str, method: str) -> None:
    """VALUE-2, ACTOR-32: an actor is found by its class, dataclasses, enums and classes in classes are sent."""
    arguments, name = PROGRAMS[program]
    command = [sys.executable, *arguments, method]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.stdout, ended.stderr
    said = json.loads(ended.stdout)
    assert said.pop("module") == ("__main__" if method == "fork" else "__mp_main__")
    assert said == {"at import": f"{name}:Greeting", "answer": "Hello, you", "is its own": True}
