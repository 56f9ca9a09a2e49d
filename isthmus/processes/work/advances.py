"""Cash advances: an issued invoice is paid from them, after tax; a credit of what they paid goes back to them."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.journals import booking
from isthmus.domain.objects import Allocation, ContractLine, ContractVersion, Invoice, LedgerEntry
from isthmus.domain.states import move
from isthmus.policies import deposits
from isthmus.policies.cash import settlement_after
from isthmus.policies.payers import prepayer
from isthmus.processes.work import journals, prepaying
from isthmus.processes.work.drafting import facts, latest_version
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def to_pay_from(books: Books, invoice: Invoice) -> list[tuple[ContractVersion, str]]:
    """Contract lines of an invoice that have a cash advance, each with the newest terms of its contract."""
    if invoice.kind != "standard":
        return []
    places = sorted({(line.contract_no or invoice.contract_no, line.line_uid) for line in invoice.lines})
    versions = {contract_no: latest_version(books, contract_no) for contract_no, _ in places}
    known = {
        contract_no: {line.line_uid for line in version.lines if _pays(version, line, invoice)}
        for contract_no, version in versions.items()
    }
    return [(versions[contract_no], uid) for contract_no, uid in places if uid in known[contract_no]]


def _pays(version: ContractVersion, line: ContractLine, invoice: Invoice) -> bool:
    """True where a cash advance of the line may pay the invoice: who owes it has paid that."""
    advance = line.deposit is not None and line.deposit.mode == "cash_advance"
    return advance and prepayer(version, line) == invoice.owed_by


def pay(books: Books, invoice: Invoice) -> Invoice:
    """The issued invoice, less what the cash advances of its lines pay of it: the balance, or the line's gross.

    Like a payment it settles and changes no amount of the document; unlike one it is there at issue. The general ledger
    moves it from the client's deposits to its receivables.
    """
    paid = ZERO
    for version, line_uid in to_pay_from(books, invoice):
        books.tx.lock(f"contract:{version.contract_no}")
        terms = prepaying.terms_of(version, line_uid)
        assert terms is not None
        entries = prepaying.entries_of(books, version.contract_no, line_uid)
        mine = [line for line in invoice.lines if line.contract_no in ("", version.contract_no)]
        due = min(deposits.drawable(mine, line_uid), invoice.open - paid)
        day, currency = books.today(invoice.entity), invoice.currency
        draw = deposits.draw(terms, entries, net=ZERO, total=due, day=day, currency=currency)
        for movement in draw.movements:
            written = prepaying.write(
                books, invoice, line_uid, "draw", -movement.amount, movement.lot, contract_no=version.contract_no
            )
            _settle(books, invoice, written, movement.amount)
        paid += draw.settles
    return _lessened(books, invoice, paid) if paid else invoice


def _settle(books: Books, invoice: Invoice, drawn: LedgerEntry, amount: Decimal) -> None:
    share = Allocation(
        allocation_id=f"{drawn.entry_id}>{invoice.invoice_id}",
        payment_key=drawn.source_key,
        invoice_id=invoice.invoice_id,
        amount=amount,
        kind="deposit",
    )
    books.tx.insert(share)


def _lessened(books: Books, invoice: Invoice, paid: Decimal) -> Invoice:
    """Less is open by what was paid; more, for a negative amount."""
    left = invoice.open - paid
    state = settlement_after(invoice.total, left)
    changed = move(invoice, "settlement", state) if state is not invoice.settlement else invoice
    return changed.model_copy(update={"open": left})


def tell(books: Books, invoice: Invoice) -> None:
    """What an issued invoice has been paid from advances goes to the general ledger, under the invoice's number."""
    amount = invoice.total - invoice.open  # at issue nothing else has paid it yet
    if amount:
        _book(books, invoice, f"deposit/{invoice.number}", amount, f"advance drawn by invoice {invoice.number}")
        event = "invoice.partially_paid" if invoice.open else "invoice.paid"
        books.emit(event, f"invoice:{invoice.invoice_id}", facts(invoice), entity=invoice.entity)


def give_back(books: Books, original: Invoice, credit: Invoice) -> Invoice:
    """The credited invoice, open again by what advances had paid of the credited amount: it can be drawn again.

    What is open is credited first, then what advances paid, and money that was received last: that goes on account.
    """
    drawn = books.tx.find(Allocation, invoice_id=original.invoice_id, kind="deposit", order=("allocation_id",))
    paid = sum((share.amount for share in drawn), ZERO)
    back = min(credit.total - min(original.open, credit.total), paid)
    if back <= 0:
        return original
    left = back
    for share in (share for share in drawn if share.amount > 0):
        returned = sum((-one.amount for one in drawn if one.reverses == share.allocation_id), ZERO)
        amount = min(share.amount - returned, left)
        left -= amount
        if amount:
            _give_back_one(books, original, credit, share, amount)
    _book(books, original, f"deposit/{credit.number}", -back, f"advance given back by credit {credit.number}")
    return _lessened(books, original, -back)


def _give_back_one(books: Books, original: Invoice, credit: Invoice, share: Allocation, amount: Decimal) -> None:
    lot = books.tx.get(LedgerEntry, share.payment_key)
    assert lot is not None
    written = prepaying.write(
        books, original, lot.line_uid, "adjust", amount, share.payment_key, contract_no=lot.contract_no,
        expires=lot.expires,
    )  # fmt: skip
    reversal = Allocation(
        allocation_id=f"{written.entry_id}<{credit.number}",
        payment_key=share.payment_key,
        invoice_id=original.invoice_id,
        amount=-amount,
        kind="deposit",
        reverses=share.allocation_id,
    )
    books.tx.insert(reversal)


def _book(books: Books, invoice: Invoice, journal_no: str, amount: Decimal, memo: str) -> None:
    lines = booking("customer_deposits", "receivables", amount, memo, **journals.about(invoice))
    day = invoice.issue_date or books.today(invoice.entity)
    journals.keep(books, journal_no, "deposit_drawn", invoice.entity, invoice.currency, lines, memo, day)
