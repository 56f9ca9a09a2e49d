"""The Dynamics 365 Finance connector over HTTP against its sandbox: what the suite cannot know of this vendor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from isthmus.app.conformance.ledger import Writer
from isthmus.connectors.dynamics_finance import connector as DynamicsFinance
from isthmus.domain.errors import (
    BadInput,
    LostRace,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    Throttled,
    Underway,
)
from isthmus.domain.journals import Journal, booking
from isthmus.domain.objects import Address, Client, Project, Task
from isthmus.kit.executor import Connection
from isthmus.kit.limits import Unlimited
from isthmus.ports.messages import PostInvoice, PostLine, ScheduleIn, TaskIn, TimeCost
from isthmus.sandbox.base import Fault
from isthmus.sandbox.dynamics_finance import FinanceSandbox
from isthmus.sandbox.server import Running, running
from isthmus.store.records import EffectState

SETTINGS: dict[str, Any] = {
    "companies": {"US": "usmf", "UK": "gbsi"},
    "customer_group": "30",
    "project_group": "TM",
    "account": "401100",
    "accounts": {"MS": "401200"},
    "tax_group": "EXT",
    "tax_item_group": "EXT",
    "post_service": "IsthmusServices/FreeTextInvoice/post",
    "hour_journal": "HOUR",
    "hour_category": "CONSULT",
    "resources": {"amara.osei@consulting.example": "000011"},
    "forecast_model": "CURRENT",
}
CLIENT = Client(
    client_no="C-100",
    legal_name="Meridian Health, Inc.",
    country="US",
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
    dimensions={"practice": "DATA", "cost_center": "CC10"},
)
TASK = TaskIn(project_code="P-100", task=Task(code="T1", name="Discovery", line_uid="L1"))
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
CREDIT = INVOICE.model_copy(
    update={
        "number": "CM-2026-0001",
        "original_number": "INV-2026-0001",
        "lines": INVOICE.lines[:1],
        "net": Decimal("140.01"),
        "tax": Decimal("12.43"),
        "total": Decimal("152.44"),
    }
)
Control = Callable[..., Any]


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("dynamics_finance") as boxes:
        yield boxes["dynamics_finance"]


@pytest.fixture
def box(served: Running) -> FinanceSandbox:
    made = served.sandbox
    assert isinstance(made, FinanceSandbox)
    made.reset()
    made.pressure, made.posts, made.posting.keeps_marks = 0, "at_once", True
    made.books.manual["InvoiceId"], made.service.page_size = True, 10_000
    return made


@pytest.fixture
def control(served: Running, box: FinanceSandbox) -> Control:
    def post(path: str, body: Any = None) -> Any:
        return httpx.post(f"{served.url}/_control/{path}", json=body).raise_for_status().json()

    return post


def connect(served: Running, kind: str = "client_credentials", **settings: Any) -> Connection:
    known = served.sandbox.credentials()
    secrets = known | {"token_url": f"{served.url}/{known['tenant']}/oauth2/v2.0/token"}
    made = DynamicsFinance(SETTINGS | settings)
    return Connection("erp", made, base_url=served.url, auth_kind=kind, secrets=secrets, budget=Unlimited())


@pytest.fixture
def erp(served: Running, box: FinanceSandbox) -> Connection:
    return connect(served)


@pytest.fixture
def set_up(erp: Connection) -> Connection:
    """Client, project and task are there."""
    erp.put_client(CLIENT)
    erp.put_project(PROJECT)
    erp.put_task(TASK)
    return erp


def kept(box: FinanceSandbox, collection: str) -> list[dict[str, Any]]:
    """Rows as the sandbox tells them over HTTP, their numbers read to the digit."""
    told: list[dict[str, Any]] = json.loads(json.dumps(box.records.snapshot().get(collection, [])), parse_float=Decimal)
    return told


# -- companies -----------------------------------------------------------------------------------------------------


def test_a_client_is_a_customer_in_every_company(set_up: Connection, box: FinanceSandbox) -> None:
    rows = kept(box, "CustomersV3")
    assert [(row["dataAreaId"], row["CustomerAccount"]) for row in rows] == [("gbsi", "C-100"), ("usmf", "C-100")]
    assert rows[0]["AddressCountryRegionId"] == "USA" and rows[0]["PaymentTerms"] == "NET30"
    [gone] = [row for row in box.ledger.current("CustomersV3") if row["dataAreaId"] == "gbsi"]
    box.ledger.delete("CustomersV3", str(gone["_rec_id"]))
    assert set_up.find_client(CLIENT) is None, "one company cannot invoice it"


def test_a_hold_of_credit_control_stays_and_ours_is_lifted(set_up: Connection, box: FinanceSandbox) -> None:
    box.seed("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "C-100", "OnHoldStatus": "Invoice"})
    set_up.put_client(CLIENT)
    assert [row["OnHoldStatus"] for row in kept(box, "CustomersV3")] == ["No", "Invoice"]
    assert set_up.find_client(CLIENT) is not None
    set_up.deactivate_client(CLIENT)
    assert set_up.find_client(CLIENT) is None and set_up.find_inactive_client(CLIENT) is not None
    set_up.put_client(CLIENT)
    assert [row["OnHoldStatus"] for row in kept(box, "CustomersV3")] == ["No", "No"]


def test_a_project_is_found_in_its_company_and_refused_in_two(set_up: Connection, box: FinanceSandbox) -> None:
    uk = PROJECT.model_copy(update={"project_code": "P-200", "entity": "UK", "contract_no": "K-2"})
    set_up.put_project(uk)
    set_up.put_task(TASK.model_copy(update={"project_code": "P-200"}))
    assert kept(box, "ProjectTasks")[-1]["dataAreaId"] == "gbsi"
    facts = set_up.read_project("P-100")
    assert (facts.client_no, facts.currency, facts.active, facts.tasks) == ("C-100", "USD", True, ("T1",))
    assert kept(box, "ProjectsV2")[0]["DimensionDisplayValue"] == "DATA-CC10"
    set_up.put_project(PROJECT.model_copy(update={"entity": "UK"}))
    with pytest.raises(RemoteRefusal, match="has 2 records of ProjectsV2 P-100"):
        set_up.read_project("P-100")


def test_a_project_that_is_not_there_is_not_found(erp: Connection) -> None:
    with pytest.raises(NotFound, match="P-100"):
        erp.read_project("P-100")
    with pytest.raises(NotFound):
        erp.put_task(TASK)


def test_a_star_in_a_key_is_a_star(set_up: Connection) -> None:
    assert set_up.find_client(CLIENT.model_copy(update={"client_no": "C-1*"})) is None
    with pytest.raises(NotFound):
        set_up.read_project("P-*")


def test_a_misspelt_collection_is_never_an_absent_record(served: Running, set_up: Connection) -> None:
    astray = connect(served, entities={"hour_lines": "HourLines"})
    with pytest.raises(NotFound, match="No HTTP resource"):
        astray.find_time(COST)


@pytest.mark.parametrize("missing", ["companies", "customer_group", "project_group", "account", "hour_journal"])
def test_a_setting_without_default_is_named(served: Running, set_up: Connection, missing: str) -> None:
    without = connect(served, **{missing: {} if missing == "companies" else "", "accounts": {}})
    with pytest.raises(NeedsSetup, match=missing):
        without.put_client(CLIENT)
        without.put_project(PROJECT)
        without.put_time(COST)
        without.post_invoice(INVOICE)


def test_a_dimension_with_the_delimiter_in_it_is_refused(served: Running, set_up: Connection) -> None:
    dashed = PROJECT.model_copy(update={"dimensions": {"practice": "DATA", "cost_center": "CC-10"}})
    with pytest.raises(BadInput, match="'-' between them"):
        set_up.put_project(dashed)
    assert connect(served, dimension_delimiter="|").put_project(dashed)


def test_unknown_states_raise(set_up: Connection, box: FinanceSandbox) -> None:
    [customer, *_] = box.ledger.current("CustomersV3")
    box.ledger.put("CustomersV3", str(customer["_rec_id"]), {**customer, "OnHoldStatus": "Sometimes"})
    with pytest.raises(BadInput, match="unknown state 'Sometimes'"):
        set_up.find_client(CLIENT)
    [project] = box.ledger.current("ProjectsV2")
    box.ledger.put("ProjectsV2", str(project["_rec_id"]), {**project, "ProjectStage": "Stage9"})
    with pytest.raises(BadInput, match="unknown state 'Stage9'"):
        set_up.find_project(PROJECT)


def test_somebody_was_faster(set_up: Connection, control: Control, box: FinanceSandbox) -> None:
    # The read is answered, then the record changes before our write arrives.
    control("faults", {"kind": "latency", "method": "PATCH", "seconds": 0.0})
    real = box.books.update

    def overtaken(entity: Any, record: Any, body: Any, if_match: str) -> Any:
        box.books.update = real  # type: ignore[method-assign]
        changed = real(entity, record, {"NameAlias": "theirs"}, "")
        return real(entity, changed, body, if_match)

    box.books.update = overtaken  # type: ignore[method-assign]
    with pytest.raises((LostRace, OutcomeUnknown), match="update conflict"):
        set_up.put_client(CLIENT.model_copy(update={"legal_name": "Other, Inc."}))
    assert set_up.put_client(CLIENT.model_copy(update={"legal_name": "Other, Inc."}))
    assert {row["OrganizationName"] for row in kept(box, "CustomersV3")} == {"Other, Inc."}


# -- hours ---------------------------------------------------------------------------------------------------------


def test_a_correction_reverses_what_it_replaces(set_up: Connection, box: FinanceSandbox) -> None:
    made = set_up.put_time(COST)
    assert set_up.find_time(COST) == made == set_up.put_time(COST)
    second = COST.model_copy(update={"revision": 2, "hours": Decimal("6.5"), "bill_rate": Decimal("260")})
    assert set_up.find_time(second) is None
    assert set_up.put_time(second).version == "2"
    assert set_up.put_time(COST).version == "2", "a revision that was held up leaves its correction alone"
    told = {row["Description"]: (row["Hours"], row["SalesPrice"]) for row in kept(box, "ProjectHourJournalLines")}
    assert told == {
        "kantata:123#1 Workshop": (Decimal("7.3333"), 250),
        "kantata:123#2 Workshop": (Decimal("6.5"), 260),
        "kantata:123#2 reverses 1": (Decimal("-7.3333"), 250),
    }
    assert set_up.find_time(COST).version == set_up.find_time(second).version == "2"


def test_a_posted_journal_is_left_and_another_one_opened(set_up: Connection, box: FinanceSandbox) -> None:
    set_up.put_time(COST)
    [journal] = kept(box, "ProjectHourJournals")
    box.posting.post_hours("usmf", journal["JournalBatchNumber"])
    set_up.put_time(COST.model_copy(update={"revision": 2, "hours": Decimal("1")}))
    journals = [row["JournalId"] for row in kept(box, "ProjectHourJournalLines")]
    assert journals == ["PJ000001", "PJ000002", "PJ000002"]
    assert sum(row["Hours"] for row in kept(box, "ProjectHourJournalLines")) == 1


def test_entries_whose_keys_begin_alike_are_told_apart(set_up: Connection) -> None:
    set_up.put_time(COST)
    assert set_up.find_time(COST.model_copy(update={"entry_key": "kantata:12"})) is None
    assert set_up.find_time(COST.model_copy(update={"entry_key": "kantata:*"})) is None


# -- receivable ----------------------------------------------------------------------------------------------------


def test_an_invoice_is_one_change_set_and_one_posting(set_up: Connection, served: Running, box: FinanceSandbox) -> None:
    served.sandbox.log.clear()
    posted = set_up.post_invoice(INVOICE)
    writes = [entry["path"].rsplit("/", 1)[-1] for entry in served.sandbox.log if entry["method"] == "POST"]
    assert writes == ["$batch", "post"]
    assert (posted.total, posted.open, posted.number) == (INVOICE.total, INVOICE.total, INVOICE.number)
    [header] = kept(box, "FreeTextInvoiceHeaders")
    assert (header["CustomerRequisition"], header["TermsOfPayment"], header["DueDate"]) == (
        "PO-7",
        "NET30",
        "2026-04-30T12:00:00Z",
    )
    accounts = [row["MainAccountDisplayValue"] for row in kept(box, "FreeTextInvoiceLines")]
    assert accounts == ["401100", "401200"]
    assert set_up.find_invoice(INVOICE) == posted == set_up.post_invoice(INVOICE)
    assert len(kept(box, "FreeTextInvoiceHeaders")) == len(kept(box, "CustomerTransactions")) == 1


@pytest.mark.requirement("SYS-04")
def test_a_project_and_its_invoice_are_in_the_company_of_their_legal_entity(
    erp: Connection, box: FinanceSandbox
) -> None:
    erp.put_client(CLIENT)
    erp.put_project(PROJECT.model_copy(update={"entity": "UK"}))
    uk = INVOICE.model_copy(update={"entity": "UK"})
    assert erp.post_invoice(uk) == erp.find_invoice(uk)
    assert erp.find_invoice(INVOICE) is None and erp.find_project(PROJECT) is None
    for collection in ("ProjectContractHeaders", "ProjectsV2", "FreeTextInvoiceHeaders", "FreeTextInvoiceLines"):
        assert {row["dataAreaId"] for row in kept(box, collection)} == {"gbsi"}, collection
    assert [row["dataAreaId"] for row in kept(box, "CustomerTransactions")] == ["gbsi"]


def test_an_invoice_that_was_made_and_not_posted_is_found_and_finished(
    set_up: Connection, control: Control, box: FinanceSandbox
) -> None:
    control("faults", {"kind": "timeout_after_commit", "method": "POST", "path": r"\$batch"})
    with pytest.raises(OutcomeUnknown):
        set_up.post_invoice(INVOICE)
    [made] = kept(box, "FreeTextInvoiceHeaders")
    assert made["IsPosted"] == "No" and set_up.find_invoice(INVOICE) is None, "no receivable yet"
    posted = set_up.post_invoice(INVOICE)
    assert posted.ref.external_id == str(made["InvoiceIdentifier"])
    assert len(kept(box, "FreeTextInvoiceHeaders")) == len(kept(box, "CustomerTransactions")) == 1


def test_a_posting_whose_answer_was_lost_is_found(set_up: Connection, control: Control, box: FinanceSandbox) -> None:
    control("faults", {"kind": "timeout_after_commit", "method": "POST", "path": "/api/services/"})
    with pytest.raises(OutcomeUnknown):
        set_up.post_invoice(INVOICE)
    assert set_up.find_invoice(INVOICE).open == INVOICE.total
    assert len(kept(box, "CustomerTransactions")) == 1


def test_a_request_carried_out_twice_leaves_no_second_invoice(
    set_up: Connection, control: Control, box: FinanceSandbox
) -> None:
    control("faults", {"kind": "duplicate", "method": "POST", "path": r"\$batch"})
    posted = set_up.post_invoice(INVOICE)
    [header] = kept(box, "FreeTextInvoiceHeaders")
    assert posted.ref.external_id == str(header["InvoiceIdentifier"])
    assert len(kept(box, "FreeTextInvoiceLines")) == 2


def test_an_invoice_posted_twice_by_people_is_a_refusal(set_up: Connection, box: FinanceSandbox) -> None:
    set_up.post_invoice(INVOICE)
    [header] = box.ledger.current("FreeTextInvoiceHeaders")
    box.ledger.put("FreeTextInvoiceHeaders", "1", {**header, "InvoiceIdentifier": 1})
    with pytest.raises(RemoteRefusal, match="posted INV-2026-0001 2 times") as refused:
        set_up.find_invoice(INVOICE)
    assert refused.value.remote_code == "DUPLICATE"


def test_what_waits_for_the_batch_job_is_asked_for_by_its_job(
    served: Running, set_up: Connection, box: FinanceSandbox
) -> None:
    waiting = connect(served, post_service="")
    with pytest.raises(Underway, match="waits to be posted") as underway:
        waiting.post_invoice(INVOICE)
    [header] = kept(box, "FreeTextInvoiceHeaders")
    assert underway.value.job == f"usmf:{header['InvoiceIdentifier']}:{INVOICE.total} {INVOICE.currency}"
    assert waiting.find_invoice(INVOICE) is None
    with pytest.raises(Underway):
        waiting.post_invoice(INVOICE)  # nothing is written this time: it is there
    with pytest.raises(Underway):
        waiting.poll_invoice(underway.value.job)
    box.run_posting_job()
    assert waiting.poll_invoice(underway.value.job) == waiting.find_invoice(INVOICE) == waiting.post_invoice(INVOICE)
    assert len(kept(box, "FreeTextInvoiceHeaders")) == 1


def test_the_ledger_polls_the_batch_job_and_sends_once(
    served: Running, set_up: Connection, box: FinanceSandbox
) -> None:
    """Create, post, poll: also when the answer to the creation is lost and the job takes its time."""
    waiting, asked = connect(served, post_service=""), []
    good = waiting.poll_invoice

    def poll(job: str) -> Any:
        asked.append(job)
        if len(asked) == 3:
            box.run_posting_job()
        return good(job)

    waiting.poll_invoice = poll  # type: ignore[method-assign]
    box.faults.append(Fault("timeout_after_commit", method="POST", path=r"\$batch"))
    posted, effect = Writer(waiting).write("Erp.post_invoice", (INVOICE,))
    assert (posted.number, posted.total) == (INVOICE.number, INVOICE.total)
    assert len(asked) == 3 and effect.state is EffectState.FOUND
    assert len(kept(box, "FreeTextInvoiceHeaders")) == len(kept(box, "CustomerTransactions")) == 1


def test_an_invoice_that_people_have_deleted_while_it_waited_is_a_refusal(
    served: Running, set_up: Connection, box: FinanceSandbox
) -> None:
    waiting = connect(served, post_service="")
    with pytest.raises(Underway) as underway:
        waiting.post_invoice(INVOICE)
    [header] = box.ledger.current("FreeTextInvoiceHeaders")
    box.records.delete("FreeTextInvoiceHeaders", str(header["_rec_id"]))
    with pytest.raises(RemoteRefusal, match="is gone"):
        waiting.poll_invoice(underway.value.job)


def test_lines_that_are_not_ours_are_refused_before_posting(set_up: Connection, box: FinanceSandbox) -> None:
    box.posts = "queued"
    with pytest.raises(OutcomeUnknown):
        set_up.post_invoice(INVOICE)
    box.posts = "at_once"
    [line, _] = box.ledger.current("FreeTextInvoiceLines")
    box.ledger.put("FreeTextInvoiceLines", str(line["_rec_id"]), {**line, "TransactionCurrencyAmount": Decimal("1.00")})
    with pytest.raises(RemoteRefusal, match="it is not posted") as refused:
        set_up.post_invoice(INVOICE)
    assert refused.value.remote_code == "TOTAL_DIFFERS" and kept(box, "CustomerTransactions") == []


def test_a_number_of_its_own_is_refused(set_up: Connection, box: FinanceSandbox) -> None:
    box.books.manual["InvoiceId"] = False
    with pytest.raises(RemoteRefusal, match="its own number FTI00000001") as refused:
        set_up.post_invoice(INVOICE)
    assert refused.value.remote_code == "NUMBER_DIFFERS"


def test_a_closed_period_is_a_refusal_and_can_be_tried_again(set_up: Connection, box: FinanceSandbox) -> None:
    box.posting.closed.add("2026-03")
    with pytest.raises(RemoteRefusal, match="is not open"):
        set_up.post_invoice(INVOICE)
    assert set_up.find_invoice(INVOICE) is None
    box.posting.closed.clear()
    assert set_up.post_invoice(INVOICE).total == INVOICE.total
    assert len(kept(box, "FreeTextInvoiceHeaders")) == 1


def test_a_line_that_is_refused_leaves_no_header(served: Running, set_up: Connection, box: FinanceSandbox) -> None:
    with pytest.raises(RemoteRefusal, match=r"'999999' in field 'Main account' is not found"):
        connect(served, account="999999").post_invoice(INVOICE)
    assert kept(box, "FreeTextInvoiceHeaders") == kept(box, "FreeTextInvoiceLines") == []


def test_an_unknown_posting_state_raises(set_up: Connection, box: FinanceSandbox) -> None:
    set_up.post_invoice(INVOICE)
    [header] = box.ledger.current("FreeTextInvoiceHeaders")
    box.ledger.put("FreeTextInvoiceHeaders", str(header["_rec_id"]), {**header, "IsPosted": "Perhaps"})
    for verb in (set_up.find_invoice, set_up.post_invoice):
        with pytest.raises(BadInput, match="unknown state 'Perhaps'"):
            verb(INVOICE)


def test_a_credit_memo_is_negative_there_and_positive_here(set_up: Connection, box: FinanceSandbox) -> None:
    with pytest.raises(RemoteRefusal, match="no posted invoice INV-2026-0001") as refused:
        set_up.post_credit(CREDIT)
    assert refused.value.remote_code == "ORIGINAL"
    set_up.post_invoice(INVOICE)
    posted = set_up.post_credit(CREDIT)
    assert (posted.total, posted.number) == (Decimal("152.44"), "CM-2026-0001")
    assert set_up.find_credit(CREDIT) == posted == set_up.post_credit(CREDIT)
    header = kept(box, "FreeTextInvoiceHeaders")[-1]
    assert (header["CorrectedInvoiceId"], header["IsCorrection"]) == ("INV-2026-0001", "Yes")
    assert [row["AmountCur"] for row in kept(box, "CustomerTransactions")] == [Decimal("261.30"), Decimal("-152.44")]


# -- schedule ------------------------------------------------------------------------------------------------------


JOURNAL = Journal(
    journal_no="deposit/US-INV-2026-0001",
    entity="US",
    kind="deposit_drawn",
    booked_on=date(2026, 3, 31),
    currency="USD",
    memo="advance drawn",
    lines=booking("customer_deposits", "receivables", Decimal("402.84"), "advance drawn", client_no="C-100"),
    recorded_at=datetime(2026, 3, 31, tzinfo=UTC),
)
LEDGER = {
    "general_journal": "GenJrn",
    "journal_service": "IsthmusServices/LedgerJournal/post",
    "ledger_accounts": {"customer_deposits": "130200"},
}


def test_a_journal_is_booked_once_and_a_debt_is_the_customers(
    served: Running, set_up: Connection, box: FinanceSandbox
) -> None:
    erp = connect(served, **LEDGER)
    made = erp.post_journal(JOURNAL)
    assert erp.find_journal(JOURNAL) == made == erp.post_journal(JOURNAL)
    [header] = kept(box, "LedgerJournalHeaders")
    assert made.external_id == f"usmf:{header['JournalBatchNumber']}"
    assert (header["IntegrationKey"], header["IsPosted"], header["JournalName"]) == (
        JOURNAL.journal_no,
        "Yes",
        "GenJrn",
    )
    sides = [
        (
            line["AccountType"],
            line["AccountDisplayValue"],
            line["DebitAmount"],
            line["CreditAmount"],
            line["CurrencyCode"],
        )
        for line in kept(box, "LedgerJournalLines")
    ]
    whole = JOURNAL.total
    assert sides == [("Ledger", "130200", whole, 0, "USD"), ("Cust", "C-100", 0, whole, "USD")]
    assert {line["TransDate"] for line in kept(box, "LedgerJournalLines")} == {"2026-03-31T12:00:00Z"}
    [owed] = kept(box, "CustomerTransactions")
    assert (owed["AccountNum"], owed["AmountCur"]) == ("C-100", -whole)


@pytest.mark.parametrize("lost", ["LedgerJournalHeaders", r"\$batch", "/api/services/"])
def test_a_journal_that_was_begun_is_finished_and_never_begun_twice(
    served: Running, set_up: Connection, control: Control, box: FinanceSandbox, lost: str
) -> None:
    erp = connect(served, **LEDGER)
    control("faults", {"kind": "timeout_after_commit", "method": "POST", "path": lost})
    with pytest.raises(OutcomeUnknown):
        erp.post_journal(JOURNAL)
    assert (erp.find_journal(JOURNAL) is None) is (lost != "/api/services/")
    erp.post_journal(JOURNAL)
    assert len(kept(box, "LedgerJournalHeaders")) == 1 and len(kept(box, "LedgerJournalLines")) == 2


def test_a_header_that_was_made_twice_goes(
    served: Running, set_up: Connection, control: Control, box: FinanceSandbox
) -> None:
    control("faults", {"kind": "duplicate", "method": "POST", "path": "LedgerJournalHeaders"})
    connect(served, **LEDGER).post_journal(JOURNAL)
    assert len(kept(box, "LedgerJournalHeaders")) == 1 and len(kept(box, "LedgerJournalLines")) == 2


def test_a_journal_that_waits_for_the_batch_job_is_asked_for_by_its_job(
    served: Running, set_up: Connection, box: FinanceSandbox
) -> None:
    waiting = connect(served, **LEDGER | {"journal_service": ""})
    with pytest.raises(Underway, match="waits to be posted") as underway:
        waiting.post_journal(JOURNAL)
    assert waiting.find_journal(JOURNAL) is None
    assert box.run_posting_job() == 1
    assert waiting.poll_journal(underway.value.job) == waiting.find_journal(JOURNAL)
    for row in box.ledger.current("LedgerJournalHeaders"):
        box.ledger.delete("LedgerJournalHeaders", str(row["_rec_id"]))
    with pytest.raises(RemoteRefusal, match="is gone"):
        waiting.poll_journal(underway.value.job)


def test_a_journal_that_is_not_ours_any_more_is_not_posted(
    served: Running, set_up: Connection, box: FinanceSandbox
) -> None:
    waiting = connect(served, **LEDGER | {"journal_service": ""})
    with pytest.raises(Underway):
        waiting.post_journal(JOURNAL)
    [*_, last] = box.ledger.current("LedgerJournalLines")
    box.ledger.delete("LedgerJournalLines", str(last["_rec_id"]))
    with pytest.raises(RemoteRefusal, match=r"with 1 sides of 402\.84, not 2 of 402\.84; it is not posted"):
        connect(served, **LEDGER).post_journal(JOURNAL)
    with pytest.raises(NeedsSetup, match="accrued_cost"):
        other = booking("accrued_cost", "receivables", Decimal(1), "", client_no="C-100")
        connect(served, **LEDGER).post_journal(JOURNAL.model_copy(update={"journal_no": "J-2", "lines": other}))


def test_milestones_are_replaced_whole(set_up: Connection, box: FinanceSandbox) -> None:
    three = tuple((f"M{n}", date(2026, n, 1), Decimal(n)) for n in (4, 5, 6))
    schedule = ScheduleIn(project_code="P-100", currency="USD", milestones=three)
    set_up.put_schedule(schedule)
    set_up.put_schedule(schedule.model_copy(update={"milestones": three[1:]}))
    told = [(row["TransactionID"], row["SalesPrice"]) for row in kept(box, "ProjectOnAccountForecasts")]
    assert told == [("P-100:1", 5), ("P-100:2", 6)]


# -- payments ------------------------------------------------------------------------------------------------------


def pay(control: Control, amount: float, *numbers: str, posted: bool = True, company: str = "usmf") -> str:
    share = round(amount / max(len(numbers), 1), 2)
    body = {"dataAreaId": company, "account": "C-100", "amount": amount, "currency": "USD", "date": "2026-04-20"}
    body |= {"settles": [{"invoice": number, "amount": share} for number in numbers], "posted": posted}
    [made] = control("seed", {"CustomerPayment": [body | {"reference": "WIRE-7"}]})["CustomerPayment"]
    return str(made["JournalBatchNumber"])


def test_payments_come_with_what_they_settle(set_up: Connection, control: Control, box: FinanceSandbox) -> None:
    assert set_up.payments_received("").payments == ()
    set_up.post_invoice(INVOICE)
    set_up.post_credit(CREDIT)
    pay(control, 200.10, "INV-2026-0001", "CM-2026-0001")
    [payment] = set_up.payments_received("").payments
    assert payment.key == "dynamics_finance:usmf:CP000001:1"
    assert (payment.client_no, payment.amount, payment.reference) == ("C-100", Decimal("200.10"), "WIRE-7")
    assert payment.applies == {"INV-2026-0001": Decimal("100.05"), "CM-2026-0001": Decimal("100.05")}
    assert set_up.find_invoice(INVOICE).open == Decimal("161.25")


def test_a_journal_posted_long_after_later_ones_is_still_reported(
    set_up: Connection, control: Control, box: FinanceSandbox
) -> None:
    late = pay(control, 1, posted=False)
    pay(control, 2)
    page = set_up.payments_received("")
    assert [payment.amount for payment in page.payments] == [2]
    for _ in range(3):  # readings that bring nothing new
        page = set_up.payments_received(page.watermark)
    pay(control, 3, company="gbsi")
    box.posting.post_journal("usmf", late)
    page = set_up.payments_received(page.watermark)
    assert {payment.amount for payment in page.payments} == {Decimal("1.00"), Decimal("3.00")}
    assert set_up.payments_received(page.watermark).payments[0].amount == Decimal("3.00"), "the overlap, once more"
    page = set_up.payments_received(set_up.payments_received(page.watermark).watermark)
    assert page.payments == ()


def test_a_number_that_shows_late_is_not_passed_over(set_up: Connection, control: Control, box: FinanceSandbox) -> None:
    first, _ = pay(control, 1), pay(control, 2)
    [journal] = [r for r in box.ledger.current("CustomerPaymentJournalHeaders") if r["JournalBatchNumber"] == first]
    box.ledger.delete("CustomerPaymentJournalHeaders", str(journal["_rec_id"]))  # its transaction is not committed yet
    page = set_up.payments_received("")
    assert [payment.amount for payment in page.payments] == [2]
    box.ledger.put("CustomerPaymentJournalHeaders", str(journal["_rec_id"]), journal)
    page = set_up.payments_received(page.watermark)
    assert {payment.amount for payment in page.payments} == {1, 2}


def test_marks_that_are_gone_after_posting_leave_the_line_s_own_field(
    set_up: Connection, control: Control, box: FinanceSandbox
) -> None:
    box.posting.keeps_marks = False
    set_up.post_invoice(INVOICE)
    pay(control, 10, "INV-2026-0001")
    pay(control, 20, "INV-2026-0001", "INV-2026-0001x")
    one, two = set_up.payments_received("").payments
    assert one.applies == {"INV-2026-0001": Decimal("10.00")} and two.applies == {}


def test_many_journals_are_read_over_many_pages(set_up: Connection, control: Control, box: FinanceSandbox) -> None:
    for n in range(30):
        pay(control, n + 1)
    box.service.page_size = 7
    found = [payment.amount for payment in set_up.payments_received("").payments]
    assert found == [Decimal(n + 1) for n in range(30)]


# -- limits and sign-in --------------------------------------------------------------------------------------------


def test_a_busy_environment_says_how_long_to_wait(erp: Connection, box: FinanceSandbox) -> None:
    box.pressure = 3
    with pytest.raises(Throttled, match="high resource utilization") as busy:
        erp.payment_terms()
    assert busy.value.after_seconds == 2


def test_terms_are_those_of_every_company(served: Running, erp: Connection, box: FinanceSandbox) -> None:
    box.seed("PaymentTerms", {"dataAreaId": "usmf", "Name": "NET90"})
    assert erp.payment_terms() == ("NET15", "NET30", "NET45", "NET60")
    assert connect(served, companies={"US": "usmf"}, terms={"N90": "NET90"}).payment_terms()[-1] == "N90"


@pytest.mark.parametrize("kind", ["client_credentials", "client_assertion"])
def test_a_token_is_renewed_and_a_wrong_one_needs_setup(served: Running, box: FinanceSandbox, kind: str) -> None:
    erp = connect(served, kind)
    assert erp.payment_terms()
    box.login.forget()
    assert erp.payment_terms()
    box.login.mapped = False
    with pytest.raises(NeedsSetup):
        erp.payment_terms()
    box.login.mapped = True
