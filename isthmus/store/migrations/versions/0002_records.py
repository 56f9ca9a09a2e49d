"""What the hub keeps besides: runs, effects, messages, events, cases, audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "hub"


def upgrade() -> None:
    """Create the tables."""
    _run()
    _run_step()
    _effect()
    _inbox()
    _event()
    _event_delivery()
    _crosswalk()
    _audit()
    _case_file()
    _decision()
    _connection_state()
    _watermark()
    _executor()
    _idempotent_reply()
    _counter()
    _firm_version()
    _quiet_decision()


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("process", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("args", JSONB(), nullable=False),
        sa.Column("args_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("wake_at", sa.DateTime(timezone=True)),
        sa.Column("waiting_since", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("committed", sa.Boolean(), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("lane", sa.Text(collation="C"), nullable=False),
        sa.Column("correlation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_run_correlation_id", "run", ["correlation_id"], schema=SCHEMA)
    op.create_index("ix_run_key", "run", ["key"], schema=SCHEMA)
    op.create_index("ix_run_state_wake_at", "run", ["state", "wake_at"], schema=SCHEMA)


def _run_step() -> None:
    op.create_table(
        "run_step",
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("phrase", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("output", JSONB()),
        sa.Column("summary", sa.Text(collation="C"), nullable=False),
        sa.Column("system", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric()),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq"),
        schema=SCHEMA,
    )


def _effect() -> None:
    op.create_table(
        "effect",
        sa.Column("effect_key", sa.Text(collation="C"), nullable=False),
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("connection", sa.Text(collation="C"), nullable=False),
        sa.Column("verb", sa.Text(collation="C"), nullable=False),
        sa.Column("business_key", sa.Text(collation="C"), nullable=False),
        sa.Column("args_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("result", JSONB()),
        sa.Column("sends", sa.BigInteger(), nullable=False),
        sa.Column("lookups", sa.BigInteger(), nullable=False),
        sa.Column("digests", JSONB(), nullable=False),
        sa.Column("amount", sa.Numeric()),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("correlation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("in_doubt_since", sa.DateTime(timezone=True)),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("effect_key"),
        schema=SCHEMA,
    )
    op.create_index("ix_effect_business_key", "effect", ["business_key"], schema=SCHEMA)
    op.create_index("ix_effect_run_id", "effect", ["run_id"], schema=SCHEMA)
    op.create_index("ix_effect_state", "effect", ["state"], schema=SCHEMA)


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("message_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("aggregate", sa.Text(collation="C"), nullable=False),
        sa.Column("content_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("raw", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "message_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_inbox_aggregate", "inbox", ["aggregate"], schema=SCHEMA)
    op.create_index("ix_inbox_state_received_at", "inbox", ["state", "received_at"], schema=SCHEMA)


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("schema_version", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("aggregate", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("correlation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("causation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("actor", sa.Text(collation="C"), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
        sa.UniqueConstraint("position"),
        sa.UniqueConstraint("aggregate", "sequence", name="uq_event_aggregate_sequence"),
        schema=SCHEMA,
    )
    op.create_index("ix_event_correlation_id", "event", ["correlation_id"], schema=SCHEMA)


def _event_delivery() -> None:
    op.create_table(
        "event_delivery",
        sa.Column("event_id", sa.Text(collation="C"), nullable=False),
        sa.Column("subscriber", sa.Text(collation="C"), nullable=False),
        sa.Column("aggregate", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "subscriber"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_event_delivery_subscriber_state_next_at",
        "event_delivery",
        ["subscriber", "state", "next_at"],
        schema=SCHEMA,
    )


def _crosswalk() -> None:
    op.create_table(
        "crosswalk",
        sa.Column("object_type", sa.Text(collation="C"), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("system", sa.Text(collation="C"), nullable=False),
        sa.Column("remote_type", sa.Text(collation="C"), nullable=False),
        sa.Column("remote_id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("system", "remote_type", "remote_id"),
        sa.UniqueConstraint(
            "object_type", "key", "system", "remote_type", name="uq_crosswalk_object_type_key_system_remote_type"
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_crosswalk_key", "crosswalk", ["key"], schema=SCHEMA)
    op.create_index("ix_crosswalk_remote_id", "crosswalk", ["remote_id"], schema=SCHEMA)


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.Text(collation="C"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(collation="C"), nullable=False),
        sa.Column("action", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("before", JSONB()),
        sa.Column("after", JSONB()),
        sa.Column("correlation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("chain", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("hash", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("audit_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_audit_chain", "audit", ["chain"], schema=SCHEMA)
    op.create_index("ix_audit_subject", "audit", ["subject"], schema=SCHEMA)


def _case_file() -> None:
    op.create_table(
        "case_file",
        sa.Column("case_no", sa.Text(collation="C"), nullable=False),
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("exception", sa.Text(collation="C"), nullable=False),
        sa.Column("cause", sa.Text(collation="C"), nullable=False),
        sa.Column("queue", sa.Text(collation="C"), nullable=False),
        sa.Column("severity", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric()),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("context", JSONB(), nullable=False),
        sa.Column("actions", JSONB(), nullable=False),
        sa.Column("tried", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_by", sa.Text(collation="C"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_by", sa.Text(collation="C"), nullable=False),
        sa.Column("resolution", JSONB()),
        sa.Column("correlation_id", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("case_no"),
        schema=SCHEMA,
    )
    op.create_index("ix_case_file_run_id", "case_file", ["run_id"], schema=SCHEMA)
    op.create_index("ix_case_file_state_queue", "case_file", ["state", "queue"], schema=SCHEMA)


def _decision() -> None:
    op.create_table(
        "decision",
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("exception", sa.Text(collation="C"), nullable=False),
        sa.Column("values", JSONB(), nullable=False),
        sa.Column("case_no", sa.Text(collation="C"), nullable=False),
        sa.Column("decided_by", sa.Text(collation="C"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "exception"),
        schema=SCHEMA,
    )


def _connection_state() -> None:
    op.create_table(
        "connection_state",
        sa.Column("connection", sa.Text(collation="C"), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connection"),
        schema=SCHEMA,
    )


def _watermark() -> None:
    op.create_table(
        "watermark",
        sa.Column("connection", sa.Text(collation="C"), nullable=False),
        sa.Column("feed", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.Text(collation="C"), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connection", "feed"),
        schema=SCHEMA,
    )


def _executor() -> None:
    op.create_table(
        "executor",
        sa.Column("executor_id", sa.Text(collation="C"), nullable=False),
        sa.Column("host", sa.Text(collation="C"), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(collation="C"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("executor_id"),
        schema=SCHEMA,
    )


def _idempotent_reply() -> None:
    op.create_table(
        "idempotent_reply",
        sa.Column("caller", sa.Text(collation="C"), nullable=False),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=False),
        sa.Column("route", sa.Text(collation="C"), nullable=False),
        sa.Column("body_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("reply", JSONB()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "idempotency_key", "route"),
        schema=SCHEMA,
    )


def _counter() -> None:
    op.create_table(
        "counter",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        schema=SCHEMA,
    )


def _firm_version() -> None:
    op.create_table(
        "firm_version",
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("content_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("applied_by", sa.Text(collation="C"), nullable=False),
        sa.Column("approved_by", sa.Text(collation="C"), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version"),
        schema=SCHEMA,
    )


def _quiet_decision() -> None:
    op.create_table(
        "quiet_decision",
        sa.Column("decision_id", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("subject", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_quiet_decision_subject", "quiet_decision", ["subject"], schema=SCHEMA)
