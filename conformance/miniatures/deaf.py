"""Takes connections and never reads from them, nor says anything."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from conformance.miniatures.contract import run

if TYPE_CHECKING:
    import socket


def ignore(_: socket.socket) -> None:
    threading.Event().wait()


run("deaf", ignore)
