"""A request body becomes field values: names checked, types checked, references and enumerated ids resolved."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.netsuite.ledger import Ledger
from isthmus.sandbox.netsuite.schema import CUSTOM_PREFIXES, Field, RecordType
from isthmus.sandbox.netsuite.shapes import Refusal, invalid_content

_MODES = ("ignore", "warning", "error")
_DURATION = re.compile(r"\d{1,4}:[0-5]\d")
_NAME_KEYS = ("name", "companyName", "entityId", "title", "itemId", "periodName", "acctName", "tranId")


class Intake:
    """Cleans one body. names and values say what to do about unknown names and wrong values."""

    def __init__(self, ledger: Ledger, names: str = "warning", values: str = "error") -> None:
        self.ledger = ledger
        self.names = _mode(names, "X-NetSuite-PropertyNameValidation")
        self.values = _mode(values, "X-NetSuite-PropertyValueValidation")
        self.warnings: list[str] = []

    def clean(self, record_type: RecordType, body: Any) -> Record:
        """The writable values of a body; a sublist comes out as a plain list of lines."""
        if not isinstance(body, dict):
            text = "Invalid content in the request body. A JSON object is expected."
            raise Refusal(400, "INVALID_CONTENT", text)
        values = self._fields(record_type.fields, body, "")
        return {name: value for name, value in values.items() if record_type.writable(name)}

    def _fields(self, fields: dict[str, Field], body: Record, where: str) -> Record:
        cleaned: Record = {}
        for name, value in body.items():
            path = f"{where}{name}"
            made = fields.get(name)
            if made is None and not name.startswith(CUSTOM_PREFIXES):
                self._unknown(name, path)
                continue
            if value is None or made is None:
                cleaned[name] = value
                continue
            try:
                cleaned[name] = self._value(made, value, path)
            except Refusal as refusal:
                if self.values == "error" or made.kind in ("ref", "lines"):
                    raise
                self._warn(str(refusal), self.values)
        return cleaned

    def _unknown(self, name: str, path: str) -> None:
        text = f"Unknown property: {path}."
        if self.names == "error":
            raise Refusal(400, "INVALID_CONTENT", f"Error while accessing a resource. {text}", path=path)
        self._warn(text, self.names)

    def _warn(self, text: str, mode: str) -> None:
        if mode == "warning":
            self.warnings.append(text)

    def _value(self, made: Field, value: Any, path: str) -> Any:
        if made.kind == "ref":
            return self._reference(made, value, path)
        if made.kind == "enum":
            chosen = str(value.get("id") if isinstance(value, dict) else value)
            if chosen not in made.options:
                raise invalid_content(path, made.name, value)
            return {"id": chosen, "refName": made.options[chosen]}
        if made.kind == "lines":
            return self._sublist(made, value, path)
        if made.kind == "key":
            key = str(value.get("id", "")) if isinstance(value, dict) else str(value)
            return {"id": key, "refName": key}
        return _scalar(made, value, path)

    def _sublist(self, made: Field, value: Any, path: str) -> list[Record]:
        items = value.get("items") if isinstance(value, dict) else None
        if not isinstance(items, list) or not all(isinstance(line, dict) for line in items):
            raise invalid_content(path, made.name, "")
        return [self._fields(made.lines, line, f"{path}.items[{n}].") for n, line in enumerate(items)]

    def _reference(self, made: Field, value: Any, path: str) -> Record:
        """A reference by internal or external id. One that leads nowhere is wrong whatever the validation mode."""
        given = value if isinstance(value, dict) else {"id": value}
        for target in made.targets:
            if "id" in given:
                wanted = str(given["id"])
                found = self.ledger.by_external(target, wanted[4:]) if wanted.startswith("eid:") else wanted
            else:
                found = self.ledger.by_external(target, str(given.get("externalId")))
            record = self.ledger.get(target, found) if found else None
            if record is not None:
                return {"id": record["id"], "refName": display_name(record)}
        raise invalid_content(path, made.name, value)


def display_name(record: Record) -> str:
    """What a reference to this record is called."""
    return str(next((record[key] for key in _NAME_KEYS if record.get(key)), record["id"]))


def _mode(value: str, header: str) -> str:
    if value.lower() not in _MODES:
        text = f"Invalid value {value} of the header {header}."
        raise Refusal(400, "INVALID_HEADER", text, header=header)
    return value.lower()


def _scalar(made: Field, value: Any, path: str) -> Any:
    """A plain value of the field's kind, numbers as Decimal."""
    kind = made.kind
    if kind == "dim" and value in ("", {}):
        return None
    if kind in ("any", "dim", "obj"):
        return value
    if kind == "num" and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return Decimal(str(value))
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "str" and isinstance(value, str | int):
        return str(value)
    if isinstance(value, str) and _well_formed(kind, value):
        return value
    raise invalid_content(path, made.name, value)


def _well_formed(kind: str, text: str) -> bool:
    if kind == "duration":
        return _DURATION.fullmatch(text) is not None
    try:
        if kind == "date":
            date.fromisoformat(text)
        elif kind == "datetime":
            datetime.fromisoformat(text.replace("Z", "+00:00"))
        else:
            return False
    except ValueError:
        return False
    return True
