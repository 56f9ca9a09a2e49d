"""Contract to cash over Salesforce, Jira work logs and Tryton, an ERP nobody of us wrote: the processes as they are.

What is held against it is asked of Tryton by its own JSON-RPC, as its own clients ask; never by the hub's way in.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from isthmus.app.controls import reconcile
from isthmus.domain.objects import Engagement
from isthmus.domain.states import EngagementState, Posting, Settlement
from isthmus.sandbox.server import Running
from isthmus.store.records import Effect, EffectState, RunState
from tests.pairings.erps import Tryton, money
from tests.pairings.pair import DEAL, PROJECT, Pair, paired, systems
from tests.pairings.psas import Jira
from tests.pairings.test_erp import WEEK, at_rest, issued, net_of_week

# Whoever asks for Tryton first on a machine waits until its database is made.
pytestmark = [pytest.mark.xdist_group("pairings"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Running]]:
    with systems("tryton", "jira") as made:
        yield made


@pytest.fixture
def pair(served: dict[str, Running]) -> Iterator[Pair]:
    with paired(Tryton(), served, Jira()) as made:
        yield made


def test_contract_to_cash(pair: Pair) -> None:
    assert pair.win().state is RunState.DONE
    assert [e.state for e in pair.rows(Engagement)] == [EngagementState.ACTIVE]
    [project] = pair.state("tryton", "project")
    assert project["name"].startswith(f"[{PROJECT}] ") and project["party"]["code"] == DEAL.client_no
    pair.work(*WEEK)
    assert pair.erp.hours(pair) == Decimal("15.25")
    assert pair.bill("2026-03").state is RunState.DONE
    invoice = issued(pair)
    [there] = pair.state("tryton", "invoice")
    assert (there["state"], there["move"]["state"], there["number"]) == ("posted", "posted", there["number"])
    assert there["number"].startswith("T2026-") and there["reference"] == invoice.number
    assert there["party"] | {"id": 0} == {"code": DEAL.client_no, "name": DEAL.client, "id": 0}
    assert money(there["untaxed_amount"]) == invoice.net == net_of_week()
    assert money(there["tax_amount"]) == invoice.tax > 0
    assert money(there["total_amount"]) == money(there["amount_to_pay"]) == invoice.total
    assert there["invoice_date"] == f"{invoice.issue_date}"
    assert there["lines_to_pay"][0]["maturity_date"] == f"{invoice.due_date}"
    pair.pay(invoice, Decimal("100.10"))
    assert issued(pair).settlement is Settlement.PARTIALLY_PAID
    [there] = pair.state("tryton", "invoice")
    assert money(there["amount_to_pay"]) == issued(pair).open == invoice.total - Decimal("100.10")
    pair.pay(issued(pair), issued(pair).open)
    assert (issued(pair).settlement, issued(pair).open) == (Settlement.PAID, 0)
    [there] = pair.state("tryton", "invoice")
    assert (there["state"], money(there["amount_to_pay"])) == ("paid", 0)
    paid = {row["invoice_payment"]["reference"] for row in pair.state("tryton", "payment") if money(row["credit"])}
    assert paid == {invoice.number}
    at_rest(pair)


def test_an_invoice_that_is_there_twice_is_found(pair: Pair) -> None:
    pair.win()
    pair.work(*WEEK)
    pair.bill("2026-03")
    invoice = issued(pair)
    assert [finding for finding in reconcile(pair.kernel) if finding.control == "INV-09"] == []
    pair.control("tryton", "seed", {"repeat": [{"invoice": invoice.number}]})
    assert len(pair.state("tryton", "invoice")) == 2
    [found] = [finding for finding in reconcile(pair.kernel) if finding.control == "INV-09"]
    assert found.key == invoice.number and f"posted {invoice.number} 2 times" in found.problem


@pytest.mark.parametrize("kind", ["timeout_before_commit", "timeout_after_commit", "duplicate"])
@pytest.mark.parametrize("path", ["account.invoice$", "account.invoice/[0-9]+/post$"])
def test_whatever_is_lost_on_the_way_the_invoice_is_one(pair: Pair, kind: str, path: str) -> None:
    pair.win()
    pair.work(*WEEK)
    pair.control("tryton", "faults", {"kind": kind, "method": "POST", "path": path})
    assert pair.bill("2026-03").state is RunState.DONE
    [posted] = pair.rows(Effect, verb="Erp.post_invoice")
    assert posted.state in (EffectState.DONE, EffectState.FOUND, EffectState.RESENT)
    assert posted.lookups >= 1 or kind == "duplicate"
    invoice = issued(pair)
    assert invoice.posting is Posting.POSTED and len(pair.rows(Effect, verb="Erp.post_invoice")) == 1
    assert pair.erp.documents(pair) == {invoice.number: (invoice.total, invoice.tax)}
    at_rest(pair)
