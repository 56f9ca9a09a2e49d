"""The terms of a contract line: how hours become quantities, prices, discounts, shares, caps and payments.

Terms are data on a contract version; what they mean is decided in ``policies``. A term that is not given means that the
contract does not have it, never a default in the client's favour or the firm's. Amounts are net of tax, in the currency
of the contract, unless a term says otherwise. A recurring term counts from its start day to its end day, both included;
what it covers of a period in part is worth its share by days.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from isthmus.domain.base import Canonical
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact


class BillingType(StrEnum):
    """How a contract line earns money."""

    TM = "tm"
    FIXED_MILESTONE = "fixed_milestone"
    FIXED_PERCENT = "fixed_percent"
    RETAINER = "retainer"
    SUBSCRIPTION = "subscription"
    USAGE = "usage"
    COST_PLUS = "cost_plus"
    NON_BILLABLE = "non_billable"


# -- quantities ------------------------------------------------------------------------------------------------


class Increment(Canonical):
    """Time is billed in steps of minutes. basis: what is rounded as one; day: a person's day on the line.

    minimum_minutes: the least that one entry is billed for, zero-length entries excepted.
    """

    minutes: Literal[1, 5, 6, 10, 15, 30, 60]
    mode: Literal["up", "nearest", "down"] = "up"
    basis: Literal["entry", "person_task_day", "person_day"] = "entry"
    minimum_minutes: int = Field(default=0, ge=0)


class Band(Canonical):
    """Hours of a person's day up to up_to_hours are priced at the rate times multiplier."""

    up_to_hours: Exact
    multiplier: Exact = Decimal("1")


class DayRule(Canonical):
    """Overtime bands of a person's day on the line, lowest first. Hours beyond the last band are not billed."""

    bands: tuple[Band, ...]

    @model_validator(mode="after")
    def _bands_rise(self) -> DayRule:
        ends = [band.up_to_hours for band in self.bands]
        if not ends or ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] > 24:
            raise BadInput(f"overtime bands must rise from above 0 to 24 hours: {', '.join(map(str, ends)) or 'none'}")
        return self


# -- prices ----------------------------------------------------------------------------------------------------

# From the most specific to the least: an answer on an earlier level is never overruled by a later one.
RATE_LEVELS = ("assignment", "person_on_project", "task_role", "contract", "client", "entity", "person_default")
RateLevel = Literal["assignment", "person_on_project", "task_role", "contract", "client", "entity", "person_default"]


class Rate(Canonical):
    """One price from a day on, up to but not including another day. Empty dimensions match everything.

    level: where the price was agreed. currency: empty means the contract's. floor: the least it may be discounted to.
    card: the card beside the contract, and its version, that the price stands on.
    """

    role: str = ""
    bill_rate: Exact
    person: str = ""
    grade: str = ""
    region: str = ""
    work_type: str = ""
    location: str = ""
    task: str = ""
    level: RateLevel = "contract"
    currency: str = ""
    floor: Exact | None = None
    unit: Literal["hour", "day"] = "hour"
    effective_from: date
    effective_to: date | None = None
    card: str = ""

    def covers(self, day: date) -> bool:
        """Half-open window [effective_from, effective_to)."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


class FxPolicy(Canonical):
    """Which exchange rate converts an amount: its type, the day it is taken from, and what a day without one means."""

    rate_type: Literal["ecb", "company", "card", "fixed"] = "ecb"
    date_rule: Literal["service_date", "expense_date", "issue_date", "month_start"] = "service_date"
    missing_day: Literal["previous_business_day", "refuse"] = "previous_business_day"
    fixed_rate: Exact | None = None


class Tier(Canonical):
    """From this cumulative net on, percent is taken off."""

    from_net: Exact
    percent: Exact


class Discount(Canonical):
    """What is taken off. percent of each hour's amount; amount off an invoice, once a period; volume by tiers of the
    line's cumulative net, from the crossing on (prospective) or on everything (retroactive, with a credit item).
    """

    kind: Literal["percent", "amount", "volume_prospective", "volume_retroactive", "early_payment"]
    percent: Exact = Decimal("0")
    amount: Exact = Decimal("0")
    tiers: tuple[Tier, ...] = ()
    within_days: int = 0


# -- who pays --------------------------------------------------------------------------------------------------


class Payer(Canonical):
    """A share of a line. Exactly one payer of a line takes the remainders; without one it is the first."""

    bill_to: str
    percent: Exact
    rounding: bool = False
    po_number: str = ""


class PurchaseOrder(Canonical):
    """A client's order: what may be invoiced on it, and for which service days. amount None: no limit."""

    po_number: str
    amount: Exact | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    line_uids: tuple[str, ...] = ()


