"""The demo's month: clients, contracts, hours and payments. Synthetic and seeded; only the rates are real.

The rates are read from a GSA Schedule 70 price list sample (CC0) that ships in the package; its windows have ended, so
they are adopted as the demo firm's own rates and said to be so.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from isthmus.domain.objects import Rate
from isthmus.kit.price_list import rates, read_price_list, require_complete

PRICE_LIST = Path(__file__).parent.parent / "data" / "price_lists" / "s70_sample.csv"
MONTH = date(2026, 3, 1)
DESK_RATE_MINUTES = (15, 30, 45, 60, 90, 120, 180, 240)


@dataclass(frozen=True)
class Line:
    """One quote line: a role, or free work."""

    uid: str
    title: str
    role: str
    billing: str = "tm"
    tax_class: str = "SERVICES"


@dataclass(frozen=True)
class Deal:
    """One won deal. cap: hard limit of the contract, or none. region: where it is delivered, for the ERP's books."""

    contract_no: str
    client_no: str
    client: str
    city: str
    postal_code: str
    lines: tuple[Line, ...]
    cap: Decimal | None = None
    cost_center: str = "CC-100"
    practice: str = "DIGITAL"
    region: str = "NORTHEAST"
    start: date = MONTH


DEALS = (
    Deal(
        "K-1001",
        "C-2001",
        "Harbor Mutual Insurance (synthetic)",
        "New York",
        "10004",
        (
            Line("HM-PM", "Programme management", "Program Manager I"),
            Line("HM-SE", "Claims portal build", "Software Engineer II"),
            Line("HM-BA", "Process analysis", "Business Analyst II"),
        ),
        cap=Decimal("42000.00"),
    ),
    Deal(
        "K-1002",
        "C-2002",
        "Lantern Health Partners (synthetic)",
        "Buffalo",
        "14201",
        (
            Line("LH-UX", "Patient app design", "Visual Designer"),
            Line("LH-UR", "User research", "User Researcher"),
            Line("LH-IN", "Onboarding of the team", "Consultant", billing="non_billable"),
        ),
    ),
    Deal(
        "K-1003",
        "C-2003",
        "Pier Nine Logistics (synthetic)",
        "Albany",
        "12207",
        (Line("PN-AR", "Warehouse integration architecture", "Architect II"),),
        cost_center="",
    ),
)
# Won after the month: each meets one of the things that only a person can settle.
LATER = (
    Deal(
        "K-1004",
        "C-2004",
        "Copper Lane Credit Union (synthetic)",
        "Rochester",
        "14604",
        (Line("CL-SE", "Lending workshop", "Software Engineer II", tax_class=""),),
        start=date(2026, 5, 11),
    ),
    Deal(
        "K-1005",
        "C-2005",
        "Gantry Street Robotics (synthetic)",
        "Syracuse",
        "13202",
        (Line("GS-AR", "Controls architecture", "Architect II"),),
        region="",
        start=date(2026, 5, 11),
    ),
    Deal(
        "K-1006",
        "C-2006",
        "Harbour Mutual Insurance Company (synthetic)",
        "New York",
        "10004",
        (Line("HM2-PM", "Underwriting programme", "Program Manager I"),),
        start=date(2026, 5, 11),
    ),
)
TEAM = {
    "Program Manager I": ("11", "ada.lindqvist@consulting.example"),
    "Business Analyst II": ("12", "bruno.achterberg@consulting.example"),
    "Software Engineer II": ("13", "chiara.mwangi@consulting.example"),
    "Architect II": ("14", "dmitri.castellanos@consulting.example"),
    "Visual Designer": ("15", "esme.okonkwo@consulting.example"),
    "User Researcher": ("16", "farid.johansson@consulting.example"),
    "Consultant": ("16", "farid.johansson@consulting.example"),
}


def price_list() -> dict[str, Rate]:
    """Our rate per role, adopted from the price list as of the month's first day."""
    prices = require_complete(read_price_list(PRICE_LIST.read_bytes(), PRICE_LIST.name))
    wanted = sorted({line.role for deal in DEALS + LATER for line in deal.lines if line.billing == "tm"})
    return {rate.role: rate for rate in rates(prices, from_date=MONTH, roles=wanted, adopt=True)}


