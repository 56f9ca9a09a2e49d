"""Kantata's names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import Project, Task, TimeEntry
from isthmus.kit.keys import task_key
from isthmus.kit.loaded import Loaded
from isthmus.kit.mapping import DAY, Field, StatusTable, Table, minutes_to_hours, to_minor_units, to_utc
from isthmus.kit.wire import Row
from isthmus.ports.messages import InvoicedTime

SERVICE = "isthmus"  # service_name of every external reference of the hub

# Every status of a project has one of six colours, which say what it means; labels and numbers differ by account.
PROJECT_COLOR = StatusTable(
    "kantata project status color",
    {"gray": "open", "light-green": "open", "green": "open", "yellow": "open", "red": "open", "blue": "closed"},
)
SUBMISSION_STATUS = StatusTable(
    "kantata timesheet submission",
    {"pending": "pending", "approved": "approved", "rejected": "open", "cancelled": "open"},
)

PROJECT = Table(
    Field("name", "title"),
    Field("currency", "currency"),
    Field("start", "start_date", *DAY),
    Field("end", "due_date", *DAY),
    Field("budget", "price"),
    of=Project,
    there="workspaces",
)
TASK = Table(
    Field("name", "title"),
    Field("billable", "billable"),
    Field("milestone", "story_type", out=lambda _: "milestone", back=None),
    of=Task,
    there="stories",
)


def to_reference(model: str, key: str) -> dict[str, str]:
    """The external reference that gives a new record the hub's identity."""
    return {"service_name": SERVICE, "service_model": model, "service_model_ref": key}


def keys_of(record: Row, model: str, loaded: Loaded) -> list[str]:
    """The hub's keys a record carries, by the external references loaded with it."""
    references = [loaded.all("external_references")[str(i)] for i in record["external_reference_ids"]]
    mine = [r for r in references if (r["service_name"], r["service_model"]) == (SERVICE, model)]
    return [str(r["service_model_ref"]) for r in mine]


def to_invoice(billed: InvoicedTime, entry_ids: list[str]) -> dict[str, Any]:
    """The invoice that claims the entries there. It goes to nobody: the client has the hub's own."""
    message = f"Invoiced {billed.number}"
    body: dict[str, Any] = {
        "time_entry_ids": entry_ids,
        "expense_ids": [],
        "invoice_date": billed.issue_date.isoformat(),
        "user_invoice_number": billed.number,
        "project_code": billed.project_code,
        "message": message,
        "suppress_emails": True,
        "external_reference": to_reference("invoice", billed.number) | {"external_message": message},
    }
    if not entry_ids:  # an invoice there has at least one line
        cents = to_minor_units(billed.total, billed.currency)
        body["additional_items"] = [{"notes": message, "amount_in_cents": cents, "taxable": False}]
    return body


def _name(user: Row) -> str:
    return str(user.get("email_address") or user["full_name"])


def to_time_entry(row: Row, loaded: Loaded, system: str) -> TimeEntry:
    """Approved time as the hub has it. BadInput says what cannot be read."""
    [project_code] = keys_of(loaded.one("workspaces", row["workspace_id"], "project"), "project", loaded)
    keys = keys_of(loaded.one("stories", row["story_id"], "task"), "task", loaded) if row["story_id"] else []
    role = loaded.one("roles", row["role_id"], "role")["name"] if row["role_id"] else ""
    approved_by, approved_at = _approval(row, loaded)
    cents, unit = row.get("cost_rate_in_cents"), row["currency_base_unit"]
    return TimeEntry(
        source=system,
        source_id=row["id"],
        project_code=project_code,
        task_code=keys[0].removeprefix(task_key(project_code, "")) if keys else "",
        person=_name(loaded.one("users", row["user_id"], "user")),
        role=role,
        service_date=row["date_performed"],
        hours=minutes_to_hours(row["time_in_minutes"]),
        note=row.get("notes") or "",
        approved_by=approved_by,
        approved_at=approved_at,
        cost_rate=None if cents is None else Decimal(cents) / unit,
        cost_currency=row["currency"],
    )


def _approval(row: Row, loaded: Loaded) -> tuple[str, datetime]:
    """Who approved and when: from the timesheet, or the entry's own time in a project that needs no approval."""
    if row["active_submission_id"]:
        sheet = loaded.one("timesheet_submissions", row["active_submission_id"], "timesheet")
        if SUBMISSION_STATUS.read(sheet["status"]) == "approved" and sheet["current_resolution_creator_id"]:
            approver = loaded.one("users", sheet["current_resolution_creator_id"], "approver")
            return _name(approver), to_utc(sheet["current_resolution_created_at_date"])
    return "kantata: no approval required", to_utc(row["updated_at"])
