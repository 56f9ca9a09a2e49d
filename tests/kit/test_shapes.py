"""What connectors of one kind share: records found by our key, pages of what changed, receivables read back."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from isthmus.domain.errors import BadInput, NotFound, RemoteRefusal
from isthmus.domain.objects import ExternalRef, Project, Task, TimeEntry
from isthmus.kit.manifest import Manifest, load
from isthmus.kit.masters import Clients, Projects
from isthmus.kit.receivables import Receivables
from isthmus.kit.wire import Row, Verb
from isthmus.kit.work_source import WorkSource
from isthmus.ports.messages import MilestonePage, PostedInvoice, PostInvoice, TaskIn, TimePage, Withdrawn
from tests.kit.test_connector import MANIFEST

MARCH = [datetime(2026, 3, day, tzinfo=UTC) for day in (5, 6)]
PROJECT = Project(
    project_code="P-1",
    name="Platform",
    contract_no="C-1",
    contract_version=1,
    client_no="CL-1",
    entity="US01",
    currency="USD",
    start=date(2026, 3, 1),
)


class Suite(Clients, Projects, WorkSource, Receivables):
    """A system of one table, whose documents are made in the order they are asked for."""

    defaults = {"milestone_states": {"Done": "completed"}}  # noqa: RUF012
    client_kind, project_kind, task_kind = "party", "job", "task"
    records: dict[tuple[str, str], Row] = {}  # noqa: RUF012
    made: list[tuple[str, Row | None]] = []  # noqa: RUF012

    def held(self, kind: str, key: str) -> Verb[Row | None]:
        yield from ()
        return self.records.get((kind, key))

    def in_use(self, kind: str, record: Row) -> bool:
        return bool(record["open"])

    def retire(self, kind: str, key: str, record: Row) -> Verb[None]:
        yield from ()
        self.records[kind, key] = record | {"open": False}

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        yield from ()
        return {"name": "Platform", "currency": "USD", "tasks": ("T",)}

    def posted_document(self, document: PostInvoice) -> Verb[Row | None]:
        return self.held("document", document.number)

    def credited_invoice(self, credit: PostInvoice) -> Verb[Row | None]:
        return self.held("document", credit.original_number)

    def make_document(self, document: PostInvoice, original: Row | None) -> Verb[Row]:
        yield from ()
        self.made.append((document.number, original))
        return {"id": "9", "total": "10.00"}

    def read_document(self, record: Row, document: PostInvoice) -> PostedInvoice:
        ref, total = self.ref("document", record["id"]), Decimal(record["total"])
        return PostedInvoice(ref=ref, number=document.number, total=total, open=total, currency="USD")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "manifest.toml").write_text(MANIFEST)

    class Here(Suite):
        records, made = {}, []

        @classmethod
        def read_manifest(cls) -> Manifest:
            return load(tmp_path)

    return Here()


def told(verb: Generator[Any, Any, Any]) -> Any:
    """What a verb says that asks nothing of anybody."""
    with pytest.raises(StopIteration) as ended:
        next(verb)
    return ended.value.value


def a_document(number: str, original: str = "") -> PostInvoice:
    return PostInvoice(
        number=number,
        original_number=original,
        client_no="CL-1",
        entity="US01",
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


def test_a_project_is_found_open_or_closed_and_never_both(suite: Suite) -> None:
    assert told(suite.find_project(PROJECT)) is None is told(suite.find_closed(PROJECT))
    with pytest.raises(NotFound, match="books has no job P-1"):
        told(suite.read_project("P-1"))
    here = ExternalRef(system="books", object_type="job", external_id="7")
    for is_open in (True, False):
        suite.records["job", "P-1"] = {"id": "7", "open": is_open}
        assert told(suite.find_project(PROJECT)) == (here if is_open else None)
        assert told(suite.find_closed(PROJECT)) == (None if is_open else here)
        facts = told(suite.read_project("P-1"))
        assert (facts.ref, facts.active, facts.tasks) == (here, is_open, ("T",))
    suite.records["task", "P-1:T"] = {"id": "8", "open": False}
    item = TaskIn(project_code="P-1", task=Task(code="T", name="Build", line_uid="L1"))
    assert told(suite.find_task(item)).external_id == "8"


def test_what_is_in_use_is_taken_out_of_use_once(suite: Suite) -> None:
    with pytest.raises(NotFound, match="books has no job P-1"):
        told(suite.close_project(PROJECT))
    suite.records["job", "P-1"] = {"id": "7", "open": True}
    assert told(suite.close_project(PROJECT)) == told(suite.find_closed(PROJECT))
    kept = suite.records["job", "P-1"]
    told(suite.close_project(PROJECT))
    assert suite.records["job", "P-1"] is kept


def test_what_counts_what_is_withdrawn_and_what_cannot_be_read_are_told_apart(suite: Suite) -> None:
    def read(row: Row) -> TimeEntry | Withdrawn:
        if row["id"] == "2":
            raise BadInput("it has no day")
        return suite.withdrawn(row["id"], "not approved", MARCH[0])

    page = suite.page_of(TimePage, [{"id": "1"}, {"id": "2"}], read, MARCH, "2026-03-01", {"3": MARCH[1]})
    assert page.watermark == "2026-03-06T00:00:00+00:00" and page.entries == ()
    assert [(one.key, one.by, one.at) for one in page.withdrawn] == [
        ("books:1", "books: not approved", MARCH[0]),
        ("books:3", "books: deleted", MARCH[1]),
    ]
    assert page.unreadable == (("2", "it has no day"),)
    assert suite.page_of(MilestonePage, [], read, MARCH, "2026-04-01").watermark == "2026-04-01"


def test_a_milestone_is_told_by_our_key_and_the_firms_own_states(suite: Suite) -> None:
    moved = {"source_id": "5", "by": "pm", "at": MARCH[0]}
    found = suite.milestone("P-1", "P-1:L1-M2", "Done", **moved)
    assert (found.line_uid, found.number, found.state, found.project_code) == ("L1", 2, "completed", "P-1")
    with pytest.raises(BadInput, match="unknown state 'Lost'"):
        suite.milestone("P-1", "P-1:L1-M2", "Lost", **moved)


def test_what_was_billed_must_be_there(suite: Suite) -> None:
    rows = [{"id": "1"}]
    assert suite.all_there(rows, {"1"}, "hour") is rows
    with pytest.raises(RemoteRefusal, match="books shows no hour 2, 3"):
        suite.all_there(rows, ["3", "1", "2"], "hour")


def test_twins_are_for_a_person(suite: Suite) -> None:
    assert suite.one_of([], "job P-1") is None
    with pytest.raises(RemoteRefusal, match="books has 2 records of job P-1"):
        suite.one_of([{}, {}], "job P-1")


def test_a_credit_names_an_invoice_that_is_in_the_books(suite: Suite) -> None:
    credit = a_document("CM-1", "I-1")
    with pytest.raises(RemoteRefusal, match="no posted invoice I-1"):
        told(suite.post_credit(credit))
    assert suite.made == [] and told(suite.find_credit(credit)) is None
    original = suite.records["document", "I-1"] = {"id": "3", "total": "10.00"}
    assert told(suite.post_credit(credit)).ref.external_id == "9" and suite.made == [("CM-1", original)]


def test_what_is_made_there_must_be_ours_to_the_cent(suite: Suite) -> None:
    assert told(suite.post_invoice(a_document("I-1"))).total == Decimal("10.00")
    with pytest.raises(RemoteRefusal, match=r"made invoice I-2 10\.00 USD of 10\.01 USD"):
        told(suite.post_invoice(a_document("I-2").model_copy(update={"total": Decimal("10.01")})))


def test_a_payment_in_instalments_counts_once_for_each_document(suite: Suite) -> None:
    parts = [("I-1", Decimal("4")), ("I-1", Decimal("1.5")), ("I-2", "2")]
    facts = {"source_id": "1", "client_no": "CL-1", "value_date": date(2026, 4, 20)}
    paid = suite.payment("7.5", "USD", ["", None, "WIRE"], parts, **facts)
    assert (paid.amount, paid.reference) == (Decimal("7.50"), "WIRE")
    assert paid.applies == {"I-1": Decimal("5.50"), "I-2": Decimal("2.00")}
