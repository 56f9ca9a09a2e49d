"""What rules of the validation chain are made of: a record on its way in, and the kinds of rules PSA has many of.

Modelled from the validation rules of public package metadata; not certified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.certinia.tables import DAYS

if TYPE_CHECKING:
    from isthmus.sandbox.platform.store import Store

Record = dict[str, Any]


@dataclass(frozen=True)
class Saving:
    """A record on its way in: as it was (None when new) and as it would become."""

    store: Store
    before: Record | None
    after: Record

    def __getitem__(self, name: str) -> Any:
        return self.after.get(name)

    def parent(self, column: str, entity: str) -> Record:
        """The record a lookup names; an empty one when there is none."""
        return self.store.live(entity, self.after.get(column) or "") or {}

    def moved(self, name: str) -> bool:
        """True when a field that had a value gets another one."""
        return self.before is not None and self.before.get(name) not in (None, self.after.get(name))

    def changed(self, name: str) -> bool:
        """True when the record was there before with another value, or none."""
        return self.before is not None and self.before.get(name) != self.after.get(name)

    @property
    def edited_by_admin(self) -> bool:
        """Admin Global Edit with Audit Notes, for a split those of its timecard, lets fixed fields change."""
        told = self.parent("pse__Timecard_Header__c", "pse__Timecard_Header__c") or self.after
        return bool(told.get("pse__Admin_Global_Edit__c") and told.get("pse__Audit_Notes__c"))

    @property
    def project(self) -> Record:
        """Its project."""
        return self.parent("pse__Project__c", "pse__Proj__c")

    @property
    def assignment(self) -> Record:
        """Its assignment, if any."""
        return self.parent("pse__Assignment__c", "pse__Assignment__c")


@dataclass(frozen=True)
class Rule:
    """broken: true of what is refused; field: the one the answer names."""

    message: str
    field: str
    broken: Callable[[Saving], bool]


OWN_NOTES = "Admin Global Edit is checked, Audit Notes are provided, and Actuals Calculation Mode is Scheduled"
PARENT_NOTES = (
    "Admin Global Edit is checked and Audit Notes are provided on the parent Timecard Header and Actuals Calculation"
    " Mode is Scheduled"
)


def fixed(what: str, column: str, field: str, unless: str = OWN_NOTES) -> Rule:
    """A field that must have a value and keep it, but for an administrator who says why."""
    text = f"{what}'s {field} field value may not be blank and may not be updated once set (unless {unless})."
    return Rule(text, column, lambda s: s[column] is None or (s.moved(column) and not s.edited_by_admin))


def same(what: str, other: str, entity: str, column: str) -> Rule:
    """A parent must be of the same project (or resource) as the record itself."""
    name = column.removeprefix("pse__").removesuffix("__c")
    own = f"pse__{other}__c"

    def broken(s: Saving) -> bool:
        parent = s.parent(own, entity)
        return bool(parent) and parent.get(column) != s[column]

    return Rule(what.format(name=name), own, broken)


def billing(what: str, included: str = "Included in Financials") -> tuple[Rule, ...]:
    """Approved and included before billed, billed before invoiced, invoice data only when invoiced."""
    inclusion = f"For {what} to be marked as Billed, it must also be marked as {included} and Approved."
    return (
        Rule(
            inclusion,
            "pse__Billed__c",
            lambda s: bool(s["pse__Billed__c"]) and not (s["pse__Include_In_Financials__c"] and s["pse__Approved__c"]),
        ),
        Rule(
            f"For {what} to be marked as Invoiced, it must also be marked as Billed.",
            "pse__Invoiced__c",
            lambda s: bool(s["pse__Invoiced__c"]) and not s["pse__Billed__c"],
        ),
        Rule(
            "Invoice Number or Date is not allowed on record unless it is invoiced",
            "pse__Invoice_Number__c",
            lambda s: bool(s["pse__Invoice_Number__c"] or s["pse__Invoice_Date__c"]) and not s["pse__Invoiced__c"],
        ),
    )


def submitted_first(what: str) -> Rule:
    """Approved only after submitted."""
    return Rule(
        f"For {what} to be marked as Approved, it must also be marked as Submitted.",
        "pse__Approved__c",
        lambda s: bool(s["pse__Approved__c"]) and not s["pse__Submitted__c"],
    )


def credited(what: str, flag: str, only: str = "") -> tuple[Rule, ...]:
    """Credited and excluded time is never billable, and never both."""
    only = only or f'{what} may only be marked as "Time {{}}" if they are Non-Billable.'
    both = f'{what} may not be marked as "Time Excluded" if they are also marked as "Time Credited".'
    credited, excluded = "pse__Time_Credited__c", "pse__Time_Excluded__c"
    return (
        Rule(only.format("Credited"), credited, lambda s: bool(s[flag] and s[credited])),
        Rule(only.format("Excluded"), excluded, lambda s: bool(s[flag] and s[excluded])),
        Rule(both, excluded, lambda s: bool(s[credited] and s[excluded])),
    )


def billable_beyond(s: Saving) -> bool:
    """Billable although its project or assignment is not."""
    assignment = s.assignment
    allowed = s.project.get("pse__Is_Billable__c") and (not assignment or assignment.get("pse__Is_Billable__c"))
    return bool(s["pse__Billable__c"]) and not allowed


def needs_assignment(allowed: str) -> Callable[[Saving], bool]:
    """No assignment, and the project does not allow that."""
    return lambda s: s["pse__Assignment__c"] is None and not s.project.get(allowed)


def dates(first: str, last: str, strict: bool = False) -> Callable[[Saving], bool]:
    """The wrong way round; strict: or both the same."""

    def broken(s: Saving) -> bool:
        if not s[first] or not s[last]:
            return False
        return bool(s[last] <= s[first] if strict else s[last] < s[first])

    return broken


def not_one_week(s: Saving) -> bool:
    """Not exactly seven days."""
    start = date.fromisoformat(s["pse__Start_Date__c"])
    return bool((start + timedelta(days=6)).isoformat() != s["pse__End_Date__c"])


def hours_beyond(s: Saving, least: float) -> bool:
    """A day with less than the least or more than 24 hours."""
    hours = [s[f"pse__{day}_Hours__c"] for day in DAYS]
    return any(each is not None and not least <= each <= 24 for each in hours)


def targets(s: Saving) -> int:
    """How many parts of the organisation a rate card is for."""
    return sum(s[f"pse__{name}__c"] is not None for name in ("Account", "Region", "Practice", "Group"))


def other_currency_than_set(s: Saving) -> bool:
    """A card in a set of another currency."""
    card = s.parent("pse__Rate_Card__c", "pse__Rate_Card__c")
    owner = s.parent("pse__Rate_Card_Set__c", "pse__Rate_Card_Set__c")
    return card.get("CurrencyIsoCode") != owner.get("CurrencyIsoCode")


def other_currency_than_project(s: Saving) -> bool:
    """A project with a rate card set of another currency."""
    owner = s.parent("pse__Rate_Card_Set__c", "pse__Rate_Card_Set__c")
    return bool(owner) and owner["CurrencyIsoCode"] != s["CurrencyIsoCode"]


def was(s: Saving, *flags: str) -> bool:
    """Any of the flags was set before."""
    return s.before is not None and any(s.before.get(flag) for flag in flags)
