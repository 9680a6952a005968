"""Some thousands of damaged inputs of every kind: no exception, no hang, and memory that does not grow."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.wire_dump.packets import ACK, Packet, ethernet, ipv4, pcap, segment
from tests.wire_dump.samples import ROOT, answer, heartbeat, hello
from wire_dump import fuzz
from wire_dump.damage import an_input
from wire_dump.input import Input, kind_of
from wire_dump.output import writer
from wire_dump.sources import source_of
from wire_dump.text import Style

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("seed", range(4))
def test_damaged_inputs_are_read_to_their_end(seed: int) -> None:
    """`python -m wire_dump.fuzz --inputs 1000000` does the same for longer."""
    assert fuzz.main(["--inputs", "700", "--seed", str(seed)]) == 0


def test_a_find_is_named_so_that_it_can_be_had_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seed and number make the same input; a fuzzer that cannot fail finds nothing."""

    def broken(*_: object) -> int:
        raise RuntimeError("planted")

    monkeypatch.setattr(fuzz, "read", broken)
    assert fuzz.main(["--inputs", "5", "--first", "3"]) == 1
    assert capsys.readouterr().out == "seed 1, input 3: RuntimeError: planted\n"
    monkeypatch.setattr(fuzz, "SECONDS_MAX", 0.05)
    monkeypatch.setattr(fuzz, "read", lambda *_: [None for _ in iter(int, 1)])
    assert "longer than" in fuzz.try_one(1, 1, Counter())


def test_inputs_are_of_every_kind() -> None:
    """And most of them damaged."""
    kinds = Counter(str(kind_of(an_input(random.Random(number))[:4096])) for number in range(400))
    assert set(kinds) == {"pcap", "pcapng", "trace", "hex", "raw"}


class Endless:
    """A capture of any size that is made while it is read."""

    def __init__(self, packets: int) -> None:
        self._parts = self._made(packets)

    def read(self, size: int, /) -> bytes:
        return next(self._parts, b"")

    def close(self) -> None:
        """Nothing is open."""

    def _made(self, packets: int) -> Iterator[bytes]:
        yield pcap([], 1)
        places = {False: 0, True: 0}
        said = {False: hello("n1"), True: hello("n2")}
        for number in range(packets):
            back = bool(number % 2)
            ports = (8001, 50000) if back else (50000, 8001)
            content = segment(said[back], places[back], ACK, ports=ports)
            yield pcap([Packet(ethernet(ipv4(content, back=back)), number * 1000)], 1)[24:]
            places[back] += len(said[back])
            said[back] = answer("n2", number) if back else heartbeat("n1", number)


def peak(packets: int) -> tuple[int, int]:
    """The most memory that reading took, and how many lines it gave."""
    tracemalloc.start()
    source = source_of(Input(Endless(packets)))
    out = writer("text", Style(detail=0), source.clock)
    lines = sum(1 for event in source.events for _ in out.lines(event))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most, lines


def test_memory_does_not_grow_with_the_capture() -> None:
    """Three times as much, the same peak."""
    peak(100)
    small, large = peak(3000), peak(9000)
    assert (small[1], large[1]) == (3000, 9000)
    assert large[0] < small[0] * 1.1 + 20_000


def test_a_large_capture_is_read_within_a_limit_on_memory(tmp_path: Path) -> None:
    """Under RLIMIT_AS, with a frame that announces 16 MiB and never comes."""
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (220 << 20, 220 << 20))
from wire_dump.cli import main
raise SystemExit(main([sys.argv[1], "-d", "0", "-c", "100000"]))
"""
    path = f"{tmp_path}/large.pcap"
    endless = Endless(8000)
    huge = b"\x0c\0\2n1" + (16_000_000).to_bytes(4) + bytes(60_000)
    with open(path, "wb") as file:
        while part := endless.read(0):
            file.write(part)
        for number in range(150):
            content = segment(
                huge if number == 0 else bytes(60_000), 100 + 60_009 * number, ports=(50001, 8001)
            )
            file.write(pcap([Packet(ethernet(ipv4(content, total=0)))], 1)[24:])
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False, timeout=50, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") > 8000
