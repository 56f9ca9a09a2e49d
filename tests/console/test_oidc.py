"""Login by an identity provider, against a real one of the test's own on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import KeySet, RSAKey
from oidc_provider_mock import User, run_server_in_thread

from isthmus.app.console.oidc import Provider
from isthmus.app.console_config import Grant, Oidc
from isthmus.domain.errors import NotPermitted
from isthmus.runtime.clock import SystemClock
from isthmus.store.desk_records import LoginStart, Session
from tests.console.stage import ConsoleStage, Visitor, console_firm, text_of, token_in

GRANTS = (
    Grant(group="fin-team", roles=("finance",)),
    Grant(group="emea-controlling", roles=("controller",), regions=("EMEA",)),
    Grant(group="us-billing", roles=("billing",), entities=("US01",)),
)
PERSONS = {
    "finn@narrows.example": ["fin-team"],
    "emma@narrows.example": ["emea-controlling", "us-billing"],
    "guest@narrows.example": ["visitors"],
    "lost@narrows.example": [],
}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    users = [User(sub=name, claims={"email": name, "groups": groups}) for name, groups in PERSONS.items()]
    with run_server_in_thread(user_claims=users) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def stage(staged: Callable[..., ConsoleStage], provider: str) -> ConsoleStage:
    return staged(console_firm(oidc=_oidc(provider), grants=GRANTS))


def _oidc(issuer: str, **changes: Any) -> Oidc:
    return Oidc(issuer=issuer, client_id="isthmus", client_secret="demo:a client's secret", **changes)


def answer_of(visitor: Visitor, person: str, wanted: str = "/console/cases") -> str:
    """The address the provider sends the browser back to, after the person has logged in there."""
    begun = visitor.get(f"/console/login/begin?next={wanted}")
    assert begun.status_code == 303
    agreed = httpx.post(begun.headers["location"], data={"sub": person}, trust_env=False)
    parts = urlsplit(agreed.headers["location"])
    assert parts.path == "/console/login/back"
    return f"{parts.path}?{parts.query}"


@pytest.mark.requirement("SEC-05", "SEC-01")
def test_somebody_logs_in_by_the_provider_and_has_the_roles_of_their_groups(stage: ConsoleStage) -> None:
    visitor = stage.visit()
    came_back = visitor.get(answer_of(visitor, "finn@narrows.example"))
    assert (came_back.status_code, came_back.headers["location"]) == (303, "/console/cases")
    assert visitor.get("/console/cases").status_code == 200
    (session,) = stage.rows(Session)
    assert (session.name, session.roles, session.entities) == ("finn@narrows.example", ["finance"], None)
    assert session.via == "identity provider" and not stage.rows(LoginStart)
    assert "isthmus_login" not in visitor.client.cookies


def test_groups_add_roles_and_limits(stage: ConsoleStage) -> None:
    visitor = stage.visit()
    visitor.get(answer_of(visitor, "emma@narrows.example"))
    (session,) = stage.rows(Session)
    assert (session.roles, session.entities) == (["billing", "controller"], ["GB01", "US01"])


@pytest.mark.parametrize("person", ["guest@narrows.example", "lost@narrows.example"])
def test_who_is_in_no_group_stays_outside(stage: ConsoleStage, person: str) -> None:
    visitor = stage.visit()
    answer = visitor.get(answer_of(visitor, person))
    assert answer.status_code == 403 and "in no group that may use the console" in answer.text
    assert not stage.rows(Session) and stage.audited("session.denied")


@pytest.mark.requirement("SEC-05")
def test_an_answer_counts_once_and_only_where_it_was_asked_for(stage: ConsoleStage) -> None:
    mine, other = stage.visit(), stage.visit()
    back = answer_of(mine, "finn@narrows.example")
    stolen = other.get(back)
    assert stolen.status_code == 403 and "not begun in this browser" in stolen.text
    assert mine.get(back).status_code == 303
    again = mine.get(back)
    assert again.status_code == 403 and len(stage.rows(Session)) == 1


def test_a_login_begun_too_long_ago_is_begun_again(stage: ConsoleStage) -> None:
    visitor = stage.visit()
    back = answer_of(visitor, "finn@narrows.example")
    stage.machine.move(timedelta(minutes=11))
    answer = visitor.get(back)
    assert answer.status_code == 403 and "too long ago" in answer.text


def test_a_token_for_another_login_is_refused(stage: ConsoleStage, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = stage.visit()
    back = answer_of(visitor, "finn@narrows.example")
    with stage.hub.store.transaction() as tx:
        (start,) = tx.find(LoginStart)
        tx.update(start.model_copy(update={"nonce": "another"}))
    answer = visitor.get(back)
    assert answer.status_code == 403 and "wrong nonce" in answer.text


@pytest.mark.requirement("SEC-05")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aud": "another"}, "audience"),
        ({"aud": ["isthmus", "another"]}, "authorised party"),
        ({"iss": "https://elsewhere.example"}, "issuer"),
        ({"nonce": "another"}, "nonce"),
        ({"exp": 1_000}, "time"),
    ],
)
def test_a_token_for_somebody_else_is_refused(changes: dict[str, Any], said: str) -> None:
    clock = SystemClock()
    right = {"iss": "https://idp.example", "aud": "isthmus", "nonce": "n", "exp": clock.now().timestamp() + 60}
    checked = Provider(_oidc("https://idp.example/"), clock)
    checked._check(right, "n")
    with pytest.raises(NotPermitted, match=f"wrong {said}"):
        checked._check({**right, **changes}, "n")


def test_a_token_signed_with_another_key_is_refused(stage: ConsoleStage, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = stage.visit()
    back = answer_of(visitor, "finn@narrows.example")
    forged = KeySet([RSAKey.generate_key(2048)])
    monkeypatch.setattr(Provider, "_keys", lambda _: forged)
    answer = visitor.get(back)
    assert answer.status_code == 403 and "cannot be trusted" in answer.text and not stage.rows(Session)


def test_the_state_goes_with_pkce_and_a_nonce(stage: ConsoleStage) -> None:
    asked = parse_qs(urlsplit(stage.visit().get("/console/login/begin").headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"] and len(asked["nonce"][0]) > 30 and len(asked["state"][0]) > 30
    assert asked["redirect_uri"] == ["http://127.0.0.1:8700/console/login/back"]


def test_a_refusal_of_the_provider_is_told(stage: ConsoleStage) -> None:
    answer = stage.visit().get("/console/login/back?error=access_denied&error_description=No+entry+today")
    assert answer.status_code == 403 and "No entry today" in text_of(answer.text)


def test_a_provider_that_is_away_is_told(staged: Callable[..., ConsoleStage]) -> None:
    stage = staged(console_firm(oidc=_oidc("http://127.0.0.1:9"), grants=GRANTS))
    answer = stage.visit().get("/console/login/begin")
    assert answer.status_code == 503 and "cannot be asked" in text_of(answer.text)


def test_the_door_offers_the_provider_and_pages_carry_a_token(stage: ConsoleStage) -> None:
    visitor = stage.visit()
    assert "Log in with your company account" in visitor.get("/console/login?next=/console/runs").text
    visitor.get(answer_of(visitor, "finn@narrows.example"))
    assert len(token_in(visitor.get("/console/").text)) > 20
