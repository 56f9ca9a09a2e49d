"""HubSpot properties of a signed contract: a won deal, its company, its line items. Data only.

Properties that HubSpot does not have itself are the firm's own: the defaults here, changed by the setting ``fields``.
Every property value is a text, numbers and dates too; a number has no decimals it does not need.
"""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.kit.contract_rows import Shape, amount, day, day_after
from isthmus.kit.mapping import Field, StatusTable, Table
from isthmus.ports.messages import ContractStatus

MODIFIED = "hs_lastmodifieddate"
OBJECTS = {"contract": "deals", "line": "line_items", "client": "companies"}
PATHS = {"objects": "crm/v3/objects", "associations": "crm/v4/objects", "properties": "crm/v3/properties"}
DEFAULTS = {"objects": OBJECTS, **{f"{what}_path": path for what, path in PATHS.items()}}
# Which object holds the fields of each table.
KEPT_BY = {"contract": "contract", "dimensions": "contract", "status": "contract", "line": "line"}
KEPT_BY |= {"client": "client", "address": "client"}
SIGNED_STAGES = ("closedwon",)
# The association that says which of a deal's companies is the one that buys.
PRIMARY_COMPANY = 5


def whole(value: str) -> int:
    """A number property without fraction. BadInput for 1.5."""
    number = Decimal(value)
    if number != number.to_integral_value():
        raise BadInput(f"{value} is not a whole number")
    return int(number)


def truth(value: str) -> bool:
    """A yes-or-no property. BadInput for anything else."""
    if value not in ("true", "false"):
        raise BadInput(f"{value!r} is neither true nor false")
    return value == "true"


CONTRACT = Table(
    Field("source_ref", "hs_object_id"),
    Field("contract_no", "contract_no"),
    Field("version", "contract_version", back=whole),
    Field("stage", "dealstage"),
    Field("entity", "legal_entity"),
    Field("currency", "deal_currency_code"),
    Field("start", "contract_start_date", back=day),
    Field("effective_from", "effective_date", back=day),
    Field("effective_to", "contract_end_date", back=day_after),
    Field("signed_on", "signed_on", back=day),
    Field("legal_approved_by", "legal_approved_by"),
    Field("finance_approved_by", "finance_approved_by"),
    Field("payment_terms", "payment_terms"),
    Field("po_number", "po_number"),
    Field("template", "project_template"),
    Field("transaction_price", "contract_price", back=amount),
    Field("document_ref", "document_url"),
    Field("document_hash", "document_hash"),
    Field("opportunity_ref", "hs_object_id"),
    Field("cap_limit", "billing_cap", back=amount),
    Field("cap_kind", "cap_kind"),
)
# Fields of the table that a contract version needs; the others may be empty.
CONTRACT_NEEDS = ("contract_no", "version", "entity", "currency", "effective_from", "signed_on", "stage")

DIMENSIONS = Table(Field("practice", "practice"), Field("cost_center", "cost_center"))

CLIENT = Table(
    Field("client_no", "client_no"),
    Field("legal_name", "name"),
    Field("country", "hs_country_code"),
    Field("tax_id", "tax_id"),
    Field("tax_exempt", "tax_exempt", back=truth),
    Field("exemption_certificate", "exemption_certificate"),
    Field("parent_no", "parent_client_no"),
    Field("currency", "billing_currency"),
)

ADDRESS = Table(
    Field("street", "address"),
    Field("city", "city"),
    Field("region", "state"),
    Field("postal_code", "zip"),
    Field("country", "hs_country_code"),
)

LINE = Table(
    Field("line_uid", "line_uid"),
    Field("number", "hs_position_on_quote", back=whole),
    Field("description", "name"),
    Field("billing_type", "billing_type"),
    Field("currency", "hs_line_item_currency_code"),
    Field("role", "role"),
    Field("unit", "billing_unit"),
    Field("rate", "bill_rate", back=amount),
    Field("net_price", "price", back=amount),
    Field("net_total", "amount", back=amount),
    Field("discount", "discount", back=amount),
    Field("discount_percent", "hs_discount_percentage", back=amount),
    Field("tax_code", "tax_class"),
    Field("cap_limit", "cap_amount", back=amount),
    Field("cap_kind", "cap_kind"),
    Field("due", "milestone_date", back=day),
    Field("deliverable", "deliverable"),
)

STATUS = Table(
    Field("state", "hub_status"),
    Field("project_ref", "hub_project_ref"),
    Field("billed", "hub_billed", back=amount),
    Field("paid", "hub_paid", back=amount),
    Field("last_invoice", "hub_last_invoice"),
    of=ContractStatus,
)

SHAPE = Shape(
    {"contract": CONTRACT, "client": CLIENT, "address": ADDRESS, "line": LINE, "status": STATUS},
    DIMENSIONS,
    CONTRACT_NEEDS,
    # A price per month or per piece is neither an hourly nor a daily rate: it must not be read as one.
    StatusTable("hubspot billing_unit", {"Hour": "hour", "Day": "day"}),
    StatusTable("hubspot cap_kind", {"hard": "hard", "soft": "soft"}),
)
