"""The golden vectors of `spec/vectors`, as bytes to send to a node: beside a checkout, or in the package."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from conformance._protocol import FRAME_BYTES_MAX, HELLO_BYTES_MAX
from conformance.verdict import HarnessError
from conformance.wire.frame import Frame, FrameReader

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE: Final = Path(__file__).resolve().parent
_FOLDERS: Final = (_HERE.parent / "spec" / "vectors", _HERE.parent / "casty" / "spec" / "vectors")
_ELSEWHERE: Final = re.compile(rb"10\.0\.0\.([0-9]):8001")


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector; `spec/vectors/README.md` says what its keys mean."""

    id: str
    file: str
    """Its file, as `valid/frames`."""
    rules: tuple[str, ...]
    chunks: tuple[bytes, ...]
    """The bytes, in the pieces they arrive in."""
    is_hello: bool
    """Whether it is the first frame of a connection."""
    limit: int | None
    """The receiver's limit, where it is not the default."""
    payload: Any
    """Of a valid vector what its payload means, as JSON."""
    codes: frozenset[str]
    """Of an invalid one the codes of which one may be answered."""
    stage: str
    """Of an invalid one where its mistake shows."""
    closes: bool
    """Whether the connection is closed for it."""

    @property
    def wire(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def frame(self) -> Frame | None:
        """The one frame that the bytes are; None where they are none, or not all of one."""
        reader = FrameReader(2**32 + 2**16)
        reader.feed(self.wire)
        frame = reader.next_frame()
        return frame if frame is not None and not reader.rest else None

    @property
    def fits_every_node(self) -> bool:
        """Whether it is about the limits that every node has unless it is told others."""
        return self.limit in (None, FRAME_BYTES_MAX, HELLO_BYTES_MAX)


@cache
def vectors() -> tuple[Vector, ...]:
    """All of them, in the order of their files. Raises `HarnessError` where the package has none."""
    for folder in _FOLDERS:
        if files := sorted(folder.glob("*/*.json")):
            return tuple(vector for file in files for vector in _read(file))
    raise HarnessError(f"no golden vectors in {' or '.join(map(str, _FOLDERS))}")


def valid(*files: str) -> list[Vector]:
    """The valid vectors of these files."""
    return [vector for vector in vectors() if vector.file in {f"valid/{file}" for file in files}]


def invalid(*files: str) -> list[Vector]:
    """The invalid vectors of these files."""
    return [vector for vector in vectors() if vector.file in {f"invalid/{file}" for file in files}]


def _read(file: Path) -> list[Vector]:
    content = json.loads(file.read_text(encoding="utf-8"))
    return [_vector(f"{file.parent.name}/{file.stem}", fields) for fields in content["vectors"]]


def _vector(file: str, fields: Mapping[str, Any]) -> Vector:
    return Vector(
        id=fields["id"],
        file=file,
        rules=tuple(fields["rules"]),
        chunks=tuple(_at_home(bytes.fromhex(chunk)) for chunk in fields.get("chunks", [fields["wire"]])),
        is_hello=fields.get("form") == "hello",
        limit=fields.get("limit"),
        payload=fields["frame"]["payload"] if "frame" in fields else None,
        codes=frozenset(fields.get("error", ())),
        stage=fields.get("stage", ""),
        closes=fields.get("connection") == "close",
    )


def _at_home(wire: bytes) -> bytes:
    """With addresses of this machine, as long as those in the vectors: a suite makes nodes dial nobody else."""
    return _ELSEWHERE.sub(rb"127.0.0.1:80\1", wire)
