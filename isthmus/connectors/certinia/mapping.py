"""Certinia's names for ours: tables, states, and the converters they use. No requests here.

Names ending in ``__c`` without the package's prefix ``pse__`` are the firm's own; settings name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import Project, Rate, Task
from isthmus.kit.mapping import DAY, LAST_DAY, Table, same, shortened, to_utc
from isthmus.kit.rate_days import cannot_hold, hourly_by_role
from isthmus.kit.wire import Row
from isthmus.ports.messages import RateCardIn

LOOKUPS = {"pse__Region__c": "pse__Region__c", "pse__Practice__c": "pse__Practice__c", "pse__Group__c": "pse__Grp__c"}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NAME = (shortened(80), same)


PROJECT = Table(
    of=Project,
    there="pse__Proj__c",
    name=("Name", *NAME),
    currency="CurrencyIsoCode",
    start=("pse__Start_Date__c", *DAY),
    end=("pse__End_Date__c", *LAST_DAY),
)
PROJECT_FACTS = ("Name", "CurrencyIsoCode", "pse__Is_Active__c", "pse__Start_Date__c", "pse__End_Date__c")
TASK = Table(of=Task, there="pse__Project_Task__c", name=("Name", *NAME))
TIME = Table(
    person="pse__Resource__r.Email",
    role="pse__Assignment__r.pse__Role__c",
    work_type=("pse__Billable__c", same, lambda billable: "" if billable else "non_billable"),
    cost_rate="pse__Timecard_Header__r.pse__Cost_Rate_Amount__c",
    cost_currency="pse__Timecard_Header__r.pse__Cost_Rate_Currency_Code__c",
    approved_by="pse__Timecard_Header__r.pse__Approver__r.Name",
)
EXPENSE = Table(
    source_id="Id",
    person="pse__Resource__r.Email",
    category="pse__Type__c",
    expense_date="pse__Expense_Date__c",
    gross="pse__Amount__c",
    tax="pse__Incurred_Tax__c",
    tax_recoverable="pse__Incurred_Tax_Non_Billable__c",
    personal="pse__Non_Billable_Incurred_Amount__c",
    currency="CurrencyIsoCode",
    billable="pse__Billable__c",
    note="pse__Description__c",
    approved_by="pse__Expense_Report__r.pse__Approver__r.Name",
)
MILESTONE = Table(source_id="Id", by="LastModifiedBy.Name", at=("LastModifiedDate", same, to_utc))
CARD = Table(
    of=Rate,
    there="pse__Rate_Card__c",
    role="pse__Role__c",
    effective_from=("pse__Start_Date__c", *DAY),
    effective_to=("pse__End_Date__c", *LAST_DAY),
    bill_rate="pse__Suggested_Bill_Rate__c",
)

CARD_COLUMNS = (*(field.theirs for field in CARD.fields), "CurrencyIsoCode")
CHANGE = ("IsDeleted", "SystemModstamp")
DAILY = tuple(f"pse__{day}_{what}__c" for day in DAYS for what in ("Hours", "Notes"))
SPAN = ("pse__Start_Date__c", "pse__End_Date__c", "CurrencyIsoCode", "pse__Approved__c")


def with_our_keys(table: Table, settings: Mapping[str, Any], parent: str) -> Table:
    """The table with our keys, in the fields the firm has for them, and when the parent was approved."""
    return Table(
        *table.fields,
        project_code=f"pse__Project__r.{settings['hub_field']}",
        milestone=f"pse__Milestone__r.{settings['hub_field']}",
        task=f"pse__Assignment__r.{settings['task_field']}",
        approved_at=(f"{parent}.{settings['approved_at']}", same, to_utc),
    )


def to_days(row: Row) -> list[Row]:
    """A split as a row for each of its days, under an id of its own; one without a day when it says none."""
    if not row["pse__Start_Date__c"] or not row["pse__End_Date__c"]:
        return [row | {"day": None}]
    first, last = (date.fromisoformat(row[f"pse__{name}_Date__c"]) for name in ("Start", "End"))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [_day(row, day) for day in days]


def _day(row: Row, day: date) -> Row:
    hours, note = (row[f"pse__{DAYS[day.weekday()]}_{what}__c"] for what in ("Hours", "Notes"))
    return {**row, "id": f"{row['Id']}-{day}", "day": day, "hours": Decimal(hours or 0), "note": note or ""}


def is_approved(row: Row) -> bool:
    """True when it is there and approved."""
    return bool(row["pse__Approved__c"]) and not row["IsDeleted"]


def why_not(row: Row) -> str:
    """Why something does not count: it is deleted, not approved, or has nothing any more."""
    return "deleted" if row["IsDeleted"] else "not approved any more" if not row["pse__Approved__c"] else "nothing left"


def changed_at(row: Row) -> datetime:
    """When it was changed last."""
    return to_utc(row["SystemModstamp"])


def numbers(row: Row) -> list[str]:
    """The invoices a split is on."""
    return [number for number in (row["pse__Invoice_Number__c"] or "").split(", ") if number]


def to_rate_cards(card: RateCardIn, names: Mapping[str, str]) -> dict[str, Row]:
    """The contract's rates as rate cards by key: one for a role and the days it holds. RemoteRefusal for what none can
    hold.
    """
    cards: dict[str, Row] = {}
    for rate in hourly_by_role(card.rates):
        body = CARD.out(rate.model_copy(update={"role": names.get(rate.role, rate.role)}))
        role, first, last = (body.get(f"pse__{name}__c", "") for name in ("Role", "Start_Date", "End_Date"))
        key = ":".join((card.project_code, role, first, last))
        if key in cards or first == last or rate.bill_rate != round(rate.bill_rate, 4):
            told = f"no card holds {rate.bill_rate} for {rate.role} from {first}: twice, one day, or too fine"
            raise cannot_hold(told)
        cards[key] = body | {"CurrencyIsoCode": card.currency}
    return cards
