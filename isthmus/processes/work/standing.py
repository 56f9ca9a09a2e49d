"""Where a contract stands, for whoever looks at it in the system it comes from: also that it waits for a person."""

from __future__ import annotations

from isthmus.domain.states import CaseState
from isthmus.processes.work.asking import CURED_AT_THE_SOURCE
from isthmus.runtime.books import Books
from isthmus.store.records import Case

PROCESS = "show_standing"
RECORDS = ("contract:", "invoice:")
# A refused report is not reported. What the source itself cures is asked again whenever the source changes, and a
# report would be such a change: it would go round in circles.
NOT_TOLD = frozenset({"EX-WRITEBACK", *CURED_AT_THE_SOURCE})


def stands_in_the_way(case: Case) -> bool:
    """True for a case that holds up a contract's set-up or one of its invoices."""
    told = case.exception not in NOT_TOLD and not case.run_id.startswith(f"{PROCESS}/")
    return bool(case.contract_no) and case.record.startswith(RECORDS) and told


def waits_for(books: Books, contract_no: str) -> str:
    """For whom the contract waits, in a few words; empty when for nobody."""
    cases = books.tx.find(Case, contract_no=contract_no, state=CaseState.OPEN, order=("case_no",))
    holding = [case for case in cases if stands_in_the_way(case)]
    if not holding:
        return ""
    more = f" and {len(holding) - 1} more" if len(holding) > 1 else ""
    return f"waits for {holding[0].queue} ({holding[0].case_no}{more})"
