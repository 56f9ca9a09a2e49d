"""What a share of the contracts brings to a month end, read once for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    Client,
    ContractVersion,
    Engagement,
    Hold,
    Invoice,
    LedgerEntry,
    LegalEntity,
    Project,
    Rate,
    TimeEntry,
)
from isthmus.domain.states import EngagementState, InvoiceLife, PartState, PeriodState
from isthmus.processes.work.ahead import last_day
from isthmus.processes.work.batch import cards_of
from isthmus.processes.work.closing import booking_of, states_of
from isthmus.processes.work.evidence import OPEN, USES_ROOM
from isthmus.runtime.books import Books

# What is read of an entry, in this order: all that its price, its place and its evidence depend on.
ENTRY_FIELDS = (
    "source",
    "source_id",
    "revision",
    "project_code",
    "task_code",
    "person",
    "role",
    "service_date",
    "hours",
    "note",
    "grade",
    "region",
    "work_type",
    "location",
    "days",
    "approved_by",
    "approved_at",
)
Row = tuple[Any, ...]
CONTRACTS_PER_SHARE = 200
ENTRIES_PER_SHARE = 10_000  # of several contracts; one contract is never taken apart


@dataclass(frozen=True)
class Month:
    """A month end: for which legal entity, up to which day, under which name, asked for by whom; and today's facts."""

    entity: LegalEntity
    cutoff: date
    name: str
    prepared_by: str
    today: date
    booked: date
    periods: Mapping[str, PeriodState]
    tax_engine: bool
    last_day: date | None

    def invoice_id(self, contract_no: str) -> str:
        """The id of a contract's invoice of this month end, the one its ordinary billing run would give it."""
        return f"{contract_no}:{self.name}"


@dataclass
class Case:
    """One contract at a month end. entries: approved and not evidence yet, up to the cut-off; revised: entries of a
    second word among them. evidence_until: the last day it has evidence of. history: its invoices of the
    month; of other contracts an equal one keeps nobody waiting. others: what only the ordinary way knows.
    """

    contract_no: str
    engagement: Engagement
    versions: list[ContractVersion]
    projects: list[Project]
    cards: list[Rate]
    client: Client | None
    billed: bool
    entries: list[Row] = field(default_factory=list)
    revised: bool = False
    evidence_until: date | None = None
    history: list[Invoice] = field(default_factory=list)
    open_parts: bool = False
    on_paper: bool = False
    held: bool = False
    accrued: bool = False


def month_of_entity(books: Books, entity: str, cutoff: str, name: str, prepared_by: str) -> Month:
    """The month end with what is the same for all its contracts."""
    today = books.today(entity)
    return Month(
        entity=books.entity(entity),
        cutoff=date.fromisoformat(cutoff),
        name=name,
        prepared_by=prepared_by,
        today=today,
        booked=booking_of(books, entity, today, "receivables").accounting_date,
        periods=states_of(books, entity, "time"),
        tax_engine=books.kernel.systems.fills("TaxEngine", entity),
        last_day=last_day(books.entity(entity), books.now),
    )


def shares_of(books: Books, entity: str) -> list[list[str]]:
    """The active contracts of an entity in shares of a size that one transaction and little memory can carry."""
    engagements = books.tx.find(Engagement, entity=entity, state=EngagementState.ACTIVE, order=("contract_no",))
    shares: list[list[str]] = []
    left = 0
    for start in range(0, len(engagements), CONTRACTS_PER_SHARE):
        several = engagements[start : start + CONTRACTS_PER_SHARE]
        codes = tuple(e.project_code for e in several)
        counts = books.tx.counts(TimeEntry, "project_code", project_code=codes)
        for engagement in several:
            number = counts.get(engagement.project_code, 0)
            if not shares or left < number or len(shares[-1]) == CONTRACTS_PER_SHARE:
                shares.append([])
                left = ENTRIES_PER_SHARE
            shares[-1].append(engagement.contract_no)
            left -= number
    return shares


