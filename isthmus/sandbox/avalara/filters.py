"""Lists: the documented subset of $filter, $orderBy, $top and $skip, and the FetchResult they answer in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request

from isthmus.sandbox.avalara.errors import Refusal
from isthmus.sandbox.base import Record

MAX_TOP = 1000
Test = Callable[[Record], bool]
_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|\"[^\"]*\"|[()]|,|<>|!=|>=|<=|=|<|>|[^\s()',=<>!\"]+)")
_SYMBOLS = {"=": "eq", "<>": "ne", "!=": "ne", ">": "gt", ">=": "ge", "<": "lt", "<=": "le", "like": "contains"}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "ne": lambda a, b: bool(a != b),
    "gt": lambda a, b: bool(a > b),
    "ge": lambda a, b: bool(a >= b),
    "lt": lambda a, b: bool(a < b),
    "le": lambda a, b: bool(a <= b),
    "contains": lambda a, b: str(b).strip("%") in str(a),
    "startswith": lambda a, b: str(a).startswith(str(b)),
    "endswith": lambda a, b: str(a).endswith(str(b)),
}


class _Parser:
    """Recursive descent over ``field op value`` tests joined by and, or and parentheses."""

    def __init__(self, text: str, fields: frozenset[str], hidden: frozenset[str]) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.fields = {name.lower(): name for name in fields}
        self.hidden = {name.lower() for name in hidden}
        self.used: set[str] = set()

    def parse(self) -> Test:
        test = self._either()
        if self.at < len(self.tokens):
            raise Refusal("UnknownConjunctionError", f"'{self.tokens[self.at]}' does not join two tests.")
        return test

    def _peek(self) -> str:
        return self.tokens[self.at].lower() if self.at < len(self.tokens) else ""

    def _next(self) -> str:
        if self.at >= len(self.tokens):
            raise Refusal("SyntaxError", "The filter ends too early.", refers_to="$filter")
        self.at += 1
        return self.tokens[self.at - 1]

    def _either(self) -> Test:
        tests = [self._both()]
        while self._peek() == "or":
            self._next()
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(t(row) for t in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._peek() == "and":
            self._next()
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(t(row) for t in tests)

    def _one(self) -> Test:
        if self._peek() == "(":
            self._next()
            test = self._either()
            self._expect(")")
            return test
        name = self._field(self._next())
        word = self._next().lower()
        operator = _SYMBOLS.get(word, word)
        if operator == "in":
            return self._in(name)
        if operator == "between":
            low = self._value()
            self._expect("and")
            high = self._value()
            return lambda row: _compare("ge", row.get(name), low) and _compare("le", row.get(name), high)
        if operator not in _OPERATORS:
            raise Refusal("SyntaxError", f"'{word}' is not a filter operation.", refers_to="$filter")
        value = self._value()
        return lambda row: _compare(operator, row.get(name), value)

    def _in(self, name: str) -> Test:
        self._expect("(")
        values = [self._value()]
        while self._peek() == ",":
            self._next()
            values.append(self._value())
        self._expect(")")
        return lambda row: any(_compare("eq", row.get(name), value) for value in values)

    def _expect(self, token: str) -> None:
        if self._next().lower() != token:
            raise Refusal("SyntaxError", f"'{token}' is missing.", refers_to="$filter")

    def _field(self, token: str) -> str:
        if token.lower() in self.hidden:
            raise Refusal("FieldNotQueryableError", f"Field {token} cannot be filtered.", refers_to=token)
        if token.lower() not in self.fields:
            raise Refusal("InvalidQueryField", f"Field {token} is not known.", refers_to=token)
        self.used.add(self.fields[token.lower()])
        return self.fields[token.lower()]

    def _value(self) -> str:
        token = self._next()
        if token[0] in "'\"":
            return token[1:-1].replace("''", "'")
        return token


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if not match:
            raise Refusal("UnterminatedValueError", "A quoted value does not end.", refers_to="$filter")
        tokens.append(match.group(1))
        at = match.end()
    return tokens


def _compare(operator: str, own: Any, value: str) -> bool:
    """Typed by the record's own value: numbers as numbers, flags as flags, text without regard to case."""
    if own is None:
        return operator == "ne"
    if isinstance(own, bool):
        return _OPERATORS[operator](own, value.lower() == "true")
    if isinstance(own, int | float) and operator not in ("contains", "startswith", "endswith"):
        try:
            return _OPERATORS[operator](own, float(value))
        except ValueError:
            raise Refusal("InvalidQueryValue", f"'{value}' is not a number.", refers_to="$filter") from None
    return _OPERATORS[operator](str(own).lower(), value.lower())


def compile_filter(text: str, fields: frozenset[str], hidden: frozenset[str]) -> tuple[Test, set[str]]:
    """(test, fields it looks at) of a $filter; no filter lets everything through."""
    if not text.strip():
        return (lambda row: True), set()
    parser = _Parser(text, fields, hidden)
    return parser.parse(), parser.used


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdigit():
        raise Refusal("InvalidQueryValue", f"{name} is not a whole number.", refers_to=name)
    return int(text)


def fetch(request: Request, rows: list[Record], order: str = "id") -> Record:
    """The FetchResult of rows already filtered: ordered, skipped, cut at $top and at the vendor's 1,000."""
    for part in reversed((request.query_params.get("$orderBy") or order).split(",")):
        name, _, direction = part.strip().partition(" ")
        rows = _ordered(rows, name, direction.strip().lower() == "desc")
    skip = _whole(request, "$skip", 0)
    top = min(_whole(request, "$top", MAX_TOP) or MAX_TOP, MAX_TOP)
    answer: Record = {"@recordsetCount": len(rows), "value": rows[skip : skip + top]}
    if skip + top < len(rows):
        kept = [(k, v) for k, v in request.query_params.items() if k not in ("$skip", "$top")]
        query = "&".join(f"{k}={quote(v)}" for k, v in [*kept, ("$top", str(top)), ("$skip", str(skip + top))])
        answer["@nextLink"] = f"{request.url.scheme}://{request.url.netloc}{request.url.path}?{query}"
    return answer


def _ordered(rows: list[Record], name: str, descending: bool) -> list[Record]:
    return sorted(rows, key=lambda row: _sort_key(row.get(name)), reverse=descending)


def _sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, int | float) else (2, str(value))
