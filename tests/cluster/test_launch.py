"""The launch contract of `spec/launch.md`, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from casty import UnusableStoreError, cli, launch
from casty.errors import StorageError
from casty.launch import IMPLEMENTATION
from casty.settings import Settings, settings_from
from tests.cluster.harness import BOUND, client, until
from tests.cluster.peers import Peer
from tests.cluster.test_tls import authority
from tests.support import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

ROOT = Path(__file__).parent.parent.parent


class Process:
    """A node that was started as a launcher starts it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ready(self) -> dict[str, Any]:
        """What its READY line says."""
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND * 2):
            line = (await self.process.stdout.readline()).decode()
        word, _, rest = line.partition(" ")
        assert word == "READY", line
        answer: dict[str, Any] = json.loads(rest)
        return answer

    async def end(self) -> tuple[int, str, str]:
        """Its exit status, and what more it wrote."""
        async with asyncio.timeout(BOUND * 2):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def started(
    *arguments: str, stdin: Any = asyncio.subprocess.PIPE, **environment: str
) -> AsyncIterator[Process]:
    """`casty node` with these arguments."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "casty.cli", "node", *arguments),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_the_ready_line_sigterm_and_who_it_is_again(tmp_path: Path) -> None:
    """LAUNCH-2, LAUNCH-3, LAUNCH-4, LAUNCH-6, KV-1: one line on standard output, and status 0."""

    async def main() -> None:
        data, size = (
            ("--data-dir", str(tmp_path / "d")),
            ("--size", "1", "--election-ms", "100", "--heartbeat-ms", "30"),
        )
        async with started("--node-id", "n1", *data, *size) as node:
            ready = await node.ready()
            assert ready == {
                "listen": ready["listen"],
                "node_id": "n1",
                "protocol": 1,
                "impl": IMPLEMENTATION,
                "caps": ["introspect", "snapshot", "prevote", "checkquorum", "skip", "tls", "mtls"],
            }
            peer = await _peer(ready["listen"])
            assert (await peer.ask("$echo", 42))["value"] == 42
            peer.close()
            node.process.send_signal(signal.SIGTERM)
            status, out, err = await node.end()
            assert (status, out) == (0, "")
            assert "node n1 listens on" in err
        async with started(*data, *size, "--advertise", "127.0.0.1:9") as node:
            ready = await node.ready()
            assert ready["node_id"] == "n1"
            peer = await _peer(ready["listen"])
            assert (await peer.ask("$kv", {"op": "put", "key": "a", "value": 1}, timeout_ms=9000))["value"]
            node.process.send_signal(signal.SIGINT)
            assert (await node.end())[0] == 0
            peer.close()

    run(main(), timeout=100)


async def _peer(listen: str) -> Peer:
    host, _, port = listen.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    peer = Peer(reader, writer)
    await peer.greet()
    return peer


def test_the_end_of_standard_input_ends_a_node_only_if_it_is_asked_to(tmp_path: Path) -> None:
    """LAUNCH-4."""

    async def main() -> None:
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"node_id": "from-file", "n": 1, "seeds": [], "data_dir": ""}))
        async with (
            started(CF_EXIT_ON_EOF="1", CF_CONFIG=str(config)) as minds,
            started(stdin=asyncio.subprocess.DEVNULL, CF_EXIT_ON_EOF="1") as at_its_end,
            started(CF_NODE_ID="stays", CF_N="1") as stays,
        ):
            assert (await minds.ready())["node_id"] == "from-file"
            assert (await stays.ready())["node_id"] == "stays"
            assert (await at_its_end.end())[0] == 0
            for node in (minds, stays):
                assert node.process.stdin is not None
                node.process.stdin.write(b"anything")
                await node.process.stdin.drain()
                node.process.stdin.close()
            status, out, _ = await minds.end()
            assert (status, out) == (0, "")
            assert stays.process.returncode is None
            stays.process.terminate()
            assert (await stays.end())[0] == 0

    run(main(), timeout=100)


def test_the_shell_sees_the_exit_status(tmp_path: Path) -> None:
    """LAUNCH-5, PERSIST-5: 0, 64, 78 and 127, and nothing on standard output but the description."""

    async def main() -> None:
        (tmp_path / "file").write_text("not a directory")

        async def check(expected: int, *arguments: str, **environment: str) -> None:
            async with started(*arguments, **environment) as node:
                status, out, err = await node.end()
                assert (status, "Traceback" in err, bool(err)) == (expected, False, expected != 0)
                assert out == ("" if expected else json.dumps(launch.description()) + "\n")

        await asyncio.gather(
            check(0, "--data-dir", "x", "--describe", CF_N="nonsense"),
            check(64, "--bogus"),
            check(78, "--data-dir", str(tmp_path / "file")),
            check(127, CF_CAPS="introspect,flying"),
        )

    run(main(), timeout=100)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--size", "three"], 64, "--size must be a whole number from 1 to 64, not 'three'"),
        (["--size", "0"], 64, "--size must be a whole number from 1 to 64, not 0"),
        (["--seeds", "nowhere"], 64, "host:port"),
        (["--node-id", "no id"], 64, "not 'no id'"),
        (["--host", "192.0.2.1"], 64, "cannot listen on 192.0.2.1:0"),
        (["--config", "{}/none.json"], 64, "none.json"),
        (["--config", "{}/list.json"], 64, "must hold a JSON object, not list"),
        (["--config", "{}/text.json"], 64, "Expecting value"),
        (["--data-dir", "{}/list.json"], 78, "list.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_node_that_cannot_start_says_why(
    arguments: list[str], status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """spec/launch.md: one line on standard error, with the value and what was expected."""
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "text.json").write_text("nonsense")
    assert cli.main(["node", *(argument.replace("{}", str(tmp_path)) for argument in arguments)]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("casty node: ")
    assert err.count("\n") == 1


def _started_with(*arguments: str, **environment: str) -> Settings:
    return settings_from(cli.parse(["node", *arguments]), environment)


def test_settings_come_from_the_command_line_the_environment_and_the_file(tmp_path: Path) -> None:
    """LAUNCH-1: in this order; an empty value is none."""
    file = tmp_path / "config.json"
    file.write_text(
        json.dumps({"n": 5, "cluster": "f", "seeds": ["a:1", "b:2"], "unknown": 1, "heartbeat_ms": 20})
    )
    environment = {
        "CF_CONFIG": str(file),
        "CF_N": "7",
        "CF_SEEDS": "c:3",
        "CF_ELECTION_MS": "99",
        "CF_HOST": "",
    }
    settings = _started_with("--size", "4", "--port", "12", **environment)
    assert settings == Settings(
        n=4, cluster="f", seeds=["c:3"], heartbeat_ms=20, election_ms=99, port=12, host="127.0.0.1"
    )
    every = {f"CF_{name.upper()}": "" for name in Settings.__dataclass_fields__}
    assert _started_with("--data-dir", "", "--advertise", "", **every) == Settings()
    assert _started_with("--node-id", "", "--size", "", CF_NODE_ID="n1", CF_N="5") == Settings(
        node_id="n1", n=5
    )
    assert _started_with(
        CF_CAPS="a,,b", CF_SEEDS="x:1,", CF_EXIT_ON_EOF="1", CF_SNAPSHOT_EVERY="9"
    ) == Settings(caps=["a", "b"], seeds=["x:1"], exit_on_eof=True, snapshot_every=9)


@pytest.mark.parametrize(
    ("error", "status"),
    [(StorageError("on fire"), 74), (UnusableStoreError("corrupt"), 78), (OSError("in use"), 64)],
    ids=["disk", "directory", "port"],
)
def test_what_ends_a_node_decides_its_exit_status(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PERSIST-4, PERSIST-5: in one line on standard error."""

    async def prepare(system: object) -> None:
        raise error

    assert launch.run_node(cli.parse(["node", "--size", "1", "--log-level", "error"]), prepare) == status
    assert str(error) in capsys.readouterr().err


