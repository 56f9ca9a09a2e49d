"""Desk and console: what people do with cases, rules, alerts, sessions, and the sums of parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KINDS: dict[str, Callable[[], Any]] = {
    "text": lambda: sa.Text(collation="C"),
    "number": sa.BigInteger,
    "exact": sa.Numeric,
    "instant": lambda: sa.DateTime(timezone=True),
    "yes": sa.Boolean,
    "json": lambda: postgresql.JSONB(astext_type=sa.Text()),
}
# table -> "column:kind" in order ("?" may be empty), key, indexes
TABLES = {
    "case_note": (
        "case_no:text number:number at:instant by:text kind:text text:text before:json? after:json?",
        "case_no number",
        (),
    ),
    "proposal": (
        "proposal_no:text case_no:text action:text values:json original:json? reason:text dry_run:json proposed_by:text"
        " proposed_at:instant needs_second:yes why_second:text state:text decided_by:text decided_at:instant?"
        " decided_reason:text bulk_no:text rule_no:text",
        "proposal_no",
        ("case_no", "state", "bulk_no"),
    ),
    "bulk_fix": (
        "bulk_no:text exception:text group_key:text action:text values:json reason:text state:text asked_by:text"
        " asked_at:instant entities:json? roles:json approved_by:text approved_reason:text ended_at:instant?",
        "bulk_no",
        ("state",),
    ),
    "bulk_item": (
        "bulk_no:text case_no:text state:text told:text dry_run:json? proposal_no:text at:instant",
        "bulk_no case_no",
        ("case_no",),
    ),
    "desk_rule": (
        "rule_no:text exception:text match:json action:text values:json text:text from_case:text state:text"
        " proposed_by:text proposed_at:instant reviewed_by:text reviewed_at:instant? review_reason:text"
        " retired_by:text retired_at:instant? retired_reason:text",
        "rule_no",
        ("state exception",),
    ),
    "client_alias": (
        "client_no:text canonical_no:text active:yes by:text at:instant reason:text case_no:text",
        "client_no",
        ("canonical_no",),
    ),
    "alert": (
        "alert_id:text receiver:text case_no:text weight:number text:text body:json state:text attempts:number"
        " next_at:instant sent_at:instant? reason:text",
        "alert_id",
        ("state next_at", "case_no"),
    ),
    "session": (
        "session_hash:text name:text roles:json entities:json? via:text csrf:text address:text created_at:instant"
        " seen_at:instant expires_at:instant ended_at:instant?",
        "session_hash",
        ("expires_at",),
    ),
    "login_start": (
        "state_hash:text nonce:text verifier:text next_page:text created_at:instant",
        "state_hash",
        (),
    ),
    "lock_out": ("who:text failures:number first_at:instant locked_until:instant?", "who", ()),
    "part_sum": (
        "position:number contract_no:text state:text currency:text month:text quantity:exact net:exact parts:number",
        "position",
        ("contract_no state",),
    ),
}
# What cases get: those that are there stay as they were filed, without a deadline.
CASE_COLUMNS = (
    "record:text client_no:text contract_no:text invoice_id:text group_key:text assignee:text due_at:instant?"
    " escalate_at:instant? escalation:number tags:json waiting_for:text waiting_since:instant? waiting_until:instant?"
    " pending:text"
)
CASE_INDEXES = ("state group_key", "state escalate_at", "record state", "contract_no")
FILLED = {"text": "''", "number": "0", "json": "'[]'::jsonb"}

# A row of sums with every statement, in its transaction: the figures equal the parts at every instant, and writers do
# not wait for each other as they would for one row of totals.
SUMS = """
create function hub.sum_parts_{operation}() returns trigger language plpgsql as $$
begin
  insert into hub.part_sum (contract_no, state, currency, month, quantity, net, parts)
  select contract_no, state, currency, to_char(service_date, 'YYYY-MM'), sum(quantity), sum(net), sum(parts)
  from ({changes}) change group by 1, 2, 3, 4
  having sum(quantity) <> 0 or sum(net) <> 0 or sum(parts) <> 0;
  return null;
end $$
"""
ADDED = "select contract_no, state, currency, service_date, quantity, net, 1 as parts from added"
GONE = "select contract_no, state, currency, service_date, -quantity as quantity, -net as net, -1 as parts from gone"


def upgrade() -> None:
    """Bring the schema to this revision."""
    for name, (columns, key, indexes) in TABLES.items():
        numbered = ("position",) if name == "part_sum" else ()
        op.create_table(
            name,
            *(_column(column, numbered) for column in columns.split()),
            sa.PrimaryKeyConstraint(*key.split()),
            schema="hub",
        )
        _index(name, indexes)
    for each, operations in (("row", "update or delete"), ("statement", "truncate")):
        op.execute(
            f"create trigger guard_growth_{each} before {operations} on hub.case_note"
            f" for each {each} execute function hub.guard_growth()"
        )
    _cases()
    _sums()


def _column(told: str, numbered: tuple[str, ...] = ()) -> sa.Column[object]:
    name, kind = told.removesuffix("?").split(":")
    identity = (sa.Identity(always=False),) if name in numbered else ()
    return sa.Column(name, KINDS[kind](), *identity, nullable=told.endswith("?"))


def _index(table: str, groups: tuple[str, ...]) -> None:
    for group in groups:
        columns = group.split()
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns, schema="hub")


def _cases() -> None:
    for told in CASE_COLUMNS.split():
        column = _column(told)
        if not column.nullable:
            column.server_default = sa.DefaultClause(sa.text(FILLED[told.split(":")[1]]))
        op.add_column("case_file", column, schema="hub")
        if not column.nullable:
            op.alter_column("case_file", column.name, server_default=None, schema="hub")
    _index("case_file", CASE_INDEXES)


def _sums() -> None:
    kinds = {
        "insert": ("new table as added", ADDED),
        "update": ("old table as gone new table as added", f"{ADDED} union all {GONE}"),
        "delete": (
            "old table as gone",
            GONE,
        ),
    }
    for operation, (tables, changes) in kinds.items():
        op.execute(SUMS.format(operation=operation, changes=changes))
        op.execute(
            f"create trigger sum_parts_{operation} after {operation} on hub.billable_part referencing {tables}"
            f" for each statement execute function hub.sum_parts_{operation}()"
        )
    op.execute(
        "insert into hub.part_sum (contract_no, state, currency, month, quantity, net, parts)"
        " select contract_no, state, currency, to_char(service_date, 'YYYY-MM'), sum(quantity), sum(net), count(*)"
        " from hub.billable_part group by 1, 2, 3, 4"
    )
