"""The site itself: URLs, who answers them, seeds, and the knobs a test turns.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Sandbox
from isthmus.sandbox.jira import access, issues, worklogs
from isthmus.sandbox.jira.addresses import Call, Knobs, found
from isthmus.sandbox.jira.errors import Refused, not_json
from isthmus.sandbox.jira.hooks import Hooks
from isthmus.sandbox.jira.reference import AMARA, HUB, PEOPLE, PETRA, STATUSES
from isthmus.sandbox.jira.site import Site, kept, known_project, known_type
from isthmus.sandbox.jira.views import View

_METHODS = ["GET", "POST", "PUT", "DELETE"]


class JiraSandbox(Sandbox):
    """One Jira Cloud site.

    access.burst_limit, access.burst_seconds: requests of one method and address; None for no limit. knobs: see Knobs.
    """

    name = "jira"

    def __init__(self) -> None:
        super().__init__()
        self.access = access.Access(self.now)
        self.site = Site(self.records, lambda: kept(self.now()))
        self.hooks = Hooks(self.site, self.now, lambda: self.base_url)
        self.knobs = Knobs()

    def on_reset(self) -> None:
        """No issues, no webhooks. Sessions stay good, as they would when issues are deleted."""
        self.site.clear()
        self.hooks.clear()
        self.site.listener = self.hooks.tell

    def routes(self) -> list[BaseRoute]:
        """The token endpoint, webhooks of administrators, and both versions of the API."""
        return [
            *self.hooks.push.routes(),
            Route("/oauth/token", self._token, methods=["POST"]),
            Route("/rest/webhooks/1.0/webhook", self._hooks, methods=["GET", "POST"]),
            Route("/rest/webhooks/1.0/webhook/{number}", self._hook, methods=["GET", "DELETE"]),
            Route("/rest/api/{version}/{path:path}", self._api, methods=_METHODS),
        ]

    def credentials(self) -> dict[str, str]:
        """The integration's address and API token, an administrator's, and an OAuth application's."""
        return {
            "email": PEOPLE[HUB].email,
            "api_token": access.API_TOKENS[HUB],
            "admin_email": PEOPLE[PETRA].email,
            "admin_api_token": access.API_TOKENS[PETRA],
            "client_id": access.CLIENT_ID,
            "client_secret": access.CLIENT_SECRET,
            "refresh_token": self.access.refresh_token,
            "token_url": f"{self.base_url}/oauth/token",
        }

    def error(self, status: int) -> Response:
        """Faults and outages answer as the site does."""
        return Refused(status, f"HTTP {status}").response()

    def seed(self, collection: str, record: Record) -> Record:
        """An issue or a work log as people's own screens leave it. author, created, updated, status and properties may
        be given, other fields as the API takes them. An id changes what is there, deleted deletes it.
        """
        if collection == "issue":
            return self._seed_issue(dict(record))
        if collection == "worklog":
            return self._seed_worklog(dict(record))
        raise ValueError(f"no collection {collection}; there are: issue, worklog")

    def _seed_issue(self, given: Record) -> Record:
        author = str(given.pop("author", PETRA))
        stamps = {name: _moment(given.pop(name)) for name in ("created", "updated") if name in given}
        status, at = given.pop("status", None), given.pop("status_at", None)
        if "id" in given:
            issue = self.site.issue(given.pop("id"))
            if given.pop("deleted", False):
                self.site.delete_issue(issue, author)
                return issue
            self.site.change_issue(issue, issues.taken(self.site, given, "2", issue), author)
        else:
            project, kind = (
                known_project({"key": given.pop("project")}),
                known_type({"name": given.pop("type", "Task")}),
            )
            told = given.pop("properties", {})
            fields = issues.taken(self.site, given, "2", {"type": kind})
            issue = self.site.add_issue({"project": project, "type": kind, **fields}, author, properties=told, **stamps)
        if status is not None:
            self.site.change_issue(issue, {"status": STATUSES[status].name}, author, _moment(at) if at else "")
        return issue

    def _seed_worklog(self, given: Record) -> Record:
        author = str(given.pop("author", AMARA))
        if "id" in given:
            worklog = self.records.get("worklog", str(given.pop("id"))) or {}
            if given.pop("deleted", False):
                self.site.delete_worklog(worklog, author)
            else:
                self.site.change_worklog(worklog, worklogs.fields_of(given, "2", creating=False), author)
            return worklog
        issue = self.site.issue(given.pop("issue"))
        stamps = {name: _moment(given.pop(name)) for name in ("created", "updated") if name in given}
        fields = {"started": self.site.now(), **worklogs.fields_of(given, "2", creating=True)}
        return self.site.add_worklog(issue, fields, author, properties=given.get("properties"), **stamps)

    # -- requests ------------------------------------------------------------------------------------------------
    async def _token(self, request: Request) -> Response:
        raw = await request.body()
        if request.headers.get("content-type", "").startswith("application/json"):
            return self.access.grant(_json(raw))
        return self.access.grant(dict(await request.form()))

    async def _api(self, request: Request) -> Response:
        raw = await request.body()
        try:
            return self._answer(request, raw)
        except Refused as refused:
            return refused.response()

    def _answer(self, request: Request, raw: bytes) -> Response:
        caller = self.access.caller(request.headers.get("authorization", ""))
        version, path = request.path_params["version"], request.path_params["path"].rstrip("/")
        version = "3" if version == "latest" else version
        if version not in ("2", "3"):
            raise Refused(404, "HTTP 404 Not Found")
        handler, parts, kind = found(request.method, path)
        self.access.count(kind)
        view = View(self.site, caller, version, self.base_url)
        made = handler(Call(request, self.site, view, self.knobs, _json(raw) if raw else None, parts))
        if isinstance(made, Response):
            return made
        status, body = made if isinstance(made, tuple) else (200, made)
        return Response(status_code=status) if body is None else JSONResponse(body, status)

    async def _hooks(self, request: Request) -> Response:
        raw = await request.body()
        try:
            self._administrator(request)
            if request.method == "GET":
                return JSONResponse([self.hooks.shown(number) for number in self.hooks.registered])
            body = _json(raw)
            if not isinstance(body, dict):
                raise not_json()
            return JSONResponse(self.hooks.register(body), 201)
        except Refused as refused:
            return refused.response()

    async def _hook(self, request: Request) -> Response:
        number = request.path_params["number"]
        try:
            self._administrator(request)
            if number not in self.hooks.registered:
                raise Refused(404, "No webhook with that id.")
            if request.method == "GET":
                return JSONResponse(self.hooks.shown(number))
            del self.hooks.registered[number]
            return Response(status_code=204)
        except Refused as refused:
            return refused.response()

    def _administrator(self, request: Request) -> None:
        if self.access.caller(request.headers.get("authorization", "")).account_id != PETRA:
            raise Refused(403, "Only Jira administrators can manage webhooks.")


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise not_json() from None


def _moment(text: str) -> str:
    return kept(datetime.fromisoformat(text))
