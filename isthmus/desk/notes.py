"""A case's history: one line for everything that was done with it, beside the audit that everything leaves."""

from __future__ import annotations

from typing import Any

from isthmus.runtime.books import Books
from isthmus.store.desk_records import CaseNote
from isthmus.store.records import Case
from isthmus.store.tx import Tx


def note(
    books: Books,
    case_no: str,
    kind: str,
    text: str = "",
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> CaseNote:
    """Add a line, in the name of the books' actor; what changed goes into the audit too."""
    line = CaseNote(
        case_no=case_no,
        number=books.tx.next(f"note:{case_no}"),
        at=books.now,
        by=books.actor,
        kind=kind,
        text=text,
        before=before,
        after=after,
    )
    books.tx.insert(line)
    books.audit(f"case.{kind}", case_no, reason=text, before=before, after=after)
    return line


def history(tx: Tx, case_no: str) -> list[CaseNote]:
    """All lines of a case, oldest first."""
    return tx.find(CaseNote, case_no=case_no, order=("number",))


def change(books: Books, case: Case, kind: str, text: str = "", **changes: Any) -> Case:
    """The case with other desk facts, kept, with a line that says what they were before."""
    changed = case.model_copy(update=changes)
    books.tx.update(changed)
    was = case.model_dump(mode="json", include=set(changes))
    now = changed.model_dump(mode="json", include=set(changes))
    note(books, case.case_no, kind, text, before=was, after=now)
    return changed
