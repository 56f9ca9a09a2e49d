"""What the platform itself decides about a record when it is saved: derived fields and standard-object rules.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.platform.errors import ApiError

if TYPE_CHECKING:
    from isthmus.sandbox.platform.store import Store

Record = dict[str, Any]


def apply(store: Store, entity: str, before: Record | None, after: Record, as_user: bool, given: set[str]) -> None:
    """Fill derived fields of ``after`` in place; refuse what the platform refuses.

    as_user: written in the vendor's own screens, where wizards and packages set what the API may not; fields given
    explicitly are then kept.
    """
    if entity == "Contract":
        _contract(store, before, after, as_user, given)
    elif entity == "Opportunity":
        after["IsWon"] = after["StageName"] == "Closed Won"
        after["IsClosed"] = after["StageName"] in ("Closed Won", "Closed Lost")
    elif entity == "SBQQ__QuoteLine__c":
        _quote_line(store, after, given)


def _contract(store: Store, before: Record | None, after: Record, as_user: bool, given: set[str]) -> None:
    active = after["Status"] == "Activated"
    was_active = before is not None and before["Status"] == "Activated"
    if active and before is None and not as_user:
        message = "Choose a valid contract status and save your changes. Ask your admin for details."
        raise ApiError(400, "FAILED_ACTIVATION", message, ["Status"])
    if was_active and not active:
        message = "Status: an activated contract cannot be moved back"
        raise ApiError(400, "INVALID_STATUS", message, ["Status"])
    if active and not was_active and "ActivatedDate" not in given:
        after["ActivatedDate"] = after["SystemModstamp"]
        after["ActivatedById"] = store.user_id
    if after["StartDate"] and after["ContractTerm"]:
        after["EndDate"] = last_day(after["StartDate"], after["ContractTerm"])
    elif "EndDate" not in given:
        after["EndDate"] = None


def last_day(start: str, months: int) -> str:
    """The last day of a term of whole months beginning on ``start``."""
    first = date.fromisoformat(start)
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    day = min(first.day, calendar.monthrange(year, month + 1)[1])
    return (date(year, month + 1, day) - timedelta(days=1)).isoformat()


def _quote_line(store: Store, after: Record, given: set[str]) -> None:
    quantity, price = after.get("SBQQ__Quantity__c"), after.get("SBQQ__NetPrice__c")
    if "SBQQ__NetTotal__c" not in given and quantity is not None and price is not None:
        exact = Decimal(str(quantity)) * Decimal(str(price))
        after["SBQQ__NetTotal__c"] = float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))
    product = store.live("Product2", after.get("SBQQ__Product__c") or "")
    if product:
        after["SBQQ__ProductCode__c"] = product["ProductCode"]
        after["SBQQ__ProductName__c"] = product["Name"]
