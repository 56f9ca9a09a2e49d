"""The end of a month with Dynamics 365 Finance: what is accrued is one journal, given in as a data package, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.bootstrap import ConnectedSystems
from isthmus.app.firm import parse
from isthmus.domain.errors import Underway
from isthmus.domain.journals import Journal, booking
from isthmus.domain.objects import LegalEntity, SubmittedTime
from isthmus.domain.states import CaseState
from isthmus.kit.limits import Concurrency
from isthmus.sandbox.server import Running
from isthmus.store.records import Case, Effect, EffectState, RunState
from tests.pairings.erps import Finance, money
from tests.pairings.pair import DEAL, ENTITY, PROJECT, Pair, paired, systems

pytestmark = pytest.mark.xdist_group("pairings")
ACCOUNTS = {
    "accrued_revenue": "130200",
    "revenue": "401100",
    "cost_of_services": "401200",
    "accrued_cost": "130100",
}


class Books(Finance):
    """Dynamics 365 Finance with its general ledger; a journal of more than three lines is one of many there."""

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Erp."""
        made = super().connection(folder, served)
        ledger = {"general_journal": "GenJrn", "journal_service": "IsthmusServices/LedgerJournal/post"}
        more = {"ledger_accounts": ACCOUNTS, "package_lines": "3"}
        return made | {"fills": [*made["fills"], "JournalBook"], "settings": made["settings"] | ledger | more}


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, Running]]:
    with systems("kantata", "dynamics_finance") as made:
        yield made


@pytest.fixture
def pair(served: dict[str, Running]) -> Iterator[Pair]:
    with paired(Books(), served) as made:
        made.win()
        with made.store.transaction() as tx:
            [entity] = tx.find(LegalEntity, code="US01")
            tx.update(entity.model_copy(update={"accrual_percent": Decimal(100)}))
            tx.put(handed_in())
        made.clock.move(timedelta(days=32))
        made.tell_time()
        yield made


def handed_in() -> SubmittedTime:
    """Eight hours that nobody has approved by the end of the month."""
    return SubmittedTime(
        source="kantata",
        source_id="unapproved",
        project_code=PROJECT,
        task_code=DEAL.lines[0].uid,
        person="ann",
        role=DEAL.lines[0].role,
        service_date=date(2026, 3, 30),
        hours=Decimal(8),
        cost_rate=Decimal(70),
        submitted_at=datetime(2026, 3, 31, tzinfo=UTC),
    )


def close(pair: Pair) -> RunState:
    """March is closed."""
    args = {"entity": "US01", "period": "2026-03", "closed_by": "cora"}
    with pair.store.transaction() as tx:
        pair.kernel.start(tx, "close_period", "US01/2026-03/first", args, entity="US01", correlation_id="month/2026-03")
    pair.go()
    return pair.run("close_period/US01/2026-03/first").state


def there(pair: Pair) -> list[tuple[str, Decimal, Decimal]]:
    """Sides in the one journal of Dynamics, which is posted."""
    [header] = pair.state(pair.erp.system, "LedgerJournalHeaders")
    assert header["IsPosted"] == "Yes" and header["IntegrationKey"] == "accrual/US01/2026-03/1/USD"
    lines = pair.state(pair.erp.system, "LedgerJournalLines")
    return [(line["AccountDisplayValue"], money(line["DebitAmount"]), money(line["CreditAmount"])) for line in lines]


def kept(pair: Pair) -> list[tuple[str, Decimal, Decimal]]:
    """Sides of the hub's own journal, which says as what it is booked."""
    [journal] = pair.rows(Journal)
    assert (journal.booked_by, journal.booked_as) == ("dynamics_finance", "usmf:GJ000001")
    return [(ACCOUNTS[line.account], money(line.debit), money(line.credit)) for line in journal.lines]


@pytest.mark.parametrize("lost", ["", "ImportFromPackage", "LedgerJournal/post"])
def test_what_a_month_accrues_is_in_the_ledger_once_whatever_answer_is_lost(pair: Pair, lost: str) -> None:
    if lost:
        fault = {"kind": "timeout_after_commit", "method": "POST|PUT", "path": lost}
        pair.control(pair.erp.system, "faults", fault)
    assert close(pair) is RunState.DONE
    assert there(pair) == kept(pair) and len(kept(pair)) == 4
    [effect] = pair.rows(Effect, verb="JournalBook.post_journal")
    assert effect.state in (EffectState.FOUND, EffectState.RESENT)
    assert pair.rows(Case, state=CaseState.OPEN) == []


def test_a_package_that_is_refused_is_a_case_of_controlling_and_goes_on_when_it_is_mended(pair: Pair) -> None:
    connection = pair.systems.connections["dynamics_finance"].connector
    right = connection.settings["ledger_accounts"]
    connection.settings["ledger_accounts"] = right | {"accrued_cost": "999999"}
    close(pair)
    [case] = pair.rows(Case, state=CaseState.OPEN)
    assert (case.exception, case.queue) == ("EX-JOURNAL", "controlling")
    assert "3 of 4 rows are in" in case.cause and "999999" in case.cause
    connection.settings["ledger_accounts"] = right
    pair.resolve(case, "retry")
    assert sorted(there(pair)) == sorted(kept(pair))


def test_workers_of_the_fleet_take_turns_at_imports_of_one_connection(
    served: dict[str, Running], tmp_path: Path
) -> None:
    asked: list[tuple[str, str]] = []

    def turn_of(connection: str, what: str) -> Concurrency:
        asked.append((connection, what))
        return Concurrency(1)

    known = Books().connection(tmp_path, served["dynamics_finance"])
    firm = {"name": "Narrows", "entities": [ENTITY.model_dump(mode="json")], "connections": [known], "callers": []}
    systems_of_firm = ConnectedSystems(parse(firm, "turns"), lambda _: None, turn_of=turn_of)
    lines = tuple(side for _ in range(2) for side in booking("accrued_revenue", "revenue", Decimal(1), "turn"))
    facts = {"kind": "accrual", "booked_on": date(2026, 3, 31), "recorded_at": datetime(2026, 3, 31, tzinfo=UTC)}
    journal = Journal(journal_no="accrual/turns", entity="US01", currency="USD", lines=lines, **facts)
    with pytest.raises(Underway):
        systems_of_firm.connections["dynamics_finance"].post_journal(journal)
    systems_of_firm.close()
    assert asked == [("dynamics_finance", "ImportFromPackage")]
