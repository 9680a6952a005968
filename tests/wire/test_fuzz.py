"""Seeded mutations of the golden frames: only documented exceptions escape, and what decodes is sound (X-11).

    python -m tests.wire.test_fuzz SEED

replays what one failing seed did, with the bytes.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from casty.errors import ProtocolError, SerializationError
from casty.wire.frames import Frame, FrameDecoder
from casty.wire.messages import Heartbeat, Peers, WireMessage
from tests.wire.nodes import Node, frame_of, new_node
from tests.wire.orders import orders_registry
from tests.wire.test_vectors import encode, undecodable
from tests.wire.vectors import INVALID, VALID, wire_of

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = 60_000
BLOCKS = 6
INTERESTING = bytes(
    (0x00, 0x01, 0x7F, 0x80, 0x81, 0x90, 0x91, 0xA0, 0xC0, 0xC1, 0xC4, 0xC7, 0xC9, 0xCB, 0xCF, 0xD3)
)
INTERESTING += bytes((0xD4, 0xD6, 0xD8, 0xD9, 0xDC, 0xDD, 0xDF, 0xE0, 0xFF))
FRAMES = [wire for wire in map(wire_of, VALID * 4 + INVALID) if len(wire) < 2000]


def mutant(dice: random.Random) -> bytes:
    """One or two golden frames with a few bytes changed, added, removed, doubled or swapped."""
    data = bytearray(dice.choice(FRAMES))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                data[at : at + 1] = bytes([dice.choice(INTERESTING)])
            case 2:
                data[at:at] = bytes([dice.choice(INTERESTING)]) * dice.choice((1, 1, 4, 300))
            case 3:
                del data[at : at + dice.choice((1, 2, 5))]
            case 4:
                data[at:at] = data[dice.randrange(len(data) + 1) :][: dice.randrange(40)]
            case _:
                data += dice.choice(FRAMES)
    return mended(dice, data)


def mended(dice: random.Random, data: bytearray) -> bytes:
    """Mostly with a payload length that fits again, so that more than the frame is tried."""
    if dice.random() < 0.8 and len(data) >= 7:
        payload_start = 7 + int.from_bytes(data[1:3])
        if payload_start <= len(data):
            data[payload_start - 4 : payload_start] = (len(data) - payload_start).to_bytes(4)
    return bytes(data)


def try_out(node: Node, data: bytes, dice: random.Random) -> int:
    """Reads the stream as a node would. Returns how many frames could be decoded."""
    decoder = FrameDecoder(100_000)
    decoded = 0
    for piece in (data[: (cut := dice.randrange(len(data) + 1))], data[cut:]):
        decoder.receive_data(piece)
        while (frame := next_frame(decoder)) is not None:
            decoded += try_frame(node, frame)
    decoder.receive_eof()
    return decoded


def next_frame(decoder: FrameDecoder) -> Frame | None:
    try:
        return decoder.next_frame()
    except ProtocolError:
        return None


def try_frame(node: Node, frame: Frame) -> bool:
    """Decodes the frame as a first one and as any other. What comes out goes in again and means the same."""
    decoded = False
    for decode in (node.messages.decode_hello, node.messages.decode):
        message = decode_or_fault(decode, frame)
        if isinstance(message, ProtocolError):
            assert message.code and message.rule and len(message.text) < 1000
            continue
        decoded = True
        if undecodable(message) is None and not isinstance(message, Heartbeat | Peers):
            other = frame_of(encode(node, message, frame.name))
            twin = decode(other)
            # NaN equals nothing, but it is the same bytes.
            assert twin == message or frame_of(encode(node, twin, frame.name)) == other
    return decoded


def decode_or_fault(decode: Callable[[Frame], WireMessage], frame: Frame) -> WireMessage | ProtocolError:
    try:
        return decode(frame)
    except ProtocolError as fault:
        return fault


@pytest.mark.parametrize("block", range(BLOCKS))
def test_mutated_frames_raise_what_is_documented_and_nothing_else(block: int) -> None:
    """ERROR-3, PAYLOAD-*, VALUE-*: whatever a peer sends, the node knows what to do about it."""
    node = new_node(orders_registry())
    decoded = 0
    for seed in range(block, SEEDS, BLOCKS):
        dice = random.Random(seed)
        data = mutant(dice)
        try:
            decoded += try_out(node, data, dice)
        except Exception as error:
            command = f"python -m tests.wire.test_fuzz {seed}"
            pytest.fail(f"{type(error).__name__}: {error}\nreplay it with: {command}\nbytes: {data.hex()}")
    assert decoded > SEEDS // BLOCKS // 20  # else the mutants were too wild to try anything


def test_random_bytes_are_values_or_errors() -> None:
    """VALUE-1, VALUE-4: also without any frame around them."""
    codec = new_node(orders_registry()).values
    for seed in range(3000):
        dice = random.Random(seed)
        data = bytes(
            dice.choice(INTERESTING) if dice.random() < 0.5 else dice.randrange(256)
            for _ in range(dice.randrange(60))
        )
        try:
            value = codec.decode(data)
        except SerializationError:
            continue
        again = codec.decode(codec.encode(value))
        assert again == value or repr(again) == repr(value), seed


def main() -> None:
    seed = int(sys.argv[1])
    dice = random.Random(seed)
    data = mutant(dice)
    print(f"seed {seed}: {len(data)} bytes: {data.hex()}")
    print("frames decoded:", try_out(new_node(orders_registry()), data, dice))


if __name__ == "__main__":
    main()
