"""Cost plus is billed at the provisional markup; the final one is an amendment and trues up what is billed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import BillingType, ContractVersion, Invoice
from isthmus.domain.terms import CostPlus
from tests.processes.hub import Hub, contract, entry


def terms(markup: str, provisional: str | None, **changes: Any) -> ContractVersion:
    (line,) = contract().lines
    plus = CostPlus(markup_percent=Decimal(markup), provisional_percent=Decimal(provisional) if provisional else None)
    facts = {"billing_type": BillingType.COST_PLUS, "cost_plus": plus, "rates": (), "roles": ("Consultant",)}
    return contract(lines=(line.model_copy(update=facts),), caps=(), **changes)


@pytest.mark.parametrize(("final", "difference"), [("10", "16.00"), ("5", "-24.00")], ids=["more", "less"])
def test_the_final_markup_trues_up_what_was_billed(final: str, difference: str) -> None:
    hub = Hub()
    hub.set_up(terms("10", "8"))
    hub.capture(entry(1, "8", cost_rate=Decimal("100.00")))
    hub.bill("first")
    assert [i.net for i in hub.rows(Invoice)] == [Decimal("864.00")]
    hub.systems.crm.put_contract(terms(final, None, version=2, effective_from=date(2026, 3, 1)))
    hub.start("amend_contract", "K-1@2", contract_no="K-1", version=2)
    case = hub.case()
    assert (case.exception, case.amount) == ("EX-RERATE-REVIEW", abs(Decimal(difference)))
    hub.resolve("approve", actor="carla")
    hub.bill("second")
    if Decimal(difference) < 0:
        hub.resolve("approve", actor="carla")  # what is given back is a credit memo
    signed = [i.net * (-1 if i.kind == "credit" else 1) for i in hub.rows(Invoice) if i.number]
    assert sorted(signed) == sorted([Decimal("864.00"), Decimal(difference)])
    assert audit(hub.kernel) == []
