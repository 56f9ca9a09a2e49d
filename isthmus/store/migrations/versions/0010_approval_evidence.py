# ruff: noqa: E501
"""Envelopes that ended are kept as approval evidence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "approval_evidence",
        sa.Column("envelope_id", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("change_order", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signatures", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("document_ref", sa.Text(collation="C"), nullable=False),
        sa.Column("document_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("envelope_id", "source"),
        schema="hub",
    )
    op.create_index(
        "ix_approval_evidence_contract_no_version",
        "approval_evidence",
        ["contract_no", "version"],
        unique=False,
        schema="hub",
    )
    op.execute(
        "\ncreate trigger guard_growth_row before update or delete on hub.approval_evidence for each row\nexecute function hub.guard_growth()\n"
    )
    op.execute(
        "\ncreate trigger guard_growth_statement before truncate on hub.approval_evidence for each statement\nexecute function hub.guard_growth()\n"
    )
