"""Work the firm buys in: subcontracts, the bills of suppliers, which approved hours each pays, and what is retained."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from pydantic import model_validator

from isthmus.domain.base import Canonical
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact, is_exact_amount, minor_units
from isthmus.domain.states import BillState

ZERO = Decimal(0)


class PurchaseRate(Canonical):
    """What an hour of a supplier's person costs the firm, on days of service in [effective_from, effective_to)."""

    person: str
    rate: Exact
    effective_from: date
    effective_to: date | None = None

    def covers(self, day: date) -> bool:
        """True for a day of the window."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


class RetentionTerm(Canonical):
    """Until so much of the ordered hours is delivered, retain_percent of each bill is kept back; once it is, so much
    of what is kept back by then is paid out. Percents are numbers from 0 to 100.
    """

    until_percent: Exact
    retain_percent: Exact
    release_percent: Exact = ZERO

    @model_validator(mode="after")
    def _are_percents(self) -> RetentionTerm:
        for name in ("until_percent", "retain_percent", "release_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise BadInput(f"retention: {name} is {getattr(self, name)}: it is a number from 0 to 100")
        return self


class Subcontract(Canonical):
    """What the firm has agreed with a supplier for a project: its people and what an hour of each costs.

    A change is the next version; the newest one holds. tolerance_hours and tolerance_amount: how far a line of a bill
    may be off approved time, where it differs from what the legal entity allows. payment: when_due, or only once the
    client has paid for the same hours. payment_days: from the day of a bill until it is due. ordered_hours: what
    retention goes by. Terms of retention stand in the order of their percents.
    """

    subcontract_no: str
    version: int
    supplier: str
    entity: str
    project_code: str
    contract_no: str
    currency: str
    rates: tuple[PurchaseRate, ...]
    tolerance_hours: Exact | None = None
    tolerance_amount: Exact | None = None
    payment: Literal["when_due", "when_paid"] = "when_due"
    payment_days: int = 30
    ordered_hours: Exact | None = None
    retention: tuple[RetentionTerm, ...] = ()
    agreed_by: str
    recorded_at: datetime

    @model_validator(mode="after")
    def _can_be_held_to(self) -> Subcontract:
        minor_units(self.currency)
        numbers = (self.tolerance_hours, self.tolerance_amount, *(rate.rate for rate in self.rates))
        if any(number is not None and number < 0 for number in numbers):
            raise BadInput(f"subcontract {self.subcontract_no}: a rate or a tolerance is negative")
        if self.payment_days < 0:
            raise BadInput(f"subcontract {self.subcontract_no}: due {self.payment_days} days after the bill")
        percents = [term.until_percent for term in self.retention]
        if percents != sorted(set(percents)):
            raise BadInput(f"subcontract {self.subcontract_no}: retention is not in the order of its percents")
        if self.retention and (self.ordered_hours or ZERO) <= 0:
            raise BadInput(f"subcontract {self.subcontract_no}: retention goes by the ordered hours; say how many")
        self._one_rate_a_day()
        return self

    def _one_rate_a_day(self) -> None:
        by_person: dict[str, list[PurchaseRate]] = defaultdict(list)
        for rate in sorted(self.rates, key=lambda rate: rate.effective_from):
            by_person[rate.person].append(rate)
        for person, rates in by_person.items():
            for earlier, later in pairwise(rates):
                if earlier.covers(later.effective_from):
                    told = f"two purchase rates of {person} on {later.effective_from}"
                    raise BadInput(f"subcontract {self.subcontract_no}: {told}; end one before the other begins")

    @property
    def key(self) -> str:
        """Number and version."""
        return f"{self.subcontract_no}@{self.version}"


class BillLine(Canonical):
    """What a supplier asks for one person's time from start to end, both days included. amount is before tax.

    Hours and amount are both negative on a credit.
    """

    person: str
    start: date
    end: date
    hours: Exact
    amount: Exact

    @model_validator(mode="after")
    def _is_one_claim(self) -> BillLine:
        if self.end < self.start:
            raise BadInput(f"{self.person}: {self.end} is before {self.start}")
        if (self.hours < 0) != (self.amount < 0) or not self.hours:
            raise BadInput(f"{self.person}: {self.hours} h for {self.amount}; a credit has both negative, no line none")
        return self


class Claim(Canonical):
    """What a line of a bill pays of one approved entry; negative where a credit takes it back.

    amount: at the purchase rate, less what earlier bills have paid of the entry.
    """

    line: int
    source_key: str
    entry_revision: int
    person: str
    service_date: date
    hours: Exact
    rate: Exact
    amount: Exact


class SubcontractorBill(Canonical):
    """A bill of a supplier on its way from the door to the ERP. Amounts are before tax, in the subcontract's currency.

    bill_id: supplier and the supplier's own number. claims: the approved hours it pays. difference: what it asks beyond
    their worth; when that is more than the tolerance, accepted_by and accepted_why say who lets it pass. settled: the
    step in which its last dispute was. payable: total less retained plus released. payment_hold: the client's money for
    the same hours is not there yet. A bill of kind retention asks for nothing: it pays out what was kept back.
    """

    bill_id: str
    kind: Literal["bill", "retention"] = "bill"
    bill_no: str
    supplier: str
    subcontract_no: str
    entity: str
    project_code: str
    contract_no: str
    currency: str
    billed_on: date
    due_on: date
    lines: tuple[BillLine, ...]
    total: Exact
    content_hash: str
    handed_in_by: str
    received_at: datetime
    source: str = ""
    state: BillState = BillState.RECEIVED
    claims: tuple[Claim, ...] = ()
    difference: Exact = ZERO
    accepted_by: str = ""
    accepted_why: str = ""
    disputed_by: str = ""
    settled: int = 0
    confirmed_by: str = ""
    retained: Exact = ZERO
    released: Exact = ZERO
    payable: Exact = ZERO
    payment_hold: bool = False
    payment_released_by: str = ""
    posted_as: str = ""
    posted_by: str = ""

    @model_validator(mode="after")
    def _adds_up(self) -> SubcontractorBill:
        if self.total != sum((line.amount for line in self.lines), ZERO):
            raise BadInput(f"bill {self.bill_id}: its lines are not {self.total}")
        for amount in (*(line.amount for line in self.lines), self.retained, self.released):
            if amount and not is_exact_amount(amount, self.currency):
                raise BadInput(f"bill {self.bill_id}: {self.currency} has {minor_units(self.currency)} decimals")
        return self

    @property
    def worth(self) -> Decimal:
        """What the hours it pays come to at the purchase rate."""
        return sum((claim.amount for claim in self.claims), ZERO)


class PaidHours(Canonical):
    """Approved hours that a bill has paid, once; a credit has taken them back where they are negative."""

    paid_id: str
    bill_id: str
    subcontract_no: str
    contract_no: str
    project_code: str
    source_key: str
    entry_revision: int
    person: str
    service_date: date
    hours: Exact
    rate: Exact
    amount: Exact
    currency: str
    recorded_at: datetime


class RetentionEntry(Canonical):
    """One movement of what is kept back from a supplier: withheld is plus, what is paid out of it minus.

    until_percent: the term it follows from; None where a person has decided.
    """

    entry_id: str
    subcontract_no: str
    bill_id: str
    kind: Literal["withheld", "released"]
    until_percent: Exact | None = None
    amount: Exact
    currency: str
    recorded_at: datetime


def bill_id_of(supplier: str, bill_no: str) -> str:
    """The key of a bill: whose it is, and its number there."""
    return f"{supplier}:{bill_no}"
