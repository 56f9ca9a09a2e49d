"""Standing data of the account: companies and their nexus (tax registrations), address resolution, region totals."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from isthmus.sandbox.avalara import rates
from isthmus.sandbox.avalara.auth import ACCOUNT_ID, USER_ID
from isthmus.sandbox.avalara.errors import Refusal
from isthmus.sandbox.avalara.money import number
from isthmus.sandbox.base import Record, Records

COMPANY_ID = 100_001
COMPANY_CODE = "DEFAULT"
REGISTERED = (("US", "US"), ("US", "NY"), ("US", "CA"), ("US", "TX"), ("GB", "GB"))
COMPANY_FIELDS = frozenset({
    "id", "accountId", "parentCompanyId", "companyCode", "name", "isDefault", "defaultLocationId", "isActive",
    "taxpayerIdNumber", "hasProfile", "isReportingEntity", "defaultCountry", "baseCurrencyCode", "roundingLevelId",
    "warningsEnabled", "isTest", "taxDependencyLevelId", "inProgress", "businessIdentificationNo", "createdDate",
    "createdUserId", "modifiedDate", "modifiedUserId",
})  # fmt: skip
NEXUS_FIELDS = frozenset({
    "id", "companyId", "country", "region", "jurisTypeId", "jurisdictionTypeId", "jurisCode", "jurisName",
    "effectiveDate", "endDate", "shortName", "signatureCode", "stateAssignedNo", "nexusTypeId", "sourcing",
    "hasLocalNexus", "localNexusTypeId", "hasPermanentEstablishment", "taxId", "streamlinedSalesTax",
    "nexusTaxTypeGroup", "createdDate", "createdUserId", "modifiedDate", "modifiedUserId",
})  # fmt: skip
# A sample point in the state; the vendor has every rooftop.
_POINTS = {"NY": (40.7128, -74.006), "CA": (36.7783, -119.4179), "TX": (31.9686, -99.9018), "WA": (47.6062, -122.3321)}
_POINTS |= {"DE": (39.7391, -75.5398), "OR": (45.5152, -122.6784)}


def company(record: Record, company_id: int, stamp: str) -> Record:
    """A complete CompanyModel; given values are kept."""
    defaults: Record = {
        "id": company_id,
        "accountId": int(ACCOUNT_ID),
        "parentCompanyId": 0,
        "companyCode": f"C{company_id}",
        "name": "Synthetic Company",
        "isDefault": False,
        "defaultLocationId": 0,
        "isActive": True,
        "taxpayerIdNumber": "",
        "hasProfile": True,
        "isReportingEntity": True,
        "defaultCountry": "US",
        "baseCurrencyCode": "USD",
        "roundingLevelId": "Line",
        "warningsEnabled": False,
        "isTest": True,
        "taxDependencyLevelId": "Document",
        "inProgress": False,
        "businessIdentificationNo": "",
    }
    return defaults | _stamps(stamp) | record


def nexus(record: Record, nexus_id: int, stamp: str) -> Record:
    """A complete NexusModel for {country, region}; given values are kept."""
    country = str(record.get("country") or "US").upper()
    region = str(record.get("region") or country).upper()
    code, name = rates.STATE_CODES.get(region, (region, region)) if country == "US" else (region, region)
    whole = region == country
    if whole:
        code, name = country, rates.COUNTRY_CODES.get(country, country)
    defaults: Record = {
        "id": nexus_id,
        "companyId": COMPANY_ID,
        "jurisTypeId": "CNT" if whole else "STA",
        "jurisdictionTypeId": "Country" if whole else "State",
        "jurisCode": code,
        "jurisName": name,
        "effectiveDate": "2020-01-01",
        "endDate": "9999-12-31",
        "shortName": region,
        "signatureCode": "",
        "stateAssignedNo": "",
        "nexusTypeId": "SalesOrSellersUseTax" if country in ("US", "CA") else "SalesTax",
        "hasLocalNexus": False,
        "localNexusTypeId": "Selected",
        "hasPermanentEstablishment": True,
        "taxId": "",
        "streamlinedSalesTax": False,
        "nexusTaxTypeGroup": "SalesAndUse" if country in ("US", "CA") else "VAT",
    }
    return defaults | _stamps(stamp) | record | {"country": country, "region": region}


def _stamps(stamp: str) -> Record:
    return {"createdDate": stamp, "createdUserId": USER_ID, "modifiedDate": stamp, "modifiedUserId": USER_ID}


def resolve(records: Records, address: Any) -> Record:
    """AddressResolutionModel of a US or Canadian address; a place without tax content gets a message instead."""
    place = rates.locate(address)
    given = {k: v for k, v in address.items() if v}
    if place["country"] not in ("US", "CA"):
        raise Refusal("GetTaxError", "Unsupported country.", "Addresses are resolved in US and CA.", "Country")
    known = rates.STATE_CODES if place["country"] == "US" else {place["region"]: ("", "")}
    if place["region"] not in known:
        message = {
            "summary": "The address could not be found.",
            "details": "The region is not known.",
            "refersTo": "Address.Region",
            "severity": "Error",
            "source": "Avalara.AvaTax.Services.Address",
        }
        return {"address": given, "resolutionQuality": "NotCoded", "messages": [message]}
    row = rates.find(records, place, "P0000000", "9000-01-01")
    validated = {name: place[name].upper() for name in ("line1", "line2", "line3", "city", "region", "country")}
    validated |= {"addressType": "UnknownAddressType", "postalCode": place["postalCode"]}
    answer: Record = {"address": given, "validatedAddresses": [validated], "resolutionQuality": "RegionCentroid"}
    if place["country"] == "US" and place["region"] in _POINTS:
        latitude, longitude = _POINTS[place["region"]]
        answer["coordinates"] = {"latitude": latitude, "longitude": longitude}
        validated |= answer["coordinates"]
    answer["taxAuthorities"] = [_authority(place, j) for j in row["jurisdictions"]]
    return answer


def _authority(place: Record, jurisdiction: Record) -> Record:
    levels = {"CNT": "Country", "STA": "State", "CTY": "County", "CIT": "City", "STJ": "Special"}
    return {
        "avalaraId": f"{place['region']}{jurisdiction['jurisCode']}",
        "jurisdictionName": jurisdiction["jurisName"],
        "jurisdictionType": levels[jurisdiction["jurisType"]],
        "signatureCode": "",
    }


def committed_totals(documents: Iterable[Record]) -> list[Record]:
    """Committed sales by company and destination, for tests of registration thresholds."""
    totals: dict[tuple[int, str, str, str], list[Decimal]] = {}
    counts: dict[tuple[int, str, str, str], set[int]] = {}
    for document in documents:
        if document["status"] != "Committed" or document["type"] not in ("SalesInvoice", "ReturnInvoice"):
            continue
        for line in document["lines"]:
            place = line["details"][0]
            key = (document["companyId"], place["country"], place["region"], document["currencyCode"])
            net = Decimal(str(line["lineAmount"])) - Decimal(str(line["discountAmount"]))
            amounts = [net, Decimal(str(line["taxableAmount"])), Decimal(str(line["tax"]))]
            totals[key] = [a + b for a, b in zip(totals.get(key, [Decimal(0)] * 3), amounts, strict=True)]
            counts.setdefault(key, set()).add(document["id"])
    names = ("companyId", "country", "region", "currencyCode")
    sums = ("totalAmount", "totalTaxable", "totalTax")
    return [
        dict(zip(names, key, strict=True))
        | dict(zip(sums, map(number, amounts), strict=True))
        | {"transactions": len(counts[key])}
        for key, amounts in sorted(totals.items())
    ]
