"""The Tryton connector at a real Tryton server: what the suite cannot know of it, seen by Tryton's own JSON-RPC."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

from isthmus.app.conformance.samples import common_inputs, filled
from isthmus.connectors.tryton import connector as Tryton
from isthmus.domain.errors import NeedsSetup, NotFound, OutcomeUnknown, RemoteRefusal, Retryable
from isthmus.domain.journals import Journal, booking
from isthmus.domain.objects import Client, Project
from isthmus.kit.executor import Connection
from isthmus.kit.limits import Unlimited
from isthmus.ports.messages import PostInvoice, TaskIn, TimeCost
from isthmus.sandbox.server import Running, running
from isthmus.sandbox.tryton.gateway import server
from isthmus.sandbox.tryton.rpc import plain

pytestmark = pytest.mark.timeout(900)  # whoever asks for Tryton first on a machine waits until its database is made
ATTEMPTS = 12
Message = TypeVar("Message", bound=BaseModel)
SETTINGS: dict[str, Any] = {
    "companies": {"US01": "1"},
    "receivable_account": "1.2.1",
    "revenue_account": "4.1.2",
    "tax_account": "6.3.6",
    "ledger_accounts": {"customer_deposits": "2.2.2", "receivables": "1.2.1"},
    "warnings": "skip",
}
N = {"n": "_1%"}  # wildcards of a search, which must find nothing but themselves


def common(kind: type[Message], **changes: Any) -> Message:
    """The suite's common input of this kind, with changes."""
    return kind.model_validate(filled(common_inputs()[kind.__name__], N) | changes)


CLIENT, PROJECT = common(Client), common(Project)
COST = common(TimeCost, entry_key="jira:10_1", hours="7.3333")
# No payment term comes to this day. The net of its first line is not quantity times rate.
INVOICE = common(PostInvoice, number="INV-1", due_date="2026-05-13")
CREDIT = common(
    PostInvoice,
    number="CM-1",
    original_number="INV-1",
    lines=[INVOICE.lines[1].model_dump()],
    net="99.99",
    tax="8.87",
    total="108.86",
)


@pytest.fixture(scope="module")
def tryton() -> Iterator[Running]:
    with running("tryton") as served:
        yield served["tryton"]


def connect(tryton: Running, **settings: Any) -> Connection:
    return Connection(
        "erp",
        Tryton(SETTINGS | settings),
        base_url=f"{tryton.url}/psa/rest",
        auth_kind="bearer",
        secrets=tryton.sandbox.credentials(),
        budget=Unlimited(),
    )


@pytest.fixture
def erp(tryton: Running) -> Iterator[Connection]:
    """Connected, with the client there and nothing else."""
    tryton.sandbox.reset()
    connection = connect(tryton)
    connection.put_client(CLIENT)
    yield connection
    connection.close()


def there(tryton: Running, kind: str) -> list[dict[str, Any]]:
    """What an accountant sees."""
    return tryton.sandbox.records.snapshot()[kind]


def test_the_invoice_is_ours_to_the_cent_and_to_the_day(tryton: Running, erp: Connection) -> None:
    posted = erp.post_invoice(INVOICE)
    [row] = there(tryton, "invoice")
    assert (row["state"], row["reference"], row["number"]) == ("posted", "INV-1", posted.ref.version)
    amounts = [Decimal(row[f"{name}_amount"]) for name in ("untaxed", "tax", "total")]
    assert amounts == [INVOICE.net, INVOICE.tax, INVOICE.total]
    assert row["lines_to_pay"][0]["maturity_date"] == "2026-05-13"
    assert (posted.number, posted.total, posted.open, posted.state) == ("INV-1", INVOICE.total, INVOICE.total, "posted")


def test_many_callers_at_once_post_it_once(tryton: Running, erp: Connection) -> None:
    def post(_: int) -> str:
        for attempt in range(ATTEMPTS):
            try:
                return str(connect(tryton).post_invoice(INVOICE).ref.external_id)
            except (Retryable, OutcomeUnknown) as lost:
                time.sleep(0.2 * attempt)  # as the ledger would, on its own clock
                last = lost
        raise last

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(post, range(4)))
    [row] = there(tryton, "invoice")
    assert (row["state"], {*said}) == ("posted", {str(row["id"])})


def test_a_warning_stops_the_posting_until_a_person_has_looked(tryton: Running, erp: Connection) -> None:
    careful = connect(tryton, warnings="stop")
    with pytest.raises(RemoteRefusal, match="in the past"):
        careful.post_invoice(INVOICE)
    assert careful.find_invoice(INVOICE) is None  # a draft is no receivable
    assert erp.post_invoice(INVOICE).state == "posted"
    assert len(there(tryton, "invoice")) == 1
    with pytest.raises(NeedsSetup, match="never"):
        connect(tryton, warnings="never").post_invoice(INVOICE.model_copy(update={"number": "INV-2"}))


def test_a_credit_is_set_off_and_a_payment_counts(tryton: Running, erp: Connection) -> None:
    erp.post_invoice(INVOICE)
    posted = erp.post_credit(CREDIT)
    assert (posted.number, posted.total) == ("CM-1", CREDIT.total)
    assert erp.find_invoice(INVOICE).open == INVOICE.total - CREDIT.total
    tryton.sandbox.seed("payment", {"invoice": "INV-1", "amount": "52.44", "date": "2026-04-20", "description": "W 1"})
    page = erp.payments_received("")
    [payment] = page.payments
    assert (payment.client_no, payment.amount, payment.currency) == (CLIENT.client_no, Decimal("52.44"), "USD")
    assert (payment.value_date, payment.reference) == (date(2026, 4, 20), "W 1")
    assert payment.applies == {"INV-1": Decimal("52.44")}
    assert erp.find_invoice(INVOICE).open == Decimal("100.00")
    assert [each.source_id for each in erp.payments_received(page.watermark).payments] == [payment.source_id]


