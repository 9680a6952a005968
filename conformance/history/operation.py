"""What one client asked of `$kv`, when, and what it learned."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

type Scalar = bool | int | float | str | bytes | None

OPS = ("put", "get", "cas", "incr", "append", "delete")
OUTCOMES = ("ok", "failed", "unknown")


@dataclass(slots=True)
class Operation:
    """One operation of one client. Times are seconds, monotonic, of one clock for the whole history."""

    client: int
    op: str
    """put get cas incr append delete (spec/launch.md)"""
    key: str
    argument: Any
    """put, incr, append: the value; cas: (expect, value); get, delete: None"""
    called: float
    """Before the first byte of the request left"""
    returned: float | None
    """After the answer was read. It says nothing where the outcome is unknown: the effect may come later."""
    outcome: str
    """ok: `value` is its result · failed: certainly without effect, ever · unknown: at any time, or never"""
    value: Any = None
    node: str = ""
    """Who answered, or was asked last"""
    index: int | None = None
    term: int | None = None
    """Of its entry in the log, where the answer named one"""

    def __str__(self) -> str:
        return f"client {self.client}: {self.request} {self.answer}"

    @property
    def request(self) -> str:
        """`cas x 1 → 2`, `get x`"""
        match self.op:
            case "cas":
                expect, value = self.argument
                return f"cas {self.key} {shown(expect)} → {shown(value)}"
            case "get" | "delete":
                return f"{self.op} {self.key}"
            case _:
                return f"{self.op} {self.key} {shown(self.argument)}"

    @property
    def answer(self) -> str:
        """`= 3`, `ok`, `failed`, `?`"""
        if self.outcome != "ok":
            return "failed" if self.outcome == "failed" else "?"
        return "ok" if self.op == "put" else f"= {shown(self.value)}"


def shown(value: object) -> str:
    """A value as a person reads it, at most 40 characters."""
    match value:
        case None:
            text = "nil"
        case bool():
            text = "true" if value else "false"
        case _:
            text = repr(value)
    return text if len(text) <= 40 else f"{text[:20]}…{text[-19:]}"


# ------------------------------------------------------------------------------------------------------ files


def write_history(operations: Iterable[Operation], path: Path) -> None:
    """Keeps a history as one JSON object a line, so that it can be judged again."""
    with path.open("w", encoding="utf-8") as file:
        for operation in operations:
            row = {field.name: _plain(getattr(operation, field.name)) for field in fields(Operation)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_history(path: Path) -> list[Operation]:
    """The operations of such a file. Raises ValueError naming the line that is not one."""
    found: list[Operation] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = {name: _lively(value) for name, value in json.loads(line).items()}
            operation = Operation(**row)
        except (ValueError, TypeError, AttributeError) as error:
            msg = f"{path}, line {number}: expected an operation: {error}"
            raise ValueError(msg) from None
        if operation.op not in OPS or operation.outcome not in OUTCOMES:
            msg = f"{path}, line {number}: no such op or outcome: {operation.op!r}, {operation.outcome!r}"
            raise ValueError(msg)
        found.append(operation)
    return found


def _plain(value: Any) -> Any:
    """JSON has no bytes and no NaN; a tuple comes back as one."""
    if isinstance(value, bytes):
        return {"$bin": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$f64": repr(value)}
    if isinstance(value, tuple):
        return {"$pair": [_plain(item) for item in value]}  # pyright: ignore[reportUnknownVariableType] -- any
    return value


def _lively(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    [(tag, content)] = cast("dict[str, Any]", value).items()
    match tag:
        case "$bin":
            return bytes.fromhex(content)
        case "$f64":
            return float(content)
        case "$pair":
            return tuple(_lively(item) for item in content)
        case _:
            msg = f"no such value: {tag}"
            raise ValueError(msg)
