"""Contract to project, time to invoice, invoice to cash, with either ERP: the same processes, the same cents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app import comparing
from isthmus.app.controls import reconcile
from isthmus.app.demo import world
from isthmus.domain.objects import Engagement, Invoice
from isthmus.domain.states import EngagementState, InvoiceLife, Posting, Settlement
from isthmus.sandbox.server import Running
from isthmus.store.records import Case, CrossReference, Effect, EffectState, RunState
from tests.pairings.erps import Finance, NetSuite, Tryton, money
from tests.pairings.pair import DEAL, PROJECT, Pair, paired, systems

# Whoever asks for Tryton first on a machine waits until its database is made.
pytestmark = [pytest.mark.xdist_group("pairings"), pytest.mark.timeout(900)]
ERPS = (Finance(), NetSuite(), Tryton())
WEEK = ((date(2026, 3, 2), "HM-SE", "7.5"), (date(2026, 3, 3), "HM-SE", "6.25"), (date(2026, 3, 3), "HM-PM", "1.5"))


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Running]]:
    with systems("kantata", *(erp.system for erp in ERPS)) as made:
        yield made


@pytest.fixture(params=ERPS, ids=[erp.system for erp in ERPS])
def pair(request: pytest.FixtureRequest, served: dict[str, Running]) -> Iterator[Pair]:
    with paired(request.param, served) as made:
        yield made


@pytest.fixture
def finance(served: dict[str, Running]) -> Iterator[Pair]:
    with paired(Finance(), served) as made:
        yield made


def at_rest(pair: Pair) -> None:
    """Nothing is open, and every write has a certain end."""
    assert [case.cause for case in pair.rows(Case)] == []
    assert {e.state for e in pair.rows(Effect)} <= {EffectState.DONE, EffectState.FOUND, EffectState.RESENT}


def issued(pair: Pair) -> Invoice:
    [invoice] = pair.rows(Invoice, life=InvoiceLife.ISSUED)
    assert isinstance(invoice, Invoice)
    return invoice


def net_of_week() -> Decimal:
    """Each entry is rounded by itself."""
    rates = {line.uid: world.price_list()[line.role].bill_rate for line in DEAL.lines}
    return sum((money(rates[line] * Decimal(hours)) for _, line, hours in WEEK), Decimal(0))


def test_a_signed_contract_becomes_a_project(pair: Pair) -> None:
    assert pair.win().state is RunState.DONE
    at_rest(pair)
    assert [e.state for e in pair.rows(Engagement)] == [EngagementState.ACTIVE]
    known = {ref.key for ref in pair.rows(CrossReference, system=pair.erp.system)}
    assert {DEAL.client_no, PROJECT, *(f"{PROJECT}:{line.uid}" for line in DEAL.lines)} <= known


def test_time_becomes_cost_and_an_invoice_and_money(pair: Pair) -> None:
    pair.win()
    pair.work(*WEEK)
    assert pair.erp.hours(pair) == Decimal("15.25")
    assert pair.bill("2026-03").state is RunState.DONE
    invoice = issued(pair)
    assert (invoice.posting, invoice.net) == (Posting.POSTED, net_of_week())
    assert invoice.tax > 0 and pair.erp.documents(pair) == {invoice.number: (invoice.total, invoice.tax)}
    pair.pay(invoice, Decimal("100.10"))
    assert issued(pair).settlement is Settlement.PARTIALLY_PAID
    pair.pay(issued(pair), issued(pair).open)
    assert (issued(pair).settlement, issued(pair).open) == (Settlement.PAID, 0)
    at_rest(pair)


def test_an_invoice_somebody_makes_in_netsuite_is_found_by_reconciliation(served: dict[str, Running]) -> None:
    with paired(NetSuite(), served) as pair:
        pair.win()
        pair.work(*WEEK)
        pair.bill("2026-03")
        assert reconcile(pair.kernel) == [] and comparing.tick(pair.kernel) == 0
        ours = issued(pair)
        [row] = pair.state("netsuite", "invoice")
        by_hand = {name: row[name] for name in ("entity", "subsidiary", "currency", "tranDate", "approvalStatus")}
        by_hand |= {"tranId": "HAND-1", "item": [{"item": {"id": "21"}, "amount": float(ours.net)}]}
        [made] = pair.control("netsuite", "seed", {"invoice": [by_hand]})["invoice"]
        [found] = reconcile(pair.kernel)
        assert (found.control, found.kind, found.key) == ("INV-09", "unknown", f"netsuite:{made['id']}")
        assert (found.amount, found.client_no) == (ours.net, DEAL.client_no)
        assert "HAND-1" in found.problem and f"{ours.number} comes to the same" in found.problem
        pair.clock.move(comparing.EVERY)
        assert comparing.tick(pair.kernel) == 1
        assert [case.exception for case in pair.rows(Case)] == ["EX-UNKNOWN-RECEIVABLE"]


def test_an_answer_that_is_lost_doubles_nothing(pair: Pair) -> None:
    pair.win()
    pair.work(*WEEK)
    pair.erp.lose_an_answer(pair)
    assert pair.bill("2026-03").state is RunState.DONE
    [posted] = pair.rows(Effect, verb="Erp.post_invoice")
    assert posted.lookups >= 1 and posted.state in (EffectState.FOUND, EffectState.RESENT)
    invoice = issued(pair)
    assert pair.erp.documents(pair) == {invoice.number: (invoice.total, invoice.tax)}
    assert pair.bill("again").state is RunState.DONE
    assert len(pair.erp.documents(pair)) == 1
    at_rest(pair)


def test_a_credit_memo_takes_part_of_it_back(pair: Pair) -> None:
    pair.win()
    pair.work(*WEEK)
    pair.bill("2026-03")
    invoice = issued(pair)
    args = {"amounts": {"1": "100.00"}, "reason": "concession", "requested_by": "pia.pmo"}
    run = pair.start("credit_invoice", f"{invoice.number}/credit", invoice_id=invoice.invoice_id, **args)
    if run.state is RunState.PARKED:
        pair.approve("EX-CREDIT-REVIEW")
    assert pair.run(run.run_id).state is RunState.DONE, [case.cause for case in pair.rows(Case)]
    documents = pair.erp.documents(pair)
    [credit] = [i for i in pair.rows(Invoice) if i.kind == "credit"]
    assert documents.keys() == {invoice.number, credit.number}
    total, tax = documents[credit.number]
    assert (total - tax, abs(total), abs(tax)) == (Decimal("-100.00"), abs(credit.total), abs(credit.tax))


def upstream(pair: Pair) -> dict[str, Any]:
    """What CRM and PSA hold at the end, but for the times at which it was written."""
    shown = pair.state("salesforce", "Contract")[0]
    return {
        "crm": {name: value for name, value in shown.items() if name.endswith("__c") and "_At_" not in name},
        "psa": {name: len(pair.state("kantata", name)) for name in ("workspaces", "stories", "time_entries")},
        "billed": sorted((row["id"], row.get("invoice_id")) for row in pair.state("kantata", "time_entries")),
        "tax": len(pair.state("avalara", "transactions")),
    }


@pytest.mark.requirement("MIG-04", "SYS-04")
def test_the_other_systems_do_not_see_which_erp_it_is(served: dict[str, Running]) -> None:
    seen = []
    for erp in ERPS:
        with paired(erp, served) as pair:
            pair.win()
            pair.work(*WEEK)
            pair.bill("2026-03")
            invoice = issued(pair)
            pair.pay(invoice, invoice.total)
            seen.append((issued(pair).model_dump(), upstream(pair)))
    assert all(each == seen[0] for each in seen[1:])
    billed = seen[0][1]["billed"]
    assert len(billed) == len(WEEK) and all(invoice for _, invoice in billed)


# -- what only Dynamics 365 Finance has ----------------------------------------------------------------------------


def held(pair: Pair, collection: str) -> list[dict[str, Any]]:
    return pair.state("dynamics_finance", collection)


def test_the_contract_as_dynamics_shows_it(finance: Pair) -> None:
    finance.win()
    [customer] = held(finance, "CustomersV3")
    assert (customer["dataAreaId"], customer["CustomerAccount"]) == ("usmf", DEAL.client_no)
    [contract] = held(finance, "ProjectContractHeaders")
    assert (contract["ProjectContractId"], contract["SalesCurrencyCode"]) == (DEAL.contract_no, "USD")
    [project] = held(finance, "ProjectsV2")
    shown = (project["ProjectStage"], project["DimensionDisplayValue"], project["ProjectContractId"])
    assert shown == ("InProcess", "DIGITAL|CC-100", DEAL.contract_no)
    assert {task["TaskId"] for task in held(finance, "ProjectTasks")} == {line.uid for line in DEAL.lines}


@pytest.mark.parametrize("kind", ["timeout_before_commit", "timeout_after_commit", "duplicate"])
@pytest.mark.parametrize("path", ["batch", "FreeTextInvoice/post", "FreeTextInvoiceHeaders", "CustomerTransactions"])
def test_whatever_is_lost_on_the_way_the_invoice_is_one(finance: Pair, kind: str, path: str) -> None:
    finance.win()
    finance.work(*WEEK)
    finance.control("dynamics_finance", "faults", {"kind": kind, "path": path, "times": 2})
    assert finance.bill("2026-03").state is RunState.DONE
    invoice = issued(finance)
    assert finance.erp.documents(finance) == {invoice.number: (invoice.total, invoice.tax)}
    at_rest(finance)


def test_an_environment_under_pressure_is_waited_for(finance: Pair) -> None:
    finance.win()
    finance.work(*WEEK)
    busy = {"kind": "status", "path": "/data/", "status": 429, "headers": {"Retry-After": "1"}, "times": 3}
    finance.control("dynamics_finance", "faults", busy | {"body": {"error": {"code": "429", "message": "busy"}}})
    assert finance.bill("2026-03").state is RunState.DONE
    assert len(finance.erp.documents(finance)) == 1
    at_rest(finance)
