"""Objects and fields of the organisation: read from tables, extended by an administrator, described to clients.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.sandbox.platform.errors import not_found
from isthmus.sandbox.platform.package import SYSTEM, ObjectType

_NUMERIC = ("currency", "double", "percent", "int")


@dataclass(frozen=True)
class Field:
    """One column. length is for texts, precision and scale for numbers, values for picklists."""

    name: str
    type: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    values: tuple[str, ...] = ()
    reference_to: str = ""
    required: bool = False
    external_id: bool = False
    unique: bool = False
    read_only: bool = False
    auto_number: bool = False
    restricted: bool = False

    @property
    def custom(self) -> bool:
        """Made by an administrator or a package, not by the platform."""
        return self.name.endswith("__c")

    @property
    def relationship(self) -> str:
        """The name under which a query reaches the referenced record; empty for other fields."""
        if not self.reference_to:
            return ""
        return f"{self.name[:-3]}__r" if self.custom else self.name.removesuffix("Id")

    @property
    def indexed(self) -> bool:
        """Looked up by value without a scan."""
        return self.external_id or self.unique or bool(self.reference_to)

    def describe(self) -> dict[str, Any]:
        """The field as the describe call shows it."""
        boolean = self.type == "boolean"
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c").split("__")[-1].replace("_", " "),
            "type": self.type,
            "length": self.length,
            "byteLength": self.length * 3,
            "precision": self.precision if self.type != "int" else 0,
            "digits": self.precision if self.type == "int" else 0,
            "scale": self.scale,
            "nillable": not (self.required or boolean or self.type == "id"),
            "externalId": self.external_id,
            "unique": self.unique,
            "idLookup": self.external_id or self.type == "id",
            "custom": self.custom,
            "createable": not self.read_only,
            "updateable": not self.read_only,
            "calculated": self.read_only and self.custom,
            "autoNumber": self.auto_number,
            "defaultedOnCreate": boolean or self.auto_number,
            "restrictedPicklist": self.restricted,
            "referenceTo": [self.reference_to] if self.reference_to else [],
            "relationshipName": self.relationship or None,
            "picklistValues": [
                {"value": v, "label": v, "active": True, "defaultValue": False, "validFor": None} for v in self.values
            ],
            "filterable": True,
            "sortable": True,
        }


@dataclass
class SObject:
    """One object type with its fields, found by name without regard to case as the platform does."""

    name: str
    prefix: str
    label: str
    plural: str
    number_format: str
    fields: dict[str, Field] = field(default_factory=dict)
    _by_lower: dict[str, Field] = field(default_factory=dict)
    _by_relationship: dict[str, Field] = field(default_factory=dict)

    @property
    def custom(self) -> bool:
        """Made by an administrator or a package."""
        return self.name.endswith("__c")

    def add(self, column: Field) -> None:
        """Add or replace a column."""
        self.fields[column.name] = column
        self._by_lower[column.name.lower()] = column
        if column.relationship:
            self._by_relationship[column.relationship.lower()] = column

    def remove(self, name: str) -> None:
        """Drop a column, as an administrator does when a schema drifts."""
        column = self._by_lower.pop(name.lower())
        del self.fields[column.name]
        self._by_relationship.pop(column.relationship.lower(), None)

    def get(self, name: str) -> Field | None:
        """The column of this name, or None."""
        return self._by_lower.get(name.lower())

    def by_relationship(self, name: str) -> Field | None:
        """The reference column behind a relationship name, or None."""
        return self._by_relationship.get(name.lower())

    def summary(self, base: str) -> dict[str, Any]:
        """The object as the list of all objects shows it."""
        return {
            "name": self.name,
            "label": self.label,
            "labelPlural": self.plural,
            "keyPrefix": self.prefix,
            "custom": self.custom,
            "createable": True,
            "updateable": True,
            "deletable": True,
            "queryable": True,
            "retrieveable": True,
            "undeletable": True,
            "urls": {
                "sobject": f"{base}/sobjects/{self.name}",
                "describe": f"{base}/sobjects/{self.name}/describe",
                "rowTemplate": f"{base}/sobjects/{self.name}/{{ID}}",
            },
        }


class Schema:
    """All object types of the organisation."""

    def __init__(self, types: Mapping[str, ObjectType]) -> None:
        self.objects: dict[str, SObject] = {}
        for name, (prefix, label, plural, number_format, table) in types.items():
            made = SObject(name, prefix, label, plural, number_format)
            for line in (SYSTEM + table).strip().splitlines():
                if line:
                    made.add(parse_line(line))
            self.objects[name] = made
        self._by_lower = {name.lower(): made for name, made in self.objects.items()}

    def object(self, name: str) -> SObject:
        """The object type of this name; the platform's 404 when there is none."""
        found = self._by_lower.get(name.lower())
        if found is None:
            raise not_found()
        return found

    def find(self, name: str) -> SObject | None:
        """The object type of this name, or None."""
        return self._by_lower.get(name.lower())

    def alter(self, change: dict[str, Any]) -> Field:
        """Add, replace or (``remove``) drop one field: {object, name, type, length, external_id, ...}."""
        given = dict(change)
        owner = self.object(given.pop("object"))
        if given.pop("remove", False):
            column = owner.fields[given["name"]]
            owner.remove(column.name)
            return column
        given["values"] = tuple(given.get("values", ()))
        given.setdefault("type", "string")
        if given["type"] == "string":
            given.setdefault("length", 255)
        elif given["type"] in _NUMERIC:
            given = {"precision": 18, "scale": 0 if given["type"] == "int" else 2, **given}
        column = Field(**given)
        owner.add(column)
        return column


def parse_line(line: str) -> Field:
    """One line of the table as a field."""
    name, kind, detail, flags = (part.strip() for part in line.split("|"))
    given: dict[str, Any] = {}
    if kind == "picklist":
        given = {"values": tuple(detail.split(";")), "length": 255}
    elif kind == "reference":
        given = {"reference_to": detail, "length": 18}
    elif kind in _NUMERIC:
        whole, _, scale = detail.partition(".")
        given = {"precision": int(whole), "scale": int(scale or 0)}
    elif detail:
        given = {"length": int(detail)}
    words = flags.split()
    return Field(
        name,
        kind,
        required="required" in words,
        external_id="external" in words,
        unique="unique" in words,
        read_only="readonly" in words,
        auto_number="autonumber" in words,
        restricted="restricted" in words,
        **given,
    )
