"""Steps from an approved draft to a posted invoice: number, post, tell the other systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import (
    Allocation,
    BillableItem,
    BillablePart,
    Engagement,
    Invoice,
    InvoiceLine,
    LegalEntity,
    Project,
)
from isthmus.domain.states import Delivery, InvoiceLife, PartState, Posting, Settlement, move
from isthmus.policies.deposits import on_account
from isthmus.ports import Crm
from isthmus.ports.messages import ContractStatus, InvoicedTime, PostedInvoice, PostInvoice, PostLine
from isthmus.processes.work import advances
from isthmus.processes.work.closing import booking_of
from isthmus.processes.work.drafting import facts, versions_of
from isthmus.processes.work.exchange import functional
from isthmus.processes.work.partition import move_parts
from isthmus.processes.work.reading import contracts_on, invoice_of, invoices_of
from isthmus.processes.work.standing import waits_for
from isthmus.runtime.books import Books
from isthmus.runtime.run import Run

T = TypeVar("T")
PAYMENT_DAYS_DEFAULT = 30
REPORTS_MAX = 100  # of one contract by one run, when other runs keep changing it
BILLED = (InvoiceLife.ISSUED, InvoiceLife.CREDITED)
STILL_OPEN = (PartState.READY, PartState.HELD, PartState.DEFERRED, PartState.OVER_CAP, PartState.ON_DRAFT)


def rule_of(entity: LegalEntity) -> str:
    """Who approves what is not above the entity's limit."""
    limit = entity.invoice_approval_limit
    return f"rule: net up to {limit}" if limit else "rule: no limit is set"


def number_of(books: Books, entity: LegalEntity, kind: str) -> str:
    """The next legal number of the entity's series and year: gapless, because it comes and goes with its transaction.

    Invoices and credit memos have a series each.
    """
    return numbers_of(books, entity, kind, 1)[0]


def numbers_of(books: Books, entity: LegalEntity, kind: str, count: int) -> list[str]:
    """The next numbers of the series, in one go."""
    series = f"{entity.code}-{entity.credit_series if kind == 'credit' else entity.invoice_series}"
    series += f"-{books.today(entity.code).year}"
    last = books.tx.add_many(["number:" + series], [count])[0]
    return [f"{series}-{number:05d}" for number in range(last - count + 1, last + 1)]


def issue(books: Books, invoice_id: str) -> Invoice:
    """P2.12: the number is allocated here and nowhere else, in the transaction that issues. From here only a credit."""
    invoice = invoice_of(books, invoice_id)
    entity = books.entity(invoice.entity)
    today = books.today(invoice.entity)
    booked = booking_of(books, entity.code, today, "receivables").accounting_date
    issued = issued_on(books, invoice, entity, today, booked)
    parts = books.tx.find(BillablePart, invoice_id=invoice_id, state=PartState.ON_DRAFT, order=("part_id",))
    move_parts(books, parts, PartState.INVOICED, invoice_id=invoice_id)
    issued = advances.pay(books, issued)
    # Last, because whoever issues for this entity waits here until the other has committed.
    number = number_of(books, entity, invoice.kind)
    issued = issued.model_copy(update={"number": number})
    books.tx.update(issued)
    books.emit("invoice.issued", f"invoice:{invoice_id}", facts(issued), entity=invoice.entity)
    advances.tell(books, issued)
    books.audit(
        "invoice.issue", f"invoice:{number}", after=dict(facts(issued)), reason=f"approved by {issued.approved_by}"
    )
    return issued


def issued_on(books: Books, invoice: Invoice, entity: LegalEntity, today: date, booked: date) -> Invoice:
    """The invoice with what it has from its issue on, except the number."""
    days = entity.payment_days.get(invoice.payment_terms, PAYMENT_DAYS_DEFAULT)
    dates = {"issue_date": today, "accounting_date": booked, "due_date": today + timedelta(days=days)}
    issued = move(invoice, "life", InvoiceLife.ISSUED)
    issued = issued.model_copy(update={**dates, **functional(books, invoice, entity, today)})
    issued = move(issued, "posting", Posting.POSTING)
    # A total of nothing is what a deposit has paid for.
    return issued if issued.total else move(issued, "settlement", Settlement.PAID)


