"""Kantata's names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from isthmus.domain.objects import Project, Task
from isthmus.kit.keys import task_key
from isthmus.kit.loaded import Loaded
from isthmus.kit.mapping import DAY, LAST_DAY, Field, Table, minutes_to_hours, to_minor_units
from isthmus.kit.wire import Row
from isthmus.ports.messages import InvoicedTime

SERVICE = "isthmus"  # service_name of every external reference of the hub
REFERENCES, RATES = {"include": "external_references"}, {"include": "rate_card_roles,rate_card_set_version"}

PROJECT = Table(
    Field("name", "title"),
    Field("currency", "currency"),
    Field("start", "start_date", *DAY),
    Field("end", "due_date", *LAST_DAY),
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


def name_of(user_id: Any, loaded: Loaded, what: str = "user") -> str:
    """Who a user is."""
    user = loaded.one("users", user_id, what)
    return str(user.get("email_address") or user["full_name"])


TIME_TABLE = Table(Field("hours", "time_in_minutes", back=minutes_to_hours)).extended(
    {"source_id": "id", "service_date": "date_performed", "note": "notes", "cost_currency": "currency"}
)
EXPENSE_TABLE = Table(Field("receipt_ref", "receipt_id", back=str), Field("billable", "is_billable")).extended(
    {"source_id": "id", "expense_date": "date", "category": "category", "note": "notes", "currency": "currency"}
)


class Kind(NamedTuple):
    """Items that are approved on submissions. required: what says that a project wants that; money: ours and theirs."""

    collection: str
    name: str
    submissions: str
    required: str
    table: Table
    money: tuple[str, str]


REPORTS, PER_REPORT = "expense_report_submissions", "require_expense_approvals"
COST, GROSS = ("cost_rate", "cost_rate_in_cents"), ("gross", "amount_in_cents")
TIME = Kind("time_entries", "time_entry", "timesheet_submissions", "require_time_approvals", TIME_TABLE, COST)
EXPENSES = Kind("expenses", "expense", REPORTS, PER_REPORT, EXPENSE_TABLE, GROSS)


def project_of(row: Row, loaded: Loaded) -> str:
    """Our code of the project a record is in."""
    [code] = keys_of(loaded.one("workspaces", row["workspace_id"], "project"), "project", loaded)
    return code


def facts_of(kind: Kind, row: Row, loaded: Loaded) -> Row:
    """What an item says, in its project's currency. BadInput says what cannot be read."""
    code, (ours, cents) = project_of(row, loaded), kind.money
    story = loaded.one("stories", row["story_id"], "task") if row["story_id"] else {"external_reference_ids": ()}
    task = next(iter(keys_of(story, "task", loaded)), "").removeprefix(task_key(code, ""))
    facts = {"project_code": code, "task_code": task, "person": name_of(row["user_id"], loaded), **kind.table.back(row)}
    if row.get(cents) is not None:
        facts[ours] = Decimal(row[cents]) / row["currency_base_unit"]
    if kind is TIME:
        facts["role"] = loaded.one("roles", row["role_id"], "role")["name"] if row["role_id"] else ""
    return facts
