"""GET envelopes: which envelopes have changed, by time and status, page by page.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.docusign.envelopes import Envelopes, shown
from isthmus.sandbox.docusign.errors import bad_parameter

COUNT_MAX = 1000
# The moment that a status qualifier asks about.
MOMENTS = {
    "changed": "statusChangedDateTime",
    "created": "createdDateTime",
    "sent": "sentDateTime",
    "delivered": "deliveredDateTime",
    "completed": "completedDateTime",
    "declined": "declinedDateTime",
    "voided": "voidedDateTime",
}
ORDERS = {
    "status_changed": "statusChangedDateTime",
    "last_modified": "lastModifiedDateTime",
    "created": "createdDateTime",
    "sent": "sentDateTime",
    "completed": "completedDateTime",
    "status": "status",
    "subject": "emailSubject",
}


def moment(text: str, name: str) -> datetime:
    """A moment as clients write it. Refused when it is none."""
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise bad_parameter(f"Query parameter '{name}' was not a valid DateTime: {text}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def listed(envelopes: Envelopes, account: str, params: Mapping[str, str]) -> Record:
    """The answer to a list."""
    found = [one for one in envelopes.all() if _wanted(one, params)]
    name = ORDERS.get(params.get("order_by", ""), "createdDateTime")
    falling = params.get("order", "asc" if params.get("order_by") else "desc") == "desc"
    found.sort(key=lambda one: (one.get(name, ""), one["envelopeId"]), reverse=falling)
    start, count = _number(params, "start_position", 0), min(_number(params, "count", COUNT_MAX), COUNT_MAX)
    page = found[start : start + count]
    include = set(params.get("include", "").split(","))
    body: Record = {
        "resultSetSize": str(len(page)),
        "startPosition": str(start),
        "endPosition": str(start + len(page) - 1 if page else start),
        "totalSetSize": str(len(found)),
        "nextUri": f"/envelopes?start_position={start + count}&count={count}" if start + count < len(found) else "",
        "previousUri": f"/envelopes?start_position={max(0, start - count)}&count={count}" if start else "",
        "envelopeSearchSource": "rdb",
    }
    return {**body, "envelopes": [shown(one, account, include) for one in page]} if page else body


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name) or str(default)
    if not text.isdigit():
        raise bad_parameter(f"Query parameter '{name}' must be a number.")
    return int(text)


def _wanted(envelope: Record, params: Mapping[str, str]) -> bool:
    ids, transactions = params.get("envelope_ids", ""), params.get("transaction_ids", "")
    if ids or transactions:
        return envelope["envelopeId"] in ids.split(",") or bool(
            envelope["transactionId"] and envelope["transactionId"] in transactions.split(",")
        )
    if not params.get("from_date"):
        message = "Query parameter 'from_date' must be set to a valid DateTime, or 'envelope_ids' or 'transaction_ids'"
        raise bad_parameter(f"{message} must be specified.")
    qualifier = params.get("from_to_status", "changed").lower()
    if qualifier not in MOMENTS:
        raise bad_parameter(f"Query parameter 'from_to_status' has the unknown value {qualifier}.")
    at = envelope.get(MOMENTS[qualifier])
    if at is None or moment(at, "") < moment(params["from_date"], "from_date"):
        return False
    if params.get("to_date") and moment(at, "") > moment(params["to_date"], "to_date"):
        return False
    return _has_status(envelope, params.get("status", "")) and _has_field(envelope, params.get("custom_field", ""))


def _has_status(envelope: Record, wanted: str) -> bool:
    statuses = {one.strip().lower() for one in wanted.split(",") if one.strip()}
    if not statuses:
        return True
    if "any" in statuses:  # all but drafts
        return bool(envelope["status"] != "created")
    return envelope["status"] in statuses


def _has_field(envelope: Record, wanted: str) -> bool:
    """custom_field=Name=value, with % at the ends of a part of it."""
    if not wanted:
        return True
    name, _, value = wanted.partition("=")
    kinds: dict[str, Any] = envelope["customFields"]
    held = [one.get("value", "") for fields in kinds.values() for one in fields if one.get("name") == name]
    part = value.strip("%")
    return any(part in one if "%" in value else one == value for one in held)
