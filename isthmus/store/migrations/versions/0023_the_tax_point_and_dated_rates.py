"""A legal entity says on which day its rates of tax apply, and rates change on a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    dated = sa.Column("tax_rates_from", postgresql.JSONB(), nullable=False, server_default="{}")
    op.add_column("legal_entity", dated, schema="hub")
    point = sa.Column("tax_point", sa.Text(collation="C"), nullable=False, server_default="issue")
    op.add_column("legal_entity", point, schema="hub")
