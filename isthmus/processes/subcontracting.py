"""From a subcontractor's bill to the ERP: only approved hours are paid, each once, and not before it may be."""

from __future__ import annotations

from isthmus.ports import VendorBillBook
from isthmus.ports.messages import PostVendorBill
from isthmus.processes.work import bouncing, differing, matching, paying
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a subcontractor's bill comes in (file by API or CLI)",
    owner="Procurement; the project manager confirms",
    key="the supplier and the supplier's number of the bill",
    parks=(
        "EX-SUBCON-MATCH",
        "EX-SUBCON-DISPUTE",
        "EX-SUBCON-CONFIRM",
        "EX-SUBCON-CHANGED",
        "EX-VENDOR-BILL",
    ),
    undo="until its hours are paid: the bill is cancelled, and they are free again",
    lane="financial",
)
def pay_subcontractor(run: Run, bill_id: str) -> str:
    """Matched with approved time, confirmed by the project manager, posted; on hold until the client has paid."""
    run.decide("Take the bill in", matching.take, bill_id, undo=matching.cancel)
    if run.decide("Match it with approved time", matching.match_with_time, bill_id) == matching.DISPUTED:
        run.decide("Settle the dispute with the supplier", matching.settle, bill_id, False)
    if run.decide("Have the project manager confirm it", matching.confirm, bill_id) == matching.DISPUTED:
        run.decide("Settle what the project manager disputes", matching.settle, bill_id, True)
    bill = run.decide("Take its hours as paid, and keep back what is agreed", paying.approve, bill_id, final=True)
    return _post(run, bill)


@process(
    starts="the client has paid for all hours of a bill that waits (clock), or a person asks to pay before that (API)",
    owner="Procurement",
    key="the bill, and the request's name",
    parks=("EX-SUBCON-RELEASE", "EX-VENDOR-BILL"),
    undo="nothing: until it is released it stays on hold",
    lane="financial",
)
def release_subcontractor(run: Run, bill_id: str, asked_by: str, why: str) -> str:
    """Pay when paid: the hold on the payment ends with the client's money for exactly these hours."""
    bill = run.decide("See what the client has still to pay", paying.may_be_released, bill_id, asked_by, why)
    if bill is None:
        return "it may be paid already"
    released = run.effect_if_offered("Release it for payment in the ERP", VendorBillBook.release_bill, bill)
    return run.decide("Keep that it may be paid", paying.keep_released, bill_id, released, final=True)


@process(
    starts="an invoice is open again whose money had let a supplier's bill go",
    owner="Procurement",
    key="the bill, and a number from the second time on",
    parks=("EX-SUBCON-BOUNCED",),
    undo="nothing: what is paid stays paid",
    lane="financial",
)
def client_money_gone(run: Run, bill_id: str) -> str:
    """The hold comes back where it still helps; else a person says that the bill is paid all the same."""
    return run.decide("See whether the supplier may still be paid", bouncing.settle, bill_id)


@process(
    starts="what was kept back from a supplier is to be paid out though not all hours are delivered (API)",
    owner="Procurement; another person than the one who asks approves",
    key="the subcontract and the request's name",
    parks=("EX-SUBCON-RELEASE", "EX-VENDOR-BILL"),
    undo="until it is approved: nothing is paid out",
    lane="financial",
)
def release_retention(run: Run, subcontract_no: str, amount: str, asked_by: str, why: str, name: str) -> str:
    """What is kept back, or a part of it, as a bill of its own."""
    bill_id = run.decide(
        "Draw up what is paid out",
        paying.draw_up_release,
        subcontract_no,
        amount,
        asked_by,
        why,
        name,
        undo=paying.call_off_release,
    )
    run.decide("Have it approved", paying.have_release_approved, bill_id)
    bill = run.decide("Take it out of what is kept back", paying.approve, bill_id, final=True)
    return _post(run, bill)


@process(
    starts="an hour that a bill has paid is corrected, or withdrawn",
    owner="Procurement",
    key="the time entry and its revision",
    parks=("EX-SUBCON-DIFF",),
    undo="nothing: what is paid stays paid until a credit takes it back",
    lane="financial",
)
def subcontract_difference(run: Run, source_key: str, revision: int) -> str:
    """Nothing is edited: a credit or a later bill of the supplier ends it, or a person lets it stand."""
    return run.decide("See the difference through", differing.decide, source_key, revision)


def _post(run: Run, bill: PostVendorBill) -> str:
    """The bill in the ERP, or posted there by a person."""
    posted = run.effect_if_offered("Post the bill in the ERP", VendorBillBook.post_bill, bill)
    return run.decide("Keep as what it is posted", paying.keep_posted, bill.bill_id, posted)
