"""Which worker's claim on a run is the last one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision. Runs that are there have not been claimed under this rule yet."""
    op.add_column("run", sa.Column("claim", sa.BigInteger(), nullable=False, server_default="0"), schema="hub")
    op.alter_column("run", "claim", server_default=None, schema="hub")
