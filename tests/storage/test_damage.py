"""Files that are missing, cut, changed or not what they should be: what is refused, and how (STORE-6, STORE-7).

Refusals are exact: they name the file and the offset, and they change nothing.
"""

from __future__ import annotations

import logging
import re
from random import Random
from typing import TYPE_CHECKING

import pytest

from casty.raft.types import HardState, Index, LogBase, StoreId
from casty.storage.contents import FORMAT, Change, SegmentHeader, pack, unpack_changes
from casty.storage.files import FileStore
from casty.storage.records import Chain, RecordType, scan
from tests.storage.directories import FIRST, ROLLED, SNAPSHOT, contents_of, recovered_from, refusal, store_with
from tests.storage.histories import ME, append, command, commands, compact, hard_state

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["0000000002.log", "0000000003.open"])
def test_a_missing_segment_is_noticed(tmp_path: Path, name: str) -> None:
    """STORE-10: one in the middle by its number, the newest because its predecessor is closed."""
    path = store_with(tmp_path / "store", *ROLLED)
    names = sorted(contents_of(path))
    assert names == ["0000000001.log", "0000000002.log", "0000000003.open"]
    (path / name).unlink()
    names.remove(name)
    assert refusal(path) == f"segment {int(name[:10])} is missing; found {', '.join(names)}"


def test_a_missing_first_segment_is_noticed(tmp_path: Path) -> None:
    """STORE-10: because the entries it held are in no other, unless a snapshot covers them."""
    path = store_with(tmp_path / "store", *ROLLED)
    (path / "0000000001.log").unlink()
    assert refusal(path) == "segment 1 is missing: the log begins at entry 1, the segments at entry 5"
    path = store_with(tmp_path / "covered", *ROLLED, compact(4))
    assert "0000000001.log" not in contents_of(path)
    assert len(recovered_from(path).entries) == 8


def test_a_missing_log_beside_a_snapshot_is_noticed(tmp_path: Path) -> None:
    """STORE-10: the term and the vote are gone with it."""
    path = store_with(tmp_path / "store", append(1, *commands(3)), compact(2))
    (path / FIRST).unlink()
    assert refusal(path) == "snapshots, but no segment; expected both or neither"


def test_an_emptied_directory_is_another_store(tmp_path: Path) -> None:
    """STORE-1: it does not know what it has promised, so it must not be taken for the one that did."""
    path = tmp_path / "store"
    store = FileStore.open(path, ME)
    before = store.load()
    store.close()
    (path / FIRST).unlink()
    store = FileStore.open(path, ME)
    assert store.load().store_id != before.store_id
    store.close()


def test_a_copied_segment_is_noticed(tmp_path: Path) -> None:
    """STORE-10: one number twice, or a number that is not its own."""
    path = store_with(tmp_path / "store", *ROLLED)
    content = (path / "0000000003.open").read_bytes()
    (path / "0000000003.log").write_bytes(content)
    both = ["0000000001.log", "0000000002.log", "0000000003.log", "0000000003.open"]
    assert refusal(path) == f"two segments of one number; found {', '.join(both)}"
    (path / "0000000003.log").unlink()
    (path / "0000000004.open").write_bytes(content)
    text = "0000000004.open: corrupt at offset 0: number is 3; expected 4 after the segments before"
    assert refusal(path) == text


@pytest.mark.parametrize("content", [b"", bytes(700), b"garbage that is no record", b"\1"])
def test_a_segment_without_a_header_is_refused(tmp_path: Path, content: bytes) -> None:
    """STORE-7: a file gets its name only when its header is durable, so no crash explains that."""
    path = store_with(tmp_path / "store", hard_state(5))
    (path / FIRST).write_bytes(content)
    assert refusal(path).startswith("0000000001.open: corrupt at offset 0: ")


def test_every_flipped_byte_is_refused_and_named(tmp_path: Path) -> None:
    """STORE-7: in all segments and in the snapshot, with the offset of the record it is in."""
    path = store_with(tmp_path / "store", *ROLLED, compact(3))
    for name, content in contents_of(path).items():
        used = content.rstrip(b"\0")
        offsets = [record.offset for record in scan(content).records]
        for at in Random(name).sample(range(len(used)), 60):
            (path / name).write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
            text = refusal(path)
            if SNAPSHOT.fullmatch(name):
                assert text.startswith(f"{name}: corrupt: ")
            else:
                record = max(offset for offset in offsets if offset <= at)
                assert text.startswith(f"{name}: corrupt at offset {record}: ")
        (path / name).write_bytes(content)
    recovered_from(path)


def test_a_closed_segment_is_not_cut(tmp_path: Path) -> None:
    """STORE-6: it was durable before its successor was made, so what it lacks was lost."""
    path = store_with(tmp_path / "store", *ROLLED)
    first = path / "0000000001.log"
    content = first.read_bytes()
    offsets = [record.offset for record in scan(content).records]
    first.write_bytes(content[: offsets[-1] + 100])
    assert refusal(path).startswith(f"{first.name}: corrupt at offset {offsets[-1]}: 84 of the ")
    first.write_bytes(content[: offsets[-1]])
    text = refusal(path)
    assert text.startswith("0000000002.log: corrupt at offset 0: previous_checksum is ")


