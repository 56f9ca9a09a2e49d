"""Running a parsed query over the organisation's records: typed conditions, parent fields, ordering, rows.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date
from functools import cmp_to_key
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.platform import ids
from isthmus.sandbox.platform.errors import ApiError
from isthmus.sandbox.platform.schema import Field, SObject
from isthmus.sandbox.platform.soql import Comparison, Condition, Junction, Literal, Path, Query, malformed
from isthmus.sandbox.platform.store import Store
from isthmus.sandbox.platform.values import parse_stamp, stamp

Test = Callable[[Record], bool]
MAX_OFFSET = 2000
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_KINDS = {
    "boolean": ("boolean",),
    "currency": ("number",),
    "double": ("number",),
    "percent": ("number",),
    "int": ("number",),
    "date": ("date",),
    "datetime": ("datetime",),
}


class Runner:
    """One query bound to the schema; :meth:`rows` gives the matching records."""

    def __init__(self, store: Store, query: Query, with_deleted: bool) -> None:
        self.store = store
        self.query = query
        self.with_deleted = with_deleted
        found = store.schema.find(query.entity)
        if found is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{query.entity}' is not supported.")
        self.sobject: SObject = found
        self.columns = [self._resolve(path) for path in query.paths]
        self.where = self._test(query.where) if query.where is not None else None
        self.order = [(self._resolve(o.path), o) for o in query.order]
        if query.offset > MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", message)

    def rows(self) -> list[Record]:
        """Matching records in order, cut by OFFSET and LIMIT."""
        found = [r for r in self._scan() if self.with_deleted or not r["IsDeleted"]]
        if self.where is not None:
            found = [r for r in found if self.where(r)]
        if self.order:
            found.sort(key=cmp_to_key(self._compare))
        end = None if self.query.limit is None else self.query.offset + self.query.limit
        return found[self.query.offset : end]

    def show(self, record: Record, base: str) -> Record:
        """One row of the answer, with parents nested and each record's own address."""
        row: Record = {"attributes": _attributes(base, self.sobject.name, record["Id"])}
        for chain, column in self.columns:
            target: Record = row
            source: Record = record
            sobject = self.sobject
            for link in chain:
                parent = self._parent(source, link)
                if parent is None:
                    target[link.relationship] = None
                    break
                sobject = self.store.schema.object(link.reference_to)
                nested: Record = {"attributes": _attributes(base, sobject.name, parent["Id"])}
                target = target.setdefault(link.relationship, nested)
                source = parent
            else:
                target[column.name] = source.get(column.name)
        return row

    # -- columns -------------------------------------------------------------------------------------------------
    def _resolve(self, path: Path) -> tuple[list[Field], Field]:
        """(references to follow, column at the end) of a path; INVALID_FIELD with the place when unknown."""
        sobject = self.sobject
        names = path.text.split(".")
        if len(names) > 1 and names[0].lower() == sobject.name.lower():
            names = names[1:]  # the object's own name may stand before its columns
        chain: list[Field] = []
        for name in names[:-1]:
            link = sobject.by_relationship(name)
            target = self.store.schema.find(link.reference_to) if link else None
            if link is None or target is None:
                why = f"Didn't understand relationship '{name}' in field path."
                raise self._invalid(path, why)
            chain.append(link)
            sobject = target
        column = sobject.get(names[-1])
        if column is None:
            raise self._invalid(path, f"No such column '{names[-1]}' on entity '{sobject.name}'.")
        return chain, column

    def _invalid(self, path: Path, why: str) -> ApiError:
        place = f"\n{self.query.text}\n{' ' * path.at}^\nERROR at Row:1:Column:{path.at + 1}\n"
        return ApiError(400, "INVALID_FIELD", place + why)

    def _parent(self, record: Record, link: Field) -> Record | None:
        return self.store.records.get(link.reference_to, record.get(link.name) or "")

    def _getter(self, chain: list[Field], column: Field) -> Callable[[Record], Any]:
        name = column.name
        if not chain:
            return lambda record: record.get(name)

        def through(record: Record) -> Any:
            source: Record | None = record
            for link in chain:
                source = self._parent(source, link) if source is not None else None
            return source.get(name) if source is not None else None

        return through

    # -- conditions ----------------------------------------------------------------------------------------------
    def _scan(self) -> list[Record]:
        for term in _required_terms(self.query.where):
            chain, column = self._resolve(term.path)
            if not chain and all(v.value is not None for v in term.values):
                wanted = [self._operand(term.path, column, v) for v in term.values]
                narrowed = None if self.with_deleted else self.store.candidates(self.sobject.name, column, wanted)
                if narrowed is not None:
                    return narrowed
        rows = [record for _, record in self.store.records.all(self.sobject.name)]
        return sorted(rows, key=lambda record: str(record["Id"]))

    def _test(self, condition: Condition) -> Test:
        if isinstance(condition, Junction):
            terms = [self._test(term) for term in condition.terms]
            if condition.kind == "not":
                return lambda record: not terms[0](record)
            if condition.kind == "and":
                return lambda record: all(term(record) for term in terms)
            return lambda record: any(term(record) for term in terms)
        return self._comparison(condition)

    def _comparison(self, condition: Comparison) -> Test:
        chain, column = self._resolve(condition.path)
        get = self._getter(chain, column)
        if condition.operator == "like":
            if column.type in _KINDS or column.type in ("id", "reference"):
                raise self._invalid(condition.path, "invalid operator on id, number, date or boolean field")
            like = re.compile(condition.values[0].value, re.IGNORECASE | re.DOTALL)
            return lambda record: like.fullmatch(get(record) or "") is not None
        operands = [_folded(self._operand(condition.path, column, v)) for v in condition.values]
        if condition.operator in ("=", "in"):
            wanted = set(operands)
            return lambda record: _folded(get(record)) in wanted
        if condition.operator in ("!=", "not in"):
            unwanted = set(operands)
            return lambda record: _folded(get(record)) not in unwanted
        compare, bound = _COMPARE[condition.operator], operands[0]

        def ordered(record: Record) -> bool:
            value = get(record)
            return value is not None and bound is not None and compare(_folded(value), bound)

        return ordered

    def _operand(self, path: Path, column: Field, literal: Literal) -> Any:
        """The literal in the column's own form; INVALID_FIELD when the kinds do not agree."""
        if literal.value is None:
            return None
        allowed = _KINDS.get(column.type, ("string",))
        if literal.kind not in allowed:
            quoted = "should not be enclosed in quotes" if literal.kind == "string" else "has another type"
            why = f"value of filter criterion for field '{column.name}' must be of type {column.type} and {quoted}"
            raise self._invalid(path, why)
        if literal.kind in ("date", "datetime"):
            return self._moment(path, literal)
        if column.type in ("id", "reference"):
            full = ids.canonical(literal.value)
            if full is None:
                why = f"invalid ID field: {literal.value}"
                raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", why)
            return full
        return literal.value

    def _moment(self, path: Path, literal: Literal) -> str:
        try:
            if literal.kind == "date":
                return date.fromisoformat(literal.value).isoformat()
            return stamp(parse_stamp(literal.value))
        except ValueError:
            raise malformed(self.query.text, path.at, f"invalid date: {literal.value}") from None

    def _compare(self, left: Record, right: Record) -> int:
        for (chain, column), ordering in self.order:
            get = self._getter(chain, column)
            a, b = _folded(get(left)), _folded(get(right))
            if a == b:
                continue
            if a is None or b is None:
                first = (a is None) != ordering.nulls_last
            else:
                first = (a < b) != ordering.descending
            return -1 if first else 1
        return 0


def _required_terms(condition: Condition | None) -> list[Comparison]:
    """Equalities every match must meet: the only ones an index may answer."""
    if isinstance(condition, Comparison):
        return [condition] if condition.operator in ("=", "in") else []
    if isinstance(condition, Junction) and condition.kind == "and":
        return [found for term in condition.terms for found in _required_terms(term)]
    return []


def _folded(value: Any) -> Any:
    """Texts compare without regard to case; ids are canonical and differ in more than case."""
    return value.lower() if isinstance(value, str) else value


def _attributes(base: str, entity: str, record_id: str) -> dict[str, str]:
    return {"type": entity, "url": f"{base}/sobjects/{entity}/{record_id}"}
