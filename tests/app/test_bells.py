"""A vendor's own webhooks: signed by its scheme, they ring; the hub looks at once, in whichever process."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from isthmus.app.api import create_app
from isthmus.app.api.webhooks import secrets_of
from isthmus.connectors.kantata import connector as Kantata
from isthmus.domain.errors import NeedsSetup
from isthmus.kit.manifest import CaptureFacts, Manifest, OriginFacts, SignatureFacts
from isthmus.runtime.bells import Bells, listen
from isthmus.store.records import InboxMessage
from tests.app.stage import Stage, problem_of

SIGNED = CaptureFacts(
    kind="signed_webhook",
    sweep="watermark",
    overlap_seconds=60,
    signature=SignatureFacts(header="X-Signature", prefix="sha256=", id_header="X-Id"),
    origin=OriginFacts(path="by", contains="hub"),
)


@pytest.fixture
def secret(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The PSA signs webhooks of its own with the secret in this file."""
    facts: Manifest = Kantata.read_manifest().model_copy(update={"capture": SIGNED})
    monkeypatch.setattr(Kantata, "read_manifest", classmethod(lambda cls: facts))
    file = tmp_path / "secret"
    file.write_text("first-secret\n")
    signed = [
        c.model_copy(update={"webhook_secret": f"file:{file}"}) if c.name == "psa" else c
        for c in stage.hub.firm.connections
    ]
    stage.hub.firm = stage.hub.firm.model_copy(update={"connections": tuple(signed)})
    stage.client = TestClient(create_app(stage.hub), raise_server_exceptions=False)
    yield file


def deliver(stage: Stage, body: Any, secret: str = "first-secret", **headers: str) -> httpx.Response:
    raw = json.dumps(body).encode()
    signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return stage.client.post("/webhooks/psa", content=raw, headers={"X-Signature": signature, "X-Id": "w-1", **headers})


def test_a_signed_webhook_rings_and_brings_nothing_in_by_itself(stage: Stage, secret: Path) -> None:
    wait = stage.hub.bells.hang("psa")
    answer = deliver(stage, {"id": 7, "by": "ann"})
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "duplicates": 0, "message_ids": ["w-1"]}
    assert wait(0.0) and not wait(0.0)
    assert not stage.rows(InboxMessage)


@pytest.mark.requirement("PAT-16")
def test_what_the_hub_has_done_itself_does_not_ring(stage: Stage, secret: Path) -> None:
    wait = stage.hub.bells.hang("psa")
    for _ in range(20):  # however often the vendor repeats it: no look, so nothing that could write again
        assert deliver(stage, {"id": 7, "by": "hub"}).json()["duplicates"] == 1
    assert not wait(0.0)
    assert deliver(stage, [{"id": 7, "by": "hub"}, {"id": 7, "by": "ann"}]).json()["accepted"] == 1
    assert wait(0.0)


def test_a_wrong_signature_is_refused_and_does_not_ring(stage: Stage, secret: Path) -> None:
    wait = stage.hub.bells.hang("psa")
    assert problem_of(deliver(stage, {"id": 7}, "another"), 401)["code"] == "signature_invalid"
    assert problem_of(deliver(stage, {"id": 7}, **{"X-Signature": ""}), 401)["code"] == "signature_invalid"
    assert not wait(0.0)


def test_a_secret_is_rotated_without_a_restart(stage: Stage, secret: Path) -> None:
    secret.write_text("first-secret second-secret")
    assert deliver(stage, {"id": 7}, "second-secret").status_code == 202
    assert deliver(stage, {"id": 7}).status_code == 202
    secret.write_text("second-secret")
    problem_of(deliver(stage, {"id": 7}), 401)


def test_a_connector_that_signs_nothing_needs_the_standard_secret(stage: Stage) -> None:
    odd = [c.model_copy(update={"webhook_secret": "demo:mine"}) for c in stage.hub.firm.connections]
    stage.hub.firm = stage.hub.firm.model_copy(update={"connections": tuple(odd)})
    with pytest.raises(NeedsSetup, match="signs no webhooks of its own"):
        secrets_of(stage.hub)


def test_a_ring_reaches_the_workers_of_other_processes(stage: Stage, secret: Path) -> None:
    elsewhere, stop = Bells(), threading.Event()
    wait = elsewhere.hang("psa")
    listener = threading.Thread(target=listen, args=(stage.hub.url, elsewhere, stop.is_set))
    listener.start()
    rang = False
    for _ in range(50):  # it may not listen yet
        deliver(stage, {"id": 7})
        if rang := wait(0.2):
            break
    stop.set()
    listener.join(10)
    assert rang and not listener.is_alive()
