"""The messages of the Pub/Sub API on the wire: field numbers and types of its published protocol (pubsub_api.proto).

Built here as descriptors, so that no generated code is kept. Only what the sandbox serves.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "eventbus.v1"
SERVICE = f"{PACKAGE}.PubSub"
# name:number:type, a star behind the type for a list. Enumerations travel as int32.
_MESSAGES = {
    "TopicRequest": "topic_name:1:string",
    "TopicInfo": "topic_name:1:string tenant_guid:2:string can_publish:3:bool can_subscribe:4:bool schema_id:5:string "
    "rpc_id:6:string",
    "SchemaRequest": "schema_id:1:string",
    "SchemaInfo": "schema_json:1:string schema_id:2:string rpc_id:3:string",
    "EventHeader": "key:1:string value:2:bytes",
    "ProducerEvent": "id:1:string schema_id:2:string payload:3:bytes headers:4:EventHeader*",
    "ConsumerEvent": "event:1:ProducerEvent replay_id:2:bytes",
    "FetchRequest": "topic_name:1:string replay_preset:2:int32 replay_id:3:bytes num_requested:4:int32 "
    "auth_refresh:5:string",
    "FetchResponse": "events:1:ConsumerEvent* latest_replay_id:2:bytes rpc_id:3:string pending_num_requested:4:int32",
}
LATEST, EARLIEST, CUSTOM = 0, 1, 2  # ReplayPreset
_KINDS = {"string": 9, "bool": 8, "bytes": 12, "int32": 5, "message": 11}  # FieldDescriptorProto.Type


def _built() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="sandbox/pubsub.proto", package=PACKAGE, syntax="proto3")
    for name, text in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for entry in text.split():
            field_name, number, kind = entry.split(":")
            many, kind = kind.endswith("*"), kind.rstrip("*")
            field = message.field.add(name=field_name, number=int(number), label=3 if many else 1)
            field.type = _KINDS.get(kind, _KINDS["message"])  # type: ignore[assignment]
            if kind in _MESSAGES:
                field.type_name = f".{PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{PACKAGE}.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


MESSAGES: dict[str, Any] = _built()
