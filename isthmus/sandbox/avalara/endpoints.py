"""The vendor's URLs: authentication, request limit, JSON in, the document store, JSON or ErrorResult out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.avalara import auth, filters, models, reference
from isthmus.sandbox.avalara.errors import Refusal, not_found
from isthmus.sandbox.avalara.refunds import refund_request
from isthmus.sandbox.base import Handler, Record

if TYPE_CHECKING:
    from isthmus.sandbox.avalara.service import AvalaraSandbox

Act = Callable[[Request, Any], Response]
_NEW = "Summary,Addresses"  # what the vendor assumes when a creating call names no $include
_ESCAPES = (("_-ava2f-_", "/"), ("_-ava2b-_", "+"), ("_-ava3f-_", "?"), ("_-ava25-_", "%"), ("_-ava23-_", "#"))
_NOT_FILTERABLE = frozenset({
    "exchangeRateCurrencyCode", "exchangeRateProvider", "totalDiscount", "lines", "addresses", "locationTypes",
    "summary", "taxDetailsByTaxType", "parameters", "userDefinedFields", "messages", "invoiceMessages",
    "isFakeTransaction", "deliveryTerms", "apStatusCode", "apStatus", "vendorName", "varianceAmount",
})  # fmt: skip
_FILTERABLE = frozenset({
    "id", "code", "companyId", "date", "paymentDate", "status", "type", "batchCode", "currencyCode",
    "customerUsageType", "entityUseCode", "customerVendorCode", "customerCode", "exemptNo", "reconciled",
    "locationCode", "reportingLocationCode", "purchaseOrderNo", "referenceCode", "salespersonCode",
    "taxOverrideType", "taxOverrideAmount", "taxOverrideReason", "totalAmount", "totalExempt", "totalTax",
    "totalTaxable", "totalTaxCalculated", "adjustmentReason", "adjustmentDescription", "locked", "region", "country",
    "version", "softwareVersion", "originAddressId", "destinationAddressId", "exchangeRateEffectiveDate",
    "exchangeRate", "isSellerImporterOfRecord", "description", "email", "businessIdentificationNo", "modifiedDate",
    "modifiedUserId", "taxDate",
})  # fmt: skip


class Endpoints:
    """Routes of one sandbox and what they do."""

    def __init__(self, box: AvalaraSandbox) -> None:
        self.box = box
        self.documents = box.documents

    def routes(self) -> list[BaseRoute]:
        """All routes; the last one answers every other URL with the vendor's 404."""
        company, one = "/api/v2/companies/{company}", "/api/v2/companies/{company}/transactions/{code}"
        store = self.documents
        acts: dict[str, Callable[[Record, Any], Record]] = {
            "commit": store.commit,
            "void": store.void,
            "verify": store.verify,
            "settle": store.settle,
            "lock": store.lock,
            "changecode": store.change_code,
            "uncommit": lambda document, _: store.uncommit(document),
            "unvoid": lambda document, _: store.unvoid(document),
        }
        return [
            Route("/api/v2/utilities/ping", self._ping, methods=["GET"]),
            self._route("POST", "/api/v2/transactions/create", self._create),
            self._route("POST", "/api/v2/transactions/createoradjust", self._create_or_adjust),
            self._route("GET", "/api/v2/transactions/{id:int}", self._get_by_id),
            self._route("GET", f"{company}/transactions", self._list),
            self._route("GET", one, self._get),
            self._route("GET", f"{one}/types/{{type}}", self._get),
            *(self._route("POST", f"{one}/{name}", self._act(act)) for name, act in acts.items()),
            self._route("POST", f"{one}/adjust", self._adjust),
            self._route("POST", f"{one}/refund", self._refund),
            self._route("POST", "/api/v2/addresses/resolve", self._resolve_post),
            self._route("GET", "/api/v2/addresses/resolve", self._resolve_get),
            self._route("GET", "/api/v2/companies", self._companies),
            self._route("GET", "/api/v2/companies/{id:int}", self._company),
            self._route("GET", "/api/v2/companies/{id:int}/nexus", self._nexus),
            Route("/_control/committed_totals", self._committed_totals, methods=["GET"]),
            Route("/{path:path}", self._unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    def _route(self, method: str, path: str, act: Act) -> Route:
        return Route(path, self._guarded(act), methods=[method])

    def _guarded(self, act: Act) -> Handler:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            try:
                auth.authenticate(request)
                self.box.check_limit()
                return act(request, _parse(body) if body else None)
            except Refusal as refusal:
                return refusal.response()

        return endpoint

    # -- transactions -------------------------------------------------------------------------------------------
    def _create(self, request: Request, body: Any) -> Response:
        return _answer(request, self.documents.create(body), 201, _NEW)

    def _create_or_adjust(self, request: Request, body: Any) -> Response:
        document, is_new = self.documents.create_or_adjust(body)
        return _answer(request, document, 201 if is_new else 200, _NEW)

    def _get(self, request: Request, _: Any) -> Response:
        return _answer(request, self._found(request))

    def _get_by_id(self, request: Request, _: Any) -> Response:
        return _answer(request, self.documents.by_id(request.path_params["id"]))

    def _act(self, act: Callable[[Record, Any], Record]) -> Act:
        return lambda request, body: _answer(request, act(self._found(request), body))

    def _adjust(self, request: Request, body: Any) -> Response:
        document = self._found(request)
        return _answer(request, self.documents.adjust(self._company_in_path(request), document, body), 200, _NEW)

    def _refund(self, request: Request, body: Any) -> Response:
        company = self._company_in_path(request)
        by_tax_date = request.query_params.get("useTaxDateOverride", "").lower() == "true"
        model = refund_request(self._found(request), company["companyCode"], body, by_tax_date)
        return _answer(request, self.documents.create(model), 201, _NEW)

    def _company_in_path(self, request: Request) -> Record:
        return self.documents.company(_unescaped(request.path_params["company"]))

    def _found(self, request: Request) -> Record:
        kind = request.path_params.get("type") or request.query_params.get("documentType")
        code = _unescaped(request.path_params["code"])
        return self.documents.get(self._company_in_path(request), code, kind)

    def _list(self, request: Request, _: Any) -> Response:
        company_id = self._company_in_path(request)["id"]
        text = request.query_params.get("$filter", "")
        test, used = filters.compile_filter(text, _FILTERABLE, _NOT_FILTERABLE)
        # Without a test on date the vendor looks at the past 30 days only.
        since = "" if "date" in used else (self.box.now() - timedelta(days=30)).date().isoformat()
        rows = [r for _, r in self.box.records.all("transactions") if r["companyId"] == company_id]
        result = filters.fetch(request, [r for r in rows if r["date"] >= since and test(r)])
        include = request.query_params.get("$include")
        result["value"] = [models.included(r, include) for r in result["value"]]
        return JSONResponse(result)

    # -- the account --------------------------------------------------------------------------------------------
    async def _ping(self, request: Request) -> Response:
        answer: Record = {"version": models.SOFTWARE_VERSION, "authenticated": False, "authenticationType": "None"}
        try:
            caller = auth.authenticate(request)
        except Refusal:
            return JSONResponse(answer)  # the vendor's ping never refuses
        who = {"authenticatedUserName": caller.user_name, "authenticatedUserId": auth.USER_ID}
        answer |= {"authenticated": True, "authenticationType": caller.kind}
        return JSONResponse(answer | who | {"authenticatedAccountId": int(auth.ACCOUNT_ID)})

    def _companies(self, request: Request, _: Any) -> Response:
        return self._reference(request, "companies", reference.COMPANY_FIELDS)

    def _company(self, request: Request, _: Any) -> Response:
        return JSONResponse(self._company_by_id(request))

    def _nexus(self, request: Request, _: Any) -> Response:
        return self._reference(request, "nexus", reference.NEXUS_FIELDS, self._company_by_id(request)["id"])

    def _company_by_id(self, request: Request) -> Record:
        found = self.box.records.get("companies", str(request.path_params["id"]))
        if not found:
            raise not_found("Company", str(request.path_params["id"]))
        return found

    def _reference(
        self, request: Request, collection: str, fields: frozenset[str], company_id: int | None = None
    ) -> Response:
        test, _ = filters.compile_filter(request.query_params.get("$filter", ""), fields, frozenset())
        rows = [r for _, r in self.box.records.all(collection) if company_id in (None, r.get("companyId"))]
        return JSONResponse(filters.fetch(request, [r for r in rows if test(r)]))

    def _resolve_post(self, _: Request, body: Any) -> Response:
        return JSONResponse(reference.resolve(self.box.records, body))

    def _resolve_get(self, request: Request, _: Any) -> Response:
        return JSONResponse(reference.resolve(self.box.records, dict(request.query_params)))

    # -- beside the vendor --------------------------------------------------------------------------------------
    async def _committed_totals(self, _: Request) -> Response:
        return JSONResponse(reference.committed_totals(r for _, r in self.box.records.all("transactions")))

    async def _unknown(self, request: Request) -> Response:
        return not_found("Resource", request.url.path).response()


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal)
    except (ValueError, UnicodeDecodeError):
        raise Refusal("ValidationException", "Validation Error.", "The body is not JSON.", "model") from None


def _unescaped(code: str) -> str:
    for escape, character in _ESCAPES:
        code = code.replace(escape, character)
    return code


def _answer(request: Request, document: Record, status: int = 200, default: str = "") -> Response:
    include = request.query_params.get("$include")
    return JSONResponse(models.included(document, include, default), status_code=status)