# -- limits ----------------------------------------------------------------------------------------------------


class CapKind(StrEnum):
    """A hard cap stops billing; a soft cap bills and warns."""

    HARD = "hard"
    SOFT = "soft"


CapScope = Literal["contract", "line", "payer", "payer_on_line", "po", "task", "role", "phase", "expense_class"]


class Cap(Canonical):
    """A not-to-exceed, in net amount before tax or in hours, of what lies within its scope and its window of days.

    scope says which of the selectors apply: line_uid for line, payer for payer, both for payer_on_line, and so on; "*"
    is whatever there is. valid_from and valid_to are days of service, both included.
    tolerance: how far an item may exceed the limit. split: an item that straddles the limit is divided, left out
    whole, or billed whole with a negative adjustment that is over the cap.
    """

    cap_id: str
    scope: CapScope
    line_uid: str = ""
    payer: str = ""
    po_number: str = ""
    task_code: str = ""
    role: str = ""
    phase: str = ""
    expense_class: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    measure: Literal["amount", "hours"] = "amount"
    kind: CapKind = CapKind.HARD
    limit: Exact
    tolerance: Exact = Decimal("0")
    split: Literal["split_item", "whole_item", "item_with_adjustment"] = "split_item"
    alerts_percent: tuple[int, ...] = (75, 90, 100)


class Holdback(Canonical):
    """A share of each invoice that is kept back until release. taxed: at release, or with the invoice."""

    percent: Exact
    release: Literal["final_acceptance", "date", "manual"] = "final_acceptance"
    release_on: date | None = None
    taxed: Literal["at_release", "at_invoice"] = "at_release"


# -- fixed and recurring amounts -------------------------------------------------------------------------------


class Milestone(Canonical):
    """A fixed amount (or percent of the line's price) that becomes billable when accepted.

    tasks: codes whose approved time must be complete before it bills. accepted_by: who must accept.
    parts: names and amounts of separate invoice lines that add up to the amount.
    """

    number: int
    name: str
    amount: Exact = Decimal("0")
    percent: Exact | None = None
    due: date
    tasks: tuple[str, ...] = ()
    accepted_by: Literal["engagement_manager", "client"] = "engagement_manager"
    parts: tuple[tuple[str, Exact], ...] = ()


class Retainer(Canonical):
    """A fee a month for a quota of hours. overage_rate prices hours beyond quota and rolled hours.

    rollover none: unused hours are forfeit; capped: at most rollover_max_hours go over, for rollover_periods periods;
    credit: unused hours are credited at fee / quota. late: hours of a closed period consume what is unexpired, else
    they are overage of the period they are posted in.
    """

    quota_hours: Exact
    fee: Exact
    overage_rate: Exact
    rollover: Literal["none", "capped", "credit"] = "none"
    rollover_max_hours: Exact = Decimal("0")
    rollover_periods: int = Field(default=1, ge=1)
    start: date
    end: date | None = None


