"""Guards in the database itself: states move only as allowed, evidence is never edited, events and audit only grow.

The hub's code obeys the same rules; these hold for whoever else has a connection. SQLSTATE ISM01 is a state change that
is not in hub.legal_move, ISM02 a change of something that is never changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "hub"

# (table, track, from, all the states it may go to)
LEGAL_MOVES = [
    ("engagement", "state", "requested", "validating cancelled"),
    ("engagement", "state", "validating", "paused provisioning cancelled"),
    ("engagement", "state", "paused", "validating provisioning cancelled"),
    ("engagement", "state", "provisioning", "paused ready cancelled"),
    ("engagement", "state", "ready", "active cancelled"),
    ("engagement", "state", "active", "closed"),
    ("billable_part", "state", "ready", "held deferred over_cap on_draft written_off superseded"),
    ("billable_part", "state", "held", "ready over_cap written_off superseded"),
    ("billable_part", "state", "deferred", "ready over_cap written_off superseded"),
    ("billable_part", "state", "over_cap", "ready written_off superseded"),
    ("billable_part", "state", "on_draft", "ready invoiced"),
    ("billable_part", "state", "invoiced", "credited"),
    ("billable_part", "state", "written_off", "ready superseded"),
    ("invoice", "life", "draft", "issued discarded"),
    ("invoice", "life", "issued", "credited"),
    ("invoice", "composition", "drafted", "in_review approved"),
    ("invoice", "composition", "in_review", "drafted approved"),
    ("invoice", "tax_track", "pending", "calculated failed"),
    ("invoice", "tax_track", "calculated", "committed"),
    ("invoice", "tax_track", "failed", "calculated"),
    ("invoice", "posting", "not_posted", "posting posted"),
    ("invoice", "posting", "posting", "posted rejected"),
    ("invoice", "posting", "rejected", "posting posted"),
    ("invoice", "delivery", "not_sent", "sent"),
    ("invoice", "settlement", "open", "partially_paid paid"),
    ("invoice", "settlement", "partially_paid", "open paid"),
    ("invoice", "settlement", "paid", "open partially_paid"),
    ("case_file", "state", "open", "resolved waived cancelled"),
]

NEVER_CHANGED = ["billable_item", "time_entry", "contract_version", "event"]

# One function per track name: plain field access costs a microsecond, looking a field up by its name fifty.
GUARD_MOVES = """
create function hub.guard_moves_{track}() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from hub.legal_move m where m.table_name = tg_table_name and m.track = '{track}'
                 and m.old = old.{track} and m.new = new.{track}) then
    raise exception '%: {track} cannot go from % to %', tg_table_name, old.{track}, new.{track}
      using errcode = 'ISM01';
  end if;
  return new;
end $$
"""

GUARD_MOVES_TRIGGER = """
create trigger guard_moves_{track} before update of {track} on hub.{table}
for each row when (old.{track} is distinct from new.{track}) execute function hub.guard_moves_{track}()
"""

GUARD_GROWTH = """
create function hub.guard_growth() returns trigger language plpgsql as $$
begin
  raise exception '% is never changed: % refused', tg_table_name, lower(tg_op) using errcode = 'ISM02';
end $$
"""

# An audit entry is written with its change and chained later: only the seal may be set, and only once.
GUARD_SEAL = """
create function hub.guard_seal() returns trigger language plpgsql as $$
declare
  unsealed hub.audit := new;
begin
  unsealed.chain := old.chain;
  unsealed.previous_hash := old.previous_hash;
  unsealed.hash := old.hash;
  if old.chain <> 0 or new.chain <= 0 or unsealed is distinct from old then
    raise exception 'audit entry % is never changed: only its seal may be set, once', old.audit_id
      using errcode = 'ISM02';
  end if;
  return new;
end $$
"""


def upgrade() -> None:
    """Create the guards."""
    _legal_moves()
    for track in dict.fromkeys(track for _, track, _, _ in LEGAL_MOVES):
        op.execute(GUARD_MOVES.format(track=track))
    for table, track in dict.fromkeys((table, track) for table, track, _, _ in LEGAL_MOVES):
        op.execute(GUARD_MOVES_TRIGGER.format(table=table, track=track))
    op.execute(GUARD_GROWTH)
    for table in NEVER_CHANGED:
        _refuse(table, "update or delete", "row")
        _refuse(table, "truncate", "statement")
    op.execute(GUARD_SEAL)
    op.execute("create trigger guard_seal before update on hub.audit for each row execute function hub.guard_seal()")
    _refuse("audit", "delete", "row")
    _refuse("audit", "truncate", "statement")


def _legal_moves() -> None:
    key = [sa.Column(name, sa.Text(), primary_key=True) for name in ("table_name", "track", "old", "new")]
    table = op.create_table("legal_move", *key, schema=SCHEMA)
    op.bulk_insert(
        table,
        [
            {"table_name": name, "track": track, "old": old, "new": new}
            for name, track, old, allowed in LEGAL_MOVES
            for new in allowed.split()
        ],
    )


def _refuse(table: str, operations: str, each: str) -> None:
    op.execute(
        f"create trigger guard_growth_{each} before {operations} on hub.{table} "
        f"for each {each} execute function hub.guard_growth()"
    )
