"""Tax within a bad debt is had back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    months = sa.Column("bad_debt_relief_months", sa.BigInteger(), nullable=True)
    op.add_column("legal_entity", months, schema="hub")
