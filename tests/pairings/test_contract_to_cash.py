"""Contract to cash over whole pairings of systems: the same processes, from a won deal to a paid invoice read back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from isthmus.domain.objects import Engagement, Invoice
from isthmus.domain.states import EngagementState, Posting, Settlement
from isthmus.sandbox.server import Running
from isthmus.store.records import CrossReference, RunState
from tests.pairings.crms import SALESFORCE, HubSpot, Salesforce
from tests.pairings.erps import Finance, NetSuite, Tryton, money
from tests.pairings.pair import DEAL, PROJECT, Pair, paired, systems
from tests.pairings.psas import KANTATA, Certinia, Jira
from tests.pairings.test_erp import WEEK, at_rest, issued, net_of_week

# Whoever asks for Tryton first on a machine waits until its database is made.
pytestmark = [pytest.mark.xdist_group("pairings"), pytest.mark.timeout(900)]
PAIRINGS = {
    "salesforce-certinia-netsuite-avalara": (Salesforce(hears=True), Certinia(), NetSuite()),
    "hubspot-kantata-dynamics_finance-avalara": (HubSpot(), KANTATA, Finance()),
    "salesforce-jira-tryton-avalara": (SALESFORCE, Jira(), Tryton()),  # this Tryton is real
}


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Running]]:
    with systems(*{one.system for pairing in PAIRINGS.values() for one in pairing} - {"salesforce"}) as made:
        yield made


def contract_to_cash(pair: Pair) -> Invoice:
    """The whole way, and after each stretch what every system holds of it."""
    assert pair.win().state is RunState.DONE
    assert [e.state for e in pair.rows(Engagement)] == [EngagementState.ACTIVE]
    for system in (pair.psa.system, pair.erp.system):
        known = {ref.key for ref in pair.rows(CrossReference, system=system)}
        assert {PROJECT, *(f"{PROJECT}:{line.uid}" for line in DEAL.lines)} <= known
    pair.work(*WEEK)
    assert pair.erp.hours(pair) == Decimal("15.25")
    assert pair.bill("2026-03").state is RunState.DONE
    invoice = issued(pair)
    assert (invoice.posting, invoice.net) == (Posting.POSTED, net_of_week())
    assert pair.erp.documents(pair) == {invoice.number: (invoice.total, invoice.tax)}
    taxed = [(row["status"], money(row["totalTax"])) for row in pair.state("avalara", "transactions")]
    assert taxed == [("Committed", invoice.tax)]
    assert pair.psa.numbers(pair) == [invoice.number] * len(pair.psa.numbers(pair)) != []
    pair.pay(invoice, invoice.total)
    shown = pair.crm.shown(pair)
    assert (money(shown["billed"]), money(shown["paid"])) == (invoice.net, invoice.total)
    assert (shown["state"], shown["last_invoice"]) == ("paid", invoice.number)
    assert (issued(pair).settlement, issued(pair).open) == (Settlement.PAID, 0)
    at_rest(pair)
    return invoice


@pytest.mark.requirement("SYS-13", "SYS-15", "SYS-20")
def test_the_same_processes_run_from_a_won_deal_to_a_paid_invoice_on_each_pairing(
    served: dict[str, Running],
) -> None:
    seen = []
    for crm, psa, erp in PAIRINGS.values():
        with paired(erp, served, psa, crm=crm) as pair:
            invoice = contract_to_cash(pair)
            lines = sorted((line.line_uid, line.quantity, line.net, line.tax) for line in invoice.lines)
            seen.append((invoice.number, invoice.net, invoice.tax, invoice.total, lines))
    assert all(each == seen[0] for each in seen), "the pairing shows on the invoice"
