"""Avalara AvaTax fills TaxEngine: a document per invoice, kept uncommitted until the invoice is issued."""

from __future__ import annotations

from collections.abc import Generator
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from isthmus.connectors.avalara import mapping as m
from isthmus.domain.errors import BadInput, NotFound, OutcomeUnknown, SameKeyOtherContent, Unreachable
from isthmus.domain.objects import TaxAnswer
from isthmus.kit.connector import Connector
from isthmus.kit.mapping import at_minor_unit
from isthmus.kit.wire import Answer, Request, Verb, record_of
from isthmus.ports.messages import Registrations, TaxDocument, TaxLineIn

Record = dict[str, Any]
_CLIENT = {"X-Avalara-Client": "isthmus; 0.1; REST; v2; hub"}
_PAGES_MAX = 1000
_WHOLE = {"$include": "Details"}  # lines and their rates; some calls answer neither unless asked


class Avalara(Connector):
    """AvaTax REST v2. settings: companies (entity to company code), tax_codes (our tax code to theirs)."""

    settings_known = frozenset({"companies", "tax_codes"})

    # -- TaxEngine -----------------------------------------------------------------------------------------------
    def registrations(self, entity: str) -> Verb[Registrations]:
        """Regions whose nexus is in force on the vendor's own day. NotFound when the company is not there."""
        wanted = f"companyCode eq {m.in_filter(self._company(entity))}"
        answer = yield Request("GET", "api/v2/companies", query={"$filter": wanted}, headers=_CLIENT)
        if not answer.body["value"]:
            raise NotFound(f"avalara has no company {self._company(entity)}: see the setting companies for {entity}")
        path, rows = f"api/v2/companies/{answer.body['value'][0]['id']}/nexus", list[Record]()
        for _ in range(_PAGES_MAX):
            query = {"$top": self.manifest.page_size, "$skip": len(rows), "$orderBy": "id"}
            answer = yield Request("GET", path, query=query, headers=_CLIENT)
            if not answer.body["value"]:
                break
            rows += answer.body["value"]
        else:
            raise Unreachable(f"avalara: the nexus of {entity} does not end after {_PAGES_MAX} pages")
        today = parsedate_to_datetime(answer.headers["Date"]).date().isoformat()
        return Registrations(entity=entity, regions=tuple(sorted({m.region(r) for r in rows if m.in_force(r, today)})))

    def calculate(self, document: TaxDocument) -> Verb[TaxAnswer]:
        """Create the uncommitted document, or replace the uncommitted one of the same code."""
        body = {
            **m.DOCUMENT.out(document),
            "type": m.DOCUMENT_TYPES[document.kind],
            **m.at_original_rate(document),
            "companyCode": self._company(document.entity),
            "commit": False,
            "addresses": {"shipFrom": m.ADDRESS.out(document.ship_from), "shipTo": m.ADDRESS.out(document.ship_to)},
            "lines": [self._line(document, line) for line in document.lines],
        }
        answer = yield Request("POST", "api/v2/transactions/create", query=_WHOLE, json=body, headers=_CLIENT)
        return self._done(document, answer, "calculated")

    def find_document(self, document: TaxDocument) -> Verb[TaxAnswer | None]:
        """The answer for this code. None when it is void, or open with other lines: creating replaces that one."""
        body = yield from self._current(document)
        status = m.STATUS.read(body["status"]) if body else "cancelled"
        if status == "cancelled" or (status == "calculated" and not _same_lines(body, document)):
            return None
        return self._ours(document, body)

    def commit(self, document: TaxDocument) -> Verb[TaxAnswer]:
        """Commit the document: from then on the vendor refuses to replace it."""
        answer = yield self._act(document, "commit", {"commit": True})
        return self._done(document, answer, "committed")

    def find_committed(self, document: TaxDocument) -> Verb[TaxAnswer | None]:
        """The document, if it is committed."""
        body = yield from self._current(document)
        return self._ours(document, body) if body and m.STATUS.read(body["status"]) == "committed" else None

    def void(self, document: TaxDocument) -> Verb[TaxAnswer]:
        """Cancel the document; its code cannot be used again."""
        answer = yield self._act(document, "void", {"code": "DocVoided"})
        return self._done(document, answer, "cancelled")

    def find_void(self, document: TaxDocument) -> Verb[TaxAnswer | None]:
        """The document, if it is cancelled."""
        body = yield from self._current(document)
        return self._answer(body) if body and m.STATUS.read(body["status"]) == "cancelled" else None

    # -- requests ------------------------------------------------------------------------------------------------
    def _company(self, entity: str) -> str:
        return str(self.settings.get("companies", {}).get(entity, entity))

    def _path(self, document: TaxDocument) -> str:
        return f"api/v2/companies/{m.in_path(self._company(document.entity))}/transactions/{m.in_path(document.code)}"

    def _act(self, document: TaxDocument, what: str, body: Record) -> Request:
        query = {"documentType": m.DOCUMENT_TYPES[document.kind], **_WHOLE}
        return Request("POST", f"{self._path(document)}/{what}", query=query, json=body, headers=_CLIENT)

    def _line(self, document: TaxDocument, line: TaxLineIn) -> Record:
        if not line.tax_code:
            # The vendor would silently take its default, taxable goods.
            raise BadInput(f"tax document {document.code}: line {line.number} has no tax code")
        code = self.settings.get("tax_codes", {}).get(line.tax_code, line.tax_code)
        return {**m.LINE.out(line), "quantity": 1, "taxCode": code}

    def _current(self, document: TaxDocument) -> Generator[Request, Answer, Record]:
        """The transaction under this code, read by its natural key; empty when there is none."""
        query = {"documentType": m.DOCUMENT_TYPES[document.kind], **_WHOLE}
        answer = yield Request("GET", self._path(document), query=query, headers=_CLIENT, allow=(404,))
        return {} if answer.status == 404 else record_of(answer, "code")

    # -- answers -------------------------------------------------------------------------------------------------
    def _ours(self, document: TaxDocument, body: Record) -> TaxAnswer:
        """The answer, if the transaction holds this document's lines: a final one with others is not ours."""
        if not _same_lines(body, document):
            raise SameKeyOtherContent(f"avalara: document {document.code} is {body['status']} there with other lines")
        return self._answer(body)

    def _done(self, document: TaxDocument, answer: Answer, wanted: str) -> TaxAnswer:
        """The answer of a write, if it says that the write is done: anything else is not success."""
        given = self._answer(answer.body)
        if given.status != wanted:
            raise OutcomeUnknown(f"avalara: document {document.code} should be {wanted}, it is {given.status}")
        return given

    def _answer(self, body: Record) -> TaxAnswer:
        currency, lines = body["currencyCode"], body["lines"]
        return TaxAnswer(
            document_code=body["code"],
            net=at_minor_unit(Decimal(body["totalAmount"]), currency),
            tax=at_minor_unit(Decimal(body["totalTax"]), currency),
            currency=currency,
            status=m.STATUS.read(body["status"]),
            line_taxes={int(line["lineNumber"]): at_minor_unit(Decimal(line["tax"]), currency) for line in lines},
            rates={str(line["lineNumber"]): m.line_rate(line) for line in lines},
        )


def _same_lines(body: Record, document: TaxDocument) -> bool:
    return m.line_amounts(body) == {str(line.number): line.net for line in document.lines}