@pytest.mark.parametrize("cut", [1, 15, 16, 17, 100, 1000])
def test_a_torn_record_is_cut_off_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    """STORE-6: with the file, the offset and the number of bytes; the cut is made once."""
    path = store_with(tmp_path / "store", append(1, *commands(3)), append(4, command(b"x" * 1500)))
    segment = path / FIRST
    content = segment.read_bytes().rstrip(b"\0")
    last = scan(content).records[-1].offset
    segment.write_bytes(content[:-cut])
    assert recovered_from(path).entries == commands(3)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    kept = len(content) - cut - last
    text = warning.getMessage()
    assert text.startswith(f"{segment}: cut off {kept} bytes at offset {last}, torn: ")
    written = scan(segment.read_bytes()).records[-1]
    (start,) = unpack_changes(written.payload)
    assert (written.offset, start.boot_id is None) == (last, False)  # the record of the start that cut it off
    caplog.clear()
    assert recovered_from(path).entries == commands(3)
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]


def damaged_snapshot(tmp_path: Path, change: bytes | None, *, rest: slice = slice(None)) -> str:
    """The refusal of a store whose snapshot file was replaced by `change` and a part of it, or removed."""
    path = store_with(tmp_path / "store", append(1, *commands(5)), compact(3, b"data of the snapshot"))
    (file,) = (file for file in path.iterdir() if SNAPSHOT.fullmatch(file.name))
    content = file.read_bytes()
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change + content[rest])
    text = refusal(path)
    assert text.startswith(f"{file.name}: ")
    return text.removeprefix(f"{file.name}: ")


def test_a_snapshot_that_the_log_refers_to_must_be_there(tmp_path: Path) -> None:
    """STORE-14."""
    assert damaged_snapshot(tmp_path, None) == "missing; the log refers to it"


def test_a_snapshot_cut_short_is_refused(tmp_path: Path) -> None:
    """STORE-14: with what was found and what was expected."""
    text = damaged_snapshot(tmp_path, b"", rest=slice(0, -1))
    assert re.fullmatch(
        r"corrupt: data at offset \d+ is 19 bytes with checksum \w{8}; expected 20 with \w{8}",
        text,
    )


def test_a_snapshot_of_another_kind_is_refused(tmp_path: Path) -> None:
    """STORE-14: another snapshot, another file, or none at all."""
    assert "no whole record at offset 0" in damaged_snapshot(tmp_path / "a", b"garbage of some length")
    other = store_with(tmp_path / "b", append(1, *commands(5)), compact(4))
    (file,) = (file for file in other.iterdir() if SNAPSHOT.fullmatch(file.name))
    text = damaged_snapshot(tmp_path / "c", file.read_bytes(), rest=slice(0))
    assert text.startswith("corrupt: header at offset 0 is of SnapshotRef(last_included_index=4, ")
    text = damaged_snapshot(tmp_path / "d", (other / FIRST).read_bytes(), rest=slice(0))
    assert text == "corrupt: record at offset 0 is of type SEGMENT; expected SNAPSHOT"
    text = damaged_snapshot(tmp_path / "e", Chain().append(RecordType.SNAPSHOT, b"\x07"), rest=slice(0))
    assert text.startswith("corrupt: not the header of a snapshot: ")


HEADER = SegmentHeader(FORMAT, ME, StoreId(b"s" * 16), 1, 0, HardState(), None, LogBase(), Index(0), 0, (), ())


@pytest.mark.parametrize(
    ("records", "offset", "text"),
    [
        ([(RecordType.CHANGES, pack([]))], 0, "record of type CHANGES; expected SEGMENT"),
        ([(RecordType.SEGMENT, b"\x07")], 0, "not the header of a segment: "),
        ([(RecordType.SEGMENT, b"\x93\x03\xc0\xc0")], 0, "format is 3; this version reads 2"),
        ([(RecordType.SEGMENT, b"\x92\x02\xc0")], 0, "not enough values to unpack"),
        ([(RecordType.SEGMENT, b"\x99")], 0, ""),
        ([(RecordType.SEGMENT, pack(HEADER))] * 2, 64, "record of type SEGMENT; expected CHANGES"),
        (
            [(RecordType.SEGMENT, pack(HEADER)), (RecordType.CHANGES, b"\x07")],
            64,
            "not the changes of a write: ",
        ),
        (
            [
                (RecordType.SEGMENT, pack(HEADER)),
                (RecordType.CHANGES, pack([Change(None, None, Index(7), [])])),
            ],
            64,
            "entries from 7; the log takes them from 1 to 1",
        ),
    ],
)
def test_whole_records_that_say_nonsense_are_refused(
    tmp_path: Path, records: list[tuple[RecordType, bytes]], offset: int, text: str
) -> None:
    """STORE-7: no version writes that, or a newer one does."""
    chain = Chain()
    path = store_with(tmp_path / "store")
    (path / FIRST).write_bytes(b"".join(chain.append(kind, payload) for kind, payload in records))
    assert refusal(path).startswith(f"0000000001.open: corrupt at offset {offset}: {text}")


def test_an_unknown_format_is_named_before_anything_else(tmp_path: Path) -> None:
    """STORE-3: what follows in the file may be what this version does not know."""
    path = store_with(tmp_path / "store")
    newer = Chain().append(RecordType.SEGMENT, b"\x93\x03\xc0\xc0")
    (path / FIRST).write_bytes(newer + b"whatever version 3 writes")
    assert refusal(path) == "0000000001.open: corrupt at offset 0: format is 3; this version reads 2"
