"""Writing records as the vendor does: merge, defaults, mandatory fields, uniqueness, totals, then one commit."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite import purchases, sales, settlement
from isthmus.sandbox.netsuite.intake import display_name
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.schema import ENUMS, RecordType
from isthmus.sandbox.netsuite.shapes import Refusal, user_error

_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LINE_KEYS = {
    "item": "line",
    "line": "line",
    "expense": "line",
    "apply": "doc",
    "time": "doc",
    "addressBook": "id",
    "bBudget": "id",
}
_NUMBER_SERIES = {"invoice": "INV", "creditMemo": "CM", "customerPayment": "PMT", "journalEntry": "JE"}
_NAME_SERIES = {"customer": "CUST", "job": "PRJ", "employee": "EMP", "vendor": "VEND"}


def check_external_id(external_id: str) -> str:
    """Letters, digits, underscore and hyphen only."""
    if not _EXTERNAL_ID.fullmatch(external_id):
        text = f"Invalid external id {external_id!r}. Use letters, digits, underscores and hyphens only."
        raise Refusal(400, "INVALID_ID", text, url=f"eid:{external_id}")
    return external_id


class Books:
    """The only writer of business records."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self.ledger = ledger
        self.now = now
        self.mandatory: dict[str, tuple[str, ...]] = {}  # fields an administrator has made mandatory, by record type

    def stamp(self) -> str:
        """The time of a write; the vendor keeps whole seconds."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def create(
        self, record_type: RecordType, values: Record, start: Record | None = None, record_id: str | None = None
    ) -> Record:
        """A new record; start holds what a transform copied, record_id is given only when records are put in."""
        draft = copy.deepcopy(start) if start else {}
        return self._save(record_type, draft, values, None, frozenset(), record_id)

    def update(
        self, record_type: RecordType, record: Record, values: Record, replace: frozenset[str] = frozenset()
    ) -> Record:
        """Change a record. Lines are added to a sublist unless its name is in replace, as the vendor does."""
        return self._save(record_type, copy.deepcopy(record), values, record, replace, None)

    def remove(self, record_type: RecordType, record: Record) -> None:
        """Delete a record that nothing depends on."""
        name, record_id = record_type.name, record["id"]
        if record_type.is_transaction:
            sales.post_to_period(self.ledger, dict(record))
        if record.get("amountPaid") and name == "invoice":
            raise user_error("This transaction cannot be deleted because payments or credits are applied to it.")
        if record_type.space == "entity" and self._depends_on(record_id):
            raise user_error("This record cannot be deleted because it has dependent records.")
        settlement.settle(self.ledger, settlement.applied(record), {}, self.stamp())
        if name == "invoice":
            self._release_time(record_id)
        self.ledger.delete(name, record_id)
        gone = {"recordid": record_id, "type": name, "name": display_name(record), "deleteddate": self.stamp()}
        self.ledger.deletions.append(gone)

    def _save(
        self,
        record_type: RecordType,
        draft: Record,
        values: Record,
        before: Record | None,
        replace: frozenset[str],
        record_id: str | None,
    ) -> Record:
        _merge(record_type, draft, values, replace)
        self._defaults(record_type, draft)
        self._check_mandatory(record_type, draft)
        self._check_unique(record_type, draft, before["id"] if before else None)
        self._finish(record_type, draft, before)
        draft["id"] = before["id"] if before else record_id or self.ledger.new_id(record_type.name)
        self._number(record_type, draft)
        draft["lastModifiedDate"] = self.stamp()
        self.ledger.put(record_type.name, draft["id"], draft)
        after, earlier = settlement.applied(draft), settlement.applied(before)
        settlement.settle(self.ledger, earlier, after, draft["lastModifiedDate"])
        if record_type.name == "invoice":
            self._bill_time(draft)
        return draft

    def _defaults(self, record_type: RecordType, draft: Record) -> None:
        """What the vendor fills in when the client is silent."""
        name = record_type.name
        if "isInactive" in record_type.fields:
            draft.setdefault("isInactive", False)
        for stamp in ("createdDate", "dateCreated"):
            if stamp in record_type.fields:
                draft.setdefault(stamp, self.stamp())
        if name == "customer":
            draft.setdefault("isPerson", False)
            self._own_currency(draft)
        elif name == "job":
            draft.setdefault("entityStatus", {"id": "2", "refName": ENUMS["jobStatus"]["2"]})
            self._own_currency(draft)
        elif name == "timeBill":
            self._time_defaults(draft)
        elif name == "customerPayment":
            sales.default_header(self.ledger, draft, self.now().date(), "customer")
        elif record_type.is_transaction:
            if name in purchases.PURCHASES:
                purchases.default_header(self.ledger, draft)
            sales.default_header(self.ledger, draft, self.now().date(), "entity")
            if name == "journalEntry":
                self._own_currency(draft)

    def _own_currency(self, draft: Record) -> None:
        subsidiary = self.ledger.get("subsidiary", (draft.get("subsidiary") or {}).get("id", ""))
        if not draft.get("currency") and subsidiary:
            draft["currency"] = dict(subsidiary["currency"])

    def _time_defaults(self, draft: Record) -> None:
        draft.setdefault("tranDate", self.now().date().isoformat())
        draft.setdefault("approvalStatus", {"id": "1", "refName": ENUMS["timeApproval"]["1"]})
        draft.setdefault("isBillable", False)
        draft.setdefault("posted", False)
        employee = self.ledger.get("employee", (draft.get("employee") or {}).get("id", ""))
        if employee and employee.get("subsidiary"):
            draft.setdefault("subsidiary", dict(employee["subsidiary"]))

    def _check_mandatory(self, record_type: RecordType, draft: Record) -> None:
        required = list(record_type.required)
        required += [name for name in self.mandatory.get(record_type.name, ()) if name not in required]
        if record_type.name == "customer":
            required += ["firstName", "lastName"] if draft.get("isPerson") else ["companyName"]
        missing = [name for name in required if draft.get(name) in (None, "")]
        if missing:
            labels = ", ".join(_label(name) for name in missing)
            raise user_error(f"Please enter value(s) for: {labels}.", path=missing[0])

    def _check_unique(self, record_type: RecordType, draft: Record, own_id: str | None) -> None:
        external_id, entity_id = draft.get("externalId"), draft.get("entityId")
        if external_id:
            check_external_id(external_id)
            if self.ledger.by_external(record_type.name, external_id) not in (None, own_id):
                raise user_error("This record already exists.", path="externalId")
        if entity_id and self.ledger.by_entity_name(entity_id) not in (None, own_id):
            raise user_error("This entity already exists.", path="entityId")

    def _finish(self, record_type: RecordType, draft: Record, before: Record | None) -> None:
        """Periods, totals and applications of transactions."""
        if not record_type.is_transaction:
            return
        name = record_type.name
        sales.post_to_period(self.ledger, draft)
        if before is not None and before["postingPeriod"] != draft["postingPeriod"]:
            sales.post_to_period(self.ledger, dict(before))
        if name == "journalEntry":
            sales.balance_journal(self.ledger, draft)
            status = "B" if draft.setdefault("approved", True) else "A"
            draft["status"] = {"id": status, "refName": ENUMS["journalStatus"][status]}
        elif name == "customerPayment":
            self._finish_payment(draft, before)
        elif name in purchases.PURCHASES:
            purchases.finish(self.ledger, draft, name)
        else:
            sales.check_project(self.ledger, draft)
            if name == "invoice":
                self._finish_time(draft)
                sales.default_terms(self.ledger, draft)
            sales.total_up(self.ledger, draft)
            self._finish_sale(name, draft, before)

    def _finish_sale(self, name: str, draft: Record, before: Record | None) -> None:
        if name == "invoice":
            draft.setdefault("amountPaid", sales.ZERO)
            settlement.balance_invoice(draft)
            return
        if (source := draft.pop("_apply_to", None)) and not draft.get("apply"):
            draft["apply"] = [{"doc": source, "apply": True}]
        settlement.check_applications(self.ledger, draft, before, "entity", draft["total"])
        draft |= {"amountPaid": draft["applied"], "amountRemaining": draft["unapplied"]}
        status = "A" if draft["unapplied"] > 0 else "B"
        draft["status"] = {"id": status, "refName": ENUMS["creditStatus"][status]}

    def _finish_payment(self, draft: Record, before: Record | None) -> None:
        draft["payment"] = sales.money(self.ledger, draft, draft["payment"])
        if draft["payment"] <= 0:
            raise user_error("The payment amount must be greater than zero.", path="payment")
        settlement.check_applications(self.ledger, draft, before, "customer", draft["payment"])
        draft["total"] = draft["payment"]
        draft.setdefault("undepFunds", "account" not in draft)
        status = "B" if draft["undepFunds"] else "C"
        draft["status"] = {"id": status, "refName": ENUMS["paymentStatus"][status]}

    def _finish_time(self, draft: Record) -> None:
        """Lines of the time sublist take hours and rate from the time record they bill."""
        draft["time"] = [line for line in draft.get("time") or [] if line.get("apply", True)]
        for number, line in enumerate(draft["time"]):
            time = self.ledger.get("timeBill", line.get("doc", {}).get("id", ""))
            if time is None or time.get("_billed", draft.get("id")) != draft.get("id"):
                raise user_error("The time is already billed.", path=f"time.items[{number}].doc")
            item = self.ledger.get("serviceSaleItem", (time.get("item") or {}).get("id", "")) or {}
            rates = (line.get("rate"), time.get("rate"), item.get("rate"), sales.ZERO)
            rate = next(r for r in rates if r is not None)
            line |= {"apply": True, "rate": rate, "quantity": time["hours"]}
            if time.get("item"):
                line["item"] = dict(time["item"])
            line.setdefault("taxDetailsReference", f"time_{time['id']}")
            line["amount"] = sales.money(self.ledger, draft, rate * hours(time["hours"]))

    def _bill_time(self, invoice: Record) -> None:
        self._release_time(invoice["id"], keep={line["doc"]["id"] for line in invoice["time"]})
        for line in invoice["time"]:
            time = self.ledger.get("timeBill", line["doc"]["id"])
            if time is not None and time.get("_billed") != invoice["id"]:
                self.ledger.put("timeBill", time["id"], {**time, "_billed": invoice["id"]})

    def _release_time(self, invoice_id: str, keep: set[str] | None = None) -> None:
        before = (self.ledger.get("invoice", invoice_id) or {}).get("_timed", [])
        for time_id in [i for i in before if i not in (keep or set())]:
            time = self.ledger.get("timeBill", time_id)
            if time is not None:
                freed = {k: v for k, v in time.items() if k != "_billed"}
                self.ledger.put("timeBill", time_id, freed)
        invoice = self.ledger.get("invoice", invoice_id)
        if invoice is not None and (keep or before):
            invoice["_timed"] = sorted(keep or ())

    def _number(self, record_type: RecordType, draft: Record) -> None:
        """Document numbers and entity names come last, so that a refused write uses none up."""
        name = record_type.name
        if name in _NUMBER_SERIES and not draft.get("tranId"):
            draft["tranId"] = self.ledger.new_number(_NUMBER_SERIES[name])
        if name in _NAME_SERIES and not draft.get("entityId"):
            draft["entityId"] = f"{_NAME_SERIES[name]}{draft['id']}"

    def _depends_on(self, record_id: str) -> bool:
        for name in ("job", "projectTask", "timeBill", "invoice", "creditMemo", "customerPayment", "vendorBill"):
            links = ("parent", "entity", "job", "customer", "project", "employee")
            for record in self.ledger.current(name):
                if any((record.get(link) or {}).get("id") == record_id for link in links):
                    return True
        return False


def hours(duration: str) -> Decimal:
    """Hours of a duration such as 7:30."""
    whole, minutes = duration.split(":")
    return Decimal(whole) + Decimal(minutes) / 60


def _label(name: str) -> str:
    bare = re.sub(r"^cust[a-z]+_", "", name).replace("_", " ")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", bare).title()


def _merge(record_type: RecordType, draft: Record, values: Record, replace: frozenset[str]) -> None:
    """Lay values over a record; null empties a field, lines go by their key."""
    for name in replace:
        if name in values:
            draft.pop(name, None)
    for name, value in values.items():
        made = record_type.fields.get(name)
        if value is None:
            draft.pop(name, None)
        elif made is not None and made.kind == "lines":
            draft[name] = _merge_lines(_LINE_KEYS.get(name), draft.get(name) or [], value)
        else:
            draft[name] = copy.deepcopy(value)


def _merge_lines(key: str | None, lines: list[Record], added: list[Record]) -> list[Record]:
    merged = [dict(line) for line in lines]
    for line in copy.deepcopy(added):
        at = None
        if key and line.get(key) is not None:
            at = next((n for n, old in enumerate(merged) if _key(old, key) == _key(line, key)), None)
        if at is None:
            merged.append(line)
        else:
            if "amount" in line:
                merged[at].pop("_computed", None)
            elif "rate" in line or "quantity" in line:
                merged[at]["_computed"] = True
            merged[at] |= line
    if key == "line":
        _number_lines(merged)
    return merged


def _key(line: Record, key: str) -> object:
    value = line.get(key)
    return value.get("id") if isinstance(value, dict) else value


def _number_lines(lines: list[Record]) -> None:
    last = max((line["line"] for line in lines if line.get("line")), default=0)
    for line in lines:
        if not line.get("line"):
            last += 1
            line["line"] = last
