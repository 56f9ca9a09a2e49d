"""How an endpoint declares itself; the application adds the declared ones in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, model_validator

from isthmus.app.api.access import ROUTES
from isthmus.app.api.admission import is_storable
from isthmus.app.api.problems import documented

Fn = TypeVar("Fn", bound=Callable[..., Any])
T = TypeVar("T")

PAGE_MAX = 500
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="At most this many")]
Cursor = Annotated[str, Query(max_length=2000, description="next_cursor of the page before")]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: method and address as the access table has them, and what serves it."""

    route: str
    serve: Callable[..., Any]
    path: str
    status: int
    answer: Any
    extra: dict[str, Any] = field(default_factory=dict)


ENDPOINTS: dict[str, Endpoint] = {}


def endpoint(
    route: str, *, answer: Any = None, status: int = 200, path: str = "", extra: dict[str, Any] | None = None
) -> Callable[[Fn], Fn]:
    """Declare an endpoint. path: the address with converters, where a key may hold slashes. answer: its schema."""

    def declare(serve: Fn) -> Fn:
        ENDPOINTS[route] = Endpoint(route, serve, path or route.split(" ")[1], status, answer, extra or {})
        return serve

    return declare


def add_all(app: FastAPI) -> None:
    """Add every declared endpoint with its tag, owner, summary and documented problems."""
    # An address that ends in a key with slashes takes all that begins like it: it comes after those that say more.
    for route, one in sorted(ENDPOINTS.items(), key=lambda declared: declared[1].path.endswith(":path}")):
        access, method = ROUTES[route], route.split(" ")[0]
        app.add_api_route(
            one.path,
            one.serve,
            methods=[method],
            status_code=one.status,
            response_model=one.answer,
            tags=[access.layer],
            summary=(one.serve.__doc__ or "").split("\n")[0].rstrip("."),
            operation_id=one.serve.__name__,
            openapi_extra=_extra(one),
            responses=documented(*_problems(one)),
        )


def _problems(one: Endpoint) -> set[int]:
    """What may go wrong here, from the access table and the shape of the address."""
    access, method = ROUTES[one.route], one.route.split(" ")[0]
    found = {422, 500, 503}
    if access.permission:
        found |= {400, 401, 403, 429}
    if method == "POST":
        found |= {400, 401, 403, 404, 409, 413, 429}
    if "{" in one.path:
        found |= {404}
    return found


def _extra(one: Endpoint) -> dict[str, Any]:
    access = ROUTES[one.route]
    extra: dict[str, Any] = {"x-owner": access.owner, "x-roles": sorted(access.roles), **one.extra}
    if access.permission:
        extra["security"] = [{"token": []}]
    if access.key != "none":
        header = {
            "name": "Idempotency-Key",
            "in": "header",
            "required": access.key == "required",
            "schema": {"type": "string", "maxLength": 200},
            "description": "Same key and body: the same answer, done once. Kept 24 hours.",
        }
        extra["parameters"] = [*extra.get("parameters", []), header]
    return extra


class Asked(BaseModel):
    """Base of request bodies: unknown fields refused, text must be storable."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, content: Any) -> Any:
        if not all(is_storable(text) for text in texts_in(content)):
            raise ValueError("a text holds a character that cannot be stored")
        return content


def texts_in(content: Any) -> list[str]:
    """All texts of a JSON value, keys too."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, dict):
        return [text for pair in content.items() for one in pair for text in texts_in(one)]
    return [text for one in content for text in texts_in(one)] if isinstance(content, list) else []


class Page(BaseModel, Generic[T]):
    """A page of a list; next_cursor is empty at its end."""

    items: list[T]
    next_cursor: str = ""
