"""Why a line is what it is: from the line down to entries, approvals, rate, terms, caps, tax and the ERP's document.

Every item is worked out again from its source; the line says whether the sum is the amount that was billed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from isthmus.domain.errors import NotFound
from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    ContractVersion,
    Expense,
    Invoice,
    InvoiceLine,
    TaxCategory,
    TimeEntry,
)
from isthmus.domain.states import PartState
from isthmus.processes.work.recomputing import net_again
from isthmus.runtime.books import Books
from isthmus.store.records import CrossReference

ZERO = Decimal(0)


class Source(BaseModel):
    """What was approved: an entry, an expense, or the terms themselves."""

    kind: str
    key: str
    revision: int
    person: str
    day: date
    raw_quantity: Decimal | None
    note: str
    approved_by: str
    approved_at: datetime | None


class Lineage(BaseModel):
    """One part of a line with all that it comes from.

    net: what the line has of it; item_net: of the whole item; recomputed: the item worked out again; agrees: they are
    equal. elsewhere: where the rest of the item lies (over a cap, on other invoices), by state and cap.
    """

    part_id: str
    net: Decimal
    quantity: Decimal
    item_id: str
    item_net: Decimal
    unit_price: Decimal
    extended: Decimal | None
    discount: Decimal
    payer: str
    refers_to: str
    recomputed: Decimal | None
    agrees: bool
    contract: str
    clause: str
    document: str
    price_trace: dict[str, Any]
    source: Source
    elsewhere: list[str]


class LineExplained(BaseModel):
    """A line: parts less holdback make its net; tax as answered."""

    number: int
    description: str
    net: Decimal
    held: Decimal
    credited: Decimal
    tax: Decimal
    tax_rate: Decimal | None
    tax_category: str
    parts_net: Decimal
    agrees: bool
    parts: list[Lineage]


class Explained(BaseModel):
    """An invoice explained."""

    number: str
    invoice_id: str
    kind: str
    contract: str
    client_no: str
    bill_to: str
    currency: str
    net: Decimal
    tax: Decimal
    total: Decimal
    open: Decimal
    prepared_by: str
    approved_by: str
    tax_decision: dict[str, Any]
    tax_breakdown: list[TaxCategory]
    external: list[str]
    lines: list[LineExplained]
    agrees: bool


PERSONAL = frozenset({"cost_rate"})  # what a person costs: only for roles with a need (cost_rate.read)


def _without_cost(line: LineExplained) -> LineExplained:
    shorn = [
        part.model_copy(update={"price_trace": {n: v for n, v in part.price_trace.items() if n not in PERSONAL}})
        for part in line.parts
    ]
    return line.model_copy(update={"parts": shorn})


def find_invoice(books: Books, name: str) -> Invoice:
    """By number, else by id. NotFound otherwise."""
    found = books.tx.find(Invoice, number=name, limit=1) or books.tx.find(Invoice, invoice_id=name, limit=1)
    if not found:
        raise NotFound(f"no invoice {name}")
    return found[0]


def explain(books: Books, name: str, line: int | None = None, *, sees_cost: bool = True) -> Explained:
    """The invoice, or one line of it, explained to the last entry. Changes nothing.

    sees_cost: whether whoever asks may see what a person costs; the rates of cost-plus lines are made of it.
    """
    invoice = find_invoice(books, name)
    if line is not None and all(one.number != line for one in invoice.lines):
        raise NotFound(f"invoice {name} has no line {line}; it has {len(invoice.lines)}")
    told = [_line(books, invoice, one) for one in invoice.lines if line in (None, one.number)]
    told = told if sees_cost else [_without_cost(one) for one in told]
    crossed = books.tx.find(CrossReference, key=invoice.number) if invoice.number else []
    crossed += books.tx.find(CrossReference, key=invoice.invoice_id)
    return Explained(
        number=invoice.number,
        invoice_id=invoice.invoice_id,
        kind=invoice.kind,
        contract=f"{invoice.contract_no}@{invoice.contract_version}",
        client_no=invoice.client_no,
        bill_to=invoice.bill_to,
        currency=invoice.currency,
        net=invoice.net,
        tax=invoice.tax,
        total=invoice.total,
        open=invoice.open,
        prepared_by=invoice.prepared_by,
        approved_by=invoice.approved_by,
        tax_decision=invoice.tax_decision,
        tax_breakdown=list(invoice.tax_breakdown),
        external=sorted({f"{ref.system} {ref.remote_type} {ref.remote_id}" for ref in crossed}),
        lines=told,
        agrees=all(one.agrees for one in told),
    )


def explain_line(
    books: Books, invoice: Invoice, line: InvoiceLine, *, start: int = 0, count: int, sees_cost: bool = True
) -> LineExplained:
    """One line, with the lineage of so many of its parts from a place on: a long line is read page by page.

    agrees: all parts make the line's net, and those shown are what their sources give.
    """
    told = _line(books, invoice, line, slice(start, start + count))
    return told if sees_cost else _without_cost(told)


def _line(books: Books, invoice: Invoice, line: InvoiceLine, shown: slice = slice(None)) -> LineExplained:
    parts = books.tx.find(BillablePart, part_id=line.part_ids, order=("part_id",)) if line.part_ids else []
    ids = tuple(sorted({part.item_id for part in parts[shown]}))
    items = {item.item_id: item for item in books.tx.find(BillableItem, item_id=ids)} if ids else {}
    siblings = books.tx.find(BillablePart, item_id=ids, order=("part_id",)) if ids else []
    lineage = [_lineage(books, part, items[part.item_id], siblings) for part in parts[shown]]
    parts_net = sum((part.net for part in parts), ZERO)
    billed = -parts_net if invoice.kind == "credit" else parts_net
    adds_up = billed - line.held == line.net or (line.kind != "evidence" and not parts)
    return LineExplained(
        number=line.number,
        description=line.description,
        net=line.net,
        held=line.held,
        credited=line.credited,
        tax=line.tax,
        tax_rate=line.tax_rate,
        tax_category=line.tax_category,
        parts_net=parts_net,
        agrees=adds_up and all(one.agrees for one in lineage),
        parts=lineage,
    )


def _lineage(books: Books, part: BillablePart, item: BillableItem, siblings: Sequence[BillablePart]) -> Lineage:
    version = books.tx.get(ContractVersion, item.contract_no, item.contract_version)
    assert version is not None
    again = net_again(books, item)
    rest = [
        f"{one.net} {one.state}{f' ({one.cap_id})' if one.cap_id else ''}{f' {one.reason}' if one.reason else ''}"
        for one in siblings
        if one.item_id == item.item_id and one.part_id != part.part_id and one.state is not PartState.SUPERSEDED
    ]
    return Lineage(
        part_id=part.part_id,
        net=part.net,
        quantity=part.quantity,
        item_id=item.item_id,
        item_net=item.entry_net,
        unit_price=item.unit_price,
        extended=item.extended,
        discount=item.discount,
        payer=item.payer,
        refers_to=item.refers_to,
        recomputed=again,
        agrees=again == item.entry_net,
        contract=version.key,
        clause=version.line(item.line_uid).clause,
        document=" ".join(word for word in (version.document_ref, version.document_hash) if word),
        price_trace=item.price_trace,
        source=_source(books, item),
        elsewhere=rest,
    )


def _source(books: Books, item: BillableItem) -> Source:
    note = item.description
    if item.source_type in ("time", "expense"):
        source, source_id = item.entry_key.split(":", 1)
        model: type[TimeEntry] | type[Expense] = TimeEntry if item.source_type == "time" else Expense
        found = books.tx.get(model, source, source_id, item.entry_revision)
        note = found.note if found else note
    return Source(
        kind=item.source_type,
        key=item.entry_key,
        revision=item.entry_revision,
        person=item.person,
        day=item.service_date,
        raw_quantity=item.raw_quantity if item.raw_quantity is not None else item.entry_quantity,
        note=note,
        approved_by=item.approved_by,
        approved_at=item.approved_at,
    )
