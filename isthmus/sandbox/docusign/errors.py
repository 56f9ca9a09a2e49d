"""DocuSign's refusals: ``{"errorCode", "message"}``, and OAuth's at the account server.

Modelled from the vendor's published material; not certified. Limits are answered 400 with a code of their own (the
vendor moves them to 429 and asks clients to go by the code). Not confirmed by a published page, and not to be relied on
by a client: the wording of most messages, the status of ENVELOPE_DOES_NOT_EXIST (404 here), how often Connect tries
again (45 times here), the order of a list without order_by, how nextUri is written.
"""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request the API turns down."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"errorCode": code, "message": message}


class NoGrant(Refused):
    """A token the account server does not give."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(400, error, description)
        self.body = {"error": error, **({"error_description": description} if description else {})}


def no_envelope() -> Refused:
    """There is none with this id, or this user may not see it."""
    message = "The envelope specified either does not exist or you have no rights to it."
    return Refused(404, "ENVELOPE_DOES_NOT_EXIST", message)


def bad_token() -> Refused:
    """No token, an unknown one or one past its hour."""
    message = "The access token provided is expired, revoked or malformed."
    return Refused(401, "AUTHORIZATION_INVALID_TOKEN", message)


def bad_parameter(message: str) -> Refused:
    """A parameter is missing or wrong."""
    return Refused(400, "INVALID_REQUEST_PARAMETER", f"The request contained at least one invalid parameter. {message}")


def bad_body(message: str) -> Refused:
    """A body that cannot be used."""
    return Refused(400, "INVALID_REQUEST_BODY", f"The request body is missing or improperly formatted. {message}")


def wrong_account() -> Refused:
    """The token's user has no membership in the account of the path."""
    message = "The specified User is not a member of the specified Account."
    return Refused(401, "USER_DOES_NOT_BELONG_TO_SPECIFIED_ACCOUNT", message)