def salesforce_records(deal: Deal, prices: dict[str, Rate], ids: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """What sales has entered for a deal, in order; ids collects the vendor's ids of earlier records by object."""
    account = {
        "Name": deal.client,
        "Client_No__c": deal.client_no,
        "BillingStreet": "1 Main St",
        "BillingCity": deal.city,
        "BillingState": "NY",
        "BillingPostalCode": deal.postal_code,
        "BillingCountryCode": "US",
        "CurrencyIsoCode": "USD",
    }
    records: list[tuple[str, dict[str, Any]]] = [("Account", account)]
    won = {"Name": deal.client, "StageName": "Closed Won", "CloseDate": "2026-02-27", "CurrencyIsoCode": "USD"}
    records.append(("Opportunity", {**won, "AccountId": "@Account"}))
    quote = {"SBQQ__Account__c": "@Account", "SBQQ__Opportunity2__c": "@Opportunity", "CurrencyIsoCode": "USD"}
    records.append(("SBQQ__Quote__c", quote))
    for number, line in enumerate(deal.lines, start=1):
        records += _quote_line(number, line, prices)
    records.append(("Contract", _contract(deal)))
    return records


def _quote_line(number: int, line: Line, prices: dict[str, Rate]) -> list[tuple[str, dict[str, Any]]]:
    row: dict[str, Any] = {
        "SBQQ__Quote__c": "@SBQQ__Quote__c",
        "SBQQ__Product__c": "@Product2",
        "SBQQ__Number__c": number,
        "Line_Uid__c": line.uid,
        "Billing_Type__c": line.billing,
        "Role__c": line.role,
        "CurrencyIsoCode": "USD",
        "SBQQ__Quantity__c": 1,
    }
    if line.tax_class:
        row["Tax_Class__c"] = line.tax_class
    if line.billing == "tm":
        row |= {"Unit__c": "Hour", "Rate__c": float(prices[line.role].bill_rate)}
    return [("Product2", {"Name": line.title}), ("SBQQ__QuoteLine__c", row)]


def _contract(deal: Deal) -> dict[str, Any]:
    terms: dict[str, Any] = {
        "AccountId": "@Account",
        "SBQQ__Quote__c": "@SBQQ__Quote__c",
        "SBQQ__Opportunity__c": "@Opportunity",
        "Contract_No__c": deal.contract_no,
        "Version__c": 1,
        "Status": "Activated",
        "StartDate": deal.start.isoformat(),
        "ContractTerm": 12,
        "Effective_Date__c": deal.start.isoformat(),
        "CustomerSignedDate": (deal.start - timedelta(days=3)).isoformat(),
        "CurrencyIsoCode": "USD",
        "Legal_Entity__c": "US01",
        "Legal_Approved_By__c": "lea.legal",
        "Finance_Approved_By__c": "finn.finance",
        "Payment_Terms__c": "NET30",
        "Document_Url__c": f"https://documents.example/{deal.contract_no}",
        "Document_Hash__c": "synthetic",
    }
    terms |= {name: value for name, value in _dimensions(deal).items() if value}
    if deal.cap is not None:
        terms |= {"Billing_Cap__c": float(deal.cap), "Cap_Kind__c": "hard"}
    return terms


def _dimensions(deal: Deal) -> dict[str, str]:
    return {"Practice__c": deal.practice, "Cost_Center__c": deal.cost_center, "Region__c": deal.region}


def working_days() -> list[date]:
    """The month's Mondays to Fridays."""
    days = [MONTH + timedelta(days=n) for n in range(31)]
    return [day for day in days if day.weekday() < 5]


def hours_of(deal: Deal, day: date, dice: random.Random) -> list[tuple[Line, int, str]]:
    """(line, minutes, note) that the team records for a deal on a day."""
    recorded = []
    for line in deal.lines:
        share = 0.25 if line.billing == "non_billable" else 0.9
        if dice.random() < share:
            minutes = sum(dice.choice(DESK_RATE_MINUTES) for _ in range(3))
            recorded.append((line, min(minutes, 540), f"{line.title}, {day:%d %b}"))
    return recorded
