"""Deposits in the books: an advance that is paid grants, a draft draws, a draft given up or a credit gives back.

A deposit belongs to a contract line. What can be drawn is in the ledger and nowhere else, so that two drafts of a
contract, which wait for each other at its lock, never draw the same cent (INV-12).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import ContractLine, ContractVersion, Invoice, InvoiceLine, LedgerEntry
from isthmus.domain.states import InvoiceLife
from isthmus.domain.terms import Deposit
from isthmus.policies import deposits
from isthmus.policies.payers import prepayer
from isthmus.processes.work.reading import version_of
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def terms_of(version: ContractVersion, line_uid: str) -> Deposit | None:
    """The deposit of a line; None where it has none."""
    line: ContractLine = version.line(line_uid)
    return line.deposit


def with_deposits(
    books: Books, lines: Sequence[InvoiceLine], versions: Sequence[ContractVersion], payer: str
) -> list[InvoiceLine]:
    """Lines, and for each contract line with a tax deposit a negative one of what is drawn: before tax, taxed like it.

    payer: whose invoice it is; a deposit is drawn for who has paid it. A cash advance is no line: it pays of the total
    once that is known (pay_from_advances).
    """
    drawn = list(lines)
    newest = {(version.contract_no, line.line_uid): version for version in versions for line in version.lines}
    only = versions[-1].contract_no
    places = {(line.contract_no or only, line.line_uid) for line in lines}
    for contract_no, line_uid in sorted(places & newest.keys()):
        version = newest[contract_no, line_uid]
        terms = terms_of(version, line_uid)
        if terms is None or terms.mode != "tax_deposit" or prepayer(version, version.line(line_uid)) != payer:
            continue
        mine = [line for line in lines if (line.contract_no or only, line.line_uid) == (contract_no, line_uid)]
        net = sum((line.net for line in mine), ZERO)
        day = books.today(version.entity)
        entries = entries_of(books, version.contract_no, line_uid)
        draw = deposits.draw(terms, entries, net=net, total=net, day=day, currency=version.currency)
        if draw.net_line:
            drawn.append(_draw_line(len(drawn) + 1, version, line_uid, draw.net_line))
    return drawn


def _draw_line(number: int, version: ContractVersion, line_uid: str, net: Decimal) -> InvoiceLine:
    line: ContractLine = version.line(line_uid)
    return InvoiceLine(
        number=number,
        description=f"{line.description}: deposit drawn",
        quantity=Decimal(1),
        unit_price=net,
        net=net,
        tax_code=line.tax_code,
        tax_category=line.tax_category,
        line_uid=line.line_uid,
        kind="deposit",
        contract_no=version.contract_no,
        contract_version=version.version,
    )


def entries_of(books: Books, contract_no: str, line_uid: str) -> list[LedgerEntry]:
    """The deposit ledger of a contract line, as it was written."""
    return books.tx.find(
        LedgerEntry, contract_no=contract_no, line_uid=line_uid, ledger="deposit", order=("recorded_at", "entry_id")
    )


def keep_draws(books: Books, invoice: Invoice) -> None:
    """What a draft draws leaves the balance in the transaction that drafts; what expires first goes first."""
    for line in (line for line in invoice.lines if line.kind == "deposit" and line.net < 0):
        contract_no = line.contract_no or invoice.contract_no
        entries = entries_of(books, contract_no, line.line_uid)
        day = books.today(invoice.entity)
        left = -line.net
        for lot in (lot for lot in deposits.lots(entries) if lot.usable(day) and left):
            taken = min(lot.left, left)
            left -= taken
            write(books, invoice, line.line_uid, "draw", -taken, lot.entry_id, contract_no=contract_no)


def give_back(books: Books, invoice: Invoice, line_uid: str = "", amount: Decimal | None = None) -> None:
    """What an invoice drew can be drawn again: all of it, or an amount of a line. It expires when it would have."""
    own = books.tx.find(LedgerEntry, ledger="deposit", invoice_id=invoice.invoice_id, order=("entry_id",))
    drawn = [entry for entry in own if entry.kind == "draw"]
    for entry in (entry for entry in drawn if line_uid in ("", entry.line_uid)):
        share = -entry.amount if amount is None else min(amount, -entry.amount)
        if amount is not None:
            amount -= share
        if share:
            lot = books.tx.get(LedgerEntry, entry.source_key)
            expires = lot.expires if lot else None
            write(
                books,
                invoice,
                entry.line_uid,
                "adjust",
                share,
                entry.entry_id,
                contract_no=entry.contract_no,
                expires=expires,
            )


def keep_grant(books: Books, advance: Invoice) -> None:
    """What of an advance can be drawn now: more is granted as it is paid; when money bounces or the advance is
    credited, what is left of the grants goes back. What was drawn meanwhile stays drawn: the advance is open again.
    """
    if advance.kind != "advance" or not advance.number:
        return
    version = version_of(books, advance)
    line_uid = advance.lines[0].line_uid
    terms = terms_of(version, line_uid)
    assert terms is not None
    total = advance.total - advance.credited
    net = advance.net - sum((line.credited for line in advance.lines), ZERO)
    worth = deposits.granted(terms, net=net, total=total, paid=total - advance.open, currency=advance.currency)
    entries = entries_of(books, advance.contract_no, line_uid)
    own = [entry for entry in entries if entry.invoice_id == advance.invoice_id]
    change = worth - sum((entry.amount for entry in own), ZERO)
    if change > 0:
        write(books, advance, line_uid, "grant", change, "", expires=terms.expires)
        return
    grants = {entry.entry_id for entry in own if entry.kind == "grant"}
    for lot in (lot for lot in deposits.lots(entries) if lot.entry_id in grants and change):
        taken = min(lot.left, -change)
        change += taken
        if taken:
            write(books, advance, line_uid, "refund", -taken, lot.entry_id)


def check_credit(books: Books, advance: Invoice, net: Decimal) -> None:
    """BadInput when more of an advance is to be credited than was not drawn."""
    if advance.kind != "advance":
        return
    entries = entries_of(books, advance.contract_no, advance.lines[0].line_uid)
    own = {entry.entry_id: entry.amount for entry in entries if entry.invoice_id == advance.invoice_id}
    left = sum((lot.left for lot in deposits.lots(entries) if lot.entry_id in own), ZERO)
    drawn = sum(own.values(), ZERO) - left
    open_net = advance.net - sum((line.credited for line in advance.lines), ZERO) - drawn
    if net > open_net:
        raise BadInput(
            f"{net} {advance.currency} cannot be credited of advance {advance.number}: {drawn} of it is drawn by other"
            f" invoices, {open_net} is left; credit those invoices first"
        )


def not_drawn(books: Books, contract_no: str, line_uid: str) -> tuple[Decimal, list[str]]:
    """What of a line's advances can be drawn or is still asked for, in their currency, and the advances' numbers."""
    left = sum((lot.left for lot in deposits.lots(entries_of(books, contract_no, line_uid))), ZERO)
    living = books.tx.find(
        Invoice, contract_no=contract_no, kind="advance", life=(InvoiceLife.DRAFT, InvoiceLife.ISSUED)
    )
    mine = [one for one in living if any(line.line_uid == line_uid for line in one.lines)]
    unpaid = [one for one in mine if one.life is InvoiceLife.DRAFT or one.open > 0]
    asked = sum((one.open if one.number else one.net for one in unpaid), ZERO)
    return left or asked, [one.number for one in mine if one.number]


def write(
    books: Books,
    invoice: Invoice,
    line_uid: str,
    kind: str,
    amount: Decimal,
    source_key: str,
    *,
    contract_no: str = "",
    expires: object = None,
) -> LedgerEntry:
    """One movement of a deposit, under a key of its own. contract_no: where it is not the invoice's own."""
    count = len(books.tx.find(LedgerEntry, ledger="deposit", invoice_id=invoice.invoice_id))
    entry = LedgerEntry(
        entry_id=f"{invoice.invoice_id}/{kind}/{count + 1}",
        ledger="deposit",
        contract_no=contract_no or invoice.contract_no,
        line_uid=line_uid,
        period=invoice.period,
        kind=kind,
        amount=amount,
        currency=invoice.currency,
        expires=expires,
        invoice_id=invoice.invoice_id,
        source_key=source_key,
        recorded_at=books.now,
    )
    books.tx.insert(entry)
    return entry
