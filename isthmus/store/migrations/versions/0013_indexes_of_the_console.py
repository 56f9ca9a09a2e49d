"""Indexes for what the console and the desk's watch look up: the latest first, without reading the whole table."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEXES = (
    ("audit", ("at", "audit_id")),
    ("case_file", ("invoice_id",)),
    ("case_file", ("resolved_at", "case_no")),
    ("effect", ("connection", "done_at")),
    ("inbox", ("source", "received_at")),
    ("run", ("state", "updated_at")),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    for table, columns in INDEXES:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns), schema="hub")
