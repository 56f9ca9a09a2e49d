# ruff: noqa: E501 - one line of columns per type reads best
"""Expenses, milestones, progress, usage, holds, ledgers, disputes, periods, exchange rates, contracts as handed in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TYPES: dict[str, Any] = {
    "text": sa.Text(collation="C"),
    "number": sa.Numeric(),
    "count": sa.BigInteger(),
    "day": sa.Date(),
    "instant": sa.DateTime(timezone=True),
    "flag": sa.Boolean(),
    "json": postgresql.JSONB(),
}
# Columns by type; a type with a question mark may be empty.
TABLES: dict[str, dict[str, str]] = {
    "dispute": {
        "text": "dispute_no invoice_id currency reason opened_by owner state resolved_by",
        "count": "line",
        "number": "amount gross credited",
        "instant": "opened_at",
        "instant?": "resolved_at",
    },
    "expense": {
        "text": "source source_id project_code task_code person category currency merchant_country receipt_ref receipt_hash location per_diem_day note approved_by",
        "count": "revision",
        "day": "expense_date",
        "number": "gross tax personal",
        "flag": "tax_recoverable billable",
        "number?": "card_rate distance",
        "json": "meals_provided",
        "instant": "approved_at",
    },
    "filed_contract": {
        "text": "contract_no filed_by",
        "count": "version",
        "json": "content",
        "instant": "filed_at",
    },
    "fiscal_period": {
        "text": "entity domain period state changed_by",
        "instant": "changed_at",
        "json": "approvals",
    },
    "fx_rate": {
        "text": "rate_type from_currency to_currency source",
        "day": "day",
        "number": "rate",
    },
    "hold": {
        "text": "hold_id contract_no line_uid source_key reason owner placed_by released_by",
        "number?": "amount",
        "instant": "placed_at",
        "day?": "until",
        "instant?": "released_at",
    },
    "ledger_entry": {
        "text": "entry_id ledger contract_no line_uid period kind currency invoice_id source_key",
        "number": "hours amount",
        "day?": "expires",
        "instant": "recorded_at",
    },
    "milestone_status": {
        "text": "source source_id contract_no project_code line_uid state by evidence",
        "count": "number",
        "instant": "at",
    },
    "percent_report": {
        "text": "contract_no line_uid by",
        "day": "as_of",
        "number": "percent",
        "instant": "at",
    },
    "period_snapshot": {
        "text": "entity period content_hash",
        "count": "version",
        "json": "totals",
        "instant": "taken_at",
    },
    "usage_record": {
        "text": "contract_no line_uid evidence_ref evidence_hash source source_id",
        "day": "period_start period_end",
        "number": "quantity unit_price",
        "number?": "amount",
    },
}
KEYS = {
    "dispute": "dispute_no",
    "expense": "source source_id revision",
    "filed_contract": "contract_no version",
    "fiscal_period": "entity domain period",
    "fx_rate": "rate_type from_currency to_currency day",
    "hold": "hold_id",
    "ledger_entry": "entry_id",
    "milestone_status": "source source_id number at",
    "percent_report": "contract_no line_uid as_of at",
    "period_snapshot": "entity period version",
    "usage_record": "source source_id",
}
INDEXES = [
    ("dispute", "invoice_id"),
    ("expense", "project_code"),
    ("hold", "contract_no"),
    ("ledger_entry", "contract_no ledger"),
    ("ledger_entry", "invoice_id"),
    ("milestone_status", "project_code"),
    ("usage_record", "contract_no"),
]
GROWING = (
    "expense",
    "milestone_status",
    "percent_report",
    "usage_record",
    "ledger_entry",
    "period_snapshot",
    "fx_rate",
    "filed_contract",
)
MOVING = ("dispute", "fiscal_period")
# (table, track, from, all the states it may go to)
LEGAL_MOVES = [
    ("billable_part", "state", "deferred", "held"),
    ("billable_part", "state", "held", "deferred"),
    ("dispute", "state", "investigating", "partially_upheld rejected upheld"),
    ("dispute", "state", "open", "investigating partially_upheld rejected upheld"),
    ("dispute", "state", "partially_upheld", "closed"),
    ("dispute", "state", "rejected", "closed"),
    ("dispute", "state", "upheld", "closed"),
    ("fiscal_period", "state", "closed", "reopened"),
    ("fiscal_period", "state", "future", "open"),
    ("fiscal_period", "state", "open", "closed soft_closed"),
    ("fiscal_period", "state", "reopened", "closed"),
    ("fiscal_period", "state", "soft_closed", "closed open"),
    ("invoice", "delivery", "bounced", "sent"),
    ("invoice", "delivery", "sent", "bounced delivered"),
    ("invoice", "settlement", "open", "written_off"),
    ("invoice", "settlement", "partially_paid", "written_off"),
]


def upgrade() -> None:
    """Bring the schema to this revision."""
    for table, kinds in TABLES.items():
        columns: list[Any] = [
            sa.Column(name, TYPES[kind.rstrip("?")], nullable=kind.endswith("?"))
            for kind, names in kinds.items()
            for name in names.split()
        ]
        op.create_table(table, *columns, sa.PrimaryKeyConstraint(*KEYS[table].split()), schema="hub")
    for table, names in INDEXES:
        op.create_index(f"ix_{table}_{names.replace(' ', '_')}", table, names.split(), schema="hub")
    for table, track, old, allowed in LEGAL_MOVES:
        for new in allowed.split():
            row = f"'{table}', '{track}', '{old}', '{new}'"
            op.execute(f"insert into hub.legal_move (table_name, track, old, new) values ({row})")
    for table in GROWING:
        for each, operations in (("row", "update or delete"), ("statement", "truncate")):
            op.execute(
                f"create trigger guard_growth_{each} before {operations} on hub.{table} for each {each}"
                " execute function hub.guard_growth()"
            )
    for table in MOVING:
        op.execute(
            f"create trigger guard_moves_state before update of state on hub.{table} for each row"
            " when (old.state is distinct from new.state) execute function hub.guard_moves_state()"
        )
