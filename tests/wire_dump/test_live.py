"""`live` shows, keeps and never alters what passes; `replay` sends it again and compares."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from conformance.wire.frame import FrameReader
from tests.wire_dump.packets import Talk
from tests.wire_dump.samples import ROOT, answer, heartbeat, hello
from wire_dump.events import Seen
from wire_dump.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

TOOL = str(ROOT / "tools" / "wire-dump")
BOUND = 30.0


async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, term: int = 1) -> None:
    """Says hello back, and answers every heartbeat."""
    frames = FrameReader()
    seq = 0
    while data := await reader.read(4096):
        frames.feed(data)
        while (frame := frames.next_frame()) is not None:
            if frame.type == 4:
                writer.write(hello("n2"))
            else:
                seq += 1
                writer.write(answer("n2", seq, term=term))
    writer.close()


class Live:
    """A tool that relays to a port."""

    def __init__(self, target: int, *options: str) -> None:
        command = [sys.executable, TOOL, "live", f"127.0.0.1:0=127.0.0.1:{target}", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        listening = self.process.stderr.readline()
        found = re.search(r":(\d+) →", listening)
        assert found, listening
        self.port = int(found[1])

    def end(self) -> tuple[str, int]:
        """What it wrote, and its status."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> tuple[str, int]:
        out, err = self.process.communicate(timeout=BOUND)
        assert "Traceback" not in err
        return out, self.process.returncode


async def talked(port: int, *said: bytes) -> bytes:
    """Says it, ends, and returns all that came back."""
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(said))
        writer.write_eof()
        heard = await reader.read()
        writer.close()
        return heard


async def test_what_passes_is_shown_kept_and_not_altered(tmp_path: Path) -> None:
    """The screen, the capture and the trace tell the same; the bytes are those of the ends."""
    async with await asyncio.start_server(node, "127.0.0.1", 0) as server:
        files = ("--save", str(tmp_path / "live.pcap"), "--trace", str(tmp_path / "live.jsonl"))
        live = await asyncio.to_thread(Live, server.sockets[0].getsockname()[1], *files)
        heard = await talked(live.port, hello("n1"), heartbeat("n1", 1), heartbeat("n1", 2))
        out, status = await asyncio.to_thread(live.end)
    assert heard == hello("n2") + answer("n2", 1) + answer("n2", 2)
    assert status == 0
    routes = re.findall(r"(n\d → n\d) (\w+)", out)
    assert sorted(routes) == sorted(
        [("n1 → n2", "PEER_LIST"), ("n2 → n1", "PEER_LIST")]
        + [("n1 → n2", "APPEND_ENTRIES_REQ"), ("n2 → n1", "APPEND_ENTRIES_RES")] * 2
    )
    for name in ("live.pcap", "live.jsonl"):
        source = open_source(str(tmp_path / name))
        kept = [(event.source, event.frame.encode()) for event in source.events if isinstance(event, Seen)]
        source.data.close()
        assert b"".join(frame for node, frame in kept if node == "n2") == heard
        assert len(kept) == 6


async def test_live_ends_after_a_count_and_filters_what_it_shows() -> None:
    """As `-c` and `-f` say; hidden values are not shown."""
    async with await asyncio.start_server(node, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        live = await asyncio.to_thread(Live, port, "-f", "type==AE", "-c", "1", "--redact", "*.value")
        with suppress(ConnectionError):  # it ends while they talk
            await talked(live.port, hello("n1"), heartbeat("n1", 1), heartbeat("n1", 2))
        out, status = await asyncio.to_thread(live.wait)
    assert status == 0
    assert len(out.splitlines()) == 1 and "seq=1" in out


async def test_a_full_disk_ends_live_but_says_so() -> None:
    """/dev/full takes nothing."""
    async with await asyncio.start_server(node, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        live = await asyncio.to_thread(Live, port, "--save", "/dev/full")
        await talked(live.port, hello("n1"), heartbeat("n1", 1))
        _, status = await asyncio.to_thread(live.wait)
    assert status == 74


async def replayed(tmp_path: Path, term: int, *options: str) -> tuple[str, int]:
    """A recording of two questions and their answers, sent again to a node of some term."""
    talk = Talk().open().say(hello("n1")).say(hello("n2"), back=True)
    for seq in (1, 2):
        talk.say(heartbeat("n1", seq)).say(answer("n2", seq), back=True)
    (tmp_path / "talk.pcap").write_bytes(talk.file())

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await node(reader, writer, term=term)

    async with await asyncio.start_server(other, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        command = [TOOL, "replay", str(tmp_path / "talk.pcap"), "--from", "n1", "--to", f"127.0.0.1:{port}"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, *options, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), BOUND)
    assert process.returncode is not None
    return out.decode(), process.returncode


async def test_replay_finds_no_difference_where_there_is_none(tmp_path: Path) -> None:
    """The same answers: 0."""
    out, status = await replayed(tmp_path, 1, "--diff")
    assert (out, status) == ("3 frames sent, 2 answers, 0 differences\n", 0)
    out, _ = await replayed(tmp_path, 1)
    assert out.count("APPEND_ENTRIES_RES") == 2


async def test_replay_names_the_fields_that_differ(tmp_path: Path) -> None:
    """With the number of the frame that was answered: 1."""
    out, status = await replayed(tmp_path, 4, "--diff")
    assert status == 1
    assert "#3 APPEND_ENTRIES_RES.term: recorded 1, now 4" in out
    assert out.endswith("3 frames sent, 2 answers, 4 differences\n")


def test_a_port_that_is_taken_is_named() -> None:
    """69, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, TOOL, "live", f"{port}=127.0.0.1:1"],
            capture_output=True,
            text=True,
            check=False,
            timeout=BOUND,
        )
    assert done.returncode == 69
    assert "cannot listen" in done.stderr and "Traceback" not in done.stderr
