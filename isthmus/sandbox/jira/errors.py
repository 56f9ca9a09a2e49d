"""Refusals in the site's own shape: a list of messages, and messages by field.

Modelled from the vendor's published material; not certified. The shape is published, and these texts: the missing
summary, the unbounded query. Other texts are worded after what users report, and not to be relied on by a client.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

NO_ISSUE = "Issue does not exist or you do not have permission to see it."


class Refused(Exception):
    """One refused request. messages: of the whole; fields: by field."""

    def __init__(self, status: int, *messages: str, **fields: str) -> None:
        super().__init__(f"{status}: {messages or fields}")
        self.status = status
        self.messages = list(messages)
        self.fields = fields
        self.headers: dict[str, str] = {}

    def response(self) -> Response:
        """The answer."""
        if self.status == 401:
            # The sign-in stands before the application and answers in plain text.
            return PlainTextResponse(
                "Client must be authenticated to access this resource.",
                401,
                {"WWW-Authenticate": 'OAuth realm="https%3A%2F%2Fsandbox.atlassian.example"'},
            )
        return JSONResponse(self.body(), self.status, self.headers)

    def body(self) -> dict[str, Any]:
        """What it says, as a body or as a part of one."""
        return {"errorMessages": self.messages, "errors": self.fields}


def no_issue() -> Refused:
    """There is none, or the caller may not know that there is."""
    return Refused(404, NO_ISSUE)


def not_json() -> Refused:
    """A body that is no JSON object."""
    return Refused(400, "Invalid request payload. Refer to the REST API documentation and try again.")
