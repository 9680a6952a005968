"""What a node is told: by the command line, else by the environment, else by a JSON file (spec LAUNCH-1)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from casty.cluster.address import parse_address
from casty.cluster.naming import checked_cluster_name, checked_node_id
from casty.cluster.skips import checked_name
from casty.paths import absolute
from casty.wire._protocol import MEMBERS_MAX

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

MILLIS_MAX = 3_600_000
"""An hour: whoever wants an election to take longer than that means something else."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What there is to tell a node, and what holds where nothing is told."""

    node_id: str | None = None
    data_dir: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str | None = None
    seeds: list[str] = field(default_factory=list[str])
    n: int = 3
    heartbeat_ms: int = 300
    election_ms: int = 1000
    cluster: str = "casty"
    snapshot_every: int = 0
    kept_entries: int = 5000
    seed: int | None = None
    skip_entry: list[str] = field(default_factory=list[str])
    caps: list[str] = field(default_factory=list[str])
    exit_on_eof: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_ca: str | None = None
    tls_check_node_id: bool = False


def settings_from(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Puts the sources together. Raises ValueError that names the value, what was expected, and where."""
    given = _Given(_gathered(arguments, environment))
    defaults = Settings()
    kept = given.number("kept_entries", 0, 1 << 62)
    settings = Settings(
        node_id=given.text("node_id", checked_node_id),
        data_dir=given.text("data_dir", absolute),
        host=given.text("host") or defaults.host,
        port=given.number("port", 0, 65535) or 0,
        advertise=given.text("advertise", parse_address),
        seeds=given.items("seeds", parse_address),
        n=given.number("n", 1, MEMBERS_MAX) or defaults.n,
        heartbeat_ms=given.number("heartbeat_ms", 1, MILLIS_MAX) or defaults.heartbeat_ms,
        election_ms=given.number("election_ms", 1, MILLIS_MAX) or defaults.election_ms,
        cluster=given.text("cluster", checked_cluster_name) or defaults.cluster,
        snapshot_every=given.number("snapshot_every", 0, 1 << 62) or 0,
        kept_entries=defaults.kept_entries if kept is None else kept,
        seed=given.number("seed", -(1 << 63), 1 << 64),
        skip_entry=given.items("skip_entry", checked_name),
        caps=given.items("caps"),
        exit_on_eof=given.flag("exit_on_eof"),
        tls_cert=given.text("tls_cert", absolute),
        tls_key=given.text("tls_key", absolute),
        tls_ca=given.text("tls_ca", absolute),
        tls_check_node_id=given.flag("tls_check_node_id"),
    )
    given.check_together(TLS_FILES, wanted=settings.tls_check_node_id)
    if settings.heartbeat_ms >= settings.election_ms:
        heartbeat, election = given.place("heartbeat_ms"), given.place("election_ms")
        msg = (
            f"{heartbeat} must be less than {election}, not {settings.heartbeat_ms} and {settings.election_ms}"
        )
        raise ValueError(msg)
    return settings


TLS_FILES = ("tls_cert", "tls_key", "tls_ca")


class _Value(NamedTuple):
    """One value, and where it was found."""

    value: object
    place: str


def _gathered(arguments: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, _Value]:
    names = Settings.__dataclass_fields__
    found: dict[str, _Value] = {}
    path = arguments.config or environment.get("CF_CONFIG")
    if path:
        content = _object_in(absolute(path, "the file of settings"))
        found |= {name: _Value(content[name], f"{path}: {name}") for name in names if name in content}
    for name in names:
        variable = f"CF_{name.upper()}"
        if environment.get(variable):
            found[name] = _Value(environment[variable], variable)
    for name, value in vars(arguments).items():
        if name in names and value not in (None, ""):
            found[name] = _Value(value, "--size" if name == "n" else f"--{name.replace('_', '-')}")
    return found


def _object_in(path: Path) -> dict[str, Any]:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path} must be a file that can be read: {error.strerror}"
        raise ValueError(msg) from None
    except (ValueError, RecursionError) as error:  # not JSON, or not even text
        msg = f"{path} must hold a JSON object, not this: {error}"
        raise ValueError(msg) from None
    if not isinstance(content, dict):
        msg = f"{path} must hold a JSON object, not {type(content).__name__}"
        raise ValueError(msg)
    return cast("dict[str, Any]", content)


class _Given:
    """The values that were found, each as what it has to be. An empty one is none."""

    def __init__(self, found: Mapping[str, _Value]) -> None:
        self._found = {name: given for name, given in found.items() if given.value not in (None, "")}

    def place(self, name: str) -> str:
        """Where a value was found, for an error that is about two of them."""
        return self._found[name].place if name in self._found else f"the default {name}"

    def check_together(self, names: Sequence[str], *, wanted: bool) -> None:
        """Raises ValueError where some are given and others are not, or none is though they are wanted: a node
        that is to hide what it says must not start without."""
        missing = [name for name in names if name not in self._found]
        if missing and (wanted or len(missing) < len(names)):
            msg = f"{', '.join(names)} belong together: there is no {', no '.join(missing)}"
            raise ValueError(msg)

    def text(self, name: str, check: Callable[[str], object] | None = None) -> str | None:
        if name not in self._found:
            return None
        value, place = self._found[name]
        return _checked(value, place, check)

    def items(self, name: str, check: Callable[[str], object] | None = None) -> list[str]:
        if name not in self._found:
            return []
        value, place = self._found[name]
        items: list[object] = list(value.split(",")) if isinstance(value, str) else _listed(value, place)
        return [_checked(item, place, check) for item in items if item != ""]

    def number(self, name: str, least: int, most: int) -> int | None:
        if name not in self._found:
            return None
        value, place = self._found[name]
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            msg = f"{place} must be a whole number from {least} to {most}, not {value!r:.80}"
            raise ValueError(msg)
        return value

    def flag(self, name: str) -> bool:
        if name not in self._found:
            return False
        value, place = self._found[name]
        if str(value).lower() not in ("0", "1", "false", "true"):
            msg = f"{place} must be 0 or 1, not {value!r:.80}"
            raise ValueError(msg)
        return str(value).lower() in ("1", "true")


def _listed(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        msg = f"{place} must be a list, or strings separated by commas, not {value!r:.80}"
        raise ValueError(msg)
    return cast("list[object]", value)


def _checked(value: object, place: str, check: Callable[[str], object] | None) -> str:
    if not isinstance(value, str) or "\0" in value or not _is_unicode(value):
        msg = f"{place} must be text, not {value!r:.80}"
        raise ValueError(msg)
    if check is not None:
        try:
            check(value)
        except ValueError as error:
            msg = f"{place}: {error}"
            raise ValueError(msg) from None
    return value


def _is_unicode(text: str) -> bool:
    """Whether it is text that can be sent: bytes of the environment may be anything."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
