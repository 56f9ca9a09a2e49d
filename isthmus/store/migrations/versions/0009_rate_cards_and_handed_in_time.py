# ruff: noqa: E501
"""Rate cards beside contracts, handed-in time, own tax rates, a series of credit memos; a billed part may be split."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "rate_card",
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("scope", sa.Text(collation="C"), nullable=False),
        sa.Column("client_no", sa.Text(collation="C"), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("rates", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("approved_by", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("code", "version"),
        schema="hub",
    )
    op.create_index("ix_rate_card_client_no", "rate_card", ["client_no"], unique=False, schema="hub")
    op.create_index("ix_rate_card_entity", "rate_card", ["entity"], unique=False, schema="hub")
    op.create_table(
        "submitted_time",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("source_id", sa.Text(collation="C"), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("task_code", sa.Text(collation="C"), nullable=False),
        sa.Column("person", sa.Text(collation="C"), nullable=False),
        sa.Column("role", sa.Text(collation="C"), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("hours", sa.Numeric(), nullable=False),
        sa.Column("cost_rate", sa.Numeric(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id"),
        schema="hub",
    )
    op.create_index("ix_submitted_time_project_code", "submitted_time", ["project_code"], unique=False, schema="hub")
    op.create_index("ix_billable_item_entry_key", "billable_item", ["entry_key"], unique=False, schema="hub")
    op.add_column("ledger_entry", sa.Column("cost", sa.Numeric(), nullable=False, server_default="0"), schema="hub")
    op.add_column(
        "legal_entity",
        sa.Column("credit_series", sa.Text(collation="C"), nullable=False, server_default="CN"),
        schema="hub",
    )
    op.add_column(
        "legal_entity",
        sa.Column("tax_rates", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        schema="hub",
    )
    op.execute(
        "insert into hub.legal_move (table_name, track, old, new) values ('billable_part', 'state', 'invoiced', 'superseded')"
    )
    for table, column in (("legal_entity", "credit_series"), ("legal_entity", "tax_rates"), ("ledger_entry", "cost")):
        op.alter_column(table, column, server_default=None, schema="hub")
