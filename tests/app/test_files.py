"""Files at the door: good rows in, bad rows named, nothing of a file whose totals disagree."""

from __future__ import annotations

from pathlib import Path

import pytest

import isthmus.app
from isthmus.domain.objects import Client
from isthmus.store.records import InboxMessage, MessageState
from tests.app.stage import Stage, problem_of

HEADER = "source_entry_id,project_code,task_code,person,role,service_date,hours,note,approved_by,approved_at\n"
PRICES = Path(isthmus.app.__file__).parent / "data" / "price_lists"


def row(number: int, hours: str = "8") -> str:
    """A line of a time file."""
    return f"{number},P-K-1,L1,ann,Consultant,2026-03-03,{hours},work {number},pia,2026-03-03T17:00:00Z\n"


def test_good_rows_are_taken_and_bad_rows_named(stage: Stage) -> None:
    answer = stage.post("/v1/files/time?connection=psa", content=HEADER + row(1) + row(2, "25") + row(3))

    assert answer.status_code == 202
    told = answer.json()
    assert (told["rows"], told["accepted"], told["duplicates"]) == (3, 2, 0)
    (refused,) = told["rejected"]
    assert (refused["line"], refused["column"]) == (3, "hours")
    messages = stage.rows(InboxMessage)
    assert {m.message_id for m in messages} == set(told["message_ids"]) and len(messages) == 2
    assert {m.state for m in messages} == {MessageState.ACCEPTED}
    (entry,) = stage.audited("file.time")
    assert (entry.after or {})["accepted"] == 2


@pytest.mark.requirement("REC-06")
def test_a_file_whose_control_totals_disagree_is_refused_whole(stage: Stage) -> None:
    told = problem_of(stage.post("/v1/files/time?connection=psa", content=HEADER + row(1) + "#TOTAL,2,16\n"), 422)
    assert "nothing was taken" in told["detail"]
    assert not stage.rows(InboxMessage)


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
