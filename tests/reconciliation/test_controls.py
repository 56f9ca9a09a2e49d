"""Each control finds the break planted for it, and nothing in healthy books."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from isthmus.domain.objects import BillablePart, Invoice
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.processes.work.invoicing import posting_of
from isthmus.reconciliation import (
    check_listed,
    check_numbers,
    check_partition,
    check_receivables,
    check_standstill,
    reconcile_books,
)
from isthmus.store.memory import key_of
from isthmus.store.records import RunRow, RunState
from tests.processes.hub import Hub, entry


@pytest.fixture
def hub() -> Hub:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"), entry(2, "4.25", day=4))
    hub.bill("one")
    hub.capture(entry(3, "2.0", day=5))
    return hub


def spoil(hub: Hub, row: object, **changes: object) -> None:
    """Change a row behind the books' back, as a bug or a person with database access would."""
    hub.store.rows[type(row)][key_of(row)] = row.model_copy(update=changes)  # type: ignore[attr-defined,index,arg-type]


def found(hub: Hub) -> dict[str, list[str]]:
    """Problems by control."""
    told: dict[str, list[str]] = {}
    with hub.store.transaction() as tx:
        for finding in reconcile_books(tx, hub.clock.now()):
            told.setdefault(finding.control, []).append(finding.problem)
    return told


def receivables(hub: Hub) -> list[str]:
    with hub.store.transaction() as tx:
        books = hub.kernel.books(tx, key="control", actor="controller")
        asked = [(i, posting_of(books, i.invoice_id)) for i in tx.find(Invoice)]
    return [f.problem for f in check_receivables(asked, lambda _, posting: hub.systems.erp.find_invoice(posting))]


def test_healthy_books_have_no_finding(hub: Hub) -> None:
    with hub.store.transaction() as tx:
        assert check_partition(tx) == check_numbers(tx) == check_standstill(tx, hub.clock.now()) == []
    assert receivables(hub) == []


def test_a_lost_part_is_found_with_its_money(hub: Hub) -> None:
    part = hub.rows(BillablePart, state=PartState.READY)[0]
    spoil(hub, part, net=part.net - Decimal("0.01"))
    with hub.store.transaction() as tx:
        missing = check_partition(tx)
    assert [(f.key, f.amount, f.owner) for f in missing] == [("psa:3", Decimal("0.01"), "billing")]


@pytest.mark.requirement("INV-07")
def test_a_line_that_is_not_its_parts_and_a_part_billed_twice_are_found(hub: Hub) -> None:
    invoice = hub.rows(Invoice)[0]
    line = invoice.lines[0]
    spoil(hub, invoice, lines=(line, line.model_copy(update={"number": 2})))
    assert "is on 2 lines" in found(hub)["INV-06"][0]
    spoil(hub, invoice, lines=(line.model_copy(update={"net": line.net + 1}),))
    assert [problem[:9] for problem in found(hub)["INV-07"]] == ["line says"]
    spoil(hub, invoice, lines=(line.model_copy(update={"part_ids": ()}),))
    assert {name: len(problems) for name, problems in found(hub).items()} == {"INV-06": 2, "INV-07": 1}


@pytest.mark.requirement("EXC-10")
def test_a_gap_and_a_repeated_number_are_found(hub: Hub) -> None:
    hub.bill("two", "2026-03-31")
    first, second = sorted(hub.rows(Invoice), key=lambda i: i.number)
    spoil(hub, second, number=first.number.replace("00001", "00003"))
    spoil(hub, first, number=first.number.replace("00001", "00003"))
    with hub.store.transaction() as tx:
        numbers = sorted((f.key[-5:], f.problem) for f in check_numbers(tx))
    assert numbers == [
        ("00001", "number missing in the series"),
        ("00002", "number missing in the series"),
        ("00003", "number given more than once"),
    ]


def test_a_receivable_missing_or_different_in_the_erp_is_found(hub: Hub) -> None:
    row = hub.systems.erp.things["invoice"][0]
    row["total"] = "1.00"
    assert "1.00 USD in erp" in receivables(hub)[0]
    hub.systems.erp.things["invoice"].clear()
    assert receivables(hub) == ["missing in the ERP"]


def test_a_run_nothing_will_move_is_found(hub: Hub) -> None:
    run = hub.rows(RunRow, process="bill_contract")[0]
    spoil(hub, run, state=RunState.WAITING, wake_at=None)
    with hub.store.transaction() as tx:
        assert [f.key for f in check_standstill(tx, hub.clock.now())] == [run.run_id]
    spoil(hub, run, state=RunState.RUNNING)
    with hub.store.transaction() as tx:
        assert check_standstill(tx, hub.clock.now()) == []
        assert [f.key for f in check_standstill(tx, hub.clock.now() + timedelta(hours=1))] == [run.run_id]


def listed(hub: Hub, *more: dict[str, object]) -> list[tuple[str, str, Decimal, str]]:
    """(kind, key, amount, problem) of what the ERP lists; more: copies of its first document, with changes."""
    documents = hub.systems.erp.receivables("US01", date(2026, 3, 1))
    made = [
        documents[0].model_copy(update={"ref": documents[0].ref.model_copy(update={"external_id": f"x{n}"}), **each})
        for n, each in enumerate(more)
    ]
    found = check_listed("US01", hub.rows(Invoice), {"C-1"}, [*documents, *made])
    assert all((each.owner, each.entity) == ("receivables", "US01") for each in found)
    return [(each.kind, each.key, each.amount, each.problem) for each in found]


def test_what_the_erp_has_and_the_hub_has_not_issued_is_found_with_its_money(hub: Hub) -> None:
    [invoice] = hub.rows(Invoice, life=InvoiceLife.ISSUED)
    assert listed(hub) == []
    [(kind, key, amount, problem)] = listed(hub, {"number": "", "state": "draft"})
    assert (kind, key, amount) == ("unknown", "erp:x0", invoice.total)
    assert problem.endswith(f"draft: the hub has not issued it; {invoice.number} comes to the same")
    assert listed(hub, {"number": "", "client_no": "C-9"}) == []  # of a client the hub does not bill
    other = {"number": "M-1", "total": Decimal("-12.00")}  # a credit memo that is only in the ERP
    [(kind, _, amount, problem)] = listed(hub, other)
    assert (kind, amount) == ("unknown", Decimal("12.00")) and problem.endswith("the hub has not issued it")


def test_what_the_erp_has_twice_is_a_duplicate_with_its_money(hub: Hub) -> None:
    [invoice] = hub.rows(Invoice, life=InvoiceLife.ISSUED)
    [(kind, key, amount, problem)] = listed(hub, {}, {})
    assert (kind, key, amount) == ("duplicate", invoice.number, invoice.total * 2) and "3 times" in problem
    beside = {"number": "", "total": Decimal("3000.00"), "issue_date": None}
    first, second = listed(hub, beside, beside)
    assert (first[0], first[2]) == ("unknown", Decimal("3000.00"))
    assert (second[0], second[2]) == ("duplicate", Decimal("3000.00")) and "the same as erp x0" in second[3]
