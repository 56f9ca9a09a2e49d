# ruff: noqa: E501 - one row per column
"""Existing tables know payers, orders, holds, tax breakdowns, exchange rates and credits."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TYPES: dict[str, Any] = {
    "text": sa.Text(collation="C"),
    "number": sa.Numeric(),
    "count": sa.BigInteger(),
    "day": sa.Date(),
    "json": postgresql.JSONB(),
}
# (table, column, type, what existing rows get; None: the column may be empty)
COLUMNS = [
    ("allocation", "reverses", "text", "''"),
    ("allocation", "certificate", "text", "''"),
    ("allocation", "fx_difference", "number", None),
    ("billable_item", "source_type", "text", "'time'"),
    ("billable_item", "entry_key", "text", "''"),
    ("billable_item", "entry_revision", "count", "0"),
    ("billable_item", "raw_quantity", "number", None),
    ("billable_item", "extended", "number", None),
    ("billable_item", "discount", "number", "0"),
    ("billable_item", "payer", "text", "''"),
    ("billable_item", "po_number", "text", "''"),
    ("billable_item", "phase", "text", "''"),
    ("billable_item", "expense_class", "text", "''"),
    ("billable_item", "tax_category", "text", "''"),
    ("billable_item", "description", "text", "''"),
    ("billable_item", "refers_to", "text", "''"),
    ("billable_part", "hold_id", "text", "''"),
    ("billable_part", "payer", "text", "''"),
    ("billable_part", "po_number", "text", "''"),
    ("client", "tax_status", "text", "'business'"),
    ("client", "tax_id_validated_on", "day", None),
    ("client", "tax_id_valid_until", "day", None),
    ("contract_version", "purchase_orders", "json", "'[]'"),
    (
        "contract_version",
        "invoicing",
        "json",
        '\'{"group_by": ["payer", "po"], "layout": "by_role", "consolidate": false, "minimum": null, "maximum": null, "attachments": []}\'',
    ),
    ("contract_version", "authorised_value", "number", None),
    ("invoice", "kind", "text", "'standard'"),
    ("invoice", "bill_to", "text", "''"),
    ("invoice", "group", "text", "''"),
    ("invoice", "original_invoice_id", "text", "''"),
    ("invoice", "reason", "text", "''"),
    ("invoice", "tax_breakdown", "json", "'[]'"),
    ("invoice", "tax_decision", "json", "'{}'"),
    ("invoice", "functional_currency", "text", "''"),
    ("invoice", "functional_total", "number", None),
    ("invoice", "fx_rate", "number", None),
    ("invoice", "fx_date", "day", None),
    ("invoice", "fx_source", "text", "''"),
    ("invoice", "attachments", "json", "'[]'"),
    ("invoice", "disputed", "number", "0"),
    ("invoice", "credited", "number", "0"),
    ("legal_entity", "tax_id", "text", "''"),
    ("legal_entity", "tax_rounding", "text", "'line'"),
    ("legal_entity", "approval_matrix", "json", "'[]'"),
    ("legal_entity", "prior_period_threshold", "number", "0"),
    ("legal_entity", "accrual_percent", "number", "0"),
    ("legal_entity", "holidays", "text", "''"),
    ("payment", "withheld", "json", "'{}'"),
    ("payment", "reversed_on", "day", None),
    ("time_entry", "grade", "text", "''"),
    ("time_entry", "region", "text", "''"),
    ("time_entry", "work_type", "text", "''"),
    ("time_entry", "location", "text", "''"),
    ("time_entry", "started_at", "text", "''"),
    ("time_entry", "days", "json", "'[]'"),
]


def upgrade() -> None:
    """Bring the schema to this revision."""
    for table, column, kind, given in COLUMNS:
        default = None if given is None else sa.text(given)
        made = sa.Column(column, TYPES[kind], nullable=given is None, server_default=default)
        op.add_column(table, made, schema="hub")
        if given is not None:  # new rows always bring their own
            op.alter_column(table, column, server_default=None, schema="hub")
    op.alter_column("allocation", "kind", type_=TYPES["text"], schema="hub", postgresql_using="kind #>> '{}'")
