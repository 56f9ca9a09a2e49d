"""The door: who gets in, for how long, and what every page tells the browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from isthmus.app.console.pages import PAGES
from isthmus.store.desk_records import LockOut, Session
from tests.console.stage import LOCAL, ConsoleStage, Visitor, console_firm, text_of


@pytest.mark.requirement("SEC-05")
def test_without_a_session_every_page_leads_to_the_door(stage: ConsoleStage) -> None:
    visitor = stage.visit()
    for one in PAGES.values():
        path = "/console" + re.sub(r"\{[^}]+\}", "nothing", one.path)
        answer = visitor.client.request(one.method, path, data={} if one.method == "POST" else None)
        assert answer.status_code == 303, one.key
        assert answer.headers["location"].startswith("/console/login?next="), one.key


def test_htmx_is_sent_to_the_door_as_a_whole_page(stage: ConsoleStage) -> None:
    answer = stage.visit().get("/console/cases", **{"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/console/login?next=%2Fconsole%2Fcases")


def test_after_logging_in_the_wanted_page_comes_up(stage: ConsoleStage) -> None:
    answer = stage.visit().log_in("finn", next="/console/cases?queue=tax")
    assert answer.headers["location"] == "/console/cases?queue=tax"


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example/console/", "/console/\\evil", "javascript:alert(1)", "/v1/cases"],
)
def test_the_door_leads_nowhere_else(stage: ConsoleStage, wanted: str) -> None:
    assert stage.visit().log_in("finn", next=wanted).headers["location"] == "/console/"


@pytest.mark.parametrize(("name", "password"), [("finn", "fay-word"), ("finn", ""), ("nobody", "finn-word"), ("", "")])
def test_a_wrong_password_opens_nothing(stage: ConsoleStage, name: str, password: str) -> None:
    visitor = stage.visit()
    answer = visitor.log_in(name, password)
    assert answer.status_code == 401 and "Wrong name or password" in answer.text
    assert visitor.get("/console/").status_code == 303
    (entry,) = stage.audited("session.denied")
    assert entry.actor == (name or "unknown") and "wrong name or password" in entry.reason


@pytest.mark.requirement("SEC-05")
def test_a_name_is_locked_out_after_too_many_attempts_and_in_again_later(
    staged: Callable[..., ConsoleStage],
) -> None:
    stage = staged(console_firm(failures_max=3, lock_minutes=15))
    visitor = stage.visit()
    assert [visitor.log_in("finn", "x").status_code for _ in range(4)] == [401, 401, 401, 429]
    assert visitor.log_in("finn").status_code == 429, "even with the right password"
    assert stage.visit("fay").get("/console/").status_code == 200, "others are not locked out with them"
    stage.machine.move(timedelta(minutes=16))
    assert visitor.log_in("finn").status_code == 303
    assert not [one for one in stage.rows(LockOut) if one.who == "name:finn"]


def test_an_address_that_tries_many_names_is_locked_out(staged: Callable[..., ConsoleStage]) -> None:
    stage = staged(console_firm(failures_max=2))
    visitor = stage.visit()
    answers = [visitor.log_in(f"guess{number}", "x").status_code for number in range(9)]
    assert answers == [401] * 8 + [429]
    assert visitor.log_in("finn").status_code == 429


@pytest.mark.requirement("SEC-05")
def test_a_session_ends_when_idle_when_old_and_when_left(staged: Callable[..., ConsoleStage]) -> None:
    stage = staged(console_firm(idle_minutes=30, session_hours=2))
    idle = stage.visit("finn")
    stage.machine.move(timedelta(minutes=29))
    assert idle.get("/console/").status_code == 200
    stage.machine.move(timedelta(minutes=31))
    assert idle.get("/console/").status_code == 303
    old = stage.visit("finn")
    for _ in range(5):
        stage.machine.move(timedelta(minutes=25))
        answer = old.get("/console/")
    assert answer.status_code == 303
    left = stage.visit("finn")
    kept = dict(left.client.cookies)
    assert left.post("/console/logout").status_code == 303
    left.client.cookies.update(kept)
    assert left.get("/console/").status_code == 303, "the secret means nothing any more"
    assert {e.reason for e in stage.audited("session.expire")} == {"idle", "too old"}
    assert stage.audited("session.begin") and stage.audited("session.end")


def test_a_page_that_is_left_open_does_not_keep_its_session(staged: Callable[..., ConsoleStage]) -> None:
    """What it fetches by itself is no sign of a person."""
    stage = staged(console_firm(idle_minutes=30))
    visitor = stage.visit("finn")
    for _ in range(3):
        stage.machine.move(timedelta(minutes=9))
        assert visitor.get("/console/", **{"x-by-itself": "yes"}).status_code == 200
    stage.machine.move(timedelta(minutes=9))
    assert visitor.get("/console/", **{"x-by-itself": "yes"}).status_code == 303


def test_the_books_keep_no_secret_of_a_session(stage: ConsoleStage) -> None:
    visitor = stage.visit("finn")
    secret = visitor.client.cookies["isthmus_session"]
    (session,) = stage.rows(Session)
    assert secret not in session.model_dump_json() and len(session.session_hash) == 64


@pytest.mark.requirement("SEC-05")
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stage: ConsoleStage) -> None:
    local = stage.visit().log_in("finn").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/console"} <= set(local.split("; ")) and "Secure" not in local
    secure = stage.visit(base="https://127.0.0.1:8700").log_in("finn").headers["set-cookie"]
    assert "Secure" in secure.split("; ")


@pytest.mark.requirement("SEC-05")
@pytest.mark.parametrize("csrf", ["", "x" * 32])
def test_a_form_of_another_site_does_nothing(stage: ConsoleStage, csrf: str) -> None:
    stage.set_up()
    visitor = stage.visit("finn")
    for path in ("/console/theme", "/console/cases/CASE-00001/work", "/console/runs/x"):
        answer = visitor.post(path, csrf=csrf, do="take", theme="dark", reason="x")
        assert answer.status_code == 403 and "not from a page of yours" in answer.text
    assert len(stage.audited("api.denied")) == 3
    assert visitor.post("/console/logout", csrf=csrf).status_code == 303
    assert visitor.client.cookies.get("isthmus_session") is None or stage.rows(Session)[0].ended_at is None


def test_one_session_cannot_use_the_token_of_another(stage: ConsoleStage) -> None:
    finn, fay = stage.visit("finn"), stage.visit("fay")
    assert finn.post("/console/theme", csrf=fay.csrf, theme="dark").status_code == 403
    assert finn.post("/console/theme", theme="dark").status_code == 303


@pytest.mark.requirement("SEC-05")
@pytest.mark.parametrize(
    ("base", "address", "headers"),
    [
        (LOCAL, "10.0.0.7", {}),
        ("http://hub.example", "127.0.0.1", {}),
        (LOCAL, "127.0.0.1", {"x-forwarded-for": "10.0.0.7"}),
        (LOCAL, "127.0.0.1", {"x-forwarded-host": "hub.example"}),
        (LOCAL, "127.0.0.1", {"via": "1.1 proxy"}),
        (LOCAL, "127.0.0.1", {"origin": "https://hub.example"}),
        (LOCAL, "127.0.0.1", {"sec-fetch-site": "cross-site"}),
    ],
)
def test_a_local_account_is_for_this_machine_alone(
    stage: ConsoleStage, base: str, address: str, headers: dict[str, str]
) -> None:
    visitor = Visitor(stage.app, base, address)
    form = {"name": "finn", "password": "finn-word"}
    answer = visitor.client.post("/console/login", data=form, headers=headers)
    assert answer.status_code == 403 and "this machine alone" in answer.text
    if not {"sec-fetch-site", "origin"} & set(headers):
        door = visitor.get("/console/login", **headers).text
        assert "Nobody can log in here" in door and 'name="password"' not in door
    assert not stage.rows(Session) and stage.audited("session.denied")


@pytest.mark.requirement("SEC-05")
def test_every_answer_has_a_strict_policy(stage: ConsoleStage) -> None:
    visitor = stage.visit("finn")
    answers = [visitor.get(path) for path in ("/console/", "/console/nowhere", "/console/static/console.js")]
    answers.append(stage.visit().get("/console/login"))
    for answer in answers:
        policy = dict(part.partition(" ")[::2] for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'" and policy["form-action"] == "'self'"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answers[0].headers["cache-control"] == "no-store"


def test_a_bug_tells_people_nothing_of_the_inside(stage: ConsoleStage, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = stage.visit("finn")
    monkeypatch.setattr("isthmus.app.console.today.gather", lambda *_: 1 / 0)
    answer = visitor.get("/console/")
    assert answer.status_code == 500 and "A bug of the hub" in text_of(answer.text) and "division" not in answer.text


def test_a_character_that_cannot_be_stored_is_refused_at_every_page_and_at_the_door(stage: ConsoleStage) -> None:
    visitor = stage.visit("finn")
    for path in (
        "cases?q=%00",
        "cases/%00",
        "search?q=%00",
        "runs/%00",
        "audit?actor=%00",
        "invoices/a%00",
        "login/back?state=%00",
    ):
        assert visitor.client.get(f"/console/{path}").status_code == 422, path
    assert stage.visit().log_in("finn\x00", "no\x00ne").status_code == 422
    assert not stage.audited("bug")
