"""The same key: the same answer, done once; however many ask at once, and whatever happens in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from isthmus.app.api.access import ROUTES
from isthmus.app.api.idempotency import RACES_MAX, in_transaction
from isthmus.domain.errors import LostRace
from isthmus.store.records import IdempotentReply, RunRow
from tests.app.stage import Stage, problem_of

BODY = {"contract_no": "K-1", "version": 1}
PATH = "/v1/processes/contract-to-project"


@pytest.mark.requirement("API-08")
def test_a_hundred_identical_requests_at_once_are_one_run_and_one_answer(stage: Stage) -> None:
    with TestClient(stage.app) as client, ThreadPoolExecutor(100) as pool:
        stage.client = client
        answers = list(pool.map(lambda _: stage.post(PATH, BODY, key="one"), range(100)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert len(stage.rows(RunRow)) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


def test_the_answer_is_kept_as_it_was(stage: Stage) -> None:
    first = stage.post(PATH, BODY, key="one")
    stage.go()
    again = stage.post(PATH, BODY, key='"one"')
    assert again.json() == first.json() and again.json()["state"] == "queued"
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers


def test_the_same_key_with_another_body_is_refused(stage: Stage) -> None:
    stage.post(PATH, BODY, key="one")
    told = problem_of(stage.post(PATH, {**BODY, "version": 2}, key="one"), 422)
    assert told["code"] == "same_key_other_content"
    assert len(stage.rows(RunRow)) == 1


def test_a_key_belongs_to_its_caller_and_its_route(stage: Stage) -> None:
    assert stage.post(PATH, BODY, key="one", by="adam").status_code == 202
    assert stage.post(PATH, {**BODY, "version": 2}, key="one", by="pia").status_code == 202
    problem_of(stage.post("/v1/runs/nothing/cancel", {"reason": "x"}, key="one", by="adam"), 404)


def test_a_key_is_forgotten_after_a_day(stage: Stage) -> None:
    stage.post(PATH, BODY, key="one")
    stage.clock.move(timedelta(hours=23, minutes=59))
    problem_of(stage.post(PATH, {**BODY, "version": 2}, key="one"), 422)
    stage.clock.move(timedelta(minutes=1))
    assert stage.post(PATH, {**BODY, "version": 2}, key="one").status_code == 202


@pytest.mark.requirement("API-08")
@pytest.mark.parametrize("route", sorted(r for r, a in ROUTES.items() if a.key == "required"))
def test_a_write_without_a_key_is_refused(stage: Stage, route: str) -> None:
    path = route.split(" ")[1].replace("{", "").replace("}", "")
    people = {"ana", "pia", "finn", "cora", "tara"}
    told = [stage.post(path, {}, by=person, key="") for person in people]
    refused = [a for a in told if a.status_code != 403] or [stage.post(path, {}, by="adam", key="")]
    for answer in refused:
        assert problem_of(answer, 400)["code"] == "idempotency_key_missing"


def test_every_write_uses_a_key_or_a_message_id() -> None:
    without = {r for r, a in ROUTES.items() if r.startswith("POST") and a.key == "none"}
    signed, change_nothing = (
        "POST /webhooks/{connection}",
        {"POST /v1/files/price-list", "POST /v1/cases/{case_no}/dry-run"},
    )
    assert without == {signed, *change_nothing}


def test_a_key_has_its_limits(stage: Stage) -> None:
    problem_of(stage.post(PATH, BODY, key="k" * 201), 422)
    assert stage.post(PATH, BODY, key="k" * 200).status_code == 202


def test_a_refusal_is_not_kept(stage: Stage) -> None:
    body = {"contract_no": "K-1", "cutoff": "2026-03-31", "name": "m"}
    problem_of(stage.post("/v1/billing-runs", body, by="ana", key="one"), 404)
    assert not stage.rows(IdempotentReply)
    stage.set_up()
    assert stage.post("/v1/billing-runs", body, by="ana", key="one").status_code == 202


def test_what_fails_leaves_neither_answer_nor_run(stage: Stage, monkeypatch: Any) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the queue is gone")

    monkeypatch.setattr(stage.kernel.engine, "enqueue", broken)
    assert problem_of(stage.post(PATH, BODY, key="one"), 500)["code"] == "bug"
    assert not stage.rows(RunRow) and not stage.rows(IdempotentReply)
    monkeypatch.undo()
    assert stage.post(PATH, BODY, key="one").status_code == 202


def test_a_lost_race_is_run_again(stage: Stage) -> None:
    tries = []

    def act(_: Any) -> str:
        tries.append(1)
        if len(tries) < RACES_MAX:
            raise LostRace("later")
        return "done"

    assert in_transaction(stage.hub.store.transaction, act) == "done"
    with pytest.raises(LostRace):
        in_transaction(stage.hub.store.transaction, lambda _: (_ for _ in ()).throw(LostRace("always")))
