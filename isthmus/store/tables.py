"""One table per model, derived from its fields: the keys, the unique rules and the indexes are declared here.

Column types follow the field types: text, integer, numeric for exact numbers, date, timestamptz, boolean; everything
composite is jsonb. The DDL that really runs is in migrations/; a test proves that both agree.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import JSONB

from isthmus.domain.envelopes import ApprovalEvidence
from isthmus.domain.journals import Journal
from isthmus.domain.lending import LendingAgreement, LentHours, TaxThreshold
from isthmus.domain.objects import (
    Allocation,
    BillableItem,
    BillablePart,
    Client,
    ContractVersion,
    Dispute,
    Engagement,
    Expense,
    FiledContract,
    Hold,
    Invoice,
    LedgerEntry,
    LegalEntity,
    MilestoneStatus,
    Payment,
    PercentReport,
    Project,
    RateCard,
    SubmittedTime,
    TimeEntry,
    UsageRecord,
)
from isthmus.domain.periods import FiscalPeriod, FxRate, PeriodSnapshot
from isthmus.domain.subcontracting import PaidHours, RetentionEntry, Subcontract, SubcontractorBill
from isthmus.store import desk_records as d
from isthmus.store import records as r

SCHEMA = "hub"
metadata = sa.MetaData(schema=SCHEMA)


@dataclass(frozen=True)
class Spec:
    """How a model is kept: table name, key fields, unique field groups, indexed field groups.

    serial: a field the database numbers. tracks: fields that move only as domain.states allows. growing: rows are never
    changed or removed, but for the fields of seal, which may be set once, while the first of them is still 0.
    """

    table: str
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    index: tuple[tuple[str, ...], ...] = ()
    serial: str = ""
    tracks: tuple[str, ...] = field(default=())
    growing: bool = False
    seal: tuple[str, ...] = ()


SPECS: dict[type[BaseModel], Spec] = {
    LegalEntity: Spec("legal_entity", ("code",)),
    Client: Spec("client", ("client_no",)),
    ContractVersion: Spec("contract_version", ("contract_no", "version"), growing=True),
    Engagement: Spec("engagement", ("engagement_no",), index=(("contract_no",), ("project_code",)), tracks=("state",)),
    Project: Spec("project", ("project_code",), index=(("contract_no",),)),
    TimeEntry: Spec(
        "time_entry", ("source", "source_id", "revision"), index=(("project_code", "service_date"),), growing=True
    ),
    BillableItem: Spec(
        "billable_item",
        ("item_id",),
        unique=(("source_key", "revision"),),
        index=(("contract_no",), ("entry_key",)),
        growing=True,
    ),
    BillablePart: Spec(
        "billable_part",
        ("part_id",),
        index=(("contract_no", "state"), ("item_id",), ("invoice_id",)),
        tracks=("state",),
    ),
    Invoice: Spec(
        "invoice",
        ("invoice_id",),
        index=(("contract_no",), ("number",), ("client_no", "settlement"), ("bill_to", "settlement")),
        tracks=("life", "composition", "tax_track", "posting", "delivery", "settlement"),
    ),
    Payment: Spec("payment", ("source", "source_id")),
    Allocation: Spec("allocation", ("allocation_id",), index=(("payment_key",), ("invoice_id",))),
    Expense: Spec("expense", ("source", "source_id", "revision"), index=(("project_code",),), growing=True),
    MilestoneStatus: Spec(
        "milestone_status", ("source", "source_id", "number", "at"), index=(("project_code",),), growing=True
    ),
    PercentReport: Spec("percent_report", ("contract_no", "line_uid", "as_of", "at"), growing=True),
    UsageRecord: Spec("usage_record", ("source", "source_id"), index=(("contract_no",),), growing=True),
    Hold: Spec("hold", ("hold_id",), index=(("contract_no",),)),
    LedgerEntry: Spec("ledger_entry", ("entry_id",), index=(("contract_no", "ledger"), ("invoice_id",)), growing=True),
    Journal: Spec("journal", ("journal_no",), index=(("entity", "booked_on"),)),
    LendingAgreement: Spec("lending_agreement", ("agreement_no",), growing=True),
    LentHours: Spec("lent_hours", ("charge_id",), index=(("source_key",), ("run",)), growing=True),
    TaxThreshold: Spec("tax_threshold", ("entity", "state")),
    Subcontract: Spec(
        "subcontract",
        ("subcontract_no", "version"),
        index=(("project_code",), ("supplier",)),
        growing=True,
    ),
    SubcontractorBill: Spec(
        "subcontractor_bill",
        ("bill_id",),
        index=(
            ("project_code", "state"),
            ("state",),
            ("content_hash",),
            ("subcontract_no",),
            ("contract_no",),
            ("bill_no",),
        ),
        tracks=("state",),
    ),
    PaidHours: Spec(
        "paid_hours",
        ("paid_id",),
        index=(("source_key",), ("project_code",), ("subcontract_no",), ("bill_id",)),
        growing=True,
    ),
    RetentionEntry: Spec("retention_entry", ("entry_id",), index=(("subcontract_no",),), growing=True),
    Dispute: Spec("dispute", ("dispute_no",), index=(("invoice_id",),), tracks=("state",)),
    FiscalPeriod: Spec("fiscal_period", ("entity", "domain", "period"), tracks=("state",)),
    PeriodSnapshot: Spec("period_snapshot", ("entity", "period", "version"), growing=True),
    FxRate: Spec("fx_rate", ("rate_type", "from_currency", "to_currency", "day"), growing=True),
    RateCard: Spec("rate_card", ("code", "version"), index=(("client_no",), ("entity",))),
    SubmittedTime: Spec("submitted_time", ("source", "source_id"), index=(("project_code",),)),
    FiledContract: Spec("filed_contract", ("contract_no", "version"), growing=True),
    ApprovalEvidence: Spec(
        "approval_evidence", ("source", "envelope_id"), index=(("contract_no", "version"),), growing=True
    ),
    r.RunRow: Spec(
        "run", ("run_id",), index=(("state", "wake_at"), ("state", "updated_at"), ("key",), ("correlation_id",))
    ),
    r.RunStep: Spec("run_step", ("run_id", "seq")),
    r.Effect: Spec(
        "effect", ("effect_key",), index=(("run_id",), ("state",), ("business_key",), ("connection", "done_at"))
    ),
    r.InboxMessage: Spec(
        "inbox",
        ("source", "message_id"),
        index=(("state", "received_at"), ("aggregate",), ("source", "received_at")),
    ),
    r.OutboxEvent: Spec(
        "event",
        ("event_id",),
        unique=(("aggregate", "sequence"),),
        index=(("correlation_id",),),
        serial="position",
        growing=True,
    ),
    r.EventDelivery: Spec("event_delivery", ("event_id", "subscriber"), index=(("subscriber", "state", "next_at"),)),
    r.CrossReference: Spec(
        "crosswalk",
        ("system", "remote_type", "remote_id"),
        unique=(("object_type", "key", "system", "remote_type"),),
        index=(("remote_id",), ("key",)),
    ),
    r.AuditEntry: Spec(
        "audit",
        ("audit_id",),
        index=(("chain",), ("subject",), ("at", "audit_id")),
        growing=True,
        seal=("chain", "previous_hash", "hash"),
    ),
    r.Case: Spec(
        "case_file",
        ("case_no",),
        index=(
            ("state", "queue"),
            ("run_id",),
            ("state", "group_key"),
            ("state", "escalate_at"),
            ("record", "state"),
            ("contract_no",),
            ("invoice_id",),
            ("resolved_at", "case_no"),
        ),
        tracks=("state",),
    ),
    d.CaseNote: Spec("case_note", ("case_no", "number"), growing=True),
    d.Proposal: Spec("proposal", ("proposal_no",), index=(("case_no",), ("state",), ("bulk_no",))),
    d.BulkFix: Spec("bulk_fix", ("bulk_no",), index=(("state",),)),
    d.BulkItem: Spec("bulk_item", ("bulk_no", "case_no"), index=(("case_no",),)),
    d.DeskRule: Spec("desk_rule", ("rule_no",), index=(("state", "exception"),)),
    d.ClientAlias: Spec("client_alias", ("client_no",), index=(("canonical_no",),)),
    d.Alert: Spec("alert", ("alert_id",), index=(("state", "next_at"), ("case_no",))),
    d.Session: Spec("session", ("session_hash",), index=(("expires_at",),)),
    d.LoginStart: Spec("login_start", ("state_hash",)),
    d.LockOut: Spec("lock_out", ("who",)),
    r.Decision: Spec("decision", ("run_id", "exception")),
    r.ConnectionState: Spec("connection_state", ("connection",)),
    r.Watermark: Spec("watermark", ("connection", "feed")),
    r.Executor: Spec("executor", ("executor_id",)),
    r.IdempotentReply: Spec("idempotent_reply", ("caller", "route", "idempotency_key")),
    r.Counter: Spec("counter", ("name",)),
    r.FirmVersion: Spec("firm_version", ("version",)),
    r.SealedSecret: Spec("sealed_secret", ("name",)),
    r.EntrySeen: Spec("entry_seen", ("source", "source_id")),
    r.StageTime: Spec("stage_time", ("contract_no", "stage")),
    r.Notice: Spec("notice", ("case_no",), index=(("queue",),)),
    r.QuietDecision: Spec("quiet_decision", ("decision_id",), index=(("subject",),)),
}


def _column_type(annotation: Any) -> tuple[sa.types.TypeEngine[Any], bool]:
    """(column type, nullable) of a field's annotation."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        found, _ = _column_type(inner[0]) if len(inner) == 1 else (JSONB(), True)
        return found, True
    if typing.get_origin(annotation) is typing.Literal and all(isinstance(w, str) for w in typing.get_args(annotation)):
        return sa.Text(collation="C"), False
    if typing.get_origin(annotation) is typing.Annotated:
        return _column_type(typing.get_args(annotation)[0])
    simple: list[tuple[type, sa.types.TypeEngine[Any]]] = [
        (bool, sa.Boolean()),
        (StrEnum, sa.Text(collation="C")),
        (str, sa.Text(collation="C")),
        (int, sa.BigInteger()),
        (Decimal, sa.Numeric()),
        (datetime, sa.DateTime(timezone=True)),
        (date, sa.Date()),
    ]
    if isinstance(annotation, type):
        for python_type, column_type in simple:
            if issubclass(annotation, python_type):
                return column_type, False
    if annotation is Any:
        return JSONB(), True
    return JSONB(), False


