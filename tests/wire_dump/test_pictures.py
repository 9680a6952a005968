"""Pictures show what happened: who led, what was committed, who died, and what was lost on the way."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from conformance.trace.picture import page, svg
from conformance.trace.record import Closed, Marked, Opened, Raw, Sent
from conformance.trace.rows import Arrow, Band, Note, Turn
from conformance.trace.store import read_trace
from conformance.trace.story import tell
from conformance.wire.frame import Frame
from conformance.wire.message import encode, message
from conformance.wire.value import Dataclass
from tests.wire_dump.samples import DATA, ROOT
from wire_dump.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from conformance.trace.record import Record

TRACE = DATA / "trace.jsonl"


def turns(records: list[Record]) -> list[tuple[str, str]]:
    return [(row.node, row.text) for row in tell(records).rows if isinstance(row, Turn)]


def test_the_story_of_a_failover_names_leaders_deaths_and_commits() -> None:
    """In the order in which they happened."""
    records = list(read_trace(TRACE))
    told = turns(records)
    names = [text for _, text in told]
    first, second = [node for node, text in told if text.startswith("leader of term")]
    assert tuple(text for text in names if text.startswith(("leader", "killed"))) == (
        "leader of term 1",
        "killed",
        "leader of term 2",
    )
    assert (first, "killed") in told and first != second
    chips = [chip for row in tell(records).rows for chip in row.chips.values()]
    assert [chip for chip in chips if chip.startswith("commit")] == [
        "commit 1",
        "commit 2",
        "commit 2",
        "commit 3",
        "commit 4",
    ]
    assert tell(records).nodes == ["n1", "n2", "n3", "client"]


def test_heartbeats_and_gossip_are_told_together_unless_all_is_asked_for() -> None:
    """A picture of 250 frames has some sixty rows."""
    records = list(read_trace(TRACE))
    few, all_of_them = tell(records), tell(records, everything=True)
    assert len(few.rows) < 90 < 240 < len(all_of_them.rows)
    assert any("heartbeats and" in row.text for row in few.rows if isinstance(row, Band))
    assert not any(isinstance(row, Band) for row in all_of_them.rows)


def test_a_part_of_the_story_knows_what_was_before() -> None:
    """Who leads, who is dead."""
    records = list(read_trace(TRACE))
    killed = next(record.time for record in records if isinstance(record, Marked) and record.event == "kill")
    part = tell(records, since=killed + 0.01, until=killed + 0.5)
    assert "down" in part.roles.values() and "follower" in part.roles.values()
    assert all(killed < row.time <= killed + 0.5 for row in part.rows)


def test_what_is_not_drawn_counts_for_what_is_known(tmp_path: Path) -> None:
    """A picture of votes alone says who won them; and a count begins where the picture does."""

    def drawn(*options: str) -> str:
        assert main(["graph", str(TRACE), "-o", str(tmp_path / "part.svg"), *options]) == 0
        return (tmp_path / "part.svg").read_text()

    votes = drawn("-f", "type in (RV, VR)")
    assert "leader of term 1" in votes and "leader of term 2" in votes and "killed" in votes
    assert "vote granted" in votes and "heartbeat" not in votes and "AppendEntries" not in votes
    killed = next(each.time for each in read_trace(TRACE) if isinstance(each, Marked) and each.event == "kill")
    later = drawn("--since", str(killed), "-c", "1", "-f", "type==VR")
    assert later.count("vote granted") == 1 and "leader of term 1" not in later


def test_rows_are_bounded_and_what_is_left_out_is_said() -> None:
    """A trace of a day is no picture."""
    story = tell(read_trace(TRACE), rows_max=10)
    assert len(story.rows) == 10 and story.left_out > 20


def frame(kind: str, name: str, /, **fields: object) -> Frame:
    return encode(message(kind, name, **fields))


def strange() -> list[Record]:
    """Faults, frames that break rules, bytes that are no frames, and text from strangers."""
    vote = {"term": 1, "seq": 1, "last_log_index": 0, "last_log_term": 0, "formation": False, "members": []}
    beat = {"term": 2, "seq": 1, "prev_log_index": 0, "prev_log_term": 0, "entries": [], "leader_commit": 0}
    refused = {"term": 3, "request_term": 2, "seq": 1, "success": False, "match_index": 0, "conflict_index": 4}
    nasty = "<script>alert('&')</script>\x1b[2J"
    return [
        Marked(0.0, None, "fault", "partition n1 | n2"),
        Opened(0.0, 1, "n1", "n2", None),
        Sent(0.1, 1, "n1", "n2", frame("VOTE_REQUEST", "n1", **vote), "dropped"),
        Sent(0.2, 1, "n1", "n2", frame("APPEND_ENTRIES_REQ", "n1", **beat), "corrupted", "byte 3"),
        Sent(0.3, 1, "n2", "n1", frame("APPEND_ENTRIES_RES", "n2", **refused), "held"),
        Sent(0.4, 1, "n1", None, frame("ACTOR_MSG", nasty, message=Dataclass(nasty, {nasty: nasty}))),
        Sent(0.5, 1, "n1", "n1", frame("PING", "", id=1, pong=False), "duplicated"),
        Raw(0.6, 1, "n1", "n2", b"\xff\xfe", nasty),
        Marked(0.7, "n1", "pause", ""),
        Marked(0.8, "n1", "resume", ""),
        Marked(0.9, "n1", "note", nasty),
        Marked(0.95, "", "kill", ""),
        Marked(1.0, None, "heal", ""),
        Sent(1.1, 1, "n1", "n2", Frame(200, b"", b"")),
        Closed(1.2, 1, "n1", "fin"),
    ]


def test_whatever_is_in_a_trace_the_picture_is_well_formed_and_harmless() -> None:
    """XML that parses, with a stranger's text as text."""
    for records in (list(read_trace(TRACE)), strange(), []):
        for everything in (False, True):
            drawn = svg(records, title="A <title> & more", everything=everything)
            root = ElementTree.fromstring(drawn)
            assert root.tag.endswith("svg")
            assert "<script" not in drawn and "\x1b" not in drawn
    text = page(strange(), title="</title><script>")
    assert "<script" not in text
    assert not re.search(r'(?:src|href)\s*=\s*"|url\(|@import', text)


