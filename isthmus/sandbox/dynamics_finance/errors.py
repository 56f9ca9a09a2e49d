"""How this vendor says no: OData error bodies, the text of its Infolog, and the errors of its other doors."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from isthmus.sandbox.dynamics_finance.schema import Entity

_ODATA = "Microsoft.Dynamics.Platform.Integration.Services.OData"
_ACTION = "System.InvalidOperationException"
BUSY = "This request could not be processed at this time due to system experiencing high resource utilization."
JSON = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"


class Refusal(Exception):
    """The vendor says no. in_batch: the status it has as an answer within a change set (published: 500)."""

    def __init__(
        self, status: int, body: Any, *, in_batch: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(json.dumps(body))
        self.status = status
        self.body = body
        self.in_batch = in_batch or status
        self.headers = headers or {}

    @property
    def words(self) -> str:
        """What the service itself has met, else its message."""
        error = self.body["error"]
        return str(error.get("innererror", error)["message"])

    def response(self) -> Response:
        """The refusal as an HTTP answer."""
        content = json.dumps(self.body).encode() if self.body is not None else b""
        return Response(content, self.status, self.headers, JSON if content else None)


def odata(status: int, message: str, inner: str = "", kind: str = "", in_batch: int | None = None) -> Refusal:
    """An OData error; inner, kind: what the service itself met, without its stack."""
    error: dict[str, Any] = {"code": "", "message": message}
    if inner:
        error["innererror"] = {"message": inner, "type": kind, "stacktrace": f"   at {_ODATA}.Update.UpdateProcessor"}
    return Refusal(status, {"error": error}, in_batch=in_batch)


def write_failed(entity: Entity, infolog: str) -> Refusal:
    """A record's validation or write gave up: all of it was rolled back."""
    inner = f"Write failed for table row of type '{entity.xpp}'. Infolog: {infolog}."
    return odata(400, "An error has occurred.", inner, f"{_ODATA}.AxODataWriteException", in_batch=500)


def exists(entity: Entity, shown: str) -> Refusal:
    """The key is taken."""
    return write_failed(entity, f"Info: Cannot create a record in {entity.table}. {shown}.\nThe record already exists.")


def conflict(entity: Entity) -> Refusal:
    """The record is not the one the caller has read."""
    text = f"Cannot edit a record in {entity.table}. An update conflict occurred due to another user process deleting"
    inner = f"{text} the record or changing one or more fields in the record."
    return odata(412, "The record has been changed.", inner, f"{_ODATA}.AxODataConcurrencyException")


def not_there() -> Refusal:
    """Nothing to change under this key."""
    return odata(400, "No resources were found when selecting for update.", in_batch=500)


def bad_request(inner: str) -> Refusal:
    """A request the OData library cannot read."""
    return odata(400, "The request is invalid.", inner, "Microsoft.OData.ODataException", in_batch=400)


def no_route(url: str) -> Refusal:
    """No such collection, function or service."""
    text = f"No HTTP resource was found that matches the request URI '{url}'."
    return Refusal(404, {"Message": f"{text} No route data was found for this request."})


def throttled(seconds: int) -> Refusal:
    """Too much is going on; the caller's priority is too low for now."""
    return Refusal(429, {"error": {"code": "429", "message": BUSY}}, headers={"Retry-After": str(seconds)})


def action_failed(action: str, entity: str, text: str) -> Refusal:
    """An OData action gave up."""
    inner = f"Exception occurred while executing action {action} on Entity {entity}: {text}"
    return odata(500, "An error has occurred.", inner, _ACTION)


def no_entity(label: str) -> Refusal:
    """A data package names an entity that is not there (published: 400)."""
    return odata(400, "An error has occurred.", f"Entity {label} does not exist in the target environment.", _ACTION)


def service_failed(text: str) -> Refusal:
    """A custom service gave up; its transaction was rolled back."""
    body = {
        "Message": f"An exception occured when invoking the operation - {text}",
        "ExceptionType": "XppException",
        "ActivityId": "00000000-0000-0000-0000-000000000000",
    }
    return Refusal(500, body)


def unexpected(status: int) -> Refusal:
    """What the outside sees when the environment itself fails (outage, gateway, planned fault)."""
    return throttled(15) if status == 429 else odata(status, "An error has occurred.")
