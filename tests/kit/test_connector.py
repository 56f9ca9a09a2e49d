"""What connectors share: settings both ways, where reading starts again, master data by name, records by key."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from isthmus.domain.errors import BadInput, NeedsSetup, RemoteRefusal
from isthmus.domain.objects import ExternalRef
from isthmus.kit.keyed import KeyedConnector, by_external_id, by_id
from isthmus.kit.manifest import Manifest, load
from isthmus.kit.mapping import hours_to_clock, seconds_to_hours, sum_by_key, to_utc
from isthmus.kit.posting import same_total
from isthmus.kit.wire import Answer, Request, Verb
from isthmus.ports.messages import PostedInvoice, PostInvoice

MANIFEST = """
[system]
name = "books"
vendor = "V"
ports = []
api_version = "1"
release_cadence = "never"
residency = "here"
modelled_from = "nothing"
[auth]
kinds = ["bearer"]
credentials = ["token"]
optional = ["token_url"]
[base_url]
production = "https://vendor.example"
[limits]
kind = "none"
[capture]
kind = "watermark"
overlap_seconds = 60
"""


@pytest.fixture
def books(tmp_path: Path) -> KeyedConnector:
    (tmp_path / "manifest.toml").write_text(MANIFEST)

    class Books(KeyedConnector):
        defaults = {"currencies": {"USD": "1"}, "rules": ""}  # noqa: RUF012
        write_headers = {"X-Strict": "yes"}  # noqa: RUF012

        @classmethod
        def read_manifest(cls) -> Manifest:
            return load(tmp_path)

        def path_of(self, kind: str, key: str) -> str:
            return f"{kind}/key:{key}"

    with pytest.raises(NeedsSetup, match="unknown setting colour; known: currencies, rules"):
        Books({"colour": 1})
    return Books({"currencies": {"EUR": 4}, "rules": " by status ,, by name"})


def drive(steps: Verb[Any], status: int, body: Any = None, **headers: str) -> tuple[Request, Any]:
    """The one request of a verb, and what it returns for this answer."""
    request = next(steps)
    with pytest.raises(StopIteration) as done:
        steps.send(Answer(status, httpx.Headers(headers), body, ""))
    return request, done.value.value


def ref(external_id: str, version: str = "") -> ExternalRef:
    return ExternalRef(system="books", object_type="bill", external_id=external_id, version=version)


def test_codes_are_read_back_by_the_same_table(books: KeyedConnector) -> None:
    assert (books.decoded("currencies", 4), books.decoded("currencies", "1")) == ("EUR", "USD")
    with pytest.raises(BadInput, match="books currencies: unknown state '9'"):
        books.decoded("currencies", "9")


def test_a_setting_lists_names_and_may_only_list_known_ones(books: KeyedConnector) -> None:
    assert books.names("rules") == ("by status", "by name") == books.names("rules", ("by name", "by status", "x"))
    with pytest.raises(NeedsSetup, match="books: setting rules: by status is not among by name, by day"):
        books.names("rules", ("by name", "by day"))


def test_states_of_a_firms_own_table_are_as_total_as_others(books: KeyedConnector) -> None:
    assert books.own_state("currencies", "EUR") == "4"
    with pytest.raises(BadInput, match="books currencies: unknown state 'CHF'"):
        books.own_state("currencies", "CHF")


def test_reading_starts_again_before_the_watermark(books: KeyedConnector) -> None:
    assert books.since("2026-03-06T12:01:00+00:00") == datetime(2026, 3, 6, 12, tzinfo=UTC)
    assert books.since("") is None


def test_missing_master_data_is_refused_by_name(books: KeyedConnector) -> None:
    rows = [{"id": 1, "name": "Architect"}]
    assert books.ids_by_name(rows, ["Architect"], "role") == {"Architect": "1"}
    with pytest.raises(RemoteRefusal, match="books has no role Partner, Tester") as refused:
        books.ids_by_name(rows, ["Tester", "Architect", "Partner"], "role")
    assert refused.value.context == {
        "remote_code": "ROLE",
        "field": "role",
        "system": "books",
        "words": "",
    }


def test_a_record_is_put_under_its_key(books: KeyedConnector) -> None:
    steps = books.put_record("bill", "B-1", {"a": 1}, replace="lines")
    request, found = drive(steps, 204, Location="https://vendor.example/bill/77/")
    assert (request.method, request.path, request.json) == ("PUT", "bill/key:B-1", {"a": 1})
    assert (request.query, request.headers) == ({"replace": "lines"}, {"X-Strict": "yes"})
    assert found == ref("77")
    with pytest.raises(KeyError):  # the executor makes it an unknown outcome
        drive(books.put_record("bill", "B-1", {}), 204)


def test_a_record_is_found_when_it_is_there_and_the_condition_holds(books: KeyedConnector) -> None:
    assert drive(books.find_record("bill", "B-1"), 200, {"id": 7})[1] == ref("7")
    assert drive(books.find_record("bill", "B-1"), 404)[1] is None
    assert drive(books.find_record("bill", "B-1", lambda bill: bill["open"]), 200, {"id": 7, "open": False})[1] is None


@pytest.mark.parametrize(("text", "version"), [("B-1#2 x", "2"), ("B-1#3", "3"), ("B-1#1", None), ("note", None)])
def test_a_later_revision_counts_as_found(books: KeyedConnector, text: str, version: str | None) -> None:
    found = drive(books.find_revision("bill", "B-1", 2, "memo"), 200, {"id": 7, "memo": text})[1]
    assert found == (ref("7", version) if version else None)
    assert drive(books.find_revision("bill", "B-1", 2, "memo"), 404)[1] is None


def test_references_are_by_id_or_by_our_key() -> None:
    assert (by_id(7), by_external_id("P:1")) == ({"id": "7"}, {"externalId": "P_3A1"})


def test_another_total_or_currency_there_is_a_refusal() -> None:
    ours = PostInvoice(
        number="I-1",
        client_no="C-1",
        entity="US",
        project_code="P-1",
        currency="USD",
        issue_date=date(2026, 3, 31),
        due_date=date(2026, 4, 30),
        payment_terms="",
        lines=(),
        net=Decimal("10.00"),
        tax=Decimal("0.00"),
        total=Decimal("10.00"),
    )
    posted = PostedInvoice(
        ref=ref("7"), number="I-1", total=ours.total, open=ours.total, currency="USD", client_no="C-1", state="posted"
    )
    assert same_total(posted, ours) is posted
    for other in ({"total": Decimal("10.01")}, {"currency": "CAD"}):
        with pytest.raises(RemoteRefusal, match="books made invoice I-1") as refused:
            same_total(posted.model_copy(update=other), ours)
        assert refused.value.remote_code == "TOTAL_DIFFERS"


def test_hours_moments_and_sums_are_exact() -> None:
    assert seconds_to_hours(5400) == Decimal("1.5") and seconds_to_hours(100) == Decimal("0.0278")
    hours = ("7.5", "0.3333", "0.35", "24")
    assert [hours_to_clock(Decimal(each)) for each in hours] == ["7:30", "0:20", "0:21", "24:00"]
    with pytest.raises(BadInput, match="whole number of minutes"):
        hours_to_clock(Decimal("0.1250"))
    assert (
        to_utc(1772755200000)
        == to_utc("2026-03-06")
        == to_utc("2026-03-06T01:00:00+01:00")
        == datetime(2026, 3, 6, tzinfo=UTC)
    )
    assert sum_by_key([("a", Decimal("1.10")), ("b", Decimal(2)), ("a", Decimal("0.05"))]) == {
        "a": Decimal("1.15"),
        "b": Decimal(2),
    }
