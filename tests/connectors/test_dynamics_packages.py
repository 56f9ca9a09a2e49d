"""Journals of many lines in Dynamics 365 Finance: given in as a data package, once, posted when all of it is in."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from xml.etree import ElementTree as Xml

import httpx
import pytest

from isthmus.app.conformance.ledger import Writer
from isthmus.connectors.dynamics_finance import connector as DynamicsFinance
from isthmus.domain.errors import (
    BadInput,
    LostRace,
    NeedsDecision,
    NeedsSetup,
    OutcomeUnknown,
    RemoteRefusal,
    Underway,
    Unreachable,
)
from isthmus.domain.journals import Journal, JournalLine, booking
from isthmus.kit.dmf import Package, zipped
from isthmus.kit.executor import Connection
from isthmus.kit.journals import vouchers
from isthmus.kit.limits import Unlimited
from isthmus.sandbox.base import Fault
from isthmus.sandbox.dynamics_finance import FinanceSandbox
from isthmus.sandbox.server import Running, running
from isthmus.store.records import EffectState

SETTINGS: dict[str, Any] = {
    "companies": {"US": "usmf", "UK": "gbsi"},
    "general_journal": "GenJrn",
    "journal_service": "IsthmusServices/LedgerJournal/post",
    "ledger_accounts": {"accrued_revenue": "130200", "revenue": "401100"},
    "package_lines": "10",
}
ACTIONS = r"DataEntities\."
IMPORT = f"{ACTIONS}ImportFromPackage"


def accrual(contracts: int, number: str = "accrual/US/2026-03/USD", entity: str = "US") -> Journal:
    """An accrual with two sides for each contract, of 1.10, 2.10 …"""
    lines: list[JournalLine] = []
    for n in range(1, contracts + 1):
        lines += booking("accrued_revenue", "revenue", Decimal(n) + Decimal("0.10"), f"Über {n}", contract_no=f"K-{n}")
    return Journal(
        journal_no=number,
        entity=entity,
        kind="accrual",
        booked_on=date(2026, 3, 31),
        currency="USD",
        memo="accruals of US 2026-03",
        lines=tuple(lines),
        recorded_at=datetime(2026, 3, 31, tzinfo=UTC),
    )


JOURNAL = accrual(8)


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running("dynamics_finance") as boxes:
        yield boxes["dynamics_finance"]


@pytest.fixture
def box(served: Running) -> FinanceSandbox:
    made = served.sandbox
    assert isinstance(made, FinanceSandbox)
    made.reset()
    made.posts, made.packages.pending_polls, made.packages.shows_after = "at_once", 1, 0
    made.packages.runs_after = 1000
    return made


def connect(
    served: Running, cassette: Path | None = None, transport: httpx.BaseTransport | None = None, **settings: Any
) -> Connection:
    known = served.sandbox.credentials()
    secrets = known | {"token_url": f"{served.url}/{known['tenant']}/oauth2/v2.0/token"}
    return Connection(
        "erp",
        DynamicsFinance(SETTINGS | settings),
        base_url=served.url,
        auth_kind="client_credentials",
        secrets=secrets,
        budget=Unlimited(),
        cassette=cassette,
        transport=transport,
    )


@pytest.fixture
def erp(served: Running, box: FinanceSandbox) -> Connection:
    return connect(served)


def underway(send: Callable[[], Any]) -> str:
    """The job under which what was sent is asked for."""
    with pytest.raises(Underway) as found:
        send()
    return found.value.job


def polled(erp: Connection, job: str) -> Any:
    """What comes of a job in the end."""
    for _ in range(50):
        try:
            return erp.poll_journal(job)
        except Underway as still:
            job = still.job
    raise AssertionError(f"{job} does not end")


def acted(box: FinanceSandbox) -> list[str]:
    """The writes that a request log shows, in their order; what is only asked left out."""
    names = [(entry["method"], entry["path"].rsplit("/", 1)[-1].split("DataEntities.")[-1]) for entry in box.log]
    asking = ("token", "GetExecutionSummaryStatus", "GetExecutionErrors", "GetAzureWriteUrl")
    return [name for method, name in names if method != "GET" and name not in asking]


def booked(box: FinanceSandbox) -> list[tuple[str, Decimal, Decimal]]:
    """Lines of posted journals: account, debit, credit."""
    posted = {row["JournalBatchNumber"] for row in box.ledger.current("LedgerJournalHeaders", IsPosted="Yes")}
    lines = [row for row in box.ledger.current("LedgerJournalLines") if row["JournalBatchNumber"] in posted]
    return [(row["AccountDisplayValue"], row["DebitAmount"], row["CreditAmount"]) for row in lines]


def wanted(journal: Journal) -> list[tuple[str, Decimal, Decimal]]:
    return [(SETTINGS["ledger_accounts"][line.account], line.debit, line.credit) for line in journal.lines]


# -- one journal ---------------------------------------------------------------------------------------------------


def test_a_journal_of_many_lines_goes_in_one_package_and_is_posted_when_it_is_in(
    erp: Connection, box: FinanceSandbox
) -> None:
    box.log.clear()
    job = underway(lambda: erp.post_journal(JOURNAL))
    assert box.ledger.current("LedgerJournalLines") == [] and erp.find_journal(JOURNAL) is None
    made = polled(erp, job)
    assert booked(box) == wanted(JOURNAL)
    zip_name = next(name for name in acted(box) if name.endswith(".zip"))
    assert acted(box) == ["LedgerJournalHeaders", zip_name, "ImportFromPackage", "post"]
    assert zip_name.startswith("accrual_2FUS_2F2026-03_2FUSD-") and list(box.packages.jobs) == [zip_name[:-4]]
    assert made == erp.find_journal(JOURNAL) == erp.post_journal(JOURNAL)
    [header] = box.ledger.current("LedgerJournalHeaders")
    assert (header["IntegrationKey"], header["IsPosted"], header["JournalName"]) == (
        JOURNAL.journal_no,
        "Yes",
        "GenJrn",
    )
    lines = box.ledger.current("LedgerJournalLines")
    assert {line["TransDate"] for line in lines} == {"2026-03-31T12:00:00Z"}
    assert lines[-1]["Text"] == "Über 8" and len({line["Voucher"] for line in lines}) == 8, "a voucher a contract"


def test_a_journal_of_few_lines_goes_in_a_change_set(erp: Connection, box: FinanceSandbox) -> None:
    box.log.clear()
    erp.post_journal(accrual(5))
    assert acted(box) == ["LedgerJournalHeaders", "$batch", "post"]


def test_a_number_of_lines_that_is_none_is_told(served: Running, box: FinanceSandbox) -> None:
    with pytest.raises(NeedsSetup, match="setting package_lines is 'many': a whole number is expected"):
        connect(served, package_lines="many").post_journal(JOURNAL)


def test_where_a_batch_job_posts_what_it_finds_no_half_journal_can_be_found(
    served: Running, box: FinanceSandbox
) -> None:
    box.log.clear()
    waiting = connect(served, journal_service="")
    job = underway(lambda: waiting.post_journal(JOURNAL))
    assert acted(box) == ["LedgerJournalHeaders", "$batch"]
    assert box.run_posting_job() == 1 and waiting.poll_journal(job) == waiting.find_journal(JOURNAL)


def test_thousands_of_lines_are_one_package(erp: Connection, box: FinanceSandbox) -> None:
    month_end = accrual(1500)
    box.log.clear()
    polled(erp, underway(lambda: erp.post_journal(month_end)))
    assert booked(box) == wanted(month_end) and len(box.packages.jobs) == 1
    assert len(box.log) < 20, "requests do not grow with the lines"
    assert len({line["Voucher"] for line in box.ledger.current("LedgerJournalLines")}) == 1500


def test_the_company_of_the_legal_entity_takes_it_in(erp: Connection, box: FinanceSandbox) -> None:
    polled(erp, underway(lambda: erp.post_journal(accrual(6, entity="UK"))))
    assert {row["dataAreaId"] for row in box.ledger.current("LedgerJournalLines")} == {"gbsi"}


# -- answers that are lost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["timeout_before_commit", "timeout_after_commit"])
@pytest.mark.parametrize(
    "lost",
    ["LedgerJournalHeaders$", "GetAzureWriteUrl", r"/dmf/", "ImportFromPackage", "SummaryStatus", "/api/services/"],
)
@pytest.mark.parametrize("shows_after", [0, 3])
def test_whatever_answer_is_lost_it_is_booked_once(
    erp: Connection, box: FinanceSandbox, lost: str, kind: Any, shows_after: int
) -> None:
    """Through the effect ledger: looked up, then sent again or asked for, and never given in twice."""
    box.packages.shows_after = shows_after
    box.faults.append(Fault(kind, method="POST|PUT", path=lost))
    _, effect = Writer(erp).write("JournalBook.post_journal", (JOURNAL,))
    assert not [fault for fault in box.faults if fault.times], "nothing was lost"
    assert effect.state in (EffectState.FOUND, EffectState.RESENT)
    assert booked(box) == wanted(JOURNAL) and len(box.ledger.current("LedgerJournalHeaders")) == 1
    assert len(box.packages.jobs) == 1


def test_a_package_that_comes_twice_leaves_each_line_once(erp: Connection, box: FinanceSandbox) -> None:
    box.faults.append(Fault("duplicate", method="POST", path=IMPORT))
    Writer(erp).write("JournalBook.post_journal", (JOURNAL,))
    assert booked(box) == wanted(JOURNAL)


def test_an_execution_that_shows_late_is_waited_for(erp: Connection, box: FinanceSandbox) -> None:
    box.packages.shows_after = 5
    assert polled(erp, underway(lambda: erp.post_journal(JOURNAL))) and len(box.packages.jobs) == 1


def test_an_execution_that_never_shows_is_told_and_nothing_is_posted(erp: Connection, box: FinanceSandbox) -> None:
    box.packages.shows_after = 10_000
    job = underway(lambda: erp.post_journal(JOURNAL))
    with pytest.raises(RemoteRefusal, match=r"journal GJ000001 is not posted: 0 of 16 rows are in, .* is not known"):
        polled(erp, job)
    box.packages.jobs.clear()  # it was lost over there
    box.packages.shows_after = 0
    assert polled(erp, underway(lambda: erp.post_journal(JOURNAL))) and booked(box) == wanted(JOURNAL)


def test_what_comes_in_while_the_hub_looks_is_not_given_in_again(erp: Connection, box: FinanceSandbox) -> None:
    """A second package after the posting would make a journal of its own over there."""
    underway(lambda: erp.post_journal(JOURNAL))
    for _ in range(3):  # sent again each time, as after a lost answer; asking lets the job go on
        try:
            erp.post_journal(JOURNAL)
        except Underway:
            assert len(box.packages.jobs) == 1
    assert len(box.packages.jobs) == 1 and booked(box) == wanted(JOURNAL)


def test_lines_that_are_taken_in_and_show_late_are_waited_for(erp: Connection, box: FinanceSandbox) -> None:
    job = underway(lambda: erp.post_journal(JOURNAL))
    box.faults.append(Fault("stale_read", method="GET", path="LedgerJournalLines", lag=3, times=4))
    assert polled(erp, job) == erp.find_journal(JOURNAL) and booked(box) == wanted(JOURNAL)
    assert not [fault for fault in box.faults if fault.times]


def test_rows_that_are_never_all_taken_in_are_told_in_the_end(
    erp: Connection, box: FinanceSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.kit.dmf.ATTEMPTS_MAX", 1)
    underway(lambda: erp.post_journal(JOURNAL))
    box.packages.cancel(*box.packages.jobs)
    with pytest.raises(RemoteRefusal, match=r"1 packages of .* were not taken in"):
        erp.post_journal(JOURNAL)


# -- what is not taken in ------------------------------------------------------------------------------------------

NOWHERE = {"ledger_accounts": {"accrued_revenue": "130200", "revenue": "999999"}}


def test_what_is_taken_in_in_part_is_no_success_and_the_rest_is_brought_in(
    served: Running, erp: Connection, box: FinanceSandbox
) -> None:
    wrong = connect(served, **NOWHERE)
    with pytest.raises(RemoteRefusal) as refused:
        polled(wrong, underway(lambda: wrong.post_journal(JOURNAL)))
    told = refused.value
    assert told.remote_code == "PACKAGE"
    assert "journal GJ000001 is not posted: 8 of 16 rows are in" in told.message
    assert "taken in in part" in told.message and "'999999' in field 'Account' is not found" in told.context["words"]
    assert "GJ000001;2" in told.context["words"], "which lines"
    assert booked(box) == [] and erp.find_journal(JOURNAL) is None
    polled(erp, underway(lambda: erp.post_journal(JOURNAL)))  # the account was wrong in our settings
    assert sorted(booked(box)) == sorted(wanted(JOURNAL))
    assert [name[-2:] for name in box.packages.jobs] == ["-1", "-2"]
    assert len(box.ledger.current("LedgerJournalHeaders")) == 1


def test_a_refused_package_is_a_case_and_its_retry_goes_on(
    served: Running, erp: Connection, box: FinanceSandbox
) -> None:
    wrong = connect(served, ledger_accounts={"accrued_revenue": "999998", "revenue": "999999"})
    with pytest.raises(NeedsDecision) as case:
        Writer(wrong).write("JournalBook.post_journal", (JOURNAL,))
    assert case.value.exception == "EX-JOURNAL" and case.value.money == (JOURNAL.total, "USD")
    assert "package" in case.value.message and "is failed" in case.value.message
    assert "999998" in case.value.context["words"]
    assert Writer(erp).write("JournalBook.post_journal", (JOURNAL,))[0] == erp.find_journal(JOURNAL)
    assert sorted(booked(box)) == sorted(wanted(JOURNAL))


def test_a_package_that_somebody_cancels_is_told(erp: Connection, box: FinanceSandbox) -> None:
    job = underway(lambda: erp.post_journal(JOURNAL))
    [execution] = box.packages.jobs
    box.packages.cancel(execution)
    with pytest.raises(RemoteRefusal, match="is cancelled: no reason is told"):
        polled(erp, job)
    assert polled(erp, underway(lambda: erp.post_journal(JOURNAL))) and booked(box) == wanted(JOURNAL)


def test_a_line_that_somebody_adds_meanwhile_is_not_posted(erp: Connection, box: FinanceSandbox) -> None:
    job = underway(lambda: erp.post_journal(JOURNAL))
    body = {"AccountDisplayValue": "401100", "CurrencyCode": "USD", "TransDate": "2026-03-31T12:00:00Z"}
    box.books.import_journal_line("usmf", "GJ000001", Decimal(99), "X", body)
    with pytest.raises(RemoteRefusal, match=r"journal GJ000001 with 17 sides of 36\.80?, not 16 of 36\.80"):
        polled(erp, job)
    assert booked(box) == []


def test_a_state_nobody_knows_is_neither_success_nor_failure(erp: Connection, box: FinanceSandbox) -> None:
    job = underway(lambda: erp.post_journal(JOURNAL))
    [found] = box.packages.jobs.values()
    found.status, found.polls, found.work = "Paused", 0, None
    with pytest.raises(BadInput, match="unknown state 'Paused'"):
        erp.poll_journal(job)
    found.status = "Unknown"
    assert "accrual" in underway(lambda: erp.poll_journal(job)), "it is asked for again"


def test_a_package_the_vendor_does_not_understand_is_a_refusal(served: Running, box: FinanceSandbox) -> None:
    misnamed = connect(served, entities={"packages": "General ledger journal"})
    with pytest.raises(RemoteRefusal, match="General ledger journal does not exist"):
        misnamed.post_journal(JOURNAL)
    assert box.packages.jobs == {}


# -- one at a time -------------------------------------------------------------------------------------------------


def test_while_another_package_is_taken_in_ours_waits(erp: Connection, box: FinanceSandbox) -> None:
    first = underway(lambda: erp.post_journal(JOURNAL))
    other = accrual(7, "accrual/US/2026-03/USD/2")
    with pytest.raises((LostRace, OutcomeUnknown), match="DMFDefinitionGroupEntity"):
        erp.post_journal(other)
    polled(erp, first)
    polled(erp, underway(lambda: erp.post_journal(other)))
    assert len(box.packages.jobs) == 2 and len(booked(box)) == 30


class Meeting(httpx.HTTPTransport):
    """Counts how many imports are under way at once; each gives the others a moment to join it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._changed = Condition()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if "ImportFromPackage" not in request.url.path:
            return super().handle_request(request)
        with self._changed:
            self.now += 1
            self.most = max(self.most, self.now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.now > 1, 0.02)
        try:
            return super().handle_request(request)
        finally:
            with self._changed:
                self.now -= 1


