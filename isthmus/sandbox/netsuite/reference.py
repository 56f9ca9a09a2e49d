"""What stands in the account before any integration runs: subsidiaries, currencies, terms, people, periods."""

from __future__ import annotations

import calendar
from decimal import Decimal
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.ledger import Ledger

_STAMP = "2026-01-01T00:00:00Z"
YEARS = range(2026, 2036)  # years whose accounting periods are set up
_CURRENCIES = [  # id, name, symbol, decimals, rate to the US dollar
    ("1", "US Dollar", "USD", 2, "1"),
    ("2", "British Pound", "GBP", 2, "1.27"),
    ("3", "Canadian Dollar", "CAD", 2, "0.73"),
    ("4", "Euro", "EUR", 2, "1.08"),
    ("5", "Japanese Yen", "JPY", 0, "0.0067"),
    ("6", "Australian Dollar", "AUD", 2, "0.66"),
    ("7", "Swiss Franc", "CHF", 2, "1.12"),
    ("8", "Indian Rupee", "INR", 2, "0.012"),
    ("9", "Singapore Dollar", "SGD", 2, "0.74"),
]
_SUBSIDIARIES = [
    ("1", "US", "US", "1"),
    ("2", "UK", "GB", "2"),
    ("3", "Canada", "CA", "3"),
    ("4", "Germany", "DE", "4"),
    ("5", "Australia", "AU", "6"),
    ("6", "India", "IN", "8"),
]
_TERMS = [("1", "NET15", 15), ("2", "NET30", 30), ("3", "NET45", 45), ("4", "NET60", 60), ("5", "DUE", 0)]
_EMPLOYEES = [
    ("11", "Amara Osei", "1", "95"),
    ("12", "Ben Whitfield", "1", "70"),
    ("13", "Chiara Lindqvist", "2", "82"),
    ("14", "Dev Raman", "6", "38"),
]
_ITEMS = [
    ("21", "Consulting Services", "250"),
    ("22", "Fixed Fee Milestone", "0"),
    ("23", "Reimbursable Expense", "0"),
    ("24", "Retainer", "0"),
    ("25", "Managed Services", "180"),
]
_ACCOUNTS = [
    ("101", "1000", "Checking", "Bank"),
    ("102", "1100", "Accounts Receivable", "AcctRec"),
    ("103", "1499", "Undeposited Funds", "OthCurrAsset"),
    ("104", "2300", "Sales Tax Payable", "OthCurrLiab"),
    ("105", "2500", "Deferred Revenue", "DeferRevenue"),
    ("106", "4000", "Service Revenue", "Income"),
    ("107", "1150", "Unbilled Receivable", "UnbilledRec"),
    ("108", "5000", "Cost of Services", "COGS"),
    ("109", "2510", "Customer Deposits", "OthCurrLiab"),
    ("110", "4900", "Breakage Revenue", "Income"),
    ("111", "2200", "Accrued Cost", "OthCurrLiab"),
    ("112", "1300", "Intercompany Receivable", "OthCurrAsset"),
    ("113", "2600", "Intercompany Payable", "OthCurrLiab"),
    ("114", "4100", "Intercompany Revenue", "Income"),
    ("115", "5100", "Intercompany Cost", "COGS"),
    ("116", "2000", "Accounts Payable", "AcctPay"),
    ("117", "2350", "Vendor Retention", "OthCurrLiab"),
    ("118", "6400", "Bad Debt Expense", "Expense"),
]
_VENDORS = [("31", "Subs Ltd", "1", "1"), ("32", "Northwind Advisers GmbH", "4", "4")]


def stand(ledger: Ledger) -> None:
    """Put the reference data in; safe to repeat."""
    for collection, records in _everything().items():
        for record in records:
            if ledger.get(collection, record["id"]) is None:
                ledger.put(collection, record["id"], {**record, "lastModifiedDate": _STAMP})


def ref(record_id: str, name: str) -> Record:
    """A reference as records hold it."""
    return {"id": record_id, "refName": name}


def _everything() -> dict[str, list[Record]]:
    names = {i: n for i, n, *_ in _CURRENCIES}
    places = {i: n for i, n, *_ in _SUBSIDIARIES}
    return {
        "currency": [
            _row(i, name=n, symbol=s, currencyPrecision=p, exchangeRate=Decimal(r), isBaseCurrency=i == "1")
            for i, n, s, p, r in _CURRENCIES
        ],
        "subsidiary": [
            _row(i, name=n, country={"id": land, "refName": land}, currency=ref(c, names[c]))
            for i, n, land, c in _SUBSIDIARIES
        ],
        "term": [_row(i, name=n, daysUntilNetDue=d) for i, n, d in _TERMS],
        "employee": [
            _row(i, entityId=n, laborCost=Decimal(cost), subsidiary=ref(s, places[s])) for i, n, s, cost in _EMPLOYEES
        ],
        "vendor": [
            _row(i, entityId=n, companyName=n, isPerson=False, subsidiary=ref(s, places[s]), currency=ref(c, names[c]))
            for i, n, s, c in _VENDORS
        ],
        "serviceSaleItem": [_row(i, itemId=n, displayName=n, rate=Decimal(r)) for i, n, r in _ITEMS],
        "account": [
            _row(i, acctNumber=number, acctName=n, acctType={"id": kind, "refName": kind})
            for i, number, n, kind in _ACCOUNTS
        ],
        "accountingPeriod": [_period(year, month) for year in YEARS for month in range(1, 13)],
        "department": [_row("1", name="Advisory"), _row("2", name="Delivery")],
        "classification": [_row("1", name="Services")],
        "location": [_row("1", name="New York"), _row("2", name="London")],
    }


def _period(year: int, month: int) -> Record:
    last = calendar.monthrange(year, month)[1]
    return {
        "id": str(200 + (year - YEARS[0]) * 12 + month),
        "periodName": f"{calendar.month_abbr[month]} {year}",
        "startDate": f"{year}-{month:02d}-01",
        "endDate": f"{year}-{month:02d}-{last}",
        "closed": False,
    }


def _row(record_id: str, **fields: Any) -> Record:
    return {"id": record_id, **fields, "isInactive": False}
