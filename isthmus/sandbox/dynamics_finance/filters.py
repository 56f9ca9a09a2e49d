"""The $filter and $orderby of a request. Supported as documented: eq, ne, gt, ge, lt, le, and, or, not, parentheses,
a star in a text as any characters, and eq and ne on enumerations. ``in``, ``has`` and functions are not.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.dynamics_finance.errors import Refusal, bad_request
from isthmus.sandbox.dynamics_finance.schema import ENUMS, NAMESPACE, Entity
from isthmus.sandbox.dynamics_finance.values import moment, same, sort_key

Test = Callable[[Record], bool]
_TOKEN = re.compile(
    r"\s*(\(|\)|(?:[\w.]+)?'(?:[^']|'')*'|\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?|-?\d+(?:\.\d+)?|[\w./]+)"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


def compile_filter(entity: Entity, text: str) -> Test:
    """A test on records from the text of $filter."""
    parser = _Parser(entity, text)
    test = parser.alternatives()
    if parser.peek():
        raise bad_request(f"Syntax error at position {parser.position()} in '{text}'.")
    return test


def compile_order(entity: Entity, text: str) -> list[tuple[str, bool]]:
    """(field, descending) pairs from the text of $orderby."""
    found = []
    for part in [part.strip() for part in text.split(",") if part.strip()]:
        name, _, direction = part.partition(" ")
        if name not in entity.all_fields or direction.strip() not in ("", "asc", "desc"):
            raise no_property(entity, name)
        found.append((name, direction.strip() == "desc"))
    return found


def no_property(entity: Entity, name: str) -> Refusal:
    """The type has no such field."""
    return bad_request(f"Could not find a property named '{name}' on type '{NAMESPACE}.{entity.name}'.")


class _Parser:
    def __init__(self, entity: Entity, text: str) -> None:
        self.entity = entity
        self.text = text
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise bad_request(f"Syntax error at position {at} in '{text}'.")
            self.tokens.append(found[1])
            at = found.end()
        self.at = 0

    def position(self) -> int:
        return sum(len(token) + 1 for token in self.tokens[: self.at])

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _next(self) -> str:
        token = self.peek()
        if not token:
            raise bad_request(f"Expression expected at position {len(self.text)} in '{self.text}'.")
        self.at += 1
        return token

    def alternatives(self) -> Test:
        """Conditions joined with or."""
        tests = [self._conjunction()]
        while self.peek() == "or":
            self.at += 1
            tests.append(self._conjunction())
        return lambda record: any(test(record) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._condition()]
        while self.peek() == "and":
            self.at += 1
            tests.append(self._condition())
        return lambda record: all(test(record) for test in tests)

    def _condition(self) -> Test:
        token = self._next()
        if token == "not":
            inner = self._condition()
            return lambda record: not inner(record)
        if token == "(":
            inner = self.alternatives()
            if self._next() != ")":
                raise bad_request(f"')' or operator expected at position {self.position()} in '{self.text}'.")
            return inner
        if self.peek() == "(":
            raise bad_request(f"An unknown function with name '{token}' was found.")
        if token not in self.entity.all_fields:
            raise no_property(self.entity, token)
        word = self._next()
        return _test(token, self.entity.all_fields[token], word, self._next())


def _test(name: str, kind: str, word: str, token: str) -> Test:
    value = literal(kind, token)
    if word in ("eq", "ne"):
        equal = _like(str(value)) if kind == "s" and "*" in str(value) else lambda found: same(found, value)
        return (lambda record: equal(record[name])) if word == "eq" else lambda record: not equal(record[name])
    if word not in _COMPARE or kind in ENUMS:
        raise bad_request(f"The operator '{word}' is not supported here.")
    compare = _COMPARE[word]
    return lambda record: compare(sort_key(record[name]), sort_key(value))


def literal(kind: str, token: str) -> Any:
    """The value of a literal, for a field of this kind."""
    quoted = re.fullmatch(r"([\w.]*)'((?:[^']|'')*)'", token)
    if kind in ENUMS:
        if quoted and quoted[1] == f"{NAMESPACE}.{kind}" and quoted[2] in ENUMS[kind]:
            return quoted[2]
        raise bad_request(f"The string '{token}' is not a valid enumeration type constant.")
    if kind == "s" and quoted and not quoted[1]:
        return quoted[2].replace("''", "'")
    if kind == "d" and not quoted:
        return moment(token)
    if kind in ("i", "l", "n") and re.fullmatch(r"-?\d+(\.\d+)?", token):
        return Decimal(token) if kind == "n" else int(token)
    raise bad_request("A binary operator with incompatible types was detected.")


def _like(pattern: str) -> Callable[[Any], bool]:
    wanted = re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.IGNORECASE | re.DOTALL)
    return lambda found: wanted.fullmatch(str(found)) is not None
