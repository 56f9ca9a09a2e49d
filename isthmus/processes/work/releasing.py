"""Steps that invoice what is not evidence: an advance before the work, a holdback after it."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import ContractLine, ContractVersion, Invoice, InvoiceLine, LedgerEntry, Project
from isthmus.domain.states import InvoiceLife, move
from isthmus.policies.deposits import ADVANCE_CATEGORY, ADVANCE_CODE
from isthmus.policies.holdback import held_of, is_due, release
from isthmus.policies.payers import prepayer
from isthmus.processes.work import prepaying
from isthmus.processes.work.drafting import facts, held_by_payer, latest_version, run_key
from isthmus.processes.work.reading import invoice_of, version_of
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def draft_release(
    books: Books, contract_no: str, line_uid: str, asked_by: str, finally_accepted: bool, payer: str = ""
) -> Invoice | None:
    """What is held of a line, invoiced in full, when it is due. None when nothing is held that is not on its way.

    Each payer gets back to paying what it has held itself: without one named, the others get a run of their own.
    """
    books.tx.lock(f"contract:{contract_no}")
    version = latest_version(books, contract_no)
    line = version.line(line_uid)
    if line.holdback is None:
        raise BadInput(f"line {line_uid} of {version.key} holds nothing back")
    today = books.today(version.entity)
    if not is_due(line.holdback, today, finally_accepted=finally_accepted, asked_for=True):
        raise BadInput(f"the holdback of line {line_uid} is released by {line.holdback.release}: it is not due yet")
    held = _to_release(books, contract_no, line_uid)
    first, *others = [payer] if payer else sorted(held) or [""]
    for other in others:
        args = {"contract_no": contract_no, "line_uid": line_uid, "asked_by": asked_by, "payer": other}
        key = f"{run_key(books)}:{other}"
        books.start("release_holdback", key, {**args, "finally_accepted": finally_accepted}, entity=version.entity)
    if not held.get(first):
        return None
    freed = release(line_uid, held[first], line.holdback, version.currency)
    made = _line(line, freed.net, f"{line.description}: holdback released", "holdback")
    if freed.taxable != freed.net:
        made = made.model_copy(update={"taxable": freed.taxable})
    return _draft(books, version, made, "release", asked_by, first)


def due(books: Books) -> list[tuple[str, str, str]]:
    """Contract, line and the name of a release for what is held back until a day that has come."""
    entries: dict[tuple[str, str], list[LedgerEntry]] = {}
    for entry in books.tx.find(LedgerEntry, ledger="holdback", order=("entry_id",)):
        entries.setdefault((entry.contract_no, entry.line_uid), []).append(entry)
    found = []
    for (contract_no, line_uid), known in sorted(entries.items()):
        version = latest_version(books, contract_no)
        terms = [line.holdback for line in version.lines if line.line_uid == line_uid and line.holdback is not None]
        if sum((entry.amount for entry in known), ZERO) <= 0 or not terms or terms[0].release != "date":
            continue
        if is_due(terms[0], books.today(version.entity), finally_accepted=False):
            # As long as nothing more is withheld or released, it is the same release.
            found.append((contract_no, line_uid, f"{contract_no}:{line_uid}:{terms[0].release_on}:{len(known)}"))
    return found


def _to_release(books: Books, contract_no: str, line_uid: str) -> dict[str, Decimal]:
    """By payer, what is held of a line and not on its way; only of those who hold something."""
    known = books.tx.find(LedgerEntry, contract_no=contract_no, ledger="holdback", order=("entry_id",))
    entries = [entry for entry in known if entry.line_uid == line_uid]
    shown = {entry.invoice_id for entry in entries if entry.kind == "released"}
    held = {payer: held_of(own).get(line_uid, ZERO) for payer, own in held_by_payer(books, entries).items()}
    # The ledger shows a release after its issue.
    for invoice in (i for i in _living(books, contract_no, "release") if i.invoice_id not in shown):
        billed = sum((line.net for line in invoice.lines if line.line_uid == line_uid), ZERO)
        held[invoice.owed_by] = held.get(invoice.owed_by, ZERO) - billed
    return {payer: amount for payer, amount in held.items() if amount > 0}


def _living(books: Books, contract_no: str, kind: str) -> list[Invoice]:
    """Drafts and issued invoices of a kind that no credit has taken back in full."""
    return books.tx.find(Invoice, contract_no=contract_no, kind=kind, life=(InvoiceLife.DRAFT, InvoiceLife.ISSUED))


def draft_advance(books: Books, contract_no: str, line_uid: str, asked_by: str) -> Invoice:
    """The deposit of a line, invoiced before the work: once, until that is discarded or credited in full."""
    books.tx.lock(f"contract:{contract_no}")
    version = latest_version(books, contract_no)
    line = version.line(line_uid)
    terms = prepaying.terms_of(version, line_uid)
    if terms is None:
        raise BadInput(f"line {line_uid} of {version.key} has no deposit")
    for known in _living(books, contract_no, "advance"):
        if known.lines[0].line_uid == line_uid:
            told = known.number or f"{known.invoice_id}, a draft"
            raise BadInput(f"the deposit of line {line_uid} of {version.key} is on invoice {told}: it is billed once")
    told = f"{line.description}: deposit"
    if terms.mode == "cash_advance":
        line = line.model_copy(update={"tax_code": ADVANCE_CODE, "tax_category": ADVANCE_CATEGORY})
    made = _line(line, terms.amount, told, "deposit")
    return _draft(books, version, made, "advance", asked_by, prepayer(version, line))


def _line(line: ContractLine, net: Decimal, told: str, kind: str) -> InvoiceLine:
    return InvoiceLine(
        number=1,
        description=told,
        quantity=Decimal(1),
        unit_price=net,
        net=net,
        tax_code=line.tax_code,
        tax_category=line.tax_category,
        line_uid=line.line_uid,
        kind=kind,
    )


def _draft(books: Books, version: ContractVersion, line: InvoiceLine, kind: str, by: str, payer: str) -> Invoice:
    project = books.tx.find(Project, contract_no=version.contract_no, limit=1)[0]
    invoice = Invoice(
        invoice_id=run_key(books),
        kind=kind,
        contract_no=version.contract_no,
        contract_version=version.version,
        client_no=version.client_no,
        entity=version.entity,
        project_code=project.project_code,
        currency=version.currency,
        period=f"{books.today(version.entity):%Y-%m}",
        lines=(line,),
        net=line.net,
        po_number=version.po_number,
        payment_terms=version.payment_terms,
        prepared_by=by,
        bill_to=payer,
    )
    books.tx.insert(invoice)
    books.emit("invoice.drafted", f"invoice:{invoice.invoice_id}", facts(invoice), entity=invoice.entity)
    return invoice


def discard(books: Books, *_: object) -> str:
    """Undo of a draft without evidence."""
    invoice = books.tx.get(Invoice, run_key(books))
    if invoice is None:
        return "nothing was drafted"
    books.tx.update(move(invoice, "life", InvoiceLife.DISCARDED))
    return "discarded"


def keep_ledgers(books: Books, invoice_id: str) -> int:
    """What an issued invoice changes in the balances of its contract: withheld, released, granted; the number of
    entries of its holdback.

    Append-only: one entry per invoice line, under a key of its own, so that a second attempt changes nothing.
    """
    invoice = invoice_of(books, invoice_id)
    version = version_of(books, invoice)
    entries = [_entry(books, invoice, line) for line in invoice.lines]
    prepaying.keep_grant(books, invoice)
    return sum(books.tx.insert_new(entry) for entry in entries if entry is not None and version)


def _entry(books: Books, invoice: Invoice, line: InvoiceLine) -> LedgerEntry | None:
    kind, amount = "", ZERO
    if line.held:
        kind, amount = "withheld", line.held
    elif line.kind == "holdback":
        kind, amount = "released", -line.net
    if not kind:
        return None
    return LedgerEntry(
        entry_id=f"{invoice.invoice_id}/{line.number}/{kind}",
        ledger="holdback",
        contract_no=line.contract_no or invoice.contract_no,
        line_uid=line.line_uid,
        period=invoice.period,
        kind=kind,
        amount=amount,
        currency=invoice.currency,
        invoice_id=invoice.invoice_id,
        recorded_at=books.now,
    )
