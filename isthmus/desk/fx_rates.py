"""An exchange rate that a person enters in its case is one of the books' rates from then on, for whoever needs it."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.domain.periods import FxRate
from isthmus.runtime.books import Books
from isthmus.store.records import Case

Values = dict[str, Any]


def is_a_rate(books: Books, case: Case, values: Values) -> None:
    """A positive number: what one unit of the first currency is in the second."""
    rate = values["rate"]
    if re.fullmatch(r"\d{1,9}(\.\d{1,12})?", rate) is None or not Decimal(rate):
        pair = f"{case.context['from']} in {case.context['to']}"
        raise BadInput(f"case {case.case_no}: {rate!r} is no rate of {pair}: write a number above zero, like 1.0842")


def keep_rate(books: Books, case: Case, values: Values) -> None:
    """Keep the rate under its type, pair and day, with who has entered it; a rate that is there already stays."""
    told = case.context
    row = FxRate(
        rate_type=str(told["rate_type"]),
        from_currency=str(told["from"]),
        to_currency=str(told["to"]),
        day=date.fromisoformat(str(told["day"])),
        rate=Decimal(values["rate"]),
        source=f"entered by {case.resolved_by}: {case.case_no}",
    )
    if books.tx.insert_new(row):
        about = f"fx:{row.rate_type}/{row.from_currency}/{row.to_currency}/{row.day}"
        books.audit("fx_rate.enter", about, after={"rate": str(row.rate)}, actor=case.resolved_by)
