"""The Kantata OX sandbox itself: URLs, who answers them, seeds and the knobs a scenario turns.

Modelled from the vendor's published material, not certified.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Sandbox
from isthmus.sandbox.kantata import access, approvals, events, invoicing, query, reference, references, writes
from isthmus.sandbox.kantata.access import Access, Caller
from isthmus.sandbox.kantata.answer import Refused, View, envelope, error_response, one
from isthmus.sandbox.kantata.bodies import permitted, read_body, unwrap
from isthmus.sandbox.kantata.rules import check
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_money import COLLECTIONS, READ_ONLY
from isthmus.sandbox.kantata.store import Store

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class KantataSandbox(Sandbox):
    """One Kantata OX account.

    max_per_page: the largest page; access.rate_limit: requests per access.rate_window_seconds and token, None for
    no limit; shuffle_events, duplicate_events: whether the change feed is unordered and repeats itself.
    """

    name = "kantata"

    def __init__(self) -> None:
        super().__init__()
        self.max_per_page = 200
        self.access = Access()
        self.store = Store(self.records, self.now)
        self.feed = events.Events(self.now)

    @property
    def shuffle_events(self) -> bool:
        """Whether the feed is delivered out of order."""
        return self.feed.shuffle

    @shuffle_events.setter
    def shuffle_events(self, on: bool) -> None:
        self.feed.shuffle = on

    @property
    def duplicate_events(self) -> bool:
        """Whether some changes come as two events; decided when the change happens."""
        return self.feed.duplicate

    @duplicate_events.setter
    def duplicate_events(self, on: bool) -> None:
        self.feed.duplicate = on

    def routes(self) -> list[BaseRoute]:
        """OAuth, the API, and the vendor's own 404 for everything else."""
        return [
            Route("/oauth/authorize", self._authorize, methods=["GET"]),
            Route("/oauth/token", self._token, methods=["POST"]),
            Route("/api/v1/{path:path}", self._api, methods=_METHODS),
            Route("/{path:path}", self._nowhere, methods=_METHODS),
        ]

    def credentials(self) -> dict[str, str]:
        """An application, an administrator's long-lived token and that of a plain consultant."""
        return {
            "client_id": access.CLIENT_ID,
            "client_secret": access.CLIENT_SECRET,
            "redirect_uri": access.REDIRECT_URI,
            "authorization_code": access.AUTHORIZATION_CODE,
            "access_token": access.ADMIN_TOKEN,
            "consultant_access_token": access.CONSULTANT_TOKEN,
        }

    def error(self, status: int) -> Response:
        """Faults and outages answer in the vendor's error shape."""
        return error_response(status)

    def on_reset(self) -> None:
        """Start counters and feed anew and put the standing records in; these cause no events."""
        self.store.clear()
        self.feed.clear()
        self.store.listener = lambda *_: None
        reference.load(self.store)
        self.store.listener = self.feed.note

    def seed(self, collection: str, record: Record) -> Record:
        """One record as the account's own user would enter it, approved or invoiced if it says so.

        Any attribute the collection answers may be given, and ``external_reference``; another name is a ValueError.
        """
        c = COLLECTIONS[collection]
        caller = Caller(access.ADMIN_ID, admin=True)
        nested = references.parse_nested(record)
        unknown = set(record) - c.known - {"external_reference"}
        if unknown:
            raise ValueError(f"{collection} has no attribute {', '.join(sorted(unknown))}")
        stamps: Record = {k: record[k] for k in ("id", "created_at", "updated_at") if k in record}
        given = permitted(c, record, c.known - {"external_reference", "price", *stamps})
        if c.name == "external_references":
            given["subject_id"] = int(given["subject_id"])
        if c.name == "workspaces":
            given.setdefault("creator_role", "maven")
        candidate = writes.blank(c, given, caller)
        # What the vendor derives is derived here too; what it would refuse is let in, as it may date from before.
        check(self.store, c, candidate, given, creating=True)
        candidate.pop("creator_role", None)
        stored = self.store.insert(c, {**candidate, **stamps}, access.ADMIN_ID)
        if nested is not None:
            references.nest_reference(self.store, c, stored, nested, caller)
        writes.note_state(self.store, c, stored, c.defaults.get("state"), caller)
        return stored

    # -- requests ----------------------------------------------------------------------------------------------
    async def _authorize(self, request: Request) -> Response:
        return self.access.authorize(request.query_params)

    async def _token(self, request: Request) -> Response:
        try:
            form = await read_body(request)
        except Refused as refused:
            return error_response(refused.status, refused.errors)
        return self.access.grant({k: str(v) for k, v in form.items()})

    async def _nowhere(self, request: Request) -> Response:
        return error_response(404)

    async def _api(self, request: Request) -> Response:
        try:
            caller = self.access.caller(request.headers.get("authorization", ""))
            body = await read_body(request) if request.method != "GET" else {}
            segments = request.path_params["path"].removesuffix("/").removesuffix(".json").split("/")
            return self._dispatch(request, segments, body, caller)
        except Refused as refused:
            return error_response(refused.status, refused.errors)

    def _dispatch(self, request: Request, segments: list[str], body: Record, caller: Caller) -> Response:
        method, name = request.method, segments[0]
        if name == "subscribed_events" and method == "GET":
            return self._events(request, segments, caller)
        if name in approvals.BULK and method == "POST" and len(segments) == 1:
            made = approvals.resolve_many(self.store, name, unwrap(body, "resolution"), caller)
            return self._answer(request, COLLECTIONS["resolutions"], made)
        c = COLLECTIONS.get(name)
        if c is None or len(segments) > 3:
            raise Refused(404)
        if len(segments) == 1:
            return self._collection(request, c, body, caller)
        if segments[1:] == ["create_or_update"] and name == "external_references" and method == "POST":
            given = unwrap(body, "external_reference")
            return self._answer(request, c, [references.create_or_update(self.store, given, caller)])
        record = self._find(request, c, segments[1])
        if len(segments) == 3:
            return self._action(request, c, record, segments[2], body, caller)
        return self._record(request, c, record, body, caller)

    def _answer(self, request: Request, c: Collection, records: list[Record]) -> Response:
        return JSONResponse(one(self.store, c, records, View.of(request.query_params)))

    def _events(self, request: Request, segments: list[str], caller: Caller) -> Response:
        if not caller.admin:
            raise Refused(403)
        if segments[1:] == ["event_types"]:
            return JSONResponse(events.event_types())
        params = dict(request.query_params)
        if len(segments) == 2:
            params["only"] = segments[1]
        elif len(segments) > 2:
            raise Refused(404)
        body = self.feed.answer(self.store, params, self.max_per_page)
        if len(segments) == 2 and not body["results"]:
            raise Refused(404)
        return JSONResponse(body)

    def _find(self, request: Request, c: Collection, record_id: str) -> Record:
        """A record by id; the filters an endpoint applies unasked hide records here too."""
        record = self.records.get(c.name, record_id)
        if record is None:
            raise Refused(404)
        if request.method == "GET":
            params = {**request.query_params, "only": record_id}
            if not all(keep(record) for keep in query.filters_of(self.store, c, params)):
                raise Refused(404)
        return record

    def _collection(self, request: Request, c: Collection, body: Record, caller: Caller) -> Response:
        if request.method == "GET":
            page, meta = query.run(self.store, c, request.query_params, self.max_per_page, caller.user_id)
            return JSONResponse(envelope(self.store, c, page, View.of(request.query_params), meta))
        if request.method == "DELETE" and c.name == "time_entries":
            return self._delete_many(c, str(request.query_params.get("ids") or body.get("ids") or ""), caller)
        if request.method != "POST" or not c.creates or c.name in READ_ONLY:
            raise Refused(404)
        if c.name == "time_entries" and c.name in body:
            return self._answer(request, c, writes.create_many(self.store, c, body[c.name], caller))
        given = unwrap(body, c.singular)
        if c.name in approvals.ITEMS:
            return self._answer(request, c, [approvals.submit(self.store, c, given, caller)])
        if c.name == "invoices":
            return self._answer(request, c, [invoicing.invoice(self.store, c, given, caller)])
        return self._answer(request, c, [writes.create(self.store, c, given, caller)])

    def _delete_many(self, c: Collection, ids: str, caller: Caller) -> Response:
        wanted = [i for i in ids.split(",") if i]
        found = [self.records.get(c.name, i) for i in wanted]
        records = [r for r in found if r is not None]
        if not wanted or len(records) < len(wanted) or len(wanted) > writes.MAX_BULK:
            raise Refused(404 if wanted and len(wanted) <= writes.MAX_BULK else 400)
        if any(r["is_invoiced"] for r in records):
            raise Refused(422, {"type": "validation", "field": "ids", "message": "Invoiced time can't be deleted"})
        for record in records:
            writes.delete(self.store, c, record, caller)
        return Response(status_code=204)

    def _record(self, request: Request, c: Collection, record: Record, body: Record, caller: Caller) -> Response:
        if request.method == "GET":
            return self._answer(request, c, [record])
        if c.name in READ_ONLY or request.method not in ("PUT", "DELETE"):
            raise Refused(404)
        if request.method == "PUT":
            return self._answer(request, c, [writes.update(self.store, c, record, unwrap(body, c.singular), caller)])
        if c.name == "users" or c.name in approvals.ITEMS:
            raise Refused(404)
        if c.name == "invoices":
            invoicing.release(self.store, record, caller)
        writes.delete(self.store, c, record, caller)
        return Response(status_code=204)

    def _action(
        self, request: Request, c: Collection, record: Record, verb: str, body: Record, caller: Caller
    ) -> Response:
        if request.method == "PUT" and c.name in approvals.ITEMS and verb in approvals.VERBS:
            nested: Any = body.get("resolution")
            description = nested.get("description") if isinstance(nested, dict) else None
            approvals.resolve(self.store, c, record, verb, description, caller)
            return self._answer(request, c, [record])
        if request.method == "PUT" and c.name == "invoices" and verb == "cancel":
            return self._answer(request, c, [invoicing.cancel(self.store, c, record, caller)])
        raise Refused(404)
