"""The types that users rely on: what checkers must accept, infer and reject."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "tests" / "typing"


@pytest.mark.needs("mypy")
def test_mypy_accepts_the_right_code_and_rejects_the_wrong_code() -> None:
    """Line by line: a wrong line that is accepted is an unused ignore, and that is an error."""
    # Without a cache, for several runs at a time must not share one; silent about all but the programs.
    report = _check(
        sys.executable, "-m", "mypy", "--cache-dir=/dev/null", "--follow-imports=silent", str(PROGRAMS)
    )
    assert report == "Success: no issues found in 4 source files"


@pytest.mark.needs("basedpyright")
def test_basedpyright_accepts_the_right_code_and_rejects_the_wrong_code(tmp_path: Path) -> None:
    """As above; here mypy's ignores count for nothing."""
    config = tmp_path / "pyrightconfig.json"
    settings = {
        "include": [str(PROGRAMS)],
        "extraPaths": [str(ROOT)],
        "pythonVersion": "3.12",
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    config.write_text(json.dumps(settings))
    report = _check(_script("basedpyright"), "--project", str(config))
    assert report == "0 errors, 0 warnings, 0 notes"


def _check(*command: str) -> str:
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return (run.stdout + run.stderr).strip()


def _script(name: str) -> str:
    """The script that belongs to this interpreter, else the one on the path."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or name
