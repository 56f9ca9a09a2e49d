"""The collections: what each one is called, answers, accepts and points to. Names follow the vendor's specification.

Modelled from the vendor's published material, not certified. ``to_one`` keys are always answered, because the vendor
reads them off the row for free; ``to_many`` ids are answered only when the association is included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BASE_ORDERS = ("created_at", "updated_at")


def words(text: str) -> frozenset[str]:
    """The names in a line of text."""
    return frozenset(text.split())


@dataclass(frozen=True)
class Collection:
    """One vendor collection.

    to_one: association -> collection, keyed by ``<association>_id``; to_many: association -> (collection, field):
    the field of this record that holds the ids or, after ``<``, the field of the others that points back here.
    defaults: what a new record answers for attributes nobody gave; aliases: accepted name -> stored name.
    """

    name: str
    singular: str
    subject: str
    event: str | None
    creates: frozenset[str] = frozenset()
    updates: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    to_one: Mapping[str, str] = field(default_factory=dict)
    to_many: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    filters: frozenset[str] = frozenset()
    orders: tuple[str, ...] = BASE_ORDERS
    default_order: str = "updated_at:desc"
    search: tuple[str, ...] = ()
    integers: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    referable: bool = True

    @property
    def known(self) -> frozenset[str]:
        """Every attribute name this collection can hold."""
        keys = {f"{name}_id" for name in self.to_one}
        lists = {f for _, f in self.to_many.values() if not f.startswith("<")}
        stamps = {"id", "created_at", "updated_at"}
        return frozenset(stamps | keys | lists | set(self.defaults) | self.creates | self.updates)


MONEY = {"currency": "USD", "currency_symbol": "$", "currency_base_unit": 100}
_PLAN = "title description start_date due_date"

WORKSPACES = Collection(
    "workspaces",
    "workspace",
    "Workspace",
    "workspace",
    creates=words(
        f"{_PLAN} creator_role budgeted currency price consultant_role_name client_role_name access_level"
        " change_orders_enabled expenses_in_burn_rate stories_are_fixed_fee_by_default rate_card_id"
        " require_expense_approvals require_time_approvals project_template_start_date project_tracker_template_id"
        " status_key external_reference workspace_group_ids primary_workspace_group_id approver_id approver_ids"
        " target_margin tasks_default_non_billable external_link revenue_recognition_method primary_maven_id"
        " stage require_notes_on_time_entries time_trackable"
    ),
    updates=words(
        f"{_PLAN} budgeted archived access_level price currency rate_card_id client_role_name consultant_role_name"
        " change_orders_enabled stories_are_fixed_fee_by_default target_margin approver_id approver_ids status_key"
        " external_reference workspace_group_ids primary_workspace_group_id external_link stage"
        " revenue_recognition_method require_notes_on_time_entries time_trackable tasks_default_non_billable"
        " expenses_in_burn_rate"
    ),
    required=("title", "creator_role"),
    defaults={
        "title": "",
        "description": None,
        "archived": False,
        "start_date": None,
        "due_date": None,
        "budgeted": False,
        "change_orders_enabled": False,
        "price_in_cents": 0,
        "default_rate": None,
        "status_key": 100,
        "stage": None,
        "require_time_approvals": True,
        "require_expense_approvals": True,
        "rate_card_id": None,
        "access_level": "invitation",
        "revenue_recognition_method": None,
        "time_trackable": True,
        **MONEY,
    },
    to_one={
        "creator": "users",
        "primary_maven": "users",
        "primary_counterpart": "users",
        "primary_workspace_group": "workspace_groups",
    },
    to_many={
        "approvers": ("users", "approver_ids"),
        "workspace_groups": ("workspace_groups", "workspace_group_ids"),
        "workspace_resources": ("workspace_resources", "<workspace_id"),
        "timesheet_submissions": ("timesheet_submissions", "<workspace_id"),
        "custom_field_values": ("custom_field_values", "<subject_id"),
    },
    filters=words("primary_workspace_group_id budgeted"),
    orders=(*BASE_ORDERS, "title", "due_date", "start_date"),
    search=("title", "description"),
    integers=words("status_key"),
    dates=words("start_date due_date"),
)

WORKSPACE_GROUPS = Collection(
    "workspace_groups",
    "workspace_group",
    "WorkspaceGroup",
    "workspace_group",
    creates=words(
        "name company add_workspace_ids contact_name email phone_number address website notes external_reference"
    ),
    updates=words(
        "name company add_workspace_ids remove_workspace_ids contact_name email phone_number address website notes"
        " external_reference"
    ),
    required=("name",),
    defaults={
        "name": "",
        "company": False,
        "contact_name": None,
        "email": None,
        "phone_number": None,
        "address": None,
        "website": None,
        "notes": None,
    },
    to_many={"workspaces": ("workspaces", "<workspace_group_ids")},
    filters=words("company"),
    orders=(*BASE_ORDERS, "name"),
    search=("name",),
)

STORIES = Collection(
    "stories",
    "story",
    "Story",
    "story",
    creates=words(
        f"{_PLAN} story_type workspace_id parent_id archived assignee_ids budget_estimate_in_cents"
        " cost_budget_in_cents time_estimate_in_minutes tag_list billable percentage_complete state fixed_fee weight"
        " priority time_trackable external_reference"
    ),
    updates=words(
        f"{_PLAN} story_type parent_id archived assignee_ids budget_estimate_in_cents time_estimate_in_minutes"
        " tag_list billable percentage_complete state fixed_fee weight priority time_trackable external_reference"
    ),
    required=("title", "story_type", "workspace_id"),
    defaults={
        "title": "",
        "description": None,
        "story_type": "task",
        "state": "not started",
        "billable": True,
        "archived": False,
        "fixed_fee": False,
        "time_trackable": True,
        "start_date": None,
        "due_date": None,
        "budget_estimate_in_cents": None,
        "time_estimate_in_minutes": None,
        "percentage_complete": 0,
        "weight": None,
        "priority": None,
    },
    to_one={"workspace": "workspaces", "parent": "stories", "root": "stories", "creator": "users"},
    to_many={
        "assignees": ("users", "assignee_ids"),
        "sub_stories": ("stories", "<parent_id"),
        "current_assignments": ("assignments", "<story_id"),
    },
    filters=words("workspace_id parent_id story_type state"),
    orders=(*BASE_ORDERS, "title", "due_date", "start_date"),
    search=("title", "description"),
    integers=words("budget_estimate_in_cents time_estimate_in_minutes percentage_complete"),
    dates=words("start_date due_date"),
)

STORY_STATE_CHANGES = Collection(
    "story_state_changes",
    "story_state_change",
    "StoryStateChange",
    None,
    defaults={"state": None, "formatted_state": None},
    to_one={"user": "users", "story": "stories"},
    filters=words("story_id"),
    orders=("created_at",),
    default_order="created_at:asc",
    referable=False,
)

ASSIGNMENTS = Collection(
    "assignments",
    "assignment",
    "Assignment",
    "assignment",
    creates=words("story_id assignee_id current estimated_minutes resource_id external_reference"),
    updates=words("assignee_id current estimated_minutes resource_id external_reference"),
    required=("story_id",),
    defaults={"current": True, "estimated_minutes": 0, "allocated_minutes": 0, "resource_id": None},
    to_one={"story": "stories", "assignee": "users"},
    filters=words("story_id assignee_id current"),
    integers=words("estimated_minutes"),
)

TIME_ENTRIES = Collection(
    "time_entries",
    "time_entry",
    "TimeEntry",
    "time_entry",
    creates=words(
        "workspace_id date_performed time_in_minutes billable notes rate_in_cents cost_rate_in_cents role_id story_id"
        " user_id external_reference location"
    ),
    updates=words(
        "workspace_id date_performed time_in_minutes billable notes rate_in_cents cost_rate_in_cents role_id story_id"
        " user_id external_reference location"
    ),
    required=("workspace_id", "date_performed", "time_in_minutes"),
    defaults={
        "date_performed": None,
        "time_in_minutes": 0,
        "billable": True,
        "notes": None,
        "rate_in_cents": 0,
        "cost_rate_in_cents": 0,
        "approved": False,
        "is_invoiced": False,
        "taxable": False,
        "location": None,
        **MONEY,
    },
    to_one={
        "workspace": "workspaces",
        "user": "users",
        "story": "stories",
        "role": "roles",
        "active_submission": "timesheet_submissions",
        "recent_submission": "timesheet_submissions",
        "invoice": "invoices",
    },
    filters=words("workspace_id billable"),
    orders=(*BASE_ORDERS, "date_performed"),
    default_order="date_performed:desc",
    integers=words("time_in_minutes rate_in_cents cost_rate_in_cents"),
    dates=words("date_performed"),
)

EXPENSES = Collection(
    "expenses",
    "expense",
    "Expense",
    "expense",
    creates=words(
        "workspace_id date category amount_in_cents notes user_id receipt_id billable story_id expense_category_id"
        " reimbursable vendor_id foreign_exchange_amount external_reference"
    ),
    updates=words(
        "date category amount_in_cents notes user_id receipt_id billable story_id expense_category_id"
        " foreign_exchange_amount external_reference"
    ),
    required=("workspace_id", "date", "category", "amount_in_cents"),
    defaults={
        "date": None,
        "category": None,
        "amount_in_cents": 0,
        "notes": None,
        "is_billable": True,
        "is_invoiced": False,
        "reimbursable": True,
        "taxable": False,
        "receipt_id": None,
        **MONEY,
    },
    to_one={
        "workspace": "workspaces",
        "user": "users",
        "story": "stories",
        "active_submission": "expense_report_submissions",
        "recent_submission": "expense_report_submissions",
    },
    filters=words("workspace_id reimbursable"),
    orders=("created_at", "date", "category", "notes", "amount"),
    default_order="date:desc",
    integers=words("amount_in_cents"),
    dates=words("date"),
    aliases={"billable": "is_billable"},
)

_SUBMISSION: dict[str, Any] = {
    "creates": words("title comment workspace_id user_id line_item_ids external_reference"),
    "required": ("title", "workspace_id", "line_item_ids"),
    "defaults": {
        "title": "",
        "comment": None,
        "status": "pending",
        "line_item_total_in_cents": 0,
        "resolution_description": None,
        "current_resolution_description": None,
        "current_resolution_creator_id": None,
        "current_resolution_created_at_date": None,
        **MONEY,
    },
    "to_one": {"user": "users", "workspace": "workspaces"},
    "filters": words("workspace_id"),
}

TIMESHEETS = Collection(
    "timesheet_submissions",
    "timesheet_submission",
    "TimesheetSubmission",
    "timesheet",
    to_many={"time_entries": ("time_entries", "time_entry_ids")},
    orders=("date",),
    default_order="date:desc",
    **{**_SUBMISSION, "defaults": {**_SUBMISSION["defaults"], "start_date": None, "end_date": None}},
)
EXPENSE_REPORTS = Collection(
    "expense_report_submissions",
    "expense_report_submission",
    "ExpenseReportSubmission",
    "expense_report",
    to_many={"expenses": ("expenses", "expense_ids")},
    orders=("created_at", "title", "status", "amount"),
    default_order="created_at:desc",
    **_SUBMISSION,
)
RESOLUTIONS = Collection(
    "resolutions",
    "resolution",
    "Resolution",
    None,
    defaults={"type": "approval", "description": None, "target_type": None, "target_id": None, "user_id": None},
    referable=False,
)
