"""The Pub/Sub API over gRPC: topics, schemas, and change events from a replay id on, as fast as the client asks.

Modelled from the vendor's published material (pubsub_api.proto, the Pub/Sub API guide with its error codes); not
certified. Unverified: the gRPC status of an unknown topic and of a used-up delivery allocation.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from isthmus.sandbox.platform import avro
from isthmus.sandbox.platform.changes import ReplayExpired, topic
from isthmus.sandbox.platform.protocol import CUSTOM, EARLIEST, MESSAGES, SERVICE
from isthmus.sandbox.platform.schema import SObject

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

_CODES = "sfdc.platform.eventbus.grpc."
REQUESTED_MAX = 100  # events a client may have asked for at once
POLL_SECONDS = 0.02
_FAULTS = {  # what a planned fault of an HTTP status is here
    401: ("UNAUTHENTICATED", "service.auth.error"),
    429: ("RESOURCE_EXHAUSTED", "subscription.limit.exceeded"),
    503: ("UNAVAILABLE", "service.unavailable"),
}


@dataclass
class Asked:
    """What a subscriber has asked for so far; its later requests come in beside the answers."""

    left: int = 0
    closed: bool = False


class PubSub:
    """The service of one organisation. keepalive_seconds: how long it is silent before it says where the stream is."""

    def __init__(self, box: PlatformSandbox) -> None:
        self._box = box
        self.keepalive_seconds = 270.0
        self._rpc = count(1)
        self._server: grpc.Server | None = None

    def start(self, tls: dict[str, Any]) -> str:
        """Serve on a free port of loopback; the address with its scheme, which says whether it is TLS."""
        self._server = grpc.server(ThreadPoolExecutor(16, thread_name_prefix="pubsub"))
        self._server.add_generic_rpc_handlers((self._handlers(),))
        if tls:
            pair = (Path(tls["ssl_keyfile"]).read_bytes(), Path(tls["ssl_certfile"]).read_bytes())
            port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        else:
            port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    def stop(self) -> None:
        """Stop serving; open subscriptions are cut off."""
        if self._server is not None:
            self._server.stop(grace=None).wait(5)

    def _handlers(self) -> grpc.GenericRpcHandler:
        def unary(act: Callable[..., Any], asked: str, answered: str) -> Any:
            read, write = MESSAGES[asked].FromString, MESSAGES[answered].SerializeToString
            return grpc.unary_unary_rpc_method_handler(act, read, write)

        fetch = (MESSAGES["FetchRequest"].FromString, MESSAGES["FetchResponse"].SerializeToString)
        methods = {
            "GetTopic": unary(self._topic, "TopicRequest", "TopicInfo"),
            "GetSchema": unary(self._schema, "SchemaRequest", "SchemaInfo"),
            "Subscribe": grpc.stream_stream_rpc_method_handler(self._subscribe, *fetch),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    # -- calls -----------------------------------------------------------------------------------------------------
    def _topic(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._let_in("GetTopic", context)
        sobject = self._object(request.topic_name, context)
        known = {"topic_name": request.topic_name, "tenant_guid": self._box.auth.org_id, "can_subscribe": True}
        return MESSAGES["TopicInfo"](**known, schema_id=avro.fingerprint(avro.schema_of(sobject)), rpc_id=self._id())

    def _schema(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._let_in("GetSchema", context)
        for sobject in self._box.store.schema.objects.values():
            schema = avro.schema_of(sobject)
            if avro.fingerprint(schema) == request.schema_id:
                text = json.dumps(schema)
                return MESSAGES["SchemaInfo"](schema_json=text, schema_id=request.schema_id, rpc_id=self._id())
        self._refuse(context, "NOT_FOUND", "schema.not.found", "The schema ID is invalid or not found.")

    def _subscribe(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        self._let_in("Subscribe", context)
        first = next(requests, None)
        if first is None:
            return
        sobject, asked = self._object(first.topic_name, context), Asked()
        self._more(asked, first, context)
        position = self._start(first, context)
        threading.Thread(target=self._hear, args=(requests, asked), daemon=True).start()
        silent_since = time.monotonic()
        while context.is_active():
            events = self._after(position, sobject, asked.left)
            silent = time.monotonic() - silent_since >= self.keepalive_seconds
            if events or silent:
                position = events[-1]["replayId"] if events else self._box.store.changes.latest
                asked.left -= len(events)
                silent_since = time.monotonic()
                yield self._batch(events, sobject, position, asked.left)
            else:
                time.sleep(POLL_SECONDS)

    # -- what they have in common ----------------------------------------------------------------------------------
    def _let_in(self, method: str, context: grpc.ServicerContext) -> None:
        """Outages, planned faults and the token, in this order; and the log of what was asked."""
        box, path = self._box, f"/{SERVICE}/{method}"
        box.log.append({"method": "GRPC", "path": path, "at": box.now().isoformat()})
        fault = next((one for one in box.faults if one.kind == "status" and one.strikes("GRPC", path)), None)
        if box.outage or fault:
            status, code = _FAULTS.get(503 if fault is None else fault.status, ("INTERNAL", "service.internal.error"))
            self._refuse(context, status, code, "a planned fault")
        told = {key: str(value) for key, value in context.invocation_metadata() or ()}
        known = told.get("tenantid", "")[:15] == box.auth.org_id[:15] and told.get("instanceurl") == box.base_url
        if not known or not box.auth.valid(f"Bearer {told.get('accesstoken', '')}"):
            self._refuse(context, "UNAUTHENTICATED", "service.auth.error", "An authentication exception occurred.")

    def _object(self, name: str, context: grpc.ServicerContext) -> SObject:
        found = next((o for o in self._box.store.schema.objects.values() if topic(o.name) == name), None)
        if found is None:
            self._refuse(context, "NOT_FOUND", "topic.not.found", f"The topic {name} is invalid or not found.")
        return found

    def _start(self, first: Any, context: grpc.ServicerContext) -> int:
        changes = self._box.store.changes
        if first.replay_preset == EARLIEST:
            return -2
        if first.replay_preset != CUSTOM:
            return changes.latest
        where = "subscription.fetch.replayid."
        if not first.replay_id:
            self._refuse(context, "INVALID_ARGUMENT", f"{where}validation.failed", "The Replay ID is missing.")
        position = int.from_bytes(first.replay_id, "big")
        try:
            changes.since(position, 1)
        except ReplayExpired:
            told = "The Replay ID validation failed. Ensure that the Replay ID is valid."
            self._refuse(context, "INVALID_ARGUMENT", f"{where}corrupted", told)
        return position

    def _more(self, asked: Asked, request: Any, context: grpc.ServicerContext | None = None) -> None:
        if context is not None and not 0 < request.num_requested <= REQUESTED_MAX:
            code = "subscription.fetch.requested.events.invalid"
            self._refuse(context, "INVALID_ARGUMENT", code, "The number of requested events is invalid.")
        asked.left = min(asked.left + max(request.num_requested, 0), REQUESTED_MAX)

    def _hear(self, requests: Iterator[Any], asked: Asked) -> None:
        try:
            for request in requests:
                self._more(asked, request)
        except grpc.RpcError:
            pass  # the client is gone
        asked.closed = True

    def _after(self, position: int, sobject: SObject, most: int) -> list[dict[str, Any]]:
        """Events of one topic after a place in the stream, which others share."""
        if most <= 0:
            return []
        try:
            events = self._box.store.changes.since(position, 10_000)
        except ReplayExpired:  # forgotten while the subscriber was slow
            events = self._box.store.changes.since(-2, 10_000)
        return [event for event in events if event["topic"] == topic(sobject.name)][:most]

    def _batch(self, events: list[dict[str, Any]], sobject: SObject, position: int, left: int) -> Any:
        schema = avro.schema_of(sobject)
        made = []
        for event in events:
            content = {"schema_id": avro.fingerprint(schema), "payload": avro.payload(event, schema, sobject)}
            inner = MESSAGES["ProducerEvent"](id=f"{event['replayId']:032x}", **content)
            made.append(MESSAGES["ConsumerEvent"](event=inner, replay_id=_replay_id(event["replayId"])))
        told = {"latest_replay_id": _replay_id(position), "rpc_id": self._id(), "pending_num_requested": left}
        return MESSAGES["FetchResponse"](events=made, **told)

    def _id(self) -> str:
        return f"rpc-{next(self._rpc):08d}"

    def _refuse(self, context: grpc.ServicerContext, status: str, code: str, told: str) -> NoReturn:
        rpc_id = self._id()
        context.set_trailing_metadata((("error-code", f"{_CODES}{code}"), ("rpc-id", rpc_id)))
        context.abort(grpc.StatusCode[status], f"{told} rpcId: {rpc_id}")
        raise AssertionError("abort raises")


def _replay_id(position: int) -> bytes:
    return position.to_bytes(8, "big")
