"""Puts the console together: static files, the door, guarded pages, errors people can read, and the headers of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.app.bootstrap import Hub
from isthmus.app.console import case, cases, engagements, house, invoices, login, pages, runs, today
from isthmus.app.console.live import Pulse, live
from isthmus.app.console.login import HOME, next_page
from isthmus.app.console.oidc import Provider
from isthmus.app.console.render import render, show
from isthmus.app.console.sessions import Sessions
from isthmus.domain.errors import IsthmusError
from isthmus.runtime.clock import Clock, SystemClock

DECLARED = (case, cases, engagements, house, invoices, runs, today)  # importing them declares the pages

log = structlog.get_logger("isthmus.console")
STATIC = Path(__file__).parent / "static"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
STATIC_SECONDS = 86400


def create_console(hub: Hub, clock: Clock | None = None) -> Starlette:
    """The console of a hub, to be mounted at /console. clock: the machine's, for sessions."""
    clock = clock or SystemClock()
    config = hub.firm.console
    routes: list[Route | Mount] = [
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/live", live, methods=["GET"]),
        *login.routes(),
        *pages.routes(),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Headed)],
        exception_handlers={
            IsthmusError: _on_error,
            HTTPException: _on_http,
            sa.exc.OperationalError: _on_database,
            Exception: _on_bug,
        },
    )
    app.state.hub, app.state.sessions = hub, Sessions(hub, config, clock)
    app.state.provider = Provider(config.oidc, clock, hub.vault.read) if config.oidc else None
    app.state.pulse = Pulse(hub)
    return app


class Headed:
    """Every answer of the console says what a browser may do with it; pages are never kept by anybody."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        static = "/static/" in scope["path"]

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["cache-control"] = f"public, max-age={STATIC_SECONDS}" if static else "no-store"
                if scope.get("scheme") == "https":
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        await self.app(scope, receive, headed)


def _page(request: Request, status: int, title: str, detail: str) -> Response:
    partial = request.headers.get("hx-request") == "true"
    came_from = request.headers.get("referer", "")
    back = came_from if request.method == "POST" and next_page(urlsplit(came_from).path) != HOME else ""
    facts: dict[str, Any] = {"title": title, "detail": detail, "status": status, "back": urlsplit(back).path}
    template, look = "problem_part.html" if partial else "problem.html", getattr(request.state, "look", None)
    if look is None or status >= 500:  # at the door, or where nothing may be asked of the books any more
        response = render(request, template, facts, status=status)
    else:
        response = show(look, template, facts, status=status)
    if partial:  # a refusal is shown where the page has a place for it, whatever was asked for
        response.headers["hx-retarget"], response.headers["hx-reswap"] = "#said", "innerHTML"
    return response


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, IsthmusError)
    titles = {403: "Not yours to do", 404: "Not there", 409: "Not now", 422: "That does not fit"}
    return _page(request, error.status, titles.get(error.status, "That did not work"), error.message)


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = "There is no such page" if error.status_code == 404 else "That did not work"
    return _page(request, error.status_code, title, str(error.detail))


def _on_database(request: Request, error: Exception) -> Response:
    log.warning("database", reason=str(error).splitlines()[0])
    return _page(request, 503, "The books cannot be reached", "Nothing was done. Please try again in a moment.")


def _on_bug(request: Request, error: Exception) -> Response:
    log.error("bug", place=f"{request.method} {request.url.path}", reason=repr(error), exc_info=error)
    return _page(request, 500, "A bug of the hub", "Nothing was kept. The integration team sees it in the log.")
