"""Asks whose payload is refused as a whole are answered, where their id can be read (MSG-3, PAYLOAD-6)."""

from __future__ import annotations

import msgpack
import pytest

from casty.errors import SerializationError
from casty.wire import _protocol as p
from casty.wire.frames import Frame, encode_frame
from tests.cluster.actors import Echo
from tests.cluster.harness import client
from tests.cluster.peers import peer_of
from tests.support import run
from tests.wire.nodes import new_node


def nested(levels: int) -> object:
    value: object = None
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "message", [msgpack.packb(nested(256)), b"\x91" * 5000 + b"\xc0", b"\xdd\xff\xff\xff\xff"]
)
def test_an_ask_too_deep_is_complained_of_and_answered(message: bytes) -> None:
    """MSG-3, PAYLOAD-6: ERROR for people, ASK_RES for the asker; the connection stays."""

    async def main() -> None:
        async with client(node_id="a") as a:
            await a.spawn(Echo, name="echo")
            async with peer_of(a) as speaker:
                speaker.send(encode_frame(p.ASK_REQ, "echo", b"\x82\xa2id\x07\xa7message" + message))
                assert (await speaker.error())[1] == "PAYLOAD-6"
                answer = (await speaker.answer(7)).payload
                assert (answer["code"], answer["error_type"]) == ("BAD_MESSAGE", "SerializationError")
                assert (await speaker.ask("echo", 1, 8))["value"] == 1

    run(main())


@pytest.mark.parametrize(
    ("payload", "number"),
    [
        (b"\x82\xa2id\xcf" + b"\xff" * 8 + b"\xa7message" + b"\x91" * 300, 2**64 - 1),
        (b"\x82\xa7message\x90\xa2id\x05", 5),
        (b"\x82\xa7message" + b"\x91" * 5000 + b"\xa2id\x05", None),
        (b"\x82\xa2id\xa1x\xa7message" + b"\x91" * 300, None),
        (b"\x82\xa2id\xc4\xff" + bytes(255) + b"\xa7message\xc0", None),
        (b"\x81\xa2id", None),
        (b"\xdf\xff\xff\xff\xff\x01\x02", None),
        (b"\x91\x01", None),
        (b"", None),
    ],
)
def test_an_id_is_read_only_where_nothing_else_must_be(payload: bytes, number: int | None) -> None:
    """MSG-3, PAYLOAD-6: without recursion, and without memory for what is announced."""
    assert new_node().messages.ask_id(Frame(p.ASK_REQ, "echo", payload)) == number


def test_only_an_ask_has_an_id_to_answer() -> None:
    """MSG-3."""
    assert new_node().messages.ask_id(Frame(p.LOOKUP_REQ, "echo", b"\x81\xa2id\x05")) is None


def test_this_implementation_sends_no_ask_that_is_too_deep() -> None:
    """PAYLOAD-6: the asker learns it at once, and the ask is closed."""

    async def main() -> None:
        async with client(node_id="a") as a:
            await a.spawn(Echo, name="echo")
            async with client(a, node_id="b") as b:
                echo = await b.lookup("echo", timeout=10)
                assert await echo.ask(nested(255)) == nested(255)
                with pytest.raises(SerializationError, match="nested deeper than 256 levels"):
                    await echo.ask(nested(256))
                assert len(b.asks) == 0

    run(main())
