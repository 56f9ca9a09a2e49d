"""What the vendor checks and derives when a record is created or updated, collection by collection.

Modelled from the vendor's published material, not certified. A rule gets the record as it would become and the
attributes that changed; it adds what the vendor derives and returns the validation errors.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.answer import STATUSES, invalid
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_custom import CUSTOM_FIELD_VALUES
from isthmus.sandbox.kantata.store import Store

Errors = list[dict[str, str]]
Rule = Callable[[Store, Record, Record, bool], Errors]

CURRENCIES = {
    "USD": ("$", 100),
    "EUR": ("€", 100),
    "GBP": ("£", 100),
    "CAD": ("$", 100),
    "AUD": ("$", 100),
    "CHF": ("CHF", 100),
    "JPY": ("¥", 1),
}
CLOSED_STATUSES = frozenset({600, 610})
STORY_TYPES = frozenset({"task", "deliverable", "milestone", "issue"})
STORY_STATES = frozenset(
    {
        "not started",
        "started",
        "needs info",
        "completed",
        "new",
        "reopened",
        "in progress",
        "blocked",
        "fixed",
        "duplicate",
        "can't reproduce",
        "resolved",
        "won't fix",
    }
)
MINUTES_A_DAY = 1440

_BLANK = {
    ("workspaces", "title"): "Please give your project a title",
    ("workspaces", "creator_role"): "Please select a role for this project",
}


def _cannot_be_blank(name: str) -> str:
    return f"{name.removesuffix('_id').replace('_', ' ').capitalize()} can't be blank"


def check(store: Store, c: Collection, record: Record, changes: Record, creating: bool) -> Errors:
    """All errors of one write: missing attributes, references to nothing, then the collection's own rule."""
    missing = [n for n in c.required if creating and changes.get(c.aliases.get(n, n)) in (None, "", [])]
    errors = [invalid(n, _BLANK.get((c.name, n)) or _cannot_be_blank(n)) for n in missing]
    for association, target in c.to_one.items():
        key = f"{association}_id"
        if changes.get(key) is not None and store.records.get(target, changes[key]) is None:
            errors.append(invalid(key, f"{association.capitalize()} does not exist or you may not see it"))
    rule = _RULES.get(c.name)
    return errors if errors or rule is None else rule(store, record, changes, creating)


def closed_workspace(store: Store, record: Record) -> Errors:
    """Work on a finished project is refused."""
    workspace = store.records.get("workspaces", record["workspace_id"])
    if workspace is not None and workspace["status_key"] in CLOSED_STATUSES:
        return [invalid("workspace_id", "Workspace is closed")]
    return []


def currency_of(store: Store, record: Record) -> Record:
    """The currency attributes a record takes over from its project."""
    workspace = store.records.get("workspaces", record.get("workspace_id") or "") or {}
    names = ("currency", "currency_symbol", "currency_base_unit")
    return {n: workspace[n] for n in names if n in workspace}


