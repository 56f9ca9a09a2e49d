"""JQL: a query as words, its tree, and which issues meet it. A subset of fields, operators and no functions.

Modelled from the vendor's published material; not certified. Moments are in the caller's time zone and of whole
minutes, as for every JQL query. A query needs a restriction beside its order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira.errors import Refused
from isthmus.sandbox.jira.reference import PROJECTS, STATUSES, TYPES, Person
from isthmus.sandbox.jira.site import Site

Test = Callable[[Record], bool]
_WORDS = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(!=|>=|<=|!~|[=<>~(),])|([^\s"'=<>~(),!]+)|(\Z))""", re.DOTALL
)
_RELATIVE = re.compile(r"([+-]?)(\d+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FORMATS = ("%Y/%m/%d %H:%M", "%Y-%m-%d %H:%M", "%Y/%m/%d", "%Y-%m-%d")
_ALIASES = {"key": "issuekey", "issue": "issuekey", "id": "issuekey", "type": "issuetype"}
_DATES = ("created", "updated")
_EQUAL = ("project", "issuekey", "issuetype", "status", "statuscategory", "labels", "parent")


@dataclass(frozen=True)
class Word:
    """A word of the query; quoted words are values, whatever they say."""

    text: str
    quoted: bool = False

    def says(self, *words: str) -> bool:
        """True when it is one of these words of the language."""
        return not self.quoted and self.text.lower() in words


@dataclass(frozen=True)
class Found:
    """A query that was understood: which issues it means, and in which order."""

    test: Test
    order: list[tuple[str, bool]]  # field, descending


def understood(text: str, site: Site, caller: Person) -> Found:
    """The query, or the refusal that says what is wrong with it."""
    return _Reader(text, site, caller).query()


class _Reader:
    def __init__(self, text: str, site: Site, caller: Person) -> None:
        self.site, self.caller = site, caller
        self.words: list[Word] = []
        at = 0
        while at < len(text):
            match = _WORDS.match(text, at)
            if match is None:
                raise Refused(400, f"Error in the JQL Query: unexpected text at character {at + 1}.")
            at = match.end()
            quoted = match[1] if match[1] is not None else match[2]
            if quoted is not None:
                self.words.append(Word(re.sub(r"\\(.)", r"\1", quoted), quoted=True))
            elif match[3] or match[4]:
                self.words.append(Word(match[3] or match[4]))
        self.at = 0

    # -- moving over the words -----------------------------------------------------------------------------------
    @property
    def word(self) -> Word:
        return self.words[self.at] if self.at < len(self.words) else Word("")

    def next(self) -> Word:
        word = self.word
        if not word.text and not word.quoted:
            raise Refused(400, "Error in the JQL Query: the query ends too early.")
        self.at += 1
        return word

    def accept(self, *words: str) -> str:
        if self.word.says(*words):
            return self.next().text.lower()
        return ""

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise Refused(400, f"Error in the JQL Query: expecting '{word}' but got '{self.word.text}'.")

    # -- grammar -------------------------------------------------------------------------------------------------
    def query(self) -> Found:
        if self.word.says("order") or not self.words:
            raise Refused(
                400, "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."
            )
        test, order = self.either(), list[tuple[str, bool]]()
        if self.accept("order"):
            self.expect("by")
            order.append(self.ordering())
            while self.accept(","):
                order.append(self.ordering())
        if self.at < len(self.words):
            raise Refused(400, f"Error in the JQL Query: expecting operator but got '{self.word.text}'.")
        return Found(test, order)

    def ordering(self) -> tuple[str, bool]:
        field = self.field()
        return field, self.accept("asc", "desc") == "desc"

    def either(self) -> Test:
        terms = [self.both()]
        while self.accept("or", "||"):
            terms.append(self.both())
        return terms[0] if len(terms) == 1 else lambda issue: any(term(issue) for term in terms)

    def both(self) -> Test:
        terms = [self.term()]
        while self.accept("and", "&&"):
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else lambda issue: all(term(issue) for term in terms)

    def term(self) -> Test:
        if self.accept("not", "!"):
            inner = self.term()
            return lambda issue: not inner(issue)
        if self.accept("("):
            inner = self.either()
            self.expect(")")
            return inner
        return self.clause()

    def field(self) -> str:
        name = self.next().text
        field = _ALIASES.get(name.lower(), name.lower())
        if field not in (*_EQUAL, *_DATES, "summary", "duedate"):
            raise Refused(400, f"Field '{name}' does not exist or you do not have permission to view it.")
        return field

    def clause(self) -> Test:
        field = self.field()
        if self.accept("is"):
            wanted = not self.accept("not")
            if not self.accept("empty", "null"):
                raise Refused(400, f"Error in the JQL Query: expecting EMPTY but got '{self.word.text}'.")
            return lambda issue: (not _value(issue, field)) is wanted
        if self.accept("not"):
            self.expect("in")
            inside = self.one_of(field, self.several())
            return lambda issue: not inside(issue)
        if self.accept("in"):
            return self.one_of(field, self.several())
        operator, value = self.next().text, self.next().text
        return self.compared(field, operator, value)

    def several(self) -> list[str]:
        self.expect("(")
        values = [self.next().text]
        while self.accept(","):
            values.append(self.next().text)
        self.expect(")")
        return values

    # -- meaning -------------------------------------------------------------------------------------------------
    def compared(self, field: str, operator: str, value: str) -> Test:
        if field in (*_DATES, "duedate") and operator in (">", ">=", "<", "<=", "="):
            return self.dated(field, operator, value)
        if field == "summary" and operator in ("~", "!~"):
            wanted = value.lower().strip('"')
            return lambda issue: (wanted in issue["summary"].lower()) is (operator == "~")
        if field in _EQUAL and operator in ("=", "!="):
            inside = self.one_of(field, [value])
            return lambda issue: inside(issue) is (operator == "=")
        raise Refused(400, f"The operator '{operator}' is not supported by the '{field}' field.")

    def one_of(self, field: str, values: list[str]) -> Test:
        if field not in _EQUAL:
            raise Refused(400, f"The operator 'in' is not supported by the '{field}' field.")
        wanted = {self.known(field, value) for value in values}
        if field == "labels":
            return lambda issue: not wanted.isdisjoint(issue["labels"])
        return lambda issue: _value(issue, field) in wanted

    def known(self, field: str, value: str) -> str:
        """A value as records have it; the site refuses names nobody has heard of."""
        named: dict[str, dict[str, str]] = {
            "project": {n.lower(): p.key for p in PROJECTS.values() for n in (p.key, p.id, p.name)},
            "issuetype": {n.lower(): t.name for t in TYPES.values() for n in (t.name, t.id)},
            "status": {n.lower(): s.name for s in STATUSES.values() for n in (s.name, s.id)},
            "statuscategory": {
                "new": "new",
                "to do": "new",
                "in progress": "indeterminate",
                "indeterminate": "indeterminate",
                "done": "done",
            },
        }
        if field in ("issuekey", "parent"):
            try:
                return str(self.site.issue(value)["id"])
            except Refused:
                what = "An issue with key" if field == "issuekey" else "The value"
                raise Refused(400, f"{what} '{value}' does not exist for field '{field}'.") from None
        if field not in named:
            return value
        if value.lower() not in named[field]:
            raise Refused(400, f"The value '{value}' does not exist for the field '{field}'.")
        return named[field][value.lower()]

    def dated(self, field: str, operator: str, value: str) -> Test:
        bound = self.moment(field, value)
        compare: dict[str, Callable[[Any, Any], bool]] = {
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
            "=": lambda a, b: a == b,
        }
        zone = ZoneInfo(self.caller.time_zone or "UTC")

        def test(issue: Record) -> bool:
            found = issue[field]
            if found is None:
                return False
            at = datetime.fromisoformat(found)
            return compare[operator](at if at.tzinfo else at.replace(tzinfo=zone), bound)  # a day has no time

        return test

    def moment(self, field: str, value: str) -> datetime:
        relative = _RELATIVE.fullmatch(value)
        if relative:
            span = timedelta(**{_UNITS[relative[3]]: int(relative[2])})
            return datetime.fromisoformat(self.site.now()) + (span if relative[1] != "-" else -span)
        for form in _FORMATS:
            try:
                return datetime.strptime(value, form).replace(tzinfo=ZoneInfo(self.caller.time_zone or "UTC"))
            except ValueError:
                continue
        formats = "'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d'"
        said = f"Date value '{value}' for field '{field}' is invalid. Valid formats include: {formats}."
        raise Refused(400, said)


def _value(issue: Record, field: str) -> Any:
    if field == "issuekey":
        return issue["id"]
    if field == "issuetype":
        return issue["type"]
    if field == "statuscategory":
        return STATUSES[issue["status"]].category
    return issue[field]


def sort_key(issue: Record, field: str) -> Any:
    """What an issue is ordered by."""
    if field == "issuekey":
        return (issue["project"], int(issue["key"].rsplit("-", 1)[1]))
    return str(_value(issue, field) or "")
