"""Mapping versions: the same recorded message under the old and the new mapping; a connection pinned to one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.domain.objects import ExternalRef
from isthmus.kit.cassette import read
from isthmus.kit.connector import Connector
from isthmus.kit.manifest import Manifest
from isthmus.kit.mapping import Field, Table
from isthmus.kit.replay import differences, replay
from isthmus.kit.wire import Request, Verb
from isthmus.ports.messages import PostedInvoice
from tests.kit.model import URL, manifest

OLD = Table(Field("number", "no"), Field("total", "amount", back=Decimal), Field("currency", "cur"))
# The vendor renames a field, and the firm wants the net amount from now on.
NEW = OLD.changed(Field("total", "net_amount", back=Decimal), Field("state", "status"))
BILL = {"no": "INV-1", "amount": "108.00", "net_amount": "100.00", "cur": "USD", "status": "open", "id": 7}


class Books(Connector):
    """Reads one bill; its mapping has two versions."""

    mappings = {"2026": {"BILL": OLD}, "2027": {"BILL": NEW}}  # noqa: RUF012

    @classmethod
    def read_manifest(cls) -> Manifest:
        return manifest()

    def read_bill(self, number: str) -> Verb[PostedInvoice]:
        row = (yield Request("GET", f"bills/{number}")).body
        found = self.mapped("BILL").back(row)
        return PostedInvoice(ref=self.ref("bill", row["id"]), open=found["total"], **found)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """A bill as it was once read."""
    from isthmus.kit.executor import Connection

    path = tmp_path / "tape.jsonl"
    vendor = httpx.MockTransport(lambda _: httpx.Response(200, json=BILL))
    Connection(
        "books",
        Books(),
        base_url=URL,
        auth_kind="bearer",
        secrets={"token": "hush-hush"},
        transport=vendor,
        cassette=path,
    ).read_bill("INV-1")
    return path


def bill(**changes: Any) -> PostedInvoice:
    facts = {"number": "INV-1", "total": Decimal("108.00"), "open": Decimal("108.00"), "currency": "USD"}
    ref = ExternalRef(system="books", object_type="bill", external_id="7")
    return PostedInvoice(ref=ref, **{**facts, **changes})


@pytest.mark.requirement("GOV-14")
def test_the_same_message_under_the_old_and_the_new_mapping(tape: Path) -> None:
    old = replay(read(tape), Books({"mapping_version": "2026"}), "read_bill", "INV-1")
    new = replay(read(tape), Books({"mapping_version": "2027"}), "read_bill", "INV-1")
    assert old == bill()
    assert new == bill(total=Decimal("100.00"), open=Decimal("100.00"), state="open")
    assert list(differences(old, new)) == [
        "total: Decimal('108.00') became Decimal('100.00')",
        "open: Decimal('108.00') became Decimal('100.00')",
        "state: 'posted' became 'open'",
    ]
    assert list(differences(old, replay(read(tape), Books({"mapping_version": "2026"}), "read_bill", "INV-1"))) == []


def test_the_newest_version_is_used_unless_a_connection_is_pinned(tape: Path) -> None:
    assert Books().mapping_version == "2027"
    assert replay(read(tape), Books(), "read_bill", "INV-1").total == Decimal("100.00")
    with pytest.raises(NeedsSetup, match="no mapping version '2028'; there are: 2026, 2027"):
        Books({"mapping_version": "2028"})


def test_a_version_has_what_it_changes_and_the_rest_of_the_ones_before() -> None:
    class More(Books):
        mappings = {**Books.mappings, "2028": {"CLIENT": Table(Field("client_no", "c"))}}  # noqa: RUF012

    assert More().mapped("BILL") is NEW and More({"mapping_version": "2026"}).mapped("BILL") is OLD
    assert set(More().tables()) >= {"BILL", "CLIENT"}
    with pytest.raises(NeedsSetup, match="has no table CLIENT"):
        More({"mapping_version": "2027"}).mapped("CLIENT")


def test_a_connector_without_versions_knows_no_such_setting() -> None:
    class Plain(Connector):
        @classmethod
        def read_manifest(cls) -> Manifest:
            return manifest()

    with pytest.raises(NeedsSetup, match="unknown setting mapping_version"):
        Plain({"mapping_version": "2026"})


def test_a_replay_sends_nothing_and_says_what_is_not_recorded(tape: Path) -> None:
    with pytest.raises(BadInput, match="no answer to GET"):
        replay(read(tape), Books(), "read_bill", "INV-2")
