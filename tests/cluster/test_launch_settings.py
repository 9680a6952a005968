"""What `casty node` says of a value that makes no sense: the value, what was expected, and where it stood."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from casty import cli, launch
from casty.raft import configuration
from casty.settings import Settings, settings_from
from casty.wire._protocol import MEMBERS_MAX
from tests.cluster.harness import node

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 65534

BAD: dict[str, tuple[list[str], str]] = {
    "size 0": (["--size", "0"], "--size must be a whole number from 1 to 64, not 0"),
    "size of words": (["--size", "three"], "--size must be a whole number from 1 to 64, not 'three'"),
    "size too large": (["CF_N=65"], "CF_N must be a whole number from 1 to 64, not 65"),
    "size too long": (["CF_N=" + "9" * 5000], "CF_N must be a whole number from 1 to 64, not '999"),
    "port": (["--port", "65536"], "--port must be a whole number from 0 to 65535, not 65536"),
    "port below 0": (["CF_PORT=-1"], "CF_PORT must be a whole number from 0 to 65535, not -1"),
    "no such interface": (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1:0: cannot assign"),
    "no such host": (["--host", "a b"], "cannot listen on a b:0: "),
    "no host name": (["CF_HOST=" + "a" * 70], "cannot listen on aaa"),
    "seed without port": (["--seeds", "a:1,nowhere"], "--seeds: an address is host:port or [v6]:port"),
    "seed without brackets": (["CF_SEEDS=::1:80"], "CF_SEEDS: an IPv6 address needs brackets"),
    "advertise": (["--advertise", "me:0"], "--advertise: an address is host:port"),
    "node id": (["--node-id", "no id"], "--node-id: a node id is 1 to 64 of the characters"),
    "node id too long": (["CF_NODE_ID=" + "n" * 65], "CF_NODE_ID: a node id is 1 to 64"),
    "cluster": (["CF_CLUSTER=" + "c" * 256], "CF_CLUSTER: a cluster's name is 1 to 255 bytes"),
    "cluster of bytes": (["CF_CLUSTER=\udcff"], "CF_CLUSTER must be text, not '\\udcff'"),
    "heartbeat": (["--heartbeat-ms", "0"], "--heartbeat-ms must be a whole number from 1 to 3600000, not 0"),
    "election": (["--election-ms", "1.5"], "--election-ms must be a whole number from 1"),
    "election below heartbeat": (
        ["--election-ms", "200", "CF_HEARTBEAT_MS=250"],
        "CF_HEARTBEAT_MS must be less than --election-ms, not 250 and 200",
    ),
    "election below the default": (
        ["--election-ms", "300"],
        "the default heartbeat_ms must be less than --election-ms, not 300 and 300",
    ),
    "snapshots": (["--snapshot-every", "-1"], "--snapshot-every must be a whole number from 0"),
    "entry to skip": (["--skip-entry", "5:x"], "--skip-entry: an entry to skip is named INDEX:TERM:CHECKSUM"),
    "one of two": (["CF_SKIP_ENTRY=5:1:9a0b1c2d,6"], "CF_SKIP_ENTRY: an entry to skip is named INDEX:TERM"),
    "two of one index": (
        ["--skip-entry", "5:1:9a0b1c2d", "--skip-entry", "5:2:9a0b1c2d"],
        "skip_entries names two entries of one index: 5:1:9a0b1c2d and 5:2:9a0b1c2d",
    ),
    "seed": (["CF_SEED=dice"], "CF_SEED must be a whole number from"),
    "a certificate alone": (
        ["--tls-cert", "{}/a", "CF_TLS_CA={}/c"],
        "tls_cert, tls_key, tls_ca belong together: there is no tls_key",
    ),
    "nothing to check names with": (
        ["--tls-check-node-id"],
        "tls_cert, tls_key, tls_ca belong together: there is no tls_cert, no tls_key, no tls_ca",
    ),
    "no such certificate": (
        ["--tls-cert", "{}/a", "--tls-key", "{}/b", "--tls-ca", "{}/c"],
        "cannot use certificate {}/a with key {}/b",
    ),
    "check of names": (["CF_TLS_CHECK_NODE_ID=yes"], "CF_TLS_CHECK_NODE_ID must be 0 or 1, not 'yes'"),
    "end of file": (["CF_EXIT_ON_EOF=yes"], "CF_EXIT_ON_EOF must be 0 or 1, not 'yes'"),
    "no file": (["--config", "{}/none"], "{}/none must be a file that can be read: No such file"),
    "a directory for a file": (["CF_CONFIG={}"], "{} must be a file that can be read: Is a directory"),
}

BAD_FILES: dict[str, tuple[bytes | object, str]] = {
    "no JSON": (b"nonsense", "must hold a JSON object, not this: Expecting value: line 1 column 1"),
    "cut short": (b'{"n": 3', "must hold a JSON object, not this: "),
    "no text": (b"\xff\xfe", "must hold a JSON object, not this: 'utf-8' codec"),
    "too deep": (b"[" * 200_000, "must hold a JSON object, not this: "),
    "a list": ([1], "must hold a JSON object, not list"),
    "a flag for a number": ({"n": True}, ": n must be a whole number from 1 to 64, not True"),
    "half a node": ({"n": 3.5}, ": n must be a whole number from 1 to 64, not 3.5"),
    "a list for a number": ({"port": [1]}, ": port must be a whole number from 0 to 65535, not [1]"),
    "a number for a list": ({"seeds": 5}, ": seeds must be a list, or strings separated by commas, not 5"),
    "numbers in a list": ({"seeds": [5]}, ": seeds must be text, not 5"),
    "a map for a name": ({"node_id": {"a": 1}}, ": node_id must be text, not {'a': 1}"),
    "a path with a zero byte": ({"data_dir": "a\0b"}, ": data_dir must be text, not 'a\\x00b'"),
    "a word for a flag": ({"exit_on_eof": 2}, ": exit_on_eof must be 0 or 1, not 2"),
}


def outcome(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The exit status and the one line on standard error; `CF_X=…` among the arguments is set instead."""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("CF_") and equals:
            monkeypatch.setenv(name, value)
    status = cli.main(["node", *(each for each in arguments if not each.startswith("CF_"))])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("casty node: ")
    assert err.count("\n") == 1
    return status, err.removeprefix("casty node: ")


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_a_value_that_makes_no_sense_is_named_with_its_place(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """LAUNCH-1: exit status 64, one line, no traceback."""
    place = str(tmp_path)
    status, line = outcome([each.replace("{}", place) for each in arguments], monkeypatch, capsys)
    assert status == launch.EXIT_USAGE
    assert words.replace("{}", place) in line


@pytest.mark.parametrize(("content", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_makes_no_sense_is_named_with_the_place_in_it(
    content: bytes | object,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """LAUNCH-1: what Python would make of it is not what the writer meant."""
    file = tmp_path / "config.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    status, line = outcome(["--config", str(file)], monkeypatch, capsys)
    assert status == launch.EXIT_USAGE
    assert line.startswith(f"{file}{words}" if words.startswith(":") else f"{file} {words}")


@pytest.mark.parametrize(
    ("data_dir", "words"),
    [
        ("{}/file", "{}/file: "),
        ("{}/file/below", "{}/file/below: "),
        ("{}/" + "x" * 300, "File name too long"),
        ("/dev/null/below", "/dev/null/below: "),
        ("/proc/self/below", "/proc/self/below: "),
    ],
    ids=["a file", "below a file", "too long a name", "below a device", "where none can be made"],
)
def test_a_directory_that_cannot_be_one_is_named(
    data_dir: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PERSIST-5: exit status 78."""
    (tmp_path / "file").write_text("not a directory")
    place = str(tmp_path)
    status, line = outcome(["--data-dir", data_dir.replace("{}", place)], monkeypatch, capsys)
    assert status == launch.EXIT_CONFIG
    assert words.replace("{}", place) in line


def test_a_directory_of_somebody_elses_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """PERSIST-5: exit status 78. The superuser, who may write anywhere, does it as somebody else."""
    tmp_path.chmod(0o555)
    is_super = os.geteuid() == 0
    if is_super:
        for above in tmp_path.parents[:-2]:
            above.chmod(above.stat().st_mode | 0o011)
        os.seteuid(NOBODY)
    try:
        status, line = outcome(["--data-dir", str(tmp_path / "d")], monkeypatch, capsys)
    finally:
        if is_super:
            os.seteuid(0)
    assert status == launch.EXIT_CONFIG
    assert line.startswith(f"{tmp_path / 'd'}: ")
    assert "Permission denied" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": MEMBERS_MAX + 1}, "expected_cluster_size must be 1 to 64, not 65"),
        ({"cluster": ""}, "a cluster's name is 1 to 255 bytes of printable characters, not ''"),
        ({"cluster": "é" * 128}, "a cluster's name is 1 to 255 bytes"),
        ({"cluster": "two\nlines"}, "a cluster's name is 1 to 255 bytes"),
    ],
    ids=["size", "no name", "a long name", "a name of two lines"],
)
def test_the_library_refuses_what_could_never_become_a_cluster(options: dict[str, Any], words: str) -> None:
    """HELLO-3, FORM-6: no hello could carry such a name, and no list has so many members."""
    with pytest.raises(ValueError, match=re.escape(words)):
        node(**options)


def test_the_longest_list_is_the_same_for_the_core_and_for_the_wire() -> None:
    """The limit members_max stands in two places, for the core imports nothing."""
    assert configuration.MEMBERS_MAX == MEMBERS_MAX
    assert node(size=MEMBERS_MAX, cluster="é" * 127 + "c").options.expected_size == MEMBERS_MAX


def test_values_of_every_kind_that_do_make_sense(tmp_path: Path) -> None:
    """LAUNCH-1: numbers may be text, lists may be text, and what is empty counts as not given."""
    file = tmp_path / "config.json"
    given = {
        "n": "5",
        "seeds": "a:1,[::1]:2",
        "exit_on_eof": True,
        "node_id": "f",
        "seed": -7,
        "data_dir": None,
        "tls_cert": "a",
        "tls_key": "b",
    }
    file.write_text(json.dumps(given | {"what another version may know": 1}))
    environment = {"CF_NODE_ID": "", "CF_TLS_CA": "c", "CF_TLS_CHECK_NODE_ID": "1"}
    assert settings_from(cli.parse(["node", "--config", str(file)]), environment) == Settings(
        node_id="f",
        n=5,
        seeds=["a:1", "[::1]:2"],
        exit_on_eof=True,
        seed=-7,
        tls_cert="a",
        tls_key="b",
        tls_ca="c",
        tls_check_node_id=True,
    )
