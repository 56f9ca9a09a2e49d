"""The NetSuite connector, every verb over HTTP against the sandbox: effects, look-ups, refusals, paging, login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from isthmus.connectors.netsuite import connector as NetSuite
from isthmus.domain.errors import (
    BadInput,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    Throttled,
    Unreachable,
)
from isthmus.domain.journals import Journal, booking
from isthmus.domain.objects import Address, Client, Project, Task
from isthmus.kit.connector import missing_verbs
from isthmus.kit.executor import Connection
from isthmus.kit.limits import Unlimited
from isthmus.ports import Erp, JournalBook, ReceivableList, ScheduleBook, VendorBillBook
from isthmus.ports.messages import (
    PostInvoice,
    PostLine,
    PostVendorBill,
    ScheduleIn,
    TaskIn,
    TimeCost,
    VendorBillLine,
)
from isthmus.ports.verbs import spec_of
from isthmus.sandbox.server import Running, running

SETTINGS: dict[str, Any] = {
    "subsidiaries": {"US": "1", "UK": "2"},
    "item": "21",
    "items": {"MS": "25"},
    "employees": {"amara.osei@consulting.example": "11"},
}
CLIENT = Client(
    client_no="C-100",
    legal_name="Meridian Health, Inc.",
    country="US",
    tax_id="US-1",
    currency="USD",
    payment_terms="NET30",
    address=Address(street="1 Main St", city="New York", region="NY", postal_code="10001", country="US"),
)
PROJECT = Project(
    project_code="P-100",
    name="Data platform",
    contract_no="K-1",
    contract_version=2,
    client_no="C-100",
    entity="US",
    currency="USD",
    start=date(2026, 3, 1),
    end=date(2026, 9, 30),
    dimensions={"practice": "DATA", "cost_center": "CC-10"},
)
TASK = TaskIn(project_code="P-100", task=Task(code="T1", name="Discovery", line_uid="L1"))
SCHEDULE = ScheduleIn(
    project_code="P-100",
    currency="USD",
    milestones=(("Kick-off", date(2026, 4, 1), Decimal("1000.00")), ("Done", date(2026, 6, 1), Decimal("2500.50"))),
)
COST = TimeCost(
    entry_key="kantata:123",
    revision=1,
    project_code="P-100",
    task_code="T1",
    person="amara.osei@consulting.example",
    role="Architect",
    service_date=date(2026, 3, 4),
    hours=Decimal("7.3333"),
    billable=True,
    bill_rate=Decimal("250"),
    memo="Workshop",
)
INVOICE = PostInvoice(
    number="INV-2026-0001",
    client_no="C-100",
    entity="US",
    project_code="P-100",
    currency="USD",
    issue_date=date(2026, 3, 31),
    due_date=date(2026, 4, 30),
    payment_terms="NET30",
    po_number="PO-7",
    lines=(
        # 3 x round(0.35 x 133.33): the net of the line is not quantity times rate
        PostLine(
            number=1,
            description="Architect",
            quantity=Decimal("1.05"),
            unit_price=Decimal("133.33"),
            net=Decimal("140.01"),
            tax=Decimal("12.43"),
        ),
        PostLine(
            number=2,
            description="Run",
            quantity=Decimal("1"),
            unit_price=Decimal("99.99"),
            net=Decimal("99.99"),
            tax=Decimal("8.87"),
            tax_code="MS",
        ),
    ),
    net=Decimal("240.00"),
    tax=Decimal("21.30"),
    total=Decimal("261.30"),
)
M2M = ("client_id", "certificate_id", "private_key", "algorithm")
TBA = ("account", "consumer_key", "consumer_secret", "token_id", "token_secret")


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("netsuite") as boxes:
        yield boxes["netsuite"]


@pytest.fixture
def control(served: Running) -> Callable[..., Any]:
    """POST to the control surface of an empty sandbox."""

    def post(path: str, body: Any = None) -> Any:
        return httpx.post(f"{served.url}/_control/{path}", json=body).raise_for_status().json()

    post("reset")
    served.sandbox.concurrency_limit = 5  # type: ignore[attr-defined]
    return post


def connect(served: Running, kind: str = "m2m", **settings: Any) -> Connection:
    """A connection with no budget of its own, so that the sandbox's limit shows."""
    known = served.sandbox.credentials()
    secrets = {name: known[name] for name in (M2M if kind == "m2m" else TBA)}
    base = f"{served.url}/services/rest"
    connector = NetSuite(SETTINGS | settings)
    return Connection("erp", connector, base_url=base, auth_kind=kind, secrets=secrets, budget=Unlimited())


