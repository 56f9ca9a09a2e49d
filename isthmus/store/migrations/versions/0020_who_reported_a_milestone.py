"""Who reported a milestone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    reported_by = sa.Column("reported_by", sa.Text(collation="C"), nullable=False, server_default="")
    op.add_column("milestone_status", reported_by, schema="hub")
