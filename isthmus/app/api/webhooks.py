"""Webhooks: signed messages of connected systems (Standard Webhooks), durable before they are answered."""

from __future__ import annotations

import binascii
from asyncio import wrap_future
from collections.abc import Mapping

from fastapi import Request
from pydantic import BaseModel
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.responses import Response

from isthmus.app.api.endpoints import endpoint
from isthmus.app.api.idempotency import answer_of
from isthmus.app.api.intake import Delivery
from isthmus.app.bootstrap import Hub
from isthmus.app.firm import read_secret
from isthmus.domain.errors import NotFound, SignatureInvalid

ID_LENGTH_MAX = 200


class Accepted(BaseModel):
    """What became of a message. message_ids: the message's own, then one per fact it brought."""

    accepted: int
    duplicates: int
    message_ids: list[str]


def secrets_of(hub: Hub) -> dict[str, Webhook]:
    """The verifier of each connection that sends webhooks."""
    return {c.name: Webhook(read_secret(c.webhook_secret)) for c in hub.firm.connections if c.webhook_secret}


def verify(verifier: Webhook, body: bytes, headers: Mapping[str, str]) -> str:
    """The message's id, if one of its signatures is right and not older than five minutes. SignatureInvalid if not."""
    try:
        verifier.verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as wrong:
        raise SignatureInvalid(f"webhook: {wrong}") from wrong
    except (ValueError, binascii.Error) as wrong:  # the library stumbles over a malformed header or text
        raise SignatureInvalid(f"webhook: the signature or the text cannot be read ({wrong})") from wrong
    message_id = headers["webhook-id"]
    if len(message_id) > ID_LENGTH_MAX or not message_id.isprintable():
        raise SignatureInvalid(f"webhook: an id has at most {ID_LENGTH_MAX} printable characters")
    return message_id


_SIGNED = [
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
]
_BODY = {
    "type": "object",
    "required": ["type", "schema_version", "data"],
    "properties": {
        "type": {"enum": ["time.approved", "contract.approved", "payment.received"]},
        "schema_version": {"const": 1},
        "data": {"type": "object"},
    },
}
_EXTRA = {
    "parameters": _SIGNED,
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
}


@endpoint("POST /webhooks/{connection}", answer=Accepted, status=202, extra=_EXTRA)
async def receive_webhook(connection: str, request: Request) -> Response:
    """Take a signed message of a connected system."""
    hub: Hub = request.app.state.hub
    verifier = request.app.state.secrets.get(connection)
    if verifier is None:
        raise NotFound(f"connection {connection} takes no webhooks")
    request.state.actor = f"connection:{connection}"
    body = await request.body()
    try:
        message_id = verify(verifier, body, request.headers)
    except SignatureInvalid:
        request.app.state.door.stranger(request.client.host if request.client else "")
        raise
    config = next(c for c in hub.firm.connections if c.name == connection)
    delivery = Delivery(config, message_id, body.decode())
    return answer_of(await wrap_future(request.app.state.gatherer.take_in(delivery)), 202)
