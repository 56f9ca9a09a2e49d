"""Certinia's names for ours: tables, states, and the converters they use. No requests here.

Names ending in ``__c`` without the package's prefix ``pse__`` are the firm's own; settings name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Project, Rate, Task
from isthmus.kit.mapping import DAY, LAST_DAY, Field, Table, to_last_day, to_utc
from isthmus.kit.rate_days import cannot_hold, hourly_by_role
from isthmus.kit.wire import Row
from isthmus.ports.messages import RateCardIn, Withdrawn

LOOKUPS = {"pse__Region__c": "pse__Region__c", "pse__Practice__c": "pse__Practice__c", "pse__Group__c": "pse__Grp__c"}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def to_name(text: str) -> str:
    """A record's name there has 80 characters."""
    return text[:80]


PROJECT = Table(
    Field("name", "Name", out=to_name),
    Field("currency", "CurrencyIsoCode"),
    Field("start", "pse__Start_Date__c", *DAY),
    Field("end", "pse__End_Date__c", *LAST_DAY),
    of=Project,
    there="pse__Proj__c",
)
TASK = Table(Field("name", "Name", out=to_name), of=Task, there="pse__Project_Task__c")

TIME = Table(
    Field("person", "pse__Resource__r.Email"),
    Field("role", "pse__Assignment__r.pse__Role__c"),
    Field("work_type", "pse__Billable__c", back=lambda billable: "" if billable else "non_billable"),
    Field("cost_rate", "pse__Timecard_Header__r.pse__Cost_Rate_Amount__c"),
    Field("cost_currency", "pse__Timecard_Header__r.pse__Cost_Rate_Currency_Code__c"),
    Field("approved_by", "pse__Timecard_Header__r.pse__Approver__r.Name"),
)
EXPENSE = Table(
    Field("source_id", "Id"),
    Field("person", "pse__Resource__r.Email"),
    Field("category", "pse__Type__c"),
    Field("expense_date", "pse__Expense_Date__c"),
    Field("gross", "pse__Amount__c"),
    Field("tax", "pse__Incurred_Tax__c"),
    Field("tax_recoverable", "pse__Incurred_Tax_Non_Billable__c"),
    Field("personal", "pse__Non_Billable_Incurred_Amount__c"),
    Field("currency", "CurrencyIsoCode"),
    Field("billable", "pse__Billable__c"),
    Field("note", "pse__Description__c"),
    Field("approved_by", "pse__Expense_Report__r.pse__Approver__r.Name"),
)
MILESTONE = Table(
    Field("source_id", "Id"), Field("by", "LastModifiedBy.Name"), Field("at", "LastModifiedDate", back=to_utc)
)

CHANGE = ("Id", "IsDeleted", "SystemModstamp")
DAILY = tuple(f"pse__{day}_{what}__c" for day in DAYS for what in ("Hours", "Notes"))
SPAN = ("pse__Start_Date__c", "pse__End_Date__c", "CurrencyIsoCode", "pse__Approved__c")


def with_our_keys(table: Table, settings: Mapping[str, Any], parent: str) -> Table:
    """The table with our keys, in the fields the firm has for them, and when the parent was approved."""
    return Table(
        *table.fields,
        Field("project_code", f"pse__Project__r.{settings['hub_field']}"),
        Field("milestone", f"pse__Milestone__r.{settings['hub_field']}"),
        Field("task", f"pse__Assignment__r.{settings['task_field']}"),
        Field("approved_at", f"{parent}.{settings['approved_at']}", back=to_utc),
    )


def to_days(row: Row) -> list[Row]:
    """A split as a row for each of its days, under an id of its own. BadInput when it does not say which days."""
    if not row["pse__Start_Date__c"] or not row["pse__End_Date__c"]:
        raise BadInput("it has no start or end date")
    first, last = (date.fromisoformat(row[f"pse__{name}_Date__c"]) for name in ("Start", "End"))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [_day(row, day) for day in days]


def _day(row: Row, day: date) -> Row:
    hours, note = (row[f"pse__{DAYS[day.weekday()]}_{what}__c"] for what in ("Hours", "Notes"))
    return {**row, "id": f"{row['Id']}-{day}", "day": day, "hours": Decimal(hours or 0), "note": note or ""}


def is_approved(row: Row) -> bool:
    """True when it is there and approved."""
    return bool(row["pse__Approved__c"]) and not row["IsDeleted"]


def to_withdrawn(row: Row, source_id: str, system: str) -> Withdrawn:
    """What is deleted, not approved, or has nothing any more."""
    why = "deleted" if row["IsDeleted"] else "not approved any more" if not row["pse__Approved__c"] else "nothing left"
    return Withdrawn(source=system, source_id=source_id, by=f"{system}: {why}", at=to_utc(row["SystemModstamp"]))


Window = tuple[str, str, str]  # role, first day, last day (empty: open)


def to_rate_cards(rates: Iterable[Rate], names: Mapping[str, str]) -> dict[Window, Decimal]:
    """The contract's rates as cards. RemoteRefusal for what none can hold."""
    cards: dict[Window, Decimal] = {}
    for rate in hourly_by_role(rates):
        key = (names.get(rate.role, rate.role), rate.effective_from.isoformat(), to_last_day(rate.effective_to) or "")
        if key in cards or key[1] == key[2] or rate.bill_rate != round(rate.bill_rate, 4):
            told = f"no card holds {rate.bill_rate} for {rate.role} from {key[1]}: twice, one day, or too fine"
            raise cannot_hold(told)
        cards[key] = rate.bill_rate
    return cards


def to_card(card: RateCardIn, window: Window, rate: Decimal, cost: str) -> Row:
    """A rate card's own fields."""
    role, first, last = window
    return {
        "CurrencyIsoCode": card.currency,
        "pse__Role__c": role,
        "pse__Suggested_Bill_Rate__c": rate,
        "pse__Average_Cost_Rate__c": cost,
        "pse__Start_Date__c": first,
        "pse__End_Date__c": last or None,
    }


def window_of(found: Row) -> Window:
    """What a rate card is for."""
    return found["pse__Role__c"], found["pse__Start_Date__c"], found["pse__End_Date__c"] or ""
