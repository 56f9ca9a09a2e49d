"""Secrets sealed in the database: put, read, rotated while connections go on, shared by all workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
import sqlalchemy as sa

from isthmus.app.vault import Vault
from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.kit.sealing import KEY, new_key
from isthmus.kit.wire import Request
from isthmus.runtime.clock import HandClock
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import AuditEntry
from tests.kit.model import connection, manifest

NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
_NAMES = '"client_id", "client_secret", "refresh_token"'
REFRESHED = manifest(auth=f'kinds = ["refresh_token"]\ntoken_path = "token"\ncredentials = [{_NAMES}]')


@pytest.fixture
def store(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresStore]:
    monkeypatch.setenv(KEY, new_key())
    made = PostgresStore(fresh_database)
    yield made
    made.close()


@pytest.fixture
def vault(store: PostgresStore) -> Vault:
    return Vault(store, HandClock(NOW))


def test_a_secret_is_sealed_read_and_replaced_and_the_audit_holds_no_value(store: PostgresStore, vault: Vault) -> None:
    with pytest.raises(NeedsSetup, match="isthmus secret put erp-token"):
        vault.get("erp-token")
    assert vault.put("erp-token", "hush-hush-1", by="ines", reason="new tenant") == 1
    assert vault.read("sealed:erp-token") == "hush-hush-1"
    assert vault.put("erp-token", "hush-hush-2", by="ines") == 2
    assert vault.get("erp-token") == "hush-hush-2"
    with store.engine.connect() as raw:
        everything = str(raw.execute(sa.text("select * from hub.sealed_secret")).all())
        everything += str(raw.execute(sa.text("select * from hub.audit")).all())
    assert "hush" not in everything
    with store.transaction() as tx:
        entries = tx.find(AuditEntry, action="secret.put", order=("audit_id",))
    assert [(e.actor, e.subject, e.after["version"]) for e in entries] == [
        ("ines", "secret:erp-token", 1),
        ("ines", "secret:erp-token", 2),
    ]


def test_an_empty_secret_or_a_name_with_blanks_is_refused(vault: Vault) -> None:
    for name, value in (("", "x"), ("a b", "x"), ("a", "")):
        with pytest.raises(BadInput):
            vault.put(name, value, by="ines")


def test_without_the_master_key_nothing_opens(
    store: PostgresStore, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.put("erp", "hush", by="ines")
    monkeypatch.setenv(KEY, new_key())
    with pytest.raises(NeedsSetup, match="is sealed under the master key"):
        Vault(store, HandClock(NOW)).get("erp")


def test_the_master_key_is_replaced(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = new_key(), new_key()
    monkeypatch.setenv(KEY, old)
    for name in ("a", "b"):
        Vault(store, HandClock(NOW)).put(name, f"hush-{name}", by="ines")
    monkeypatch.setenv(KEY, f"{new} {old}")
    assert Vault(store, HandClock(NOW)).renew() == 2
    assert Vault(store, HandClock(NOW)).renew() == 0
    monkeypatch.setenv(KEY, new)
    assert [Vault(store, HandClock(NOW)).get(name) for name in ("a", "b")] == ["hush-a", "hush-b"]


def test_a_connection_takes_a_changed_secret_over_without_a_restart(vault: Vault) -> None:
    vault.put("erp-token", "first-token", by="ines")
    wanted = ["first-token"]

    def vendor(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.headers["Authorization"] == f"Bearer {wanted[0]}" else 401, json={})

    def read() -> dict[str, str]:
        return {"token": vault.read("sealed:erp-token")}

    erp = connection(vendor, secrets=read(), reread=read)
    assert erp.send(Request("GET", "x")).status == 200
    wanted[0] = "second-token"
    vault.put("erp-token", "second-token", by="ines")
    assert erp.send(Request("GET", "x")).status == 200


def test_a_refresh_token_is_used_once_by_whichever_worker(store: PostgresStore, vault: Vault) -> None:
    """Three workers whose tokens expire all the time, and a vendor that blocks the account at a second use."""
    names = {"client_id": "demo:me", "client_secret": "demo:mine", "refresh_token": "sealed:crm-refresh"}
    vault.put("crm-refresh", "r-1", by="ines")
    lock, state = threading.Lock(), {"refresh": "r-1", "access": "", "blocked": ""}

    def vendor(request: httpx.Request) -> httpx.Response:
        with lock:
            if request.url.path != "/token":
                good = request.headers["Authorization"] == f"Bearer {state['access']}"
                return httpx.Response(200 if good else 401, json={})
            given = httpx.QueryParams(request.content.decode())["refresh_token"]
            if given != state["refresh"]:
                state["blocked"] = given
                return httpx.Response(400, json={"error": "invalid_grant"})
            number = int(given.split("-")[1]) + 1
            state.update(refresh=f"r-{number}", access=f"a-{number}")
            tokens = {"access_token": state["access"], "refresh_token": state["refresh"], "expires_in": 3600}
            return httpx.Response(200, json=tokens)

    def worker(number: int) -> int:
        mine = Vault(store, HandClock(NOW))

        def read() -> dict[str, str]:
            return {name: mine.read(reference) for name, reference in names.items()}

        crm = connection(
            vendor, REFRESHED, "refresh_token", secrets=read(), reread=read, keeper=mine.keeper(names, "crm")
        )
        done = 0
        for _ in range(10):
            crm.auth.forget()
            try:
                done += crm.send(Request("GET", "x")).status == 200
            except NeedsSetup as refused:
                assert "login refused" not in refused.message, refused
        return done

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(worker, range(3)))
    assert not state["blocked"], "an old refresh token was used"
    assert sum(done) >= 10 and vault.get("crm-refresh") == state["refresh"]


def test_a_rotated_credential_that_is_not_sealed_says_so(vault: Vault) -> None:
    keeper = vault.keeper({"refresh_token": "env:REFRESH"}, "crm")
    with pytest.raises(NeedsSetup, match="seal it"):
        keeper.keep("refresh_token", "r-2")
