"""The validation chain: what PSA refuses when a record is saved, each with the vendor's own words.

Modelled from the validation rules of public package metadata that are active there; not certified. The wording is the
vendor's; which field an answer names is not published (here: the one that would have to change). Rules about objects
that are not here (methodologies, phases, vendor invoices, days instead of hours) are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isthmus.sandbox.certinia.rule import (
    PARENT_NOTES,
    Rule,
    Saving,
    billable_beyond,
    billing,
    credited,
    dates,
    fixed,
    hours_beyond,
    needs_assignment,
    not_one_week,
    other_currency_than_project,
    other_currency_than_set,
    same,
    submitted_first,
    targets,
    was,
)
from isthmus.sandbox.platform.errors import ApiError

if TYPE_CHECKING:
    from isthmus.sandbox.platform.store import Store

Record = dict[str, Any]


def check(store: Store, entity: str, before: Record | None, after: Record) -> None:
    """Refuse the record by the first rule it breaks."""
    saving = Saving(store, before, after)
    for rule in RULES.get(entity, ()):
        if rule.broken(saving):
            raise ApiError(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, [rule.field])


_PROJECT, _RESOURCE = "pse__Project__c", "pse__Resource__c"

RULES: dict[str, tuple[Rule, ...]] = {
    "pse__Proj__c": (
        Rule(
            "A Project's Currency field value may not be updated once set.",
            "CurrencyIsoCode",
            lambda s: s.moved("CurrencyIsoCode"),
        ),
        Rule(
            "The project start date must be on or before the project end date.",
            "pse__End_Date__c",
            dates("pse__Start_Date__c", "pse__End_Date__c"),
        ),
        Rule(
            "The Rate Card Percentage Discount must be between 0 and 100.",
            "pse__Rate_Card_Percentage_Discount__c",
            lambda s: not 0 <= (s["pse__Rate_Card_Percentage_Discount__c"] or 0) <= 100,
        ),
        Rule(
            "You cannot associate the rate card set with the project. They must both use the same currency.",
            "pse__Rate_Card_Set__c",
            other_currency_than_project,
        ),
        *credited(
            "Projects",
            "pse__Is_Billable__c",
            "You can only mark projects as Time {} if they are non-billable.",
        ),
    ),
    "pse__Project_Task__c": (
        Rule(
            "A Task's Project field value may not be blank initially if it is a top-level Task (if child task, Project"
            " will be auto-set from parent) and may not be updated once set.",
            _PROJECT,
            lambda s: s[_PROJECT] is None or s.moved(_PROJECT),
        ),
        same("Milestone {name} must match Task {name}.", "Milestone", "pse__Milestone__c", _PROJECT),
        same("Parent Task {name} must match Task {name}.", "Parent_Task", "pse__Project_Task__c", _PROJECT),
        Rule(
            "Start date & time must be before the end date & time",
            "pse__End_Date_Time__c",
            dates("pse__Start_Date_Time__c", "pse__End_Date_Time__c", strict=True),
        ),
        Rule(
            "Can not mark as completed if not started",
            "pse__Completed__c",
            lambda s: bool(s["pse__Completed__c"]) and not s["pse__Started__c"],
        ),
        Rule("The Task Key field cannot be changed", "pse__Task_Key__c", lambda s: s.moved("pse__Task_Key__c")),
    ),
    "pse__Milestone__c": (fixed("A Milestone", _PROJECT, "Project"), *billing("a Milestone", "Included In Financials")),
    "pse__Schedule__c": (
        Rule(
            "End date cannot occur before start date.",
            "pse__End_Date__c",
            dates("pse__Start_Date__c", "pse__End_Date__c"),
        ),
        Rule(
            "Hours cannot be negative or greater than 24.", "pse__Monday_Hours__c", lambda s: hours_beyond(s, least=0)
        ),
    ),
    "pse__Assignment__c": (
        Rule(
            "An Assignment's Project field value may not be blank and may not be updated once set.",
            _PROJECT,
            lambda s: s[_PROJECT] is None or s.moved(_PROJECT),
        ),
        Rule(
            "An Assignment's Currency field value may not be updated once set.",
            "CurrencyIsoCode",
            lambda s: s.moved("CurrencyIsoCode"),
        ),
        Rule(
            "You must select an active resource.",
            _RESOURCE,
            lambda s: not s.parent(_RESOURCE, "Contact").get("pse__Is_Resource_Active__c"),
        ),
        Rule("Assignment requires a Bill Rate.", "pse__Bill_Rate__c", lambda s: s["pse__Bill_Rate__c"] is None),
        Rule(
            "An Assignment may only be marked 'Is Billable' if it is for a Billable Project.",
            "pse__Is_Billable__c",
            lambda s: bool(s["pse__Is_Billable__c"]) and not s.project.get("pse__Is_Billable__c"),
        ),
        Rule(
            "Assignments marked non-billable may not have a bill rate greater than zero.",
            "pse__Bill_Rate__c",
            lambda s: not s["pse__Is_Billable__c"] and (s["pse__Bill_Rate__c"] or 0) > 0,
        ),
        Rule(
            "You cannot switch the schedule record once set.",
            "pse__Schedule__c",
            lambda s: s.moved("pse__Schedule__c"),
        ),
        *credited("Assignments", "pse__Is_Billable__c"),
    ),
    "pse__Timecard_Header__c": (
        fixed("A Timecard Header", _PROJECT, "Project"),
        fixed("A Timecard Header", _RESOURCE, "Resource"),
        Rule("Timecard Header must span 1 week (7 days inclusive).", "pse__End_Date__c", not_one_week),
        Rule(
            "No individual day for a single line can be more than 24 hours",
            "pse__Monday_Hours__c",
            # Less than zero may be allowed: the rule against it is not active, and adjustments are written so.
            lambda s: hours_beyond(s, least=-24),
        ),
        Rule(
            "Timecards for this Project and/or Resource require an Assignment.",
            "pse__Assignment__c",
            needs_assignment("pse__Allow_Timecards_Without_Assignment__c"),
        ),
        same("Timecard {name} must match Assignment {name}.", "Assignment", "pse__Assignment__c", _PROJECT),
        same("Timecard {name} must match Assignment {name}.", "Assignment", "pse__Assignment__c", _RESOURCE),
        same("Timecard {name} must match Milestone {name}.", "Milestone", "pse__Milestone__c", _PROJECT),
        Rule(
            "A Timecard may only be marked as Billable if its Project is Billable and its Assignment, if any, is"
            " Billable.",
            "pse__Billable__c",
            billable_beyond,
        ),
        submitted_first("a Timecard"),
        billing("a Timecard")[0],
        *credited("Timecards", "pse__Billable__c"),
    ),
    "pse__Timecard__c": (
        fixed("A Timecard Split", _PROJECT, "Project", PARENT_NOTES),
        fixed("A Timecard Split", _RESOURCE, "Resource", PARENT_NOTES),
        same("Timecard Split {name} must match Assignment {name}.", "Assignment", "pse__Assignment__c", _PROJECT),
        same("Timecard Split {name} must match Assignment {name}.", "Assignment", "pse__Assignment__c", _RESOURCE),
        same("Timecard Split {name} must match Milestone {name}.", "Milestone", "pse__Milestone__c", _PROJECT),
        Rule(
            "Timecard Splits for this Project and/or Resource require an Assignment.",
            "pse__Assignment__c",
            needs_assignment("pse__Allow_Timecards_Without_Assignment__c"),
        ),
        *billing("a Timecard Split"),
        Rule(
            "Bill Date is locked if Billed or Invoiced.",
            "pse__Bill_Date__c",
            lambda s: s.changed("pse__Bill_Date__c") and was(s, "pse__Billed__c", "pse__Invoiced__c"),
        ),
        Rule(
            "Invoice Date is locked if Invoiced.",
            "pse__Invoice_Date__c",
            lambda s: s.changed("pse__Invoice_Date__c") and was(s, "pse__Invoiced__c"),
        ),
    ),
    "pse__Expense_Report__c": (
        fixed("A Expense Report", _PROJECT, "Project"),
        fixed("A Expense Report", _RESOURCE, "Resource"),
        Rule(
            "Expense Reports for this Project require an Assignment.",
            "pse__Assignment__c",
            needs_assignment("pse__Allow_Expenses_Without_Assignment__c"),
        ),
        same("Assignment {name} must match Expense Report {name}.", "Assignment", "pse__Assignment__c", _PROJECT),
        same("Assignment {name} must match Expense Report {name}.", "Assignment", "pse__Assignment__c", _RESOURCE),
        same("Milestone {name} must match Expense Report {name}.", "Milestone", "pse__Milestone__c", _PROJECT),
        Rule(
            "An Expense Report may only be marked as Billable if its Project is Billable and its Assignment, if any, is"
            " Billable.",
            "pse__Billable__c",
            billable_beyond,
        ),
        submitted_first("an Expense Report"),
    ),
    "pse__Expense__c": (
        same(
            "Expense Line {name} must match Expense Report {name}.",
            "Expense_Report",
            "pse__Expense_Report__c",
            _PROJECT,
        ),
        same(
            "Expense Line {name} must match Expense Report {name}.",
            "Expense_Report",
            "pse__Expense_Report__c",
            _RESOURCE,
        ),
        same("Assignment {name} must match Expense {name}.", "Assignment", "pse__Assignment__c", _PROJECT),
        same("Milestone {name} must match Expense {name}.", "Milestone", "pse__Milestone__c", _PROJECT),
        Rule(
            "An Expense Line may not be submitted or included in financials unless it belongs to an Expense Report.",
            "pse__Expense_Report__c",
            lambda s: (
                bool(s["pse__Submitted__c"] or s["pse__Include_In_Financials__c"]) and not s["pse__Expense_Report__c"]
            ),
        ),
        Rule(
            "An Expense Line's Expense Report may not be changed if it is submitted or included in financials.",
            "pse__Expense_Report__c",
            lambda s: (
                s.moved("pse__Expense_Report__c") and bool(s["pse__Submitted__c"] or s["pse__Include_In_Financials__c"])
            ),
        ),
        Rule(
            "If provided, the incurred tax amount for an Expense must not be less than zero or greater than the Expense"
            " amount itself.",
            "pse__Incurred_Tax__c",
            lambda s: not 0 <= (s["pse__Incurred_Tax__c"] or 0) <= s["pse__Amount__c"],
        ),
        Rule(
            "If provided, the non-billable incurred amount for an Expense must not be less than zero or greater than"
            " the Expense amount itself.",
            "pse__Non_Billable_Incurred_Amount__c",
            lambda s: not 0 <= (s["pse__Non_Billable_Incurred_Amount__c"] or 0) <= s["pse__Amount__c"],
        ),
        Rule(
            "The non-billable incurred subtotal for an Expense (any non-billable amount plus any non-billable tax) must"
            " not be greater than the Expense amount itself.",
            "pse__Non_Billable_Incurred_Amount__c",
            lambda s: (s["pse__Non_Billable_Incurred_Subtotal__c"] or 0) > s["pse__Amount__c"],
        ),
        *billing("an Expense Line"),
    ),
    "pse__Rate_Card__c": (
        Rule(
            "Rate Card must not reference more than one of the following: Account, Region, Practice, Group.",
            "pse__Account__c",
            lambda s: targets(s) > 1,
        ),
        Rule(
            "The start date must be before the end date.",
            "pse__End_Date__c",
            dates("pse__Start_Date__c", "pse__End_Date__c", strict=True),
        ),
    ),
    "pse__Rate_Card_Set__c": (
        Rule(
            "A Rate Card Set's Currency field value may not be updated once set.",
            "CurrencyIsoCode",
            lambda s: s.moved("CurrencyIsoCode"),
        ),
    ),
    "pse__Rate_Card_Set_Junction__c": (
        Rule(
            "You cannot associate the rate card with the rate card set. They must both use the same currency.",
            "pse__Rate_Card__c",
            other_currency_than_set,
        ),
    ),
}
