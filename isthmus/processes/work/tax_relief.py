"""Steps that have back the tax within a debt that was given up, and give it back when the debt is claimed again.

The debt leaves the receivables gross, on the day it is given up. On the day the law allows the relief (at once, where
it has passed) its tax moves from the expense to the tax payable, by a journal of its own; a second one mirrors it.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.journals import Journal, booking
from isthmus.domain.objects import Allocation, Invoice
from isthmus.policies.bad_debts import relief_from, tax_within
from isthmus.processes.work import journals
from isthmus.processes.work.reading import invoice_of
from isthmus.runtime.books import Books
from isthmus.store.records import RunRow

ZERO = Decimal(0)
RELIEVE, RETURN = "relieve_bad_debt", "return_bad_debt_relief"


def due(books: Books) -> list[tuple[str, Invoice]]:
    """Shares given up whose tax may be had back today, and was not: allocation and invoice."""
    shares = books.tx.find(Allocation, kind="bad_debt", order=("allocation_id",))
    gone = {share.reverses for share in books.tx.find(Allocation, kind="reversal")}
    entities = books.entities()
    found = []
    for share in shares:
        invoice = invoice_of(books, share.invoice_id)
        months = entities[invoice.entity].bad_debt_relief_months
        if months is None or not invoice.tax or share.allocation_id in gone:
            continue
        known = books.tx.get(RunRow, f"{RELIEVE}/{share.allocation_id}")
        if known is None and books.today(invoice.entity) >= relief_day(invoice, months):
            found.append((share.allocation_id, invoice))
    return found


def relief_day(invoice: Invoice, months: int) -> date:
    """The first day on which the tax of an issued invoice may be had back. It is issued after the supply."""
    assert invoice.due_date is not None and invoice.issue_date is not None
    return relief_from(invoice.due_date, invoice.issue_date, months)


def relieve(books: Books, allocation_id: str) -> Decimal:
    """Book the tax of a share that was given up; nothing where it was claimed again meanwhile."""
    share = _held(books, allocation_id)
    mine = books.tx.find(Allocation, invoice_id=share.invoice_id, order=("allocation_id",))
    gone = {one.reverses for one in mine if one.kind == "reversal"}
    if allocation_id in gone:
        return ZERO
    invoice = invoice_of(books, share.invoice_id)
    others = [o for o in mine if o.kind == "bad_debt" and o.allocation_id not in {*gone, allocation_id}]
    booked = [(o.amount, j.total) for o in others if (j := books.tx.get(Journal, journal_of(o))) is not None]
    had = (sum((amount for amount, _ in booked), ZERO), sum((tax for _, tax in booked), ZERO))
    tax = tax_within(share.amount, invoice.total, invoice.tax, invoice.currency, had)
    _book(books, invoice, journal_of(share), tax, f"tax of the bad debt of invoice {invoice.number} is had back")
    return tax


def give_back(books: Books, allocation_id: str) -> Decimal:
    """Mirror the relief of a share that is claimed again; nothing where there was none."""
    share = _held(books, allocation_id)
    booked = books.tx.get(Journal, journal_of(share))
    if booked is None:
        return ZERO
    invoice = invoice_of(books, share.invoice_id)
    told = f"invoice {invoice.number} is claimed again: its tax is owed again"
    _book(books, invoice, f"{journal_of(share)}/returned", -booked.total, told)
    return -booked.total


def _held(books: Books, allocation_id: str) -> Allocation:
    """The share; relief and return of one invoice wait for each other."""
    share = books.tx.get(Allocation, allocation_id)
    assert share is not None
    books.tx.lock(f"relief:{share.invoice_id}")
    return share


def journal_of(share: Allocation) -> str:
    """The journal that has the tax of a share back."""
    return f"bad-debt/{share.payment_key.removeprefix('bad-debt:')}/tax-relief"


def _book(books: Books, invoice: Invoice, journal_no: str, tax: Decimal, memo: str) -> None:
    lines = booking("tax_payable", "bad_debt_expense", tax, memo, **journals.about(invoice))
    day = books.today(invoice.entity)
    if journals.keep(books, journal_no, "bad_debt", invoice.entity, invoice.currency, lines, memo, day):
        after = {"tax": str(tax), "currency": invoice.currency, "journal": journal_no}
        books.audit("invoice.tax_relief", f"invoice:{invoice.number}", after=after, reason=memo)


def adjust(books: Books, allocation_id: str, tax: Decimal) -> str:
    """The tax record follows: the journal where the entity's own rates count, EX-TAX-ADJUST where an engine reports."""
    share = books.tx.get(Allocation, allocation_id)
    assert share is not None
    invoice = invoice_of(books, share.invoice_id)
    if not tax or not books.kernel.systems.fills("TaxEngine", invoice.entity):
        return f"{tax} {invoice.currency}"
    told = books.answers.get("EX-TAX-ADJUST", {})
    document = str(told.get("document", "")).strip()
    if told.get("action") != "adjusted" or not document:
        way = "is had back" if tax > 0 else "is owed again"
        raise NeedsDecision(
            "EX-TAX-ADJUST",
            f"tax of {abs(tax)} {invoice.currency} of invoice {invoice.number} {way} with its bad debt: adjust document"
            f" {invoice.invoice_id} in the tax engine and say under which document it stands there",
            queue="tax",
            money=(tax, invoice.currency),
            context={"invoice": invoice.number, "original": invoice.number, "client": invoice.client_no},
            actions=("adjusted",),
        )
    books.audit("tax.adjust", f"invoice:{invoice.number}", actor=str(told.get("by", "")), after={"document": document})
    return f"{tax} {invoice.currency}, adjusted as {document}"
