"""Files at the door: good rows in, bad rows named, nothing of a file whose totals disagree; files are kept."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import isthmus.app
from isthmus.app.controls import audit
from isthmus.app.taking.kept import file_of
from isthmus.domain.objects import BillableItem, Client, Expense, RateCard
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import ExpenseTerms
from isthmus.processes import sweeps
from isthmus.store.records import Case, InboxMessage, MessageState
from tests.app.stage import Stage, problem_of
from tests.processes.hub import contract

EXPENSES = (
    "source_expense_id,project_code,person,category,expense_date,gross,currency,tax,tax_recoverable,receipt_ref,billable,"
    "note,approved_by,approved_at\n"
)
CARD = "role,bill_rate,currency,valid_from,valid_to\n"
HEADER = "source_entry_id,project_code,task_code,person,role,service_date,hours,note,approved_by,approved_at\n"
PRICES = Path(isthmus.app.__file__).parent / "data" / "price_lists"


def expense_row(number: int, gross: str = "240.00", currency: str = "USD", tax: str = "") -> str:
    """A line of an expense file."""
    paid = f"P-K-1,ann,hotel,2026-03-03,{gross},{currency},{tax},no,receipts/{number}.pdf,yes"
    return f"X{number},{paid},night {number},pia,2026-03-04T17:00:00Z\n"


def card_row(role: str = "Architect", rate: str = "210.00", currency: str = "USD", start: str = "2026-01-01") -> str:
    """A line of a rate card."""
    return f"{role},{rate},{currency},{start},\n"


def row(number: int, hours: str = "8") -> str:
    """A line of a time file."""
    return f"{number},P-K-1,L1,ann,Consultant,2026-03-03,{hours},work {number},pia,2026-03-03T17:00:00Z\n"


TIME, SPENT = "/v1/files/time?connection=psa", "/v1/files/expenses?connection=psa"
ACME = "/v1/files/rate-card?code=ACME&currency=USD&client_no=C-1"


def files_kept(stage: Stage, kind: str) -> list[InboxMessage]:
    return stage.rows(InboxMessage, kind=kind)


# Each row: a file of one good line and this one, which is wrong; what its refusal names.
ROWS: tuple[tuple[str, str, str, tuple[str, str]], ...] = (
    ("25 hours in a day", TIME, row(2, "25"), ("hours", "24 hours of a day")),
    ("minus one hour", TIME, row(2, "-1"), ("hours", "negative")),
    ("a comma for the point", TIME, row(2, '"7,5"'), ("hours", "not a number")),
    ("no such day", TIME, row(2).replace("03-03,8", "02-30,8"), ("service_date", "calendar")),
    ("a day of 26 hours in two rows", TIME, row(2, "18"), ("hours", "26 hours")),
    ("other content of the same id", TIME, row(1, "3"), ("source_entry_id", "different content")),
    ("a cell too many", TIME, row(2).replace("work 2", "work, 2"), ("(row)", "11 cells under 10 titles")),
    ("approved nowhere", TIME, row(2).replace("00Z", "00"), ("approved_at", "offset")),
    ("no such currency", SPENT, expense_row(2, currency="usd"), ("currency", "ISO 4217")),
    ("part cents", SPENT, expense_row(2, "240.005"), ("gross", "more decimals than USD has")),
    ("yen with cents", SPENT, expense_row(2, "240.50", "JPY"), ("gross", "more decimals than JPY has")),
    ("tax above gross", SPENT, expense_row(2, tax="300"), ("tax", "more than the gross")),
    ("nothing", SPENT, expense_row(2, "0"), ("gross", "is nothing")),
)


@pytest.mark.requirement("REC-06")
@pytest.mark.parametrize("name, path, bad, told", ROWS, ids=[f"{path[10:14]}: {name}" for name, path, _, _ in ROWS])
def test_a_bad_row_is_named_and_every_row_and_sum_is_somewhere(
    stage: Stage, name: str, path: str, bad: str, told: tuple[str, str]
) -> None:
    """In = taken + repeated + refused, in rows and in hours or money; the file is kept, and a case asks to look."""
    text = HEADER + row(1) + bad if path == TIME else EXPENSES + expense_row(1) + bad
    tried = stage.post(f"{path}&dry_run=true", content=text)
    assert tried.status_code == 200 and not stage.rows(InboxMessage)

    answer = stage.post(path, content=text)

    assert answer.status_code == 202
    found = answer.json()
    assert {**found, "dry_run": True} == tried.json()
    refused = found["rejected"][-1]
    assert (refused["line"], refused["column"]) == (3, told[0]) and told[1] in refused["reason"]
    balance = found["balance"]
    for number in ("rows", "total"):
        parts = sum((Decimal(str(balance[part][number])) for part in ("taken", "repeated", "refused")), Decimal(0))
        assert parts == Decimal(str(balance["sent"][number]))
    taken = [m for m in stage.rows(InboxMessage) if m.state is MessageState.ACCEPTED]
    assert balance["taken"]["rows"] == len(taken) == found["accepted"]
    (kept,) = files_kept(stage, f"file.{found['kind']}")
    assert kept.state is MessageState.QUARANTINED and "line 3" in kept.reason
    assert file_of(kept).content == text.encode()
    assert [case.exception for case in stage.rows(Case)] == ["EX-QUARANTINE"]


def test_good_rows_are_taken_and_bad_rows_named(stage: Stage) -> None:
    answer = stage.post(TIME, content=HEADER + row(1) + row(2, "25") + row(3))

    assert answer.status_code == 202
    told = answer.json()
    assert (told["rows"], told["accepted"], told["duplicates"]) == (3, 2, 0)
    (refused,) = told["rejected"]
    assert (refused["line"], refused["column"]) == (3, "hours")
    messages = stage.rows(InboxMessage, kind="time.approved")
    assert {m.message_id for m in messages} == set(told["message_ids"]) and len(messages) == 2
    assert {m.state for m in messages} == {MessageState.ACCEPTED}
    (entry,) = stage.audited("file.time")
    assert (entry.after or {})["accepted"] == 2


def test_the_door_tells_which_rows_will_wait_for_a_person(stage: Stage) -> None:
    stage.set_up()
    stage.post(TIME, content=HEADER + row(1))
    stage.go()
    elsewhere = row(3, "2").replace("P-K-1", "P-9")
    twin = row(4).replace("work 4", "work 1")
    told = stage.post(f"{TIME}&dry_run=true", content=HEADER + row(1) + row(2, "2") + elsewhere + twin).json()
    assert [(one["line"], one["case"]) for one in told["to_decide"]] == [
        (2, "EX-DUP-SUSPECT"),
        (4, "EX-UNKNOWN-PROJECT"),
        (5, "EX-DUP-SUSPECT"),
    ]
    assert (told["accepted"], told["duplicates"]) == (3, 1)


def test_expenses_of_a_file_become_evidence_once(stage: Stage) -> None:
    line = contract().lines[0].model_copy(update={"expenses": ExpenseTerms()})
    stage.set_up(contract(lines=(line,)))
    text = EXPENSES + expense_row(1) + expense_row(2, "60.00") + "#TOTAL,2,300.00\n"
    first, again = stage.post(SPENT, content=text).json(), stage.post(SPENT, content=text).json()
    assert (first["accepted"], again["accepted"], again["duplicates"]) == (2, 0, 2) and first["controlled"]
    sweeps.drain_facts(stage.kernel)
    stage.go()
    assert sorted(expense.gross for expense in stage.rows(Expense)) == [Decimal("60.00"), Decimal("240.00")]


def test_a_workbook_is_taken_like_a_text_and_kept_whole(stage: Stage) -> None:
    book: Any = openpyxl.Workbook()
    for line in (HEADER + row(1)).splitlines():
        book.active.append(line.split(","))
    held = io.BytesIO()
    book.save(held)
    told = stage.post(TIME, content=held.getvalue()).json()
    assert (told["rows"], told["accepted"], told["rejected"]) == (1, 1, [])
    (kept,) = files_kept(stage, "file.time")
    assert file_of(kept).content == held.getvalue() and kept.state is MessageState.APPLIED


def test_a_kept_file_is_taken_again_and_nothing_twice(stage: Stage) -> None:
    """Refused whole the first time; replayed it says the same, and a good one is recognised row by row."""
    bad = HEADER + row(1) + "#TOTAL,2,16\n"
    name = problem_of(stage.post(TIME, content=bad), 422)["message_id"]
    again = {"source": "psa", "message_id": name, "reason": "looked again"}
    problem_of(stage.post("/v1/replays", again), 422)
    good = stage.post(TIME, content=HEADER + row(1)).json()
    assert good["accepted"] == 1
    replayed = stage.post("/v1/replays", {**again, "message_id": good["message_id"]})
    assert replayed.status_code == 200 and replayed.json()["count"] == 0
    assert len(stage.rows(InboxMessage, kind="time.approved")) == 1
    assert {m.state for m in files_kept(stage, "file.time")} == {MessageState.QUARANTINED, MessageState.APPLIED}


# -- rate cards -----------------------------------------------------------------------------------------------------

CARD_ROWS: tuple[tuple[str, str, tuple[str, str]], ...] = (
    ("another currency", card_row("Writer", currency="EUR"), ("currency", "is not USD")),
    ("a price of zero", card_row("Writer", "0"), ("bill_rate", "zero")),
    ("a price that is no number", card_row("Writer", "ask"), ("bill_rate", "not a number")),
    ("overlapping lines", card_row(rate="220.00", start="2026-03-01"), ("valid_from", "overlaps: lines 2 and 3")),
    ("for nobody", card_row(""), ("role", "blank")),
)


@pytest.mark.parametrize("name, bad, told", CARD_ROWS, ids=[name for name, _, _ in CARD_ROWS])
def test_a_rate_card_with_a_bad_row_is_not_handed_in(stage: Stage, name: str, bad: str, told: tuple[str, str]) -> None:
    stage.set_up()
    answer = stage.post(ACME, content=CARD + card_row() + bad, by="ana").json()
    refused = answer["rejected"][-1]
    assert (refused["line"], refused["column"]) == (3, told[0]) and told[1] in refused["reason"]
    assert (answer["accepted"], answer["run_id"], stage.rows(RateCard)) == (0, "", [])
    (kept,) = files_kept(stage, "file.rate_card")
    assert kept.state is MessageState.QUARANTINED


def _approve(stage: Stage, by: str) -> Any:
    (case,) = stage.rows(Case, exception="EX-RATE-CARD", state="open")
    answer = stage.post(f"/v1/cases/{case.case_no}/resolve", {"action": "approve", "reason": "agreed"}, by=by)
    stage.go()
    return answer


@pytest.mark.requirement("OBJ-18")
def test_a_card_is_approved_by_another_person_and_prices_from_then_on(stage: Stage) -> None:
    """A second version changes what comes in, not what is priced; the audit can still say why."""
    stage.set_up(contract())
    first = stage.post(ACME, content=CARD + card_row(), by="finn").json()
    stage.go()
    assert (first["detail"]["card"], first["accepted"], first["detail"]["state"]) == ("ACME@1", 1, "draft")
    problem_of(_approve(stage, "finn"), 403)
    assert _approve(stage, "cora").status_code == 200
    stage.post(TIME, content=HEADER + row(1).replace("Consultant", "Architect"))
    stage.go()
    second = stage.post(ACME, content=CARD + card_row(rate="230.00"), by="ana").json()
    assert second["detail"]["changes"] == [
        "new: role Architect, bill_rate 230.00, currency USD, effective_from 2026-01-01",
        "gone: role Architect, bill_rate 210.00, currency USD, effective_from 2026-01-01",
    ]
    stage.go()
    assert _approve(stage, "finn").status_code == 200
    stage.post(TIME, content=HEADER + row(2).replace("Consultant", "Architect"))
    stage.go()
    priced = {item.entry_key: item for item in stage.rows(BillableItem)}
    assert [(priced[f"kantata:{n}"].unit_price, priced[f"kantata:{n}"].price_trace["cards"]) for n in (1, 2)] == [
        (Decimal("210.00"), ["ACME@1"]),
        (Decimal("230.00"), ["ACME@2"]),
    ]
    assert [(card.version, card.state) for card in stage.rows(RateCard, order=("version",))] == [
        (1, "retired"),
        (2, "active"),
    ]
    assert audit(stage.kernel, ask_systems=False) == []


def test_the_same_card_again_is_known_and_one_that_clashes_is_refused(stage: Stage) -> None:
    stage.set_up()
    first = stage.post(ACME, content=CARD + card_row(), by="ana").json()
    again = stage.post(ACME, content=CARD + card_row(), by="bert").json()
    assert (again["run_id"], again["accepted"], again["duplicates"]) == (first["run_id"], 0, 1)
    stage.go()
    _approve(stage, "finn")
    other = ACME.replace("code=ACME", "code=ACME-2")
    told = problem_of(stage.post(other, content=CARD + card_row(rate="250.00"), by="ana"), 422)
    assert "ACME@1, which is in force" in told["detail"] and "overlap" in told["detail"]
    mine = "/v1/files/rate-card?code=ACME&currency=USD&entity=US01"
    assert "use another code" in problem_of(stage.post(mine, content=CARD + card_row(), by="ana"), 422)["detail"]


def test_a_card_that_is_called_off_never_prices(stage: Stage) -> None:
    stage.set_up()
    run = stage.post(ACME, content=CARD + card_row(), by="ana").json()["run_id"]
    stage.go()
    assert stage.post(f"/v1/runs/{run}/cancel", {"reason": "wrong file"}, by="ana").status_code == 202
    stage.go()
    assert [card.state for card in stage.rows(RateCard)] == ["retired"]


# -- exchange rates -------------------------------------------------------------------------------------------------


def test_rates_of_the_ecb_are_kept_once_and_never_overwritten(stage: Stage) -> None:
    asked = {"currencies": ["USD", "GBP"], "first": "2024-03-28", "last": "2024-04-02"}
    tried = stage.post("/v1/fx-rates/ecb", {**asked, "dry_run": True}).json()
    assert (tried["accepted"], stage.rows(FxRate)) == (4, [])  # Easter: only Thursday and Tuesday
    first, again = (stage.post("/v1/fx-rates/ecb", asked).json() for _ in range(2))
    assert (first["accepted"], again["accepted"], again["duplicates"]) == (4, 0, 4)


def test_a_rate_that_is_known_with_another_value_stops_the_whole_load(stage: Stage) -> None:
    asked = {"currencies": ["USD", "GBP"], "first": "2024-03-28", "last": "2024-04-02"}
    own = FxRate(
        rate_type="ecb",
        from_currency="EUR",
        to_currency="USD",
        day=date(2024, 4, 2),
        rate=Decimal("1.5"),
        source="by hand",
    )
    with stage.hub.store.transaction() as tx:
        tx.insert(own)
    told = problem_of(stage.post("/v1/fx-rates/ecb", asked), 422)["detail"]
    assert "USD on 2024-04-02: 1.5 from by hand" in told and "nothing was taken" in told
    assert stage.rows(FxRate) == [own]


# -- the door -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("REC-06")
def test_a_file_whose_control_totals_disagree_is_refused_whole(stage: Stage) -> None:
    told = problem_of(stage.post("/v1/files/time?connection=psa", content=HEADER + row(1) + "#TOTAL,2,16\n"), 422)
    assert "nothing was taken" in told["detail"]
    (kept,) = stage.rows(InboxMessage)
    assert (kept.message_id, kept.state) == (told["message_id"], MessageState.QUARANTINED)
    assert file_of(kept).content == (HEADER + row(1) + "#TOTAL,2,16\n").encode()


def test_control_totals_that_agree_are_told(stage: Stage) -> None:
    answer = stage.post("/v1/files/time?connection=psa", content=HEADER + row(1) + "#TOTAL,1,8\n")
    assert answer.json()["controlled"] is True


def test_a_file_as_a_form_is_the_same_file(stage: Stage) -> None:
    first = stage.post("/v1/files/time?connection=psa", content=HEADER + row(1))
    form = {"file": ("march.csv", (HEADER + row(1)).encode(), "text/csv")}
    again = stage.post("/v1/files/time?connection=psa", files=form)
    assert again.json()["sha256"] == first.json()["sha256"] and again.json()["duplicates"] == 1


def test_a_form_without_a_file_is_refused(stage: Stage) -> None:
    problem_of(stage.post("/v1/files/time?connection=psa", data={"name": "x"}), 422)
    form = {"note": ("", b"", "text/plain")}
    problem_of(stage.post("/v1/files/time?connection=psa", files=form), 422)


def test_the_file_itself_is_the_key_when_none_is_given(stage: Stage) -> None:
    first = stage.post("/v1/files/time?connection=psa", content=HEADER + row(1), key="")
    again = stage.post("/v1/files/time?connection=psa", content=HEADER + row(1), key="")
    assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"


def test_a_file_is_held_to_the_ownership_of_its_connection_and_its_caller(stage: Stage) -> None:
    of_crm = problem_of(stage.post("/v1/files/time?connection=crm", content=HEADER + row(1)), 403)
    assert of_crm["rule"] == "time_entry.*@*"
    by_crm = problem_of(stage.post("/v1/files/time?connection=psa", content=HEADER + row(1), by="crm-app"), 403)
    assert by_crm["owner"] == "psa"
    assert not stage.rows(InboxMessage) and len(stage.audited("api.denied")) == 2


def test_an_unknown_connection_has_no_files(stage: Stage) -> None:
    problem_of(stage.post("/v1/files/time?connection=nobody", content=HEADER + row(1)), 404)
    problem_of(stage.post("/v1/files/time", content=HEADER + row(1)), 422)


def test_a_price_list_is_only_tried(stage: Stage) -> None:
    good = stage.post("/v1/files/price-list", content=(PRICES / "s70_sample.csv").read_bytes())
    assert good.status_code == 200 and good.json()["usable"] > 0 and good.json()["prices"]
    bad = stage.post("/v1/files/price-list", content=(PRICES / "s70_bad_sample.csv").read_bytes())
    assert bad.json()["rejected"]
    assert not stage.rows(Client) and not stage.rows(InboxMessage)
