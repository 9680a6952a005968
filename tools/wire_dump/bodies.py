"""Makes users' values, right and wrong, in the form of `jsonform`: bodies that fit their codes, and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random


def worse_value(rng: random.Random) -> Any:
    """A value that is wrong, or that is seldom sent."""
    if rng.random() < 0.8:
        return _extension(rng, 0)
    value = rng.choice(_RARE)
    match rng.randrange(4):
        case 0:
            return [1, value]
        case 1:
            return {"a": value}
        case 2:
            return {"$ext": {"code": rng.choice((1, 2, 3, 6)), "body": ["a:B", value]}}
        case _:
            return value


def _extension(rng: random.Random, depth: int) -> dict[str, Any]:
    """An extension value; mostly with a body of its own kind, now and then within others."""
    code, body = rng.choice(_PAIRS)
    if rng.random() < 0.1:
        code = rng.choice((*_BODIES, 15, -1))
    if depth < 3 and rng.random() < 0.2:
        inner = _extension(rng, depth + 1)
        shapes: tuple[Any, ...] = (
            [inner],
            {"a": inner},
            {"$map": [[inner, 1], [[1], 2]]},
            {"$map": [[inner, 1]]},
            ["a:B", {"x": inner}],
        )
        return {"$ext": {"code": rng.choice((1, 3, 4, 5)), "body": rng.choice(shapes)}}
    return {"$ext": {"code": code, "body": body}}


_NAN: Final = {"$f64": "nan"}
_RARE: Final[tuple[Any, ...]] = (
    "long " * 20,
    {"$bin": "00" * 100},
    list(range(9)),
    [[[[[["deep"]]]]]],
    {"$map": [[{"$ext": {"code": 3, "body": [[1]]}}, 1]]},
    {"$map": [[{"$ext": {"code": 3, "body": [1]}}, 1]]},
    {"$map": [[1, "a"], [True, "b"]]},
    {"$map": [[1, "a"], [{"$f64": "1.0"}, "b"]]},
    {"$map": [[_NAN, "a"], [_NAN, "b"]]},
    {"$map": [["a", 1], ["a", 2]]},
    {"$map": [[{"b": 1}, 1]]},
    {"$map": [[None, 1], [{"$bin": "00"}, 2]]},
    {"$ext": {"code": 13, "body": {"$bin": "7f" * 40}}},
    {"$raw": "c1"},
    {"$raw": "ca3fc00000"},
)
"""Values that are nested, long, or keys of each other."""

_CLOCKS: Final[tuple[tuple[Any, ...], ...]] = (
    ("03:04:05.000000", 0, None),
    ("03:04:05.000000+01:00", 1, None),
    ("03:04:05.000000", 0, "Europe/Berlin"),
    ("03:04:05.000000+01:00", 0, "Europe/Berlin"),
    ("03:04:05.000000", 2, None),
    ("03:04:05.000000", 0, "../etc"),
    ("25:04:05.000000", 0, None),
    ("25:03:04:05.000000", 0, None),
    ("03:04:05.000000+25:00", 0, None),
    ("03:04:05.000000+01:00:00", 0, None),
    ("03:04:05.000000+01:00:30", 0, None),
    ("03:04:05.000000+01:00:30.500000", 0, None),
    ("03:04:05.000000-00:00", 0, None),
    ("03:04:05.000000+1:00", 0, None),
    ("03:04:05.000000+01:00:00.000000", 0, None),
    ("x03:04:05.000000", 0, None),
    ("03:04:05.000000", 0, 5),
)

_BODIES: Final[dict[int, tuple[Any, ...]]] = {
    1: (
        ["a:B", {}],
        ["a:B", {"x": 1}],
        ["a:B", 5],
        ["nobody", {}],
        ["a:B", {"$map": [[1, 2]]}],
        [],
        None,
        {"a": 1},
    ),
    2: (["n1", "counter"], ["n1", "@1"], ["n1", ""], ["n 1", "a"], ["n1", 5], [["n1"], {"a": 1}], []),
    3: ([], [1, [2]], None, "x", {"$raw": "c1"}, {"$raw": "91" * 300}),
    4: ([], [1, 2], [1, 1], [[1]], [{"a": 1}], 5),
    5: ([], [1, 2], [1, 1], [[1]], [1, {"$f64": "1.0"}], [_NAN, _NAN], [None, None], 5),
    6: (["a:B", 1], ["a:B", None], ["nobody", 1], [5, 1], [{"$ext": {"code": 3, "body": []}}, 1], []),
    7: (
        *([f"2026-01-02T{text}", fold, zone] for text, fold, zone in _CLOCKS),
        ["2026-02-30T03:04:05.000000", 0, None],
        ["2026-01-02 03:04:05.000000", 0, None],
        [1, 0, None],
        [],
    ),
    8: ("2026-01-02", "2026-13-02", "2026-1-2", 5),
    9: (*([text, fold, zone] for text, fold, zone in _CLOCKS), [1, 0, None], []),
    10: (
        [1, 2, 3],
        [0, -1, 5],
        [1, 2, 99_999_999],
        [1, 86_400, 0],
        [9_999_999_999, 0, 0],
        [1, 2],
        ["1", 2, 3],
    ),
    11: ("-12.50", "1E+3", "NaN", "-0012", "x", 5, "sNaN1", "1e5"),
    12: ({"$bin": "00" * 16}, {"$bin": "00"}, {"$bin": ""}),
    13: (
        {"$bin": "01" + "00" * 8},
        {"$bin": "00"},
        {"$bin": ""},
        {"$bin": "00" * 12},
        {"$bin": "ff" + "00" * 9},
        5,
    ),
    14: ([{"$f64": "1.0"}, _NAN], [1, 2], [], [{"$f64": "1.0"}]),
}
"""By the code: bodies that are its own, and bodies that nearly are."""
_PAIRS: Final = [(code, body) for code, bodies in _BODIES.items() for body in bodies]
