"""What the kernel was really asked to do, as strace saw it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.storage.directories import output_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("strace")

SCRIPT = """
import os, sys
from casty.storage.files import FileStore
from casty.storage.segments import Sizes
from tests.storage.histories import ME, append, commands, compact, hard_state, snapshot

def say(what):
    os.write(1, (what + chr(10)).encode())

store = FileStore.open(sys.argv[1], ME, sizes=Sizes(8192, 1024), threaded=False)
store.load()
for index in range(1, 40):
    say("write")
    store.write([append(index, *commands(1, 400)), hard_state(index)])
say("save")
store.save_snapshot(snapshot(35))
say("write")
store.write([compact(35)])
say("close")
store.close()
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The calls from the first to the last thing the script says, each as one line."""
    place = tmp_path_factory.mktemp("traced")
    trace = place / "trace"
    watched = "trace=openat,write,pwrite64,fdatasync,fsync,rename,unlink"
    command_line = [
        "strace",
        "-y",
        "-e",
        watched,
        "-o",
        str(trace),
        sys.executable,
        "-c",
        SCRIPT,
        str(place / "store"),
    ]
    output_of(command_line)
    lines = trace.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if str(place) in line)
    return [line for line in lines[begin:] if str(place) in line or line.startswith("write(1<")]


def sections(calls: list[str], name: str) -> list[list[str]]:
    """The calls that the script made after it said `name`, until it said something else."""
    found: list[list[str]] = []
    current: list[str] = []
    for line in calls:
        if line.startswith("write(1<"):
            current = []
            if f'"{name}' in line:
                found.append(current)
        else:
            current.append(line)
    return found


def file_of(line: str) -> str:
    """What the call's descriptor is open for; the data may hold angle brackets, too."""
    found = re.match(r"\w+\(\d+<(.*?)>", line)
    assert found is not None, line
    return found[1]


def count(lines: list[str], call: str) -> int:
    return sum(line.startswith(f"{call}(") for line in lines)


def test_each_write_is_one_write_and_one_fdatasync(calls: list[str]) -> None:
    """STORE-8: in this order, on the same file, and with nothing else where no segment begins."""
    writes = sections(calls, "write")
    assert len(writes) == 40
    for lines in writes:
        assert count(lines, "fdatasync") == 1
    plain = [lines for lines in writes if not any(line.startswith("rename") for line in lines)][:-1]
    assert len(plain) > 30
    for lines in plain:
        first, second = lines
        assert first.startswith("pwrite64(")
        assert second.startswith("fdatasync(")
        assert file_of(first) == file_of(second)


def test_each_change_of_names_is_followed_by_a_sync_of_the_directory(calls: list[str]) -> None:
    """STORE-9: at once, before anything rests on it."""
    changes = [n for n, line in enumerate(calls) if line.startswith(("rename(", "unlink("))]
    assert len(changes) > 6
    for number in changes:
        following = [line for line in calls[number + 1 :] if not line.startswith("openat(")]
        assert re.match(r"fsync\(\d+<.*/store>\) += 0", following[0])


def test_a_file_is_synced_before_it_gets_its_name(calls: list[str]) -> None:
    """STORE-9: so that what has a name is whole."""
    published = [number for number, line in enumerate(calls) if line.startswith("rename(") and ".tmp" in line]
    assert len(published) >= 4
    for number in published:
        temporary = re.findall(r'"(.*?)"', calls[number])[0]
        assert re.match(rf"fsync\(\d+<{re.escape(temporary)}>\) += 0", calls[number - 1])


def test_old_segments_go_only_when_the_snapshot_is_in_the_log(calls: list[str]) -> None:
    """STORE-13: after the fdatasync of the record that refers to it."""
    last = sections(calls, "write")[-1]
    kinds = [line.split("(")[0] for line in last]
    assert "unlink" in kinds
    assert kinds.index("fdatasync") < kinds.index("unlink")
    assert "fdatasync" not in kinds[kinds.index("unlink") :]


def test_a_store_is_durable_before_it_is_used(calls: list[str]) -> None:
    """STORE-1: the directory in its parent, the first segment in the directory."""
    opening = calls[: next(number for number, line in enumerate(calls) if line.startswith("write(1<"))]
    synced = [file_of(line).rpartition("/traced0")[2] for line in opening if "fsync(" in line]
    assert synced == ["", "/store/0000000001.open.1.tmp", "/store"]


FAILING = """
import sys
from casty.errors import StorageError
from casty.storage.files import FileStore
from tests.storage.histories import ME, append, commands

store = FileStore.open(sys.argv[1], ME)
store.load()
for index in range(1, 9):
    try:
        store.write([append(index, *commands(1))])
        print("promised", index)
    except StorageError as error:
        print(error)
"""


def test_the_first_fdatasync_that_fails_is_the_last_call(tmp_path: Path) -> None:
    """STORE-11: the kernel answers EIO once; nothing is written or synced after that."""
    trace = tmp_path / "trace"
    inject = ["-e", "trace=pwrite64,fdatasync", "-e", "inject=fdatasync:error=EIO:when=5"]
    store = tmp_path / "store"
    command_line = ["strace", "-y", *inject, "-o", str(trace), sys.executable, "-c", FAILING, str(store)]
    said = output_of(command_line)
    assert said[:3] == ["promised 1", "promised 2", "promised 3"]
    assert "[Errno 5] Input/output error" in said[3]
    assert said[4:] == [f"nothing was done; the store has stopped: {said[3]}"] * 4
    lines = [line for line in trace.read_text().splitlines() if "/store" in line]
    assert "(INJECTED)" in lines[-1]
