"""The same processes with another PSA: the same cents, and what is taken back there is taken back here."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from isthmus.sandbox.server import Running
from isthmus.store.records import RunState
from tests.pairings.erps import NetSuite
from tests.pairings.pair import Pair, paired, systems
from tests.pairings.psas import KANTATA, Certinia, Jira
from tests.pairings.test_contract_to_cash import contract_to_cash
from tests.pairings.test_erp import WEEK, at_rest, issued

pytestmark = pytest.mark.xdist_group("pairings")
ERP, OTHERS = NetSuite(), (Certinia(), Jira())


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Running]]:
    with systems(ERP.system, "kantata", *(psa.system for psa in OTHERS)) as made:
        yield made


@pytest.fixture(params=OTHERS, ids=[psa.system for psa in OTHERS])
def pair(request: pytest.FixtureRequest, served: dict[str, Running]) -> Iterator[Pair]:
    with paired(ERP, served, request.param) as made:
        yield made


def test_a_contract_becomes_a_project_and_time_an_invoice_that_shows_there(pair: Pair) -> None:
    contract_to_cash(pair)


def test_work_that_is_taken_back_there_is_no_cost_and_on_no_invoice(pair: Pair) -> None:
    pair.win()
    pair.work(*WEEK)
    assert pair.erp.hours(pair) == Decimal("15.25")
    assert isinstance(pair.psa, Certinia | Jira)
    pair.psa.take_back(pair)  # the 7.5 hours of the second of March
    pair.ask_for_time()
    assert pair.erp.hours(pair) == Decimal("7.75")
    assert pair.bill("2026-03").state is RunState.DONE
    assert sum(line.quantity for line in issued(pair).lines) == Decimal("7.75")
    at_rest(pair)


def test_the_invoice_does_not_show_which_psa_it_is(served: dict[str, Running]) -> None:
    seen = []
    for psa in (KANTATA, *OTHERS):
        with paired(ERP, served, psa) as pair:
            pair.win()
            pair.work(*WEEK)
            pair.bill("2026-03")
            invoice = issued(pair)
            seen.append((invoice.number, invoice.net, invoice.tax, invoice.total))
    assert len(set(seen)) == 1
