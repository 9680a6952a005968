"""A path means what it meant when it was given, wherever the process goes later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from casty import TLS, DistributedActorSystem
from casty.cli import parse
from casty.paths import absolute
from casty.raft.types import NodeId
from casty.settings import settings_from
from casty.storage.files import FileStore
from tests.cluster.harness import until
from tests.cluster.test_tls import authority

ROOT = Path(__file__).parent.parent


class Given:
    """A path of another library."""

    def __fspath__(self) -> str:
        return "store"


FORMS = ("store", "./store", Path("store"), PurePosixPath("store"), Given())


@pytest.mark.parametrize("given", FORMS, ids=lambda form: type(form).__name__)
async def test_a_node_that_goes_elsewhere_keeps_its_directory(
    given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LAUNCH-6: what is made later, a snapshot or a segment, is made where the log is. So is the next start."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    applied: list[Any] = []

    def system() -> DistributedActorSystem:
        made = DistributedActorSystem(
            "127.0.0.1",
            0,
            expected_cluster_size=1,
            node_id="n1",
            persistence_dir=given,
            heartbeat_interval=0.03,
            election_timeout=0.1,
        )
        made.set_apply_callback(applied.append)
        made.set_snapshot_callbacks(lambda: bytes(len(applied)), applied.extend)
        return made

    monkeypatch.chdir(here)
    first = system()
    monkeypatch.chdir(elsewhere)
    async with first:
        await until(lambda: first.is_leader)
        for number in range(5):
            assert await first.append_command(number)
        monkeypatch.chdir(tmp_path)
        assert await first.create_snapshot()
        assert await first.append_command("after")
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "here"]
    assert os.listdir(elsewhere) == []
    assert sum(name.endswith(".snap") for name in os.listdir(here / "store")) == 1
    applied.clear()
    monkeypatch.chdir(here)
    async with system() as again:
        await until(lambda: again.is_leader)
        assert await again.append_command("last")
    assert applied == [0] * 5 + ["after", "last"]


def test_a_store_that_is_opened_by_itself_keeps_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STORE-1."""
    monkeypatch.chdir(tmp_path)
    store = FileStore.open("store", NodeId("n1"))
    monkeypatch.chdir("/")
    store.load()
    store.close()
    assert (tmp_path / "store" / "0000000001.open").exists()


def test_certificates_are_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read when the node starts, and again when it dials."""
    issued = authority(tmp_path).issue("n1")
    monkeypatch.chdir(tmp_path)
    cert, key, ca = (os.path.relpath(path) for path in (issued.cert, issued.key, issued.ca))
    tls = TLS(cert, key, ca)
    monkeypatch.chdir("/")
    for context in (tls.server_context(), tls.client_context()):
        assert context.cert_store_stats()["x509_ca"] == 1
    with pytest.raises(ValueError, match="ca must be a path, not ''"):
        TLS(cert, key, "")


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell has expanded what a file of settings says, or what stands behind a sign of equality."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert absolute("~/store") == tmp_path / "store"
    assert absolute("~") == tmp_path
    monkeypatch.chdir("/")
    assert absolute("a/~") == Path("/a/~")
    assert absolute("./~") == Path("/~")
    (tmp_path / "settings.json").write_text("{}")
    arguments = parse(["node", "--data-dir=~/store", "--config=~/settings.json"])
    assert settings_from(arguments, {}).data_dir == "~/store"
    words = "must be a path, not '~no-such-user/x': there is no such home directory"
    with pytest.raises(ValueError, match=f"^persistence_dir {words}"):
        DistributedActorSystem("127.0.0.1", 0, persistence_dir="~no-such-user/x")
    with pytest.raises(ValueError, match=f"^CF_DATA_DIR: {words}"):
        settings_from(parse(["node"]), {"CF_DATA_DIR": "~no-such-user/x"})


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("", ValueError, "persistence_dir must be a path, not ''"),
        ("a\0b", ValueError, r"persistence_dir must be a path, not 'a\\x00b'"),
        (b"store", TypeError, "persistence_dir must be a path in str, not b'store'"),
    ],
)
def test_what_is_no_path_is_refused_at_once(given: Any, error: type[Exception], words: str) -> None:
    """Not when the node starts, and not by the use of the working directory."""
    with pytest.raises(error, match=words):
        DistributedActorSystem("127.0.0.1", 0, persistence_dir=given)


GONE = """
import os, sys, tempfile
place = tempfile.mkdtemp()
os.chdir(place)
os.rmdir(place)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (("casty", "node", "--data-dir", "x"), "--data-dir: must be absolute, not 'x': "),
        (("casty", "node", "--config", "x"), "must be absolute, not 'x': "),
        (("casty", "demo", "--plain", "--keep", "x"), "--keep must be absolute, not 'x': "),
        (("conformance", "run", "--", "casty", "node"), ""),
        (("conformance", "replay", "x"), ""),
    ],
)
def test_a_working_directory_that_is_gone_is_named(program: tuple[str, ...], words: str) -> None:
    """In one line, by each program that is given a path from there."""
    command = [sys.executable, "-c", GONE, sys.executable, "-m", *program]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (64, 1), ended.stderr
    assert f"{words}the working directory no longer exists" in ended.stderr


def test_an_absolute_path_needs_no_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert DistributedActorSystem("127.0.0.1", 0).directory is None
    store = tmp_path / "store"
    assert DistributedActorSystem("127.0.0.1", 0, persistence_dir=store).directory == store
