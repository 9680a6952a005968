"""One golden vector, and a file of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vectormaker.bytes import Value, frame


@dataclass(frozen=True, slots=True)
class Group:
    """One file of vectors: its path below `spec/vectors`, what it shows, and what is in it."""

    path: str
    about: str
    vectors: tuple[dict[str, Any], ...]


def valid(
    id: str,
    type: int,
    name: str,
    payload: Value,
    comment: str,
    *rules: str,
    canonical: bool = True,
    chunks: tuple[int, ...] = (),
    **more: Any,
) -> dict[str, Any]:
    """A frame that is as the specification wants it. `chunks` are the lengths of the parts it arrives in.

    `canonical`: an encoder that follows PAYLOAD-7 makes just these bytes of the decoded value.
    """
    wire = frame(type, name, payload)
    return {
        "id": id,
        "comment": comment,
        "rules": list(rules),
        "result": "valid",
        "canonical": canonical,
        **more,
        "wire": wire.hex(),
        **_cut(wire, chunks),
        "frame": {"type": type, "name": name, "payload": payload.json},
    }


def invalid(
    id: str,
    wire: bytes,
    comment: str,
    *rules: str,
    stage: str,
    error: str | tuple[str, ...],
    connection: str = "keep",
    **more: Any,
) -> dict[str, Any]:
    """Bytes that break the rules, the stage at which that shows, and the codes that may be answered."""
    return {
        "id": id,
        "comment": comment,
        "rules": list(rules),
        "result": "invalid",
        "stage": stage,
        "error": [error] if isinstance(error, str) else list(error),
        "connection": connection,
        **more,
        "wire": wire.hex(),
    }


def _cut(wire: bytes, lengths: tuple[int, ...]) -> dict[str, Any]:
    if not lengths:
        return {}
    parts: list[str] = []
    for length in lengths:
        parts.append(wire[:length].hex())
        wire = wire[length:]
    return {"chunks": [*parts, wire.hex()]}
