"""Subcontracts, suppliers' bills, the hours they have paid and what is kept back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


MOVES = (
    ("confirmed", "posted"),
    ("disputed", "cancelled"),
    ("disputed", "matched"),
    ("matched", "cancelled"),
    ("matched", "confirmed"),
    ("matched", "disputed"),
    ("posted", "payable"),
    ("received", "cancelled"),
    ("received", "disputed"),
    ("received", "matched"),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    _subcontracts()
    _bills()
    _paid_hours()
    _retention()
    op.add_column(
        "legal_entity",
        sa.Column("bill_tolerance_hours", sa.Numeric(), nullable=False, server_default="0"),
        schema="hub",
    )
    op.add_column(
        "legal_entity",
        sa.Column("bill_tolerance_amount", sa.Numeric(), nullable=False, server_default="0"),
        schema="hub",
    )
    _guards()


def _subcontracts() -> None:
    op.create_table(
        "subcontract",
        sa.Column("subcontract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("supplier", sa.Text(collation="C"), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("rates", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tolerance_hours", sa.Numeric(), nullable=True),
        sa.Column("tolerance_amount", sa.Numeric(), nullable=True),
        sa.Column("payment", sa.Text(collation="C"), nullable=False),
        sa.Column("payment_days", sa.BigInteger(), nullable=False),
        sa.Column("ordered_hours", sa.Numeric(), nullable=True),
        sa.Column("retention", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("agreed_by", sa.Text(collation="C"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subcontract_no", "version"),
        schema="hub",
    )
    op.create_index("ix_subcontract_project_code", "subcontract", ["project_code"], unique=False, schema="hub")
    op.create_index("ix_subcontract_supplier", "subcontract", ["supplier"], unique=False, schema="hub")


def _bills() -> None:
    op.create_table(
        "subcontractor_bill",
        sa.Column("bill_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("bill_no", sa.Text(collation="C"), nullable=False),
        sa.Column("supplier", sa.Text(collation="C"), nullable=False),
        sa.Column("subcontract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("billed_on", sa.Date(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("content_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("handed_in_by", sa.Text(collation="C"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("claims", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("difference", sa.Numeric(), nullable=False),
        sa.Column("accepted_by", sa.Text(collation="C"), nullable=False),
        sa.Column("accepted_why", sa.Text(collation="C"), nullable=False),
        sa.Column("disputed_by", sa.Text(collation="C"), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_by", sa.Text(collation="C"), nullable=False),
        sa.Column("retained", sa.Numeric(), nullable=False),
        sa.Column("released", sa.Numeric(), nullable=False),
        sa.Column("payable", sa.Numeric(), nullable=False),
        sa.Column("payment_hold", sa.Boolean(), nullable=False),
        sa.Column("payment_released_by", sa.Text(collation="C"), nullable=False),
        sa.Column("posted_as", sa.Text(collation="C"), nullable=False),
        sa.Column("posted_by", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("bill_id"),
        schema="hub",
    )
    op.create_index(
        "ix_subcontractor_bill_content_hash", "subcontractor_bill", ["content_hash"], unique=False, schema="hub"
    )
    op.create_index(
        "ix_subcontractor_bill_project_code_state",
        "subcontractor_bill",
        ["project_code", "state"],
        unique=False,
        schema="hub",
    )
    for column in ("contract_no", "bill_no"):
        op.create_index(f"ix_subcontractor_bill_{column}", "subcontractor_bill", [column], unique=False, schema="hub")
    op.create_index("ix_subcontractor_bill_state", "subcontractor_bill", ["state"], unique=False, schema="hub")
    op.create_index(
        "ix_subcontractor_bill_subcontract_no", "subcontractor_bill", ["subcontract_no"], unique=False, schema="hub"
    )


def _paid_hours() -> None:
    op.create_table(
        "paid_hours",
        sa.Column("paid_id", sa.Text(collation="C"), nullable=False),
        sa.Column("bill_id", sa.Text(collation="C"), nullable=False),
        sa.Column("subcontract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("source_key", sa.Text(collation="C"), nullable=False),
        sa.Column("entry_revision", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.Text(collation="C"), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("hours", sa.Numeric(), nullable=False),
        sa.Column("rate", sa.Numeric(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("paid_id"),
        schema="hub",
    )
    op.create_index("ix_paid_hours_bill_id", "paid_hours", ["bill_id"], unique=False, schema="hub")
    op.create_index("ix_paid_hours_project_code", "paid_hours", ["project_code"], unique=False, schema="hub")
    op.create_index("ix_paid_hours_source_key", "paid_hours", ["source_key"], unique=False, schema="hub")
    op.create_index("ix_paid_hours_subcontract_no", "paid_hours", ["subcontract_no"], unique=False, schema="hub")


def _retention() -> None:
    op.create_table(
        "retention_entry",
        sa.Column("entry_id", sa.Text(collation="C"), nullable=False),
        sa.Column("subcontract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("bill_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("until_percent", sa.Numeric(), nullable=True),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("entry_id"),
        schema="hub",
    )
    op.create_index(
        "ix_retention_entry_subcontract_no", "retention_entry", ["subcontract_no"], unique=False, schema="hub"
    )


def _guards() -> None:
    """Bills move as the states allow; what is agreed, paid and kept back is never changed."""
    for old, new in MOVES:
        op.execute(
            "insert into hub.legal_move (table_name, track, old, new)"
            f" values ('subcontractor_bill', 'state', '{old}', '{new}')"
        )
    op.execute(
        "create trigger guard_moves_state before update of state on hub.subcontractor_bill for each row"
        " when (old.state is distinct from new.state) execute function hub.guard_moves_state()"
    )
    for table in ("subcontract", "paid_hours", "retention_entry"):
        op.execute(
            f"create trigger guard_growth_row before update or delete on hub.{table} for each row"
            " execute function hub.guard_growth()"
        )
        op.execute(
            f"create trigger guard_growth_statement before truncate on hub.{table} for each statement"
            " execute function hub.guard_growth()"
        )
