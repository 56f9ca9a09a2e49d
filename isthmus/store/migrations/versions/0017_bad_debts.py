"""What is open of an invoice may be given up as a bad debt, and claimed again."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MOVES = (
    ("open", "written_off"),
    ("partially_paid", "written_off"),
    ("written_off", "open"),
    ("written_off", "partially_paid"),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    for old, new in MOVES:
        op.execute(
            "insert into hub.legal_move (table_name, track, old, new)"
            f" values ('invoice', 'settlement', '{old}', '{new}') on conflict do nothing"
        )
