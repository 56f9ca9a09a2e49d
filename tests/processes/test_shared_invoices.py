"""One invoice for several contracts of a client, where the five conditions hold; the others apart, and it says why."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.app.explain import explain
from isthmus.app.previewing import preview_client, preview_contract
from isthmus.domain.objects import BillableItem, BillablePart, BillingType, Invoice, LedgerEntry
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.domain.terms import Deposit, Holdback, InvoiceTerms, Subscription
from isthmus.processes import sweeps
from isthmus.store.records import RunRow
from tests.processes.hub import ENTITY, Hub, contract, entry
from tests.processes.test_credits import answer_all
from tests.processes.test_invoice_to_cash import pay
from tests.processes.test_month_billing import Firm, three_entries
from tests.runtime.test_edits import refuse

TOGETHER = InvoiceTerms(consolidate=True)
MONTH = {"client_no": "C-1", "entity": "US01", "cutoff": "2026-03-31", "prepared_by": "ana"}


def client_of(*changes: dict[str, Any]) -> Hub:
    """A hub with contracts K-1, K-2 … of one client that share invoices; changes replace terms."""
    hub = Hub(
        ENTITY.model_copy(update={"payment_terms": ("NET15", "NET30"), "payment_days": {"NET15": 15, "NET30": 30}})
    )
    for number, more in enumerate(changes, start=1):
        no = f"K-{number}"
        facts = {"contract_no": no, "invoicing": TOGETHER, "caps": (), **more}
        hub.systems.crm.put_contract(contract(**facts))
        sweeps.sweep_contracts(hub.kernel, hub.systems.crm)
        hub.go()
    return hub


def worked(hub: Hub, **hours: str) -> None:
    """Hours by contract: K1="8.0" is 8 h on K-1."""
    hub.capture(*(entry(int(no[1:]), h, day=2 + int(no[1:]), project_code=f"P-K-{no[1:]}") for no, h in hours.items()))


def issued(hub: Hub, kind: str = "standard") -> list[Invoice]:
    return [i for i in hub.rows(Invoice, kind=kind, order=("number",)) if i.life is not InvoiceLife.DISCARDED]


def test_two_contracts_are_billed_by_one_invoice_and_everybody_is_told() -> None:
    hub = client_of({}, {})
    worked(hub, K1="8.0", K2="4.0")
    hub.start("bill_client", "C-1:US01:2026-03", **MONTH)
    (invoice,) = issued(hub)
    assert [(line.contract_no, line.net) for line in invoice.lines] == [
        ("K-1", Decimal("1480.00")),
        ("K-2", Decimal("740.00")),
    ]
    assert invoice.number == "US01-INV-2026-00001" and invoice.net == Decimal("2220.00")
    assert {part.state for part in hub.rows(BillablePart)} == {PartState.INVOICED}
    shown = {row["key"]: row["shown"]["billed"] for row in hub.systems.crm.things["status"]}
    assert shown == {"K-1": "1480.00", "K-2": "740.00"}
    assert sorted(row["key"] for row in hub.systems.psa.things["mark"]) == [
        f"P-K-1:{invoice.number}",
        f"P-K-2:{invoice.number}",
    ]
    assert audit(hub.kernel) == []
    with hub.store.transaction() as tx:
        told = explain(hub.kernel.books(tx, key="x", actor="x"), invoice.number)
    assert told.agrees and [part.contract for line in told.lines for part in line.parts] == ["K-1@1", "K-2@1"]


APART = [
    ({"payment_terms": "NET15"}, "payment terms"),
    ({"invoicing": InvoiceTerms(consolidate=True, layout="detailed")}, "grouping, layout or limits of the invoice"),
]


@pytest.mark.parametrize(("other", "why"), APART, ids=["payment terms", "layout"])
def test_what_keeps_contracts_apart_is_said_and_each_gets_its_invoice(other: dict[str, Any], why: str) -> None:
    hub = client_of({}, {}, other)
    worked(hub, K1="8.0", K2="4.0", K3="1.0")
    shown = preview_client(hub.kernel, "C-1", date(2026, 3, 31), "2026-03", "ana")["US01"]
    assert sorted(plan.contracts for plan in shown.invoices) == [["K-1", "K-2"], ["K-3"]]
    assert {why in " ".join(plan.apart) for plan in shown.invoices} == {True}
    assert not issued(hub), "a dry run changes nothing"
    hub.start("bill_client", "C-1:US01:2026-03", **MONTH)
    assert sorted(invoice.net for invoice in issued(hub)) == [Decimal("185.00"), Decimal("2220.00")]
    assert len(hub.rows(RunRow, process="bill_client")) == 2
    assert audit(hub.kernel) == []


def test_a_contract_that_shares_nothing_gets_a_run_of_its_own() -> None:
    hub = client_of({}, {"invoicing": InvoiceTerms()})
    worked(hub, K1="8.0", K2="4.0")
    hub.start("bill_client", "C-1:US01:2026-03", **MONTH)
    assert hub.run("bill_contract/K-2:2026-03").state == "done"
    assert sorted(invoice.contract_no for invoice in issued(hub)) == ["K-1", "K-2"]


def test_holdback_and_deposit_stay_with_their_contract() -> None:
    line = contract().lines[0]
    held = line.model_copy(update={"holdback": Holdback(percent=Decimal(10))})
    paid_before = line.model_copy(update={"deposit": Deposit(amount=Decimal("100.00"), available="issued")})
    hub = client_of({"lines": (held,)}, {"lines": (paid_before,)})
    hub.start("bill_advance", "K-2:advance", contract_no="K-2", line_uid="L1", asked_by="ana")
    worked(hub, K1="8.0", K2="4.0")
    hub.start("bill_client", "C-1:US01:2026-03", **MONTH)
    (invoice,) = issued(hub)
    assert [(one.contract_no, one.kind, one.net, one.held) for one in invoice.lines] == [
        ("K-1", "evidence", Decimal("1332.00"), Decimal("148.00")),
        ("K-2", "evidence", Decimal("740.00"), Decimal(0)),
        ("K-2", "deposit", Decimal("-100.00"), Decimal(0)),
    ]
    kept = {(e.contract_no, e.kind): e.amount for e in hub.rows(LedgerEntry)}
    assert kept == {
        ("K-1", "withheld"): Decimal("148.00"),
        ("K-2", "grant"): Decimal("100.00"),
        ("K-2", "draw"): Decimal("-100.00"),
    }
    assert audit(hub.kernel) == []


def test_a_shared_invoice_is_paid_credited_and_corrected_as_any_other() -> None:
    hub = client_of({}, {})
    worked(hub, K1="8.0", K2="4.0")
    hub.start("bill_client", "C-1:US01:2026-03", **MONTH)
    (invoice,) = issued(hub)
    args = {"amounts": {"2": "185.00"}, "reason": "error_rebill", "requested_by": "ana"}
    hub.start("credit_invoice", "first", invoice_id=invoice.invoice_id, **args)
    hub.resolve("approve")
    ready = hub.rows(BillablePart, state=PartState.READY)
    assert [(p.contract_no, p.net) for p in ready] == [("K-2", Decimal("185.00"))]
    hub.capture(entry(1, "6.0", project_code="P-K-1", approved_at=datetime(2026, 4, 1, tzinfo=UTC)))
    hub.start("bill_client", "C-1:US01:2026-04", **{**MONTH, "cutoff": "2026-04-30"})
    answer_all(hub, "approve")
    assert [memo.net for memo in issued(hub, "credit")] == [Decimal("185.00"), Decimal("370.00")]
    assert issued(hub)[1].net == Decimal("185.00")
    left = issued(hub)[0].open
    pay(hub, str(left), date(2026, 4, 20))
    assert issued(hub)[0].settlement == "paid" and audit(hub.kernel) == []
    status = {row["key"]: row["shown"] for row in hub.systems.crm.things["status"]}
    assert (status["K-1"]["billed"], status["K-2"]["billed"]) == ("1110.00", "740.00")


def test_called_off_everything_is_ready_again() -> None:
    hub = client_of({}, {})
    worked(hub, K1="8.0", K2="4.0")
    refuse(hub, "tax", "calculate", lambda document: False)
    hub.start("bill_client", "C-1:US01:2026-03", **MONTH)
    hub.resolve("cancel")
    assert {part.state for part in hub.rows(BillablePart, state=(PartState.READY, PartState.ON_DRAFT))} == {
        PartState.READY
    }
    assert audit(hub.kernel) == []


def test_a_month_end_bills_them_together_whichever_share_comes_first() -> None:
    firm = Firm(dict.fromkeys(("K-2", "K-3", "K-4"), "shared"))
    firm.store_entries(three_entries())
    firm.month_end()
    (invoice,) = issued(firm)
    assert [line.contract_no for line in invoice.lines] == ["K-2", "K-3", "K-4"]
    assert len(firm.rows(RunRow, process="bill_client")) == 1
    assert firm.rows(RunRow, process="bill_contract") == [] and audit(firm.kernel) == []


def test_a_dry_run_shows_the_fees_that_the_run_would_work_out_first() -> None:
    fee = (
        contract()
        .lines[0]
        .model_copy(
            update={
                "line_uid": "L2",
                "description": "Managed service",
                "billing_type": BillingType.SUBSCRIPTION,
                "subscription": Subscription(amount=Decimal("3100.00"), start=date(2026, 3, 1)),
                "rates": (),
            }
        )
    )
    hub = client_of({"lines": (contract().lines[0], fee)})
    worked(hub, K1="8.0")
    shown = preview_contract(hub.kernel, "K-1", date(2026, 3, 31), "K-1:2026-03", "ana")
    assert [(one.kind, one.net, one.line_uid) for one in shown.fees] == [("subscription", Decimal("3100.00"), "L2")]
    assert shown.invoice is not None and shown.invoice.net == Decimal("4580.00")
    assert len(hub.rows(BillableItem)) == 1 and not hub.rows(Invoice), "nothing of it is kept"
    hub.bill("2026-03")
    assert issued(hub)[0].net == Decimal("4580.00"), "the run makes what the dry run has shown"


def test_a_dry_run_shows_the_credit_memo_a_correction_would_make() -> None:
    hub = client_of({})
    worked(hub, K1="8.0")
    hub.bill("a")
    hub.capture(entry(1, "6.0", approved_at=datetime(2026, 4, 1, tzinfo=UTC)))
    shown = preview_contract(hub.kernel, "K-1", date(2026, 4, 30), "K-1:b", "ana")
    assert [credit.net for credit in shown.credits] == [Decimal("370.00")]
    assert not hub.rows(Invoice, kind="credit") and not hub.rows(RunRow, process="credit_correction")
