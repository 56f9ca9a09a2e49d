"""Hypothesis strategies for every model that is kept, built from its fields as tables.py builds its columns."""

from __future__ import annotations

import types
import typing
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from isthmus.domain.journals import booking
from isthmus.domain.subcontracting import BillLine, PurchaseRate
from isthmus.domain.terms import Band
from isthmus.store.tables import SPECS

# PostgreSQL keeps every character but NUL; halves of surrogate pairs are no text.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12).map(str.strip)
EXACT = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=6).map(
    lambda number: number + 0  # a numeric column has no negative zero
)
PLAIN_JSON = st.dictionaries(TEXT, TEXT | st.integers(-(2**53), 2**53) | st.booleans() | st.none(), max_size=3)
SIMPLE: dict[type, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    str: TEXT,
    int: st.integers(0, 2**31),
    Decimal: EXACT,
    datetime: st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    date: st.dates(),
}
BILLED = BillLine(
    person="ann", start=date(2026, 3, 3), end=date(2026, 3, 4), hours=Decimal("7.3333"), amount=Decimal("640.005")
)
RATE = st.builds(
    PurchaseRate, person=TEXT, rate=st.decimals(0, 10**6, places=6), effective_from=SIMPLE[date], effective_to=st.none()
)
# Where a model checks what its field types do not say.
TAX_RATES = st.dictionaries(st.text(max_size=3), st.decimals(0, "0.99", places=4), max_size=3)
CHECKED: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("TimeEntry", "hours"): st.decimals(0, 24, places=4),
    ("SubmittedTime", "hours"): st.decimals(0, 24, places=4),
    ("MilestoneStatus", "number"): st.integers(1, 2**31),
    ("LegalEntity", "tax_rates"): TAX_RATES,
    ("LegalEntity", "tax_rates_from"): st.dictionaries(st.dates(), TAX_RATES, max_size=3),
    ("Expense", "gross"): st.decimals(10, 10**9, places=6),
    ("Expense", "tax"): st.decimals(0, 10, places=6),
    ("Expense", "personal"): st.decimals(0, 10, places=6),
    ("DayRule", "bands"): st.sampled_from([(Band(up_to_hours=Decimal(8)), Band(up_to_hours=Decimal(10)))]),
    ("BillableItem", "currency"): st.just("KWD"),
    ("Journal", "currency"): st.just("KWD"),
    ("LendingAgreement", "lender"): st.just("UK01"),
    ("LendingAgreement", "borrower"): st.just("US01"),
    ("TaxThreshold", "amount"): st.decimals("0.01", 10**9, places=2),
    ("Journal", "lines"): st.decimals("0.001", 10**9, places=3).map(
        lambda amount: booking("accrued_revenue", "revenue", amount, "text")
    ),
    ("PurchaseRate", "rate"): st.decimals(0, 10**6, places=6),
    ("RetentionTerm", "until_percent"): st.decimals(0, 100, places=4),
    ("RetentionTerm", "retain_percent"): st.decimals(0, 100, places=4),
    ("RetentionTerm", "release_percent"): st.decimals(0, 100, places=4),
    ("Subcontract", "currency"): st.just("KWD"),
    ("Subcontract", "rates"): st.lists(RATE, max_size=1).map(tuple),
    ("Subcontract", "retention"): st.just(()),
    ("Subcontract", "tolerance_hours"): st.none() | st.decimals(0, 10**6, places=4),
    ("Subcontract", "tolerance_amount"): st.none() | st.decimals(0, 10**6, places=3),
    ("SubcontractorBill", "currency"): st.just("KWD"),
    ("SubcontractorBill", "lines"): st.just((BILLED,)),
    ("SubcontractorBill", "total"): st.just(BILLED.amount),
    ("SubcontractorBill", "retained"): st.decimals(0, 10**9, places=3),
    ("SubcontractorBill", "released"): st.decimals(0, 10**9, places=3),
    ("BillableItem", "net"): st.decimals(-(10**9), 10**9, places=3),
}


@cache
def instances(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Any valid instance of a model."""
    fields = {name: _field(model, name, info) for name, info in model.model_fields.items()}
    return st.builds(model, **fields)


def _field(model: type[BaseModel], name: str, info: FieldInfo) -> st.SearchStrategy[Any]:
    checked = CHECKED.get((model.__name__, name))
    if checked is not None:
        return checked
    if model in SPECS and name in (SPECS[model].serial, *SPECS[model].seal):
        return st.just(info.default)
    least = [bound.ge for bound in info.metadata if isinstance(bound, Ge)]
    if info.annotation is int and least:
        return st.integers(int(least[0]), 2**31)  # type: ignore[call-overload]
    return _values(info.annotation)


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return PLAIN_JSON
    if annotation is type(None):
        return st.none()
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(_values, inner))
    if origin is typing.Annotated:
        return _values(inner[0])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return st.tuples(*map(_values, inner))
    if origin in (tuple, list):
        # Objects hold objects that hold objects: two of each are many already.
        return st.lists(_values(inner[0]), max_size=2 if _is_model(inner[0]) else 3).map(origin)
    if origin is dict:
        return st.dictionaries(_values(inner[0]), TEXT if inner[1] is Any else _values(inner[1]), max_size=3)
    if issubclass(annotation, StrEnum):
        return st.sampled_from(annotation)
    return instances(annotation) if _is_model(annotation) else SIMPLE[annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
