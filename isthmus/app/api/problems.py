"""Every answer of 400 and above is a problem document (RFC 9457), whatever raised it; a denial is kept in the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from isthmus.domain.errors import (
    IsthmusError,
    NotOwner,
    NotPermitted,
    OutcomeUnknown,
    Refused,
    Retryable,
    SignatureInvalid,
)

if TYPE_CHECKING:
    from isthmus.app.bootstrap import Hub

log = structlog.get_logger("isthmus.api")
MEDIA_TYPE = "application/problem+json"
DENIALS = (NotPermitted, NotOwner, SignatureInvalid)


class Unauthenticated(Refused):
    """Nobody the hub knows: no token, or none of its callers'."""

    code = "unauthenticated"
    status = 401


class TooManyRequests(Refused):
    """The caller has used up its allowance; others have not."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str, after_seconds: int) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class KeyMissing(Refused):
    """A write without an Idempotency-Key could not be repeated safely."""

    code = "idempotency_key_missing"
    status = 400


class NotUsable(Refused):
    """A message that cannot be used; it is kept in quarantine under message_id."""

    code = "bad_input"
    status = 422

    def __init__(self, message: str, message_id: str) -> None:
        super().__init__(message)
        self.message_id = message_id


class Problem(BaseModel):
    """RFC 9457 problem details with what the hub adds: a stable code, who acts, and whether to try again.

    rule and route come with a refusal of the write gate; errors with input that breaks its schema.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    owner: str
    retryable: bool
    rule: str | None = None
    route: str | None = None
    message_id: str | None = None
    errors: list[dict[str, Any]] | None = None


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    owner: str = "caller",
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """The problem document as an answer."""
    body = Problem(
        type=f"urn:isthmus:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        owner=owner,
        retryable=retryable,
        **more,
    )
    content = body.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def of_error(error: IsthmusError) -> Response:
    """The problem of an error of the house: its class already says what happens next."""
    owner, headers, more = error.owner, {}, {}
    if isinstance(error, NotOwner):
        owner, more = error.owner_system, {"rule": error.rule, "route": error.route}
    if isinstance(error, NotUsable):
        more = {"message_id": error.message_id}
    if isinstance(error, Unauthenticated):
        headers = {"WWW-Authenticate": "Bearer"}
    retryable = isinstance(error, Retryable | OutcomeUnknown | TooManyRequests)
    after = getattr(error, "after_seconds", None)
    if retryable:
        headers = {"Retry-After": str(max(1, round(after or 1)))}
    return problem(error.status, error.code, error.message, owner=owner, retryable=retryable, headers=headers, **more)


def audit_denial(hub: Hub, actor: str, place: str, error: IsthmusError) -> None:
    """Keep a denied attempt: in a transaction of its own, because the refused one was rolled back."""
    with hub.store.transaction() as tx:
        books = hub.kernel.books(tx, key=place, actor=actor)
        more = {"rule": error.rule, "owner": error.owner_system} if isinstance(error, NotOwner) else {}
        books.audit("api.denied", f"caller:{actor}", reason=error.message, after={"place": place, **more})


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, IsthmusError)
    if isinstance(error, DENIALS):
        actor = getattr(request.state, "actor", "") or "unknown"
        audit_denial(request.app.state.hub, actor, f"{request.method} {request.url.path}", error)
    return of_error(error)


_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "wrong_media_type"}


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, HTTPStatus(error.status_code).phrase.lower().replace(" ", "_"))
    return problem(error.status_code, code, str(error.detail), headers=error.headers)


def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"where": ".".join(str(p) for p in e["loc"]), "reason": e["msg"]} for e in error.errors()]
    return problem(422, "bad_input", told(error.errors()), errors=errors)


def told(errors: Sequence[Any]) -> str:
    """Validation errors as one sentence."""
    parts = [f"{'.'.join(str(p) for p in e['loc']) or 'body'}: {e['msg']}" for e in errors[:20]]
    more = f"; and {len(errors) - 20} more" if len(errors) > 20 else ""
    return "; ".join(parts) + more


def _on_database(request: Request, error: Exception) -> Response:
    log.warning("database", reason=str(error).splitlines()[0])
    detail = "the database cannot be reached; nothing was done"
    return problem(503, "unreachable", detail, owner="integration", retryable=True, headers={"Retry-After": "5"})


def _on_bug(request: Request, error: Exception) -> Response:
    log.error("bug", place=f"{request.method} {request.url.path}", reason=repr(error))
    detail = "a bug of the hub; the integration team sees it in the log. Nothing of this request was kept."
    return problem(500, "bug", detail, owner="integration")


def install(app: FastAPI) -> None:
    """Turn whatever is raised into a problem document."""
    app.add_exception_handler(IsthmusError, _on_error)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(sa.exc.OperationalError, _on_database)
    app.add_exception_handler(sa.exc.TimeoutError, _on_database)
    app.add_exception_handler(Exception, _on_bug)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses section of an endpoint for the problems it may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)}
