"""A draft's lines say what kind of service they are before the tax engine is asked: it would tax the rest as goods."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Invoice, InvoiceLine
from isthmus.runtime.books import Books


def coded(books: Books, invoice: Invoice) -> Invoice:
    """The draft with a tax code on every line: those it has, and a person's for the lines without one."""
    without = [line for line in invoice.lines if not line.tax_code]
    if not without:
        return invoice
    code = str(books.answers.get("EX-TAX-CODE", {}).get("tax_code", ""))
    if not code:
        raise _case(invoice, without)
    lines = tuple(line if line.tax_code else line.model_copy(update={"tax_code": code}) for line in invoice.lines)
    complete = invoice.model_copy(update={"lines": lines})
    books.tx.update(complete)
    numbers = [line.number for line in without]
    books.audit("invoice.tax_code", f"invoice:{invoice.invoice_id}", after={"lines": numbers, "tax_code": code})
    return complete


def _case(invoice: Invoice, without: list[InvoiceLine]) -> NeedsDecision:
    told = ", ".join(f"line {line.number} ({line.description})" for line in without)
    lines = [{"number": line.number, "description": line.description, "net": str(line.net)} for line in without]
    return NeedsDecision(
        "EX-TAX-CODE",
        f"draft {invoice.invoice_id}: {told} has no tax code",
        queue="tax",
        money=(sum((line.net for line in without), Decimal(0)), invoice.currency),
        context={
            "invoice": invoice.invoice_id,
            "contract": f"{invoice.contract_no}@{invoice.contract_version}",
            "client": invoice.client_no,
            "without_code": lines,
        },
        actions=("fill", "cancel"),
    )
