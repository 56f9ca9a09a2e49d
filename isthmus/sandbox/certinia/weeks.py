"""What PSA works out by itself when a timecard, an expense report or a line of one is saved.

Modelled from the vendor's published data dictionary; not certified. A timecard is one week of one person on one
project; it is submitted, approved and included in financials as a whole. Where it spans the boundary of a time period,
here always the month, it has a split for each part; billing and invoicing happen on the splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.certinia.tables import DAYS

if TYPE_CHECKING:
    from isthmus.sandbox.platform.store import Store

Record = dict[str, Any]

# What a status of a timecard or expense report means, here by a workflow of the firm: approval includes in financials.
STATUS_FLAGS = {
    "Saved": (False, False),
    "Draft": (False, False),
    "Submitted": (True, False),
    "Approved": (True, True),
    "Rejected": (False, False),
}
_COPIED = (
    "CurrencyIsoCode",
    "pse__Project__c",
    "pse__Resource__c",
    "pse__Assignment__c",
    "pse__Milestone__c",
    "pse__Timecard_Notes__c",
    "pse__Status__c",
    "pse__Submitted__c",
    "pse__Approved__c",
    "pse__Include_In_Financials__c",
    "pse__Billable__c",
    "pse__External_Resource__c",
    "pse__Time_Credited__c",
    "pse__Time_Excluded__c",
)
_LINE_FOLLOWS = ("pse__Status__c", "pse__Submitted__c", "pse__Approved__c", "pse__Include_In_Financials__c")


def derive(store: Store, entity: str, before: Record | None, after: Record, given: set[str]) -> None:
    """Fill derived fields of a record on its way in."""
    if entity in _DERIVED:
        _DERIVED[entity](store, before, after, given)
    if "CurrencyIsoCode" in after and before is None and "CurrencyIsoCode" not in given:
        project = store.live("pse__Proj__c", after.get("pse__Project__c") or "")
        after["CurrencyIsoCode"] = project["CurrencyIsoCode"] if project else after["CurrencyIsoCode"]


def _by_status(before: Record | None, after: Record, given: set[str]) -> None:
    """The flags follow the status when it changes, but for those somebody sets."""
    if before is not None and before["pse__Status__c"] == after["pse__Status__c"]:
        return
    submitted, approved = STATUS_FLAGS[after["pse__Status__c"]]
    flags = {
        "pse__Submitted__c": submitted,
        "pse__Approved__c": approved,
        "pse__Include_In_Financials__c": approved,
    }
    after.update({name: value for name, value in flags.items() if name not in given})


def _timecard(store: Store, before: Record | None, after: Record, given: set[str]) -> None:
    assignment = store.live("pse__Assignment__c", after["pse__Assignment__c"] or "") or {}
    if before is None:
        for name in ("pse__Bill_Rate__c", "pse__Cost_Rate_Amount__c", "pse__Cost_Rate_Currency_Code__c"):
            if name not in given:
                after[name] = assignment.get(name)
        if "pse__Billable__c" not in given:
            after["pse__Billable__c"] = bool(assignment.get("pse__Is_Billable__c"))
    _by_status(before, after, given)
    hours = sum((_exact(after[f"pse__{day}_Hours__c"]) for day in DAYS), Decimal(0))
    after["pse__Total_Hours__c"] = float(hours)
    after["pse__Total_Billable_Amount__c"] = _worth(hours, after["pse__Bill_Rate__c"], after["pse__Billable__c"])


def _split(store: Store, before: Record | None, after: Record, given: set[str]) -> None:
    _eligible(after)


def _expense_report(store: Store, before: Record | None, after: Record, given: set[str]) -> None:
    _by_status(before, after, given)


def _expense(store: Store, before: Record | None, after: Record, given: set[str]) -> None:
    report = store.live("pse__Expense_Report__c", after["pse__Expense_Report__c"] or "")
    if report is not None and before is None:
        for name in ("pse__Project__c", "pse__Resource__c", "pse__Assignment__c", "pse__Milestone__c"):
            after[name] = after[name] or report[name]
        after.update({name: report[name] for name in _LINE_FOLLOWS if name not in given})
    tax = _exact(after["pse__Incurred_Tax__c"]) if after["pse__Incurred_Tax_Non_Billable__c"] else Decimal(0)
    after["pse__Non_Billable_Incurred_Subtotal__c"] = float(_exact(after["pse__Non_Billable_Incurred_Amount__c"]) + tax)
    _eligible(after)


def _assignment(store: Store, before: Record | None, after: Record, given: set[str]) -> None:
    schedule = store.live("pse__Schedule__c", after["pse__Schedule__c"] or "") or {}
    after["pse__Start_Date__c"] = schedule.get("pse__Start_Date__c")
    after["pse__End_Date__c"] = schedule.get("pse__End_Date__c")


def _task(store: Store, before: Record | None, after: Record, given: set[str]) -> None:
    parent = store.live("pse__Project_Task__c", after["pse__Parent_Task__c"] or "")
    if parent is not None and after["pse__Project__c"] is None:
        after["pse__Project__c"] = parent["pse__Project__c"]
    if before is None and not after["pse__Task_Key__c"]:
        after["pse__Task_Key__c"] = f"T{store.counter.next_number('task key'):08d}"


_DERIVED = {
    "pse__Timecard_Header__c": _timecard,
    "pse__Timecard__c": _split,
    "pse__Expense_Report__c": _expense_report,
    "pse__Expense__c": _expense,
    "pse__Assignment__c": _assignment,
    "pse__Project_Task__c": _task,
}


def _eligible(after: Record) -> None:
    wanted = ("pse__Approved__c", "pse__Include_In_Financials__c", "pse__Approved_for_Billing__c")
    against = ("pse__Billing_Hold__c", "pse__Exclude_from_Billing__c", "pse__Billed__c")
    good = all(after[name] for name in wanted) and not any(after[name] for name in against)
    after["pse__Eligible_for_Billing__c"] = "Yes" if good else "No"


def follow(store: Store, entity: str, after: Record) -> None:
    """Write what a saved record means for others: splits of a timecard, lines of an expense report."""
    if entity == "pse__Timecard_Header__c":
        _follow_timecard(store, after)
    elif entity == "pse__Expense_Report__c":
        lines = store.schema.object("pse__Expense__c")
        wanted = {name: after[name] for name in _LINE_FOLLOWS}
        for line_id in store.find(lines.name, lines.fields["pse__Expense_Report__c"], after["Id"]):
            _save(store, lines.name, store.live(lines.name, line_id), wanted)


def _follow_timecard(store: Store, header: Record) -> None:
    splits = store.schema.object("pse__Timecard__c")
    found = store.find(splits.name, splits.fields["pse__Timecard_Header__c"], header["Id"])
    known = {row["pse__Start_Date__c"]: row for split_id in found if (row := store.live(splits.name, split_id))}
    for days in _periods(header["pse__Start_Date__c"]):
        wanted = _part(header, days)
        _save(store, splits.name, known.pop(wanted["pse__Start_Date__c"], None), wanted)
    for gone in known.values():
        store.delete(splits, gone)


def _save(store: Store, entity: str, before: Record | None, wanted: Record) -> None:
    """Only what differs is saved, so that a record's stamps move when something has happened to it."""
    sobject = store.schema.object(entity)
    if before is None:
        store.create(sobject, wanted, as_user=True)
    elif any(before[name] != value for name, value in wanted.items()):
        store.update(sobject, before, wanted, as_user=True)


