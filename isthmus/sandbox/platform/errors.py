"""The platform's errors: a JSON array of {message, errorCode, fields}, and the exceptions that become one.

Modelled from the vendor's published material; not certified. Status codes and error codes follow the published
guides. Not confirmed by a published page, and therefore not to be relied on by a client: the wording of messages, the
code for more than 25 or 200 parts in a composite call, the body of a 412, and which code answers a contract that is
moved back from Activated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NO_RESOURCE = "The requested resource does not exist"


class ApiError(Exception):
    """One refused operation: HTTP status, error code, message, fields at fault."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[dict[str, Any]]:
        """The body of a whole failed request."""
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            entry["fields"] = list(self.fields)
        return [entry]

    def result(self) -> dict[str, Any]:
        """The entry for one failed record inside a collection result."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}


class Ambiguous(Exception):
    """An external id that names several records: answered 300 with their addresses."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(", ".join(ids))
        self.ids = ids


def not_found(message: str = NO_RESOURCE) -> ApiError:
    """Nothing at this address."""
    return ApiError(404, "NOT_FOUND", message)


def no_such_record(key: str) -> ApiError:
    """The platform words a missing record as a missing external id field."""
    return not_found(f"Provided external ID field does not exist or is not accessible: {key}")


def invalid_field(name: str, object_name: str) -> ApiError:
    """A write names a column the object does not have."""
    return ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {object_name}")


def wrong_type(kind: str, value: object) -> ApiError:
    """A JSON value that cannot become the column's type."""
    token = {
        bool: "VALUE_TRUE" if value is True else "VALUE_FALSE",
        str: "VALUE_STRING",
        dict: "START_OBJECT",
        list: "START_ARRAY",
    }.get(type(value), "VALUE_NUMBER_FLOAT")
    return ApiError(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of {kind} from {token} value {value}")


def session_expired() -> ApiError:
    """No token, an unknown one or one past its lifetime."""
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def over_daily_limit() -> ApiError:
    """The organisation has used its requests of the day."""
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


def halted(message: str) -> ApiError:
    """A part of a composite call that was not carried out because of another part."""
    return ApiError(400, "PROCESSING_HALTED", message)


def rolled_back() -> ApiError:
    """A good record in a collection whose other record failed, with allOrNone."""
    return ApiError(
        400,
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
    )
