"""The sandbox itself: credentials, seeding, reset, request limit and the correlation id on every answer."""

from __future__ import annotations

from collections import deque

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.sandbox.avalara import auth, errors, models, rates, reference
from isthmus.sandbox.avalara.documents import Documents
from isthmus.sandbox.avalara.endpoints import Endpoints
from isthmus.sandbox.base import Record, Sandbox


class AvalaraSandbox(Sandbox):
    """AvaTax REST v2, emulated.

    max_requests, window_seconds: how many calls a window takes before 429 answers; None is no limit.
    honours_nexus: when set, tax is charged only where the company is registered, as the vendor does; off by default
    so that a seeded rate alone decides.
    """

    name = "avalara"

    def __init__(self) -> None:
        super().__init__()
        self.max_requests: int | None = None
        self.window_seconds = 60.0
        self.honours_nexus = False
        self.documents = Documents(self)
        self._calls: deque[float] = deque()
        self._answers = 0
        self._ids = 0
        self.on_reset()

    def routes(self) -> list[BaseRoute]:
        """The vendor's URLs under /api/v2."""
        return Endpoints(self).routes()

    def credentials(self) -> dict[str, str]:
        """Three ways to log in, and the company the account holds. Synthetic."""
        return {
            "accountId": auth.ACCOUNT_ID,
            "licenseKey": auth.LICENSE_KEY,
            "username": auth.USERNAME,
            "password": auth.PASSWORD,
            "bearerToken": auth.BEARER_TOKEN,
            "companyCode": reference.COMPANY_CODE,
            "companyId": str(reference.COMPANY_ID),
        }

    def error(self, status: int) -> Response:
        """The vendor's ErrorResult for a fault or an outage."""
        return errors.unplanned(status)

    def seed(self, collection: str, record: Record) -> Record:
        """One record of companies, nexus, tax_rates or transactions (a CreateTransactionModel)."""
        if collection == "transactions":
            return self.documents.import_seeded(record)
        if collection == "tax_rates":
            key, row = rates.normalize(record)
            return self.records.put("tax_rates", key, row)
        if collection == "companies":
            made = reference.company(record, record.get("id") or self._next_id(), self._stamp())
        elif collection == "nexus":
            made = reference.nexus(record, record.get("id") or self._next_id(), self._stamp())
        else:
            raise ValueError("seedable: companies, nexus, tax_rates, transactions")
        return self.records.put(collection, str(made["id"]), made)

    def on_reset(self) -> None:
        """Standing data again; a sandbox seeded before it is served keeps what it was given."""
        if self.records.count("companies"):
            return
        self._calls.clear()
        self._answers = self._ids = self.documents.last = 0
        home = {"id": reference.COMPANY_ID, "companyCode": reference.COMPANY_CODE, "isDefault": True}
        stamp = "2020-01-01T00:00:00.000Z"
        company = reference.company({**home, "name": "Isthmus Sample Firm"}, reference.COMPANY_ID, stamp)
        self.records.put("companies", str(reference.COMPANY_ID), company)
        for country, region in reference.REGISTERED:
            made = reference.nexus({"country": country, "region": region}, self._next_id(), stamp)
            self.records.put("nexus", str(made["id"]), made)
        for row in rates.defaults():
            self.seed("tax_rates", row)

    def check_limit(self) -> None:
        """Refuses with 429 when the window is full."""
        if self.max_requests is None:
            return
        now = self.now().timestamp()
        while self._calls and self._calls[0] <= now - self.window_seconds:
            self._calls.popleft()
        if len(self._calls) >= self.max_requests:
            raise errors.Refusal("RequestLimitExceeded", "The request limit of the account is exceeded.")
        self._calls.append(now)

    def app(self) -> ASGIApp:
        """The base application; every answer, faults included, gets the vendor's headers."""
        inner = super().app()

        async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
            async def add(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._answers += 1
                    headers = MutableHeaders(scope=message)
                    headers["x-correlation-id"] = f"00000000-0000-4000-9000-{self._answers:012d}"
                    headers["serverversion"] = models.SOFTWARE_VERSION
                await send(message)

            await inner(scope, receive, add)

        return with_headers

    def _next_id(self) -> int:
        self._ids += 1
        return 33_443_000 + self._ids

    def _stamp(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
