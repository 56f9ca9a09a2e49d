"""TransactionModel and what it holds, as the vendor answers it, and the part of it that $include asks for."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from isthmus.sandbox.avalara.money import number
from isthmus.sandbox.avalara.request import DocumentRequest, LineRequest
from isthmus.sandbox.avalara.tax import ZERO, LineResult, Share
from isthmus.sandbox.base import Record

SOFTWARE_VERSION = "26.10.0.0"
# jurisType of a detail: (jurisType of a summary row, its word in a tax name)
_JURISDICTIONS = {"CNT": "Country", "STA": "State", "CTY": "County", "CIT": "City", "STJ": "Special"}
_NESTED = ("lines", "summary", "addresses", "locationTypes", "taxDetailsByTaxType")


class Ids:
    """Ids of one document and its parts; all zero for an estimate, which is never recorded."""

    def __init__(self, document_id: int) -> None:
        self.document = document_id
        self._last = document_id

    def next(self) -> int:
        """The next id below this document."""
        if self.document:
            self._last += 1
        return self._last


def transaction(request: DocumentRequest, results: list[LineResult], ids: Ids, header: Record) -> Record:
    """The whole TransactionModel; header holds what the document store decides: code, status, version, stamps."""
    raw = request.raw
    addresses: list[Record] = []
    lines = [_line(request, result, ids, addresses) for result in results]
    model = _header(request, header, ids) | _totals(results)
    model |= {
        "region": results[0].destination["region"],
        "country": results[0].destination["country"],
        "originAddressId": lines[0]["originAddressId"],
        "destinationAddressId": lines[0]["destinationAddressId"],
        "lines": lines,
        "addresses": addresses,
        "locationTypes": _location_types(lines[0], ids),
        "summary": _summary(results),
        "taxDetailsByTaxType": _by_tax_type(results),
        "parameters": list(raw.get("parameters") or []),
        "userDefinedFields": list(raw.get("userDefinedFields") or []),
        "messages": [],
        "invoiceMessages": [],
    }
    return model


def _header(request: DocumentRequest, header: Record, ids: Ids) -> Record:
    raw, override = request.raw, request.override
    use_code = str(raw.get("entityUseCode") or raw.get("customerUsageType") or "")
    location = str(raw.get("reportingLocationCode") or "")
    texts: tuple[str, ...] = (
        "batchCode",
        "purchaseOrderNo",
        "referenceCode",
        "salespersonCode",
        "description",
        "email",
    )
    texts += ("businessIdentificationNo", "customerSupplierName")
    model: Record = {name: str(raw.get(name) or "") for name in texts}
    model |= {
        "id": ids.document,
        "date": request.day,
        "paymentDate": request.day,
        "taxDate": override.tax_date or request.day,
        "type": request.type,
        "currencyCode": request.currency,
        "exchangeRateCurrencyCode": str(raw.get("exchangeRateCurrencyCode") or request.currency),
        "exchangeRateEffectiveDate": str(raw.get("exchangeRateEffectiveDate") or request.day)[:10],
        "exchangeRate": float(raw.get("exchangeRate") or 1),
        "customerUsageType": use_code,
        "entityUseCode": use_code,
        "customerVendorCode": str(raw["customerCode"]),
        "customerCode": str(raw["customerCode"]),
        "exemptNo": str(raw.get("exemptionNo") or ""),
        "reconciled": False,
        "locationCode": location,
        "reportingLocationCode": location,
        "taxOverrideType": override.type,
        "taxOverrideAmount": number(override.amount),
        "taxOverrideReason": override.reason,
        "isSellerImporterOfRecord": bool(raw.get("isSellerImporterOfRecord")),
        "softwareVersion": SOFTWARE_VERSION,
        "adjustmentReason": "NotAdjusted",
        "adjustmentDescription": "",
        "locked": False,
        "version": 1,
    }
    return model | header


def _totals(results: list[LineResult]) -> Record:
    def whole(values: Iterable[Decimal]) -> float:
        return number(sum(values, ZERO))

    return {
        "totalAmount": whole(r.amount - r.discount for r in results),
        "totalExempt": whole(r.exempt for r in results),
        "totalDiscount": whole(r.discount for r in results),
        "totalTax": whole(r.tax for r in results),
        "totalTaxable": whole(r.taxable for r in results),
        "totalTaxCalculated": whole(r.calculated for r in results),
    }


def _line(request: DocumentRequest, result: LineResult, ids: Ids, addresses: list[Record]) -> Record:
    line = result.request
    destination = _address(result.destination, ids, addresses)
    origin = _address(result.origin, ids, addresses)
    line_id = ids.next()
    own = line.override if line.override is not request.override else None
    model = _line_texts(line, result) | {
        "id": line_id,
        "transactionId": ids.document,
        "lineNumber": line.number,
        "boundaryOverrideId": 0,
        "destinationAddressId": destination,
        "originAddressId": origin,
        "discountAmount": number(result.discount),
        "discountTypeId": 0,
        "exemptAmount": number(result.exempt),
        "exemptCertId": 0,
        "isItemTaxable": result.item_taxable,
        "isSSTP": False,
        "lineAmount": number(result.amount),
        "quantity": number(line.quantity),
        "reportingDate": request.day,
        "sourcing": "Destination",
        "tax": number(result.tax),
        "taxableAmount": number(result.taxable),
        "taxCalculated": number(result.calculated),
        "taxCodeId": 0,
        "taxDate": result.tax_date,
        "taxEngine": "",
        "taxOverrideType": own.type if own else "None",
        "taxOverrideAmount": number(own.amount) if own else 0.0,
        "taxOverrideReason": own.reason if own else "",
        "taxIncluded": bool(line.raw.get("taxIncluded")),
        "details": [_detail(result, share, ids, line_id, destination) for share in result.shares],
        "nonPassthroughDetails": [],
        "lineLocationTypes": [],
        "parameters": list(line.raw.get("parameters") or []),
        "userDefinedFields": list(line.raw.get("userDefinedFields") or []),
    }
    return model


def _line_texts(line: LineRequest, result: LineResult) -> Record:
    names = ("description", "itemCode", "ref1", "ref2", "businessIdentificationNo", "hsCode", "category", "summary")
    texts: Record = {name: str(line.raw.get(name) or "") for name in names}
    texts["revAccount"] = str(line.raw.get("revenueAccount") or "")
    texts["taxCode"] = line.tax_code
    texts["customerUsageType"] = texts["entityUseCode"] = result.use_code
    texts["exemptNo"] = result.exempt_no
    return texts


def _detail(result: LineResult, share: Share, ids: Ids, line_id: int, address_id: int) -> Record:
    place, own = result.destination, share.jurisdiction
    value_added = place["country"] not in ("US", "CA")
    amounts = {"taxableAmount": share.taxable, "exemptAmount": share.exempt, "nonTaxableAmount": share.non_taxable}
    units = {"taxableUnits": share.taxable, "exemptUnits": share.exempt, "nonTaxableUnits": share.non_taxable}
    reporting = {f"reporting{name[0].upper()}{name[1:]}": amount for name, amount in units.items()}
    taxes = {"tax": share.tax, "taxCalculated": share.calculated}
    reporting |= {"reportingTax": share.tax, "reportingTaxCalculated": share.calculated}
    numbers = {name: number(value) for name, value in (amounts | units | reporting | taxes).items()}
    return numbers | {
        "id": ids.next(),
        "transactionLineId": line_id,
        "transactionId": ids.document,
        "addressId": address_id,
        "country": place["country"],
        "region": place["region"] or place["country"],
        "countyFIPS": "",
        "stateFIPS": own["jurisCode"] if own["jurisType"] == "STA" else "",
        "exemptReasonId": 4,
        "inState": place["region"] == result.origin["region"] and place["country"] == result.origin["country"],
        "jurisCode": own["jurisCode"],
        "jurisName": own["jurisName"],
        "jurisdictionId": 0,
        "signatureCode": "",
        "stateAssignedNo": "",
        "jurisType": own["jurisType"],
        "jurisdictionType": _JURISDICTIONS[own["jurisType"]],
        "nonTaxableRuleId": 0,
        "nonTaxableType": "RateRule",
        "rate": number(share.rate),
        "rateRuleId": 0,
        "rateSourceId": 0,
        "serCode": "",
        "sourcing": "Destination",
        "taxType": "Output" if value_added else "Sales",
        "taxSubTypeId": "O" if value_added else "S",
        "taxTypeGroupId": "VAT" if value_added else "SalesAndUse",
        "taxName": _tax_name(place, own),
        "taxAuthorityTypeId": 45,
        "taxRegionId": 0,
        "taxOverride": number(share.tax - share.calculated),
        "rateType": "Standard" if value_added else "General",
        "rateTypeCode": "S" if value_added else "G",
        "unitOfBasis": "PerCurrencyUnit",
        "isNonPassThru": False,
        "isFee": False,
        "liabilityType": "Seller",
        "chargedTo": "Buyer",
    }


def _tax_name(place: Record, jurisdiction: Record) -> str:
    if place["country"] in ("US", "CA"):
        level = _JURISDICTIONS[jurisdiction["jurisType"]].upper()
        return f"{place['region'] or place['country']} {level} TAX"
    return f"{jurisdiction['jurisName']} VAT"


def _summary(results: list[LineResult]) -> list[Record]:
    """Tax by jurisdiction over all lines, in the order of first appearance."""
    rows: dict[tuple[str, ...], Record] = {}
    sums: dict[tuple[str, ...], list[Decimal]] = {}
    for result in results:
        place = result.destination
        for share in result.shares:
            own = share.jurisdiction
            key = (place["country"], place["region"], own["jurisType"], own["jurisCode"], str(share.rate))
            value_added = place["country"] not in ("US", "CA")
            rows.setdefault(key, {
                "country": place["country"],
                "region": place["region"] or place["country"],
                "jurisType": _JURISDICTIONS[own["jurisType"]],
                "jurisCode": own["jurisCode"],
                "jurisName": own["jurisName"],
                "taxAuthorityType": 45,
                "stateAssignedNo": "",
                "taxType": "Output" if value_added else "Sales",
                "taxSubType": "O" if value_added else "S",
                "taxName": _tax_name(place, own),
                "rateType": "Standard" if value_added else "General",
                "rate": number(share.rate),
            })  # fmt: skip
            amounts = [share.taxable, share.tax, share.calculated, share.non_taxable, share.exempt]
            sums[key] = [a + b for a, b in zip(sums.get(key, [ZERO] * 5), amounts, strict=True)]
    names = ("taxable", "tax", "taxCalculated", "nonTaxable", "exemption")
    return [row | dict(zip(names, map(number, sums[key]), strict=True)) for key, row in rows.items()]


def _by_tax_type(results: list[LineResult]) -> list[Record]:
    totals = _totals(results)
    country = results[0].destination["country"]
    return [
        {
            "taxType": "Sales" if country in ("US", "CA") else "Output",
            "totalTaxable": totals["totalTaxable"],
            "totalExempt": totals["totalExempt"],
            "totalNonTaxable": number(sum((r.exempt for r in results if not r.item_taxable), ZERO)),
            "totalTax": totals["totalTax"],
        }
    ]


def _address(place: Record, ids: Ids, addresses: list[Record]) -> int:
    """The id of this place among the document's addresses, added when it is new."""
    for known in addresses:
        if all(known[name] == value for name, value in place.items()):
            return int(known["id"])
    level = "Address" if place["line1"] else "Zip5"
    model = {"id": ids.next(), "transactionId": ids.document, "boundaryLevel": level, **place, "taxRegionId": 0}
    addresses.append(model)
    return int(model["id"])


