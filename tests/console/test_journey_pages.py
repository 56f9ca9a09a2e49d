"""A contract from opportunity to cash on its page, and an invoice line down to the hour it comes from."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

import pytest

from isthmus.domain.objects import BillableItem, BillablePart, BillingType, ContractVersion, Invoice, Payment
from isthmus.domain.terms import CostPlus
from isthmus.processes import sweeps
from isthmus.store.records import Effect, OutboxEvent, RunRow
from tests.app.stage import PEOPLE, an_entry
from tests.console.stage import ConsoleStage, text_of
from tests.processes.hub import contract

LINE = contract().lines[0]


def at(rate: str) -> ContractVersion:
    """The usual contract at another rate."""
    rates = (LINE.rates[0].model_copy(update={"bill_rate": Decimal(rate)}),)
    return contract(lines=(LINE.model_copy(update={"rates": rates}),))


def paid(stage: ConsoleStage) -> None:
    """A contract of 164.00 an hour, two entries, invoiced, and paid in full."""
    stage.set_up(at("164.00"))
    stage.record(an_entry(1, "4.50", note="Interviews"), an_entry(2, "3.00", day=4, note="Report"))
    stage.bill()
    stage.go()
    facts = {"source": "erp", "source_id": "77", "client_no": "C-1", "currency": "USD", "value_date": date(2026, 3, 20)}
    total = (Decimal("1230.00") * Decimal("1.08875")).quantize(Decimal("0.01"))
    payment = Payment.model_validate({**facts, "amount": total, "applies": {"US01-INV-2026-00001": total}})
    stage.systems.erp.__dict__.setdefault("payments", []).append(payment)
    for _ in range(2):
        sweeps.sweep_payments(stage.kernel, stage.systems.erp)
        stage.go()


@pytest.mark.requirement("OBS-01")
def test_one_id_leads_from_the_contract_in_the_crm_to_the_payment(stage: ConsoleStage) -> None:
    paid(stage)
    one = "contract:K-1"
    types = {event.type for event in stage.rows(OutboxEvent, correlation_id=one)}
    assert {"engagement.activated", "invoice.issued", "invoice.posted", "payment.received", "invoice.paid"} <= types
    ours = {run.process for run in stage.rows(RunRow, correlation_id=one)}
    assert {"contract_to_project", "capture_time", "bill_contract", "invoice_to_cash"} <= ours
    assert {run.correlation_id for run in stage.rows(RunRow)} == {one}, "and nothing of it is under another"
    systems = {effect.connection for effect in stage.rows(Effect, correlation_id=one)}
    assert len(systems) >= 4 and {effect.correlation_id for effect in stage.rows(Effect)} == {one}
    page = stage.visit("pia").get("/console/engagements/K-1")
    told = text_of(page.text)
    for said in ("Time may be recorded", "The ERP has the receivable", "Money has come in", "Nothing is open any more"):
        assert said in told
    for lane in ("crm", "psa", "hub", "tax", "erp"):
        assert f'class="on l-{lane}"' in page.text, f"something happened in the {lane}"


def test_the_evidence_of_a_contract_is_a_picture_whose_widths_are_its_amounts(stage: ConsoleStage) -> None:
    paid(stage)
    stage.record(an_entry(9, "7.50", day=20), message_id="msg_2")
    page = stage.visit("pia").get("/console/engagements/K-1").text
    widths = {state: Decimal(width) for state, width in re.findall(r'rect class="p-(\w+)".*?width="([\d.]+)"', page)}
    nets = sorted(part.net for part in stage.rows(BillablePart))
    assert set(widths) == {"ready", "invoiced"} and abs(sum(widths.values()) - 1000) < Decimal("0.02")
    assert nets == [Decimal("492.00"), Decimal("738.00"), Decimal("1230.00")]
    assert widths["ready"] == widths["invoiced"] == Decimal("500.00")


def test_a_controller_reads_why_a_line_is_1230(stage: ConsoleStage) -> None:
    paid(stage)
    visitor = stage.visit("cora")
    invoice = visitor.get("/console/invoices/US01-INV-2026-00001").text
    assert "1,230.00" in text_of(invoice) and 'hx-target="#why-1"' in invoice
    why = text_of(visitor.get("/console/invoices/US01-INV-2026-00001?line=1", **{"hx-request": "true"}).text)
    for said in (
        "computed again, equal",
        "1,230.00 USD from 2 approved shares",
        "3 Mar 2026 ann Interviews 4.50 164.00 738.00 738.00 pia",
        "4 Mar 2026 ann Report 3.00 164.00 492.00 492.00 pia",
        "Sum 1,230.00",
        "K-1 version 1",
        "1,230.00 × 8.875 %",
    ):
        assert said in why, why


def test_a_line_whose_hours_were_changed_behind_the_hubs_back_does_not_add_up(stage: ConsoleStage) -> None:
    paid(stage)
    (item, *_) = stage.rows(BillableItem, order=("item_id",))
    with stage.hub.store.transaction() as tx:
        tx.raw.exec_driver_sql("alter table hub.billable_item disable trigger all")
        tx.update(item.model_copy(update={"entry_net": Decimal("999.00")}))
    why = stage.visit("cora").get("/console/invoices/US01-INV-2026-00001?line=1").text
    assert "does not add up" in why and "kept 999.00" in text_of(why)


def test_a_long_line_is_read_page_by_page(stage: ConsoleStage) -> None:
    stage.set_up(at("100.00"))
    stage.record(*(an_entry(n, "0.25", day=1 + n % 28, note=f"step {n}") for n in range(1, 46)))
    stage.bill()
    stage.go()
    visitor, path = stage.visit("cora"), "/console/invoices/US01-INV-2026-00001?line=1"
    first, second = text_of(visitor.get(path).text), text_of(visitor.get(f"{path}&start=40").text)
    assert "1,125.00 USD from 45 approved shares" in first and "Shares 1 to 40 of 45. The next ones" in first
    assert "Shares 41 to 45 of 45." in second and "The next ones" not in second
    found = set(re.findall(r"step \d+", first + second))
    assert len(found) == 45


@pytest.mark.requirement("SEC-01")
def test_what_a_person_costs_is_shown_to_those_with_a_need_alone(stage: ConsoleStage) -> None:
    """A cost-plus line is priced by it: the lineage of the price must not give it away."""
    terms = {"billing_type": BillingType.COST_PLUS, "cost_plus": CostPlus(markup_percent=Decimal(20)), "rates": ()}
    stage.set_up(contract(lines=(LINE.model_copy(update=terms),)))
    stage.record(an_entry(1, "4", cost_rate="71.35", cost_currency="USD"))
    stage.bill()
    stage.go()
    (invoice,) = stage.rows(Invoice)
    number = invoice.number or invoice.invoice_id
    for person, role in PEOPLE.items():
        page = stage.visit(person).get(f"/console/invoices/{number}?line=1").text
        api = stage.get(f"/v1/invoices/{number}/explanation", by=person).text
        sees = role in ("finance", "controller")
        assert ("71.35" in page, "71.35" in api) == (sees, sees), person
        assert "85.62" in page, "the rate that is billed is on the invoice"
