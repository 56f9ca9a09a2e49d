"""Recorded transactions: one current document per company, type and code, its status, and its earlier revisions.

Statuses: Saved, Posted (verified), Committed, Cancelled; Temporary for estimates, which are never recorded; Adjusted
for the revision an adjustment replaced, kept in the collection ``transaction_history``.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from isthmus.sandbox.avalara import models, request, tax
from isthmus.sandbox.avalara.auth import USER_ID
from isthmus.sandbox.avalara.errors import Refusal, doc_status, invalid, not_found, required
from isthmus.sandbox.avalara.money import decimal
from isthmus.sandbox.base import Record, Records

ADJUSTMENT_REASONS: tuple[str, ...] = (
    "NotAdjusted",
    "SourcingIssue",
    "ReconciledWithGeneralLedger",
    "ExemptCertApplied",
)
ADJUSTMENT_REASONS += ("PriceAdjusted", "ProductReturned", "ProductExchanged", "BadDebt", "Other", "Offline", "Offset")
VOID_REASONS = ("Unspecified", "PostFailed", "DocDeleted", "DocVoided", "AdjustmentCancelled")
OPEN = ("Saved", "Posted")
_FIRST_ID = 85_015_875_000_000
_ID_STEP = 100_000  # room for the ids of a document's lines, details and addresses


class Host(Protocol):
    """What the document store needs of the sandbox."""

    records: Records
    honours_nexus: bool

    def now(self) -> datetime:
        """The sandbox's clock."""