class Deposit(Canonical):
    """Money paid in advance and drawn by later invoices. tax_deposit: the advance carries VAT and each draw is a
    negative net line with VAT; cash_advance: drawn from the total after tax. available: from payment, or from issue.
    """

    amount: Exact
    mode: Literal["tax_deposit", "cash_advance"] = "tax_deposit"
    available: Literal["paid", "issued"] = "paid"
    expires: date | None = None


class Subscription(Canonical):
    """A fixed amount a period. engine: amounts come from a billing engine with evidence instead."""

    amount: Exact
    every_months: Literal[1, 3, 6, 12] = 1
    start: date
    end: date | None = None
    engine: bool = False


class MinimumCommitment(Canonical):
    """The least that is billed a period: what evidence does not reach is a true-up item, prorated by days."""

    amount: Exact
    every_months: Literal[1, 3, 6, 12] = 1
    start: date
    end: date | None = None


class CostPlus(Canonical):
    """Cost times one plus markup. provisional: billed at provisional_markup until the final one is known."""

    markup_percent: Exact
    provisional_percent: Exact | None = None


class TransferPrice(Canonical):
    """What a lending entity charges the borrowing one: a fixed rate an hour, its cost plus percent, or percent of the
    bill rate. Rates are in the currency of the charge.
    """

    kind: Literal["fixed", "cost_plus", "percent_of_bill_rate"]
    rate: Exact = Decimal("0")
    percent: Exact = Decimal("0")


# -- expenses --------------------------------------------------------------------------------------------------


class PerDiem(Canonical):
    """A daily allowance: first and last day at a share, less meals that were provided, in its own currency."""

    daily: Exact
    currency: str
    travel_day_percent: Exact = Decimal("75")
    breakfast_percent: Exact = Decimal("20")
    lunch_percent: Exact = Decimal("40")
    dinner_percent: Exact = Decimal("40")


class ExpenseTerms(Canonical):
    """How expenses of a line are billed. markup_percent by category; a category that is not in billable is not billed
    (empty: all are). receipt_from: gross from which a receipt is needed, in the expense's currency. per_diems by
    location; mileage_rate per kilometre or mile of the contract.
    """

    billable: tuple[str, ...] = ()
    markup_percent: dict[str, Exact] = Field(default_factory=dict)
    receipt_from: Exact | None = None
    fx: FxPolicy = FxPolicy(date_rule="expense_date")
    per_diems: dict[str, PerDiem] = Field(default_factory=dict)
    mileage_rate: Exact | None = None
    disbursements: tuple[str, ...] = ()


class Chargeable(Canonical):
    """What a line includes: classes of evidence, roles, tasks. Empty means all. All three must say yes."""

    classes: tuple[Literal["time", "expense", "fee", "material"], ...] = ()
    roles: tuple[str, ...] = ()
    not_roles: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


class InvoiceTerms(Canonical):
    """How a contract is invoiced: what goes on one invoice, what is shown, what is too little or too much.

    group_by: evidence that differs in one of these goes on different invoices. consolidate: may share an invoice with
    other contracts of the same bill-to when entity, bill-to, currency, terms and tax regime are equal. po_required:
    what has no purchase order is held. below_zero: what gives back more than there is to bill becomes credit memos of
    the invoices it corrects, or waits to be netted with later work. tax_party: who is taxed for what another payer
    pays: the client, who is served (a grant is a third party's consideration), or the payer, who buys a share itself.
    """

    group_by: tuple[Literal["payer", "project", "po", "tax_category", "period", "billing_type"], ...] = (
        "payer",
        "po",
    )
    layout: Literal["by_role", "by_person_task", "by_task", "detailed", "summary"] = "by_role"
    consolidate: bool = False
    po_required: bool = False
    below_zero: Literal["credit_memo", "wait"] = "credit_memo"
    minimum: Exact | None = None
    maximum: Exact | None = None
    attachments: tuple[Literal["timesheets", "receipts", "po"], ...] = ()
    tax_party: Literal["client", "payer"] = "client"
