"""The Salesforce platform's event bus as a request like any other: events of a topic after a place in its stream.

A connector yields Events and gets an answer as for an HTTP request; the executor sends it here. It is one subscription
of the Pub/Sub API (gRPC, pubsub_api.proto) that ends as soon as something has come, or after a short time of silence:
what comes meanwhile waits there, and is read by the next. Errors have the platform's shape and statuses as over HTTP.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import grpc
import httpx
import simplejson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from isthmus.domain.errors import NeedsSetup
from isthmus.kit.wire import Answer, Request

EVENTS_MAX = 100  # the most a subscriber may ask for at once
SILENCE_SECONDS = 2.0
GONE = 410  # the answer for a place in the stream that is kept no longer
_GONE_CODE = "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted"
_SERVICE = "eventbus.v1.PubSub"
_FROM_THE_FIRST, _AFTER = 1, 2  # ReplayPreset EARLIEST and CUSTOM
_STATUSES = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "INVALID_ARGUMENT": 400,
    "RESOURCE_EXHAUSTED": 429,
}
# Of the published protocol what is needed to listen: field numbers by message; a star marks a list.
_PROTOCOL = {
    "FetchRequest": "topic_name:1:string replay_preset:2:int32 replay_id:3:bytes num_requested:4:int32",
    "ProducerEvent": "id:1:string schema_id:2:string payload:3:bytes",
    "ConsumerEvent": "event:1:ProducerEvent replay_id:2:bytes",
    "FetchResponse": "events:1:ConsumerEvent* latest_replay_id:2:bytes pending_num_requested:4:int32",
    "SchemaRequest": "schema_id:1:string",
    "SchemaInfo": "schema_json:1:string schema_id:2:string",
}
_TYPES = {"string": 9, "bytes": 12, "int32": 5}


@dataclass(frozen=True)
class Events(Request):
    """Events of a topic; path is the bus' address (https://host:port). after: replay id as hex text, empty for all that
    are kept; tenant: the organisation's id. The answer's body: events (as objects), position, more.
    """

    topic: str = ""
    after: str = ""
    tenant: str = ""


def listen(address: str, topic: str, after: str, tenant: str, silence_seconds: float = SILENCE_SECONDS) -> Events:
    """The request for what has come after a place; 410 is an answer, see GONE."""
    told = {"topic": topic, "after": after, "tenant": tenant, "timeout_seconds": silence_seconds}
    return Events("SUBSCRIBE", address, allow=(GONE,), writes=False, **told)  # type: ignore[arg-type]


class Bus:
    """Connections to event buses, one per address. verify: see kit.executor.trusted."""

    def __init__(self, verify: str | bool) -> None:
        self._roots = Path(verify).read_bytes() if isinstance(verify, str) else None
        self._channels: dict[str, grpc.Channel] = {}
        self._schemas: dict[str, Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        for channel in self._channels.values():
            channel.close()

    def ask(self, request: Events, metadata: dict[str, str]) -> Answer:
        """What has come, or what the bus has refused and why."""
        channel, told = self._channel(request.path), tuple(metadata.items())
        try:
            body = self._listen(channel, request, told)
        except grpc.RpcError as refused:
            return _refusal(refused)
        return Answer(200, httpx.Headers(), body, simplejson.dumps(body, default=str))

    def _listen(self, channel: grpc.Channel, request: Events, metadata: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        ended, events, position = threading.Event(), list[Any](), request.after
        first = {"topic_name": request.topic, "num_requested": EVENTS_MAX}
        first["replay_preset"] = _AFTER if request.after else _FROM_THE_FIRST
        first["replay_id"] = bytes.fromhex(request.after)

        def asked() -> Iterator[Any]:
            yield _MESSAGES["FetchRequest"](**first)
            ended.wait()  # a stream of requests that ends would end the subscription

        call = _method(channel.stream_stream, "Subscribe", "FetchRequest", "FetchResponse")(
            asked(), metadata=metadata, timeout=request.timeout_seconds
        )
        try:
            for answer in _until_silent(call):
                events += [self._read(channel, one, metadata) for one in answer.events]
                position = answer.latest_replay_id.hex() or position
                if answer.events:
                    break
        finally:
            ended.set()
            call.cancel()
        return {"events": events, "position": position, "more": len(events) >= EVENTS_MAX}

    def _read(self, channel: grpc.Channel, one: Any, metadata: tuple[tuple[str, str], ...]) -> dict[str, Any]:
        schema_id = one.event.schema_id
        if schema_id not in self._schemas:
            ask = _method(channel.unary_unary, "GetSchema", "SchemaRequest", "SchemaInfo")
            told = ask(_MESSAGES["SchemaRequest"](schema_id=schema_id), metadata=metadata, timeout=30)
            self._schemas[schema_id] = fastavro.parse_schema(simplejson.loads(told.schema_json))
        read: Any = fastavro.schemaless_reader(io.BytesIO(one.event.payload), self._schemas[schema_id], None)
        return dict(read)

    def _channel(self, address: str) -> grpc.Channel:
        with self._lock:
            if address not in self._channels:
                scheme, _, host = address.partition("://")
                if scheme not in ("https", "http") or not host:
                    raise NeedsSetup(f"{address!r} is no address of an event bus, such as https://host:7443")
                credentials = grpc.ssl_channel_credentials(self._roots)
                plain = scheme == "http"
                made = grpc.insecure_channel(host) if plain else grpc.secure_channel(host, credentials)
                self._channels[address] = made
            return self._channels[address]


def _until_silent(call: Any) -> Iterator[Any]:
    """Answers until the deadline, which is no error here."""
    with suppress(StopIteration):
        while True:
            try:
                answer = next(call)
            except grpc.RpcError as over:
                if over.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    return
                raise
            yield answer


def _refusal(refused: Any) -> Answer:
    """An error in the platform's shape: a list of code and message."""
    trailers = dict(refused.trailing_metadata() or ())
    code, status = str(trailers.get("error-code", refused.code().name)), _STATUSES.get(refused.code().name, 503)
    body = [{"errorCode": code, "message": str(refused.details())}]
    return Answer(GONE if code == _GONE_CODE else status, httpx.Headers(), body, simplejson.dumps(body))


def _method(kind: Any, name: str, asked: str, answered: str) -> Any:
    read, write = _MESSAGES[answered].FromString, _MESSAGES[asked].SerializeToString
    return kind(f"/{_SERVICE}/{name}", request_serializer=write, response_deserializer=read)


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="eventbus.proto", package="eventbus.v1", syntax="proto3")
    for name, fields in _PROTOCOL.items():
        message = file.message_type.add(name=name)
        for each in fields.split():
            named, number, kind = each.split(":")
            field = message.field.add(name=named, number=int(number), label=3 if kind.endswith("*") else 1)
            inner = kind.rstrip("*")
            field.type = _TYPES.get(inner, 11)  # type: ignore[assignment]
            if inner in _PROTOCOL:
                field.type_name = f".eventbus.v1.{inner}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    named_types = {name: pool.FindMessageTypeByName(f"eventbus.v1.{name}") for name in _PROTOCOL}
    return {name: message_factory.GetMessageClass(found) for name, found in named_types.items()}


_MESSAGES = _messages()
