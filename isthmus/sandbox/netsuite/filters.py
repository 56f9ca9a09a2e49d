"""The q parameter of a collection: conditions on fields, joined with AND, OR and parentheses."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.books import hours
from isthmus.sandbox.netsuite.schema import Field, RecordType
from isthmus.sandbox.netsuite.shapes import Refusal

Test = Callable[[Record], bool]
_TOKEN = re.compile(r"""\s*(\(|\)|\[[^\]]*\]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s()\[\]]+)""")
_TEXT: dict[str, Callable[[str, str], bool]] = {
    "IS": operator.eq,
    "CONTAIN": operator.contains,
    "START_WITH": str.startswith,
    "ENDWITH": str.endswith,
    "END_WITH": str.endswith,
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "EQUAL": operator.eq,
    "GREATER": operator.gt,
    "GREATER_OR_EQUAL": operator.ge,
    "LESS": operator.lt,
    "LESS_OR_EQUAL": operator.le,
}
_WHEN: dict[str, Callable[[Any, Any], bool]] = {
    "ON": operator.eq,
    "AFTER": operator.gt,
    "ON_OR_AFTER": operator.ge,
    "BEFORE": operator.lt,
    "ON_OR_BEFORE": operator.le,
}
_SETS = {"ANY_OF", "BETWEEN", "WITHIN"}
_DATE_FORMS = ("%m/%d/%Y", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S")


def compile_filter(record_type: RecordType, text: str) -> Test:
    """A test on records from the text of q; Refusal when the text is not understood."""
    tokens = _TOKEN.findall(text)
    parser = _Parser(record_type, tokens)
    test = parser.alternatives()
    if parser.at < len(tokens):
        raise _bad(f"unexpected {tokens[parser.at]}")
    return test


class _Parser:
    def __init__(self, record_type: RecordType, tokens: list[str]) -> None:
        self.fields = {name.lower(): made for name, made in record_type.fields.items()}
        self.tokens = tokens
        self.at = 0

    def _next(self) -> str:
        if self.at >= len(self.tokens):
            raise _bad("the condition ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def _peek(self, word: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].upper() == word

    def alternatives(self) -> Test:
        """Conditions joined with OR."""
        tests = [self._conjunction()]
        while self._peek("OR"):
            self.at += 1
            tests.append(self._conjunction())
        return lambda record: any(test(record) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._condition()]
        while self._peek("AND"):
            self.at += 1
            tests.append(self._condition())
        return lambda record: all(test(record) for test in tests)

    def _condition(self) -> Test:
        token = self._next()
        if token == "(":
            inner = self.alternatives()
            if self._next() != ")":
                raise _bad("a closing parenthesis is missing")
            return inner
        made = self.fields.get(token.lower()) or (Field(token, "str") if token.startswith("cust") else None)
        if made is None or made.kind in ("lines", "obj"):
            raise _bad(f"the field {token} cannot be used in a filter")
        word = self._next().upper()
        plain = word.removesuffix("_NOT")
        if plain == "EMPTY":
            return _negated(word, lambda record: record.get(made.name) in (None, "", []))
        return _negated(word, _test(made, plain, self._values()))

    def _values(self) -> list[str]:
        token = self._next()
        if not token.startswith("["):
            return [_unquoted(token)]
        return [_unquoted(part) for part in re.findall(r'"[^"]*"|\'[^\']*\'|[^\s,]+', token[1:-1])]


def _test(made: Field, word: str, values: list[str]) -> Test:
    """One condition, by the kind of the field."""
    if made.kind in ("num", "int", "duration") and (word in _ORDER or word in _SETS):
        return _number_test(made, word, values)
    if made.kind in ("date", "datetime") and word in _WHEN and len(values) == 1:
        return _date_test(made, word, values[0])
    if made.kind == "bool" and word == "IS":
        wanted = values[0].lower() in ("true", "t")
        return lambda record: bool(record.get(made.name, False)) is wanted
    if made.kind in ("ref", "enum", "any", "dim") and word in ("IS", "EQUAL", "ANY_OF"):
        return lambda record: _id_of(record.get(made.name)) in values
    if made.name == "id" and word in ("EQUAL", "ANY_OF"):
        return lambda record: record["id"] in values
    if made.kind == "str" and word in _TEXT:
        compare, wanted_text = _TEXT[word], values[0].lower()
        return lambda record: compare(str(record.get(made.name, "")).lower(), wanted_text)
    raise _bad(f"the operator {word} does not fit the field {made.name}")


def _number_test(made: Field, word: str, values: list[str]) -> Test:
    try:
        wanted = [hours(v) if made.kind == "duration" and ":" in v else Decimal(v) for v in values]
    except InvalidOperation:
        raise _bad(f"the field {made.name} is compared with numbers only") from None

    def test(record: Record) -> bool:
        raw = record.get(made.name)
        if raw is None:
            return False
        value = hours(raw) if made.kind == "duration" else raw
        if word == "ANY_OF":
            return value in wanted
        if word in _SETS:
            return bool(wanted[0] <= value <= wanted[-1])
        return _ORDER[word](value, wanted[0])

    return test


def _date_test(made: Field, word: str, value: str) -> Test:
    wanted = _moment(value)
    whole_day = made.kind == "date" or not re.search(r"\d:\d", value)
    compare = _WHEN[word]

    def test(record: Record) -> bool:
        raw = record.get(made.name)
        if raw is None:
            return False
        moment = datetime.fromisoformat(raw.replace("Z", "")).replace(tzinfo=None)
        return compare(moment.date(), wanted.date()) if whole_day else compare(moment, wanted)

    return test


def _moment(text: str) -> datetime:
    """A date as the account writes it (month first), or ISO."""
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text.replace("Z", "")).replace(tzinfo=None)
    except ValueError:
        raise _bad(f"{text} is not a date") from None


def _negated(word: str, test: Test) -> Test:
    return (lambda record: not test(record)) if word.endswith("_NOT") else test


def _id_of(value: Any) -> str:
    return str(cast(Record, value).get("id", "") if isinstance(value, dict) else value)


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token[:1] in "\"'" else token


def _bad(reason: str) -> Refusal:
    return Refusal(400, "INVALID_PARAMETER", f"Invalid query parameter q: {reason}.", parameter="q")
