"""A contract knows who pays beside its client; what a payer owes is found without reading all invoices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    made = sa.Column("payers", postgresql.JSONB(), nullable=False, server_default=sa.text("'[]'"))
    op.add_column("contract_version", made, schema="hub")
    op.alter_column("contract_version", "payers", server_default=None, schema="hub")
    op.create_index("ix_invoice_bill_to_settlement", "invoice", ["bill_to", "settlement"], schema="hub")
