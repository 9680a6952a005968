"""Filter expressions: `type==APPEND_ENTRIES_REQ and term>=3 and src=="n1"`.

    expression  = conjunction *( ("or" | "||") conjunction )
    conjunction = negation *( ("and" | "&&") negation )
    negation    = ("not" | "!") negation | comparison
    comparison  = "(" expression ")" | field [ operator value | "in" "(" value *( "," value ) ")" ]
    operator    = "==" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "contains"
    value       = number | string | "true" | "false" | "nil" | a type's name or alias | field

A field alone holds where the frame has it, and it is not false. A comparison with a field that the frame has
not, or of values that cannot be compared, does not hold. A list is compared with a number by its length; of
several values, one that fits is enough, but `!=` wants all of them different. `~` searches for a regular
expression.
"""

from __future__ import annotations

import operator
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast

from wire_dump.fields import ABOUT, INNER, SPECIFIED, TYPES, is_known, values
from wire_dump.mistakes import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wire_dump.events import Event

type Filter = Callable[[Event], bool]

NESTING_MAX: Final = 50


class FilterError(UsageError):
    """An expression that makes no sense; the message shows where, with a caret."""

    def __init__(self, text: str, at: int, expected: str) -> None:
        super().__init__(f"{expected}\n  {text}\n  {' ' * at}^")
        self.at = at


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


