"""What is delivered: projects with their tasks, approved time and expenses, milestones, progress, usage.

Each has an owner outside the hub; the hub keeps what it was told, and a change is a new revision.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from isthmus.domain.base import Canonical
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact
from isthmus.domain.terms import Rate


class Task(Canonical):
    """One piece of work of a project, for one contract line."""

    code: str
    name: str
    line_uid: str
    billable: bool = True
    milestone: int | None = None
    phase: str = ""


def milestone_code(line_uid: str, number: int) -> str:
    """The code of the task that stands for a milestone of a contract line, the same in every system."""
    return f"{line_uid}-M{number}"


def milestone_of(code: str) -> tuple[str, int]:
    """The contract line and number a milestone's code speaks of. BadInput when it is no milestone's code."""
    line_uid, mark, number = code.rpartition("-M")
    if not mark or not number.isdigit():
        raise BadInput(f"{code} is no milestone of a contract line")
    return line_uid, int(number)


class Project(Canonical):
    """What is set up in PSA and ERP for an engagement. end: the day after the last one, as all our ends are; every
    connector tells its system the last day (docs/decisions/0009).
    """

    project_code: str
    name: str
    contract_no: str
    contract_version: int
    client_no: str
    entity: str
    currency: str
    start: date
    end: date | None = None
    dimensions: dict[str, str] = Field(default_factory=dict)
    template: str = ""
    budget: Exact | None = None
    tasks: tuple[Task, ...] = ()
    rates: tuple[Rate, ...] = ()


class TimeEntry(Canonical):
    """Approved time as its owner (the PSA) has it. A correction is a higher revision with the new total hours.

    hours: four decimals, never negative; service_date: in the worker's own calendar; approved_at: an instant, with
    its offset, because a later approval wins over an earlier one. started_at: local time of day, where it is known, for
    the order within a day. days: the days a weekly entry without day split is about; more than one needs a split.
    """

    source: str
    source_id: str
    revision: int = 1
    project_code: str
    task_code: str = ""
    person: str
    role: str
    service_date: date
    hours: Exact
    note: str = ""
    grade: str = ""
    region: str = ""
    work_type: str = ""
    location: str = ""
    started_at: str = ""
    days: tuple[date, ...] = ()
    approved_by: str
    approved_at: datetime
    cost_rate: Exact | None = None
    cost_currency: str = ""

    @model_validator(mode="after")
    def _a_days_work(self) -> TimeEntry:
        if self.hours < 0:
            raise BadInput(f"time entry {self.source_id}: {self.hours} hours: a quantity cannot be negative")
        if self.hours > 24 * max(1, len(self.days)):
            raise BadInput(f"time entry {self.source_id}: {self.hours} hours: a day has 24")
        if self.hours != self.hours.quantize(Decimal("0.0001")):
            raise BadInput(f"time entry {self.source_id}: {self.hours} hours: at most four decimals")
        if self.approved_at.tzinfo is None:
            raise BadInput(f"time entry {self.source_id}: approved at {self.approved_at}: its offset is missing")
        return self

    @property
    def key(self) -> str:
        """Business key of the entry over all its revisions."""
        return f"{self.source}:{self.source_id}"


class Expense(Canonical):
    """An approved expense as its owner has it. A correction is a higher revision with the new amounts.

    gross includes tax; tax is the part of it that is tax, recoverable says whether the firm gets it back. personal:
    the part of gross that is the worker's own. A per diem (days and meals) or a distance is worked out by the hub.
    """

    source: str
    source_id: str
    revision: int = 1
    project_code: str
    task_code: str = ""
    person: str
    category: str
    expense_date: date
    gross: Exact = Decimal("0")
    tax: Exact = Decimal("0")
    tax_recoverable: bool = False
    personal: Exact = Decimal("0")
    currency: str
    card_rate: Exact | None = None
    merchant_country: str = ""
    receipt_ref: str = ""
    receipt_hash: str = ""
    location: str = ""
    per_diem_day: Literal["", "first", "full", "last"] = ""
    meals_provided: tuple[Literal["breakfast", "lunch", "dinner"], ...] = ()
    distance: Exact | None = None
    billable: bool = True
    note: str = ""
    approved_by: str
    approved_at: datetime

    @property
    def key(self) -> str:
        """Business key of the expense over all its revisions."""
        return f"{self.source}:{self.source_id}"

    @model_validator(mode="after")
    def _amounts_fit(self) -> Expense:
        if self.gross < 0 or self.tax < 0 or self.personal < 0:
            raise BadInput(f"expense {self.source_id}: an amount is negative; a correction is a new revision")
        if self.tax > self.gross or self.personal > self.gross:
            raise BadInput(f"expense {self.source_id}: tax {self.tax} or personal {self.personal} exceed {self.gross}")
        if self.approved_at.tzinfo is None:
            raise BadInput(f"expense {self.source_id}: approved at {self.approved_at}: its offset is missing")
        return self


class SubmittedTime(Canonical):
    """Time that was handed in and waits for its approval: what a milestone waits for and what is accrued at close."""

    source: str
    source_id: str
    project_code: str
    task_code: str = ""
    person: str
    role: str
    service_date: date
    hours: Exact
    cost_rate: Exact | None = None
    submitted_at: datetime

    @model_validator(mode="after")
    def _a_days_work(self) -> SubmittedTime:
        if not 0 <= self.hours <= 24:
            raise BadInput(f"time entry {self.source_id}: {self.hours} hours: a day has 0 to 24")
        if self.submitted_at.tzinfo is None:
            raise BadInput(f"time entry {self.source_id}: handed in at {self.submitted_at}: its offset is missing")
        return self

    @property
    def key(self) -> str:
        """Business key, the same as that of the entry once it is approved."""
        return f"{self.source}:{self.source_id}"


class MilestoneStatus(Canonical):
    """How far a milestone is. completed is the PSA's word, accepted the engagement manager's (or the client's).

    by: whose word it is; reported_by: who handed it in, empty where a connection was asked; evidence: what shows it,
    where the one is not the other.
    """

    source: str
    source_id: str
    contract_no: str = ""
    project_code: str = ""
    line_uid: str = ""
    number: int
    state: Literal["planned", "in_progress", "completed", "accepted", "rejected"]
    by: str
    at: datetime
    evidence: str = ""
    reported_by: str = ""

    @model_validator(mode="after")
    def _can_be_ordered(self) -> MilestoneStatus:
        if self.number < 1:
            raise BadInput(f"milestone {self.source_id}: {self.number} is no number of a milestone; the first is 1")
        if self.at.tzinfo is None:
            raise BadInput(f"milestone {self.source_id}: {self.state} at {self.at}: its offset is missing")
        return self

    @property
    def key(self) -> str:
        """Business key of the milestone over all its states."""
        return f"{self.source}:{self.source_id}"


class PercentReport(Canonical):
    """Physical or cost progress of a fixed-price line on a day, approved. percent: 0 to 100."""

    contract_no: str
    line_uid: str
    as_of: date
    percent: Exact
    by: str
    at: datetime


class UsageRecord(Canonical):
    """Metered or engine-billed quantity of a period, with the hash of its evidence. amount None: quantity * price."""

    contract_no: str
    line_uid: str
    period_start: date
    period_end: date
    quantity: Exact
    unit_price: Exact
    amount: Exact | None = None
    evidence_ref: str
    evidence_hash: str
    source: str
    source_id: str
