"""What holds for every ERP that is given an invoice to post."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import RemoteRefusal
from isthmus.domain.journals import JournalLine
from isthmus.domain.objects import ExternalRef
from isthmus.kit.mapping import at_minor_unit
from isthmus.kit.wire import Row
from isthmus.ports.messages import PostedBill, PostedInvoice, PostInvoice, PostVendorBill

TWICE = "DUPLICATE"  # the remote code of a refusal because something is posted more than once


def as_posted(
    ref: ExternalRef,
    number: str,
    amounts: tuple[Any, Any],
    currency: str,
    client_no: str,
    state: str = "posted",
    sign: int = 1,
    issue_date: date | None = None,
) -> PostedInvoice:
    """A document as a system has it. amounts: its total and what is open of it, with that system's sign."""
    total, left = (at_minor_unit(sign * Decimal(amount), currency) for amount in amounts)
    facts: Row = {"currency": currency, "client_no": client_no, "state": state, "issue_date": issue_date}
    return PostedInvoice(ref=ref, number=number, total=total, open=left, **facts)


def same_total(posted: PostedInvoice, invoice: PostInvoice) -> PostedInvoice:
    """The posted invoice, if its total is ours to the cent; anything else is a refusal that a person looks at."""
    return same_amount(posted, f"{invoice.total} {invoice.currency}")


def same_amount(posted: PostedInvoice, ours: str) -> PostedInvoice:
    """As same_total, with our total as text, such as 261.30 USD."""
    made = f"{posted.total} {posted.currency}"
    if made != ours:
        cause = f"{posted.ref.system} made invoice {posted.number} {made} of {ours}"
        raise RemoteRefusal(cause, remote_code="TOTAL_DIFFERS", field="total", system=posted.ref.system)
    return posted


def same_payable(posted: PostedBill, bill: PostVendorBill) -> PostedBill:
    """The posted bill, if what is payable there before tax is ours to the cent; anything else is a refusal."""
    if (posted.total, posted.currency) != (bill.total, bill.currency):
        made = f"{posted.total} {posted.currency} of {bill.total} {bill.currency}"
        cause = f"{posted.ref.system} made bill {bill.bill_no} of {bill.supplier} {made}"
        raise RemoteRefusal(cause, remote_code="TOTAL_DIFFERS", field="total", system=posted.ref.system)
    return posted


def one_side(line: JournalLine) -> Row:
    """The debit or the credit of a journal's line, in the words of most ledgers, with its text."""
    return {"debit" if line.debit else "credit": line.debit or line.credit, "memo": line.text}


def same_number(number: str, ours: str, system: str) -> str:
    """The number a system has posted an invoice under, if it is ours. Else a refusal: ours is the legal one."""
    if number != ours:
        cause = f"{system} posted {ours} under its own number {number}: its numbering has to take ours"
        raise RemoteRefusal(cause, remote_code="NUMBER_DIFFERS", field="number", system=system)
    return number


def one_of_copies(
    copies: list[Row], is_posted: Callable[[Row], bool], number: str, system: str
) -> tuple[Row | None, list[Row]]:
    """The one document of our number to go on with, and unposted copies that a request carried out twice has left.

    A refusal when two are posted: that is money claimed twice, and a person has to take one back.
    """
    posted = [copy for copy in copies if is_posted(copy)]
    if len(posted) > 1:
        cause = f"{system} has posted {number} {len(posted)} times"
        raise RemoteRefusal(cause, remote_code=TWICE, field="number", system=system)
    kept = posted or copies[:1]
    return (kept[0] if kept else None), [copy for copy in copies if copy not in kept]


def ready_to_post(lines: int, total: Decimal, invoice: PostInvoice, system: str) -> None:
    """A refusal unless what is about to be posted is our invoice: afterwards it would be too late."""
    if (lines, total) != (len(invoice.lines), invoice.total):
        cause = f"{system} has {invoice.number} with {lines} lines of {total} {invoice.currency}, not {invoice.total}"
        raise RemoteRefusal(f"{cause}; it is not posted", remote_code="TOTAL_DIFFERS", field="total", system=system)


def sign_of(document: PostInvoice) -> int:
    """1 for an invoice, -1 for a credit memo, where that is an invoice with negative lines."""
    return -1 if document.original_number else 1
