"""Steps of a journal: kept once by what it is about, booked in the ERP, or by a person where the ERP takes none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.journals import Journal, JournalKind, JournalLine
from isthmus.domain.objects import ExternalRef, Invoice
from isthmus.processes.work.closing import booking_of
from isthmus.runtime.books import Books


def keep(
    books: Books,
    journal_no: str,
    kind: JournalKind,
    entity: str,
    currency: str,
    lines: Iterable[JournalLine],
    memo: str,
    day: date,
    about: str = "",
) -> bool:
    """Keep a journal under its number and start the run that books it. False when it is kept already, or says nothing.

    day: what it belongs to; it is booked on that day while the ledger of its month is open, else on the first open day
    after it. about: the correlation of its run; the one of this transaction unless given.
    """
    sides = tuple(lines)
    if not sides:
        return False
    journal = Journal(
        journal_no=journal_no,
        entity=entity,
        kind=kind,
        booked_on=booking_of(books, entity, day, "ledger").accounting_date,
        currency=currency,
        lines=sides,
        memo=memo,
        recorded_at=books.now,
    )
    if not books.tx.insert_new(journal):
        return False
    facts = {"journal": journal_no, "kind": kind, "total": str(journal.total), "currency": currency}
    books.emit("journal.kept", f"journal:{journal_no}", facts, entity=entity)
    books.start(
        "post_journal",
        journal_no,
        {"journal_no": journal_no},
        entity=entity,
        correlation_id=about or books.correlation_id,
    )
    return True


def about(invoice: Invoice) -> dict[str, str]:
    """What a line of a journal says it is about, when it is about an invoice."""
    return {
        "client_no": invoice.owed_by,
        "contract_no": invoice.contract_no,
        "project_code": invoice.project_code,
    }


def to_post(books: Books, journal_no: str) -> Journal:
    """The journal as it was kept."""
    journal = books.tx.get(Journal, journal_no)
    assert journal is not None
    return journal


def keep_booked(books: Books, journal_no: str, posted: ExternalRef | None) -> Journal:
    """Where the journal is booked. EX-JOURNAL where the ERP takes no journals: a person books it and says as what."""
    journal = to_post(books, journal_no)
    answer = books.answers.get("EX-JOURNAL", {})
    if posted is not None and posted.external_id:
        booked = {"booked_as": posted.external_id, "booked_by": posted.system}
    elif answer.get("action") == "booked" and str(answer.get("reference", "")).strip():
        booked = {"booked_as": str(answer.get("reference", "")), "booked_by": str(answer.get("by", ""))}
    else:
        raise _by_hand(journal)
    done = journal.model_copy(update=booked)
    books.tx.update(done)
    books.emit("journal.booked", f"journal:{journal_no}", {"journal": journal_no, **booked}, entity=journal.entity)
    books.audit("journal.book", f"journal:{journal_no}", after=booked, reason=journal.memo)
    return done


def _by_hand(journal: Journal) -> NeedsDecision:
    sides = [
        {"account": line.account, "debit": str(line.debit), "credit": str(line.credit), "text": line.text}
        for line in journal.lines
    ]
    return NeedsDecision(
        "EX-JOURNAL",
        f"journal {journal.journal_no} over {journal.total} {journal.currency} on {journal.booked_on}: {journal.memo};"
        f" no ERP of {journal.entity} takes journals from here, so book it there and say under which number",
        queue="controlling",
        money=(journal.total, journal.currency),
        context={"journal": journal.journal_no, "entity": journal.entity, "kind": journal.kind, "lines": sides},
        actions=("booked",),
    )
