"""Puts the HTTP API together: guarded routes, problems, envelope, and the OpenAPI description."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from isthmus import __version__
from isthmus.app.api import (  # importing declares the endpoints, in this order
    buying,
    contracts,
    entities,
    experience,
    files,
    handing_in,
    health,
    ledger,
    money,
    people,
    starts,
    webhooks,
)
from isthmus.app.api.admission import Door, GuardedRoute
from isthmus.app.api.endpoints import add_all
from isthmus.app.api.envelope import Envelope
from isthmus.app.api.gathering import Gatherer
from isthmus.app.api.problems import Problem, install
from isthmus.app.bootstrap import Hub
from isthmus.app.console.site import create_console
from isthmus.runtime.clock import Clock

LAYERS = (buying, contracts, entities, experience, files, handing_in, health, ledger, money, people, starts, webhooks)
TAGS = [
    {"name": "system", "description": "What the hub knows of contracts, projects, time, invoices, payments"},
    {"name": "process", "description": "Take messages in; start, inspect, decide and call off processes"},
    {"name": "experience", "description": "Read-only views over all systems, for consoles and portals"},
]


def create_app(hub: Hub, clock: Clock | None = None) -> FastAPI:
    """The API of a hub, with its console. Callers and webhook secrets are read here: a missing one fails at the start.

    clock: the machine's, for console sessions; tests pass their own.
    """
    # The documentation pages that FastAPI offers load scripts from elsewhere; openapi.json is all that is served.
    app = FastAPI(title="isthmus", version=__version__, docs_url=None, redoc_url=None, openapi_tags=TAGS)
    app.router.route_class = GuardedRoute
    app.state.hub, app.state.door, app.state.secrets = hub, Door(hub), webhooks.secrets_of(hub)
    app.state.metrics, app.state.gatherer = health.registry_of(hub), Gatherer(hub)
    add_all(app)
    app.router.routes.sort(key=_seldom)
    install(app)
    app.mount("/console", create_console(hub, clock))
    app.add_route("/", _home, include_in_schema=False)
    app.add_middleware(Envelope)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


async def _home(request: Request) -> Response:
    """People who come to the address itself want the console."""
    return RedirectResponse("/console/", 307)


def _seldom(route: BaseRoute) -> bool:
    """Routes are tried in their order, so the one that takes messages, thousands in a burst, comes first."""
    return not getattr(route, "path", "").startswith("/webhooks")


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document with the problem schema and the token."""
    if not app.openapi_schema:
        document = FastAPI.openapi(app)
        parts = document.setdefault("components", {})
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        parts.setdefault("schemas", {})["Problem"] = schema
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = document
    assert app.openapi_schema is not None
    return app.openapi_schema
