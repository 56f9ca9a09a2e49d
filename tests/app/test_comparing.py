"""What an ERP claims that the hub has not issued: a case each, asked of an ERP a few times a day, answered once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app import comparing
from isthmus.domain.errors import Unreachable
from isthmus.domain.objects import Invoice
from isthmus.domain.states import CaseState, InvoiceLife
from isthmus.store.records import Case
from tests.processes.hub import Hub, entry


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    hub.bill("one")
    return hub


def claimed(hub: Hub, **changes: Any) -> dict[str, Any]:
    """Somebody makes a document in the ERP, beside the hub."""
    known = hub.systems.erp.things["invoice"]
    known.append({**known[0], "key": "", **changes})
    return known[-1]


def look(hub: Hub) -> int:
    """The next look that is due."""
    hub.clock.move(comparing.EVERY)
    return comparing.tick(hub.kernel)


def open_cases(hub: Hub) -> list[Case]:
    return hub.rows(Case, state=CaseState.OPEN, order=("case_no",))


def test_books_that_agree_open_nothing_and_the_erp_is_asked_a_few_times_a_day(hub: Hub) -> None:
    assert look(hub) == 0 and comparing.tick(hub.kernel) == 0
    assert hub.systems.erp.calls["receivables"] == 1
    look(hub)
    assert hub.systems.erp.calls["receivables"] == 2 and open_cases(hub) == []


def test_what_nobody_here_has_issued_is_a_case_with_its_money_that_closes_itself(hub: Hub) -> None:
    [invoice] = hub.rows(Invoice, life=InvoiceLife.ISSUED)
    there = claimed(hub, total="648.00")
    assert look(hub) == 1 and look(hub) == 0
    [case] = open_cases(hub)
    assert (case.exception, case.amount, case.currency) == ("EX-UNKNOWN-RECEIVABLE", Decimal("648.00"), "USD")
    assert (case.queue, case.entity, case.context["client"]) == ("receivables", "US01", invoice.client_no)
    hub.systems.erp.things["invoice"].remove(there)
    assert look(hub) == 1 and open_cases(hub) == []


def test_our_own_document_twice_is_a_duplicate(hub: Hub) -> None:
    [invoice] = hub.rows(Invoice, life=InvoiceLife.ISSUED)
    claimed(hub, key=invoice.number)
    assert look(hub) == 1
    [case] = open_cases(hub)
    assert (case.exception, case.amount, case.subject) == ("EX-DUPLICATE", invoice.total, invoice.number)


def test_whoever_has_answered_is_not_asked_about_the_same_document_again(hub: Hub) -> None:
    there = claimed(hub)
    look(hub)
    [case] = open_cases(hub)
    with hub.store.transaction() as tx:
        hub.kernel.resolve(tx, case.case_no, action="accept", actor="rita", reason="rent", values={})
    assert look(hub) == 0 and open_cases(hub) == []
    there["on"] = "2026-04-07"  # posted on another day: another matter
    assert look(hub) == 1


def test_an_erp_that_does_not_answer_closes_no_case(hub: Hub) -> None:
    claimed(hub)
    look(hub)
    hub.systems.weather.next_fault = lambda system, verb, write: "unreachable" if verb == "receivables" else None
    with pytest.raises(Unreachable):  # the worker's loop tells of it
        look(hub)
    assert len(open_cases(hub)) == 1
    asked = hub.systems.erp.calls["receivables"]
    with pytest.raises(Unreachable):  # and asks again at its next turn, not hours later
        comparing.tick(hub.kernel)
    assert hub.systems.erp.calls["receivables"] == asked + 1


def test_what_is_issued_while_the_erp_lists_is_nobody_elses(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.capture(entry(2, "4.0", day=4))
    lists = hub.systems.erp.receivables

    def and_meanwhile(entity: str, since: date) -> Any:
        hub.bill("two")
        return lists(entity, since)

    monkeypatch.setattr(hub.systems.erp, "receivables", and_meanwhile)
    assert look(hub) == 0 and len(hub.rows(Invoice, life=InvoiceLife.ISSUED)) == 2
