"""Change events as the Pub/Sub API carries them: an Avro schema for each object, and records written by it.

Modelled from the vendor's published material (Pub/Sub API guide: event deserialization, change event fields); not
certified. Which Avro type a date has could not be checked: moments are milliseconds since 1970 here.
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import fastavro

from isthmus.sandbox.platform.schema import Field, SObject
from isthmus.sandbox.platform.values import parse_stamp

_KINDS = {"boolean": "boolean", "currency": "double", "double": "double", "percent": "double", "int": "int"}
_MOMENTS = ("date", "datetime")
_NOT_TOLD = ("Id", "IsDeleted", "SystemModstamp")  # the header names the record
_CHANGES = ["CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"]
_CHANGES += ["GAP_OVERFLOW", "SNAPSHOT"]
_LISTS = ("nulledFields", "diffFields", "changedFields")


def _header() -> dict[str, Any]:
    texts = {"type": "array", "items": "string"}
    kinds: dict[str, Any] = {
        "entityName": "string",
        "recordIds": texts,
        "changeType": {"type": "enum", "name": "ChangeType", "symbols": _CHANGES},
        "changeOrigin": "string",
        "transactionKey": "string",
        "sequenceNumber": "int",
        "commitTimestamp": "long",
        "commitNumber": "long",
        "commitUser": "string",
        **dict.fromkeys(_LISTS, texts),
    }
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    return {"type": "record", "name": "ChangeEventHeader", "fields": fields}


def _kind(column: Field) -> str:
    return "long" if column.type in _MOMENTS else _KINDS.get(column.type, "string")


def schema_of(sobject: SObject) -> dict[str, Any]:
    """The Avro schema of an object's change events: the header, then every field, each of which may be left out."""
    base = sobject.name[:-3] + "__" if sobject.custom else sobject.name
    columns = [
        {"name": name, "type": ["null", _kind(column)], "default": None}
        for name, column in sobject.fields.items()
        if name not in _NOT_TOLD
    ]
    fields = [{"name": "ChangeEventHeader", "type": _header()}, *columns]
    return {"type": "record", "name": f"{base}ChangeEvent", "namespace": "com.sforce.eventbus", "fields": fields}


def fingerprint(schema: dict[str, Any]) -> str:
    """The id of a schema: a hash of it, so that it changes with a field."""
    return hashlib.sha256(json.dumps(schema).encode()).hexdigest()[:22]


def payload(event: dict[str, Any], schema: dict[str, Any], sobject: SObject) -> bytes:
    """One change event by its schema; lists of fields are bit maps over the places of the schema."""
    places = {field["name"]: n for n, field in enumerate(schema["fields"])}
    header = dict(event["ChangeEventHeader"])
    for name in _LISTS:
        bits = sum(1 << places[field] for field in header[name] if field in places)
        header[name] = [f"0x{bits:X}"] if bits else []
    record: dict[str, Any] = {"ChangeEventHeader": header}
    for name, value in event["payload"].items():
        if name in places:
            record[name] = _told(sobject.fields[name], value)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def _told(column: Field, value: Any) -> Any:
    if value is None:
        return None
    if column.type == "datetime":
        return int(parse_stamp(str(value)).timestamp() * 1000)
    if column.type == "date":
        return int(datetime.fromisoformat(str(value)).replace(tzinfo=UTC).timestamp() * 1000)
    return float(value) if _kind(column) == "double" else value
