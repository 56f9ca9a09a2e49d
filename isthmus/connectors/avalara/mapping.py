"""AvaTax fields of a document, its addresses and lines, and the states of a transaction. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from isthmus.domain.objects import Address
from isthmus.kit.mapping import DAY, Field, StatusTable, Table
from isthmus.ports.messages import TaxDocument, TaxLineIn

DOCUMENT_TYPES = {"invoice": "SalesInvoice", "credit": "ReturnInvoice"}

DOCUMENT = Table(
    Field("code", "code"),
    Field("document_date", "date", *DAY),
    Field("client_no", "customerCode"),
    Field("currency", "currencyCode"),
    Field("po_number", "purchaseOrderNo"),
    Field("exemption_certificate", "exemptionNo"),
    of=TaxDocument,
    there="transactions",
)

ADDRESS = Table(
    Field("street", "line1"),
    Field("city", "city"),
    Field("region", "region"),
    Field("postal_code", "postalCode"),
    Field("country", "country"),
    of=Address,
)

LINE = Table(
    Field("number", "number", out=str, back=int),
    Field("net", "amount"),
    Field("description", "description"),
    of=TaxLineIn,
)

# Every DocumentStatus of the vendor's SDK; Any is a filter, not a state.
STATUS = StatusTable(
    "avalara DocumentStatus",
    {
        "Temporary": "estimate",
        "Saved": "calculated",
        "Posted": "calculated",
        "Uncommitted": "calculated",
        "Committed": "committed",
        "Cancelled": "cancelled",
        "Adjusted": "adjusted",
        "Queued": "queued",
        "PendingApproval": "pending_approval",
    },
)

_ESCAPES = {"/": "_-ava2f-_", "+": "_-ava2b-_", "?": "_-ava3f-_", "%": "_-ava25-_", "#": "_-ava23-_"}


def at_original_rate(document: TaxDocument) -> dict[str, Any]:
    """A credit is taxed as of the day of what it credits: the vendor recalculates with the rates of that day."""
    if document.rate_date is None:
        return {}
    override = {"type": "TaxDate", "taxDate": document.rate_date.isoformat(), "reason": "Credit at the original rate"}
    return {"taxOverride": override, "referenceCode": document.original_code}


def in_path(code: str) -> str:
    """A company or document code as the vendor wants it in a URL: its own escapes, then the usual ones."""
    return quote("".join(_ESCAPES.get(letter, letter) for letter in code), safe="")


def in_filter(text: str) -> str:
    """A text as a literal of $filter."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def line_amounts(body: Mapping[str, Any]) -> dict[str, Decimal]:
    """Net by line number, as the vendor has it."""
    return {str(line["lineNumber"]): Decimal(line["lineAmount"]) for line in body["lines"]}


def line_rate(line: Mapping[str, Any]) -> Decimal:
    """The rate of a line: the jurisdictions' rates added up."""
    return sum((Decimal(detail["rate"]) for detail in line["details"]), Decimal(0))


def region(nexus: Mapping[str, Any]) -> str:
    """US-NY for a state, GB for a country (whose region repeats the country or is empty)."""
    country, part = nexus["country"], nexus.get("region")
    return country if part in (None, "", country) else f"{country}-{part}"


def in_force(nexus: Mapping[str, Any], day: str) -> bool:
    """True when the registration covers the day (ISO text); an open end is a far date or none."""
    start, end = nexus.get("effectiveDate") or "", nexus.get("endDate") or "9999-12-31"
    return str(start)[:10] <= day <= str(end)[:10]
