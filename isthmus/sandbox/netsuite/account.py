"""The emulated account: routes, login and concurrency in front of the services, records put in by its own users."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Sandbox
from isthmus.sandbox.netsuite import login, reference
from isthmus.sandbox.netsuite.books import Books
from isthmus.sandbox.netsuite.intake import Intake
from isthmus.sandbox.netsuite.jobs import Jobs
from isthmus.sandbox.netsuite.ledger import Ledger, plain
from isthmus.sandbox.netsuite.schema import RecordType, named
from isthmus.sandbox.netsuite.service import Call, RecordService, is_batch
from isthmus.sandbox.netsuite.shapes import (
    REST,
    Refusal,
    answer,
    page,
    page_bounds,
    parse,
    unexpected,
)
from isthmus.sandbox.netsuite.suiteql import SuiteQL

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_ALIASES = {"postingPeriod": "accountingPeriod", "item": "serviceSaleItem", "class": "classification"}
_KEPT_STAMPS = ("lastModifiedDate", "createdDate", "dateCreated")


class NetSuiteSandbox(Sandbox):
    """One account. Settable: concurrency_limit, latency_seconds, login.lifetime_seconds, jobs.pending_polls."""

    name = "netsuite"

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.records = self.ledger
        self.books = Books(self.ledger, self.now)
        self.service = RecordService(self.ledger, self.books)
        self.suiteql = SuiteQL(self.ledger, self.now)
        self.jobs = Jobs()
        self.login = login.Login()
        self.concurrency_limit = 5
        self.latency_seconds = 0.0
        self._running = 0

    def routes(self) -> list[BaseRoute]:
        """One route for everything: the vendor answers unknown URLs and methods in its own shape."""
        control = Route("/_control/mandatory", self._make_mandatory, methods=["POST"])
        return [control, Route("/{path:path}", self._endpoint, methods=_METHODS)]

    async def _make_mandatory(self, request: Request) -> Response:
        """{"invoice": ["custbody_region"]}: an administrator makes fields of a record type mandatory in its form."""
        self.books.mandatory = {name: tuple(fields) for name, fields in (await request.json()).items()}
        return JSONResponse({name: list(fields) for name, fields in self.books.mandatory.items()})

    def credentials(self) -> dict[str, str]:
        """Both ways in: the client id with its certificate's key, and the four values of token-based login."""
        return {
            "account": login.ACCOUNT,
            "client_id": login.CLIENT_ID,
            "certificate_id": login.EC_CERTIFICATE,
            "private_key": login.pem(login.ec_key()),
            "algorithm": "ES256",
            **login.TBA,
        }

    def rsa_credentials(self) -> dict[str, str]:
        """The same client with its RSA certificate, for PS256."""
        rsa = {"certificate_id": login.RSA_CERTIFICATE, "private_key": login.pem(login.rsa_key())}
        return self.credentials() | rsa | {"algorithm": "PS256"}

    def error(self, status: int) -> Response:
        """The vendor's error document for an unplanned answer."""
        return unexpected(status).response()

    def on_reset(self) -> None:
        """Reference data back in, no jobs; tokens stay good, as they would when records are deleted."""
        reference.stand(self.ledger)
        self.books.mandatory = {}
        self.jobs.forget()

    # -- records of the vendor's own users ---------------------------------------------------------------------
    def seed(self, collection: str, record: Record) -> Record:
        """Put one record in as a user of the account would, by all its rules; an existing one is changed."""
        record_type = named(_ALIASES.get(collection, collection))
        if record_type is None:
            raise ValueError(f"netsuite has no record type {collection!r}")
        body = {name: _as_sent(record_type, name, value) for name, value in record.items()}
        values = Intake(self.ledger, names="error").clean(record_type, body)
        before = self._seeded_before(record_type, record)
        if before is None:
            given = str(record["id"]) if record.get("id") is not None else None
            made = self.books.create(record_type, values, record_id=given)
        else:
            made = self.books.update(record_type, before, values, frozenset(values))
        stamps = {name: record[name] for name in _KEPT_STAMPS if name in record}
        if stamps:
            made = self.ledger.put(record_type.name, made["id"], made | stamps)
        return copy.deepcopy(made)

    def _seeded_before(self, record_type: RecordType, record: Record) -> Record | None:
        name = record_type.name
        if record.get("externalId") and (known := self.ledger.by_external(name, record["externalId"])):
            return self.ledger.get(name, known)
        if name == "accountingPeriod" and "id" not in record:
            periods = self.ledger.current(name)
            return next((p for p in periods if p["periodName"] == record.get("periodName")), None)
        return self.ledger.get(name, str(record.get("id")))

    def _seed_all(self, body: dict[str, Iterable[Record]]) -> dict[str, list[Record]]:
        return {name: [plain(record) for record in rows] for name, rows in super()._seed_all(body).items()}

    # -- requests ----------------------------------------------------------------------------------------------
    async def _endpoint(self, request: Request) -> Response:
        body = await request.body()
        try:
            return await self._guarded(request, body)
        except Refusal as refusal:
            return refusal.response()

    async def _guarded(self, request: Request, body: bytes) -> Response:
        """Login, then the account's concurrency limit, then the service itself."""
        path: str = request.url.path
        base = self.base_url or str(request.base_url).rstrip("/")
        if not path.startswith(f"{REST}/"):
            raise _unknown_url(path)
        if path == login.TOKEN_PATH and request.method == "POST":
            return self.login.issue(body, f"{base}{path}", self.now())
        raw = request.scope.get("raw_path", path.encode()).decode("latin-1")
        query = request.scope["query_string"].decode("latin-1")
        url = f"{base}{raw}" + (f"?{query}" if query else "")
        self.login.check(request.method, url, request.headers.get("authorization", ""), self.now())
        if self._running >= self.concurrency_limit:
            raise unexpected(429)
        self._running += 1
        try:
            if self.latency_seconds:
                await asyncio.sleep(self.latency_seconds)
            parts = tuple(request.scope["path"].removeprefix(f"{REST}/").strip("/").split("/"))
            return self._serve(request.method, parts, dict(request.query_params), request.headers, body, base)
        finally:
            self._running -= 1

    def _serve(
        self,
        method: str,
        parts: tuple[str, ...],
        query: dict[str, str],
        headers: Mapping[str, str],
        body: bytes,
        base: str,
    ) -> Response:
        """One request by its service: record, query, async or system."""
        call = Call(method, parts[2:], query, headers, body, base)
        if parts[:2] == ("record", "v1"):
            return self._record(call) if call.wants("respond-async") else self.service.serve(call)
        if parts == ("query", "v1", "suiteql"):
            return self._query(call)
        if parts[:3] == ("async", "v1", "job") and method == "GET":
            return self.jobs.show(base, list(parts[3:]))
        if parts == ("system", "v1", "governanceLimits") and method == "GET":
            return self._governance()
        raise _unknown_url(f"{REST}/{'/'.join(parts)}")

    def _record(self, call: Call) -> Response:
        """An asynchronous call: every part of it runs on its own and its answer is kept with the job."""
        key = call.headers.get("x-netsuite-idempotency-key")
        self.jobs.refuse_repeat(key, call.base)
        singles = self.service.split_batch(call) if is_batch(call) else [call]
        results = []
        for single in singles:
            try:
                results.append(self.service.serve(single))
            except Refusal as refusal:
                results.append(refusal.response())
        return self.jobs.accept(key, call.base, self.books.stamp(), results)

    def _query(self, call: Call) -> Response:
        if call.method != "POST":
            raise Refusal(405, "INVALID_REQUEST", f"The method {call.method} is not allowed here.")
        if not call.wants("transient"):
            text = "The required header Prefer: transient is missing."
            raise Refusal(400, "INVALID_HEADER", text, header="Prefer")
        sent = parse(call.body)
        if not isinstance(sent, dict) or not isinstance(sent.get("q"), str):
            raise Refusal(400, "INVALID_CONTENT", "The request body must have the property q.", path="q")
        limit, offset = page_bounds(call.query)
        rows, total = self.suiteql.run(sent["q"], limit, offset)
        return answer(page(f"{call.base}{REST}/query/v1/suiteql", {}, rows, total, limit, offset))

    def _governance(self) -> Response:
        return answer(
            {
                "accountConcurrencyLimit": self.concurrency_limit,
                "accountUnallocatedConcurrencyLimit": self.concurrency_limit,
                "integrationLimitType": "accountLimit",
            }
        )


def _as_sent(record_type: RecordType, name: str, value: Any) -> Any:
    """A seeded value as it would have come in a request: exact numbers, lists of lines as sublists."""
    made = record_type.fields.get(name)
    if made is not None and made.kind == "lines" and isinstance(value, list):
        value = {"items": value}
    return json.loads(json.dumps(value, default=str), parse_float=Decimal) if _has_floats(value) else value


def _has_floats(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_floats(v) for v in value.values())
    return any(_has_floats(v) for v in value) if isinstance(value, list) else isinstance(value, float)


def _unknown_url(path: str) -> Refusal:
    return Refusal(404, "NOT_FOUND", f"There is no resource at {path}.", url=path)