def posting_of(books: Books, invoice_id: str) -> PostInvoice:
    """P2.13: the receivable under its legal number; a credit memo names the invoice it credits."""
    invoice = invoice_of(books, invoice_id)
    assert invoice.issue_date is not None and invoice.due_date is not None
    credited = invoice_of(books, invoice.original_invoice_id).number if invoice.kind == "credit" else ""
    return PostInvoice(
        number=invoice.number,
        original_number=credited,
        client_no=invoice.owed_by,
        ordered_by=invoice.client_no if invoice.client_no != invoice.owed_by else "",
        entity=invoice.entity,
        project_code=invoice.project_code,
        currency=invoice.currency,
        issue_date=invoice.issue_date,
        due_date=invoice.due_date,
        payment_terms=invoice.payment_terms,
        po_number=invoice.po_number,
        lines=tuple(
            PostLine(
                number=line.number,
                description=line.description,
                quantity=line.quantity,
                unit_price=line.unit_price,
                net=line.net,
                tax=line.tax,
                tax_code=line.tax_code,
            )
            for line in invoice.lines
        ),
        net=invoice.net,
        tax=invoice.tax,
        total=invoice.total,
        memo=f"{', '.join(contracts_on(invoice))} {invoice.period}",
        dimensions=_dimensions_of(books, invoice),
    )


def _dimensions_of(books: Books, invoice: Invoice) -> dict[str, str]:
    project = books.tx.get(Project, invoice.project_code)
    return project.dimensions if project else {}


def keep_posting(books: Books, invoice_id: str, posted: PostedInvoice) -> Invoice:
    """The ERP has the receivable; to the cent, or a person looks (INV-09)."""
    invoice = invoice_of(books, invoice_id)
    if posted.total != invoice.total or posted.currency != invoice.currency:
        raise NeedsDecision(
            "EX-POST-DIFF",
            f"invoice {invoice.number}: {invoice.total} {invoice.currency} here,"
            f" {posted.total} {posted.currency} in {posted.ref.system}",
            queue="receivables",
            money=(abs(posted.total - invoice.total), invoice.currency),
            context={"invoice": invoice.number, "remote": posted.ref.external_id},
            actions=("retry",),
        )
    done = move(invoice, "posting", Posting.POSTED)
    books.tx.update(done)
    payload = {**facts(done), "erp": posted.ref.system, "erp_id": posted.ref.external_id}
    books.emit("invoice.posted", f"invoice:{invoice_id}", payload, entity=invoice.entity)
    return done


def billed_time(books: Books, invoice_id: str) -> tuple[InvoicedTime, ...]:
    """P2.14: which entries the PSA is to show as invoiced: those whose hours are now all on paper or given up.

    One for each tool that time came from, and for each project: each is told of its own entries.
    """
    invoice = invoice_of(books, invoice_id)
    assert invoice.issue_date is not None
    on_it = tuple({p.item_id for p in books.tx.find(BillablePart, invoice_id=invoice_id)})
    items = books.tx.find(BillableItem, item_id=on_it) if on_it else []
    entries = {item.entry_key for item in items if item.source_type == "time"}
    known = books.tx.find(BillableItem, entry_key=tuple(sorted(entries))) if entries else []
    project = {item.entry_key: item.project_code for item in items}
    of_entry = {item.item_id: item.entry_key for item in known}
    parts = books.tx.find(BillablePart, item_id=tuple(of_entry)) if of_entry else []
    unfinished = {of_entry[p.item_id] for p in parts if p.state in STILL_OPEN}
    by_source: dict[tuple[str, str], list[str]] = {}
    for key in sorted(entries - unfinished):
        by_source.setdefault((key.partition(":")[0], project[key]), []).append(key)
    return tuple(
        InvoicedTime(
            source=source,
            project_code=project_code,
            number=invoice.number,
            issue_date=invoice.issue_date,
            total=invoice.total,
            currency=invoice.currency,
            entry_keys=tuple(keys),
        )
        for (source, project_code), keys in by_source.items()
    )


