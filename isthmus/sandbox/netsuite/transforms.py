"""One record becomes another: project to invoice, invoice to credit memo or payment."""

from __future__ import annotations

import copy

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.sales import payer
from isthmus.sandbox.netsuite.schema import TRANSFORMS, RecordType
from isthmus.sandbox.netsuite.shapes import Refusal, user_error

_COPIED = ("entity", "job", "subsidiary", "currency", "exchangeRate", "item", "taxDetails", "taxDetailsOverride")


def starting_point(ledger: Ledger, source: RecordType, record: Record, target: RecordType) -> Record:
    """What the new record holds before the client's own values are laid over it."""
    if (source.name, target.name) not in TRANSFORMS:
        text = f"Record {source.name} cannot be transformed to {target.name}."
        raise Refusal(400, "INVALID_REQUEST", text, url=f"!transform/{target.name}")
    if target.name == "invoice":
        return _invoice(ledger, record)
    if record["amountRemaining"] <= 0:
        raise user_error(f"Invoice {record['tranId']} has no open amount.")
    reference = {"id": record["id"], "refName": record["tranId"]}
    if target.name == "customerPayment":
        customer = ledger.get("customer", payer(ledger, record["entity"]["id"])) or {}
        return {
            "customer": {"id": customer["id"], "refName": customer["entityId"]},
            "currency": dict(record["currency"]),
            "subsidiary": dict(record["subsidiary"]),
            "payment": record["amountRemaining"],
            "apply": [{"doc": reference, "apply": True}],
        }
    copied = {name: copy.deepcopy(record[name]) for name in _COPIED if record.get(name) is not None}
    copied["item"] = [*copied.get("item", []), *_time_as_lines(record)]
    # Applied only when its total is known: the credit goes as far as it and the invoice allow.
    return {**copied, "createdFrom": reference, "_apply_to": reference}


def _time_as_lines(invoice: Record) -> list[Record]:
    """Billed time as item lines: a credit memo has no time of its own."""
    last = max((line["line"] for line in invoice.get("item") or []), default=0)
    return [
        {
            "line": last + number,
            "item": dict(line["item"]),
            "amount": line["amount"],
            "taxDetailsReference": line["taxDetailsReference"],
        }
        for number, line in enumerate(invoice.get("time") or [], start=1)
        if line.get("item")
    ]


def _invoice(ledger: Ledger, job: Record) -> Record:
    """Customer and project of the invoice, and the project's approved time that is not billed yet."""
    customer = ledger.get("customer", payer(ledger, job["id"]))
    if customer is None:
        raise user_error("The project has no customer.", path="parent")
    times = [
        {"doc": {"id": time["id"], "refName": time["id"]}, "apply": True}
        for time in ledger.current("timeBill")
        if (time.get("customer") or {}).get("id") == job["id"]
        and time["approvalStatus"]["id"] == "3"
        and time.get("isBillable")
        and "_billed" not in time
    ]
    return {
        "entity": {"id": customer["id"], "refName": customer["entityId"]},
        "job": {"id": job["id"], "refName": job["entityId"]},
        "subsidiary": dict(job["subsidiary"]),
        "currency": dict(job["currency"]),
        "time": times,
    }
