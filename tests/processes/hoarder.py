"""`casty node` in a process that can be told to open every descriptor it may, and to close them again.

Standard input: `hoard` is answered with HOARDED and how many there were, `let go` with LET GO.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from casty.cli import parse
from casty.launch import run_node

if TYPE_CHECKING:
    from casty import DistributedActorSystem

_hoard: list[int] = []


async def prepare(system: DistributedActorSystem) -> None:
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _obey)


def _obey() -> None:
    match os.read(sys.stdin.fileno(), 4096):
        case b"hoard\n":
            while True:
                try:
                    _hoard.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
            print("HOARDED", len(_hoard), flush=True)
        case _:
            while _hoard:
                os.close(_hoard.pop())
            print("LET GO", flush=True)


if __name__ == "__main__":
    sys.exit(run_node(parse(["node", *sys.argv[1:]]), prepare))
