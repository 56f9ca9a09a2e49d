"""INV-05, INV-06, INV-07, INV-10, INV-20 and INV-25: every document adds up and is made of evidence, billed once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal

from isthmus.domain.money import round_half_away
from isthmus.domain.objects import Allocation, BillablePart, Invoice, InvoiceLine
from isthmus.domain.states import InvoiceLife, PartState, Settlement
from isthmus.policies.tax_decision import REVERSE_CHARGE
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.view import ContractBooks, is_of, source_of, total
from isthmus.store.tx import Tx

ZERO = Decimal(0)
BILLED = (PartState.ON_DRAFT, PartState.INVOICED)


def _finding(control: str, invoice: Invoice, problem: str, amount: Decimal = ZERO, line: int = 0) -> Finding:
    key = (invoice.number or invoice.invoice_id) + (f":{line}" if line else "")
    return Finding(control, key, problem, "billing", abs(amount), invoice.currency)


# -- arithmetic ------------------------------------------------------------------------------------------------


def check_arithmetic(books: ContractBooks) -> list[Finding]:
    """INV-05, first half: lines, tax by line and by category, net, tax and total of what was issued."""
    findings = []
    for invoice in books.issued:
        net, tax = total(line.net for line in invoice.lines), total(line.tax for line in invoice.lines)
        by_category = total(category.tax for category in invoice.tax_breakdown)
        sums = (
            ("net", invoice.net, "its lines", net),
            ("tax", invoice.tax, "its lines", tax),
            ("tax", invoice.tax, "its categories", by_category if invoice.tax_breakdown else invoice.tax),
            ("total", invoice.total, "net and tax", invoice.net + invoice.tax),
        )
        for what, told, where, found in sums:
            if told != found:
                problem = f"{what} {told}, {where} are {found}"
                findings.append(_finding("INV-05", invoice, problem, told - found))
    return findings


def check_settled(tx: Tx) -> list[Finding]:
    """INV-05, second half: what is open is the total less all that settles it, never below nothing."""
    settled: dict[str, Decimal] = defaultdict(Decimal)
    for share in tx.find(Allocation):
        settled[share.invoice_id] += share.amount
    findings = []
    for invoice in tx.find(Invoice, life=(InvoiceLife.ISSUED, InvoiceLife.CREDITED), order=("number",)):
        if invoice.kind == "credit":
            continue
        left = invoice.total - settled[invoice.invoice_id]
        if invoice.open != left or invoice.open < 0:
            problem = f"{invoice.open} open, {left} is left of {invoice.total}"
            findings.append(_finding("INV-05", invoice, problem, invoice.open - left))
        elif (invoice.open == 0) != (invoice.settlement in (Settlement.PAID, Settlement.WRITTEN_OFF)):
            findings.append(_finding("INV-05", invoice, f"{invoice.settlement} with {invoice.open} open", invoice.open))
    return findings


# -- evidence --------------------------------------------------------------------------------------------------


def check_lines(books: ContractBooks) -> list[Finding]:
    """INV-07: a line is the sum of its parts less what is held back; a line without parts says what it is instead.

    A credit memo that is made of evidence gives back what its parts come to.
    """
    findings = []
    for invoice in books.issued:
        sign = -1 if invoice.kind == "credit" else 1
        for line in invoice.lines:
            if (line.kind != "evidence" and not line.part_ids) or not is_of(books.contract_no, invoice, line):
                continue
            parts = [books.part[part_id] for part_id in line.part_ids if part_id in books.part]
            net = sign * total(part.net for part in parts) - line.held
            if len(parts) != len(line.part_ids) or not parts or net != line.net:
                problem = f"line says {line.net}, its {len(parts)} parts {net}"
                findings.append(_finding("INV-07", invoice, problem, line.net - net, line.number))
    return findings


def check_billed_once(books: ContractBooks) -> list[Finding]:
    """INV-06: a part is on one living line, exactly when its state says so; no source is billed beyond its quantity."""
    living = [i for i in books.invoices if i.life is not InvoiceLife.DISCARDED]
    mine = [(i, line) for i in living for line in i.lines if is_of(books.contract_no, i, line)]
    on_lines = [(part_id, i, line) for i, line in mine for part_id in line.part_ids]
    findings = [
        _finding("INV-06", invoice, f"part {part_id} is on {count} lines", books.part[part_id].net, line.number)
        for part_id, count in Counter(part_id for part_id, _, _ in on_lines).items()
        if count > 1
        for _, invoice, line in [next(found for found in on_lines if found[0] == part_id)]
        if part_id in books.part
    ]
    where = {part_id: invoice.invoice_id for part_id, invoice, _ in on_lines}
    for part in books.parts:
        billed_on = where.get(_root(books, part), where.get(part.part_id, ""))
        if part.state in BILLED and (not billed_on or billed_on != part.invoice_id):
            problem = f"{part.state} for {part.invoice_id or 'no invoice'}, and on no line of it"
            findings.append(Finding("INV-06", part.part_id, problem, "billing", abs(part.net), part.currency))
        elif part.part_id in where and part.state not in (*BILLED, PartState.CREDITED, PartState.SUPERSEDED):
            problem = f"{part.state}, and on {where[part.part_id]}"
            findings.append(Finding("INV-06", part.part_id, problem, "billing", abs(part.net), part.currency))
    return findings + _beyond_approved(books)


def _root(books: ContractBooks, part: BillablePart) -> str:
    """The part that an invoiced part was split from, however often."""
    while part.origin_part and part.origin_part in books.part:
        origin = books.part[part.origin_part]
        if origin.invoice_id != part.invoice_id:
            break
        part = origin
    return part.part_id


def _beyond_approved(books: ContractBooks) -> list[Finding]:
    billed: dict[str, Decimal] = defaultdict(Decimal)
    for part in books.parts:
        # What waits to be given back is billed too much already, but known: a credit waits for work to net it against.
        if part.state in BILLED or (part.quantity < 0 and part.state not in (PartState.SUPERSEDED, PartState.CREDITED)):
            billed[source_of(part)] += part.quantity
    return [
        Finding("INV-06", key, f"{billed[key]} billed of {allowed} approved", "billing", ZERO, item.currency)
        for key, item in books.latest.items()
        if billed[key] > (allowed := item.entry_quantity if item.billable else ZERO)
    ]


# -- credits ---------------------------------------------------------------------------------------------------


def check_credits(books: ContractBooks) -> list[Finding]:
    """INV-10: no line is credited beyond its net or its tax, always at its own rate; the original says how much."""
    credited: dict[tuple[str, int], list[InvoiceLine]] = defaultdict(list)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for credit in books.credits:
        totals[credit.original_invoice_id] += credit.total
        for line in credit.lines:
            credited[credit.original_invoice_id, line.credits_line].append(line)
    findings = []
    for invoice in books.claims:
        if invoice.credited != totals[invoice.invoice_id] or invoice.credited > invoice.total:
            problem = f"{invoice.credited} credited of {invoice.total}; credit memos are {totals[invoice.invoice_id]}"
            findings.append(_finding("INV-10", invoice, problem, invoice.credited - totals[invoice.invoice_id]))
        for line in invoice.lines:
            problem = _credit_problem(line, credited[invoice.invoice_id, line.number])
            if problem:
                findings.append(_finding("INV-10", invoice, problem, line.credited, line.number))
    return findings


def _credit_problem(line: InvoiceLine, credits: Sequence[InvoiceLine]) -> str:
    net, tax = total(credit.net for credit in credits), total(credit.tax for credit in credits)
    if abs(net) > abs(line.net) or abs(tax) > abs(line.tax) or net != line.credited:
        return f"{net} and tax of {tax} credited of {line.net} and {line.tax}; the line says {line.credited}"
    rates = {credit.tax_rate for credit in credits} - {line.tax_rate}
    return f"billed at {line.tax_rate}, credited at {', '.join(map(str, rates))}" if rates else ""


# -- currency and tax ------------------------------------------------------------------------------------------


def check_functional(books: ContractBooks) -> list[Finding]:
    """INV-20: the total in the books' own currency is the total at the rate that is kept with it."""
    findings = []
    for invoice in books.issued:
        if invoice.functional_total is None:
            continue
        rate = invoice.fx_rate if invoice.currency != invoice.functional_currency else Decimal(1)
        worth = round_half_away(invoice.total * (rate or ZERO), invoice.functional_currency)
        if invoice.functional_total != worth:
            problem = f"{invoice.functional_total} {invoice.functional_currency}, at {rate} it is {worth}"
            findings.append(_finding("INV-20", invoice, problem, invoice.functional_total - worth))
    return findings


def check_tax(books: ContractBooks) -> list[Finding]:
    """INV-25: a category taxes its lines; a reverse charge has no tax, and both VAT ids."""
    findings = []
    for invoice in books.issued:
        taxable = total(category.taxable for category in invoice.tax_breakdown)
        due = total(line.taxed_net for line in invoice.lines)
        if invoice.tax_breakdown and taxable != due:
            findings.append(_finding("INV-25", invoice, f"categories tax {taxable} of {due}", due - taxable))
        reverse = [category for category in invoice.tax_breakdown if category.code == REVERSE_CHARGE]
        if total(abs(category.tax) for category in reverse):
            findings.append(_finding("INV-25", invoice, "a reverse charge carries tax", reverse[0].tax))
        ids = [invoice.tax_decision.get(name) for name in ("entity_tax_id", "client_tax_id")]
        if reverse and not all(ids):
            findings.append(_finding("INV-25", invoice, "a reverse charge without both VAT ids", reverse[0].taxable))
    return findings