def _workspace(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    errors: Errors = []
    role = record.pop("creator_role", None)
    if creating and role not in ("maven", "buyer"):
        errors.append(invalid("creator_role", _BLANK[("workspaces", "creator_role")]))
    if creating and role == "maven" and record["primary_maven_id"] is None:
        record["primary_maven_id"] = record["creator_id"]
    if record["currency"] not in CURRENCIES:
        errors.append(invalid("currency", "Currency is not supported"))
    else:
        record["currency_symbol"], record["currency_base_unit"] = CURRENCIES[record["currency"]]
    if "price" in record:
        price = _cents(record.pop("price"), record["currency_base_unit"])
        if price is None:
            errors.append(invalid("price", "Price is not a number"))
        record["price_in_cents"] = price
    if record["status_key"] not in STATUSES:
        errors.append(invalid("status_key", "Status key is not a valid project status"))
    for i in changes.get("workspace_group_ids") or []:
        if store.records.get("workspace_groups", i) is None:
            errors.append(invalid("workspace_group_ids", f"Workspace group {i} does not exist"))
    return errors + _date_order(record)


def _group(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    return [
        invalid(name, f"Workspace {i} does not exist")
        for name in ("add_workspace_ids", "remove_workspace_ids")
        for i in changes.get(name) or []
        if store.records.get("workspaces", i) is None
    ]


def _cents(price: object, base_unit: int) -> int | None:
    """A price is written in whole currency, with or without sign and separators, and kept in its smallest unit."""
    try:
        return int((Decimal(str(price or 0).lstrip("$€£¥").replace(",", "")) * base_unit).to_integral_value())
    except InvalidOperation:
        return None


def _date_order(record: Record) -> Errors:
    start, due = record.get("start_date"), record.get("due_date")
    return [invalid("due_date", "Due date must not be before start date")] if start and due and due < start else []


def _story(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    errors = _date_order(record)
    if record["story_type"] not in STORY_TYPES:
        errors.append(invalid("story_type", "Story type is not included in the list"))
    if record["state"] not in STORY_STATES:
        errors.append(invalid("state", "State is not included in the list"))
    if len(record["title"] or "") > 200:
        errors.append(invalid("title", "Title is too long (maximum is 200 characters)"))
    parent = store.records.get("stories", record["parent_id"] or "")
    if parent is not None:
        if parent["workspace_id"] != record["workspace_id"]:
            errors.append(invalid("parent_id", "Parent must be in the same project"))
        record["root_id"] = parent["root_id"] or parent["id"]
    return errors


def _assignment(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    resource = store.records.get("workspace_resources", record["resource_id"] or "")
    if record["assignee_id"] is None and resource is None:
        return [invalid("assignee_id", "Assignee can't be blank")]
    if resource is not None and record["assignee_id"] is None:
        record["assignee_id"] = resource["user_id"]
    return []


def _time_entry(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    errors = closed_workspace(store, record)
    minutes = record["time_in_minutes"]
    if minutes is None or not 0 < minutes <= MINUTES_A_DAY:
        errors.append(invalid("time_in_minutes", f"Time in minutes must be between 1 and {MINUTES_A_DAY}"))
    story = store.records.get("stories", record["story_id"] or "")
    if story is not None and story["workspace_id"] != record["workspace_id"]:
        errors.append(invalid("story_id", "Story must be in the same project"))
    if creating:
        record.update(currency_of(store, record))
        if "billable" not in changes and story is not None:
            record["billable"] = story["billable"]
        if record["role_id"] is None:
            user = store.records.get("users", record["user_id"] or "") or {}
            record["role_id"] = user.get("role_id")
        if "rate_in_cents" not in changes:
            record["rate_in_cents"] = rate_for(store, record)
    return errors


def rate_for(store: Store, entry: Record) -> int:
    """The project's rate for the role on that day: fixed at logging, a later card does not re-price the entry."""
    workspace = store.records.get("workspaces", entry["workspace_id"]) or {}
    best: tuple[str, int] = ("", 0)
    for _, version in store.records.find("rate_card_versions", rate_card_id=workspace.get("rate_card_id") or ""):
        dated = store.records.get("rate_card_set_versions", version["rate_card_set_version_id"] or "") or {}
        since = dated.get("effective_date") or "0001-01-01"
        if since > entry["date_performed"] or since < best[0]:
            continue
        rows = store.records.find("rate_card_roles", rate_card_version_id=version["id"], role_id=entry["role_id"])
        best = (since, int(rows[0][1]["rate"] if rows else version["default_rate"] or 0))
    return best[1]


def _expense(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    if creating:
        record.update(currency_of(store, record))
    return closed_workspace(store, record)


def _resource(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    user = store.records.get("users", record["user_id"] or "") or {}
    if record["role_id"] is None:
        record["role_id"] = user.get("role_id")
    role = store.records.get("roles", record["role_id"] or "") or {}
    record["full_name"], record["role_name"] = user.get("full_name"), role.get("name")
    return []


def _milestone(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    record["currency"] = currency_of(store, record).get("currency", record["currency"])
    if record["story_id"] and store.records.get("stories", record["story_id"]) is None:
        return [invalid("story_id", "Story does not exist or you may not see it")]
    return []


def _rate_card(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    if record["currency"] not in CURRENCIES:
        return [invalid("currency", "Currency is not supported")]
    twins = store.records.find("rate_cards", rate_card_set_id=record["rate_card_set_id"], currency=record["currency"])
    taken = any(i != record.get("id") for i, _ in twins)
    return [invalid("currency", "Currency has already been taken")] if taken else []


def _custom_value(store: Store, record: Record, changes: Record, creating: bool) -> Errors:
    """A value is for a project that is there, and takes the place of the one it has: with an id of its own."""
    record["display_value"] = record["value"]
    if not creating:
        return []
    if record["subject_type"] != "Workspace":
        return [invalid("subject_type", "Subject type is not included in the list")]
    if store.records.get("workspaces", record["subject_id"]) is None:
        return [invalid("subject_id", "Subject does not exist or you may not see it")]
    same = {name: record[name] for name in ("subject_type", "subject_id", "custom_field_id")}
    for _, before in store.records.find_now(CUSTOM_FIELD_VALUES.name, **same):
        store.remove(CUSTOM_FIELD_VALUES, before, before["setter_id"])
    return []


_RULES: dict[str, Rule] = {
    "workspaces": _workspace,
    "workspace_groups": _group,
    "stories": _story,
    "assignments": _assignment,
    "time_entries": _time_entry,
    "expenses": _expense,
    "workspace_resources": _resource,
    "billing_milestones": _milestone,
    "rate_cards": _rate_card,
    "custom_field_values": _custom_value,
}
