"""Several tools at one firm: a time tool changed in mid-month, time from beside the PSA, two PSAs in two units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.demo import world
from isthmus.domain.objects import Invoice, TimeEntry
from isthmus.domain.states import CaseState, InvoiceLife
from isthmus.sandbox.server import Running
from isthmus.store.records import Case, CrossReference, RunState
from tests.pairings.erps import NetSuite
from tests.pairings.pair import DEAL, Beside, Pair, paired, systems
from tests.pairings.psas import KANTATA, Certinia, Jira
from tests.pairings.test_erp import at_rest, issued
from tests.processes.hub import ENTITY

pytestmark = pytest.mark.xdist_group("pairings")
ERP = NetSuite()
SWAP = date(2026, 3, 16)  # the first day on which people log their time in the new tool
HOURS = ("7.5", "6.25", "0.75", "8", "2.4", "1.65")
MARCH = tuple(
    (date(2026, 3, 2) + timedelta(days=n), line.uid, HOURS[(n + place) % len(HOURS)])
    for n in range(0, 29, 3)
    for place, line in enumerate(DEAL.lines)
)
TIME_ONLY = {"fills": ["TimeSource"]}
NO_TIME = {"fills": ["Psa", "RateBook"]}


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Running]]:
    with systems(ERP.system, "kantata", "jira", "certinia") as made:
        yield made


@contextmanager
def changing(served: dict[str, Running]) -> Iterator[Pair]:
    """A firm that logs its time in Kantata until the fifteenth, and in Jira from then on; both are asked."""
    with paired(ERP, served, beside=Beside(Jira(), TIME_ONLY)) as pair:
        pair.win()
        Jira().mark(pair, DEAL)
        yield pair


def of(first: date, last: date) -> tuple[tuple[date, str, str], ...]:
    return tuple(each for each in MARCH if first <= each[0] <= last)


def on_paper(pair: Pair) -> dict[str, Any]:
    """The invoice to the cent, and the hours behind it."""
    pair.clock.move_to(pair.clock.now().replace(day=31))
    pair.tell_time()
    assert pair.bill("2026-03").state is RunState.DONE, [case.cause for case in pair.rows(Case)]
    invoice = issued(pair)
    lines = sorted((line.line_uid, line.quantity, line.net, line.tax) for line in invoice.lines)
    return {"number": invoice.number, "net": invoice.net, "tax": invoice.tax, "total": invoice.total, "lines": lines}


def one_tool_all_month(served: dict[str, Running]) -> dict[str, Any]:
    with paired(ERP, served) as pair:
        pair.win()
        pair.work(*MARCH)
        told = on_paper(pair)
        at_rest(pair)
        return told | {"cost": pair.erp.hours(pair)}


@pytest.mark.requirement("SYS-16", "PAT-09")
def test_a_time_tool_changed_in_mid_month_changes_no_total(served: dict[str, Running]) -> None:
    expected = one_tool_all_month(served)
    with changing(served) as pair:
        pair.work(*of(date(2026, 3, 1), SWAP - timedelta(days=1)))
        pair.work(*of(SWAP, date(2026, 3, 31)), tool=Jira())
        assert on_paper(pair) | {"cost": pair.erp.hours(pair)} == expected
        assert {entry.source for entry in pair.rows(TimeEntry)} == {"kantata", "jira"}
        at_rest(pair)
        shown = [*KANTATA.numbers(pair), *Jira().numbers(pair)]
        assert shown == [expected["number"]] * len(MARCH), "each tool shows the invoice on its own hours"


@pytest.mark.requirement("PAT-09")
def test_days_that_were_put_into_both_tools_are_billed_once(served: dict[str, Running]) -> None:
    """Two days of three people are in both: the hub asks about each, and the total is that of one tool all month."""
    expected = one_tool_all_month(served)
    both = of(date(2026, 3, 14), date(2026, 3, 18))
    assert len(both) == 6
    with changing(served) as pair:
        pair.work(*of(date(2026, 3, 1), date(2026, 3, 18)))
        pair.work(*of(date(2026, 3, 14), date(2026, 3, 31)), tool=Jira())
        suspected = pair.rows(Case, state=CaseState.OPEN)
        assert [case.exception for case in suspected] == ["EX-DUP-SUSPECT"] * len(both)
        for case in suspected:
            pair.resolve(case, "cancel")
        assert on_paper(pair) | {"cost": pair.erp.hours(pair)} == expected


def test_hours_both_tools_hold_are_asked_about_whatever_each_says(served: dict[str, Running]) -> None:
    """Ten minutes more in the new tool, and another note: still one person's day on one task."""
    with changing(served) as pair:
        pair.work((date(2026, 3, 16), "HM-SE", "7.5"))
        pair.work((date(2026, 3, 16), "HM-SE", "7.6667"), tool=Jira())
        [case] = pair.rows(Case, state=CaseState.OPEN)
        assert case.exception == "EX-DUP-SUSPECT" and "kantata" in case.cause and "jira" in case.cause
        pair.work((date(2026, 3, 17), "HM-SE", "7.5"), (date(2026, 3, 16), "HM-PM", "1"), tool=Jira())
        assert len(pair.rows(Case)) == 1, "another day and another person are no doubles"


