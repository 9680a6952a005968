"""Traces of the simulator in `tests/sim`, as a proxy between its processes would have recorded them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casty.wire.messages import Hello, MessageCodec
from casty.wire.payload import ValueCodec
from casty.wire.types import TypeRegistry
from conformance.trace.record import Sent
from conformance.wire.frame import FrameReader
from tests.sim.plan import draw_plan
from tests.sim.run import _live_through  # pyright: ignore[reportPrivateUsage] -- a run whose messages we want
from tests.sim.violation import Violation as SimViolation
from tests.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from casty.raft.messages import Message
    from conformance.trace.record import Record
    from tests.sim.network import Connection
    from tests.sim.process import Process

CODEC = MessageCodec(ValueCodec(TypeRegistry()))


class Recorder:
    """Sits between all processes of a world. What is sent is recorded when it leaves; or, with `late`, when it
    arrives, so that frames of two connections stand in another order than they were written in."""

    def __init__(self, world: World, tell: Callable[[Record], None], *, late: bool) -> None:
        self._world = world
        self._tell = tell
        network: Any = world.network
        self._say_hello, self._send, self._arrive = network._say_hello, network._send, network._arrive
        network._say_hello = self.say_hello
        if late:
            network._arrive = self.arrive
        else:
            network._send = self.send
        self._seen: set[tuple[int, bool, int]] = set()
        self._alive: list[Message] = []
        """Keeps the ids in `_seen` unique."""

    def say_hello(self, process: Process, connection: Connection) -> None:
        if process is connection.dialler:
            for end in (connection.dialler, connection.acceptor):
                self._record(connection, end, CODEC.encode(self._hello(end)))
        self._say_hello(process, connection)

    def _hello(self, process: Process) -> Hello:
        server = process.server
        size = self._world.plan.options.expected_size
        configuration = process.raft.configuration
        cluster_id = configuration.cluster_id if configuration is not None else None
        return Hello(
            server.node_id, "casty", server.store_id, process.boot_id, "raft", "127.0.0.1:1", size, cluster_id
        )

    def send(self, connection: Connection, there: bool, message: Message) -> None:
        self._record_raft(connection, there, message)
        self._send(connection, there, message)

    def arrive(self, connection: Connection, there: bool, message: Message) -> None:
        mark = (connection.number, there, id(message))
        if mark not in self._seen:
            self._seen.add(mark)
            self._alive.append(message)
            self._record_raft(connection, there, message)
        self._arrive(connection, there, message)

    def _record_raft(self, connection: Connection, there: bool, message: Message) -> None:
        source = connection.dialler if there else connection.acceptor
        self._record(connection, source, CODEC.encode_raft(source.server.node_id, message))

    def _record(self, connection: Connection, source: Process, data: bytes) -> None:
        frames = FrameReader()
        frames.feed(data)
        frame = frames.next_frame()
        assert frame is not None
        target = connection.other(source).server.node_id
        time = self._world.schedule.now / 1000
        self._tell(Sent(time, connection.number, source.server.node_id, target, frame))


def simulate(seed: int, tell: Callable[[Record], None], *, late: bool = False) -> str:
    """Runs one seed and tells its records; what the simulator's own observer says of the run."""
    plan = draw_plan(seed)
    world = World(plan)
    Recorder(world, tell, late=late and not plan.reordering)
    try:
        return _live_through(world)
    except SimViolation as violation:
        return f"{violation.invariant}: {violation.text}"
