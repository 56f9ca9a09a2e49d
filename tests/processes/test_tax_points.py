"""Which day's rates of tax a line has: of issue, of the end of its service, or the earliest; rates change on a day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import Invoice, LegalEntity
from isthmus.domain.terms import InvoiceTerms
from isthmus.store.records import RunRow
from tests.processes.hub import ENTITY, entry
from tests.processes.test_month_billing import TERMS, Firm

CHANGED: dict[str, Any] = {
    "tax_rates": {"S": Decimal("0.19")},
    "tax_rates_from": {date(2026, 3, 10): {"S": Decimal("0.16")}, date(2026, 4, 1): {"S": Decimal("0.20")}},
}


def test_rates_hold_from_a_day_on() -> None:
    entity = ENTITY.model_copy(update=CHANGED)
    days = (date(2026, 3, 9), date(2026, 3, 10), date(2026, 3, 31), date(2026, 4, 1))
    assert [str(entity.rates_on(day)["S"]) for day in days] == ["0.19", "0.16", "0.16", "0.20"]


def test_a_rate_that_is_no_share_is_refused_whenever_it_begins() -> None:
    facts = ENTITY.model_dump() | {"tax_rates_from": {"2027-01-01": {"S": "21"}}}
    with pytest.raises(ValueError, match=r"21 % is written 0.21"):
        LegalEntity.model_validate(facts)


# Eight hours at 185.00 on 5 March and eight on 12 March, issued on 6 April: 1,480.00 each.
POINTS = {
    "issue": [("0.20", "2960.00", "592.00")],
    "service_end": [("0.16", "1480.00", "236.80"), ("0.19", "1480.00", "281.20")],
    "earliest": [("0.16", "1480.00", "236.80"), ("0.19", "1480.00", "281.20")],
}


@pytest.mark.parametrize("rule", POINTS)
@pytest.mark.parametrize("way", ["ordinary", "month end"])
def test_each_line_has_the_rate_of_its_tax_point(rule: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TERMS, "detailed", {"caps": (), "invoicing": InvoiceTerms(layout="detailed")})
    firm = Firm({"K-1": "detailed"}, ENTITY.model_copy(update={**CHANGED, "tax_point": rule}))
    entries = [entry(1, "8", day=5), entry(2, "8", day=12)]
    if way == "ordinary":
        firm.capture(*entries)
        firm.bill_all("K-1")
    else:
        firm.store_entries(entries)
        firm.month_end()
    (invoice,) = firm.rows(Invoice)
    told = sorted((str(row.rate), str(row.taxable), str(row.tax)) for row in invoice.tax_breakdown)
    assert told == POINTS[rule]
    assert invoice.tax == sum(Decimal(tax) for _, _, tax in POINTS[rule]) and invoice.total == invoice.net + invoice.tax
    assert audit(firm.kernel) == []
    ordinary = bool(firm.rows(RunRow, process="bill_contract"))
    assert ordinary is (way == "ordinary" or rule != "issue"), "the quick way knows one day only"