@pytest.mark.requirement("SYS-10", "PAT-09")
def test_jira_only_hands_over_time_beside_another_psa(served: dict[str, Running]) -> None:
    """Certinia plans and holds the rates, people log their time in Jira all month."""
    with paired(ERP, served, Certinia(), beside=Beside(Jira(), TIME_ONLY, NO_TIME)) as pair:
        pair.win()
        assert {ref.remote_type for ref in pair.rows(CrossReference, system="jira")} == set(), "nothing is set up there"
        Jira().mark(pair, DEAL)
        days = of(date(2026, 3, 1), date(2026, 3, 8))
        pair.work(*days, tool=Jira())
        told = on_paper(pair)
        assert sum(quantity for _, quantity, *_ in told["lines"]) == sum(Decimal(hours) for *_, hours in days)
        assert {entry.source for entry in pair.rows(TimeEntry)} == {"jira"}
        assert Jira().numbers(pair) == [told["number"]] * len(days)
        assert pair.state("certinia", "pse__Timecard_Header__c") == []
        at_rest(pair)


@pytest.mark.requirement("SYS-15", "SCA-11", "MIG-09")
def test_two_psas_in_two_business_units_of_one_firm(served: dict[str, Running]) -> None:
    """Each contract is planned, worked on and shown as billed in the PSA of its unit, and nowhere else."""
    east, west = DEAL, world.DEALS[1]
    unit = ENTITY.model_copy(update={"code": "US02", "name": "Narrows West Inc."})
    beside = Beside(Certinia(), {"entities": ["US02"]}, {"entities": ["US01"]})
    with paired(ERP, served, beside=beside, entities=(unit,)) as pair:
        beside.tool.open_office(pair, west)
        for deal, entity in ((east, "US01"), (west, "US02")):
            assert pair.win(deal, entity).state is RunState.DONE
        placed = {system: _projects_in(pair, system) for system in ("kantata", "certinia", ERP.system)}
        mine, theirs = f"P-{east.contract_no}", f"P-{west.contract_no}"
        assert placed == {"kantata": {mine}, "certinia": {theirs}, ERP.system: {mine, theirs}}
        pair.work((date(2026, 3, 2), "HM-SE", "7.5"), (date(2026, 3, 3), "HM-PM", "1.5"))
        pair.work((date(2026, 3, 2), "LH-UX", "5"), (date(2026, 3, 3), "LH-UR", "2.25"), deal=west, tool=beside.tool)
        assert pair.erp.hours(pair) == Decimal("16.25"), "no entry is counted twice"
        for deal, entity in ((east, "US01"), (west, "US02")):
            assert pair.bill("2026-03", deal, entity).state is RunState.DONE
        invoices = {i.contract_no: i for i in pair.rows(Invoice, life=InvoiceLife.ISSUED)}
        hours = {no: sum(line.quantity for line in i.lines) for no, i in invoices.items()}
        assert hours == {east.contract_no: Decimal("9"), west.contract_no: Decimal("7.25")}
        assert set(KANTATA.numbers(pair)) == {invoices[east.contract_no].number}
        assert set(beside.tool.numbers(pair)) == {invoices[west.contract_no].number}
        assert {i.entity for i in invoices.values()} == {"US01", "US02"}
        at_rest(pair)


def _projects_in(pair: Pair, system: str) -> set[str]:
    verbs = ("Psa.put_project", "Erp.put_project")
    return {ref.key for ref in pair.rows(CrossReference, system=system) if ref.object_type in verbs}


@pytest.mark.requirement("SYS-15", "SCA-11", "MIG-09")
def test_two_business_units_of_one_legal_entity_have_a_psa_each(served: dict[str, Running]) -> None:
    """The practice of a contract says which; the time each of them hands over is billed once."""
    east, west = DEAL, replace(world.DEALS[1], practice="WEST")
    digital, western = {"dimensions": {"practice": ["DIGITAL"]}}, {"dimensions": {"practice": ["WEST"]}}
    with paired(ERP, served, beside=Beside(Certinia(), western, digital)) as pair:
        tool = Certinia()
        tool.open_office(pair, west)
        for deal in (east, west):
            assert pair.win(deal).state is RunState.DONE, [case.cause for case in pair.rows(Case)]
        placed = {system: _projects_in(pair, system) for system in ("kantata", "certinia")}
        assert placed == {"kantata": {f"P-{east.contract_no}"}, "certinia": {f"P-{west.contract_no}"}}
        pair.work((date(2026, 3, 2), "HM-SE", "7.5"))
        pair.work((date(2026, 3, 2), "LH-UX", "5"), deal=west, tool=tool)
        assert pair.erp.hours(pair) == Decimal("12.5")
        for deal in (east, west):
            assert pair.bill("2026-03", deal).state is RunState.DONE
        invoices = {i.contract_no: i for i in pair.rows(Invoice, life=InvoiceLife.ISSUED)}
        assert set(KANTATA.numbers(pair)) == {invoices[east.contract_no].number}
        assert set(tool.numbers(pair)) == {invoices[west.contract_no].number}
        at_rest(pair)


def test_a_contract_of_a_unit_that_no_psa_serves_waits_and_says_so(served: dict[str, Running]) -> None:
    elsewhere = replace(DEAL, practice="NOWHERE")
    with paired(ERP, served, beside=Beside(Certinia(), {"dimensions": {"practice": ["WEST"]}},
                                           {"dimensions": {"practice": ["DIGITAL"]}})) as pair:  # fmt: skip
        pair.win(elsewhere)
        told = [case.cause for case in pair.rows(Case, state=CaseState.OPEN)]
        assert any("no connection fills Psa for US01" in cause and "practice NOWHERE" in cause for cause in told), told
