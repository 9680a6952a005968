"""What is not read is always told, on standard error, and the exit status says when it was everything."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.wire_dump.packets import Packet, Talk, ethernet, ipv4, pcap, section
from tests.wire_dump.samples import DATA, heartbeat, hello
from tests.wire_dump.test_commands import Told
from wire_dump.unread import REASONS_MAX, SHOWN_MAX, Unread

if TYPE_CHECKING:
    from pathlib import Path

SAID = Talk().open().say(hello("n1")).say(heartbeat("n1", 1))
UDP = [Packet(ipv4(bytes(12), protocol=17))] * 3
FILES = {
    "nothing read": (
        pcap([Packet(b"?")] * 12, 127),
        2,
        "no frame was found; not read: 12 packets of link type 127",
    ),
    "all of it in a tunnel we do not know": (
        pcap([Packet(ethernet(b"?", 0x894F))], 1),
        2,
        "no frame was found; not read: 1 packet of EtherType 0x894f (NSH)",
    ),
    "another protocol": (
        Talk().open().say(b"GET / HTTP/1.1\r\n").file(),
        2,
        "no frame was found",
    ),
    "some": (pcap([*SAID.packets, *UDP]), 0, "not read: 3 packets of UDP"),
    "all": (SAID.file(), 0, ""),
    "no packets": (pcap([]), 0, "there are no packets in it"),
    "no packets, newer format": (section(), 0, "there are no packets in it"),
    "no data": (Talk().open().file(), 0, "no frame was found: no TCP segment carries data"),
    "nothing": (b"", 0, "the input is empty"),
    "no capture at all": (b"\xff" * 40, 2, "no frame was found"),
    "no hex": (b"00 zz", 2, "no frame was found"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compressed", [False, True])
def test_what_was_not_read_is_told_and_nothing_at_all_is_an_error(
    name: str, compressed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each command that reads an input; `check` takes an input without frames for unreadable."""
    data, status, expected = FILES[name]
    path = tmp_path / "input"
    path.write_bytes(gzip.compress(data) if compressed and data else data)
    for command in (
        ["show"],
        ["show", "-o", "json"],
        ["stats"],
        ["follow"],
        ["graph", "-o", tmp_path / "g.svg"],
    ):
        told = Told(capsys, command[0], path, *command[1:])
        assert told.status == status, command
        if expected:
            assert told.err.startswith(f"wire-dump: {path}: {expected}"), command
            assert told.err.count("\n") == 1
        else:
            assert told.err == ""
    checked = Told(capsys, "check", path)
    assert checked.status == (0 if name in ("some", "all") else 2)
    assert bool(checked.err) == bool(expected)


def test_what_is_read_of_a_file_in_part_is_judged_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With -c, what comes later is not known; a filter that nothing passes is no sign of an unreadable file."""
    path = tmp_path / "some.pcap"
    path.write_bytes(pcap([*UDP[:1], *SAID.packets, *UDP]))
    first = Told(capsys, path, "-c", 1)
    assert first.status == 0 and first.err.startswith(f"wire-dump: {path}: not read: ")
    none = Told(capsys, path, "-f", "type == PING")
    assert (none.status, none.out) == (0, "") and "4 packets of UDP" in none.err
    assert Told(capsys, path, "-c", 0).status == 0


def test_hex_without_a_digit_is_no_frame(capsys: pytest.CaptureFixture[str]) -> None:
    """`decode` does not pass over it in silence."""
    told = Told(capsys, "decode", "")
    assert (told.status, told.err) == (2, "wire-dump: there is no frame to decode\n")


def test_machines_read_standard_output_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line about the rest is none of JSON's."""
    path = tmp_path / "some.pcap"
    path.write_bytes(pcap([*SAID.packets, *UDP]))
    told = Told(capsys, path, "-o", "json")
    assert [json.loads(line)["type"] for line in told.lines] == ["PEER_LIST", "APPEND_ENTRIES_REQ"]


def test_the_captures_that_are_kept_are_read_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    """Else the counts would be of no use."""
    for path in DATA.glob("*.pcap"):
        assert Told(capsys, "stats", path).err == ""


def test_reasons_are_bounded_in_number() -> None:
    """A damaged file may have any number of them; the sum is right all the same."""
    unread = Unread()
    for number in range(10 * REASONS_MAX):
        unread.add(f"packets of link type {number}", 1 + (number < 5))
    assert len(unread.counts) == REASONS_MAX + 1
    parts = unread.text().split(", ")
    assert len(parts) == SHOWN_MAX + 1
    assert sum(int(part.split()[0]) for part in parts) == 10 * REASONS_MAX + 5
    assert parts[0] == f"{9 * REASONS_MAX} packets or blocks for other reasons"
