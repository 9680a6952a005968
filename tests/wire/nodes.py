"""A codec as a node has one, with refs that are nothing but their parts."""

from __future__ import annotations

from typing import NamedTuple

from casty.wire.frames import Frame, FrameDecoder
from casty.wire.messages import MessageCodec
from casty.wire.payload import ValueCodec
from casty.wire.types import TypeRegistry


class Ref:
    """Stands for an ActorRef."""

    def __init__(self, node_id: str, address: str) -> None:
        self.parts = (node_id, address)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Ref{self.parts}"


def value_codec(registry: TypeRegistry | None = None) -> ValueCodec:
    return ValueCodec(
        registry or TypeRegistry(),
        ref_parts=lambda value: value.parts if isinstance(value, Ref) else None,
        make_ref=Ref,
    )


class Node(NamedTuple):
    """One node's codecs over one registry."""

    registry: TypeRegistry
    values: ValueCodec
    messages: MessageCodec


def new_node(registry: TypeRegistry | None = None) -> Node:
    registry = registry or TypeRegistry()
    values = value_codec(registry)
    return Node(registry, values, MessageCodec(values))


def frames_in(data: bytes) -> list[Frame]:
    """The frames of a stream that ends with one."""
    decoder = FrameDecoder()
    decoder.receive_data(data)
    frames: list[Frame] = []
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)
    assert decoder.receive_eof() is None
    return frames


def frame_of(data: bytes) -> Frame:
    [frame] = frames_in(data)
    return frame
