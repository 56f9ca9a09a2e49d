"""Sample tax rates by jurisdiction, as data, and the region a postal address lies in.

The rates are synthetic samples in the neighbourhood of public ones, for tests only; they are not tax content and
must never be used to file. A rate row is {country, region, rate, taxCode, effectiveDate, endDate, jurisdictions}.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.sandbox.avalara.errors import Refusal
from isthmus.sandbox.base import Record, Records

# (region, name, state code, rate): the New York sample is a sum of three jurisdictions, see _NEW_YORK.
_US = (
    ("NY", "NEW YORK", "36", "0.08875"),
    ("CA", "CALIFORNIA", "06", "0.0725"),
    ("TX", "TEXAS", "48", "0.0625"),
    ("WA", "WASHINGTON", "53", "0"),
    ("DE", "DELAWARE", "10", "0"),
    ("OR", "OREGON", "41", "0"),
    ("MT", "MONTANA", "30", "0"),
    ("NH", "NEW HAMPSHIRE", "33", "0"),
    ("FL", "FLORIDA", "12", "0.06"),
    ("IL", "ILLINOIS", "17", "0.0625"),
    ("MA", "MASSACHUSETTS", "25", "0.0625"),
    ("NJ", "NEW JERSEY", "34", "0.06625"),
    ("PA", "PENNSYLVANIA", "42", "0.06"),
    ("GA", "GEORGIA", "13", "0.04"),
    ("CO", "COLORADO", "08", "0.029"),
)
_NEW_YORK = (
    ("STA", "36", "NEW YORK", "0.04"),
    ("CIT", "51000", "NEW YORK CITY", "0.045"),
    ("STJ", "359071", "METROPOLITAN COMMUTER TRANSPORTATION DISTRICT", "0.00375"),
)
_COUNTRIES = (
    ("GB", "UNITED KINGDOM", "0.20"),
    ("DE", "GERMANY", "0.19"),
    ("FR", "FRANCE", "0.20"),
    ("IE", "IRELAND", "0.23"),
    ("NL", "NETHERLANDS", "0.21"),
    ("CA", "CANADA", "0.05"),
    ("JP", "JAPAN", "0.10"),
)
_COUNTRY_NAMES = {"USA": "US", "UNITED STATES": "US", "UNITED STATES OF AMERICA": "US", "GBR": "GB", "UK": "GB"}
_COUNTRY_NAMES |= {name: code for code, name, _ in _COUNTRIES}
_REGION_NAMES = {name: code for code, name, _, _ in _US}
STATE_CODES = {code: (fips, name) for code, name, fips, _ in _US}
COUNTRY_CODES = {"US": "UNITED STATES"} | {code: name for code, name, _ in _COUNTRIES}
# First three digits of a US postal code: enough for an address that names no state.
_ZIP3 = [("NY", 100, 149), ("CA", 900, 961), ("TX", 750, 799), ("WA", 980, 994), ("OR", 970, 979)]
_ZIP3 += [("DE", 197, 199), ("FL", 320, 349), ("IL", 600, 629), ("NJ", 70, 89), ("PA", 150, 196)]


def defaults() -> list[Record]:
    """The sample rows a fresh sandbox holds."""
    rows: list[Record] = [{"country": "US", "region": code, "rate": float(rate)} for code, _, _, rate in _US]
    rows[0]["jurisdictions"] = [_jurisdiction(*j) for j in _NEW_YORK]
    rows += [{"country": code, "region": "", "rate": float(rate)} for code, _, rate in _COUNTRIES]
    return rows


def normalize(row: Record) -> tuple[str, Record]:
    """(record id, complete row) of a seeded rate row."""
    country, region = str(row["country"]).upper(), str(row.get("region") or "").upper()
    full: Record = {"taxCode": "", "effectiveDate": "1900-01-01", "endDate": "9999-12-31"}
    full |= {**row, "country": country, "region": region}
    if not full.get("jurisdictions"):
        fips, name = STATE_CODES.get(region, (region, region)) if region else ("", "")
        place = ("STA", fips, name) if region else ("CNT", country, COUNTRY_CODES.get(country, country))
        full["jurisdictions"] = [_jurisdiction(*place, str(row["rate"]))]
    return "|".join((country, region, str(full["taxCode"]), str(full["effectiveDate"]))), full


def _jurisdiction(kind: str, code: str, name: str, rate: str) -> Record:
    return {"jurisType": kind, "jurisCode": code, "jurisName": name, "rate": float(rate)}


def find(records: Records, place: Record, tax_code: str, tax_date: str) -> Record:
    """The rate row for a place, a tax code and a day; the vendor's refusal when the place has no tax content."""
    candidates: list[tuple[bool, bool, str, Record]] = []
    for _, row in records.all("tax_rates"):
        if row["country"] != place["country"] or row["region"] not in ("", place["region"]):
            continue
        if row["taxCode"] in ("", tax_code) and row["effectiveDate"] <= tax_date <= row["endDate"]:
            candidates.append((bool(row["region"]), bool(row["taxCode"]), row["effectiveDate"], row))
    if not candidates:
        where = f"{place['region']} {place['country']}".strip()
        raise Refusal("GetTaxError", "Tax jurisdiction not found.", f"No tax content for {where}.", "Addresses[0]")
    return max(candidates, key=lambda c: c[:3])[3]


def locate(address: Any, refers_to: str = "Addresses[0]") -> Record:
    """A request address with country and region as codes; the vendor's refusal when it cannot be placed."""
    incomplete = Refusal("GetTaxError", "An Address is incomplete or invalid.", "", refers_to)
    if not isinstance(address, dict) or not any(address.values()):
        raise incomplete
    place: Record = {k: str(address.get(k) or "").strip() for k in ("line1", "line2", "line3", "city")}
    place["postalCode"] = str(address.get("postalCode") or "").strip()
    country = str(address.get("country") or "US").strip().upper()
    place["country"] = _COUNTRY_NAMES.get(country, country)
    region = str(address.get("region") or "").strip().upper()
    place["region"] = _REGION_NAMES.get(region, region) if place["country"] == "US" else region
    place["latitude"] = str(address.get("latitude") or "")
    place["longitude"] = str(address.get("longitude") or "")
    if place["country"] == "US" and not place["region"]:
        place["region"] = _region_of_zip(place["postalCode"])
        if not place["region"]:
            raise incomplete
    return place


def _region_of_zip(postal_code: str) -> str:
    prefix = postal_code[:3]
    if len(prefix) < 3 or not prefix.isdigit():
        return ""
    return next((code for code, low, high in _ZIP3 if low <= int(prefix) <= high), "")


def combined_rate(row: Record) -> Decimal:
    """Sum of a row's jurisdictions."""
    return sum((Decimal(str(j["rate"])) for j in row["jurisdictions"]), Decimal(0))
