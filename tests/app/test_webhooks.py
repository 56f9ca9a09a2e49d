"""Webhooks: who may speak, what is kept, what is refused and where it then lies."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from standardwebhooks.webhooks import Webhook
from starlette.exceptions import HTTPException

from isthmus.app.api.envelope import BODY_MAX, Envelope
from isthmus.domain.objects import BillableItem
from isthmus.store.records import AuditEntry, InboxMessage, MessageState, QuietDecision, RunRow
from tests.app.stage import SECRET, Stage, an_entry, problem_of, time_approved

APPROVED = {"type": "contract.approved", "schema_version": 1, "data": {"contract_no": "K-1", "version": 1}}
PAYMENT = {
    "source_id": "77",
    "client_no": "C-1",
    "amount": "10.50",
    "currency": "USD",
    "value_date": "2026-04-01",
}


def received(**changes: Any) -> dict[str, Any]:
    """The message of a payment."""
    return {"type": "payment.received", "schema_version": 1, "data": {**PAYMENT, **changes}}


def test_a_message_is_kept_before_it_is_answered(stage: Stage) -> None:
    answer = stage.webhook("psa", time_approved(an_entry(1), an_entry(2, day=4)))

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2 and answer.json()["duplicates"] == 0
    kept = {m.message_id: m for m in stage.rows(InboxMessage)}
    assert set(answer.json()["message_ids"]) == set(kept)
    assert kept["msg_1"].state is MessageState.APPLIED and json.loads(kept["msg_1"].raw)["type"] == "time.approved"


def test_the_source_of_an_entry_is_filled_in(stage: Stage) -> None:
    stage.webhook("psa", time_approved(an_entry(1)))
    (message,) = stage.rows(InboxMessage, kind="time.approved")
    assert message.source == "psa" and json.loads(message.raw)["entries"][0]["source"] == "kantata"


@pytest.mark.requirement("PAT-12")
def test_one_entry_by_webhook_file_and_webhook_again_is_one_piece_of_evidence(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    header = "source_entry_id,project_code,task_code,person,role,service_date,hours,note,approved_by,approved_at\n"
    row = "1,P-K-1,L1,ann,Consultant,2026-03-03,8,work 1,pia,2026-03-03T17:00:00Z\n"
    by_file = stage.post("/v1/files/time?connection=psa", content=header + row)
    again = stage.webhook("psa", time_approved(an_entry(1)), "msg_2")
    stage.go()

    assert by_file.json()["accepted"] == 0 and by_file.json()["duplicates"] == 1
    assert again.json()["accepted"] == 0 and again.json()["duplicates"] == 1
    assert len(stage.rows(BillableItem)) == 1


def test_the_same_message_again_gets_the_same_answer(stage: Stage) -> None:
    first = stage.webhook("psa", time_approved(an_entry(1)))
    second = stage.webhook("psa", time_approved(an_entry(1)))
    assert (second.status_code, second.json()) == (202, first.json())
    (envelope,) = stage.rows(InboxMessage, message_id="msg_1")
    assert envelope.duplicates == 1
    assert [(quiet.kind, quiet.subject) for quiet in stage.rows(QuietDecision)] == [("duplicate", "psa:msg_1")]


def test_the_same_id_with_another_body_is_refused(stage: Stage) -> None:
    stage.webhook("psa", time_approved(an_entry(1)))
    told = problem_of(stage.webhook("psa", time_approved(an_entry(1, hours="7"))), 422)
    assert told["code"] == "same_key_other_content"
    assert len(stage.rows(InboxMessage, kind="time.approved")) == 1


@pytest.mark.requirement("API-08")
def test_a_hundred_deliveries_at_once_are_one_message(stage: Stage) -> None:
    body = json.dumps(time_approved(an_entry(1)))
    with TestClient(stage.app) as client, ThreadPoolExecutor(100) as pool:
        stage.client = client
        answers = list(pool.map(lambda _: stage.webhook("psa", body), range(100)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert len(stage.rows(InboxMessage)) == 2


# -- signatures -------------------------------------------------------------------------------------------------


def signed_at(when: datetime, body: str) -> dict[str, str]:
    """Headers of a message signed at another time."""
    return {
        "webhook_timestamp": str(int(when.timestamp())),
        "webhook_signature": Webhook(SECRET).sign("msg_1", when, body),
    }


BODY = json.dumps(APPROVED)
BAD_SIGNATURES = {
    "none": {"webhook_signature": ""},
    "another secret": {"webhook_signature": Webhook("whsec_" + "A" * 32).sign("msg_1", datetime.now(UTC), BODY)},
    "no comma": {"webhook_signature": "v1"},
    "no base64": {"webhook_signature": "v1,A"},
    "an unknown version": {"webhook_signature": "v2,AAAA"},
    "of six minutes ago": signed_at(datetime.now(UTC) - timedelta(minutes=6), BODY),
    "of the future": signed_at(datetime.now(UTC) + timedelta(minutes=16), BODY),
    "no timestamp": {"webhook_timestamp": "soon"},
    "another id": {"webhook_id": "msg_2"},
}


@pytest.mark.parametrize("bad", BAD_SIGNATURES)
def test_a_bad_signature_is_refused_and_the_refusal_kept(stage: Stage, bad: str) -> None:
    told = problem_of(stage.webhook("crm", BODY, **BAD_SIGNATURES[bad]), 401)
    assert told["code"] == "signature_invalid"
    (entry,) = stage.audited("api.denied")
    assert entry.actor == "connection:crm"
    assert not stage.rows(InboxMessage) and not stage.rows(RunRow)


def test_one_good_signature_of_several_is_enough(stage: Stage) -> None:
    good = Webhook(SECRET).sign("msg_1", datetime.now(UTC), BODY)
    assert stage.webhook("crm", BODY, webhook_signature=f"v1,AAAA {good}").status_code == 202


def test_a_connection_without_a_secret_takes_no_webhooks(stage: Stage) -> None:
    assert problem_of(stage.webhook("tax", APPROVED), 404)["code"] == "not_found"
    assert problem_of(stage.webhook("nobody", APPROVED), 404)["code"] == "not_found"


def test_guessing_signatures_is_slowed_down_and_does_not_fill_the_audit(stage: Stage, monkeypatch: Any) -> None:
    monkeypatch.setattr("isthmus.app.api.admission.STRANGERS_PER_MINUTE", 2)
    codes = [stage.webhook("crm", BODY, webhook_signature="v1,AAAA").status_code for _ in range(4)]
    assert codes == [401, 401, 429, 429]
    assert len(stage.audited("api.denied")) == 2
    assert stage.webhook("crm", BODY).status_code == 202


# -- size -------------------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused() -> None:
    """By what its header says, before anything of it is read."""
    assert asyncio.run(_answer_without_reading(b"11")) == 413


async def _answer_without_reading(length: bytes) -> int:
    sent: list[Any] = []

    async def nothing(*_: Any) -> dict[str, Any]:
        raise AssertionError("the body is read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"content-length", length)]}
    await Envelope(nothing, body_max=10)(scope, nothing, send)
    return int(sent[0]["status"])


def test_a_chunked_body_is_read_no_further_than_the_limit() -> None:
    asyncio.run(_reads_no_further())


async def _reads_no_further() -> None:
    pieces = 0

    async def receive() -> dict[str, Any]:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b"x" * 4, "more_body": pieces < 100}

    async def reads_all(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    async def send(message: Any) -> None:
        raise AssertionError("nothing is answered here")

    scope = {"type": "http", "headers": []}
    with pytest.raises(HTTPException) as refused:
        await Envelope(reads_all, body_max=10)(scope, receive, send)
    assert refused.value.status_code == 413 and pieces == 3


def test_a_chunked_body_over_the_limit_is_refused(stage: Stage) -> None:
    chunks = (b"x" * (BODY_MAX // 10) for _ in range(11))
    assert problem_of(stage.client.post("/webhooks/psa", content=chunks), 413)["code"] == "too_large"


# -- what cannot be used ----------------------------------------------------------------------------------------

UNUSABLE: dict[str, Any] = {
    "no JSON": "{",
    "no object": "[1]",
    "not a number": '{"type": "time.approved", "schema_version": 1, "data": {"entries": [{"hours": NaN}]}}',
    "too deep": "[" * 100_000,
    "an unknown type": {**APPROVED, "type": "contract.dreamt"},
    "an unknown version": {**APPROVED, "schema_version": 2},
    "a version that only looks right": {**APPROVED, "schema_version": True},
    "no data": {"type": "contract.approved", "schema_version": 1},
    "an unknown field": {**APPROVED, "data": {"contract_no": "K-1", "version": 1, "cap": "1"}},
    "an unknown envelope field": {**APPROVED, "token": "x"},
    "version 0": {**APPROVED, "data": {"contract_no": "K-1", "version": 0}},
    "no entries": {"type": "time.approved", "schema_version": 1, "data": {"entries": []}},
    "negative hours": time_approved(an_entry(hours="-1")),
    "25 hours": time_approved(an_entry(hours="25")),
    "hours that are no number": time_approved(an_entry(hours="eight")),
    "hours beyond all bounds": time_approved(an_entry(hours="1e400")),
    "five decimals": time_approved(an_entry(hours="1.00001")),
    "an instant without offset": time_approved(an_entry(approved_at="2026-03-03T18:00:00")),
    "approved by nobody": time_approved(an_entry(approved_by="")),
    "no id": time_approved(an_entry(source_id=" ")),
    "an unknown entry field": time_approved(an_entry(rate="999")),
    "a cost in no currency": time_approved(an_entry(cost_rate="70", cost_currency="XAU")),
    "a cost without currency": time_approved(an_entry(cost_rate="70")),
    "another system's entry": time_approved(an_entry(source="crm")),
    "text that cannot be stored": time_approved(an_entry(note="a\x00b")),
    "half a character": '{"type": "\\ud800", "schema_version": 1, "data": {}}',
    "one bad entry among good ones": time_approved(an_entry(1), an_entry(2, hours="25")),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_used_is_refused_whole_and_quarantined(stage: Stage, case: str) -> None:
    told = problem_of(stage.webhook("psa", UNUSABLE[case]), 422)
    assert told["code"] == "bad_input" and told["message_id"] == "msg_1"
    (message,) = stage.rows(InboxMessage)
    assert (message.source, message.message_id) == ("psa", "msg_1")
    assert message.state is MessageState.QUARANTINED and message.reason


MONEY_WRONG = {"part cents": {"amount": "10.505"}, "part yen": {"amount": "10.5", "currency": "JPY"}}
MONEY_WRONG |= {
    "nothing": {"amount": "0"},
    "no currency": {"currency": "XXX"},
    "a share": {"applies": {"I-1": "0.001"}},
}


@pytest.mark.parametrize("case", MONEY_WRONG)
def test_an_amount_its_currency_cannot_hold_is_quarantined(stage: Stage, case: str) -> None:
    problem_of(stage.webhook("erp", received(**MONEY_WRONG[case])), 422)
    (message,) = stage.rows(InboxMessage)
    assert message.state is MessageState.QUARANTINED


def test_a_number_with_a_point_stays_exact(stage: Stage) -> None:
    body = json.dumps(time_approved(an_entry())).replace('"8"', "6.1")
    assert stage.webhook("psa", body).status_code == 202
    (message,) = stage.rows(InboxMessage, kind="time.approved")
    assert json.loads(message.raw)["entries"][0]["hours"] == "6.1"


# -- ownership --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connection", "content", "rule", "owner"),
    [
        ("crm", time_approved(an_entry()), "time_entry.*@*", "psa"),
        ("psa", APPROVED, "contract.*@*", "crm"),
        ("crm", received(), "payment.*@*", "erp"),
    ],
)
def test_a_system_may_only_speak_of_what_it_owns(
    stage: Stage, connection: str, content: Any, rule: str, owner: str
) -> None:
    told = problem_of(stage.webhook(connection, content), 403)
    assert (told["code"], told["rule"], told["owner"]) == ("not_owner", rule, owner)
    assert told["route"]
    assert not stage.rows(InboxMessage) and not stage.rows(RunRow)
    (entry,) = stage.audited("api.denied")
    assert isinstance(entry, AuditEntry) and (entry.after or {})["rule"] == rule


def test_the_owner_of_a_field_in_one_entity_may_differ(stage: Stage) -> None:
    from isthmus.policies.ownership import OwnershipRule

    stage.set_up()
    rule = OwnershipRule(object="time_entry", field="cost_rate", entity="US01", owner="hr", route="ask HR")
    stage.hub.gate.rules = (*stage.hub.gate.rules, rule)
    assert stage.webhook("psa", time_approved(an_entry(1))).status_code == 202
    told = problem_of(
        stage.webhook("psa", time_approved(an_entry(2, cost_rate="70", cost_currency="USD")), "msg_2"), 403
    )
    assert told["rule"] == "time_entry.cost_rate@US01"


# -- contracts and payments -------------------------------------------------------------------------------------


@pytest.mark.requirement("WF-01")
def test_an_approved_contract_starts_its_project_once(stage: Stage) -> None:
    for message_id in ("msg_1", "msg_1", "msg_2"):
        assert stage.webhook("crm", APPROVED, message_id).status_code == 202
    (run,) = stage.rows(RunRow)
    assert (run.run_id, run.correlation_id) == ("contract_to_project/K-1@1", "contract:K-1")


def test_a_payment_starts_its_allocation_once(stage: Stage) -> None:
    for message_id in ("msg_1", "msg_2"):
        assert stage.webhook("erp", received(), message_id).status_code == 202
    (run,) = stage.rows(RunRow)
    assert run.run_id == "invoice_to_cash/netsuite:77"


# -- gathering --------------------------------------------------------------------------------------------------


def test_after_an_outage_of_the_database_messages_are_taken_again(stage: Stage, monkeypatch: Any) -> None:
    def away() -> Any:
        raise sa.exc.OperationalError("select 1", {}, Exception("connection refused"))

    monkeypatch.setattr(stage.hub.store, "transaction", away)
    assert problem_of(stage.webhook("psa", time_approved(an_entry(1))), 503)["retryable"] is True
    monkeypatch.undo()
    assert stage.webhook("psa", time_approved(an_entry(1))).json()["accepted"] == 1


def test_a_round_that_fails_is_tried_one_by_one(stage: Stage, monkeypatch: Any) -> None:
    begin, failures = stage.hub.store.transaction, [sa.exc.DataError("insert", {}, Exception("one of them"))]

    def once_broken() -> Any:
        if failures:
            raise failures.pop()
        return begin()

    monkeypatch.setattr(stage.hub.store, "transaction", once_broken)
    assert stage.webhook("psa", time_approved(an_entry(1))).json()["accepted"] == 1


def test_whoever_waits_hears_of_a_bug_and_the_next_message_is_taken(stage: Stage, monkeypatch: Any) -> None:
    monkeypatch.setattr(stage.hub.store, "transaction", lambda: 1 / 0)
    assert problem_of(stage.webhook("psa", time_approved(an_entry(1))), 500)["code"] == "bug"
    monkeypatch.undo()
    assert stage.webhook("psa", time_approved(an_entry(1))).json()["accepted"] == 1


def test_different_messages_at_once_are_all_kept_and_told_apart(stage: Stage) -> None:
    """Good, repeated, unusable and foreign ones in one round: each gets its own answer."""

    def deliver(n: int) -> tuple[int, int, Any]:
        content = [time_approved(an_entry(n)), time_approved(an_entry(n // 4)), "{", APPROVED][n % 4]
        answer = stage.webhook("psa", content, f"msg_{n}")
        return n % 4, answer.status_code, answer.json()

    with TestClient(stage.app) as client, ThreadPoolExecutor(40) as pool:
        stage.client = client
        answers = list(pool.map(deliver, range(1, 81)))

    assert {(kind, status) for kind, status, _ in answers} == {(0, 202), (1, 202), (2, 422), (3, 403)}
    told = [body for _, status, body in answers if status == 202]
    entries = stage.rows(InboxMessage, kind="time.approved")
    assert sum(body["accepted"] for body in told) == len(entries) == len({m.message_id for m in entries})
    assert all(body["accepted"] + body["duplicates"] == 1 for body in told)
    assert len(stage.rows(InboxMessage, state=MessageState.QUARANTINED)) == 20
