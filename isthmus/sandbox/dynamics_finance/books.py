"""Writing records as the environment does: validate the fields, fill in defaults, validate the whole, write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.dynamics_finance.errors import Refusal, bad_request, conflict, exists, not_there, write_failed
from isthmus.sandbox.dynamics_finance.ledger import Ledger, etag
from isthmus.sandbox.dynamics_finance.schema import BY_SET, NAMESPACE, NO_DATE, REFERENCES, Entity
from isthmus.sandbox.dynamics_finance.values import same, taken

CENT = Decimal("0.01")
_NUMBERED = {  # collection -> (field, sequence): given by a number sequence where the caller leaves it open
    "CustomersV3": ("CustomerAccount", "CUST-"),
    "ProjectHourJournals": ("JournalBatchNumber", "PJ"),
    "CustomerPaymentJournalHeaders": ("JournalBatchNumber", "CP"),
    "LedgerJournalHeaders": ("JournalBatchNumber", "GJ"),
    "ProjectOnAccountForecasts": ("TransactionID", "OA"),
}
_HEADERS = {  # lines -> (their header's collection, our field, its field, the field that says posted)
    "ProjectHourJournalLines": ("ProjectHourJournals", "JournalId", "JournalBatchNumber", "Posted"),
    "CustomerPaymentJournalLines": (
        "CustomerPaymentJournalHeaders",
        "JournalBatchNumber",
        "JournalBatchNumber",
        "IsPosted",
    ),
    "LedgerJournalLines": ("LedgerJournalHeaders", "JournalBatchNumber", "JournalBatchNumber", "IsPosted"),
    "FreeTextInvoiceLines": ("FreeTextInvoiceHeaders", "ParentRecId", "InvoiceIdentifier", "IsPosted"),
}
_GO_WITH = {"FreeTextInvoiceHeaders": "FreeTextInvoiceLines", "LedgerJournalHeaders": "LedgerJournalLines"}
_COUNTED = ("ProjectHourJournalLines", "CustomerPaymentJournalLines", "LedgerJournalLines")


class Books:
    """The only writer of business records."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self.ledger = ledger
        self.now = now
        # Whether the sequences of these fields let the caller choose the number ("manual").
        self.manual = {"CustomerAccount": True, "InvoiceId": True}

    # -- the three writes ----------------------------------------------------------------------------------------
    def create(self, entity: Entity, body: Record, company: str) -> Record:
        """A new record; company: the caller's default one, for a body that names none."""
        draft = entity.empty() | ({} if entity.shared else {"dataAreaId": company}) | self._taken(entity, body)
        if not entity.shared:
            self._check_company(entity, draft)
        self._defaults(entity, draft, frozenset(body))
        self._check(entity, draft)
        if self.ledger.by_key(entity, draft) is not None:
            raise exists(entity, ", ".join(f"{name}: {draft[name]}" for name in entity.key if name != "dataAreaId"))
        return self.ledger.add(entity, draft)

    def update(self, entity: Entity, record: Record | None, body: Record, if_match: str) -> Record:
        """Change a record, if it is still of the version the caller has read."""
        held = self._held(entity, record, if_match)
        values = self._taken(entity, body)
        if any(not same(held[name], values.get(name, held[name])) for name in entity.key):
            raise write_failed(entity, "Error: Fields of the key cannot be changed.")
        self._check_open(entity, held)
        self._check(entity, {**held, **values}, frozenset(values))
        return self.ledger.change(entity, held, values)

    def import_journal_line(self, company: str, journal: str, number: Decimal, voucher: str, body: Record) -> Record:
        """A line of a general journal from a data package, which says its number and voucher: put in, or changed."""
        entity = BY_SET["LedgerJournalLines"]
        named = {"dataAreaId": company, "JournalBatchNumber": journal, "LineNumber": number, "Voucher": voucher}
        draft = entity.empty() | self._taken(entity, body) | named
        self._check(entity, draft)
        held = self.ledger.by_key(entity, draft)
        return self.ledger.change(entity, held, draft) if held else self.ledger.add(entity, draft)

    def remove(self, entity: Entity, record: Record | None, if_match: str) -> None:
        """Delete a record nothing depends on."""
        held = self._held(entity, record, if_match)
        self._check_open(entity, held)
        if lines := _GO_WITH.get(entity.entity_set):
            _, ours, theirs, _ = _HEADERS[lines]
            for line in self.ledger.current(lines, **{"dataAreaId": held["dataAreaId"], ours: held[theirs]}):
                self.ledger.delete(lines, str(line["_rec_id"]))
        elif any(self._refers(entity, held, reference) for reference in REFERENCES.items()):
            raise write_failed(entity, f"Error: {entity.table} cannot be deleted while dependent records exist.")
        self.ledger.delete(entity.entity_set, str(held["_rec_id"]))

    # -- fields --------------------------------------------------------------------------------------------------
    def _taken(self, entity: Entity, body: Record) -> Record:
        values: Record = {}
        for name, value in body.items():
            if "@odata" in name:
                continue
            if name not in entity.all_fields:
                text = f"The property '{name}' does not exist on type '{NAMESPACE}.{entity.name}'."
                raise bad_request(f"{text} Make sure to only use property names that are defined by the type.")
            values[name] = entity.empty()[name] if value is None else taken(entity, name, value)
        return {name: value for name, value in values.items() if name not in entity.given}

    def _held(self, entity: Entity, record: Record | None, if_match: str) -> Record:
        if entity.read_only:
            raise write_failed(entity, f"Error: {entity.table} cannot be changed through this entity.")
        if record is None:
            raise not_there()
        if if_match and if_match not in ("*", etag(record)):
            raise conflict(entity)
        return record

    def _check_company(self, entity: Entity, draft: Record) -> None:
        wanted = str(draft["dataAreaId"]).lower()
        if not self.ledger.current("Companies", DataArea=wanted):
            raise write_failed(entity, f"Error: Company {wanted} does not exist.")
        draft["dataAreaId"] = wanted

    # -- defaults ------------------------------------------------------------------------------------------------
    def _defaults(self, entity: Entity, draft: Record, sent: frozenset[str]) -> None:
        if entity.read_only:
            raise write_failed(entity, f"Error: {entity.table} cannot be changed through this entity.")
        collection, company = entity.entity_set, draft.get("dataAreaId", "")
        if collection in _NUMBERED:
            name, sequence = _NUMBERED[collection]
            if not self.manual.get(name, True) or not draft[name]:
                draft[name] = self.ledger.number(company, sequence)
        if collection == "CustomersV3":
            draft["PartyNumber"] = self.ledger.number("", "P-", 9)
        elif collection == "FreeTextInvoiceHeaders":
            self._invoice_defaults(draft)
        elif collection == "FreeTextInvoiceLines":
            self._line_defaults(entity, draft, sent)
        elif collection == "ProjectsV2" and not draft["CustomerAccountNumber"]:
            contract = self._one(
                "ProjectContractHeaders", dataAreaId=company, ProjectContractId=draft["ProjectContractId"]
            )
            draft["CustomerAccountNumber"] = (contract or {}).get("CustomerAccountNumber", "")
        elif collection in _COUNTED and not draft["LineNumber"]:
            _, ours, _, _ = _HEADERS[collection]
            lines = self.ledger.current(collection, dataAreaId=company, **{ours: draft[ours]})
            draft["LineNumber"] = max((line["LineNumber"] for line in lines), default=Decimal(0)) + 1
            if collection == "LedgerJournalLines":  # its journal name gives all lines one voucher
                draft["Voucher"] = lines[0]["Voucher"] if lines else self.ledger.number(company, "GNJL", 8)
        if collection == "CustomerPaymentJournalLines":
            draft["Company"] = draft["Company"] or company

    def _invoice_defaults(self, draft: Record) -> None:
        company = draft["dataAreaId"]
        draft["InvoiceIdentifier"] = int(self.ledger.new_rec_id())
        draft["FreeTextNumber"] = draft["FreeTextNumber"] or self.ledger.number(company, "FTI-", 8)
        if not self.manual["InvoiceId"]:
            draft["InvoiceId"] = ""
        customer = self._one("CustomersV3", dataAreaId=company, CustomerAccount=draft["CustomerAccount"]) or {}
        draft["CurrencyCode"] = draft["CurrencyCode"] or customer.get("SalesCurrencyCode", "")
        draft["TermsOfPayment"] = draft["TermsOfPayment"] or customer.get("PaymentTerms", "")
        draft["InvoiceAccount"] = draft["InvoiceAccount"] or draft["CustomerAccount"]
        draft["InvoiceName"] = draft["InvoiceName"] or customer.get("OrganizationName", "")
        if draft["InvoiceDate"] == NO_DATE:
            draft["InvoiceDate"] = self.now().strftime("%Y-%m-%dT12:00:00Z")

    def _line_defaults(self, entity: Entity, draft: Record, sent: frozenset[str]) -> None:
        """The header by its record id or by its external number; amounts where the caller gives none."""
        if not draft["ParentRecId"]:
            named = {
                "dataAreaId": draft["dataAreaId"],
                "ExternalInvoiceId": draft["ExternalInvoiceId"],
                "IsPosted": "No",
            }
            found = self.ledger.current("FreeTextInvoiceHeaders", **named) if draft["ExternalInvoiceId"] else []
            if not found:
                raise write_failed(entity, "Error: The free text invoice header does not exist.")
            draft["ParentRecId"] = found[-1]["InvoiceIdentifier"]
        lines = self.ledger.current("FreeTextInvoiceLines", ParentRecId=draft["ParentRecId"])
        draft["LineNumber"] = draft["LineNumber"] or max((row["LineNumber"] for row in lines), default=Decimal(0)) + 1
        if "TransactionCurrencyAmount" not in sent:
            amount = Decimal(draft["Quantity"]) * Decimal(draft["UnitPrice"])
            draft["TransactionCurrencyAmount"] = amount.quantize(CENT, ROUND_HALF_UP)
        if draft["OverrideSalesTax"] == "No":
            draft["SalesTaxAmount"] = Decimal(0)  # no tax code of this environment has a rate of its own

    # -- the whole record ----------------------------------------------------------------------------------------
    def _check(self, entity: Entity, draft: Record, changed: frozenset[str] | None = None) -> None:
        for name in entity.required:
            if draft[name] in ("", 0):
                text = f"Field '{_label(entity, name)}' must be filled in."
                raise write_failed(
                    entity, f"Warning: {text}; Warning: validateWrite failed on data source '{entity.table}'"
                )
        for (collection, name), target in REFERENCES.items():
            if collection == entity.entity_set and (changed is None or name in changed) and draft[name]:
                self._check_reference(entity, draft, name, target)
        if entity.entity_set in _HEADERS:
            self._check_header(entity, draft)
        if entity.entity_set == "LedgerJournalLines":
            self._check_account(entity, draft)
        if entity.entity_set == "ProjectHourJournalLines" and draft["ActivityNumber"]:
            keys = {
                "dataAreaId": draft["dataAreaId"],
                "ProjectId": draft["ProjectID"],
                "TaskId": draft["ActivityNumber"],
            }
            if self._one("ProjectTasks", **keys) is None:
                raise _not_found(entity, "ActivityNumber", draft["ActivityNumber"], "Activity number", "Activities")

    def _check_account(self, entity: Entity, draft: Record) -> None:
        """The account of a journal's line is one of its type: a main account, or a customer."""
        name, kind = "AccountDisplayValue", draft["AccountType"]
        if kind == "Cust":
            self._check_reference(entity, draft, name, ("CustomersV3", "CustomerAccount", "Account", "Customers"))
        elif kind == "Ledger":
            main = {**draft, name: draft[name].split("-")[0]}
            self._check_reference(entity, main, name, ("MainAccounts", "MainAccountId", "Account", "Main accounts"))
        else:
            raise write_failed(entity, f"Error: Account type {kind} is not used in this environment.")

    def _check_reference(self, entity: Entity, draft: Record, name: str, target: tuple[str, str, str, str]) -> None:
        collection, field, label, table = target
        wanted = {} if BY_SET[collection].shared else {"dataAreaId": draft["dataAreaId"]}
        value = draft[name].split("-")[0] if name == "MainAccountDisplayValue" else draft[name]
        rows = self.ledger.current(collection, **wanted)
        if not any(same(row[field], value) for row in rows):
            raise _not_found(entity, name, draft[name], label, table)

    def _check_header(self, entity: Entity, draft: Record) -> None:
        collection, ours, theirs, posted = _HEADERS[entity.entity_set]
        header = self._one(collection, **{"dataAreaId": draft["dataAreaId"], theirs: draft[ours]})
        if header is None:
            raise write_failed(entity, f"Error: {BY_SET[collection].table} {draft[ours]} does not exist.")
        if header[posted] == "Yes":
            raise write_failed(entity, f"Error: Journal {draft[ours]} has already been posted.")

    def _check_open(self, entity: Entity, held: Record) -> None:
        """What is posted stays as it is."""
        if held.get("IsPosted", held.get("Posted")) == "Yes":
            raise write_failed(entity, f"Error: Journal {held['_rec_id']} has already been posted.")
        if entity.entity_set in _HEADERS:
            self._check_header(entity, held)

    def _refers(
        self, entity: Entity, held: Record, reference: tuple[tuple[str, str], tuple[str, str, str, str]]
    ) -> bool:
        (collection, name), (target, field, _, _) = reference
        if target != entity.entity_set:
            return False
        rows = self.ledger.current(collection)
        return any(row.get("dataAreaId") == held.get("dataAreaId") and same(row[name], held[field]) for row in rows)

    def _one(self, collection: str, **equals: Any) -> Record | None:
        rows = self.ledger.current(collection)
        return next((row for row in rows if all(same(row[name], value) for name, value in equals.items())), None)


def _label(entity: Entity, name: str) -> str:
    named = REFERENCES.get((entity.entity_set, name))
    return named[2] if named else name


def _not_found(entity: Entity, name: str, value: Any, label: str, table: str) -> Refusal:
    text = f"Warning: The value '{value}' in field '{label}' is not found in the related table '{table}'."
    return write_failed(entity, f"{text}; Warning: validateField failed on field '{entity.xpp}.{name}'")
