"""What the account says about itself: record types, their schemas, and the options of enumerated fields."""

from __future__ import annotations

from typing import Any

from isthmus.sandbox.netsuite.intake import display_name
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.schema import TYPES, Field, RecordType, named
from isthmus.sandbox.netsuite.shapes import Refusal, link

_JSON_TYPES: dict[str, dict[str, Any]] = {
    "num": {"type": "number", "format": "double"},
    "int": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "obj": {"type": "object"},
    "key": {"type": "object", "properties": {"id": {"type": "string"}, "refName": {"type": "string"}}},
}


def listing(root: str) -> dict[str, Any]:
    """The names of all record types with the places of their schemas."""
    url = f"{root}/metadata-catalog"
    items = [
        {
            "name": name,
            "links": [
                {"rel": rel, "href": f"{url}/{name}", "mediaType": media}
                for rel, media in (
                    ("canonical", "application/json"),
                    ("alternate", "application/swagger+json"),
                    ("alternate", "application/schema+json"),
                )
            ],
        }
        for name in TYPES
    ]
    return {"links": link(url), "items": items}


def json_schema(root: str, record_type: RecordType) -> dict[str, Any]:
    """The JSON schema of one record type."""
    return {
        "$schema": "http://json-schema.org/draft-06/hyper-schema#",
        "type": "object",
        "title": record_type.name,
        "properties": {made.name: _schema_of(root, made) for made in record_type.fields.values()},
        "x-ns-required": list(record_type.required),
        "links": link(f"{root}/metadata-catalog/{record_type.name}"),
    }


def open_api(root: str, names: list[str]) -> dict[str, Any]:
    """OpenAPI 3.0 of the selected record types (all when none is named)."""
    chosen = [_existing(name) for name in names] or list(TYPES.values())
    paths: dict[str, Any] = {}
    for made in chosen:
        paths[f"/{made.name}"] = {"get": {"tags": [made.name]}, "post": {"tags": [made.name]}}
        paths[f"/{made.name}/{{id}}"] = {method: {"tags": [made.name]} for method in ("get", "patch", "put", "delete")}
    schemas = {made.name: json_schema(root, made) for made in chosen}
    info = {"title": "NetSuite REST Record API", "version": "v1"}
    return {"openapi": "3.0.1", "info": info, "paths": paths, "components": {"schemas": schemas}}


def select_options(ledger: Ledger, record_type: RecordType, names: list[str]) -> dict[str, Any]:
    """The values the named fields may take."""
    lowered = {name.lower(): made for name, made in record_type.fields.items()}
    shown: dict[str, Any] = {"links": []}
    for name in names:
        made = lowered.get(name.lower())
        if made is None or made.kind not in ("enum", "ref"):
            text = f"The field {name} has no select options."
            raise Refusal(400, "INVALID_PARAMETER", text, parameter="fields")
        items = [{"links": [], "id": i, "refName": label} for i, label in _options(ledger, made)]
        shown[made.name] = {"links": [], "items": items, "totalResults": len(items)}
    return shown


def _options(ledger: Ledger, made: Field) -> list[tuple[str, str]]:
    if made.kind == "enum":
        return list(made.options.items())
    return [(i, display_name(record)) for target in made.targets for i, record in ledger.all(target)]


def _existing(name: str) -> RecordType:
    made = named(name)
    if made is None:
        raise Refusal(400, "INVALID_PARAMETER", f"Record type {name} does not exist.", parameter="select")
    return made


def _schema_of(root: str, made: Field) -> dict[str, Any]:
    if made.kind == "enum":
        ids = {"type": "string", "enum": list(made.options)}
        return {"type": "object", "properties": {"id": ids, "refName": {"type": "string"}}}
    if made.kind == "ref":
        return {"$ref": f"{root}/metadata-catalog/{made.targets[0]}"}
    if made.kind == "lines":
        line = {"type": "object", "properties": {n: _schema_of(root, f) for n, f in made.lines.items()}}
        return {"type": "object", "properties": {"items": {"type": "array", "items": line}}}
    return _JSON_TYPES.get(made.kind, {"type": "string"})