_TOKENS: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?(?:0[xX][0-9A-Fa-f]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
      | (?P<operator>==|!=|<=|>=|<|>|~|&&|\|\||!|\(|\)|,)
      | (?P<word>[A-Za-z_$][\w$]*(?:\.[\w$@:-]+)*)""",
    re.VERBOSE,
)
_SYMBOLS: Final = {"&&": "and", "||": "or", "!": "not"}
_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=", "~", "contains", "in")
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}


def parse(text: str) -> Filter:
    """The filter that the expression describes. Raises `FilterError`."""
    return _Parser(text).whole()


class _Field(NamedTuple):
    name: str


type _Value = _Field | str | int | float | bool | re.Pattern[str] | None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._cut())
        self._at = 0
        self._nesting = 0

    def whole(self) -> Filter:
        found = self._expression()
        if self._token.kind != "end":
            self._fail("expected and, or, or the end")
        return found

    def _cut(self) -> Sequence[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(self._text):
            match = _TOKENS.match(self._text, at)
            if match is None:
                hints = {
                    "'": "this string does not end",
                    '"': "this string does not end",
                    "=": "equal is written ==",
                }
                raise FilterError(self._text, at, hints.get(self._text[at], "not understood"))
            kind = str(match.lastgroup)
            if kind != "space":
                shown = _SYMBOLS.get(match[0], match[0])
                tokens.append(_Token(kind, shown, at))
            at = match.end()
        return [*tokens, _Token("end", "", len(self._text))]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> bool:
        """Goes on if the next token is one of these, and not a string that happens to read so."""
        if self._token.text in texts and self._token.kind != "string":
            self._at += 1
            return True
        return False

    def _fail(self, expected: str) -> NoReturn:
        raise FilterError(self._text, self._token.at, expected)

    def _expression(self) -> Filter:
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            self._fail(f"nested deeper than {NESTING_MAX}")
        parts = [self._conjunction()]
        while self._take("or"):
            parts.append(self._conjunction())
        self._nesting -= 1
        return parts[0] if len(parts) == 1 else lambda event: any(part(event) for part in parts)

    def _conjunction(self) -> Filter:
        parts = [self._negation()]
        while self._take("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda event: all(part(event) for part in parts)

    def _negation(self) -> Filter:
        inverted = False
        while self._take("not"):
            inverted = not inverted
        inner = self._comparison()
        return (lambda event: not inner(event)) if inverted else inner

    def _comparison(self) -> Filter:
        if self._take("("):
            inner = self._expression()
            if not self._take(")"):
                self._fail("expected a closing parenthesis")
            return inner
        name = self._field().name
        for symbol in _COMPARISONS:
            if self._take(symbol):
                return self._set(name) if symbol == "in" else _compared(name, symbol, self._value(symbol, name))
        return lambda event: any(value is not False for value in values(event, name))

    def _set(self, name: str) -> Filter:
        if not self._take("("):
            self._fail("expected an opening parenthesis and values")
        choices = [_compared(name, "==", self._value("==", name))]
        while self._take(","):
            choices.append(_compared(name, "==", self._value("==", name)))
        if not self._take(")"):
            self._fail("expected a comma or a closing parenthesis")
        return lambda event: any(choice(event) for choice in choices)

    def _field(self) -> _Field:
        token = self._token
        if token.kind != "word" or token.text in ("and", "or", "in", "contains"):
            self._fail("expected the name of a field")
        if not is_known(token.text):
            close = get_close_matches(token.text, [*ABOUT, *sorted(SPECIFIED)], 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            if (holder := token.text.partition(".")[0]) in INNER:
                hint = f"; {holder} have {', '.join(INNER[holder])}"
            if token.text in TYPES:
                hint = f"; for frames of a type: type=={token.text}"
            self._fail(f"there is no field {token.text}{hint}")
        self._at += 1
        return _Field(token.text)

    def _value(self, symbol: str, name: str) -> _Value:
        token = self._token
        if token.kind == "string":
            self._at += 1
            return self._string(token, symbol, name)
        if token.kind == "number":
            self._at += 1
            return self._number(token)
        if token.kind == "word" and token.text in _CONSTANTS:
            self._at += 1
            return _CONSTANTS[token.text]
        if token.kind == "word" and token.text.upper() in TYPES and not is_known(token.text):
            self._at += 1
            return TYPES[token.text.upper()]
        if token.kind == "word" and not is_known(token.text):
            known = ", ".join(sorted(TYPES)) if name == "type" else f'a string is written "{token.text}"'
            self._fail(f"there is no {'type' if name == 'type' else 'field'} {token.text}: {known}")
        if token.kind != "word":
            self._fail("expected a value")
        return self._field()

    def _number(self, token: _Token) -> int | float:
        text = token.text.lower()
        try:
            if "x" in text:
                return int(text, 16)
            return float(text) if re.search(r"[.e]", text) else int(text)
        except ValueError:
            raise FilterError(self._text, token.at, "too many digits") from None

    def _string(self, token: _Token, symbol: str, name: str) -> _Value:
        text = re.sub(r"\\(.)", r"\1", token.text[1:-1]) if symbol != "~" else token.text[1:-1]
        if symbol == "~":
            try:
                return re.compile(text)
            except re.error as error:
                raise FilterError(
                    self._text, token.at + 1 + (error.pos or 0), f"no regular expression: {error.msg}"
                ) from None
        if name == "type":
            if text.upper() not in TYPES:
                raise FilterError(self._text, token.at, f"there is no type {text}: {', '.join(sorted(TYPES))}")
            return TYPES[text.upper()]
        return text


_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "contains": lambda whole, part: part in whole,
}


def _compared(name: str, symbol: str, wanted: _Value) -> Filter:
    if symbol == "!=":
        equal = _compared(name, "==", wanted)
        return lambda event: bool(values(event, name)) and not equal(event)

    def holds(event: Event) -> bool:
        others = values(event, wanted.name) if isinstance(wanted, _Field) else [wanted]
        return any(_fits(value, symbol, other) for value in values(event, name) for other in others)

    return holds


def _fits(value: Any, symbol: str, wanted: Any) -> bool:
    if isinstance(value, bytes) and isinstance(wanted, str | re.Pattern):
        value = value.hex()
    if isinstance(wanted, re.Pattern):
        return isinstance(value, str) and cast("re.Pattern[str]", wanted).search(value) is not None
    if isinstance(value, list | tuple | dict) and isinstance(wanted, int) and symbol != "contains":
        value = len(cast("Any", value))
    if isinstance(value, bool) is not isinstance(wanted, bool) and symbol != "contains":
        return False  # true is not 1
    try:
        return bool(_ORDERS["==" if symbol == "~" else symbol](value, wanted))
    except TypeError:
        return False
