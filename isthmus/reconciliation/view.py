"""What a control reads: the books of one contract at a time, so that an audit needs the memory of one contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    ContractVersion,
    Expense,
    Hold,
    Invoice,
    InvoiceLine,
    LedgerEntry,
    MilestoneStatus,
    Project,
    TimeEntry,
)
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.store.tx import Tx

# What does not count as evidence any more: a later part says where it went.
GONE = (PartState.SUPERSEDED, PartState.CREDITED)


@dataclass(frozen=True)
class ContractBooks:
    """All that the hub keeps of one contract. newest: the last item of a source, whichever contract it is in now."""

    contract_no: str
    versions: list[ContractVersion]
    items: list[BillableItem]
    parts: list[BillablePart]
    invoices: list[Invoice]
    ledger: list[LedgerEntry]
    entries: list[TimeEntry]
    expenses: list[Expense]
    milestones: list[MilestoneStatus]
    holds: list[Hold]
    newest: Callable[[str], BillableItem | None]

    @cached_property
    def terms(self) -> ContractVersion:
        """The newest terms."""
        return self.versions[-1]

    @cached_property
    def item(self) -> dict[str, BillableItem]:
        """Items by id."""
        return {item.item_id: item for item in self.items}

    @cached_property
    def latest(self) -> dict[str, BillableItem]:
        """The last word of this contract on each source."""
        return {item.source_key: item for item in self.items}

    @cached_property
    def part(self) -> dict[str, BillablePart]:
        """Parts by id, superseded ones too."""
        return {part.part_id: part for part in self.parts}

    @cached_property
    def issued(self) -> list[Invoice]:
        """Everything with a number, credit memos too."""
        return [i for i in self.invoices if i.life in (InvoiceLife.ISSUED, InvoiceLife.CREDITED)]

    @cached_property
    def claims(self) -> list[Invoice]:
        """What was issued and asks for money."""
        return [invoice for invoice in self.issued if invoice.kind != "credit"]

    @cached_property
    def credits(self) -> list[Invoice]:
        """What was issued and gives it back."""
        return [invoice for invoice in self.issued if invoice.kind == "credit"]

    def of_line(self, line_uid: str, source_type: str) -> list[BillableItem]:
        """The last word on each source of a line, of one type."""
        return [i for i in self.latest.values() if i.line_uid == line_uid and i.source_type == source_type]


def source_of(part: BillablePart) -> str:
    """The source a part is evidence of, over all its revisions."""
    return part.item_id.rsplit("#", 1)[0]


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Their sum; zero for none."""
    return sum(amounts, Decimal(0))


def contracts_of(tx: Tx) -> list[str]:
    """The numbers of all contracts the hub has terms of."""
    return sorted({version.contract_no for version in tx.find(ContractVersion)})


def read_contract(tx: Tx, contract_no: str) -> ContractBooks:
    """The books of one contract, in a stable order."""
    codes = tuple(sorted(project.project_code for project in tx.find(Project, contract_no=contract_no)))
    statuses = tx.find(MilestoneStatus, project_code=codes) if codes else []

    def newest(source_key: str) -> BillableItem | None:
        found = tx.find(BillableItem, source_key=source_key, order=("-revision",), limit=1)
        return found[0] if found else None

    versions = tx.find(ContractVersion, contract_no=contract_no, order=("version",))
    return ContractBooks(
        contract_no=contract_no,
        versions=versions,
        items=tx.find(BillableItem, contract_no=contract_no, order=("source_key", "revision")),
        parts=tx.find(BillablePart, contract_no=contract_no, order=("part_id",)),
        invoices=_invoices(tx, contract_no, versions),
        ledger=tx.find(LedgerEntry, contract_no=contract_no, order=("entry_id",)),
        entries=tx.find(TimeEntry, project_code=codes, order=("source_id", "revision")) if codes else [],
        expenses=tx.find(Expense, project_code=codes, order=("source_id", "revision")) if codes else [],
        milestones=[*statuses, *tx.find(MilestoneStatus, contract_no=contract_no)],
        holds=tx.find(Hold, contract_no=contract_no),
        newest=newest,
    )


def _invoices(tx: Tx, contract_no: str, versions: Sequence[ContractVersion]) -> list[Invoice]:
    """The contract's own invoices, and where it consolidates those that bill it under another's number, with all that
    was credited of them.
    """
    own = tx.find(Invoice, contract_no=contract_no, order=("invoice_id",))
    for client_no in sorted({version.client_no for version in versions if version.invoicing.consolidate}):
        shared = tx.find(Invoice, client_no=client_no, order=("invoice_id",))
        mine = {i.invoice_id for i in [*own, *shared] if any(is_of(contract_no, i, line) for line in i.lines)}
        known = {i.invoice_id for i in own}
        own += [i for i in shared if i.invoice_id not in known and {i.invoice_id, i.original_invoice_id} & mine]
    return own


def is_of(contract_no: str, invoice: Invoice, line: InvoiceLine) -> bool:
    """True when a line of an invoice bills this contract."""
    return (line.contract_no or invoice.contract_no) == contract_no


def read_contracts(tx: Tx) -> Iterator[ContractBooks]:
    """The books of every contract, one after the other."""
    return (read_contract(tx, contract_no) for contract_no in contracts_of(tx))
