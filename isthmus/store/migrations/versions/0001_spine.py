"""The business objects: clients, contracts, evidence, invoices, payments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "hub"


def upgrade() -> None:
    """Create the tables."""
    _legal_entity()
    _client()
    _contract_version()
    _engagement()
    _project()
    _time_entry()
    _billable_item()
    _billable_part()
    _invoice()
    _payment()
    _allocation()


def _legal_entity() -> None:
    op.create_table(
        "legal_entity",
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("functional_currency", sa.Text(collation="C"), nullable=False),
        sa.Column("country", sa.Text(collation="C"), nullable=False),
        sa.Column("time_zone", sa.Text(collation="C"), nullable=False),
        sa.Column("currencies", JSONB(), nullable=False),
        sa.Column("payment_terms", JSONB(), nullable=False),
        sa.Column("dimensions_required", JSONB(), nullable=False),
        sa.Column("tax_registrations", JSONB(), nullable=False),
        sa.Column("invoice_series", sa.Text(collation="C"), nullable=False),
        sa.Column("invoice_approval_limit", sa.Numeric(), nullable=False),
        sa.Column("payment_tolerance", sa.Numeric(), nullable=False),
        sa.Column("payment_days", JSONB(), nullable=False),
        sa.Column("address", JSONB(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
        schema=SCHEMA,
    )


def _client() -> None:
    op.create_table(
        "client",
        sa.Column("client_no", sa.Text(collation="C"), nullable=False),
        sa.Column("legal_name", sa.Text(collation="C"), nullable=False),
        sa.Column("country", sa.Text(collation="C"), nullable=False),
        sa.Column("tax_id", sa.Text(collation="C"), nullable=False),
        sa.Column("tax_exempt", sa.Boolean(), nullable=False),
        sa.Column("exemption_certificate", sa.Text(collation="C"), nullable=False),
        sa.Column("parent_no", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("payment_terms", sa.Text(collation="C"), nullable=False),
        sa.Column("address", JSONB(), nullable=False),
        sa.Column("blocked", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("client_no"),
        schema=SCHEMA,
    )


def _contract_version() -> None:
    op.create_table(
        "contract_version",
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("client_no", sa.Text(collation="C"), nullable=False),
        sa.Column("client", JSONB(), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("effective_to", sa.Date()),
        sa.Column("signed_on", sa.Date(), nullable=False),
        sa.Column("legal_approved_by", sa.Text(collation="C"), nullable=False),
        sa.Column("finance_approved_by", sa.Text(collation="C"), nullable=False),
        sa.Column("payment_terms", sa.Text(collation="C"), nullable=False),
        sa.Column("po_number", sa.Text(collation="C"), nullable=False),
        sa.Column("template", sa.Text(collation="C"), nullable=False),
        sa.Column("dimensions", JSONB(), nullable=False),
        sa.Column("lines", JSONB(), nullable=False),
        sa.Column("caps", JSONB(), nullable=False),
        sa.Column("transaction_price", sa.Numeric()),
        sa.Column("document_ref", sa.Text(collation="C"), nullable=False),
        sa.Column("document_hash", sa.Text(collation="C"), nullable=False),
        sa.Column("opportunity_ref", sa.Text(collation="C"), nullable=False),
        sa.Column("source_ref", sa.Text(collation="C"), nullable=False),
        sa.Column("change_order", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("contract_no", "version"),
        schema=SCHEMA,
    )


def _engagement() -> None:
    op.create_table(
        "engagement",
        sa.Column("engagement_no", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("client_no", sa.Text(collation="C"), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("sold_value", sa.Numeric()),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("engagement_no"),
        schema=SCHEMA,
    )
    op.create_index("ix_engagement_contract_no", "engagement", ["contract_no"], schema=SCHEMA)
    op.create_index("ix_engagement_project_code", "engagement", ["project_code"], schema=SCHEMA)


def _project() -> None:
    op.create_table(
        "project",
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_version", sa.BigInteger(), nullable=False),
        sa.Column("client_no", sa.Text(collation="C"), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("start", sa.Date(), nullable=False),
        sa.Column("end", sa.Date()),
        sa.Column("dimensions", JSONB(), nullable=False),
        sa.Column("template", sa.Text(collation="C"), nullable=False),
        sa.Column("budget", sa.Numeric()),
        sa.Column("tasks", JSONB(), nullable=False),
        sa.Column("rates", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("project_code"),
        schema=SCHEMA,
    )
    op.create_index("ix_project_contract_no", "project", ["contract_no"], schema=SCHEMA)


def _time_entry() -> None:
    op.create_table(
        "time_entry",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("source_id", sa.Text(collation="C"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("task_code", sa.Text(collation="C"), nullable=False),
        sa.Column("person", sa.Text(collation="C"), nullable=False),
        sa.Column("role", sa.Text(collation="C"), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("hours", sa.Numeric(), nullable=False),
        sa.Column("note", sa.Text(collation="C"), nullable=False),
        sa.Column("approved_by", sa.Text(collation="C"), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cost_rate", sa.Numeric()),
        sa.Column("cost_currency", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id", "revision"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_time_entry_project_code_service_date", "time_entry", ["project_code", "service_date"], schema=SCHEMA
    )


def _billable_item() -> None:
    op.create_table(
        "billable_item",
        sa.Column("item_id", sa.Text(collation="C"), nullable=False),
        sa.Column("source_key", sa.Text(collation="C"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_version", sa.BigInteger(), nullable=False),
        sa.Column("line_uid", sa.Text(collation="C"), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("task_code", sa.Text(collation="C"), nullable=False),
        sa.Column("person", sa.Text(collation="C"), nullable=False),
        sa.Column("role", sa.Text(collation="C"), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("entry_quantity", sa.Numeric(), nullable=False),
        sa.Column("entry_net", sa.Numeric(), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("unit_price", sa.Numeric(), nullable=False),
        sa.Column("net", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("billable", sa.Boolean(), nullable=False),
        sa.Column("price_trace", JSONB(), nullable=False),
        sa.Column("approved_by", sa.Text(collation="C"), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("item_id"),
        sa.UniqueConstraint("source_key", "revision", name="uq_billable_item_source_key_revision"),
        schema=SCHEMA,
    )
    op.create_index("ix_billable_item_contract_no", "billable_item", ["contract_no"], schema=SCHEMA)


def _billable_part() -> None:
    op.create_table(
        "billable_part",
        sa.Column("part_id", sa.Text(collation="C"), nullable=False),
        sa.Column("item_id", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("quantity", sa.Numeric(), nullable=False),
        sa.Column("net", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("service_date", sa.Date(), nullable=False),
        sa.Column("order_key", sa.Text(collation="C"), nullable=False),
        sa.Column("cap_id", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(collation="C"), nullable=False),
        sa.Column("invoice_id", sa.Text(collation="C"), nullable=False),
        sa.Column("origin_part", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("part_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_billable_part_contract_no_state", "billable_part", ["contract_no", "state"], schema=SCHEMA)
    op.create_index("ix_billable_part_invoice_id", "billable_part", ["invoice_id"], schema=SCHEMA)
    op.create_index("ix_billable_part_item_id", "billable_part", ["item_id"], schema=SCHEMA)


def _invoice() -> None:
    op.create_table(
        "invoice",
        sa.Column("invoice_id", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_no", sa.Text(collation="C"), nullable=False),
        sa.Column("contract_version", sa.BigInteger(), nullable=False),
        sa.Column("client_no", sa.Text(collation="C"), nullable=False),
        sa.Column("entity", sa.Text(collation="C"), nullable=False),
        sa.Column("project_code", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("period", sa.Text(collation="C"), nullable=False),
        sa.Column("lines", JSONB(), nullable=False),
        sa.Column("net", sa.Numeric(), nullable=False),
        sa.Column("tax", sa.Numeric(), nullable=False),
        sa.Column("total", sa.Numeric(), nullable=False),
        sa.Column("open", sa.Numeric(), nullable=False),
        sa.Column("number", sa.Text(collation="C"), nullable=False),
        sa.Column("issue_date", sa.Date()),
        sa.Column("due_date", sa.Date()),
        sa.Column("accounting_date", sa.Date()),
        sa.Column("po_number", sa.Text(collation="C"), nullable=False),
        sa.Column("payment_terms", sa.Text(collation="C"), nullable=False),
        sa.Column("prepared_by", sa.Text(collation="C"), nullable=False),
        sa.Column("approved_by", sa.Text(collation="C"), nullable=False),
        sa.Column("life", sa.Text(collation="C"), nullable=False),
        sa.Column("composition", sa.Text(collation="C"), nullable=False),
        sa.Column("tax_track", sa.Text(collation="C"), nullable=False),
        sa.Column("posting", sa.Text(collation="C"), nullable=False),
        sa.Column("delivery", sa.Text(collation="C"), nullable=False),
        sa.Column("settlement", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("invoice_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_invoice_client_no_settlement", "invoice", ["client_no", "settlement"], schema=SCHEMA)
    op.create_index("ix_invoice_contract_no", "invoice", ["contract_no"], schema=SCHEMA)
    op.create_index("ix_invoice_number", "invoice", ["number"], schema=SCHEMA)


def _payment() -> None:
    op.create_table(
        "payment",
        sa.Column("source", sa.Text(collation="C"), nullable=False),
        sa.Column("source_id", sa.Text(collation="C"), nullable=False),
        sa.Column("client_no", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("value_date", sa.Date(), nullable=False),
        sa.Column("reference", sa.Text(collation="C"), nullable=False),
        sa.Column("applies", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("source", "source_id"),
        schema=SCHEMA,
    )


def _allocation() -> None:
    op.create_table(
        "allocation",
        sa.Column("allocation_id", sa.Text(collation="C"), nullable=False),
        sa.Column("payment_key", sa.Text(collation="C"), nullable=False),
        sa.Column("invoice_id", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("kind", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_allocation_invoice_id", "allocation", ["invoice_id"], schema=SCHEMA)
    op.create_index("ix_allocation_payment_key", "allocation", ["payment_key"], schema=SCHEMA)