class Documents:
    """The vendor's transaction store. Every method answers the whole TransactionModel or raises a Refusal."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.last = 0

    # -- finding ------------------------------------------------------------------------------------------------
    def company(self, code: str | None) -> Record:
        """The company of a code; the default one when the request names none."""
        wanted = {"companyCode": code} if code else {"isDefault": True}
        found = self.host.records.find("companies", **wanted)
        if not found:
            raise not_found("Company", str(code))
        return found[0][1]

    def get(self, company: Record, code: str, document_type: str | None) -> Record:
        """The current document; without a type the only one of that code, else the sales invoice."""
        if document_type and document_type not in (*request.INVOICE_TYPES, *request.ORDER_TYPES, "Any"):
            raise invalid("documentType", f"{document_type!r} is not a DocumentType")
        types = (document_type,) if document_type and document_type != "Any" else request.INVOICE_TYPES
        found = [d for t in types if (d := self._current(company, t, code))]
        if not found:
            raise not_found("Transaction", f"{company['companyCode']} - {code}")
        if len(found) > 1 and found[0]["type"] != "SalesInvoice":
            raise Refusal("DocumentCodeConflict", "Please specify DocumentType parameter.", refers_to="documentType")
        return found[0]

    def by_id(self, document_id: int) -> Record:
        """The current document with this id."""
        found = self.host.records.find("transactions", id=document_id)
        if not found:
            raise not_found("Transaction", str(document_id))
        return found[0][1]

    def _current(self, company: Record, document_type: str, code: str) -> Record | None:
        return self.host.records.get("transactions", _key(int(company["id"]), document_type, code))

    # -- creating -----------------------------------------------------------------------------------------------
    def create(self, model: Any) -> Record:
        """CreateTransaction: records an invoice, replaces an open one, refuses a committed or cancelled one."""
        asked = request.read(model)
        company = self._company_of(model)
        old = self._current(company, asked.type, str(model.get("code") or "")) if asked.recorded else None
        if old:
            _unlocked(old)
            if old["status"] not in OPEN:
                raise doc_status("Saved|Posted")
        return self._record(asked, company, old["id"] if old else None, {})

    def create_or_adjust(self, body: Any) -> tuple[Record, bool]:
        """CreateOrAdjustTransaction; (document, whether it is new)."""
        model = _object(body).get("createTransactionModel")
        if not model:
            raise required("createTransactionModel")
        asked = request.read(model)
        company = self._company_of(model)
        old = self._current(company, asked.type, str(model.get("code") or "")) if asked.recorded else None
        if old and old["status"] == "Committed":
            return self._replace(old, asked, company, body, default_reason="Other"), False
        return self.create(model), old is None

    def adjust(self, company: Record, old: Record, body: Any) -> Record:
        """AdjustTransaction: a committed document becomes Adjusted, its successor carries the next version."""
        body = _object(body)
        if not body.get("adjustmentReason"):
            raise required("adjustmentReason")
        if not body.get("newTransaction"):
            raise required("newTransaction")
        if body["adjustmentReason"] == "Other" and not body.get("adjustmentDescription"):
            raise required("adjustmentDescription")
        _unlocked(old)
        if old["status"] != "Committed":
            raise doc_status("Committed")
        asked = request.read({**body["newTransaction"], "code": old["code"], "type": old["type"]})
        return self._replace(old, asked, company, body, default_reason="Other")

    def _replace(
        self, old: Record, asked: request.DocumentRequest, company: Record, body: Record, default_reason: str
    ) -> Record:
        _unlocked(old)
        reason = str(body.get("adjustmentReason") or default_reason)
        if reason not in ADJUSTMENT_REASONS:
            raise invalid("adjustmentReason", f"{reason!r} is not an AdjustmentReason")
        changes = {
            "version": old["version"] + 1,
            "adjustmentReason": reason,
            "adjustmentDescription": str(body.get("adjustmentDescription") or ""),
        }
        successor = self._record(asked, company, None, changes)
        self.host.records.put("transaction_history", str(old["id"]), {**old, "status": "Adjusted"})
        return successor

    def _company_of(self, model: Record) -> Record:
        try:
            return self.company(model.get("companyCode"))
        except Refusal:
            raise Refusal("GetTaxError", "Company not found.", "Verify the CompanyCode.", "CompanyCode") from None

    def _record(self, asked: request.DocumentRequest, company: Record, keep_id: int | None, changes: Record) -> Record:
        """Calculates a document and, unless it is an estimate, stores it as the current one of its code."""
        results = tax.calculate(asked, self.host.records, self._nexus(company))
        if asked.recorded and keep_id is None:
            self.last += 1
        document_id = 0 if not asked.recorded else keep_id or _FIRST_ID + self.last * _ID_STEP
        committed = bool(asked.raw.get("commit"))
        header: Record = {
            "code": str(asked.raw.get("code") or self._assigned_code()),
            "companyId": company["id"],
            "status": ("Committed" if committed else "Saved") if asked.recorded else "Temporary",
            "modifiedDate": self._stamp(),
            "modifiedUserId": USER_ID,
        }
        model = models.transaction(asked, results, models.Ids(document_id), header | changes)
        return self._store(model) if asked.recorded else model

    def _assigned_code(self) -> str:
        # The vendor assigns a GUID; this one counts, so that two equal runs end in equal states.
        return f"00000000-0000-4000-8000-{self.last:012d}"

    def _nexus(self, company: Record) -> set[tuple[str, str]] | None:
        if not self.host.honours_nexus:
            return None
        rows = (n for _, n in self.host.records.find("nexus", companyId=company["id"]))
        return {(n["country"], "" if n["region"] == n["country"] else n["region"]) for n in rows}

    # -- the status machine -------------------------------------------------------------------------------------
    def commit(self, document: Record, body: Any) -> Record:
        """CommitTransaction: Saved or Posted becomes Committed."""
        if _object(body).get("commit") is not True:
            raise invalid("commit", "must be true")
        if document["status"] not in OPEN:
            raise doc_status("Saved|Posted")
        return self._change(document, status="Committed")

    def uncommit(self, document: Record) -> Record:
        """UncommitTransaction: Committed becomes Saved, unless it was reported."""
        _unlocked(document)
        if document["status"] != "Committed":
            raise Refusal("DocumentNotCommitted", "The document is not committed.", refers_to="DocStatus")
        return self._change(document, status="Saved")

    def void(self, document: Record, body: Any) -> Record:
        """VoidTransaction: any recorded document becomes Cancelled, unless it is already or was reported."""
        reason = _object(body).get("code")
        if not reason:
            raise required("code")
        if reason not in VOID_REASONS:
            raise invalid("code", f"{reason!r} is not a VoidReasonCode")
        if reason != "DocVoided":
            raise invalid("code", "only DocVoided voids a transaction")
        _unlocked(document)
        if document["status"] == "Cancelled":
            raise Refusal(
                "TransactionAlreadyCancelled",
                "The transaction has already been cancelled.",
                f"'{document['code']}' is in status Cancelled.",
            )
        return self._change(document, status="Cancelled")

    def unvoid(self, document: Record) -> Record:
        """UnvoidTransaction: Cancelled becomes Saved."""
        if document["status"] != "Cancelled":
            raise Refusal("TransactionNotCancelled", "The transaction is not cancelled.", refers_to="DocStatus")
        return self._change(document, status="Saved")

    def verify(self, document: Record, body: Any) -> Record:
        """VerifyTransaction: expected date, amount and tax; an open document that matches becomes Posted."""
        body = _object(body)
        if document["status"] not in OPEN:
            raise Refusal(
                "InvalidDocumentStatusForVerify", f"Documents cannot be verified in status '{document['status']}'."
            )
        day = body.get("verifyTransactionDate")
        if day and request.day_of(day, "verifyTransactionDate") != document["date"]:
            raise Refusal("DateMismatch", "The date does not match.", f"It is {document['date']}.")
        amount = ("verifyTotalAmount", "totalAmount", "TotalAmountMismatch")
        checks = (amount, ("verifyTotalTax", "totalTax", "TotalTaxMismatch"))
        for asked, own, code in checks:
            if body.get(asked) is not None and decimal(body[asked], asked) != Decimal(str(document[own])):
                raise Refusal(code, f"{own} does not match.", f"It is {document[own]}.", own)
        return self._change(document, status="Posted")

    def change_code(self, document: Record, body: Any) -> Record:
        """ChangeTransactionCode: renames an open document."""
        new = _object(body).get("newCode")
        if not new:
            raise required("newCode")
        _unlocked(document)
        if document["status"] not in OPEN:
            raise Refusal("TransactionIsCommitted", "Only saved or posted transactions can be renamed.")
        if len(str(new)) > 50:
            raise Refusal("StringLengthError", "Field newCode is too long.", "At most 50 characters.", "newCode")
        records = self.host.records
        if records.get("transactions", _key(document["companyId"], document["type"], str(new))):
            raise Refusal("TransactionAlreadyExists", "A transaction with that code exists.", refers_to="newCode")
        records.delete("transactions", _key(document["companyId"], document["type"], document["code"]))
        return self._change(document, code=str(new))

    def settle(self, document: Record, body: Any) -> Record:
        """SettleTransaction: rename, verify and commit, each when asked for. All or nothing."""
        body = _object(body)
        before = dict(document)
        try:
            if body.get("verify"):
                document = self.verify(document, body["verify"])
            if body.get("changeCode"):
                document = self.change_code(document, body["changeCode"])
            if body.get("commit"):
                document = self.commit(document, body["commit"])
        except Refusal:
            key = _key(document["companyId"], document["type"], document["code"])
            self.host.records.delete("transactions", key)
            self._store(before)
            raise
        return document

    def lock(self, document: Record, body: Any) -> Record:
        """LockTransaction: as if the document had been reported to a tax authority."""
        locked = _object(body).get("isLocked")
        if not isinstance(locked, bool):
            raise required("isLocked")
        if document["status"] != "Committed":
            raise Refusal("DocumentNotCommitted", "Only committed documents are reported.", refers_to="DocStatus")
        return self._change(document, locked=locked)

    def import_seeded(self, record: Record) -> Record:
        """A transaction put in as the vendor's own user would; given id, status, lock and stamp are kept."""
        document = self.create(record)
        kept = ("id", "status", "locked", "modifiedDate", "version")
        given: Record = {name: record[name] for name in kept if name in record}
        return self._store({**document, **given}) if given and document["id"] else document

    def _change(self, document: Record, **changes: Any) -> Record:
        return self._store({**document, **changes, "modifiedDate": self._stamp(), "modifiedUserId": USER_ID})

    def _store(self, document: Record) -> Record:
        key = _key(document["companyId"], document["type"], document["code"])
        return self.host.records.put("transactions", key, document)

    def _stamp(self) -> str:
        return self.host.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _key(company_id: int, document_type: str, code: str) -> str:
    return f"{company_id}|{document_type}|{code}"


def _object(body: Any) -> Record:
    if not isinstance(body, dict):
        raise invalid("model", "not an object")
    return body


def _unlocked(document: Record) -> None:
    if document["locked"]:
        raise Refusal(
            "CannotModifyLockedTransaction",
            "Modifying a locked document is not allowed.",
            f"Document {document['code']} is locked.",
        )
