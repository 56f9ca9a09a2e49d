"""The collections of people, rates and bills, and the table of all collections by name.

Modelled from the vendor's published material, not certified.
"""

from __future__ import annotations

from isthmus.sandbox.kantata.schema import (
    ASSIGNMENTS,
    BASE_ORDERS,
    EXPENSE_REPORTS,
    EXPENSES,
    MONEY,
    RESOLUTIONS,
    STORIES,
    STORY_STATE_CHANGES,
    TIME_ENTRIES,
    TIMESHEETS,
    WORKSPACE_GROUPS,
    WORKSPACES,
    Collection,
    words,
)
from isthmus.sandbox.kantata.schema_custom import CUSTOM_FIELD_VALUES, CUSTOM_FIELDS

USERS = Collection(
    "users",
    "user",
    "User",
    "user",
    updates=words("full_name headline email_address external_reference"),
    defaults={
        "full_name": "",
        "email_address": None,
        "headline": None,
        "disabled": False,
        "account_id": 1,
        "account_permission": "collaborator",
    },
    to_one={"role": "roles"},
    filters=words("account_permission"),
    orders=(*BASE_ORDERS, "full_name"),
    default_order="full_name:asc",
    search=("full_name", "email_address"),
)
ROLES = Collection(
    "roles",
    "role",
    "Role",
    "role",
    creates=words("name external_reference"),
    updates=words("name external_reference"),
    required=("name",),
    defaults={"name": ""},
    orders=(*BASE_ORDERS, "name"),
    default_order="name:asc",
)
RESOURCES = Collection(
    "workspace_resources",
    "workspace_resource",
    "WorkspaceResource",
    "workspace_resource",
    creates=words("workspace_id user_id role_id external_reference"),
    updates=words("label user_id role_id cost_rate bill_rate external_reference"),
    required=("workspace_id",),
    defaults={
        "label": None,
        "role_name": None,
        "full_name": None,
        "resource_bill_rate": None,
        "resource_cost_rate": None,
        "total_allocated_minutes": 0,
    },
    to_one={"workspace": "workspaces", "user": "users", "role": "roles"},
    filters=words("workspace_id user_id role_id"),
    integers=words("resource_bill_rate resource_cost_rate"),
    aliases={"bill_rate": "resource_bill_rate", "cost_rate": "resource_cost_rate"},
)
RATE_CARD_SETS = Collection(
    "rate_card_sets",
    "rate_card_set",
    "RateCardSet",
    None,
    creates=words("title clone_version_id"),
    updates=words("title"),
    required=("title",),
    defaults={"title": "", "account_default": False},
    to_many={
        "rate_cards": ("rate_cards", "<rate_card_set_id"),
        "rate_card_set_versions": ("rate_card_set_versions", "<rate_card_set_id"),
    },
    orders=(*BASE_ORDERS, "title"),
    referable=False,
)
RATE_CARD_SET_VERSIONS = Collection(
    "rate_card_set_versions",
    "rate_card_set_version",
    "RateCardSetVersion",
    None,
    creates=words("rate_card_set_id effective_date clone_id"),
    updates=words("effective_date"),
    required=("rate_card_set_id", "effective_date"),
    defaults={"active": True, "effective_date": None},
    to_one={"rate_card_set": "rate_card_sets"},
    to_many={"rate_card_versions": ("rate_card_versions", "<rate_card_set_version_id")},
    filters=words("rate_card_set_id"),
    orders=(*BASE_ORDERS, "effective_date"),
    dates=words("effective_date"),
    referable=False,
)
RATE_CARDS = Collection(
    "rate_cards",
    "rate_card",
    "RateCard",
    None,
    creates=words("rate_card_set_id rate_card_set_version_id currency"),
    updates=words("currency"),
    required=("rate_card_set_id", "currency"),
    defaults={"currency": "USD"},
    to_one={"rate_card_set": "rate_card_sets"},
    to_many={"rate_card_versions": ("rate_card_versions", "<rate_card_id")},
    filters=words("rate_card_set_id"),
)
RATE_CARD_VERSIONS = Collection(
    "rate_card_versions",
    "rate_card_version",
    "RateCardVersion",
    None,
    updates=words("default_rate"),
    defaults={"default_rate": None},
    to_one={"rate_card": "rate_cards", "rate_card_set_version": "rate_card_set_versions"},
    to_many={"rate_card_roles": ("rate_card_roles", "<rate_card_version_id")},
    filters=words("rate_card_id rate_card_set_version_id"),
    integers=words("default_rate"),
    referable=False,
)
RATE_CARD_ROLES = Collection(
    "rate_card_roles",
    "rate_card_role",
    "RateCardRole",
    None,
    creates=words("rate_card_version_id role_id rate"),
    updates=words("rate"),
    required=("rate_card_version_id", "role_id", "rate"),
    defaults={"rate": 0},
    to_one={"role": "roles", "rate_card_version": "rate_card_versions"},
    filters=words("rate_card_version_id role_id"),
    integers=words("rate"),
    referable=False,
)
BILLING_MILESTONES = Collection(
    "billing_milestones",
    "billing_milestone",
    "BillingMilestone",
    "billing_milestone",
    creates=words("title date_to_invoice amount_in_cents workspace_id story_id external_reference"),
    updates=words("title date_to_invoice amount_in_cents external_reference"),
    required=("title", "amount_in_cents", "workspace_id"),
    defaults={
        "title": "",
        "date_to_invoice": None,
        "amount_in_cents": 0,
        "billing_type": "fixed_fee",
        "currency": "USD",
        "invoice_id": None,
        "story_id": None,
    },
    to_one={"workspace": "workspaces"},
    filters=words("workspace_id story_id"),
    orders=(*BASE_ORDERS, "date_to_invoice"),
    integers=words("amount_in_cents"),
    dates=words("date_to_invoice"),
)
INVOICES = Collection(
    "invoices",
    "invoice",
    "Invoice",
    "invoice",
    creates=words(
        "time_entry_ids expense_ids workspace_id payment_schedule time_adjustment_ids invoice_date user_invoice_number"
        " user_invoice_title draft message purchase_order project_code suppress_emails tax_rate external_reference"
        " workspace_ids billing_milestone_ids"
    ),
    updates=words(
        "payment_schedule invoice_date user_invoice_number draft message user_invoice_title purchase_order"
        " project_code tax_rate external_reference"
    ),
    required=("workspace_id", "payment_schedule"),
    defaults={
        "invoice_date": None,
        "due_date": None,
        "message": None,
        "title": None,
        "draft": False,
        "status": "new",
        "balance_in_cents": 0,
        "payment_schedule": None,
        "user_invoice_title": None,
        "user_invoice_number": None,
        "tax_rate": None,
        "purchase_order": None,
        "project_code": None,
        **MONEY,
    },
    to_one={"user": "users", "recipient": "users"},
    to_many={
        "time_entries": ("time_entries", "time_entry_ids"),
        "expenses": ("expenses", "expense_ids"),
        "billing_milestones": ("billing_milestones", "billing_milestone_ids"),
        "workspaces": ("workspaces", "workspace_ids"),
    },
    filters=words("status"),
    orders=(*BASE_ORDERS, "invoice_date"),
    integers=words("payment_schedule"),
    dates=words("invoice_date"),
)
EXTERNAL_REFERENCES = Collection(
    "external_references",
    "external_reference",
    "ExternalReference",
    None,
    required=("service_model_ref", "service_model", "service_name", "subject_id", "subject_type"),
    defaults={
        "service_name": None,
        "service_model": None,
        "service_model_ref": None,
        "subject_id": None,
        "subject_type": None,
        "status": "successful",
        "external_link": None,
        "external_message": None,
        "external_status": None,
        "locked": False,
        "last_synced_at": None,
    },
    filters=words(
        "service_name service_model service_model_ref subject_id subject_type status external_message external_status"
    ),
    orders=("created_at", "last_synced_at"),
    default_order="last_synced_at:desc",
    referable=False,
)

COLLECTIONS: dict[str, Collection] = {
    c.name: c
    for c in (
        WORKSPACES,
        WORKSPACE_GROUPS,
        STORIES,
        STORY_STATE_CHANGES,
        ASSIGNMENTS,
        TIME_ENTRIES,
        USERS,
        ROLES,
        RESOURCES,
        RATE_CARD_SETS,
        RATE_CARD_SET_VERSIONS,
        RATE_CARDS,
        RATE_CARD_VERSIONS,
        RATE_CARD_ROLES,
        BILLING_MILESTONES,
        INVOICES,
        EXTERNAL_REFERENCES,
        TIMESHEETS,
        EXPENSE_REPORTS,
        EXPENSES,
        RESOLUTIONS,
        CUSTOM_FIELDS,
        CUSTOM_FIELD_VALUES,
    )
}
BY_SUBJECT: dict[str, Collection] = {c.subject: c for c in COLLECTIONS.values()}
WRITABLE_BY_POST = frozenset(n for n, c in COLLECTIONS.items() if c.creates)
READ_ONLY = frozenset({"external_references", "resolutions", "story_state_changes"})
