"""One node of the demonstration: `casty node`, and on the node that is told so, the chat room."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from casty import signals
from casty.cli import parse
from casty.demo.chat import ChatRoom, GetHistory, GetUsers, Join, Message
from casty.launch import run_node
from casty_console import program

if TYPE_CHECKING:
    from casty.cluster.system import DistributedActorSystem


async def _prepare(system: DistributedActorSystem) -> None:
    for kind in (Join, Message, GetUsers, GetHistory):
        system.register_type(kind)
    if os.environ.get("CASTY_DEMO_ROOM"):
        await system.spawn(ChatRoom, name="general", room_name="General")


@program
def main() -> int:
    """Runs the node of the command line and returns its exit status."""
    return run_node(parse(["node", *sys.argv[1:]]), prepare=_prepare)


if __name__ == "__main__":
    status = main()
    signals.ignore()
    sys.exit(status)
