"""Who may take the quick way: plain terms, plain hours, nothing that waits. Everybody else takes the ordinary one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import BillingType, ContractLine, ContractVersion
from isthmus.policies.periods import is_open
from isthmus.policies.proration import month_of
from isthmus.processes.work.bulk.reading import Case, Month

ZERO = Decimal(0)
# Terms of a line that make its evidence more than hours times a rate.
PLAIN = ContractLine(line_uid="-", description="-", billing_type=BillingType.TM)
FREE = frozenset(
    {"line_uid", "description", "rates", "roles", "tax_code", "tax_category", "chargeable", "deliverable", "clause"}
)
BEYOND_HOURS = tuple(name for name in ContractLine.model_fields if name not in FREE)


def why_ordinary(month: Month, case: Case) -> str:
    """Why a contract takes the ordinary way; empty when it may take the quick one."""
    if month.tax_engine:
        return "a tax engine is asked for its tax"
    if len(case.projects) != 1 or case.projects[0].project_code != case.engagement.project_code:
        return "it has no project, or several"
    if case.open_parts or case.held or case.accrued or case.revised or case.on_paper:
        return "evidence, holds, accruals, corrections or caps of it need a look"
    if case.billed:
        return "this month end has billed it already"
    if len({(v.client_no, v.currency, v.po_number, v.entity) for v in case.versions}) != 1:
        return "client, currency, order or legal entity changed on the way"
    return next(filter(None, map(_unusual_terms, case.versions)), "") or _unusual_hours(month, case)


def _unusual_terms(version: ContractVersion) -> str:
    if version.purchase_orders or version.invoicing.po_required or version.invoicing.consolidate:
        return "orders, or invoices it shares with others"
    for line in version.lines:
        for name in BEYOND_HOURS:
            if getattr(line, name) != getattr(PLAIN, name):
                return f"line {line.line_uid} has terms beyond hours and rates: {name}"
    return ""


def _unusual_hours(month: Month, case: Case) -> str:
    """Hours that capture_time would ask a person about, or book elsewhere."""
    tasks = {task.code for task in case.projects[0].tasks} | {""}
    worked: dict[tuple[str, date], Decimal] = {}
    twins: set[tuple[Any, ...]] = set()
    first: date | None = None
    for row in case.entries:
        task, person, role, day, hours, note, days = row[4], row[5], row[6], row[7], row[8], row[9], row[14]
        if task not in tasks or days != "[]" or hours <= 0:
            return "an entry without task, of a week or of nothing"
        worked[person, day] = worked.get((person, day), ZERO) + hours
        twins.add((task, person, role, day, hours, note))
        if first is None or day < first:
            first = day
    if len(twins) < len(case.entries) or any(hours > 24 for hours in worked.values()):
        return "two entries look like the same work, or a day has more than 24 hours"
    if first is not None and case.evidence_until is not None and case.evidence_until >= first:
        return "evidence of the same days"
    if month.last_day is not None and any(day > month.last_day for _, day in worked):
        return "work that is dated far ahead"
    months = {month_of(day) for day in {day for _, day in worked}}
    return "" if all(is_open(month.periods, name) for name in months) else "work of a closed period"