def test_the_command_line_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    """spec/launch.md."""
    assert cli.main(["node", "--describe"]) == 0
    assert json.loads(capsys.readouterr().out)["impl"] == IMPLEMENTATION
    for arguments, status in ((["--version"], 0), ([], 64), (["fly"], 64), (["node", "--log-level", "x"], 64)):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == status


def test_a_node_of_this_library_joins_one_in_another_process() -> None:
    """LAUNCH-1: seeds on the command line; nobody shares a process with anybody."""

    async def main() -> None:
        async with client(node_id="here") as here:  # noqa: SIM117 (reads in the order it happens)
            async with started("--node-id", "there", "--seeds", str(here.listen), "--size", "1") as node:
                await node.ready()
                await until(lambda: "there" in here.peers)
                assert await (await here.lookup("$echo", timeout=BOUND)).ask([1, "x"]) == [1, "x"]
                node.process.terminate()
                assert (await node.end())[0] == 0

    run(main(), timeout=100)


def test_a_node_speaks_tls_with_the_certificate_it_is_given(tmp_path: Path) -> None:
    """LAUNCH-7: and, told to check node ids, with nobody whose certificate names another (HELLO-9)."""

    async def main() -> None:
        ca = authority(tmp_path)
        theirs = ca.issue("there")
        files = ("--tls-cert", str(theirs.cert), "--tls-key", str(theirs.key), "--tls-check-node-id")
        async with client(node_id="here", tls=ca.issue("here")) as here:
            told = ("--node-id", "there", "--seeds", str(here.listen), "--size", "1", *files)
            async with started(*told, CF_TLS_CA=str(theirs.ca)) as there:
                address = (await there.ready())["listen"]
                await until(lambda: "there" in here.peers)
                assert await (await here.lookup("$echo", timeout=BOUND)).ask("x") == "x"
                async with client(address, node_id="liar", tls=ca.issue("here")) as liar:
                    await until(lambda: any(tried.failures for tried in liar.book._attempts.values()))
                    assert not liar.peers
                there.process.terminate()
                status, _, err = await there.end()
                assert status == 0
                assert "not liar ['CERTIFICATE_MISMATCH', 'HELLO-9']" in err

    run(main(), timeout=100)
