"""`casty node`: one node, started the way `spec/launch.md` says."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from casty import __version__, signals
from casty.cluster.system import DistributedActorSystem
from casty.cluster.tls import TLS
from casty.errors import StorageError, UnusableStoreError
from casty.services import CAPABILITIES, offer
from casty.settings import settings_from
from casty.wire import _protocol as p
from casty_console import complain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

    from casty.settings import Settings

EXIT_USAGE = 64
EXIT_DISK = 74
EXIT_CONFIG = 78
EXIT_UNSUPPORTED = 127

logger = logging.getLogger(__name__)

IMPLEMENTATION = f"casty/{__version__}"


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
        complain(f"casty node: {error}")
        return EXIT_USAGE
    unsupported = [cap for cap in settings.caps if cap not in CAPABILITIES]
    if unsupported:
        complain(f"casty node: no capability {', '.join(unsupported)}")
        return EXIT_UNSUPPORTED
    try:
        asyncio.run(_serve(system, settings, prepare))
    except UnusableStoreError as error:
        complain(f"casty node: {error}")
        return EXIT_CONFIG
    except StorageError as error:
        complain(f"casty node: {error}")
        return EXIT_DISK
    except OSError as error:
        complain(f"casty node: {error}")
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
        kept_entries=settings.kept_entries,
        random_seed=settings.seed,
        skip_entries=settings.skip_entry,
        tls=_tls(settings),
    )


def _tls(settings: Settings) -> TLS | None:
    """What the files are for; none, or all of them, are given."""
    cert, key, ca = settings.tls_cert, settings.tls_key, settings.tls_ca
    if cert is None or key is None or ca is None:
        return None
    return TLS(cert, key, ca, check_node_id=settings.tls_check_node_id)


async def _serve(system: DistributedActorSystem, settings: Settings, prepare: Prepare | None) -> None:
    """Runs the node until it is told to end, which it may be while it still starts."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    with signals.heard(
        lambda: loop.call_soon_threadsafe(told.set)
    ):  # asyncio's own would end before the node does
        if settings.exit_on_eof:
            _watch_standard_input(loop, told)
        living = asyncio.create_task(_live(system, prepare))
        hearing = asyncio.create_task(told.wait())
        await asyncio.wait([living, hearing], return_when=asyncio.FIRST_COMPLETED)
        hearing.cancel()
        living.cancel()
        try:
            await living
        except asyncio.CancelledError:
            logger.info("node %s has ended as it was told", system.node_id)


async def _live(system: DistributedActorSystem, prepare: Prepare | None) -> None:
    async with system:
        await offer(system)
        if prepare is not None:
            await prepare(system)
        ready = {"listen": str(system.listen), "node_id": system.node_id} | _named(description())
        print(f"READY {json.dumps(ready)}", flush=True)
        await asyncio.Event().wait()


def _named(what: dict[str, Any]) -> dict[str, Any]:
    return {name: what[name] for name in ("protocol", "impl", "caps")}


def _watch_standard_input(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    """Ends the node with its standard input, so that none outlives a launcher that was killed."""
    try:
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, _read, descriptor, loop, told)
    except (AttributeError, OSError, ValueError):  # closed, or a file, which is at its end as good as now
        told.set()


def _read(descriptor: int, loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    try:
        more = os.read(descriptor, 4096)
    except BlockingIOError:
        return
    except OSError:
        more = b""
    if not more:
        loop.remove_reader(descriptor)
        told.set()
