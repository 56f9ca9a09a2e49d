"""A client's money that is gone again after it had let a supplier's bill go: the supplier may be paid with nothing.

What was not released waits by itself: whether the client has paid is asked anew before every release. What was released
is a case with its money. Procurement puts it on hold there again, and the client's next money releases it as before; or
says that it is paid already, or is to be paid all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Invoice
from isthmus.domain.states import BillState, CaseState
from isthmus.domain.subcontracting import SubcontractorBill
from isthmus.processes.work.asking import ask_again
from isthmus.processes.work.buying import bill_of, moved, subcontract_of
from isthmus.processes.work.paying import still_missing
from isthmus.processes.work.reading import contracts_on
from isthmus.runtime.books import Books
from isthmus.store.records import Case, Decision, Effect, EffectState, OutboxEvent, RunRow, RunState

PROCESS, GONE = "client_money_gone", "EX-SUBCON-BOUNCED"
RELEASE = "release_subcontractor"
WRITTEN = (EffectState.DONE, EffectState.FOUND, EffectState.RESENT)


def look_at_bills(books: Books, event: OutboxEvent) -> None:
    """An invoice is open again, or a bill may be paid while one is: tell it, for each bill once until it is settled."""
    for bill in _concerned(books, event):
        if _let_go_by_the_client(books, bill) and still_missing(books.tx, bill):
            args, about = {"bill_id": bill.bill_id}, f"contract:{bill.contract_no}"
            key = next_key(books, PROCESS, bill.bill_id)
            if key:
                books.start(PROCESS, key, args, entity=bill.entity, correlation_id=about)


def _concerned(books: Books, event: OutboxEvent) -> Iterable[SubcontractorBill]:
    kind, _, name = event.aggregate.partition(":")
    if kind == "bill":
        bill = books.tx.get(SubcontractorBill, name)
        return [bill] if bill is not None and bill.state is BillState.PAYABLE else []
    invoice = books.tx.get(Invoice, name)
    contracts = contracts_on(invoice) if invoice is not None else ()
    return books.tx.find(SubcontractorBill, contract_no=contracts, state=BillState.PAYABLE) if contracts else []


def _let_go_by_the_client(books: Books, bill: SubcontractorBill) -> bool:
    """True when its payment hangs on the client's, and nobody has said that it is to be paid before that."""
    if bill.kind == "retention" or bill.payable <= 0 or subcontract_of(books, bill).payment != "when_paid":
        return False
    runs = books.tx.find(RunRow, correlation_id=f"contract:{bill.contract_no}", process=RELEASE)
    asked = [run.run_id for run in runs if run.args["bill_id"] == bill.bill_id]
    said = (books.tx.get(Decision, run_id, "EX-SUBCON-RELEASE") for run_id in asked)
    return not any(one is not None and one.values.get("action") == "approve" for one in said)


def next_key(books: Books, process: str, bill_id: str) -> str:
    """The business key of a bill's next run of a process; empty while one is under way."""
    number, key = 1, bill_id
    while (run := books.tx.get(RunRow, f"{process}/{key}")) is not None:
        if run.state not in (RunState.DONE, RunState.CANCELLED):
            return ""
        number += 1
        key = f"{bill_id}/{number}"
    return key


def settle(books: Books, bill_id: str) -> str:
    """EX-SUBCON-BOUNCED until the client has paid again, the bill is on hold again, or a person lets it stand."""
    bill = bill_of(books, bill_id)
    missing = still_missing(books.tx, bill)
    if bill.state is not BillState.PAYABLE or not missing:
        return f"bill {bill_id} waits for the client's money, or has it"
    answer = books.answers.get(GONE, {})
    by, why = str(answer.get("by", "")), str(answer.get("why", ""))
    if answer.get("action") == "held":
        moved(books, bill, BillState.POSTED, by, payment_hold=True, payment_released_by="")
        _may_be_released_again(books, bill_id)
        return f"bill {bill_id} waits for the client's money again"
    if answer.get("action") == "let_stand":
        books.audit("bill.let_stand", f"bill:{bill_id}", actor=by, reason=why, after={"missing": missing})
        return f"bill {bill_id} is paid though the client's money is gone"
    raise NeedsDecision(
        GONE,
        f"bill {bill.bill_no} of {bill.supplier}, {bill.payable} {bill.currency}, may be paid because the client had"
        f" paid for its hours; that money is gone again: {'; '.join(missing)}. Put {bill.posted_as} on hold there",
        queue="procurement",
        money=(bill.payable, bill.currency),
        context={"bill": bill_id, "missing": missing, "contract": bill.contract_no},
        actions=("held", "let_stand", "retry"),
    )


def _may_be_released_again(books: Books, bill_id: str) -> None:
    """The release was taken back there, so it is no longer what the ledger of writes says it is."""
    for effect in books.tx.find(Effect, business_key=f"{bill_id}:release"):
        if effect.state in WRITTEN:
            books.tx.update(effect.model_copy(update={"state": EffectState.UNDONE}))


def paid_again(books: Books) -> int:
    """Let the cases go whose client has paid again; the number of them."""
    waiting = books.tx.find(Case, state=CaseState.OPEN, exception=GONE)
    return sum(_has_paid(books, case) for case in waiting)


def _has_paid(books: Books, case: Case) -> bool:
    bill = books.tx.get(SubcontractorBill, str(case.context["bill"]))
    if bill is None or still_missing(books.tx, bill):
        return False
    return ask_again(books, case.case_no, "the client has paid again")
