"""The door: log in by the identity provider, or by a local account on loopback; log out."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from isthmus.app.bootstrap import Hub
from isthmus.app.console.oidc import Provider, granted
from isthmus.app.console.pages import form_of, refuse_unstorable
from isthmus.app.console.render import render
from isthmus.app.console.sessions import COOKIE, Sessions, clear_cookie, csrf_holds, set_cookie
from isthmus.app.console_config import LocalPerson
from isthmus.domain.errors import IsthmusError, NotPermitted
from isthmus.policies.authority import Actor

HOME, LOGIN = "/console/", "/console/login"
BEGUN = "isthmus_login"
PROXIED = frozenset({"forwarded", "x-real-ip", "via", "cdn-loop"})


def routes() -> list[Route]:
    """The pages anybody may see."""
    return [
        Route("/login", _login, methods=["GET", "POST"]),
        Route("/login/begin", _begin, methods=["GET"]),
        Route("/login/back", _back, methods=["GET"]),
        Route("/logout", _logout, methods=["POST"]),
    ]


async def _login(request: Request) -> Response:
    if request.method == "GET":
        return await run_in_threadpool(_door, request, "")
    return await run_in_threadpool(_local, request, await _given(request))


async def _given(request: Request) -> dict[str, str]:
    given = await form_of(request)
    refuse_unstorable(request, given)
    return given


async def _begin(request: Request) -> Response:
    return await run_in_threadpool(_send_away, request)


async def _back(request: Request) -> Response:
    refuse_unstorable(request, {})
    return await run_in_threadpool(_come_back, request)


async def _logout(request: Request) -> Response:
    return await run_in_threadpool(_leave, request, await _given(request))


def _door(request: Request, said: str, status: int = 200) -> Response:
    hub: Hub = request.app.state.hub
    facts = {
        "oidc": hub.firm.console.oidc is not None,
        "local": bool(hub.firm.console.people) and on_loopback(request),
        "next": next_page(request.query_params.get("next", "")),
        "said": said,
    }
    return render(request, "login.html", facts, status=status)


def on_loopback(request: Request) -> bool:
    """True when browser and server are on this machine, with nothing in between that speaks for somebody else."""
    forwarded = any(name in PROXIED or name.startswith("x-forwarded-") for name in request.headers)
    server = (request.scope.get("server") or ("",))[0]
    client = request.client.host if request.client else ""
    return not forwarded and all(_is_loopback(host) for host in (client, server, request.url.hostname or ""))


def _from_here(request: Request) -> bool:
    """True when the browser says so, or says nothing: a proxy may hide where it stands, but not what page it shows."""
    site, origin = request.headers.get("sec-fetch-site", "same-origin"), request.headers.get("origin", "")
    same = not origin or urlsplit(origin).netloc == request.url.netloc
    return same and site in ("same-origin", "none")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def next_page(wanted: str) -> str:
    """A page of the console, or its first one: never an address elsewhere."""
    parts = urlsplit(wanted)
    inside = not parts.scheme and not parts.netloc and wanted.startswith("/console/") and "\\" not in wanted
    return wanted if inside else HOME


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


# -- a local account ------------------------------------------------------------------------------------------------


def _local(request: Request, given: dict[str, str]) -> Response:
    """A password on loopback. Every account is compared, so the time says nothing about the names there are."""
    sessions: Sessions = request.app.state.sessions
    name, address = given.get("name", "").strip(), _address(request)
    if not on_loopback(request) or not _from_here(request):
        sessions.refused(name, address, "a local account from elsewhere")
        return _door(request, "Local accounts are for this machine alone.", 403)
    until = sessions.locked(name, address)
    if until is not None:
        return _door(request, f"Too many failed attempts: locked until {until:%H:%M} UTC.", 429)
    person = _person(request.app.state.hub, name, given.get("password", ""))
    if person is None:
        sessions.failed(name, address, "wrong name or password")
        return _door(request, "Wrong name or password.", 401)
    sessions.succeeded(name, address)
    return _welcome(request, request.app.state.hub.firm.actor(person), "local account", given.get("next", ""))


def _person(hub: Hub, name: str, password: str) -> LocalPerson | None:
    found = None
    for person in hub.firm.console.people:
        same = hmac.compare_digest(hub.vault.read(person.password).encode(), password.encode())
        if same and person.name == name and password:
            found = person
    return found


def _welcome(request: Request, who: Actor, via: str, wanted: str) -> Response:
    sessions: Sessions = request.app.state.sessions
    response = RedirectResponse(next_page(wanted), 303)
    set_cookie(request, response, sessions.begin(who, via, _address(request)), sessions.config.session_hours)
    return response


# -- the identity provider ------------------------------------------------------------------------------------------


def _callback(request: Request) -> str:
    hub: Hub = request.app.state.hub
    base = hub.firm.console.public_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"
    return f"{base}/console/login/back"


def _send_away(request: Request) -> Response:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        return _door(request, "No identity provider is set up.", 404)
    wanted = next_page(request.query_params.get("next", ""))
    try:
        state, address = provider.begin(request.app.state.hub, _callback(request), wanted)
    except IsthmusError as error:
        return _door(request, error.message, error.status)
    response = RedirectResponse(address, 303)
    # What comes back counts only in the browser it was begun in: nobody is logged in as somebody else by a link.
    secure = request.url.scheme == "https"
    response.set_cookie(BEGUN, state, max_age=600, path=LOGIN, httponly=True, samesite="lax", secure=secure)
    return response


def _come_back(request: Request) -> Response:
    provider: Provider | None = request.app.state.provider
    hub: Hub = request.app.state.hub
    sessions: Sessions = request.app.state.sessions
    state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
    address = _address(request)
    if provider is None or not state or not code:
        said = request.query_params.get("error_description") or request.query_params.get("error") or "nothing came back"
        sessions.refused("", address, f"identity provider: {said[:200]}")
        return _door(request, f"The identity provider has refused: {said[:200]}.", 403)
    try:
        if not hmac.compare_digest(request.cookies.get(BEGUN, "").encode(), state.encode()):
            raise NotPermitted("this login was not begun in this browser; please begin again")
        claims, wanted = provider.finish(hub, _callback(request), state, code)
        who = granted(claims, hub.firm.console.grants, hub)
    except IsthmusError as error:
        sessions.refused("", address, error.message)
        return _door(request, error.message, error.status)
    response = _welcome(request, who, "identity provider", wanted)
    response.delete_cookie(BEGUN, path=LOGIN)
    return response


def _leave(request: Request, given: dict[str, str]) -> Response:
    sessions: Sessions = request.app.state.sessions
    session = sessions.find(request.cookies.get(COOKIE, ""))
    if session is not None and csrf_holds(session, request, given):
        sessions.end(session)
    response = RedirectResponse("/console/login", 303)
    clear_cookie(response)
    return response
