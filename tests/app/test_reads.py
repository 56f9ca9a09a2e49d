"""System APIs: what the hub knows, page by page, from one snapshot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from isthmus.app.api.reading import reading
from isthmus.domain.objects import Client, Engagement
from isthmus.domain.states import EngagementState, move
from tests.app.stage import Stage, an_entry, money, problem_of
from tests.processes.hub import CLIENT, contract


@pytest.fixture
def billed(stage: Stage) -> Stage:
    """A contract with a cap of 10,000.00: 8 h invoiced, 4 h ready, 50 h over the cap in part."""
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill()
    stage.go()
    stage.record(an_entry(2, "4", 4), message_id="msg_2")
    for n in range(3, 6):
        stage.record(an_entry(n, "16", n + 2), message_id=f"msg_{n}")
    return stage


@pytest.mark.requirement("INV-04")
def test_a_contract_shows_what_it_has_used_up(billed: Stage) -> None:
    told = billed.get("/v1/contracts/K-1").json()
    states = {s["state"]: money(s["net"]) for s in told["states"]}
    hours = sum(money(s["hours"]) for s in told["states"])
    assert states == {"invoiced": money("1480.00"), "ready": money("8520.00"), "over_cap": money("1100.00")}
    assert hours == money("60.0000")
    (cap,) = told["caps"]
    assert (money(cap["limit"]), money(cap["consumed"]), money(cap["room"])) == (10000, 10000, 0)
    assert money(told["revenue_recognisable"]) == 10000
    assert [v["version"] for v in told["versions"]] == [1] and told["engagement"]["state"] == "active"


def test_a_cap_of_one_line_counts_that_line(stage: Stage) -> None:
    from decimal import Decimal

    from isthmus.domain.objects import Cap

    first = contract().lines[0]
    lines = (first, first.model_copy(update={"line_uid": "L2"}))
    caps = (
        Cap(cap_id="one", scope="line", line_uid="L2", limit=Decimal("1000")),
        Cap(cap_id="all", scope="contract", limit=Decimal("5000")),
    )
    stage.set_up(contract(lines=lines, caps=caps))
    stage.record(an_entry(1, "2"), an_entry(2, "1", 4, task_code="L2"))
    uses = {c["cap_id"]: money(c["consumed"]) for c in stage.get("/v1/contracts/K-1").json()["caps"]}
    assert uses == {"one": money("185.00"), "all": money("555.00")}


def test_an_invoice_is_found_by_its_number_and_by_its_id(billed: Stage) -> None:
    by_id = billed.get("/v1/invoices/K-1:2026-03").json()
    number = by_id["invoice"]["number"]
    assert number == "US01-INV-2026-00001"
    assert billed.get(f"/v1/invoices/{number}").json() == by_id
    assert by_id["invoice"]["posting"] == "posted" and by_id["invoice"]["delivery"] == "sent"
    (part,) = by_id["parts"]
    assert (part["source_key"], part["part"]["net"]) == ("kantata:1", "1480.00")
    assert {x["system"] for x in by_id["external"]} >= {"erp"}
    problem_of(billed.get("/v1/invoices/NO-1"), 404)


@pytest.mark.requirement("WF-22")
def test_time_is_allowed_on_an_active_project_in_force(stage: Stage) -> None:
    stage.set_up()
    assert stage.get("/v1/projects/P-K-1/time-allowed?date=2026-03-05").json() == {
        "project_code": "P-K-1",
        "day": "2026-03-05",
        "allowed": True,
        "reason": "",
    }
    before = stage.get("/v1/projects/P-K-1/time-allowed?date=2026-02-05").json()
    assert before["allowed"] is False and "in force on 2026-02-05" in before["reason"]
    assert stage.get("/v1/projects/P-K-1/time-allowed").json()["day"] == "2026-03-02"
    with stage.hub.store.transaction() as tx:
        tx.update(move(tx.find(Engagement)[0], "state", EngagementState.CLOSED))
    answers = [stage.get("/v1/projects/P-K-1/time-allowed?date=2026-03-05") for _ in range(5)]
    assert {a.json()["allowed"] for a in answers} == {False} and "closed, not active" in answers[0].json()["reason"]
    assert min(a.elapsed for a in answers) < timedelta(milliseconds=300)
    problem_of(stage.get("/v1/projects/P-NO/time-allowed"), 404)
    problem_of(stage.get("/v1/projects/P-K-1/time-allowed?date=soon"), 422)


def test_time_is_refused_on_a_project_that_is_not_active(stage: Stage) -> None:
    stage.systems.weather.next_fault = lambda system, verb, write: "unreachable" if system == "erp" and write else None
    stage.set_up()
    told = stage.get("/v1/projects/P-K-1/time-allowed?date=2026-03-05").json()
    assert told["allowed"] is False and "provisioning, not active" in told["reason"]


def test_a_project_shows_its_ids_elsewhere(stage: Stage) -> None:
    stage.set_up()
    told = stage.get("/v1/projects/P-K-1").json()
    assert told["engagement_state"] == "active"
    assert {(x["system"], x["remote_id"]) for x in told["external"]} == {("psa", "project-1"), ("erp", "project-1")}
    problem_of(stage.get("/v1/projects/P-NO"), 404)


def test_lists_are_filtered(billed: Stage) -> None:
    assert len(billed.get("/v1/billable-parts?contract=K-1&state=invoiced").json()["items"]) == 1
    assert billed.get("/v1/billable-parts?contract=K-2").json()["items"] == []
    assert len(billed.get("/v1/invoices?contract=K-1&life=issued").json()["items"]) == 1
    assert billed.get("/v1/invoices?client=C-2").json()["items"] == []
    assert billed.get("/v1/payments").json()["items"] == []
    assert len(billed.get("/v1/time-entries?project=P-K-1").json()["items"]) == 5
    run = "bill_contract/K-1:2026-03"
    verbs = {e["verb"] for e in billed.get(f"/v1/effects?run={run}&state=done").json()["items"]}
    assert "Erp.post_invoice" in verbs
    assert billed.get(f"/v1/effects?run={run}&state=in_doubt").json()["items"] == []
    assert [c["contract_no"] for c in billed.get("/v1/contracts").json()["items"]] == ["K-1"]
    problem_of(billed.get("/v1/contracts/K-2"), 404)


# -- pages ------------------------------------------------------------------------------------------------------


def all_pages(stage: Stage, path: str, limit: int) -> list[Any]:
    """Every item of a list, page by page."""
    items, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        mark = "&" if "?" in path else "?"
        answer = stage.get(f"{path}{mark}limit={limit}&cursor={cursor}").json()
        assert len(answer["items"]) <= limit
        items, cursor, pages = items + answer["items"], answer["next_cursor"], pages + 1
    return items


def test_pages_neither_repeat_nor_skip(stage: Stage) -> None:
    with stage.hub.store.transaction() as tx:
        tx.insert_many([CLIENT.model_copy(update={"client_no": f"N-{n:02d}"}) for n in range(7)])
    for limit in (1, 3, 7, 100):
        assert [c["client_no"] for c in all_pages(stage, "/v1/clients", limit)] == [f"N-{n:02d}" for n in range(7)]
    first = stage.get("/v1/clients?limit=3").json()
    with stage.hub.store.transaction() as tx:
        tx.insert(CLIENT.model_copy(update={"client_no": "N-00a"}))
    second = stage.get(f"/v1/clients?limit=3&cursor={first['next_cursor']}").json()
    assert [c["client_no"] for c in second["items"]] == ["N-03", "N-04", "N-05"]


def test_a_key_of_several_fields_pages_too(billed: Stage) -> None:
    found = [e["source_id"] for e in all_pages(billed, "/v1/time-entries", 2)]
    assert found == ["1", "2", "3", "4", "5"]


BAD_CURSORS = ["x", "!!!!", "bnVsbA", "W10", "WzFd", "WyJhIiwiYiJd", "WyJcdTAwMDAiXQ", "%00"]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_a_cursor_that_is_none_of_ours_is_refused(stage: Stage, cursor: str) -> None:
    problem_of(stage.get(f"/v1/clients?cursor={cursor}"), 422)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x"])
def test_a_page_has_its_limits(stage: Stage, query: str) -> None:
    problem_of(stage.get(f"/v1/clients?{query}"), 422)


def test_a_key_that_cannot_be_stored_is_refused(stage: Stage) -> None:
    problem_of(stage.get("/v1/contracts/%00"), 422)
    problem_of(stage.get("/v1/cases?queue=%00"), 422)


def test_a_reading_request_cannot_write(stage: Stage) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="read-only"), reading(stage.hub) as tx:
        tx.insert(CLIENT)
    assert not stage.rows(Client)


# -- the event feed ---------------------------------------------------------------------------------------------


def test_events_are_cloudevents_in_order_and_can_be_read_on(billed: Stage) -> None:
    whole = billed.get("/v1/events?limit=500").json()
    read, after = [], 0
    while True:
        answer = billed.get(f"/v1/events?after={after}&limit=3").json()
        if not answer["events"]:
            break
        read, after = read + answer["events"], answer["next_after"]
    assert read == whole["events"] and after == whole["next_after"]
    for event in read:
        assert (
            event["specversion"] == "1.0" and event["id"] and event["source"] and event["type"].startswith("isthmus.")
        )
        names = "specversion id source type subject time datacontenttype correlationid sequence data"
        assert set(event) == set(names.split())
    assert len({event["id"] for event in read}) == len(read)
    for subject in {event["subject"] for event in read}:
        own = [int(event["sequence"]) for event in read if event["subject"] == subject]
        assert own == list(range(1, len(own) + 1))


def test_an_event_is_not_shown_while_an_earlier_position_may_still_appear(stage: Stage) -> None:
    """Otherwise whoever reads on from the later one would never see the earlier one."""
    stage.clock.move_to(datetime.now(UTC))
    url = stage.hub.url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as slow:
        books = "insert into hub.counter (name, value) values ('slow', 1)"
        slow.execute(books)
        slow.execute("select nextval(pg_get_serial_sequence('hub.event', 'position'))")
        stage.set_up()
        assert stage.get("/v1/events").json()["events"] == []
        slow.commit()
    assert len(stage.get("/v1/events").json()["events"]) > 3
