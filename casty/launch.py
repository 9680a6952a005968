"""`casty node`: one node, started the way `spec/launch.md` says."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from casty import __version__
from casty.cluster.system import DistributedActorSystem
from casty.errors import StorageError, UnusableStoreError
from casty.services import CAPABILITIES, offer
from casty.wire import _protocol as p

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

EXIT_USAGE = 64
EXIT_DISK = 74
EXIT_CONFIG = 78
EXIT_UNSUPPORTED = 127

IMPLEMENTATION = f"casty/{__version__}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a node is told: by the command line, else by a JSON file, else by the environment."""

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
    caps: list[str] = field(default_factory=list[str])
    exit_on_eof: bool = False


def settings_from(arguments: argparse.Namespace, environment: dict[str, str]) -> Settings:
    """Puts the sources together. Raises ValueError for a value that makes no sense, OSError for the file."""
    given: dict[str, Any] = {}
    for name in Settings.__dataclass_fields__:
        text = environment.get(f"CF_{name.upper()}")
        if text:
            given[name] = text
    path = arguments.config or environment.get("CF_CONFIG")
    if path:
        content = _object_in(Path(path))
        given |= {name: value for name, value in content.items() if name in Settings.__dataclass_fields__}
    given |= {name: value for name, value in vars(arguments).items() if value is not None}
    return Settings(
        node_id=_text(given, "node_id"),
        data_dir=_text(given, "data_dir"),
        host=_text(given, "host") or "127.0.0.1",
        port=_number(given, "port", 0),
        advertise=_text(given, "advertise"),
        seeds=_list(given, "seeds"),
        n=_number(given, "n", 3),
        heartbeat_ms=_number(given, "heartbeat_ms", 300),
        election_ms=_number(given, "election_ms", 1000),
        cluster=_text(given, "cluster") or "casty",
        snapshot_every=_number(given, "snapshot_every", 0),
        caps=_list(given, "caps"),
        exit_on_eof=str(given.get("exit_on_eof", "")) in ("1", "true", "True"),
    )


def _object_in(path: Path) -> dict[str, Any]:
    content: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        msg = f"{path} must hold a JSON object, not {type(content).__name__}"
        raise ValueError(msg)
    return cast("dict[str, Any]", content)


def _text(given: dict[str, Any], name: str) -> str | None:
    return str(given[name]) if given.get(name) else None


def _number(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name)
    if value is None or value == "":
        return default
    try:
        return int(value)
    except ValueError:
        msg = f"{name} must be a whole number, not {value!r}"
        raise ValueError(msg) from None


def _list(given: dict[str, Any], name: str) -> list[str]:
    value: object = given.get(name) or []
    items = value.split(",") if isinstance(value, str) else cast("list[object]", value)
    return [str(item) for item in items if item]


def description() -> dict[str, Any]:
    """What `--describe` prints."""
    return {"impl": IMPLEMENTATION, "protocol": p.PROTOCOL_VERSION, "caps": list(CAPABILITIES)}


type Prepare = Callable[[DistributedActorSystem], Awaitable[None]]


def run_node(arguments: argparse.Namespace, prepare: Prepare | None = None) -> int:
    """Runs one node until it is told to end; returns the exit status.

    `prepare` is given the started system before the node says READY, to spawn actors of its own.
    """
    if arguments.describe:
        print(json.dumps(description()), flush=True)
        return 0
    logging.basicConfig(
        stream=sys.stderr, level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        settings = settings_from(arguments, dict(os.environ))
        system = _system(settings)
    except (ValueError, OSError) as error:
        print(f"casty node: {error}", file=sys.stderr)
        return EXIT_USAGE
    unsupported = [cap for cap in settings.caps if cap not in CAPABILITIES]
    if unsupported:
        print(f"casty node: no capability {', '.join(unsupported)}", file=sys.stderr)
        return EXIT_UNSUPPORTED
    try:
        asyncio.run(_serve(system, settings, prepare))
    except UnusableStoreError as error:
        print(f"casty node: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except StorageError as error:
        print(f"casty node: {error}", file=sys.stderr)
        return EXIT_DISK
    except OSError as error:
        print(f"casty node: cannot listen on {settings.host}:{settings.port}: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def _system(settings: Settings) -> DistributedActorSystem:
    return DistributedActorSystem(
        settings.host,
        settings.port,
        settings.seeds,
        settings.n,
        node_id=settings.node_id,
        persistence_dir=settings.data_dir,
        advertise=settings.advertise,
        cluster=settings.cluster,
        heartbeat_interval=settings.heartbeat_ms / 1000,
        election_timeout=settings.election_ms / 1000,
        snapshot_every=settings.snapshot_every or None,
    )


async def _serve(system: DistributedActorSystem, settings: Settings, prepare: Prepare | None) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with system:
        await offer(system)
        if prepare is not None:
            await prepare(system)
        if settings.exit_on_eof:
            _watch_standard_input(loop, ended)
        ready = {"listen": str(system.listen), "node_id": system.node_id} | _named(description())
        print(f"READY {json.dumps(ready)}", flush=True)
        await ended.wait()


def _named(what: dict[str, Any]) -> dict[str, Any]:
    return {name: what[name] for name in ("protocol", "impl", "caps")}


def _watch_standard_input(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """Ends the node with its standard input, so that none outlives a launcher that was killed."""
    try:
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, _read, descriptor, loop, ended)
    except (AttributeError, OSError, ValueError):  # closed, or a file, which is at its end as good as now
        ended.set()


def _read(descriptor: int, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    try:
        more = os.read(descriptor, 4096)
    except BlockingIOError:
        return
    except OSError:
        more = b""
    if not more:
        loop.remove_reader(descriptor)
        ended.set()
