"""INV-12, INV-13 and INV-32: nothing is drawn, released or allocated that was not there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from isthmus.domain.objects import Allocation, Invoice, InvoiceLine, LedgerEntry, Payment
from isthmus.domain.states import Posting
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.view import ContractBooks, is_of, total
from isthmus.store.tx import Tx

ZERO = Decimal(0)
SPENDABLE = ("retainer", "deposit", "holdback")


def check_balances(books: ContractBooks) -> list[Finding]:
    """INV-12, INV-13: the balance of a retainer, a deposit or a holdback is never below nothing."""
    amounts: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    hours: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in books.ledger:
        if entry.ledger in SPENDABLE:
            amounts[entry.ledger, entry.line_uid] += entry.amount
            hours[entry.ledger, entry.line_uid] += entry.hours
    return [
        Finding(
            "INV-13" if ledger == "holdback" else "INV-12",
            f"{books.contract_no}/{line_uid} {ledger}",
            f"a balance of {amount} and {hours[ledger, line_uid]} h",
            "billing",
            abs(amount),
            books.terms.currency,
        )
        for (ledger, line_uid), amount in amounts.items()
        if amount < 0 or hours[ledger, line_uid] < 0
    ]


def check_retainers(books: ContractBooks) -> list[Finding]:
    """INV-12 in hours: what is billed beyond quotas was worked, and beyond all quotas granted; a month has one fee."""
    findings = []
    for line in books.terms.lines:
        if line.retainer is None:
            continue
        worked = total(item.entry_quantity for item in books.of_line(line.line_uid, "time"))
        beyond = [i for i in books.of_line(line.line_uid, "overage") if i.entry_net > 0 and i.entry_quantity > 0]
        overage = total(item.entry_quantity for item in beyond)
        key = f"{books.contract_no}/{line.line_uid}"
        if overage > worked:
            problem = f"{overage} h billed beyond quota of {worked} h worked"
            amount = total(item.entry_net for item in beyond)
            findings.append(Finding("INV-12", key, problem, "billing", amount, books.terms.currency))
        for fee in books.of_line(line.line_uid, "retainer_fee"):
            if fee.entry_net > line.retainer.fee and len(books.versions) == 1:
                problem = f"a fee of {fee.entry_net}, agreed is {line.retainer.fee}"
                findings.append(Finding("INV-12", fee.source_key, problem, "billing", fee.entry_net, fee.currency))
    return findings


def check_holdback(books: ContractBooks) -> list[Finding]:
    """INV-13: the ledger says of every posted line what it withheld or released, and of a credit what it gave up."""
    kept: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in books.ledger:
        if entry.ledger == "holdback":
            kept[entry.invoice_id, entry.line_uid] += entry.amount
    findings, by_id = [], {invoice.invoice_id: invoice for invoice in books.invoices}
    for invoice in books.issued:
        if invoice.posting is not Posting.POSTED:  # its ledger is kept between issue and posting
            continue
        said: dict[str, Decimal] = defaultdict(Decimal)
        for line in (line for line in invoice.lines if is_of(books.contract_no, invoice, line)):
            said[line.line_uid] += _withheld_by(invoice, line, by_id)
        for line_uid, amount in said.items():
            if kept[invoice.invoice_id, line_uid] != amount:
                problem = f"{amount} by its lines, {kept[invoice.invoice_id, line_uid]} in the ledger"
                gap = abs(amount - kept[invoice.invoice_id, line_uid])
                key = f"{invoice.number} {line_uid}"
                findings.append(Finding("INV-13", key, problem, "billing", gap, invoice.currency))
    return findings


def _withheld_by(invoice: Invoice, line: InvoiceLine, known: Mapping[str, Invoice]) -> Decimal:
    """What a line adds to what is held: an invoice withholds or releases, a credit of it gives back."""
    if invoice.kind != "credit":
        return line.held - (line.net if line.kind == "holdback" else ZERO)
    released = {one.number for one in known[invoice.original_invoice_id].lines if one.kind == "holdback"}
    again = line.net if line.credits_line in released and invoice.reason == "error_rebill" else ZERO
    return again - line.held


def check_advances(tx: Tx) -> list[Finding]:
    """INV-12: what a cash advance pays of an invoice, or gets back, is a movement of its ledger, to the cent."""
    findings = []
    for share in tx.find(Allocation, kind="deposit", order=("allocation_id",)):
        moved = tx.get(LedgerEntry, re.split("[<>]", share.allocation_id)[0])
        if moved is None or moved.amount != -share.amount:
            problem = f"{share.amount} settled, {-moved.amount if moved else 'nothing'} drawn"
            currency = moved.currency if moved else ""
            findings.append(Finding("INV-12", share.allocation_id, problem, "receivables", abs(share.amount), currency))
    return findings


def check_payments(tx: Tx) -> list[Finding]:
    """INV-32: no payment gives more than it brought; what was allocated of one nobody knows is found too."""
    payments = {payment.key: payment for payment in tx.find(Payment)}
    given: dict[str, Decimal] = defaultdict(Decimal)
    shares = tx.find(Allocation, kind=("payment", "reversal"))
    money = {share.allocation_id for share in shares if share.kind == "payment"}
    for share in shares:
        if share.kind == "payment" or share.reverses in money:  # what settled beside the money goes back beside it
            given[share.payment_key] += share.amount
    findings = []
    for key, amount in sorted(given.items()):
        payment = payments.get(key)
        limit = payment.amount if payment and not payment.reversed_on else ZERO
        if amount > limit or amount < 0:
            problem = f"{amount} allocated of {limit}" if payment else f"{amount} allocated of no payment"
            currency = payment.currency if payment else ""
            findings.append(Finding("INV-32", key, problem, "receivables", abs(amount - limit), currency))
    return findings
