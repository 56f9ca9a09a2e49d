"""Kantata's names for ours: tables, states, and the converters they use. No requests here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from isthmus.domain.objects import Project, Task
from isthmus.kit.keys import task_key
from isthmus.kit.loaded import Loaded
from isthmus.kit.mapping import DAY, LAST_DAY, Table, minutes_to_hours, same, to_minor_units
from isthmus.kit.wire import Row
from isthmus.ports.messages import InvoicedTime

MODELS = {"workspace": "project", "story": "task", "invoice": "invoice"}  # what ours are called in references
SERVICE = "isthmus"  # service_name of every external reference of the hub
REFERENCES, RATES = {"include": "external_references"}, {"include": "rate_card_roles,rate_card_set_version"}

PROJECT = Table(
    of=Project,
    there="workspaces",
    name="title",
    currency="currency",
    start=("start_date", *DAY),
    end=("due_date", *LAST_DAY),
    budget="price",
)
TASK = Table(
    of=Task, there="stories", name="title", billable="billable", milestone=("story_type", lambda _: "milestone", None)
)
INVOICE = Table(
    of=InvoicedTime,
    there="invoices",
    number="user_invoice_number",
    issue_date=("invoice_date", *DAY),
    project_code="project_code",
)


def to_reference(kind: str, key: str) -> dict[str, str]:
    """The external reference that gives a new record the hub's identity."""
    return {"service_name": SERVICE, "service_model": MODELS[kind], "service_model_ref": key}


def keys_of(record: Row, kind: str, loaded: Loaded) -> list[str]:
    """The hub's keys a record carries, by the external references loaded with it."""
    references = [loaded.all("external_references")[str(i)] for i in record["external_reference_ids"]]
    mine = [r for r in references if (r["service_name"], r["service_model"]) == (SERVICE, MODELS[kind])]
    return [str(r["service_model_ref"]) for r in mine]


def lump_sum(billed: InvoicedTime) -> Row:
    """The line of an invoice without entries, as one there has at least one line."""
    cents = to_minor_units(billed.total, billed.currency)
    return {"notes": f"Invoiced {billed.number}", "amount_in_cents": cents, "taxable": False}


def name_of(user_id: Any, loaded: Loaded, what: str = "user") -> str:
    """Who a user is."""
    user = loaded.one("users", user_id, what)
    return str(user.get("email_address") or user["full_name"])


TIME_TABLE = Table(
    source_id="id",
    service_date="date_performed",
    hours=("time_in_minutes", same, minutes_to_hours),
    note="notes",
    cost_rate=("cost_rate_in_cents", same, Decimal),
    cost_currency="currency",
)
EXPENSE_TABLE = Table(
    source_id="id",
    expense_date="date",
    category="category",
    receipt_ref=("receipt_id", same, str),
    billable="is_billable",
    note="notes",
    gross=("amount_in_cents", same, Decimal),
    currency="currency",
)


class Kind(NamedTuple):
    """Items that are approved on submissions. required: what says that a project wants it; money: what is in cents."""

    name: str
    submission: str
    required: str
    table: Table
    money: str


TIME = Kind("time_entry", "timesheet_submission", "require_time_approvals", TIME_TABLE, "cost_rate")
EXPENSES = Kind("expense", "expense_report_submission", "require_expense_approvals", EXPENSE_TABLE, "gross")


def project_of(row: Row, loaded: Loaded) -> str:
    """Our code of the project a record is in."""
    [code] = keys_of(loaded.one("workspaces", row["workspace_id"], "project"), "workspace", loaded)
    return code


def facts_of(kind: Kind, row: Row, loaded: Loaded) -> Row:
    """What an item says, in its project's currency. BadInput says what cannot be read."""
    code, facts = project_of(row, loaded), kind.table.back(row)
    story = loaded.one("stories", row["story_id"], "task") if row["story_id"] else {"external_reference_ids": ()}
    task = next(iter(keys_of(story, "story", loaded)), "").removeprefix(task_key(code, ""))
    facts |= {"project_code": code, "task_code": task, "person": name_of(row["user_id"], loaded)}
    if kind.money in facts:
        facts[kind.money] /= row["currency_base_unit"]
    if kind is TIME:
        facts["role"] = loaded.one("roles", row["role_id"], "role")["name"] if row["role_id"] else ""
    return facts
