"""Vendors' machine-readable specifications, where they lie beside the repository: a test that needs one skips without.

They are read to check requests and answers against them; nothing of them is in the product.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def specification(*path: str) -> Path:
    """The file or folder of a specification; skips the test, visibly, when there is none."""
    for parent in ROOT.parents:
        found = parent / "shared" / "vendors" / "specs" / Path(*path)
        if found.exists():
            return found
    pytest.skip(f"the specification {'/'.join(path)} is not beside this repository: not checked against it")


class OpenApi:
    """Operations of one or several OpenAPI 3 documents.

    newer: fields that later versions of a document have; unchecked: schemas the vendor's own answers are known to
    break, with the reason.
    """

    def __init__(self, *files: Path, newer: frozenset[str] = frozenset()) -> None:
        self._documents = [_read(file) for file in files]
        self._components = {id(each): _nullable(each["components"]) for each in self._documents}
        self._newer = newer
        self.seen: set[str] = set()

    def check(self, method: str, path: str, sent: Any, status: int, answered: Any) -> None:
        """Fails when a request or its answer breaks the specification, or says what it does not know."""
        document, template, operation = self._operation(method, path)
        self.seen.add(f"{method} {template}")
        if sent is not None and "requestBody" in operation:
            self._validate(document, _json_of(operation["requestBody"]), sent, f"{method} {path}: request")
        responses = operation["responses"]
        found = responses.get(str(status)) or responses.get("default")
        assert found is not None, f"{method} {path}: {status} is no documented status"
        if answered is not None:
            self._validate(document, _json_of(found), answered, f"{method} {path}: answer {status}")

    def _operation(self, method: str, path: str) -> tuple[Any, str, Any]:
        for document in self._documents:
            # The more particular one first: /issue/bulk is no /issue/{id}.
            for template, operations in sorted(document["paths"].items(), key=lambda path: path[0].count("{")):
                pattern = re.sub(r"\{\w+\}", "[^/]+", template)
                if re.fullmatch(pattern, path) and method.lower() in operations:
                    return document, template, operations[method.lower()]
        raise AssertionError(f"{method} {path} is in no specification")

    def _validate(self, document: Any, schema: Any, value: Any, where: str) -> None:
        if schema is None:
            return
        whole = {**_nullable(schema), "components": self._components[id(document)]}
        problems = [f"{error.json_path}: {error.message}" for error in _validator(whole).iter_errors(value)]
        problems += [f"{name} is not documented" for name in self._unknown(document, schema, value, "$")]
        assert problems == [], f"{where}: {problems}\n{json.dumps(value)[:2000]}"

    def _unknown(self, document: Any, schema: Any, value: Any, where: str) -> list[str]:
        """Fields of objects whose schema lists all there are and does not list them."""
        schema = _resolved(document, schema)
        if isinstance(value, list):
            inner = schema.get("items", {})
            return [
                name for n, one in enumerate(value) for name in self._unknown(document, inner, one, f"{where}[{n}]")
            ]
        if not isinstance(value, dict) or "properties" not in schema:
            return []
        known, found = schema["properties"], []
        for name, one in value.items():
            if name in known:
                found += self._unknown(document, known[name], one, f"{where}.{name}")
            elif name not in self._newer and "additionalProperties" not in schema:
                found.append(f"{where}.{name}")
        return found


def _read(file: Path) -> Any:
    text = file.read_text()
    return json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)


def _json_of(body: Any) -> Any:
    """The schema of a JSON body; None when the document says nothing of it."""
    content = body.get("content") or {}
    kind = next((each for each in ("application/json", "*/*") if each in content), None)
    return content[kind].get("schema") if kind else None


def _resolved(document: Any, schema: Any) -> Any:
    while "$ref" in schema:
        found = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _nullable(schema: Any) -> Any:
    """OpenAPI 3.0's nullable in the words of JSON Schema."""
    if isinstance(schema, list):
        return [_nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _nullable(one) for name, one in schema.items() if name not in ("nullable", "example", "examples")}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    return made


def _validator(schema: Any) -> Any:
    return jsonschema.Draft202012Validator(schema)