def _location_types(line: Record, ids: Ids) -> list[Record]:
    ends = (("ShipTo", line["destinationAddressId"]), ("ShipFrom", line["originAddressId"]))
    return [
        {
            "documentLocationTypeId": ids.next(),
            "documentId": ids.document,
            "documentAddressId": address_id,
            "locationTypeCode": code,
        }
        for code, address_id in ends
    ]


def included(model: Record, include: str | None, default: str = "") -> Record:
    """The model with only the nested parts that $include names; absent parts are left out, as nulls are."""
    wanted = {part.strip().lower() for part in (include or default).split(",") if part.strip()}
    keep: set[str] = {name for name in _NESTED if name.lower() in wanted}
    with_details = bool(wanted & {"details", "summary"}) and "linesonly" not in wanted
    if wanted & {"lines", "linesonly", "details", "summary"} and "summaryonly" not in wanted:
        keep.add("lines")
    if wanted & {"summary", "summaryonly"}:
        keep.add("summary")
    if "addresses" in wanted:
        keep |= {"addresses", "locationTypes"}
    answer: dict[str, Any] = {k: v for k, v in model.items() if k not in _NESTED or k in keep}
    if "lines" in keep and not with_details:
        hidden = ("details", "nonPassthroughDetails")
        answer["lines"] = [{k: v for k, v in line.items() if k not in hidden} for line in model["lines"]]
    return answer
