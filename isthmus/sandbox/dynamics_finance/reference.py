"""What stands in a new environment: two companies with their groups, terms and accounts. Synthetic."""

from __future__ import annotations

from isthmus.sandbox.dynamics_finance.ledger import Ledger
from isthmus.sandbox.dynamics_finance.schema import BY_SET

COMPANIES = (("usmf", "Contoso Consulting USA", "USD"), ("gbsi", "Contoso Consulting UK", "GBP"))
TERMS = (("NET15", 15), ("NET30", 30), ("NET45", 45), ("NET60", 60))
ACCOUNTS = (
    ("130100", "Accounts receivable"),
    ("130200", "Accrued revenue"),
    ("401100", "Consulting revenue"),
    ("401200", "Managed services"),
)


def stand(ledger: Ledger) -> None:
    """Put the reference data in."""
    for company, name, currency in COMPANIES:
        _add(ledger, "Companies", DataArea=company, Name=name, CurrencyCode=currency)
        _add(ledger, "CustomerGroups", dataAreaId=company, CustomerGroupId="30", Description="Services customers")
        for term, days in TERMS:
            _add(ledger, "PaymentTerms", dataAreaId=company, Name=term, NumberOfDays=days)
    for number, name in ACCOUNTS:
        _add(ledger, "MainAccounts", MainAccountId=number, Name=name, ChartOfAccounts="Shared")


def _add(ledger: Ledger, collection: str, **values: object) -> None:
    ledger.add(BY_SET[collection], BY_SET[collection].empty() | values)
