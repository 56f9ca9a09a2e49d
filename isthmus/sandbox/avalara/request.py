"""What a CreateTransactionModel must look like, and its reading into checked values.

Lengths and required fields are the vendor's published ones; the sandbox refuses what the vendor's model cannot hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from isthmus.sandbox.avalara.errors import Refusal, invalid, required
from isthmus.sandbox.avalara.money import decimal
from isthmus.sandbox.base import Record

ORDER_TYPES: tuple[str, ...] = (
    "SalesOrder",
    "PurchaseOrder",
    "ReturnOrder",
    "InventoryTransferOrder",
    "ReverseChargeOrder",
)
ORDER_TYPES += ("CustomsOrder", "InventoryTransferOutboundOrder")
INVOICE_TYPES: tuple[str, ...] = ("SalesInvoice", "PurchaseInvoice", "ReturnInvoice", "InventoryTransferInvoice")
INVOICE_TYPES += ("ReverseChargeInvoice", "CustomsInvoice", "InventoryTransferOutboundInvoice")
OVERRIDE_TYPES = ("None", "TaxAmount", "Exemption", "TaxDate")
MAX_LINES = 15000
_MAX_LENGTH = {"code": 50, "companyCode": 25, "customerCode": 50, "purchaseOrderNo": 50, "referenceCode": 1024}
_MAX_LENGTH |= {"description": 2048, "salespersonCode": 25, "exemptionNo": 25, "entityUseCode": 25, "email": 50}
_MAX_LENGTH |= {"reportingLocationCode": 50, "businessIdentificationNo": 25, "currencyCode": 3}
_LINE_MAX_LENGTH = {"number": 50, "taxCode": 25, "itemCode": 50, "ref1": 250, "ref2": 250, "revenueAccount": 100}
_LINE_MAX_LENGTH |= {"description": 2096, "entityUseCode": 25, "exemptionCode": 25}


@dataclass
class Override:
    """A tax override of a document or a line."""

    type: str = "None"
    amount: Decimal = Decimal(0)
    tax_date: str = ""
    reason: str = ""


@dataclass
class LineRequest:
    """One checked line."""

    raw: Record
    number: str
    amount: Decimal
    quantity: Decimal
    tax_code: str
    override: Override
    addresses: Record


@dataclass
class DocumentRequest:
    """One checked transaction request."""

    raw: Record
    type: str
    day: str
    currency: str
    override: Override
    discount: Decimal
    addresses: Record
    lines: list[LineRequest] = field(default_factory=list)

    @property
    def recorded(self) -> bool:
        """False for orders: estimates are calculated and forgotten."""
        return self.type not in ORDER_TYPES


def read(model: Any) -> DocumentRequest:
    """The checked request; a Refusal says which field is wrong."""
    if not isinstance(model, dict):
        raise invalid("model", "not an object")
    kind = model.get("type") or "SalesOrder"
    if kind not in (*ORDER_TYPES, *INVOICE_TYPES):
        raise invalid("type", f"{kind!r} is not a DocumentType")
    for name in ("customerCode", "date"):
        if not model.get(name):
            raise required(name)
    _check_lengths(model, _MAX_LENGTH)
    lines = model.get("lines")
    if not lines:
        raise Refusal("MissingLine", "Field lines is required.", "Send at least one line.", "lines")
    if not isinstance(lines, list) or len(lines) > MAX_LINES:
        raise Refusal("RangeError", "Lines out of range.", f"A transaction has 1 to {MAX_LINES} lines.", "lines")
    request = DocumentRequest(
        raw=model,
        type=str(kind),
        day=day_of(model["date"], "date"),
        currency=str(model.get("currencyCode") or "USD").upper(),
        override=_override(model.get("taxOverride"), "taxOverride"),
        discount=decimal(model.get("discount") or 0, "discount"),
        addresses=_addresses(model.get("addresses"), "addresses"),
    )
    request.lines = [_line(raw, i, request) for i, raw in enumerate(lines)]
    numbers = [line.number for line in request.lines]
    if len(set(numbers)) != len(numbers):
        raise invalid("lines", "line numbers are not unique")
    return request


def _line(raw: Any, index: int, request: DocumentRequest) -> LineRequest:
    where = f"lines[{index}]"
    if not isinstance(raw, dict):
        raise invalid(where, "not an object")
    if raw.get("amount") is None:
        raise required(f"{where}.amount")
    _check_lengths(raw, _LINE_MAX_LENGTH)
    quantity = raw.get("quantity")
    override = _override(raw.get("taxOverride"), f"{where}.taxOverride")
    return LineRequest(
        raw=raw,
        number=str(raw.get("number") or index + 1),
        amount=decimal(raw["amount"], f"{where}.amount"),
        quantity=decimal(1 if quantity is None else quantity, f"{where}.quantity"),
        tax_code=str(raw.get("taxCode") or "P0000000"),
        override=override if override.type != "None" else request.override,
        addresses=_addresses(raw.get("addresses"), where) or request.addresses,
    )


def _addresses(value: Any, where: str) -> Record:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(where, "not an object")
    # The vendor reads names without regard to case; its own samples write ShipTo and shipTo.
    by_name = {name[:1].lower() + name[1:]: address for name, address in value.items() if address}
    single = by_name.pop("singleLocation", None)
    if single:
        by_name.setdefault("shipFrom", single)
        by_name.setdefault("shipTo", single)
    return by_name


def _override(value: Any, where: str) -> Override:
    if not value:
        return Override()
    if not isinstance(value, dict):
        raise invalid(where, "not an object")
    kind = str(value.get("type") or "None")
    if kind not in OVERRIDE_TYPES:
        raise invalid(f"{where}.type", f"{kind!r} is not an override this sandbox models")
    if kind != "None" and not value.get("reason"):
        raise required(f"{where}.reason")
    if kind == "TaxDate" and not value.get("taxDate"):
        raise required(f"{where}.taxDate")
    amount = decimal(value.get("taxAmount"), f"{where}.taxAmount") if kind == "TaxAmount" else Decimal(0)
    tax_date = day_of(value["taxDate"], f"{where}.taxDate") if kind == "TaxDate" else ""
    return Override(kind, amount, tax_date, str(value.get("reason") or ""))


def day_of(value: Any, field_name: str) -> str:
    """YYYY-MM-DD of a date or date-time; a Refusal when it is neither."""
    text = str(value)
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).date().isoformat()
    except ValueError:
        pass
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise invalid(field_name, "not a date") from None


def _check_lengths(model: Record, limits: dict[str, int]) -> None:
    for name, limit in limits.items():
        value = model.get(name)
        if value is None:
            continue
        if not isinstance(value, str) and name in ("code", "companyCode", "customerCode"):
            raise invalid(name, "not a string")
        if len(str(value)) > limit:
            raise Refusal("StringLengthError", f"Field {name} is too long.", f"At most {limit} characters.", name)
