"""Tryton's own race: on SQLite two people who have a project billed at once bill it twice, and reconciliation says so.

Tryton's server reads before it locks the file, so the second of two calls does not see what the first has done. The
test holds the file while both have begun, which makes a matter of luck a matter of course; Tryton does the rest itself.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app import comparing
from isthmus.app.controls import reconcile
from isthmus.domain.states import CaseState
from isthmus.sandbox.server import Running, start
from isthmus.sandbox.tryton.gateway import TrytonSandbox, server
from isthmus.sandbox.tryton.rpc import Office
from isthmus.store.records import Case
from tests.pairings.erps import Tryton, money
from tests.pairings.pair import DEAL, PROJECT, Pair, paired, systems
from tests.pairings.psas import Jira
from tests.pairings.test_erp import WEEK, at_rest, issued

# Whoever asks for Tryton first on a machine waits until its database is made.
pytestmark = [pytest.mark.xdist_group("pairings"), pytest.mark.timeout(900)]
ROUNDS, HELD_SECONDS = 20, 1.0  # Tryton gives a held file up after five seconds and begins again
RATE = "150.00"
HOURS = Decimal("15.25")  # of the week


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Running]]:
    tryton = start(TrytonSandbox("sqlite"))
    with systems("jira") as made:
        yield {**made, "tryton": tryton}
    tryton.stop()
    tryton.sandbox.reset()


@pytest.fixture
def pair(served: dict[str, Running]) -> Iterator[Pair]:
    with paired(Tryton(), served, Jira()) as made:
        yield made


def pressed_by_two_at_once(project: int) -> None:
    """Two clients, each signed in by itself, press the button before either of them has written anything."""
    there = server("sqlite")
    people = [Office(there.url) for _ in range(2)]
    together = threading.Barrier(2)

    def press(office: Office) -> None:
        together.wait()
        office.on("project.work", "invoice", [project])

    with ThreadPoolExecutor(2) as pool, closing(sqlite3.connect(there.database, isolation_level=None)) as file:
        file.execute("begin immediate")
        waiting = [pool.submit(press, each) for each in people]
        time.sleep(HELD_SECONDS)  # both read what there is to bill, and wait to write
        file.execute("rollback")
        for each in waiting:
            each.result()
    for office in people:
        office.close()


def bill_in_tryton(pair: Pair) -> list[dict[str, Any]]:
    """What Tryton has made of the project when two people had it billed at once: two invoices, sooner or later."""
    [found] = pair.control("tryton", "seed", {"own_billing": [{"project": PROJECT, "rate": RATE}]})["own_billing"]
    before = len(pair.state("tryton", "invoice"))
    for _ in range(ROUNDS):
        pressed_by_two_at_once(found["id"])
        made = pair.state("tryton", "invoice")[before:]
        if len(made) == 2:
            return made
        for row in made:  # the second had not begun when the first was through: once more from the start
            server("sqlite").office.on("account.invoice", "delete", [row["id"]])
    raise AssertionError(f"in {ROUNDS} rounds no race")


def open_cases(pair: Pair) -> dict[str, Case]:
    return {case.exception: case for case in pair.rows(Case, state=CaseState.OPEN)}


def test_two_who_bill_a_project_in_tryton_at_once_bill_it_twice_and_it_is_found(pair: Pair) -> None:
    pair.win()
    pair.work(*WEEK)
    pair.bill("2026-03")
    at_rest(pair)
    assert reconcile(pair.kernel) == [] and comparing.tick(pair.kernel) == 0

    first, second = bill_in_tryton(pair)
    whole = Decimal(RATE) * HOURS
    assert [money(each["untaxed_amount"]) for each in (first, second)] == [whole, whole]
    assert {each["party"]["code"] for each in (first, second)} == {DEAL.client_no}

    unknown, twin = sorted(reconcile(pair.kernel), key=lambda each: each.kind, reverse=True)
    assert (unknown.kind, unknown.key, twin.kind) == ("unknown", f"tryton:{first['id']}", "duplicate")
    assert (twin.control, twin.key, twin.owner) == ("INV-09", f"tryton:{second['id']}", "receivables")
    assert (twin.amount, twin.currency) == (whole, "USD")
    assert f"the same as tryton {first['id']}" in twin.problem

    pair.clock.move(comparing.EVERY)
    assert comparing.tick(pair.kernel) == 2 and comparing.tick(pair.kernel) == 0
    case = open_cases(pair)["EX-DUPLICATE"]
    assert (case.queue, case.amount, case.currency) == ("receivables", whole, "USD")
    assert case.cause == twin.problem and case.context["client"] == DEAL.client_no

    office = server("sqlite").office
    office.on("account.invoice", "cancel", [second["id"]])
    pair.clock.move(comparing.EVERY)
    assert comparing.tick(pair.kernel) == 1
    assert [*open_cases(pair)] == ["EX-UNKNOWN-RECEIVABLE"]
    assert issued(pair).number  # the hub's own invoice was none of this
