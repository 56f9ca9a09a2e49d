"""Cases that answer themselves: what they waited for has come, so their run asks again."""

from __future__ import annotations

from typing import Any

from isthmus.domain.states import CaseState
from isthmus.runtime.books import Books
from isthmus.store.records import Case

# What a contract's owner system can cure: its run asks that system again, and goes on or says anew what is wrong.
CURED_AT_THE_SOURCE = ("EX-MAP-TERMS", "EX-APPROVAL-INCOMPLETE")


def ask_again(books: Books, case_no: str, reason: str, **values: Any) -> bool:
    """Resolve a case so that its run asks again, in the name of whoever brought what was missing, with the reason.

    False, and nothing is changed, when it is not open any more or a person's decision on it waits for a second one.
    """
    books.tx.lock(f"case:{case_no}")
    case = books.tx.get(Case, case_no)
    if case is None or case.state is not CaseState.OPEN or case.pending or "retry" not in case.actions:
        return False
    books.kernel.resolve(books.tx, case_no, action="retry", actor=books.actor, reason=reason, values=values)
    return True


def source_has_changed(books: Books, run_id: str, reason: str) -> int:
    """The run's contract was changed where it comes from: its cases about what it says there are asked again."""
    cases = books.tx.find(Case, run_id=run_id, exception=CURED_AT_THE_SOURCE, state=CaseState.OPEN, order=("case_no",))
    return sum(ask_again(books, case.case_no, reason) for case in cases)