def contract_status(books: Books, contract_no: str, shown: ContractStatus | None = None) -> ContractStatus:
    """What the CRM is to show: net billed, gross paid, last invoice. The one shown already when it still holds."""
    versions = versions_of(books, contract_no)
    known = sorted(invoices_of(books, contract_no, versions, life=BILLED), key=lambda i: i.number)
    # Money on account is neither billed nor paid for anything, until an invoice draws on it.
    known = [invoice for invoice in known if not on_account(invoice)]
    issued = [invoice for invoice in known if invoice.kind != "credit"]
    credits = [invoice for invoice in known if invoice.kind == "credit"]
    given_back = sum((_gross_of(credit, contract_no) for credit in credits), Decimal(0))
    given_up = _given_up(books, issued)
    paid = sum((_paid_of(invoice, contract_no, given_up) for invoice in issued), Decimal(0))
    open_left = sum((invoice.open for invoice in issued), Decimal(0))
    engagement = books.tx.get(Engagement, contract_no)
    status = ContractStatus(
        contract_no=contract_no,
        revision=shown.revision if shown else 0,
        state=_state_of(issued, open_left, waits_for(books, contract_no)),
        project_ref=engagement.project_code if engagement else "",
        billed=sum((_net_of(i, contract_no) * (-1 if i.kind == "credit" else 1) for i in known), Decimal(0)),
        paid=paid - given_back,
        last_invoice=issued[-1].number if issued else "",
        currency=versions[-1].currency if versions else "",  # it may wait before its terms are taken over
    )
    if status == shown:
        return shown
    return status.model_copy(update={"revision": books.tx.next(f"status:{contract_no}")})


def _lines_of(invoice: Invoice, contract_no: str) -> list[InvoiceLine]:
    return [line for line in invoice.lines if (line.contract_no or invoice.contract_no) == contract_no]


def _net_of(invoice: Invoice, contract_no: str) -> Decimal:
    return sum((line.net for line in _lines_of(invoice, contract_no)), Decimal(0))


def _gross_of(invoice: Invoice, contract_no: str) -> Decimal:
    return sum((line.net + line.tax for line in _lines_of(invoice, contract_no)), Decimal(0))


def _given_up(books: Books, invoices: list[Invoice]) -> dict[str, Decimal]:
    """By invoice, what of it was given up as a bad debt and is not claimed again."""
    ids = tuple(sorted(invoice.invoice_id for invoice in invoices if invoice.open != invoice.total))
    shares = books.tx.find(Allocation, invoice_id=ids) if ids else []
    debts = {share.allocation_id for share in shares if share.kind == "bad_debt"}
    found: dict[str, Decimal] = {}
    for share in shares:
        if share.allocation_id in debts or share.reverses in debts:
            found[share.invoice_id] = found.get(share.invoice_id, Decimal(0)) + share.amount
    return found


def _paid_of(invoice: Invoice, contract_no: str, given_up: Mapping[str, Decimal]) -> Decimal:
    """What is paid of a contract's lines: all of its own invoice's, of a shared one its share by gross. A shared one
    that a deposit pays in full is paid as it is.
    """
    paid = invoice.total - invoice.open - given_up.get(invoice.invoice_id, Decimal(0))
    gross = _gross_of(invoice, contract_no)
    if gross == invoice.total or not invoice.total:
        return paid if gross == invoice.total else gross
    return round_half_away(paid * gross / invoice.total, invoice.currency)


def _state_of(issued: list[Invoice], open_left: Decimal, waiting: str) -> str:
    if any(invoice.disputed for invoice in issued):
        return "disputed"
    if waiting:
        return waiting
    return "active" if open_left or not issued else "paid"


def show_in_crm(run: Run, phrase: str, contract_no: str) -> None:
    """Report the contract's status to its users."""
    why = "Sum up the contract for the CRM"
    keep_shown(run, why, contract_status, contract_no, lambda now: run.effect(phrase, Crm.report_status, now))


def keep_shown(run: Run, why: str, sum_up: Callable[..., T], contract_no: str, send: Callable[[T], object]) -> None:
    """Report a sum, and again as long as it has changed meanwhile: two runs may overtake each other on the way to the
    other system, and the one that arrives last must not leave an older sum there.
    """
    shown = run.decide(why, sum_up, contract_no)
    for _ in range(REPORTS_MAX):
        send(shown)
        now = run.decide("See whether the sum still holds", sum_up, contract_no, shown)
        if now == shown:
            return
        shown = now


def contracts_billed(books: Books, invoice_id: str) -> tuple[str, ...]:
    """The contracts an invoice bills."""
    return contracts_on(invoice_of(books, invoice_id))


def contract_of_line(books: Books, invoice_id: str, line: int) -> str:
    """The contract a line of an invoice bills."""
    invoice = invoice_of(books, invoice_id)
    return next((one.contract_no for one in invoice.lines if one.number == line), "") or invoice.contract_no


def delivered(books: Books, invoice_id: str) -> Invoice:
    """The invoice and its status are with the other systems."""
    sent = move(invoice_of(books, invoice_id), "delivery", Delivery.SENT)
    books.tx.update(sent)
    books.emit("invoice.delivered", f"invoice:{invoice_id}", facts(sent), entity=sent.entity)
    return sent
