"""POST …/search: an index beside the records, which takes a change in late.

Modelled from the vendor's published material; not certified. Groups of filters are alternatives, the filters of a group
hold together; one sort rule; at most 200 results a page and 10,000 in all.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.hubspot.calls import Answer, Call, view
from isthmus.sandbox.hubspot.errors import invalid
from isthmus.sandbox.hubspot.schema import ObjectType, Property
from isthmus.sandbox.hubspot.values import moment_of

if TYPE_CHECKING:
    from isthmus.sandbox.hubspot.portal import HubspotSandbox

PAGE_MAX, RESULTS_MAX = 200, 10_000
GROUPS_MAX, FILTERS_MAX, FILTERS_IN_ALL_MAX = 5, 6, 18
Values = dict[str, str]


def search(box: HubspotSandbox, call: Call) -> Answer:
    """Answer a search."""
    kind, asked = box.schema.of(call.parts["type"]), call.document()
    limit, start = _number(asked, "limit", 10), _number(asked, "after", 0)
    if limit > PAGE_MAX:
        raise invalid(f"limit may be at most {PAGE_MAX}")
    if start + limit > RESULTS_MAX:
        raise invalid(f"The offset and limit may not exceed {RESULTS_MAX} results")
    keeps = _filter(kind, asked)
    found = [(record, values) for record, values in box.store.indexed(kind) if keeps(values)]
    found = _sorted(kind, found, asked.get("sorts") or [])
    page = found[start : start + limit]
    wanted = list(asked.get("properties") or [])
    body: Record = {"total": len(found), "results": [view(kind, r, wanted, values) for r, values in page]}
    if start + limit < len(found):
        body["paging"] = {"next": {"after": str(start + limit)}}
    return 200, body


def _number(asked: Record, name: str, default: int) -> int:
    given = asked.get(name)
    if given in (None, ""):
        return default
    if not str(given).isdigit():
        raise invalid(f"{name}: {given} is no number")
    return int(given)


# -- filters -----------------------------------------------------------------------------------------------------


def _filter(kind: ObjectType, asked: Record) -> Callable[[Values], bool]:
    groups = [group.get("filters") or [] for group in asked.get("filterGroups") or []]
    groups += [asked["filters"]] if asked.get("filters") else []
    if len(groups) > GROUPS_MAX or any(len(group) > FILTERS_MAX for group in groups):
        raise invalid(f"There may be at most {GROUPS_MAX} filter groups of {FILTERS_MAX} filters")
    if sum(len(group) for group in groups) > FILTERS_IN_ALL_MAX:
        raise invalid(f"There may be at most {FILTERS_IN_ALL_MAX} filters")
    tests = [[_test(kind, one) for one in group] for group in groups]
    query = str(asked.get("query") or "").lower()

    def keeps(values: Values) -> bool:
        if query and not any(query in value.lower() for value in values.values()):
            return False
        return not tests or any(all(test(values) for test in group) for group in tests)

    return keeps


def _test(kind: ObjectType, one: Record) -> Callable[[Values], bool]:
    name, operator = str(one.get("propertyName")), str(one.get("operator"))
    known = kind.find(name)
    if known is None:
        raise invalid(f"There was a problem with the request. Unknown property: {name}")
    if operator not in _OPERATORS:
        raise invalid(f"Invalid input JSON: {operator} is no operator")
    # Search keeps texts in lower case, and compares what is asked for with IN as it was written.
    if operator in ("IN", "NOT_IN") and not one.get("values"):
        raise invalid(f"operator {operator} requires values")
    return lambda values: _OPERATORS[operator](known, values.get(name, ""), one)


def comparable(known: Property, value: Any) -> Any:
    """A value as search compares it. Invalid when it is none of the property's kind."""
    text = str(value)
    try:
        if known.kind == "number":
            return Decimal(text)
        if known.kind in ("date", "datetime"):
            return moment_of(text)
    except (ArithmeticError, ValueError):
        raise invalid(f"{known.name}: {text} cannot be compared") from None
    return text if known.kind == "enumeration" else text.lower()


def _compare(holds: Callable[[Any, Any], bool]) -> Callable[[Property, str, Record], bool]:
    def test(known: Property, value: str, one: Record) -> bool:
        return bool(value) and holds(comparable(known, value), comparable(known, one.get("value")))

    return test


def _between(known: Property, value: str, one: Record) -> bool:
    low, high = comparable(known, one.get("value")), comparable(known, one.get("highValue"))
    return bool(value) and low <= comparable(known, value) <= high


def _in(known: Property, value: str, one: Record) -> bool:
    wanted = [comparable(known, each) if known.kind != "string" else str(each) for each in one["values"]]
    return bool(value) and comparable(known, value) in wanted


def _token(known: Property, value: str, one: Record) -> bool:
    return bool(value) and str(one.get("value")).strip("*").lower() in value.lower()


_equal = _compare(lambda mine, asked: bool(mine == asked))
_OPERATORS: dict[str, Callable[[Property, str, Record], bool]] = {
    "EQ": _equal,
    "NEQ": lambda known, value, one: not _equal(known, value, one),
    "LT": _compare(lambda mine, asked: bool(mine < asked)),
    "LTE": _compare(lambda mine, asked: bool(mine <= asked)),
    "GT": _compare(lambda mine, asked: bool(mine > asked)),
    "GTE": _compare(lambda mine, asked: bool(mine >= asked)),
    "BETWEEN": _between,
    "IN": _in,
    "NOT_IN": lambda known, value, one: not _in(known, value, one),
    "HAS_PROPERTY": lambda known, value, one: bool(value),
    "NOT_HAS_PROPERTY": lambda known, value, one: not value,
    "CONTAINS_TOKEN": _token,
    "NOT_CONTAINS_TOKEN": lambda known, value, one: not _token(known, value, one),
}


# -- order -------------------------------------------------------------------------------------------------------


def _sorted(kind: ObjectType, found: list[tuple[Record, Values]], sorts: list[Any]) -> list[tuple[Record, Values]]:
    """By the one sort rule there may be; by id without. Rows with equal values come in no promised order."""
    if len(sorts) > 1:
        raise invalid("Only one sort rule is supported")
    if not sorts:
        return sorted(found, key=lambda pair: int(pair[0]["id"]))
    rule = sorts[0] if isinstance(sorts[0], dict) else {"propertyName": str(sorts[0])}
    name, down = str(rule.get("propertyName")), rule.get("direction") == "DESCENDING"
    if name.startswith("-"):
        name, down = name[1:], True
    known = kind.find(name)
    if known is None:
        raise invalid(f"Unknown sort property: {name}")
    held = [pair for pair in found if pair[1].get(name)]
    bare = [pair for pair in found if not pair[1].get(name)]
    # The newest first among equals: a client that counts on ids among equals finds out here.
    held.sort(key=lambda pair: int(pair[0]["id"]), reverse=True)
    held.sort(key=lambda pair: comparable(known, pair[1][name]), reverse=down)
    return [*held, *bare]