@cache
def json_fields(model: type[BaseModel]) -> frozenset[str]:
    """Fields of a model that are kept as jsonb."""
    return frozenset(n for n, f in model.model_fields.items() if isinstance(_column_type(f.annotation)[0], JSONB))


def _build(model: type[BaseModel], spec: Spec) -> sa.Table:
    columns: list[Any] = []
    for name, info in model.model_fields.items():
        column_type, nullable = _column_type(info.annotation)
        if name == spec.serial:
            columns.append(sa.Column(name, sa.BigInteger(), sa.Identity(always=False), nullable=False, unique=True))
        else:
            columns.append(sa.Column(name, column_type, nullable=nullable, primary_key=name in spec.key))
    columns += [sa.UniqueConstraint(*group, name=f"uq_{spec.table}_{'_'.join(group)}") for group in spec.unique]
    columns += [sa.Index(f"ix_{spec.table}_{'_'.join(group)}", *group) for group in spec.index]
    return sa.Table(spec.table, metadata, *columns)


TABLES: dict[type[BaseModel], sa.Table] = {model: _build(model, spec) for model, spec in SPECS.items()}

# What the parts of each contract come to, as changes: the sum over all rows is the sum over the parts, at any instant.
# The database keeps it itself: a row with every statement that changes parts (triggers sum_parts_insert, _update and
# _delete); rows of the same kind are put together later (app.figures.condense).
PART_SUM = sa.Table(
    "part_sum",
    metadata,
    sa.Column("position", sa.BigInteger(), sa.Identity(always=False), primary_key=True),
    *(
        sa.Column(name, sa.Text(collation="C"), nullable=False)
        for name in ("contract_no", "state", "currency", "month")
    ),
    *(sa.Column(name, sa.Numeric(), nullable=False) for name in ("quantity", "net")),
    sa.Column("parts", sa.BigInteger(), nullable=False),
    sa.Index("ix_part_sum_contract_no_state", "contract_no", "state"),
)
