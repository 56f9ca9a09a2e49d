"""SOQL as text: the words, the grammar and the tree. A subset: one object, parent fields, no child queries.

Modelled from the vendor's published material; not certified. Not covered: aggregates other than COUNT(), GROUP BY,
date literals such as TODAY, TYPEOF and child relationship queries; they are refused as MALFORMED_QUERY.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from isthmus.sandbox.platform.errors import ApiError

_WORDS = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))
    | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<op><=|>=|!=|<>|[=<>(),])
    | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_RESERVED = {"and", "or", "not", "from", "where", "order", "limit", "offset", "select", "like", "in"}
_OPERATORS = {"=", "!=", "<>", "<", "<=", ">", ">="}


@dataclass(frozen=True)
class Word:
    """One token and where it starts in the text."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Literal:
    """A value in a condition; kind is string, number, boolean, null, date or datetime."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Path:
    """A column, possibly through parents: ``Account.Name``."""

    text: str
    at: int


@dataclass(frozen=True)
class Comparison:
    """path operator values; operator is =, !=, <, <=, >, >=, in, not in or like."""

    path: Path
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Junction:
    """Terms joined by one of ``and``, ``or``, or one term under ``not``."""

    kind: str
    terms: tuple[Condition, ...]


Condition = Comparison | Junction


@dataclass(frozen=True)
class Ordering:
    """One ORDER BY column."""

    path: Path
    descending: bool
    nulls_last: bool


@dataclass
class Query:
    """A parsed SELECT."""

    text: str
    entity: str
    paths: list[Path] = field(default_factory=list)
    count: bool = False
    where: Condition | None = None
    order: list[Ordering] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


def malformed(text: str, at: int, why: str) -> ApiError:
    """The platform's refusal of a text it cannot read, with the place marked."""
    return ApiError(400, "MALFORMED_QUERY", f"\n{text}\n{' ' * at}^\nERROR at Row:1:Column:{at + 1}\n{why}")


def parse(text: str) -> Query:
    """The tree of a SELECT statement; MALFORMED_QUERY when it is none."""
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.words = self._split()
        self.position = 0

    def _split(self) -> list[Word]:
        words: list[Word] = []
        at = 0
        while not words or words[-1].kind != "end":
            match = _WORDS.match(self.text, at)
            if match is None:
                start = at + len(self.text[at:]) - len(self.text[at:].lstrip())
                raise malformed(self.text, start, f"unexpected token: '{self.text[start]}'")
            kind = str(match.lastgroup)
            words.append(Word(kind, match[kind], match.start(kind)))
            at = match.end()
        return words

    # -- moving over the words -----------------------------------------------------------------------------------
    @property
    def word(self) -> Word:
        return self.words[self.position]

    def fail(self) -> ApiError:
        shown = self.word.text or "<EOF>"
        return malformed(self.text, self.word.at, f"unexpected token: '{shown}'")

    def take(self, kind: str) -> Word:
        word = self.word
        if word.kind != kind:
            raise self.fail()
        self.position += 1
        return word

    def accept(self, text: str) -> bool:
        if self.word.kind in ("name", "op") and self.word.text.lower() == text:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.fail()

    # -- grammar -------------------------------------------------------------------------------------------------
    def query(self) -> Query:
        self.expect("select")
        made = Query(self.text, "")
        if self.word.text.lower() == "count" and self.words[self.position + 1].text == "(":
            self.position += 1
            self.expect("(")
            self.expect(")")
            made.count = True
        else:
            made.paths = [self.path()]
            while self.accept(","):
                made.paths.append(self.path())
        self.expect("from")
        made.entity = self.path().text
        if self.accept("where"):
            made.where = self.condition()
        if self.accept("order"):
            self.expect("by")
            made.order = [self.ordering()]
            while self.accept(","):
                made.order.append(self.ordering())
        if self.accept("limit"):
            made.limit = self.whole_number()
        if self.accept("offset"):
            made.offset = self.whole_number()
        self.take("end")
        return made

    def path(self) -> Path:
        if self.word.text.lower() in _RESERVED:
            raise self.fail()
        word = self.take("name")
        return Path(word.text, word.at)

    def whole_number(self) -> int:
        if not self.word.text.isdigit():
            raise self.fail()
        return int(self.take("number").text)

    def ordering(self) -> Ordering:
        path = self.path()
        descending = self.accept("desc")
        if not descending:
            self.accept("asc")
        last = False
        if self.accept("nulls"):
            last = self.accept("last")
            if not last:
                self.expect("first")
        return Ordering(path, descending, last)

    def condition(self) -> Condition:
        terms = [self.term()]
        kind = ""
        while self.word.text.lower() in ("and", "or"):
            # AND and OR on one level need parentheses; the platform refuses to guess.
            if kind and self.word.text.lower() != kind:
                raise self.fail()
            kind = self.take("name").text.lower()
            terms.append(self.term())
        return Junction(kind, tuple(terms)) if kind else terms[0]

    def term(self) -> Condition:
        if self.accept("not"):
            return Junction("not", (self.term(),))
        if self.accept("("):
            inner = self.condition()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Comparison:
        path = self.path()
        if self.accept("like"):
            return Comparison(path, "like", (Literal("string", self.pattern()),))
        negated = self.accept("not")
        if self.accept("in"):
            return Comparison(path, "not in" if negated else "in", self.values())
        if negated or self.word.text not in _OPERATORS:
            raise self.fail()
        operator = self.take("op").text
        return Comparison(path, "!=" if operator == "<>" else operator, (self.literal(),))

    def values(self) -> tuple[Literal, ...]:
        self.expect("(")
        found = [self.literal()]
        while self.accept(","):
            found.append(self.literal())
        self.expect(")")
        return tuple(found)

    def literal(self) -> Literal:
        word = self.word
        if word.kind == "name" and word.text.lower() in ("true", "false", "null"):
            self.position += 1
            if word.text.lower() == "null":
                return Literal("null", None)
            return Literal("boolean", word.text.lower() == "true")
        if word.kind not in ("string", "number", "date", "datetime"):
            raise self.fail()
        self.position += 1
        if word.kind == "string":
            return Literal("string", self.unescape(word))
        return Literal(word.kind, float(word.text) if word.kind == "number" else word.text)

    def unescape(self, word: Word) -> str:
        def letter(match: re.Match[str]) -> str:
            if match[1] in _ESCAPES:
                return _ESCAPES[match[1]]
            if match[1] in "_%":
                return match[1]
            raise malformed(self.text, word.at, f"invalid string escape: \\{match[1]}")

        return re.sub(r"\\(.)", letter, word.text[1:-1], flags=re.DOTALL)

    def pattern(self) -> str:
        """A LIKE text as a regular expression: % any run, _ one character, unless escaped."""
        word = self.take("string")
        made = ""
        for match in re.finditer(r"\\(.)|(.)", word.text[1:-1], flags=re.DOTALL):
            escaped, plain = match[1], match[2]
            if plain in ("%", "_"):
                made += ".*" if plain == "%" else "."
            else:
                made += re.escape(_ESCAPES.get(escaped, escaped) if escaped else plain)
        return made
