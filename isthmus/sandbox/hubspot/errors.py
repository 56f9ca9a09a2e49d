"""HubSpot's refusals and their bodies.

Modelled from the vendor's published material; not certified. The fields of a body are documented, and all of them as
optional. Not confirmed by a published page, and not to be relied on by a client: the wording of most messages, the code
for a value another record has (400 with CONFLICTING_UNIQUE_VALUE), when a batch answers 207 rather than 400, what an
association of a wrong pair answers, and how long a change takes to show in search.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

NO_CREDENTIALS = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at"
    " https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)


class Refused(Exception):
    """A request the portal turns down. fields: what the body holds beside status, message and correlationId."""

    def __init__(self, status: int, message: str, category: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.fields = fields

    def body(self, correlation_id: str) -> dict[str, Any]:
        """The answer's body."""
        found = {"status": "error", "message": self.message, "correlationId": correlation_id, **self.fields}
        return {**found, "category": self.category} if self.category else found

    def entry(self) -> dict[str, Any]:
        """The entry in the errors of a batch that went through in part."""
        named = {"status": "error", "category": self.category or "OBJECT_NOT_FOUND", "message": self.message}
        context = self.fields.get("context", {})
        return {**named, "context": context, "errors": self.fields.get("errors", []), "links": {}}


def correlation(number: int) -> str:
    """The correlation id of the number-th answer: an UUID, the same in two equal runs."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"hubspot {number}"))


def invalid(message: str, **fields: Any) -> Refused:
    """400: the request breaks a rule."""
    return Refused(400, message, "VALIDATION_ERROR", **fields)


def nothing_here() -> Refused:
    """404 as the vendor words it for a record; without a category."""
    return Refused(404, "resource not found")


def not_found(message: str, **context: list[str]) -> Refused:
    """404 with a category."""
    return Refused(404, message, "OBJECT_NOT_FOUND", **({"context": context} if context else {}))


def bad_values(problems: list[dict[str, Any]]) -> Refused:
    """400 for property values: every wrong one is listed, in the message and as errors."""
    errors = [
        {"message": one["message"], "code": one["error"], "context": {"propertyName": [one["name"]]}}
        for one in problems
    ]
    return invalid(f"Property values were not valid: {json.dumps(problems, separators=(',', ':'))}", errors=errors)


def problem(name: str, code: str, message: str, portal_id: int) -> dict[str, Any]:
    """One wrong property value."""
    told = {"isValid": False, "message": message, "error": code, "name": name}
    return {**told, "localizedErrorMessage": message, "portalId": portal_id}


def too_many(policy: str) -> Refused:
    """429: the policy that was exceeded is named in the body; there is no Retry-After."""
    words = policy.lower()
    fields = {"errorType": "RATE_LIMIT", "policyName": policy}
    return Refused(429, f"You have reached your {words} limit.", "RATE_LIMITS", **fields)


def missing_scopes(scopes: list[str]) -> Refused:
    """403: the token lacks a scope."""
    errors = [{"message": "One or more of the following scopes are required.", "context": {"requiredScopes": scopes}}]
    message = "This app hasn't been granted all required scopes to make this call."
    return Refused(403, message, "MISSING_SCOPES", errors=errors)
