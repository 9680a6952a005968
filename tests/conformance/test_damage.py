"""What the cases of damaged disks do to files is what a crash could have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.cases.damage import SECTOR, torn
from conformance.node.disk import renamed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("old", "new", "undone", "left"),
    [
        (b"abc", b"abcdef", 1, b"abcde"),
        (b"abc", b"abcdef", 60, b"abc"),
        (b"abc\0\0\0", b"abcdef", 2, b"abcd\0\0"),
        (b"abc", b"abcdef\0\0", 2, b"abcd\0\0\0\0"),
        (b"abc", b"abcdef\0\0", 0, b"abc\0\0\0\0\0"),
        (b"abcdef", b"aXcYef", 1, b"aXcdef"),
        (b"", b"x" * (SECTOR + 9), SECTOR, b"x" * SECTOR),
    ],
)
def test_a_torn_write_ends_as_the_file_was_before(old: bytes, new: bytes, undone: int, left: bytes) -> None:
    assert torn(old, new, undone) == left


def test_renames_are_read_from_a_trace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '7 rename("/d/a.tmp", "/d/a") = 0\n'
        '8 renameat2(AT_FDCWD</x>, "/d/b.tmp", AT_FDCWD</x>, "/d/b", 0 <unfinished ...>\n'
        '9 rename("c.tmp", "c") = 0\n9 +++ exited with 0 +++\n'
    )
    assert [(str(old), str(new)) for old, new in renamed(log)] == [("/d/a.tmp", "/d/a"), ("/d/b.tmp", "/d/b")]