def _periods(start: str) -> Iterator[list[date]]:
    """The days of a week, by month."""
    week = [date.fromisoformat(start) + timedelta(days=n) for n in range(7)]
    for month in sorted({(day.year, day.month) for day in week}):
        yield [day for day in week if (day.year, day.month) == month]


def _part(header: Record, days: list[date]) -> Record:
    wanted = {name: header[name] for name in _COPIED} | {"pse__Timecard_Header__c": header["Id"]}
    wanted |= {"pse__Start_Date__c": days[0].isoformat(), "pse__End_Date__c": days[-1].isoformat()}
    mine = {DAYS[day.weekday()] for day in days}
    for day in DAYS:
        for what in ("Hours", "Notes"):
            wanted[f"pse__{day}_{what}__c"] = header[f"pse__{day}_{what}__c"] if day in mine else None
    hours = sum((_exact(wanted[f"pse__{day}_Hours__c"]) for day in DAYS), Decimal(0))
    wanted["pse__Total_Hours__c"] = float(hours)
    wanted["pse__Total_Billable_Amount__c"] = _worth(hours, header["pse__Bill_Rate__c"], header["pse__Billable__c"])
    wanted["pse__Total_Cost__c"] = _worth(hours, header["pse__Cost_Rate_Amount__c"], True)
    return wanted


def _exact(number: Any) -> Decimal:
    return Decimal(str(number or 0))


def _worth(hours: Decimal, rate: Any, counts: Any) -> float:
    amount = hours * _exact(rate) if counts else Decimal(0)
    return float(amount.quantize(Decimal("0.01"), ROUND_HALF_UP))
