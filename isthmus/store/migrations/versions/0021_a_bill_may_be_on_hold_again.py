"""A subcontractor's bill that may be paid can be put on hold again, when the client's money is gone."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute(
        "insert into hub.legal_move (table_name, track, old, new)"
        " values ('subcontractor_bill', 'state', 'payable', 'posted') on conflict do nothing"
    )
