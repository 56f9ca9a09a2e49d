"""What is left of a deposit after its last day: breakage, revenue of the month in which it expired."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.journals import booking
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import ContractVersion, Invoice, LedgerEntry
from isthmus.policies import deposits
from isthmus.policies.proration import month_of
from isthmus.processes.work import journals, prepaying
from isthmus.processes.work.closing import booking_of
from isthmus.processes.work.drafting import latest_version
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def due(books: Books) -> list[str]:
    """Grants past their last day of which something is left, as keys of what they grant."""
    found = []
    entries: dict[tuple[str, str], list[LedgerEntry]] = {}
    for entry in books.tx.find(LedgerEntry, ledger="deposit", order=("recorded_at", "entry_id")):
        entries.setdefault((entry.contract_no, entry.line_uid), []).append(entry)
    for (contract_no, _), known in entries.items():
        if any(entry.expires for entry in known):
            today = books.today(latest_version(books, contract_no).entity)
            found += [movement.lot for movement in deposits.expired(known, today)]
    return found


def forfeit(books: Books, grant: str) -> str:
    """The rest of a lot leaves the deposit and is revenue. A draft that is given up later gives back a lot of its own.

    A tax deposit was taxed as an advance: what is forfeited keeps its tax. A cash advance never was: the tax desk says
    what of it is tax (EX-BREAKAGE) before anything is booked.
    """
    lot_entry = books.tx.get(LedgerEntry, grant)
    assert lot_entry is not None and lot_entry.expires is not None
    contract_no, line_uid = lot_entry.contract_no, lot_entry.line_uid
    books.tx.lock(f"contract:{contract_no}")
    version = latest_version(books, contract_no)
    known = prepaying.entries_of(books, contract_no, line_uid)
    left = sum((m.amount for m in deposits.expired(known, books.today(version.entity)) if m.lot == grant), ZERO)
    if not left:
        return "nothing is left of it"
    tax = _tax_of(books, version, lot_entry, left)
    day = booking_of(books, version.entity, lot_entry.expires + timedelta(days=1), "revenue").accounting_date
    period = month_of(day)
    _write(books, lot_entry, "expire", left - tax, period)
    if tax:
        _write(books, lot_entry, "adjust", tax, period)
    memo = f"deposit of {contract_no} line {line_uid} not drawn by {lot_entry.expires}"
    facts = {"contract_no": contract_no, "client_no": version.client_no}
    lines = [
        *booking("customer_deposits", "breakage_revenue", left - tax, memo, **facts),
        *booking("customer_deposits", "tax_payable", tax, memo, **facts),
    ]
    journals.keep(books, f"breakage/{grant}", "breakage", version.entity, version.currency, lines, memo, day)
    told = {"grant": grant, "amount": str(left - tax), "tax": str(tax), "currency": version.currency}
    books.emit("deposit.expired", f"contract:{contract_no}", told, entity=version.entity)
    books.audit("deposit.expire", f"contract:{contract_no}", after=told, reason=memo)
    return f"{left - tax} {version.currency} is revenue of {period}"


def _write(books: Books, lot: LedgerEntry, kind: str, amount: Decimal, period: str) -> None:
    """A movement out of the lot: what expires is revenue of its period, what is adjusted goes to the tax office."""
    entry = LedgerEntry(
        entry_id=f"{lot.entry_id}/expire" if kind == "expire" else f"{lot.entry_id}/expire/tax",
        ledger="deposit",
        contract_no=lot.contract_no,
        line_uid=lot.line_uid,
        period=period,
        kind=kind,
        amount=-amount,
        currency=lot.currency,
        source_key=lot.entry_id,
        recorded_at=books.now,
    )
    books.tx.insert(entry)


def _tax_of(books: Books, version: ContractVersion, lot: LedgerEntry, left: Decimal) -> Decimal:
    """The tax within what is forfeited: none of a deposit that was taxed, the tax desk's word for a cash advance."""
    advance = books.tx.get(Invoice, lot.invoice_id)
    if advance is None or not deposits.on_account(advance):
        return ZERO
    answer = books.answers.get("EX-BREAKAGE", {})
    if answer.get("action") != "book":
        raise NeedsDecision(
            "EX-BREAKAGE",
            f"{left} {lot.currency} of advance {advance.number} of {version.key} was not drawn by {lot.expires} and is"
            " forfeited; it was never taxed: say what of it is tax",
            queue="tax",
            money=(left, lot.currency),
            context={"contract": version.contract_no, "advance": advance.number, "client": version.client_no},
            actions=("book",),
        )
    tax = Decimal(str(answer.get("tax", "0") or "0"))
    if not ZERO <= tax < left or not is_exact_amount(tax, lot.currency):
        raise BadInput(f"{tax} {lot.currency} cannot be the tax within {left}")
    return tax