def test_no_two_imports_of_a_connection_are_under_way_at_once(served: Running, box: FinanceSandbox) -> None:
    """The vendor fails packages that are started in parallel."""
    box.packages.pending_polls = 0
    meeting = Meeting()
    erp = connect(served, transport=meeting)
    journals = [accrual(6, f"accrual/US/2026-03/{n}") for n in range(6)]
    threads = [Thread(target=erp.post_journal, args=(each,)) for each in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meeting.most == 1 and len(booked(box)) == 6 * 12


# -- what is sent --------------------------------------------------------------------------------------------------


def test_a_package_is_what_microsoft_documents(erp: Connection, box: FinanceSandbox) -> None:
    underway(lambda: erp.post_journal(JOURNAL))
    [content] = box.packages.blobs.values()
    ns = "{http://schemas.microsoft.com/dynamics/2015/01/DataManagement}"
    with zipfile.ZipFile(io.BytesIO(content)) as files:
        assert files.namelist() == ["Manifest.xml", "PackageHeader.xml", "General journal.csv"]
        manifest, header = (Xml.fromstring(files.read(name)) for name in files.namelist()[:2])
        table = files.read("General journal.csv")
    entry = next(manifest.iter(f"{ns}DataManagementPackageEntityData"))
    text = table.decode("utf-16")
    columns = text.split("\r\n")[0].split(",")
    assert [field.findtext(f"{ns}EntityField") for field in entry.iter(f"{ns}EntityMap")] == columns
    assert entry.findtext(f"{ns}EntityName") == "General journal" and header.findtext(f"{ns}PackageVersion") == "2"
    assert table.startswith(b"\xff\xfe") and text.count("\r\n") == 17 and "\n" not in text.replace("\r\n", "")
    assert {"JOURNALBATCHNUMBER", "LINENUMBER", "VOUCHER", "TRANSDATE", "CURRENCYCODE"} <= set(columns)


def test_the_same_rows_make_the_same_bytes() -> None:
    package = Package("e", "p", "General journal", [{"A": 'a "b", c', "B": Decimal("1.10")}])
    assert zipped(package) == zipped(package)


def test_no_token_goes_to_the_storage_and_no_signed_address_is_kept(
    served: Running, box: FinanceSandbox, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.jsonl"
    erp = connect(served, cassette=tape, **NOWHERE)
    with pytest.raises(RemoteRefusal):
        polled(erp, underway(lambda: erp.post_journal(JOURNAL)))
    told = [json.loads(line) for line in tape.read_text().splitlines()]
    stored = [each for each in told if "/dmf/" in each["url"]]
    assert [each["method"] for each in stored] == ["PUT", "GET"], "the package, and the keys of what it did not take"
    assert not [name for each in stored for name in each["request_headers"] if name.lower() == "authorization"]
    assert "sig=***" in tape.read_text() and "synthetic" not in tape.read_text()


def test_an_address_that_is_not_taken_any_more_is_asked_for_again(erp: Connection, box: FinanceSandbox) -> None:
    box.faults.append(Fault("status", method="PUT", path="/dmf/", status=403, body={}))
    with pytest.raises((Unreachable, OutcomeUnknown), match="not taken any more"):
        erp.post_journal(JOURNAL)
    assert polled(erp, underway(lambda: erp.post_journal(JOURNAL))) and booked(box) == wanted(JOURNAL)


def test_a_voucher_ends_where_it_balances() -> None:
    three = (
        JournalLine(account="revenue", debit=Decimal(3)),
        JournalLine(account="accrued_revenue", credit=Decimal(1)),
        JournalLine(account="accrued_revenue", credit=Decimal(2)),
    )
    assert vouchers((*three, *JOURNAL.lines[:2])) == [1, 1, 1, 2, 2]