def test_more_than_is_open_stays_on_account(tryton: Running, erp: Connection) -> None:
    erp.post_invoice(INVOICE)
    tryton.sandbox.seed("payment", {"invoice": "INV-1", "amount": "200.00", "date": "2026-04-20"})
    erp.post_credit(CREDIT)
    assert erp.find_invoice(INVOICE).open == Decimal("61.30")
    assert erp.find_credit(CREDIT).open == CREDIT.total


def test_a_correction_replaces_the_hour_and_never_the_other_way_round(tryton: Running, erp: Connection) -> None:
    erp.put_project(PROJECT)
    erp.put_task(common(TaskIn))
    first = erp.put_time(COST)
    second = COST.model_copy(update={"revision": 2, "hours": Decimal("2")})
    assert erp.put_time(second).external_id == first.external_id
    assert erp.put_time(COST).version == "2"
    [line] = there(tryton, "time")
    assert (line["duration"], line["description"]) == (7200, "jira:10_1#2 Workshop")
    assert erp.find_time(COST.model_copy(update={"entry_key": "jira:1001"})) is None  # _ is no wildcard
    stranger = COST.model_copy(update={"entry_key": "jira:2", "person": "nobody@consulting.example"})
    with pytest.raises(RemoteRefusal, match="no employee with the address nobody"):
        erp.put_time(stranger)


def test_what_is_not_there_is_said(erp: Connection) -> None:
    with pytest.raises(NotFound, match=r"no project\.work P_9"):
        erp.read_project("P_9")
    with pytest.raises(RemoteRefusal, match="NET45"):
        erp.put_client(CLIENT.model_copy(update={"payment_terms": "NET45"}))
    with pytest.raises(NotFound, match=r"no party\.party C-9"):
        erp.post_invoice(INVOICE.model_copy(update={"client_no": "C-9"}))
    with pytest.raises(RemoteRefusal, match="no posted invoice INV-1"):
        erp.post_credit(CREDIT)


def test_a_client_changes_and_comes_back(tryton: Running, erp: Connection) -> None:
    moved = CLIENT.model_copy(update={"legal_name": "Meridian Group"})
    erp.put_client(moved)
    erp.deactivate_client(moved)
    assert (erp.find_client(moved), bool(erp.find_inactive_client(moved))) == (None, True)
    erp.put_client(moved)
    assert [row["name"] for row in there(tryton, "party") if row["code"] == CLIENT.client_no] == ["Meridian Group"]


JOURNAL = Journal(
    journal_no="deposit/US01-INV_1",
    entity="US01",
    kind="deposit_drawn",
    booked_on=date(2026, 3, 31),
    currency="USD",
    memo="advance drawn",
    lines=booking("customer_deposits", "receivables", Decimal("402.84"), "advance", client_no=CLIENT.client_no),
    recorded_at=datetime(2026, 3, 31, tzinfo=UTC),
)


def test_a_journal_is_booked_once_and_a_debt_is_the_clients(tryton: Running, erp: Connection) -> None:
    made = erp.post_journal(JOURNAL)
    assert erp.find_journal(JOURNAL) == made == erp.post_journal(JOURNAL)
    assert erp.find_journal(JOURNAL.model_copy(update={"journal_no": "deposit/US01-INV11"})) is None  # _ is no wildcard
    office = server().office
    fields = ("account.code", "debit", "credit", "party.code", "date", "move.state", "move.number")
    sides = plain(office.rows("account.move.line", [["move", "=", int(made.external_id)]], *fields))
    assert [(side["account"]["code"], Decimal(side["debit"]), Decimal(side["credit"])) for side in sides] == [
        ("2.2.2", JOURNAL.total, 0),
        ("1.2.1", 0, JOURNAL.total),
    ]
    assert [(side["party"] or {}).get("code") for side in sides] == [None, CLIENT.client_no]
    assert {(side["date"], side["move"]["state"], side["move"]["number"]) for side in sides} == {
        ("2026-03-31", "posted", made.version)
    }


def test_a_journal_in_another_currency_than_the_books_is_a_refusal(erp: Connection) -> None:
    with pytest.raises(RemoteRefusal, match="books of US01 in USD"):
        erp.post_journal(JOURNAL.model_copy(update={"currency": "EUR"}))
    with pytest.raises(NotFound, match="period of 1999-03-31"):
        erp.post_journal(JOURNAL.model_copy(update={"booked_on": date(1999, 3, 31)}))


def test_what_is_claimed_is_listed_whoever_made_it(tryton: Running, erp: Connection) -> None:
    erp.post_invoice(INVOICE)
    tryton.sandbox.seed("repeat", {"invoice": "INV-1"})
    listed = erp.receivables("US01", date(2026, 3, 1))
    assert [(each.number, each.total, each.issue_date) for each in listed] == [
        ("INV-1", INVOICE.total, INVOICE.issue_date)
    ] * 2
    assert erp.receivables("US01", date(2026, 4, 1)) == ()
