"""The portal served: sign-in, limits, the API's addresses, and the controls tests use.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Sandbox
from isthmus.sandbox.hubspot import access, associations, hooks, objects, search, settings_api
from isthmus.sandbox.hubspot.calls import Answer, Call, Handler
from isthmus.sandbox.hubspot.errors import NO_CREDENTIALS, Refused, bad_values, correlation, nothing_here, problem
from isthmus.sandbox.hubspot.firm import firm_properties
from isthmus.sandbox.hubspot.schema import ObjectType, Property, Schema
from isthmus.sandbox.hubspot.store import SCREEN, Source, Store
from isthmus.sandbox.hubspot.values import checked

PORTAL_ID = 145_000_001
MEDIA = "application/json;charset=utf-8"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_DATED = "{date:date}"  # 2026-03 and the like, in place of a version number
OBJECTS = ("/crm/v3/objects", f"/crm/objects/{_DATED}")
LINKS = ("/crm/v4/objects", f"/crm/objects/{_DATED}")
PAIRS = ("/crm/v4/associations", "/crm/v3/associations", f"/crm/associations/{_DATED}")
PROPERTIES = ("/crm/v3/properties", f"/crm/properties/{_DATED}")
PIPELINES = ("/crm/v3/pipelines", f"/crm/pipelines/{_DATED}")
OWNERS = ("/crm/v3/owners", f"/crm/owners/{_DATED}")
SCHEMAS = ("/crm/v3/schemas", "/crm-object-schemas/v3/schemas", f"/crm-object-schemas/{_DATED}/schemas")
LABELS = ("/crm/v4/associations", f"/crm/associations/{_DATED}")
# (addresses, path below them, methods with their handlers), the more particular ones first
ENDPOINTS: tuple[tuple[tuple[str, ...], str, dict[str, Handler]], ...] = (
    (LINKS, "/{type}/{id}/associations/default/{to}/{to_id}", {"PUT": associations.put}),
    (LINKS, "/{type}/{id}/associations/{to}/{to_id}", {"PUT": associations.put, "DELETE": associations.remove}),
    (LINKS, "/{type}/{id}/associations/{to}", {"GET": associations.list_of}),
    (LABELS, "/{type}/{to}/labels", {"GET": associations.labels}),
    (PAIRS, "/{type}/{to}/batch/read", {"POST": associations.batch_read}),
    (PAIRS, "/{type}/{to}/batch/create", {"POST": associations.batch_create}),
    (OBJECTS, "/{type}/search", {"POST": search.search}),
    (OBJECTS, "/{type}/batch/read", {"POST": objects.batch_read}),
    (OBJECTS, "/{type}/batch/create", {"POST": objects.batch_create}),
    (OBJECTS, "/{type}/batch/update", {"POST": objects.batch_update}),
    (OBJECTS, "/{type}/batch/upsert", {"POST": objects.batch_upsert}),
    (OBJECTS, "/{type}/batch/archive", {"POST": objects.batch_archive}),
    (OBJECTS, "/{type}/{id}", {"GET": objects.read, "PATCH": objects.change, "DELETE": objects.archive}),
    (OBJECTS, "/{type}", {"GET": objects.list_records, "POST": objects.create}),
    (PROPERTIES, "/{type}/groups", {"GET": settings_api.list_groups}),
    (
        PROPERTIES,
        "/{type}/{name}",
        {
            "GET": settings_api.read_property,
            "PATCH": settings_api.change_property,
            "DELETE": settings_api.archive_property,
        },
    ),
    (PROPERTIES, "/{type}", {"GET": settings_api.list_properties, "POST": settings_api.create_property}),
    (PIPELINES, "/{type}/{id}/stages", {"GET": settings_api.read_pipeline}),
    (PIPELINES, "/{type}/{id}", {"GET": settings_api.read_pipeline}),
    (PIPELINES, "/{type}", {"GET": settings_api.list_pipelines}),
    (OWNERS, "/{id}", {"GET": settings_api.read_owner}),
    (OWNERS, "/", {"GET": settings_api.list_owners}),
    (OWNERS, "", {"GET": settings_api.list_owners}),
    (SCHEMAS, "", {"GET": settings_api.list_schemas, "POST": settings_api.create_schema}),
)


class HubspotSandbox(Sandbox):
    """One portal with one application.

    counters.limits: requests the vendor lets through, no limit when None; association_page_max: the largest page of
    associations; store.search_lag: how long a change takes to show in search. POST /_control/limits sets the limits,
    POST /_control/search {"lag_seconds": 30} the lag; the webhooks' controls are those of :mod:`isthmus.sandbox.push`.
    """

    name = "hubspot"
    portal_id = PORTAL_ID

    def __init__(self) -> None:
        super().__init__()
        self.access = access.Access(self.now, PORTAL_ID)
        self.counters = access.Counters(self.now)
        self.hooks = hooks.Hooks(self.now, PORTAL_ID)
        self._answers = 0
        self.on_reset()

    def on_reset(self) -> None:
        """An empty portal with the firm's properties."""
        self.schema = Schema(PORTAL_ID)
        for name, properties in firm_properties().items():
            self.schema.add_properties(name, properties)
        self.store = Store(self.records, self.now, self.schema)
        self.store.listener = self.hooks.changed
        self.links: dict[tuple[str, str], dict[str, list[tuple[str, str, int]]]] = {}
        self.pipelines = {"default": settings_api.pipeline("Sales Pipeline", settings_api.STAGES, "default")}
        self.association_page_max = associations.PAGE_MAX
        self.access.clear()
        self.counters.clear()
        self.hooks.clear()

    # -- what the base asks for ----------------------------------------------------------------------------------
    def routes(self) -> list[BaseRoute]:
        """Controls, OAuth, webhooks, the API, and the vendor's 404 for everything else."""
        routes: list[BaseRoute] = [
            *self.hooks.push.routes(),
            Route("/_control/limits", self._limits, methods=["POST"]),
            Route("/_control/search", self._search, methods=["POST"]),
            Route("/oauth/v1/token", self._token, methods=["POST"]),
            Route("/oauth/v1/{kind}-tokens/{token}", self._about, methods=["GET"]),
            Route("/webhooks/v3/{app}/{rest:path}", self._webhooks, methods=_METHODS),
        ]
        for addresses, below, handlers in ENDPOINTS:
            for address in addresses:
                path = (address + below).replace(_DATED, "{date}")
                routes.append(Route(path, self._endpoint(handlers), methods=_METHODS))
        return [*routes, Route("/{rest:path}", self._endpoint({}), methods=_METHODS)]

    def credentials(self) -> dict[str, str]:
        """Tokens of a private application, one of them for reading only, and an OAuth client. Synthetic."""
        return {
            "access_token": access.PRIVATE_TOKEN,
            "reader_token": access.READER_TOKEN,
            "client_id": access.CLIENT_ID,
            "client_secret": access.CLIENT_SECRET,
            "refresh_token": access.REFRESH_TOKEN,
            "code": access.CODE,
            "developer_api_key": access.DEVELOPER_KEY,
            "app_id": str(access.APP_ID),
            "portal_id": str(PORTAL_ID),
        }

    def error(self, status: int) -> Response:
        """The vendor's body for an answer nobody planned."""
        category = "RATE_LIMITS" if status == 429 else ""
        return self._told(Refused(status, f"HTTP {status}", category))

    def seed(self, collection: str, record: Record) -> Record:
        """Put a record in as a person at the screen; a known id changes that record, or archives it with
        ``archived``. ``associations``: {"companies": [id, …]} by type, or [id, type id] pairs. The collection
        ``_properties`` adds a property ({"object", "name", "type", "unique", "options"}) or archives one.
        """
        if collection == "_properties":
            return self._seed_property(record)
        kind = self.schema.of(collection)
        given = {name: value for name, value in record.items() if name not in ("id", "associations", "archived")}
        values = checked(kind, given, PORTAL_ID)
        known = self.store.get(kind, str(record.get("id", "")))
        if known is not None and record.get("archived"):
            self.store.archive(kind, known, SCREEN)
            return known
        self.check_stage(kind, {**(known["properties"] if known else {}), **values})
        if known is not None:
            made = self.store.update(kind, known, values, SCREEN)
        else:
            made = self.store.create(kind, {**self.defaults(kind, values), **values}, SCREEN)
        for name, ids in (record.get("associations") or {}).items():
            self._seed_links(kind, made["id"], self.schema.of(name), ids)
        return made

    def _seed_property(self, record: Record) -> Record:
        kind, name = self.schema.of(record["object"]), str(record["name"])
        if record.get("archived"):
            kind.properties[name].archived = True
            return {"name": name, "archived": True}
        made = Property(name, record.get("type", "string"), options=tuple(record.get("options", ())))
        made.unique = bool(record.get("unique"))
        self.schema.add_properties(kind.name, [made])
        return made.told()

    def _seed_links(self, kind: ObjectType, record_id: str, to: ObjectType, ids: list[Any]) -> None:
        for one in ids:
            other, type_id = one if isinstance(one, list | tuple) else (one, None)
            known = self.schema.associations(kind.name, to.name)
            category, number = next((s for s in known if type_id in (None, s[1])), known[0])
            associations.link(self, kind.name, record_id, to.name, str(other), category, number, SCREEN)

    # -- rules of the portal -------------------------------------------------------------------------------------
    def defaults(self, kind: ObjectType, values: dict[str, str]) -> dict[str, str]:
        """What a new record has unless it is told otherwise."""
        return {"pipeline": "default"} if kind.name == "deals" and values.get("dealstage") else {}

    def check_stage(self, kind: ObjectType, values: dict[str, str]) -> None:
        """A deal's stage is one of its pipeline. Refused otherwise."""
        stage = values.get("dealstage")
        if kind.name != "deals" or not stage:
            return
        pipeline = self.pipelines.get(values.get("pipeline") or "default")
        if pipeline is None or stage not in {one["id"] for one in pipeline["stages"]}:
            told = f"{stage} was not one of the allowed options of pipeline {values.get('pipeline') or 'default'}"
            raise bad_values([problem("dealstage", "INVALID_OPTION", told, PORTAL_ID)])

    # -- the API -------------------------------------------------------------------------------------------------
    def _endpoint(self, handlers: dict[str, Handler]) -> Any:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            searching = request.url.path.endswith("/search")
            headers: dict[str, str] = {}
            try:
                caller = self.access.caller(request.headers.get("authorization", ""))
                self.counters.count(caller, searching)
                headers = self.counters.headers(caller, searching)
                handler = handlers.get(request.method)
                if handler is None:
                    raise Refused(405, "HTTP 405 Method Not Allowed") if handlers else nothing_here()
                call = self._call(request, raw, Source("INTEGRATION", str(access.APP_ID)))
                self._check_scope(caller, request, call)
                return self._answered(handler(self, call), headers)
            except Refused as refused:
                return self._told(refused, headers)

        return endpoint

    def _check_scope(self, caller: access.Caller, request: Request, call: Call) -> None:
        """Reading and writing need a scope of the object's type."""
        reads = request.method == "GET" or call.path.endswith(("/search", "/batch/read"))
        if "/objects" not in call.path or "type" not in call.parts:
            caller.need("crm.schemas.read" if reads else "crm.schemas.write")
            return
        kind = self.schema.of(call.parts["type"])
        name = "custom" if kind.type_id.startswith("2-") else kind.name
        caller.need(f"crm.objects.{name}.{'read' if reads else 'write'}")

    def _call(self, request: Request, raw: bytes, source: Source) -> Call:
        parts = {name: str(value) for name, value in request.path_params.items()}
        return Call(request.method, request.url.path, request.query_params, raw, parts, source, self.base_url)

    def _answered(self, answer: Answer, headers: dict[str, str] | None = None) -> Response:
        status, body = answer
        self._answers += 1
        content = b"" if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        told = {"x-hubspot-correlation-id": correlation(self._answers), **(headers or {})}
        return Response(content, status, told, MEDIA if content else None)

    def _told(self, refused: Refused, headers: dict[str, str] | None = None) -> Response:
        return self._answered((refused.status, refused.body(correlation(self._answers + 1))), headers)

    # -- other addresses -----------------------------------------------------------------------------------------
    async def _token(self, request: Request) -> Response:
        form = {
            name: values[-1] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()
        }
        try:
            return self._answered((200, self.access.grant(form)))
        except Refused as refused:
            return self._told(refused)

    async def _about(self, request: Request) -> Response:
        try:
            return self._answered((200, self.access.about(request.path_params["token"])))
        except Refused as refused:
            return self._told(refused)

    async def _webhooks(self, request: Request) -> Response:
        raw = await request.body()
        try:
            if request.query_params.get("hapikey") != access.DEVELOPER_KEY:
                raise Refused(401, NO_CREDENTIALS, "INVALID_AUTHENTICATION")
            return self._answered(hooks.webhooks(self, self._call(request, raw, SCREEN)))
        except Refused as refused:
            return self._told(refused)

    async def _limits(self, request: Request) -> Response:
        given = await request.json()
        unknown = set(given) - {f.name for f in fields(access.Limits)}
        if unknown:
            return self._told(Refused(400, f"no such limit: {', '.join(sorted(unknown))}"))
        self.counters.limits = access.Limits(**given)
        return self._answered((200, given))

    async def _search(self, request: Request) -> Response:
        self.store.search_lag = timedelta(seconds=float((await request.json())["lag_seconds"]))
        return self._answered((200, {"lag_seconds": self.store.search_lag.total_seconds()}))
