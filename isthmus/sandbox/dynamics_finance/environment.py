"""The emulated environment: sign-in host and finance host in one, throttling by priority, the firm's own service."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Sandbox
from isthmus.sandbox.dynamics_finance import login, metadata, reference
from isthmus.sandbox.dynamics_finance.batch import Batches
from isthmus.sandbox.dynamics_finance.books import Books
from isthmus.sandbox.dynamics_finance.errors import JSON, Refusal, no_route, service_failed, throttled, unexpected
from isthmus.sandbox.dynamics_finance.events import Events
from isthmus.sandbox.dynamics_finance.ledger import Ledger, shown
from isthmus.sandbox.dynamics_finance.packages import ACTIONS, BLOBS, Packages
from isthmus.sandbox.dynamics_finance.posting import GENERAL, CannotPost, Posting
from isthmus.sandbox.dynamics_finance.schema import BY_SET
from isthmus.sandbox.dynamics_finance.service import Call, Service
from isthmus.sandbox.dynamics_finance.values import parse, plain, render

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# The services that the firm has added, and the parameters each is called with.
POST_SERVICES = {
    "IsthmusServices/FreeTextInvoice/post": ("dataAreaId", "InvoiceIdentifier"),
    "IsthmusServices/LedgerJournal/post": ("dataAreaId", "JournalBatchNumber"),
}
PRIORITIES = ("Low", "Medium", "High")
Posts = Literal["at_once", "queued"]


class FinanceSandbox(Sandbox):
    """One environment.

    Settable: priority of the application (Low, Medium, High), pressure (0 none; 1 Low is refused, 2 Medium too, 3 all),
    posts (at_once, or queued: posted by run_posting_job), posting.closed, posting.keeps_marks, books.manual,
    service.page_size, packages.pending_polls, packages.runs_after,
    packages.shows_after, login.lifetime_seconds, login.mapped.
    """

    name = "dynamics_finance"

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.records = self.ledger
        self.books = Books(self.ledger, self.now)
        self.posting = Posting(self.books)
        self.service = Service(self.ledger, self.books)
        self.batches = Batches(self.ledger, self._odata)
        self.login = login.Login()
        self.events = Events(self.now)
        self.packages = Packages(self.books)
        self.posting.on_posted = self.events.invoice_posted
        self.priority = "Medium"
        self.pressure = 0
        self.retry_after_seconds = 2
        self.posts: Posts = "at_once"
        self.queue: list[tuple[str, str, Any]] = []

    def routes(self) -> list[BaseRoute]:
        """One route for everything: the vendor answers unknown URLs in its own shape."""
        return [*self.events.push.routes(), Route("/{path:path}", self._endpoint, methods=_METHODS)]

    def credentials(self) -> dict[str, str]:
        """Both ways in: the application's secret, and its certificate with the private key."""
        pem, key = login.certificate()
        return {
            "tenant": login.TENANT,
            "client_id": login.CLIENT_ID,
            "client_secret": login.CLIENT_SECRET,
            "certificate": pem,
            "private_key": key,
        }

    def error(self, status: int) -> Response:
        """The vendor's error document for an unplanned answer."""
        return unexpected(status).response()

    def on_reset(self) -> None:
        """Reference data back in; tokens stay good, as they would when records are deleted."""
        reference.stand(self.ledger)
        self.queue.clear()
        self.posting.closed.clear()
        self.packages.forget()
        self.events.clear()

    # -- people of the environment -------------------------------------------------------------------------------
    def seed(self, collection: str, record: Record) -> Record:
        """Put one record in as a user would, by all rules. CustomerPayment: a payment journal, posted as told;
        BusinessEventEndpoint (url, event, legal_entity): an event is sent there from now on.
        """
        body = json.loads(json.dumps(record, default=str), parse_float=Decimal)
        if collection == "CustomerPayment":
            return shown(self.posting.pay(body))
        if collection == "BusinessEventEndpoint":
            self.events.activate(**body)
            return dict(body)
        if collection not in BY_SET:
            raise ValueError(f"dynamics_finance has no collection {collection!r}")
        entity = BY_SET[collection]
        held = self.ledger.by_key(entity, {name: body.get(name, "") for name in entity.key})
        if held is not None:
            return shown(self.books.update(entity, held, body, ""))
        return shown(self.books.create(entity, body, self.service.default_company))

    def _seed_all(self, body: Any) -> dict[str, list[Record]]:
        return {name: [plain(record) for record in rows] for name, rows in super()._seed_all(body).items()}

    def run_posting_job(self) -> int:
        """The firm's batch job: post every free text invoice and general journal that is asked for; how many."""
        waiting = self.queue or [
            (named, row["dataAreaId"], row[named])
            for collection, named in (("FreeTextInvoiceHeaders", "InvoiceIdentifier"), (GENERAL, "JournalBatchNumber"))
            for row in self.ledger.current(collection, IsPosted="No")
        ]
        for named, company, number in waiting:
            self._post(named, company, number)
        self.queue = []
        return len(waiting)

    # -- requests ------------------------------------------------------------------------------------------------
    async def _endpoint(self, request: Request) -> Response:
        body = await request.body()
        try:
            return self._guarded(request, body)
        except Refusal as refusal:
            return refusal.response()

    def _guarded(self, request: Request, body: bytes) -> Response:
        """Sign-in, then throttling, then the service itself."""
        path: str = request.scope["path"]
        if not path.endswith("GetExecutionSummaryStatus"):
            self.packages.go_on()
        base = self.base_url or str(request.base_url).rstrip("/")
        signed_in = self.login.serve(request.method, path, body, base, self.now())
        if signed_in is not None:
            return signed_in
        if path.startswith(BLOBS):
            return self.packages.blob(request, unquote(path), body)
        self.login.check(request.headers.get("authorization", ""), self.now())
        if path.startswith(f"/data/{ACTIONS}") and request.method == "POST":  # data packages are not throttled
            return self.packages.act(path.removeprefix(f"/data/{ACTIONS}"), parse(body), base, f"{base}/data")
        if self.pressure > PRIORITIES.index(self.priority):
            raise throttled(self.retry_after_seconds)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if path.startswith("/api/services/"):
            return self._custom_service(path.removeprefix("/api/services/"), body)
        if path.rstrip("/") != "/data" and not path.startswith("/data/"):
            raise no_route(f"{base}{path}")
        inside = request.scope.get("raw_path", path.encode()).decode("latin-1").removeprefix("/data").lstrip("/")
        call = Call(request.method, inside, dict(request.query_params), headers, body, f"{base}/data")
        if unquote(inside) == "$batch" and request.method == "POST":
            return self.batches.run(call)
        return self._odata(call)

    def _odata(self, call: Call) -> Response:
        if call.path == "":
            return Response(render(metadata.service_document(call.root)), 200, {"OData-Version": "4.0"}, JSON)
        if unquote(call.path) == "$metadata":
            return Response(metadata.document(), 200, {"OData-Version": "4.0"}, "application/xml")
        return self.service.serve(call)

    def _custom_service(self, path: str, body: bytes) -> Response:
        """The services the firm has added: post a free text invoice, or a general journal."""
        if path not in POST_SERVICES:
            raise no_route(f"{self.base_url}/api/services/{path}")
        asked, (company, named) = parse(body), POST_SERVICES[path]
        if set(asked) != {company, named}:
            raise service_failed(f"The parameters {company} and {named} are expected.")
        place = (named, str(asked[company]), asked[named])
        if self.posts == "queued":
            self.queue.append(place)
            return Response(b'"Queued"', 200, media_type="application/json")
        before = self.ledger.savepoint()
        try:
            self._post(*place)
        except CannotPost as reason:
            self.ledger.roll_back(before)
            raise service_failed(str(reason)) from None
        return Response(b'"Posted"', 200, media_type="application/json")

    def _post(self, named: str, company: str, number: Any) -> None:
        if named == "InvoiceIdentifier":
            self.posting.post_invoice(company, int(number))
        else:
            self.posting.post_general(company, str(number))
