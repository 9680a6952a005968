"""A program whose classes are its own, two nodes of it in two processes. The first argument is how the second
starts.

Standard output: what the second node's process learned, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

from casty import Actor, Context, DistributedActorSystem

SECONDS = 30.0


class Tone(Enum):
    WARM = 1
    COLD = 2


@dataclass(frozen=True)
class Greet:
    @dataclass(frozen=True)
    class Whom:
        name: str

    whom: Whom
    tone: Tone


@dataclass(frozen=True)
class Greeting:
    text: str
    tone: Tone


class Greeter(Actor[Greet]):
    async def receive(self, msg: Greet, ctx: Context[Greet]) -> None:
        ctx.reply(Greeting(f"Hello, {msg.whom.name}", msg.tone))


def system(seed: str = "") -> DistributedActorSystem:
    here = DistributedActorSystem(
        "127.0.0.1",
        0,
        [seed] if seed else [],
        node_id="second" if seed else "first",
        member=False,
        trusted_modules=(__name__,),
    )
    here.register_type(Greet)
    return here


AT_IMPORT = system().types.plan(Greeting).name
"""What a class is called while the module still runs."""


def second(seed: str) -> None:
    asyncio.run(_second(seed))


async def _second(seed: str) -> None:
    said: dict[str, Any] = {"module": __name__, "at import": AT_IMPORT}
    async with asyncio.timeout(SECONDS), system(seed) as here:
        greeter = await here.lookup("greeter", Greeter, timeout=SECONDS)
        answer = await greeter.ask(Greet(Greet.Whom("you"), Tone.WARM), timeout=SECONDS)
        said["answer"] = answer.text
        said["is its own"] = isinstance(answer, Greeting) and answer.tone is Tone.WARM
        print(json.dumps(said), flush=True)


async def first(how: str) -> None:
    async with system() as here:
        await here.spawn(Greeter, name="greeter")
        context: Any = multiprocessing.get_context(how)
        process = context.Process(target=second, args=(str(here.listen),), daemon=True)
        process.start()
        await asyncio.get_running_loop().run_in_executor(None, process.join, SECONDS)


if __name__ == "__main__":
    asyncio.run(first(sys.argv[1]))
