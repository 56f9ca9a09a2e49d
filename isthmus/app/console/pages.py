"""How a page declares itself: its address, the permission it asks for, and what serves it. One table of all pages.

Every page but the door itself is guarded here: who is logged in, what they may, and whether a form is the page's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.app.api.admission import is_storable
from isthmus.app.api.problems import audit_denial
from isthmus.app.bootstrap import Hub
from isthmus.app.console.sessions import COOKIE, Sessions, actor_of, csrf_holds
from isthmus.domain.errors import BadInput, IsthmusError, NotPermitted
from isthmus.policies.authority import Actor, demand
from isthmus.store.desk_records import Session

BY_ITSELF = "x-by-itself"
FORM_MAX = 200
VALUE_MAX = 4000


@dataclass(frozen=True)
class Look:
    """One admitted request: who looks, at what, with which form."""

    hub: Hub
    request: Request
    session: Session
    actor: Actor
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """True when only a part of the page is wanted (htmx asks)."""
        return self.request.headers.get("hx-request") == "true" and "hx-history-restore-request" not in (
            self.request.headers
        )

    def query(self, name: str) -> str:
        """A value of the address's query; empty when it is not there."""
        return self.request.query_params.get(name, "").strip()[:VALUE_MAX]

    def path(self, name: str) -> str:
        """A value of the address."""
        return str(self.request.path_params.get(name, ""))

    def may(self, permission: str) -> bool:
        """Whether the one who looks has the permission: what is not allowed is not offered."""
        return self.actor.may(permission)


Serve = Callable[[Look], Response]


@dataclass(frozen=True)
class Page:
    """One page. path: below /console. group: the entry of the navigation it belongs to."""

    method: str
    path: str
    permission: str
    serve: Serve

    @property
    def key(self) -> str:
        """GET /cases/{case_no}."""
        return f"{self.method} {self.path}"


PAGES: dict[str, Page] = {}


def page(path: str, permission: str, *, method: str = "GET") -> Callable[[Serve], Serve]:
    """Declare a page. A form's page asks for a permission of its own."""

    def declare(serve: Serve) -> Serve:
        one = Page(method, path, permission, serve)
        assert one.key not in PAGES, f"{one.key} is declared twice"
        PAGES[one.key] = one
        return serve

    return declare


def routes() -> list[Route]:
    """A guarded route for every declared page."""
    return [Route(one.path, _guarded(one), methods=[one.method]) for one in PAGES.values()]


def _guarded(one: Page) -> Callable[[Request], Any]:
    async def serve(request: Request) -> Response:
        form = await form_of(request) if one.method == "POST" else {}
        refuse_unstorable(request, form)
        return await run_in_threadpool(_admit, one, request, form)

    return serve


def refuse_unstorable(request: Request, form: dict[str, str]) -> None:
    """BadInput for a character that no column holds, in the address or the form: nobody types one."""
    given = [*request.path_params.values(), *request.query_params.values(), *form, *form.values()]
    if not all(is_storable(str(text)) for text in given):
        raise BadInput("the address or the form holds a character that cannot be stored")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; a file is none, and what is longer than a field may be is cut."""
    async with request.form(max_files=0, max_fields=FORM_MAX) as form:
        return {name: str(value)[:VALUE_MAX] for name, value in form.items() if isinstance(value, str)}


def _admit(one: Page, request: Request, form: dict[str, str]) -> Response:
    hub: Hub = request.app.state.hub
    sessions: Sessions = request.app.state.sessions
    by_itself = BY_ITSELF in request.headers  # an open page fetches what has moved: nobody need be there
    session = sessions.find(request.cookies.get(COOKIE, ""), seen=not by_itself)
    if session is None:
        return _to_the_door(request)
    request.state.session, request.state.actor = session, session.name
    actor = actor_of(session)
    try:
        if one.method == "POST" and not csrf_holds(session, request, form):
            raise NotPermitted("this form is not from a page of yours, or its session has ended: load the page anew")
        request.state.look = look = Look(hub, request, session, actor, form)
        demand(actor, one.permission)
        return one.serve(look)
    except NotPermitted as refused:
        audit_denial(hub, session.name, f"{request.method} {request.url.path}", refused)
        raise


def _to_the_door(request: Request) -> Response:
    """Log in first, and come back to the page that was wanted."""
    wanted = str(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
    target = f"/console/login?next={quote(wanted if request.method == 'GET' else '/console/', safe='')}"
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"HX-Redirect": target})
    return RedirectResponse(target, 303)


def to(path: str) -> Response:
    """Go on to another page after a form."""
    return RedirectResponse(path, 303)


def told(error: IsthmusError) -> str:
    """A refusal in words people read."""
    return error.message
