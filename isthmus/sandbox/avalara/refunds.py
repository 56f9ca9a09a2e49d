"""RefundTransaction: the request that takes a committed sale back, wholly or in part, tax to the cent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.sandbox.avalara.errors import Refusal, invalid, required
from isthmus.sandbox.avalara.money import decimal, minor_unit, number, rounded
from isthmus.sandbox.avalara.request import day_of
from isthmus.sandbox.base import Record

REFUND_TYPES = ("Full", "Partial", "TaxOnly", "Percentage")


def refund_request(sale: Record, company_code: str, body: Any, by_tax_date: bool) -> Record:
    """The CreateTransactionModel of the ReturnInvoice; by_tax_date recalculates at the sale's tax date instead of
    repeating the sale's tax."""
    if not isinstance(body, dict):
        raise invalid("model", "not an object")
    kind, share = _check(sale, body)
    unit = minor_unit(sale["currencyCode"])
    wanted = [str(n) for n in body.get("refundLines") or []] if kind == "Partial" else None
    lines = [line for line in sale["lines"] if wanted is None or line["lineNumber"] in wanted]
    places = {a["id"]: _request_address(a) for a in sale["addresses"]}
    model: Record = {
        "type": "ReturnInvoice",
        "code": body.get("refundTransactionCode"),
        "companyCode": company_code,
        "date": day_of(body["refundDate"], "refundDate"),
        "commit": True,
        "referenceCode": body.get("referenceCode") or sale["code"],
        "lines": [_line(line, kind, share, unit, by_tax_date, places) for line in lines],
    }
    kept = ("customerCode", "currencyCode", "purchaseOrderNo", "salespersonCode", "entityUseCode", "description")
    model |= {name: sale[name] for name in kept}
    model["exemptionNo"] = sale["exemptNo"]
    if by_tax_date:
        model["taxOverride"] = {"type": "TaxDate", "taxDate": sale["taxDate"], "reason": "Refund"}
    return model


def _check(sale: Record, body: Record) -> tuple[str, Decimal]:
    if not body.get("refundDate"):
        raise required("refundDate")
    if sale["status"] != "Committed":
        raise Refusal(
            "InvalidDocumentStatusForRefund",
            "Document is not in a status to process refund.",
            f"The document status is {sale['status']}; only committed documents can be refunded.",
        )
    if sale["type"] != "SalesInvoice":
        raise Refusal("InvalidDocumentTypeForRefund", "Only a SalesInvoice can be refunded.")
    kind = str(body.get("refundType") or "Full")
    if kind not in REFUND_TYPES:
        raise Refusal("InvalidRefundType", f"{kind!r} is not a RefundType.", refers_to="refundType")
    known = {line["lineNumber"] for line in sale["lines"]}
    if kind == "Partial" and not body.get("refundLines"):
        raise Refusal("RefundLinesRequired", "A partial refund names its lines.", refers_to="refundLines")
    if kind == "Partial" and not {str(n) for n in body["refundLines"]} <= known:
        raise Refusal("LineNoOutOfRange", "A refunded line is not in the sale.", refers_to="refundLines")
    if kind != "Percentage":
        return kind, Decimal(1)
    if body.get("refundPercentage") is None:
        raise Refusal("RefundPercentageMissing", "A percentage refund needs refundPercentage.")
    percentage = decimal(body["refundPercentage"], "refundPercentage")
    if not 0 < percentage <= 100:
        raise Refusal("RefundPercentageOutOfRange", "refundPercentage is above 0 and at most 100.")
    return kind, percentage / 100


def _line(line: Record, kind: str, share: Decimal, unit: Decimal, by_tax_date: bool, places: Any) -> Record:
    net = Decimal(str(line["lineAmount"])) - Decimal(str(line["discountAmount"]))
    amount = Decimal(0) if kind == "TaxOnly" else rounded(-net * share, unit)
    names = ("itemCode", "taxCode", "description", "ref1", "ref2", "entityUseCode")
    model: Record = {name: line[name] for name in names}
    model |= {
        "number": line["lineNumber"],
        "quantity": line["quantity"],
        "amount": number(amount),
        "exemptionCode": line["exemptNo"],
        "revenueAccount": line["revAccount"],
        "addresses": {
            "shipTo": places[line["destinationAddressId"]],
            "shipFrom": places[line["originAddressId"]],
        },
    }
    if not by_tax_date:
        tax = rounded(-Decimal(str(line["tax"])) * share, unit)
        model["taxOverride"] = {"type": "TaxAmount", "taxAmount": number(tax), "reason": "Refund"}
    return model


def _request_address(address: Record) -> Record:
    names = ("line1", "line2", "line3", "city", "region", "postalCode", "country")
    return {name: address[name] for name in names}
