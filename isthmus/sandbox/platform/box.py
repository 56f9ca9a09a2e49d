"""The organisation served: sign-in, the request limit, the data API and the controls tests use.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Sandbox
from isthmus.sandbox.platform import auth, bulk, bulk_query, collections_api, composite, queries, rows, values
from isthmus.sandbox.platform.calls import VERSIONS, Answer, Call, Router, split
from isthmus.sandbox.platform.changes import ReplayExpired
from isthmus.sandbox.platform.errors import (
    Ambiguous,
    ApiError,
    not_found,
    over_daily_limit,
    session_expired,
)
from isthmus.sandbox.platform.package import Package
from isthmus.sandbox.platform.pubsub import PubSub
from isthmus.sandbox.platform.store import SCREEN, Store

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class PlatformSandbox(Sandbox):
    """One organisation. A subclass names itself, its package and its connected app.

    Settings a test may change at any time: page_size (records per query page), daily_limit (requests per day),
    token_lifetime (seconds), bulk_polls (how often a bulk job reports InProgress before it completes), and
    extra_fields (field changes as :meth:`Schema.alter` takes them, made at every reset from then on).
    """

    package = Package()
    consumer_key = "3MVG9sandboxHubConsumerKey"
    consumer_secret = "synthetic-consumer-secret"
    username = "hub@firm.example"

    def __init__(self) -> None:
        super().__init__()
        self.page_size = 2000
        self.daily_limit = 100_000
        self.token_lifetime = 7200
        self.bulk_polls = 1
        self.extra_fields: list[dict[str, Any]] = []
        self.api_calls = 0
        self.pubsub, self.pubsub_url = PubSub(self), ""
        self._calls_day: date | None = None
        self._router = Router()
        for module in (rows, queries, collections_api, composite, bulk, bulk_query):
            module.register(self._router)
        self._router.add("", GET=_resources)
        self._router.add("limits", GET=_limits)
        self._begin()

    def _begin(self) -> None:
        self.store = Store(self.records, self.now, self.package)
        for change in self.extra_fields:
            self.store.schema.alter(change)
        self.auth = auth.Auth(self)
        self.cursors = queries.Cursors()
        self.jobs, self.query_jobs = bulk.Jobs(), bulk_query.QueryJobs()
        self.api_calls = 0

    def serve_beside(self, tls: dict[str, Any]) -> None:
        """The Pub/Sub API, on a port of its own."""
        self.pubsub_url = self.pubsub.start(tls)

    def stop_beside(self) -> None:
        """The Pub/Sub API ends with the rest."""
        self.pubsub.stop()

    def on_reset(self) -> None:
        """A new organisation: no schema changes, no sessions, nothing but its standing records."""
        self.records.clear()
        self._begin()
        self.package.standing(self.store)
        self.store.changes.clear()

    # -- what the base asks for ----------------------------------------------------------------------------------
    def routes(self) -> list[BaseRoute]:
        """Sign-in, the data API, and the platform's 404 for everything else."""
        return [
            Route("/_control/changes", self._changes, methods=["GET"]),
            Route("/services/oauth2/token", self._token, methods=["POST"]),
            Route("/services/oauth2/revoke", self._revoke, methods=["POST"]),
            Route("/id/{org}/{user}", self._identity, methods=["GET"]),
            Route("/services/oauth2/userinfo", self._identity, methods=["GET"]),
            Route("/services/data", self._versions, methods=["GET"]),
            Route("/services/data/", self._versions, methods=["GET"]),
            Route("/services/data/{rest:path}", self._data, methods=_METHODS),
            Route("/{rest:path}", self._nothing, methods=_METHODS),
        ]

    def credentials(self) -> dict[str, str]:
        """The connected app and its user, for both flows."""
        private_key, certificate = auth.key_pair()
        return {
            "consumer_key": self.consumer_key,
            "consumer_secret": self.consumer_secret,
            "username": self.username,
            "private_key": private_key,
            "certificate": certificate,
            "audience": auth.LOGIN_HOSTS[0],
            "token_url": f"{self.base_url}/services/oauth2/token",
            "instance_url": self.base_url,
            "organization_id": self.auth.org_id,
            "pubsub_url": self.pubsub_url,
        }

    def error(self, status: int) -> Response:
        """The platform's array for an answer nobody planned."""
        code = {503: "SERVER_UNAVAILABLE", 504: "SERVER_UNAVAILABLE"}.get(status, "UNKNOWN_EXCEPTION")
        return JSONResponse([{"message": f"HTTP {status}", "errorCode": code}], status_code=status)

    def seed(self, collection: str, record: Record) -> Record:
        """Save a record as a user of the vendor's screens; a known Id changes that record, or deletes it when
        IsDeleted is true. The collection ``_fields`` adds, replaces or removes a field of the schema."""
        if collection == "_fields":
            return self.store.schema.alter(record).describe()
        sobject = self.store.schema.object(collection)
        known = self.store.live(sobject.name, str(record.get("Id", "")))
        with self.store.transaction(SCREEN):
            if known is None:
                return self.store.create(sobject, record, as_user=True)
            if record.get("IsDeleted"):
                self.store.delete(sobject, known)
                return self.records.get(sobject.name, known["Id"]) or {}
            return self.store.update(sobject, known, record, as_user=True)

    # -- the data API --------------------------------------------------------------------------------------------
    def answer(self, call: Call) -> Answer:
        """Carry out one call of the data API; refusals become the platform's error answers."""
        try:
            handler, parts = self._router.find(call)
            return handler(self, call, parts)
        except ApiError as exc:
            return Answer(exc.status, exc.body())
        except Ambiguous as exc:
            entity = call.path.split("/")[1]
            return Answer(300, [f"{call.base}/sobjects/{entity}/{record_id}" for record_id in exc.ids])

    def moment(self, text: str) -> str:
        """A moment given in a parameter, in the form stamps are stored."""
        try:
            return values.stamp(values.parse_stamp(text.replace(" ", "+")))
        except ValueError:
            raise ApiError(400, "INVALID_REPLICATION_DATE", f"not a date and time: {text}") from None

    async def _data(self, request: Request) -> Response:
        raw = await request.body()
        try:
            version, path = split(request.scope["path"])
            if not self.auth.valid(request.headers.get("authorization", "")):
                raise session_expired()
            self._count_call()
        except ApiError as exc:
            return self._respond(Answer(exc.status, exc.body()))
        call = Call(request.method, version, path, request.query_params, request.headers, raw)
        return self._respond(self.answer(call))

    def _count_call(self) -> None:
        today = self.now().date()
        if today != self._calls_day:
            self._calls_day, self.api_calls = today, 0
        if self.api_calls >= self.daily_limit:
            raise over_daily_limit()
        self.api_calls += 1

    def _respond(self, answer: Answer) -> Response:
        usage = f"api-usage={self.api_calls}/{self.daily_limit}"
        headers = {"Sforce-Limit-Info": usage, **answer.headers}
        media = answer.media if answer.body is not None else None
        return Response(answer.content(), answer.status, headers, media)

    # -- other addresses -----------------------------------------------------------------------------------------
    async def _token(self, request: Request) -> Response:
        return _plain(self.auth.token(await request.body(), request.headers.get("authorization", "")))

    async def _revoke(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        return _plain(self.auth.revoke(form.get("token", [""])[-1]))

    async def _identity(self, request: Request) -> Response:
        """Who a token is of: the address every sign-in names, and OpenID Connect's."""
        if not self.auth.valid(request.headers.get("authorization", "")):
            return PlainTextResponse("Bad_OAuth_Token", status_code=403)
        asked = (request.path_params.get("org", self.auth.org_id), request.path_params.get("user", self.store.user_id))
        if asked != (self.auth.org_id, self.store.user_id):
            return PlainTextResponse("Bad_Id", status_code=404)
        return JSONResponse(self.auth.identity())

    async def _versions(self, _: Request) -> Response:
        return JSONResponse([{"label": v, "url": f"/services/data/v{v}", "version": v} for v in VERSIONS])

    async def _nothing(self, _: Request) -> Response:
        return _plain(Answer(404, not_found().body()))

    async def _changes(self, request: Request) -> Response:
        try:
            events = self.store.changes.since(int(request.query_params.get("since", "-2")))
        except ReplayExpired as exc:
            return JSONResponse({"error": str(exc), "latest": self.store.changes.latest}, status_code=400)
        return JSONResponse({"events": events, "latest": self.store.changes.latest})


def _plain(answer: Answer) -> Response:
    media = answer.media if answer.body is not None else None
    return Response(answer.content(), answer.status, answer.headers, media)


def _resources(_: PlatformSandbox, call: Call, __: dict[str, str]) -> Answer:
    names = ("sobjects", "query", "queryAll", "composite", "limits", "jobs")
    return Answer(200, {name: f"{call.base}/{name}" for name in names})


def _limits(box: PlatformSandbox, _: Call, __: dict[str, str]) -> Answer:
    left = max(0, box.daily_limit - box.api_calls)
    return Answer(200, {"DailyApiRequests": {"Max": box.daily_limit, "Remaining": left}})