@pytest.fixture
def erp(served: Running, control: Callable[..., Any]) -> Connection:
    return connect(served)


@pytest.fixture
def set_up(erp: Connection) -> Connection:
    """An account with the client, the project and its task."""
    erp.put_client(CLIENT)
    erp.put_project(PROJECT)
    erp.put_task(TASK)
    return erp


def state(served: Running, collection: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = httpx.get(f"{served.url}/_control/state").json().get(collection, [])
    return rows


def mine(served: Running, collection: str) -> list[dict[str, Any]]:
    return [row for row in state(served, collection) if row.get("externalId")]


# -- the manifest ----------------------------------------------------------------------------------------------


def test_the_manifest_names_every_verb_of_the_port() -> None:
    manifest = NetSuite.read_manifest()
    verbs = {}
    for port in (Erp, JournalBook, ReceivableList, ScheduleBook, VendorBillBook):
        assert missing_verbs(NetSuite, port.__name__) == []
        verbs |= {f"{port.__name__}.{name}": verb for name, verb in vars(port).items() if hasattr(verb, "__verb__")}
    finds = {name: spec_of(verb).find for name, verb in verbs.items() if spec_of(verb).writes}
    looked_up = {f"{name.split('.')[0]}.{find}" for name, find in finds.items()}
    assert {name: facts.find for name, facts in manifest.verbs.items()} == finds
    assert set(manifest.reads) | set(finds) | looked_up == set(verbs)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(NeedsSetup, match="subsidiarys"):
        NetSuite({"subsidiarys": {}})


# -- master data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["m2m", "tba"])
def test_a_client_is_put_found_changed_and_deactivated(served: Running, control: Callable[..., Any], kind: str) -> None:
    erp = connect(served, kind)
    assert erp.find_client(CLIENT) is None
    made = erp.put_client(CLIENT)
    assert (made.system, made.object_type) == ("netsuite", "customer")
    assert erp.find_client(CLIENT) == made == erp.put_client(CLIENT)
    [row] = mine(served, "customer")
    assert row["externalId"] == "C-100" and row["terms"]["refName"] == "NET30" and row["currency"]["id"] == "1"
    assert [line["addressBookAddress"]["city"] for line in row["addressBook"]] == ["New York"]
    assert erp.find_inactive_client(CLIENT) is None
    assert erp.deactivate_client(CLIENT) == made
    assert erp.find_inactive_client(CLIENT) == made
    assert erp.find_client(CLIENT) is None


def test_terms_are_the_accounts_own_or_the_firms_codes(served: Running, erp: Connection) -> None:
    assert erp.payment_terms() == ("NET15", "NET30", "NET45", "NET60", "DUE")
    assert connect(served, terms={"N30": "2"}).payment_terms()[1] == "N30"
    with pytest.raises(RemoteRefusal, match="0 payment terms named NET-1"):
        erp.put_client(CLIENT.model_copy(update={"payment_terms": "NET-1"}))


def test_a_code_the_firm_has_not_set_needs_setup(served: Running, erp: Connection) -> None:
    with pytest.raises(NeedsSetup, match="currencies has no 'SEK'"):
        erp.put_client(CLIENT.model_copy(update={"currency": "SEK"}))
    with pytest.raises(NeedsSetup, match="subsidiaries has no 'FR'"):
        erp.put_project(PROJECT.model_copy(update={"entity": "FR"}))
    with pytest.raises(NeedsSetup, match="setting item is missing"):
        connect(served, item="").put_time(COST)


def test_a_project_is_put_read_closed_and_opened_again(served: Running, erp: Connection) -> None:
    erp.put_client(CLIENT)
    with pytest.raises(NotFound):
        erp.read_project("P-100")
    made = erp.put_project(PROJECT)
    assert erp.find_project(PROJECT) == made
    [row] = mine(served, "job")
    assert (row["custentity_practice"], row["custentity_cost_center"]) == ("DATA", "CC-10")
    erp.put_task(TASK)
    facts = erp.read_project("P-100")
    assert (facts.client_no, facts.currency, facts.active, facts.tasks) == ("C-100", "USD", True, ("T1",))
    assert erp.find_closed(PROJECT) is None
    assert erp.close_project(PROJECT) == made == erp.find_closed(PROJECT)
    assert erp.find_project(PROJECT) is None
    assert not erp.read_project("P-100").active
    assert erp.put_project(PROJECT) == made == erp.find_project(PROJECT)


def test_a_missing_dimension_is_a_refusal(erp: Connection) -> None:
    erp.put_client(CLIENT)
    with pytest.raises(RemoteRefusal, match="Cost Center") as refused:
        erp.put_project(PROJECT.model_copy(update={"dimensions": {"practice": "DATA"}}))
    assert refused.value.remote_code == "USER_ERROR"


def test_a_misspelt_custom_field_is_refused_and_not_dropped(served: Running, erp: Connection) -> None:
    erp.put_client(CLIENT)
    astray = connect(served, dimensions={"practice": "practise"})
    with pytest.raises(RemoteRefusal, match="practise"):
        astray.put_project(PROJECT)


def test_an_unknown_project_status_raises(served: Running, set_up: Connection) -> None:
    assert connect(served, project_statuses={"2": "closed"}).find_project(PROJECT) is None
    [row] = mine(served, "job")
    served.sandbox.records.put("job", row["id"], {**row, "isInactive": True})
    assert set_up.find_project(PROJECT) is None and set_up.find_closed(PROJECT) is not None
    served.sandbox.records.put("job", row["id"], {**row, "entityStatus": {"id": "77", "refName": "Odd"}})
    with pytest.raises(BadInput, match="unknown state '77'"):
        set_up.find_project(PROJECT)


def test_a_task_and_a_schedule_are_put_once(served: Running, set_up: Connection) -> None:
    assert set_up.find_task(TASK) == set_up.put_task(TASK)
    assert set_up.find_task(TASK.model_copy(update={"project_code": "P-2"})) is None
    assert set_up.find_schedule(SCHEDULE) is None
    made = set_up.put_schedule(SCHEDULE)
    assert set_up.find_schedule(SCHEDULE) == made == set_up.put_schedule(SCHEDULE)
    [row] = state(served, "billingSchedule")
    assert [line["milestoneAmount"] for line in row["milestone"]] == [1000, 2500.5]


# -- cost ------------------------------------------------------------------------------------------------------


def test_a_higher_revision_replaces_the_hour_and_a_late_lower_one_does_not(served: Running, set_up: Connection) -> None:
    assert set_up.find_time(COST) is None
    made = set_up.put_time(COST)
    assert made.version == "1" and set_up.find_time(COST) == made
    [row] = state(served, "timeBill")
    assert (row["hours"], row["rate"], row["memo"]) == ("7:20", 250, "kantata:123#1 Workshop")
    second = COST.model_copy(update={"revision": 2, "hours": Decimal("6.5")})
    assert set_up.find_time(second) is None
    assert set_up.put_time(second).version == "2"
    third = COST.model_copy(update={"revision": 3, "hours": Decimal("6.25")})
    assert set_up.put_time(third).version == "3"
    assert set_up.put_time(second).version == "3", "a late second revision finds the third and leaves it"
    assert set_up.find_time(COST) == set_up.find_time(third)
    [row] = state(served, "timeBill")
    assert row["hours"] == "6:15"


def test_an_unknown_employee_is_a_refusal(set_up: Connection) -> None:
    with pytest.raises(RemoteRefusal, match="employee") as refused:
        set_up.put_time(COST.model_copy(update={"person": "nobody@consulting.example"}))
    assert refused.value.remote_code == "INVALID_CONTENT"


# -- receivable ------------------------------------------------------------------------------------------------


def test_an_invoice_is_posted_to_the_cent_and_only_once(served: Running, set_up: Connection) -> None:
    assert set_up.find_invoice(INVOICE) is None
    posted = set_up.post_invoice(INVOICE)
    assert (posted.total, posted.open, posted.currency) == (INVOICE.total, INVOICE.total, "USD")
    assert posted.state == "posted"
    assert set_up.find_invoice(INVOICE) == posted == set_up.post_invoice(INVOICE)
    [row] = state(served, "invoice")
    assert (row["externalId"], row["tranId"], row["otherRefNum"]) == ("INV-2026-0001", "INV-2026-0001", "PO-7")
    assert [line["item"]["id"] for line in row["item"]] == ["21", "25"]
    assert row["dueDate"] == "2026-04-30" and row["taxTotal"] == 21.3


def test_a_total_that_differs_there_is_a_refusal(set_up: Connection) -> None:
    wrong = INVOICE.model_copy(update={"total": Decimal("261.31")})
    with pytest.raises(RemoteRefusal, match=r"261\.30 USD of 261\.31 USD") as refused:
        set_up.post_invoice(wrong)
    assert refused.value.remote_code == "TOTAL_DIFFERS"


def test_a_closed_period_is_a_refusal(control: Callable[..., Any], set_up: Connection) -> None:
    control("seed", {"accountingPeriod": [{"id": "203", "closed": True}]})
    with pytest.raises(RemoteRefusal, match="closed"):
        set_up.post_invoice(INVOICE)
    assert set_up.find_invoice(INVOICE) is None


def test_an_unknown_invoice_status_raises(served: Running, set_up: Connection) -> None:
    set_up.post_invoice(INVOICE)
    [row] = state(served, "invoice")
    served.sandbox.records.put("invoice", row["id"], {**row, "status": {"id": "Q"}})
    with pytest.raises(BadInput, match="unknown state 'Q'"):
        set_up.find_invoice(INVOICE)


def test_what_is_claimed_is_listed_whoever_made_it(control: Callable[..., Any], set_up: Connection) -> None:
    client = set_up.find_client(CLIENT).external_id
    set_up.post_invoice(INVOICE)
    given_back = {"number": "CM-1", "original_number": INVOICE.number}
    set_up.post_credit(INVOICE.model_copy(update=given_back))
    by_hand = {
        "entity": {"id": client},
        "subsidiary": {"id": SETTINGS["subsidiaries"]["US"]},
        "currency": {"id": "1"},
        "tranId": "HAND-1",
        "tranDate": "2026-04-02",
        "item": [{"item": {"id": SETTINGS["item"]}, "quantity": 1, "rate": 100, "amount": 100}],
        "approvalStatus": {"id": "2"},
    }
    control("seed", {"invoice": [by_hand, by_hand | {"tranId": "OLD-1", "tranDate": "2026-02-27"}]})
    listed = set_up.receivables("US", date(2026, 3, 1))
    assert [(one.number, one.total, one.open, one.issue_date, one.client_no) for one in listed] == [
        (INVOICE.number, INVOICE.total, Decimal("0.00"), INVOICE.issue_date, CLIENT.client_no),
        ("CM-1", -INVOICE.total, Decimal("0.00"), INVOICE.issue_date, CLIENT.client_no),
        ("HAND-1", Decimal("100.00"), Decimal("100.00"), date(2026, 4, 2), CLIENT.client_no),
    ]
    assert set_up.receivables("UK", date(2026, 3, 1)) == ()


# -- payments --------------------------------------------------------------------------------------------------


def pay(control: Callable[..., Any], invoice_id: str, customer_id: str, amount: float, at: str) -> dict[str, Any]:
    apply = [{"doc": {"id": invoice_id}, "apply": True, "amount": amount}] if invoice_id else []
    body = {
        "customer": {"id": customer_id},
        "payment": amount,
        "currency": {"id": "1"},
        "tranDate": at[:10],
        "apply": apply,
        "lastModifiedDate": at,
        "checkNum": "1107",
    }
    made: dict[str, Any] = control("seed", {"customerPayment": [body]})["customerPayment"][0]
    return made


def test_payments_come_with_what_they_apply_to(control: Callable[..., Any], set_up: Connection) -> None:
    assert set_up.payments_received("").payments == ()
    client, invoice = set_up.find_client(CLIENT), set_up.post_invoice(INVOICE)
    paid = pay(control, invoice.ref.external_id, client.external_id, 200.10, "2026-04-20T09:00:00Z")
    page = set_up.payments_received("")
    [payment] = page.payments
    assert payment.key == f"netsuite:{paid['id']}"
    assert (payment.client_no, payment.amount, payment.currency) == ("C-100", Decimal("200.1"), "USD")
    assert payment.applies == {"INV-2026-0001": Decimal("200.1")} and str(payment.amount) == "200.10"
    assert (payment.value_date, payment.reference) == (date(2026, 4, 20), "1107")
    assert page.watermark == "2026-04-20T09:00:00+00:00"
    assert set_up.find_invoice(INVOICE).open == Decimal("61.2")
    # The overlap gives it once more; after that it is past.
    assert set_up.payments_received("2026-04-20T09:04:59+00:00").payments == page.payments
    later = set_up.payments_received("2026-04-20T09:05:01+00:00")
    assert (later.payments, later.watermark) == ((), "2026-04-20T09:05:01+00:00")


def test_instalments_of_one_invoice_add_up(served: Running, control: Callable[..., Any], set_up: Connection) -> None:
    client, invoice = set_up.find_client(CLIENT), set_up.post_invoice(INVOICE)
    paid = pay(control, invoice.ref.external_id, client.external_id, 200.10, "2026-04-20T09:00:00Z")
    row = served.sandbox.records.get("customerPayment", paid["id"])
    assert row is not None
    first = {**row["apply"][0], "amount": Decimal("100.05"), "line": 1}
    served.sandbox.records.put("customerPayment", paid["id"], {**row, "apply": [first, {**first, "line": 2}]})
    assert set_up.payments_received("").payments[0].applies == {"INV-2026-0001": Decimal("200.10")}


def test_payments_are_read_over_many_pages_even_within_one_second(
    control: Callable[..., Any], set_up: Connection
) -> None:
    client = set_up.find_client(CLIENT)
    stamps = ["2026-04-20T09:00:00Z"] * 7 + [f"2026-04-20T09:00:0{n}Z" for n in range(1, 5)]
    paid = [pay(control, "", client.external_id, 10 + n, at)["id"] for n, at in enumerate(stamps)]
    set_up.connector.manifest = set_up.connector.manifest.model_copy(update={"page_size": 3})
    page = set_up.payments_received("2026-04-20T09:00:00+00:00")
    assert [p.source_id for p in page.payments] == paid
    assert page.watermark == "2026-04-20T09:00:04+00:00"
    assert set_up.payment_terms() == ("NET15", "NET30", "NET45", "NET60", "DUE")


def test_a_payment_of_a_stranger_and_an_unapproved_one(
    served: Running, control: Callable[..., Any], set_up: Connection
) -> None:
    body = {"companyName": "Stranger", "subsidiary": {"id": "1"}}
    stranger = control("seed", {"customer": [body]})["customer"][0]
    paid = pay(control, "", stranger["id"], 5, "2026-04-20T09:00:00Z")
    [payment] = set_up.payments_received("").payments
    assert (payment.client_no, payment.applies) == ("", {})
    row = served.sandbox.records.get("customerPayment", paid["id"])
    assert row is not None
    served.sandbox.records.put("customerPayment", paid["id"], {**row, "status": {"id": "A"}})
    assert set_up.payments_received("").payments == ()
    served.sandbox.records.put("customerPayment", paid["id"], {**row, "status": {"id": "Z"}})
    with pytest.raises(BadInput, match="unknown state 'Z'"):
        set_up.payments_received("")


def test_a_payment_that_is_listed_and_not_shown_is_told_and_one_that_is_gone_is_not(
    control: Callable[..., Any], set_up: Connection
) -> None:
    client = set_up.find_client(CLIENT)
    paid = pay(control, "", client.external_id, 5, "2026-04-20T09:00:00Z")["id"]
    hidden = {"kind": "status", "path": f"customerPayment/{paid}", "status": 404}
    control("faults", hidden)
    with pytest.raises(NeedsSetup, match=f"lists customerPayment {paid} and does not show it"):
        set_up.payments_received("")
    control("faults", [hidden, {"kind": "stale_read", "path": "suiteql", "skip": 1, "lag": 99}])
    assert set_up.payments_received("").payments == ()


def test_a_number_the_query_does_not_show_yet_is_asked_for_again(
    control: Callable[..., Any], set_up: Connection
) -> None:
    client = set_up.find_client(CLIENT)
    pay(control, "", client.external_id, 5, "2026-04-20T09:00:00Z")
    # The query for client numbers lags behind the payment: unknown is not success.
    control("faults", {"kind": "stale_read", "path": "suiteql", "skip": 1, "lag": 99})
    with pytest.raises(Unreachable, match="without"):
        set_up.payments_received("")
    assert len(set_up.payments_received("").payments) == 1


# -- faults ----------------------------------------------------------------------------------------------------

JOURNAL = Journal(
    journal_no="deposit/US01-INV-2026-00002",
    entity="US",
    kind="deposit_drawn",
    booked_on=date(2026, 3, 31),
    currency="USD",
    memo="advance drawn",
    lines=booking("customer_deposits", "receivables", Decimal("402.84"), "advance drawn", client_no="C-100"),
    recorded_at=datetime(2026, 3, 31, tzinfo=UTC),
)
ACCOUNTS = {"customer_deposits": "105", "receivables": "102"}


def test_a_journal_is_booked_once_under_its_number_with_the_firms_accounts(served: Running, set_up: Connection) -> None:
    erp = connect(served, accounts=ACCOUNTS)
    made = erp.post_journal(JOURNAL)
    assert erp.find_journal(JOURNAL) == made == erp.post_journal(JOURNAL)
    (booked,) = mine(served, "journalEntry")
    told = [(line["account"]["id"], line.get("debit"), line.get("credit")) for line in booked["line"]]
    assert [(account, debit or credit) for account, debit, credit in told] == [("105", 402.84), ("102", 402.84)]
    assert booked["line"][1]["entity"] and "entity" not in booked["line"][0], "a receivable is a client's"
    assert booked["tranDate"] == "2026-03-31" and booked["status"]["id"] == "B"


def test_a_journal_to_an_account_nobody_has_named_is_refused(served: Running, set_up: Connection) -> None:
    with pytest.raises((RemoteRefusal, NeedsSetup), match="customer_deposits"):
        connect(served).post_journal(JOURNAL)


WRITES: list[tuple[str, Any, str, str]] = [
    ("put_client", CLIENT.model_copy(update={"client_no": "C-200"}), "find_client", "customer"),
    ("put_project", PROJECT.model_copy(update={"project_code": "P-200"}), "find_project", "job"),
    ("close_project", PROJECT, "find_closed", "job"),
    ("deactivate_client", CLIENT, "find_inactive_client", "customer"),
    ("put_task", TASK.model_copy(update={"task": TASK.task.model_copy(update={"code": "T2"})}), "find_task", "task"),
    ("put_schedule", SCHEDULE, "find_schedule", "billingSchedule"),
    ("put_time", COST, "find_time", "timeBill"),
    ("post_invoice", INVOICE, "find_invoice", "invoice"),
]


@pytest.mark.parametrize(("verb", "argument", "find", "kind"), WRITES, ids=[w[0] for w in WRITES])
def test_a_lost_answer_is_unknown_and_the_look_up_decides(
    served: Running, control: Callable[..., Any], set_up: Connection, verb: str, argument: Any, find: str, kind: str
) -> None:
    def count() -> dict[str, int]:
        return {c: len(rows) for c, rows in httpx.get(f"{served.url}/_control/state").json().items()}

    before = count()
    control("faults", {"kind": "timeout_before_commit", "method": "PUT"})
    with pytest.raises(OutcomeUnknown):
        getattr(set_up, verb)(argument)
    assert getattr(set_up, find)(argument) is None
    assert count() == before
    control("faults", {"kind": "timeout_after_commit", "method": "PUT"})
    with pytest.raises(OutcomeUnknown):
        getattr(set_up, verb)(argument)
    found = getattr(set_up, find)(argument)
    assert found is not None
    after = count()
    assert getattr(set_up, verb)(argument) == found
    assert count() == after


def problem(code: str, text: str = "said") -> dict[str, Any]:
    return {"type": "t", "title": "x", "status": 0, "o:errorDetails": [{"detail": text, "o:errorCode": code}]}


@pytest.mark.parametrize(
    ("status", "body", "reading", "writing"),
    [
        (401, problem("INVALID_LOGIN"), NeedsSetup, NeedsSetup),
        (403, problem("INSUFFICIENT_PERMISSION"), NeedsSetup, NeedsSetup),
        (429, problem("CONCURRENCY_LIMIT_EXCEEDED"), Throttled, Throttled),
        (400, problem("SSS_REQUEST_LIMIT_EXCEEDED"), Throttled, Throttled),
        (400, problem("IDEMPOTENCY_ERROR"), OutcomeUnknown, OutcomeUnknown),
        (400, problem("INVALID_CONTENT"), RemoteRefusal, RemoteRefusal),
        (400, problem("INVALID_REQUEST"), RemoteRefusal, RemoteRefusal),
        (400, problem("USER_ERROR"), RemoteRefusal, RemoteRefusal),
        (404, problem("NONEXISTENT_ID"), NotFound, NotFound),
        (500, problem("UNEXPECTED_ERROR"), Unreachable, OutcomeUnknown),
        (503, None, Unreachable, OutcomeUnknown),
    ],
)
def test_each_error_row_raises_its_class(
    control: Callable[..., Any],
    erp: Connection,
    status: int,
    body: Any,
    reading: type[Exception],
    writing: type[Exception],
) -> None:
    fault = {"kind": "status", "status": status, "body": body, "times": 3}
    control("faults", {**fault, "path": "/record/v1/"})
    with pytest.raises(writing):
        erp.put_task(TASK)
    httpx.delete(f"{erp.base_url.removesuffix('/services/rest')}/_control/faults")
    control("faults", {**fault, "path": "/suiteql"})
    with pytest.raises(reading):
        erp.payment_terms()


def test_an_answer_without_the_documented_header_is_unknown(control: Callable[..., Any], erp: Connection) -> None:
    control("faults", {"kind": "status", "method": "PUT", "status": 200, "body": {}})
    with pytest.raises(OutcomeUnknown, match="without"):
        erp.put_client(CLIENT)


def test_a_busy_account_throttles_and_an_expired_token_is_renewed(
    served: Running, control: Callable[..., Any], erp: Connection
) -> None:
    served.sandbox.concurrency_limit = 0  # type: ignore[attr-defined]
    with pytest.raises(Throttled):
        erp.put_client(CLIENT)
    served.sandbox.concurrency_limit = 5  # type: ignore[attr-defined]
    made = erp.put_client(CLIENT)
    control("clock", {"now": (datetime.now(UTC) + timedelta(hours=2)).isoformat()})
    assert erp.find_client(CLIENT) == made
    asked = [(r["path"].rsplit("/", 1)[-1], r["status"]) for r in served.sandbox.log[-3:]]
    assert asked == [("eid:C-100", 401), ("token", 200), ("eid:C-100", 200)]


def test_a_wrong_key_needs_setup_and_stays_secret(served: Running, control: Callable[..., Any]) -> None:
    erp = connect(served, "tba")
    secrets = {name: served.sandbox.credentials()[name] for name in TBA} | {"token_secret": "wrong-secret-7"}
    base = erp.base_url
    astray = Connection("erp", erp.connector, base_url=base, auth_kind="tba", secrets=secrets, budget=Unlimited())
    with pytest.raises(NeedsSetup) as refused:
        astray.find_client(CLIENT)
    assert "wrong-secret-7" not in str(refused.value)


# -- bills of vendors ------------------------------------------------------------------------------------------

BOOKED = {"accounts": {"cost_of_services": "108", "vendor_retention": "117"}, "vendors": {"SUBS": "31"}}


def vendor_bill(*lines: tuple[str, str], number: str = "B-7", hold: bool = False) -> PostVendorBill:
    made = tuple(
        VendorBillLine(number=n, account=account, description=f"line {n}", amount=Decimal(amount))  # type: ignore[arg-type]
        for n, (account, amount) in enumerate(lines, start=1)
    )
    return PostVendorBill(
        bill_id=f"SUBS:{number}",
        bill_no=number,
        supplier="SUBS",
        entity="US",
        project_code="P-100",
        currency="USD",
        billed_on=date(2026, 3, 31),
        due_on=date(2026, 4, 30),
        lines=made,
        total=sum((line.amount for line in made), Decimal(0)),
        payment_hold=hold,
        memo="subcontract SC-1",
    )


KEPT = vendor_bill(("cost_of_services", "9000.00"), ("vendor_retention", "-900.00"), ("vendor_retention", "300.00"))
BACK = vendor_bill(("cost_of_services", "-160.00"), ("vendor_retention", "16.00"), number="C-1")


@pytest.fixture
def payables(served: Running, set_up: Connection) -> Connection:
    return connect(served, **BOOKED)


def test_a_bill_is_posted_with_what_is_kept_back_on_its_own_account(served: Running, payables: Connection) -> None:
    assert payables.find_bill(KEPT) is None
    posted = payables.post_bill(KEPT)
    assert (posted.bill_no, posted.total, posted.currency, posted.held) == ("B-7", Decimal("8400.00"), "USD", False)
    assert payables.find_bill(KEPT) == posted == payables.post_bill(KEPT)
    [row] = mine(served, "vendorBill")
    assert (row["tranId"], row["tranDate"], row["dueDate"]) == ("B-7", "2026-03-31", "2026-04-30")
    assert (row["entity"]["id"], row["approvalStatus"]["id"], row["status"]["id"]) == ("31", "2", "A")
    lines = [(line["account"]["id"], line["amount"], line["customer"]["refName"]) for line in row["expense"]]
    project = PROJECT.name
    assert lines == [("108", 9000, project), ("117", -900, project), ("117", 300, project)], "put twice, lined once"


def test_a_bill_on_hold_is_released_once_and_nothing_else_is_touched(served: Running, payables: Connection) -> None:
    held = vendor_bill(("cost_of_services", "1280.00"), hold=True)
    assert payables.post_bill(held).held and payables.find_released(held) is None
    [before] = mine(served, "vendorBill")
    released = payables.release_bill(held)
    assert not released.held and payables.find_released(held) == released == payables.find_bill(held)
    [after] = mine(served, "vendorBill")
    assert {**before, "paymentHold": False, "lastModifiedDate": ""} == {**after, "lastModifiedDate": ""}


def test_a_bill_below_nothing_is_a_vendor_credit(served: Running, payables: Connection) -> None:
    posted = payables.post_bill(BACK)
    assert (posted.ref.object_type, posted.total, posted.held) == ("vendorCredit", Decimal("-144.00"), False)
    assert payables.find_bill(BACK) == posted and mine(served, "vendorBill") == []
    [row] = mine(served, "vendorCredit")
    assert [line["amount"] for line in row["expense"]] == [160, -16] and row["total"] == 144


def test_a_vendor_nobody_knows_and_an_account_nobody_has_set_are_named(served: Running, payables: Connection) -> None:
    with pytest.raises(RemoteRefusal, match="entity") as refused:
        connect(served, **{**BOOKED, "vendors": {}}).post_bill(KEPT)
    assert refused.value.remote_code == "INVALID_CONTENT"
    with pytest.raises(NeedsSetup, match="accounts has no 'vendor_retention'"):
        connect(served, **{**BOOKED, "accounts": {"cost_of_services": "108"}}).post_bill(KEPT)


def test_a_bill_that_comes_to_another_total_there_is_a_refusal(served: Running, payables: Connection) -> None:
    astray = KEPT.model_copy(update={"total": Decimal("8400.01")})
    with pytest.raises(RemoteRefusal, match=r"made bill B-7 of SUBS 8400.00 USD of 8400.01 USD"):
        payables.post_bill(astray)


def test_a_bill_of_a_closed_period_is_refused_and_its_state_is_told(
    served: Running, payables: Connection, control: Callable[..., Any]
) -> None:
    waits = connect(served, **BOOKED, bill_approval="1")
    assert waits.post_bill(KEPT).state == "pending_approval"
    control("seed", {"accountingPeriod": [{"id": "203", "closed": True}]})
    other = vendor_bill(("cost_of_services", "80.00"), number="B-8")
    with pytest.raises(RemoteRefusal, match="Mar 2026 is closed"):
        payables.post_bill(other)


def test_a_bill_whose_answer_is_lost_is_there_to_be_found(
    served: Running, payables: Connection, control: Callable[..., Any]
) -> None:
    control("faults", {"kind": "timeout_after_commit", "method": "PUT"})
    with pytest.raises(OutcomeUnknown):
        payables.post_bill(KEPT)
    found = payables.find_bill(KEPT)
    assert found is not None and found.total == KEPT.total and len(mine(served, "vendorBill")) == 1
