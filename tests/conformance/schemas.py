"""As much of JSON Schema as the schemas of this project use; a keyword it does not know is an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
}  # fmt: skip
_SAID_ONLY: Final = {"$schema", "$defs", "title", "description"}


def mistakes(
    value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$"
) -> list[str]:
    """Where the value is not as the schema says; empty if it is."""
    return list(_mistakes(value, schema, schema if root is None else root, at))


def _mistakes(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    for keyword, wanted in schema.items():
        match keyword:
            case "$ref":
                yield from _mistakes(value, root["$defs"][wanted.rpartition("/")[2]], root, at)
            case "type":
                if not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean"):
                    yield f"{at} is {value!r:.40}, no {wanted}"
            case "const":
                if value != wanted:
                    yield f"{at} is {value!r:.40}, not {wanted!r}"
            case "enum":
                if value not in wanted:
                    yield f"{at} is {value!r:.40}, none of {wanted}"
            case "pattern":
                if isinstance(value, str) and re.search(wanted, value) is None:
                    yield f"{at} is {value!r:.40}, which does not match {wanted}"
            case "minimum":
                if value < wanted:
                    yield f"{at} is {value}, less than {wanted}"
            case "exclusiveMinimum":
                if value <= wanted:
                    yield f"{at} is {value}, not more than {wanted}"
            case "minItems":
                if len(value) < wanted:
                    yield f"{at} has {len(value)} items, fewer than {wanted}"
            case "required":
                yield from (f"{at} lacks {name}" for name in wanted if name not in value)
            case "items":
                for number, item in enumerate(value):
                    yield from _mistakes(item, wanted, root, f"{at}[{number}]")
            case "properties":
                for name, rule in wanted.items():
                    if name in value:
                        yield from _mistakes(value[name], rule, root, f"{at}.{name}")
            case "additionalProperties":
                for name in value.keys() - schema.get("properties", {}).keys():
                    if wanted is False:
                        yield f"{at} has {name}, which nobody knows"
                    else:
                        yield from _mistakes(value[name], wanted, root, f"{at}.{name}")
            case _:
                assert keyword in _SAID_ONLY, f"{at}: {keyword} is not known here"
