"""Webhooks of connected systems. Two kinds, told by the connection's secret:

- Standard Webhooks (whsec_…): the hub's own messages, with content, durable before they are answered.
- The vendor's own, signed by the scheme of its manifest: a bell. It may come twice, late or out of order, so its
  content is not taken over: the hub looks at once. A bell that never came is made up for by the next regular look.
"""

from __future__ import annotations

import binascii
from asyncio import wrap_future
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from fastapi import Request
from pydantic import BaseModel
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from isthmus.app.api.endpoints import endpoint
from isthmus.app.api.idempotency import answer_of
from isthmus.app.api.intake import Delivery
from isthmus.app.bootstrap import Hub
from isthmus.app.connecting.found import connector_class
from isthmus.app.firm import ConnectionConfig
from isthmus.domain.errors import NeedsSetup, NotFound, SignatureInvalid
from isthmus.kit import signatures
from isthmus.kit.capture import is_echo
from isthmus.kit.wire import decode
from isthmus.runtime.bells import ring_everywhere

ID_LENGTH_MAX = 200


class Accepted(BaseModel):
    """What became of a message. message_ids: the message's own, then one per fact it brought. Of a vendor's own
    webhook, accepted counts changes that are news, duplicates those the hub has made itself.
    """

    accepted: int
    duplicates: int
    message_ids: list[str]


class Bell:
    """The vendor's own webhooks of one connection."""

    def __init__(self, config: ConnectionConfig, hub: Hub) -> None:
        self.config = config
        self._hub = hub
        self._connector = connector_class(config.connector)(config.settings)
        facts = self._connector.manifest.capture.signature
        if facts is None:
            raise NeedsSetup(f"{config.name}: {config.connector} signs no webhooks of its own: its secret is whsec_…")
        self._facts = facts
        self._secrets()

    def _secrets(self) -> list[str]:
        """Read each time, so that a rotated one is valid without a restart."""
        return self._hub.vault.read(self.config.webhook_secret).split()

    def take_in(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Accepted:
        """Ring when there is anything the hub has not done itself. SignatureInvalid when it is not the vendor's."""
        now, at = datetime.now(UTC), self.config.webhook_url or url
        message_id = signatures.verify(
            self._facts, self._secrets(), method=method, url=at, headers=headers, body=body, now=now
        )
        changes = self._connector.changes_in(decode(body.decode(errors="replace")))
        origin = self._connector.manifest.capture.origin
        news = [change for change in changes if not is_echo(origin, change, self._connector.settings)]
        if news:
            self._hub.bells.ring(self.config.name)
            ring_everywhere(self._hub.store.engine, self.config.name)
        return Accepted(accepted=len(news), duplicates=len(changes) - len(news), message_ids=[message_id])


def secrets_of(hub: Hub) -> dict[str, Webhook | Bell]:
    """The verifier of each connection that sends webhooks."""
    made: dict[str, Webhook | Bell] = {}
    for config in hub.firm.connections:
        if config.webhook_secret:
            secret = hub.vault.read(config.webhook_secret)
            made[config.name] = Webhook(secret) if secret.startswith("whsec_") else Bell(config, hub)
    return made


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
        if isinstance(verifier, Bell):
            rung = partial(verifier.take_in, request.method, str(request.url), body, request.headers)
            told = await run_in_threadpool(rung)
            return answer_of(told.model_dump(), 202)
        message_id = verify(verifier, body, request.headers)
    except SignatureInvalid:
        request.app.state.door.stranger(request.client.host if request.client else "")
        raise
    config = next(c for c in hub.firm.connections if c.name == connection)
    delivery = Delivery(config, message_id, body.decode())
    return answer_of(await wrap_future(request.app.state.gatherer.take_in(delivery)), 202)
