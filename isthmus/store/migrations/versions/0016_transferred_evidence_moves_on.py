"""Evidence that was transferred may be superseded: by the entry's own move to the contract where it belongs."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.execute(
        "insert into hub.legal_move (table_name, track, old, new)"
        " values ('billable_part', 'state', 'transferred', 'superseded') on conflict do nothing"
    )
