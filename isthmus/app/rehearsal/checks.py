"""What is wrong with a script beyond the shape of its fields: unknown names, expectations that would say nothing.

An expectation under a name that is misspelt would be compared with nothing, and met by a zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from isthmus.domain.events import EVENT_TYPES
from isthmus.domain.objects import BillableItem, InvoiceLine
from isthmus.domain.states import PartState
from isthmus.domain.subcontracting import SubcontractorBill
from isthmus.policies.retainers import RetainerMonth

if TYPE_CHECKING:
    from isthmus.app.rehearsal.script import ExpectAct, Script

STATES = frozenset(str(state) for state in PartState)
OF_A_SOURCE = frozenset(BillableItem.model_fields) | STATES | {"placed", "reason"}
OF_A_MONTH = frozenset(field.name for field in fields(RetainerMonth))
OF_A_LINE = frozenset(InvoiceLine.model_fields)
OF_THE_ERP = frozenset(
    {
        "invoices",
        "credits",
        "total",
        "open",
        "accounts",
        "hours",
        "vendor_bills",
        "vendor_credits",
        "payable",
        "on_hold",
    }
)
OF_A_BILL = frozenset(SubcontractorBill.model_fields) | {"waits_for", "worth"}
TOTALS = ("revenue", "cost", "accrued", "breakage", "invoiced", "on account", "tax")
_TOTAL = re.compile(rf"({'|'.join(TOTALS)}) [A-Z]{{3}}|snapshots|unchanged")
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
OF_A_CONTRACT = ("parts", "hours", "sources", "retainer", "held_back", "deposit")


def problems_of(script: Script) -> Iterator[str]:
    """Every problem, with the number of the act (0 is the first) it is in."""
    lines: dict[str, set[str]] = {}
    for terms in script.contracts:
        lines.setdefault(terms.contract_no, set()).update(line.line_uid for line in terms.lines)
    entities = {entity.code for entity in script.entities}
    if script.starts.tzinfo is None:
        yield f"starts: {script.starts} has no offset; write 2026-03-02T08:00:00Z"
    for number, act in enumerate(script.acts):
        where = f"acts.{number}.{act.do}"
        contract, line, entity = getattr(act, "contract", ""), getattr(act, "line", ""), getattr(act, "entity", "")
        if contract:
            yield from _unknown(f"{where}.contract", [contract], lines)
        if contract in lines and isinstance(line, str) and line:
            yield from _unknown(f"{where}.line", [line], lines[contract])
        if entity:
            yield from _unknown(f"{where}.entity", [entity], entities)
        yield from _places(where, act)
        if act.do == "expect":
            yield from _expectations(where, act, entities)
        elif act.do in ("close_period", "reopen_period") and not _MONTH.fullmatch(act.period):
            yield f"{where}.period: {act.period!r} is no month; write it like 2026-03"


def _places(where: str, act: Any) -> Iterator[str]:
    """Invoices are named by their place, lines by their number."""
    if act.do == "payment" and not act.applies:
        yield f"{where}.applies: a payment names the invoices it is for"
    for field in {"payment": ("applies", "withheld"), "credit": ("lines",)}.get(act.do, ()):
        for key in getattr(act, field):
            if not (key.isdecimal() and int(key) > 0):
                yield f"{where}.{field}: {key!r} is no number of an invoice or a line: 1 is the first"


def _expectations(where: str, act: ExpectAct, entities: set[str]) -> Iterator[str]:
    asked = [name for name in OF_A_CONTRACT if getattr(act, name) is not None]
    if asked and not act.contract:
        yield f"{where}.contract: {', '.join(asked)}: of which contract?"
    yield from _unknown(f"{where}.parts", act.parts or (), STATES)
    yield from _unknown(f"{where}.hours", act.hours or (), STATES)
    yield from _unknown(f"{where}.events", act.events or (), EVENT_TYPES)
    yield from _unknown(f"{where}.erp", act.erp or (), OF_THE_ERP)
    for key, facts in (act.sources or {}).items():
        yield from _unknown(f"{where}.sources.{key}", facts, OF_A_SOURCE)
    for number, facts in (act.bills or {}).items():
        yield from _unknown(f"{where}.bills.{number}", facts, OF_A_BILL)
    for month in act.retainer or ():
        yield from _unknown(f"{where}.retainer", month, OF_A_MONTH)
    for document in act.invoices or ():
        for line in document.lines or ():
            yield from _unknown(f"{where}.invoices.lines", line, OF_A_LINE)
    if act.period is not None:
        yield from _unknown(f"{where}.period.entity", [act.period.get("entity", "")], entities)
        if not _MONTH.fullmatch(str(act.period.get("period", ""))):
            yield f"{where}.period.period: {act.period.get('period', '')!r} is no month; write it like 2026-03"
        for name in act.period:
            if name not in ("entity", "period") and not _TOTAL.fullmatch(name):
                yield f"{where}.period: {name!r} is no total; there are: {', '.join(TOTALS)} with a currency"


def _unknown(where: str, given: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    there = sorted(known)
    yield from (f"{where}: {name!r} is not one of: {', '.join(there)}" for name in given if name not in there)