def test_faults_are_drawn_as_what_they_did() -> None:
    """A dropped frame ends on the way, a corrupted one is red, a partition is a line."""
    story = tell(strange())
    fates = [row.fate for row in story.rows if isinstance(row, Arrow)]
    assert {"dropped", "corrupted", "held", "duplicated"} <= set(fates)
    assert [row.tone for row in story.rows if isinstance(row, Note)] == ["fault", "note"]
    drawn = svg(strange())
    assert drawn.count('class="cross"') == 1
    assert 'class="rule fault"' in drawn and 'class="paused"' in drawn


def test_captures_without_marks_show_who_fell_silent() -> None:
    """A node that ends all its connections is down until it speaks again."""
    beat = {"term": 2, "seq": 1, "prev_log_index": 0, "prev_log_term": 0, "entries": [], "leader_commit": 0}
    sent = Sent(0.1, 1, "n1", "n2", frame("APPEND_ENTRIES_REQ", "n1", **beat))
    records: list[Record] = [Opened(0.0, 1, "n1", "n2", None), sent, Closed(0.2, 1, "n1", "reset")]
    assert turns(records) == [("n1", "leader of term 2"), ("n1", "ended all its connections")]
    live = Marked(0.0, None, "live", "what was before, nobody saw")
    assert turns([live, *records])[-1] == ("n1", "ended all its connections")
    peers = Sent(0.4, 2, "n1", "n2", frame("PEER_LIST.peers", "n1", peers=[]))
    story = tell([*records, Opened(0.3, 2, "n1", "n2", None), peers, replace(sent, time=0.5, connection=2)])
    assert [row.roles["n1"] for row in story.rows if "n1" in row.roles] == [
        "leader",
        "down",
        "absent",
        "leader",
    ]


def test_the_command_writes_both_forms(tmp_path: Path) -> None:
    """By the name of the file; legible in light and dark."""
    for name in ("a.svg", "a.html"):
        assert main(["graph", str(TRACE), "-o", str(tmp_path / name), "--title", "T"]) == 0
        assert "prefers-color-scheme:dark" in (tmp_path / name).read_text()
    assert "position:sticky" in (tmp_path / "a.html").read_text()


def test_the_readme_s_picture_is_one_of_ours() -> None:
    """A leader elected, killed, and another elected, in some thirty messages."""
    drawn = (ROOT / "spec" / "figures" / "failover.svg").read_text()
    ElementTree.fromstring(drawn)
    assert drawn.count("leader of term") == 2 and "killed" in drawn
    assert 25 <= drawn.count('class="msg"') <= 45
