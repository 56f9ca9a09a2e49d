"""A subcontractor's bill explained: each line down to approved hours, rate and evidence, and what it waits for."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from pydantic import BaseModel

from isthmus.domain.errors import NotFound
from isthmus.domain.money import Exact
from isthmus.domain.objects import TimeEntry
from isthmus.domain.states import BillState, CaseState
from isthmus.domain.subcontracting import Claim, PaidHours, RetentionEntry, SubcontractorBill
from isthmus.processes.work import paying
from isthmus.processes.work.buying import client_side, newest
from isthmus.store.records import Case, CrossReference
from isthmus.store.shared import last_words
from isthmus.store.tx import Tx

ZERO = Decimal(0)


class HourPaid(BaseModel):
    """What of an approved entry a bill pays, who approved it, what it is now, and where the client's money is.

    rate, amount: None for who may not see what a person costs.
    """

    entry: str
    revision: int
    person: str
    day: date
    hours: Exact
    rate: Exact | None
    amount: Exact | None
    approved_by: str
    approved_at: datetime
    approved_now: Exact
    client: list[str]


class BillLineExplained(BaseModel):
    """A line as the supplier wrote it, and the entries it pays. beyond: what it asks over their worth."""

    number: int
    person: str
    start: date
    end: date
    hours: Exact
    amount: Exact
    worth: Exact
    beyond: Exact
    entries: list[HourPaid]


class KeptBack(BaseModel):
    """One movement of what is kept back, by the term it follows from."""

    kind: str
    until_percent: Exact | None
    amount: Exact


class BillExplained(BaseModel):
    """A bill with everything behind it. waits_for: what the client has still to pay before it may be paid.

    held: kept back under the subcontract by now. agrees: hours, difference and retention make what is payable.
    """

    bill: SubcontractorBill
    subcontract: str
    payment: str
    lines: list[BillLineExplained]
    kept: list[KeptBack]
    held: Exact
    waits_for: list[str]
    open_cases: list[str]
    external: list[str]
    agrees: bool


def find_bill(tx: Tx, name: str) -> SubcontractorBill:
    """By supplier and number (SUBS:B-7), else by a number that only one supplier has used. NotFound otherwise."""
    found = tx.get(SubcontractorBill, name)
    named = [found] if found is not None else tx.find(SubcontractorBill, bill_no=name, order=("bill_id",), limit=20)
    if len(named) != 1:
        several = f"; there are {', '.join(bill.bill_id for bill in named)}" if named else ""
        raise NotFound(f"no bill {name}{several}")
    return named[0]


def without_cost(bill: SubcontractorBill) -> SubcontractorBill:
    """The bill without what an hour of each person costs, for who may not see that: as the supplier wrote it."""
    return bill.model_copy(update={"claims": ()})


def explain_bill(tx: Tx, name: str, *, sees_cost: bool = True) -> BillExplained:
    """The bill explained. Changes nothing. sees_cost: whether whoever asks may see what a person costs."""
    bill = find_bill(tx, name)
    subcontract = newest(tx, bill.subcontract_no)
    kept = tx.find(RetentionEntry, bill_id=bill.bill_id, order=("entry_id",))
    waits = bill.payment_hold or (subcontract is not None and subcontract.payment == "when_paid")
    cases = tx.find(Case, correlation_id=f"contract:{bill.contract_no}", state=CaseState.OPEN, order=("case_no",))
    mine = [f"{c.case_no} {c.exception}" for c in cases if c.context.get("bill") == bill.bill_id]
    crossed = tx.find(CrossReference, key=bill.bill_id)
    return BillExplained(
        bill=bill if sees_cost else without_cost(bill),
        subcontract=subcontract.key if subcontract else bill.subcontract_no,
        payment=subcontract.payment if subcontract else "",
        lines=_lines(tx, bill, sees_cost),
        kept=[KeptBack(kind=k.kind, until_percent=k.until_percent, amount=k.amount) for k in kept],
        held=paying.held_of(tx, bill.subcontract_no),
        waits_for=paying.still_missing(tx, bill) if waits and bill.state is not BillState.PAYABLE else [],
        open_cases=mine,
        external=sorted({f"{ref.system} {ref.remote_type} {ref.remote_id}" for ref in crossed}),
        agrees=_agrees(tx, bill),
    )


def _lines(tx: Tx, bill: SubcontractorBill, sees_cost: bool) -> list[BillLineExplained]:
    keys = [claim.source_key for claim in bill.claims]
    last, side = last_words(tx, keys), client_side(tx, keys)
    told = []
    for number, line in enumerate(bill.lines, start=1):
        claims = [claim for claim in bill.claims if claim.line == number]
        worth = sum((claim.amount for claim in claims), ZERO)
        entries = []
        for claim in claims:
            now = last[claim.source_key]
            client = [
                f"{one.net} {one.state.replace('_', ' ')}{f' on {one.invoice}, {one.open} open' if one.invoice else ''}"
                for one in side.get(claim.source_key, ())
            ]
            entries.append(_hour(claim, now, client, sees_cost))
        facts = line.model_dump()
        told.append(BillLineExplained(number=number, worth=worth, beyond=line.amount - worth, entries=entries, **facts))
    return told


def _hour(claim: Claim, now: TimeEntry, client: list[str], sees_cost: bool) -> HourPaid:
    return HourPaid(
        entry=claim.source_key,
        revision=claim.entry_revision,
        person=claim.person,
        day=claim.service_date,
        hours=claim.hours,
        rate=claim.rate if sees_cost else None,
        amount=claim.amount if sees_cost else None,
        approved_by=now.approved_by,
        approved_at=now.approved_at,
        approved_now=now.hours,
        client=client,
    )


def _agrees(tx: Tx, bill: SubcontractorBill) -> bool:
    """Before it is confirmed there is nothing to agree with."""
    if bill.state not in (BillState.CONFIRMED, BillState.POSTED, BillState.PAYABLE):
        return True
    paid = sum((one.amount for one in tx.find(PaidHours, bill_id=bill.bill_id)), ZERO)
    return bill.payable == paid + bill.difference - bill.retained + bill.released