def read_share(books: Books, month: Month, contract_nos: Sequence[str]) -> list[Case]:
    """Everything a month end needs of these contracts, which are locked until the transaction ends."""
    wanted = tuple(contract_nos)
    books.tx.lock_all(f"contract:{contract_no}" for contract_no in wanted)
    versions: dict[str, list[ContractVersion]] = defaultdict(list)
    for version in books.tx.find(ContractVersion, contract_no=wanted, order=("version",)):
        versions[version.contract_no].append(version)
    projects: dict[str, list[Project]] = defaultdict(list)
    for project in books.tx.find(Project, contract_no=wanted):
        projects[project.contract_no].append(project)
    cards = cards_of(books, versions)
    clients = {v[-1].client_no for v in versions.values()}
    known = {c.client_no: c for c in books.tx.find(Client, client_no=tuple(sorted(clients)))}
    ids = tuple(month.invoice_id(contract_no) for contract_no in wanted)
    billed = {invoice_id for (invoice_id,) in books.tx.tuples(Invoice, ("invoice_id",), invoice_id=ids)}
    histories: dict[str, list[Invoice]] = defaultdict(list)
    for invoice in books.tx.find(Invoice, contract_no=wanted, period=f"{month.cutoff:%Y-%m}"):
        if invoice.life is not InvoiceLife.DISCARDED:
            histories[invoice.contract_no].append(invoice)
    cases = {
        engagement.contract_no: Case(
            contract_no=engagement.contract_no,
            engagement=engagement,
            versions=versions[engagement.contract_no],
            projects=projects[engagement.contract_no],
            cards=cards.get(engagement.contract_no, []),
            client=known.get(versions[engagement.contract_no][-1].client_no),
            history=histories[engagement.contract_no],
            billed=month.invoice_id(engagement.contract_no) in billed,
        )
        for engagement in books.tx.find(Engagement, contract_no=wanted, order=("contract_no",))
    }
    _mark(books, cases, wanted)
    _add_entries(books, month, cases, wanted)
    return list(cases.values())


def _mark(books: Books, cases: Mapping[str, Case], wanted: tuple[str, ...]) -> None:
    """What lies on the contracts already."""
    for contract_no, state in books.tx.tuples(
        BillablePart, ("contract_no", "state"), contract_no=wanted, state=_words((*OPEN, PartState.ON_DRAFT))
    ):
        assert state
        cases[contract_no].open_parts = True
    capped = tuple(c.contract_no for c in cases.values() if any(v.caps or v.purchase_orders for v in c.versions))
    paper = _words((*USES_ROOM, PartState.CREDITED))
    if capped:
        for contract_no in books.tx.counts(BillablePart, "contract_no", contract_no=capped, state=paper):
            cases[contract_no].on_paper = True
    for (contract_no,) in books.tx.tuples(Hold, ("contract_no",), contract_no=wanted):
        cases[contract_no].held = True
    for (contract_no,) in books.tx.tuples(LedgerEntry, ("contract_no",), contract_no=wanted, ledger="accrual"):
        cases[contract_no].accrued = True


def _words(states: Iterable[PartState]) -> tuple[str, ...]:
    return tuple(str(state) for state in states)


def _add_entries(books: Books, month: Month, cases: Mapping[str, Case], wanted: tuple[str, ...]) -> None:
    """Give each contract its entries that are not evidence yet."""
    priced: dict[str, int] = {}
    fields = ("contract_no", "entry_key", "entry_revision", "service_date")
    for contract_no, key, revision, day in books.tx.tuples(BillableItem, fields, contract_no=wanted):
        priced[key] = max(revision, priced.get(key, 0))
        case = cases[contract_no]
        case.evidence_until = max(day, case.evidence_until or day)
    owner = {project.project_code: case for case in cases.values() for project in case.projects}
    cutoff = month.cutoff
    for row in books.tx.tuples(TimeEntry, ENTRY_FIELDS, project_code=tuple(sorted(owner))):
        revision, day = row[2], row[7]
        if day > cutoff or (priced and priced.get(f"{row[0]}:{row[1]}", 0) >= revision):
            continue
        case = owner[row[3]]
        case.entries.append(row)
        if revision != 1:
            case.revised = True
