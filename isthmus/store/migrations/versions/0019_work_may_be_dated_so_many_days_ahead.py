"""Work may be dated so many days ahead."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    ahead = sa.Column("days_ahead", sa.BigInteger(), nullable=True, server_default="7")
    op.add_column("legal_entity", ahead, schema="hub")
