"""Object types, their properties and how they may be associated.

Modelled from the vendor's published material; not certified. A portal begins with a useful part of the vendor's own
properties and with the firm's (:mod:`isthmus.sandbox.hubspot.firm`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from isthmus.sandbox.hubspot.errors import not_found

Kind = str  # string, number, date, datetime, enumeration, bool
FIELD_TYPES = {"string": "text", "number": "number", "date": "date", "datetime": "date", "enumeration": "select"}


@dataclass
class Property:
    """One property. unique: no two records have the same value; read_only: the portal sets it."""

    name: str
    kind: Kind = "string"
    label: str = ""
    options: tuple[str, ...] = ()
    unique: bool = False
    read_only: bool = False
    custom: bool = False
    group: str = ""
    archived: bool = False

    def told(self) -> dict[str, Any]:
        """As the properties API shows it."""
        options = [
            {"label": value, "value": value, "displayOrder": place, "hidden": False}
            for place, value in enumerate(self.options)
        ]
        return {
            "name": self.name,
            "label": self.label or self.name,
            "description": "",
            "groupName": self.group,
            "type": self.kind,
            "fieldType": FIELD_TYPES.get(self.kind, "booleancheckbox"),
            "options": options,
            "hasUniqueValue": self.unique,
            "hidden": False,
            "archived": self.archived,
            "calculated": False,
            "externalOptions": False,
            "hubspotDefined": not self.custom,
            "formField": False,
            "displayOrder": -1,
            "modificationMetadata": {
                "archivable": self.custom,
                "readOnlyDefinition": not self.custom,
                "readOnlyValue": self.read_only,
            },
        }


@dataclass
class ObjectType:
    """One type of record. modified: the property that says when a record was last changed; shown: returned unasked."""

    name: str
    singular: str
    type_id: str
    shown: tuple[str, ...]
    created: str = "createdate"
    modified: str = "hs_lastmodifieddate"
    properties: dict[str, Property] = field(default_factory=dict)
    label: str = ""

    def find(self, name: str) -> Property | None:
        """The property of this name, unless it is archived."""
        found = self.properties.get(name)
        return found if found and not found.archived else None

    @property
    def system(self) -> tuple[str, str, str]:
        """Properties of every record, returned whatever is asked for."""
        return (self.created, self.modified, "hs_object_id")


def _type(
    name: str, singular: str, type_id: str, shown: str, plain: str, modified: str = "hs_lastmodifieddate"
) -> ObjectType:
    made = ObjectType(name, singular, type_id, tuple(shown.split()), modified=modified, label=name)
    kinds = [entry.partition(":")[::2] for entry in plain.split()]
    stamps = [(made.created, "datetime"), (modified, "datetime"), ("hs_object_id", "number")]
    for each, kind in (*kinds, *stamps):
        read_only = (each, kind) in stamps
        made.properties[each] = Property(each, kind or "string", read_only=read_only, group=f"{singular}information")
    return made


def standard_types() -> list[ObjectType]:
    """The vendor's own object types, with the properties a seller of services meets."""
    address = "address city state zip country"
    deal = "dealname amount:number deal_currency_code dealstage:enumeration pipeline:enumeration closedate:datetime"
    deal += " dealtype description"
    item = "name quantity:number price:number amount:number discount:number hs_discount_percentage:number hs_sku"
    item += " hs_product_id description hs_line_item_currency_code hs_recurring_billing_period"
    item += " hs_position_on_quote:number"
    quote = "hs_title hs_status hs_expiration_date:date hs_quote_amount:number hs_currency hs_language"
    person = "email firstname lastname phone company website lifecyclestage hubspot_owner_id"
    client = f"name domain industry phone {address} lifecyclestage hubspot_owner_id hs_country_code"
    shown_quote = "hs_createdate hs_expiration_date hs_object_id hs_quote_amount hs_status hs_title"
    shown_deal = "amount closedate createdate dealname dealstage hs_lastmodifieddate hs_object_id pipeline"
    return [
        _type("contacts", "contact", "0-1", "createdate email firstname hs_object_id lastmodifieddate lastname", person,
              "lastmodifieddate"),
        _type("companies", "company", "0-2", "createdate domain hs_lastmodifieddate hs_object_id name", client),
        _type("deals", "deal", "0-3", shown_deal, f"{deal} hubspot_owner_id"),
        _type("products", "product", "0-7", "createdate description hs_lastmodifieddate hs_object_id name price",
              "name description price:number hs_sku"),
        _type("line_items", "line_item", "0-8", "createdate hs_lastmodifieddate hs_object_id quantity", item),
        _type("quotes", "quote", "0-14", shown_quote, quote),
    ]  # fmt: skip


# (from, to, type id): the vendor's own associations; the first one of a pair is made when none is named.
DEFINED = (
    ("contacts", "companies", 279), ("companies", "contacts", 280),
    ("contacts", "companies", 1), ("companies", "contacts", 2),
    ("deals", "contacts", 3), ("contacts", "deals", 4),
    ("deals", "companies", 341), ("companies", "deals", 342),
    ("deals", "companies", 5), ("companies", "deals", 6),
    ("deals", "line_items", 19), ("line_items", "deals", 20),
    ("deals", "quotes", 63), ("quotes", "deals", 64),
    ("quotes", "line_items", 67), ("line_items", "quotes", 68),
)  # fmt: skip
PRIMARY = {5: "Primary", 6: "Primary", 1: "Primary", 2: "Primary"}
CUSTOM_FIRST = 101  # type ids of associations that a portal defines for itself


class Schema:
    """The types of one portal."""

    def __init__(self, portal_id: int) -> None:
        self.portal_id = portal_id
        self.types = {made.name: made for made in standard_types()}
        self._own: list[tuple[str, str, int]] = []

    def of(self, name: str) -> ObjectType:
        """A type by plural name, singular name, type id or (a custom one) its full name. 404 when there is none."""
        for made in self.types.values():
            if name.lower() in (made.name, made.singular, made.type_id, f"p{self.portal_id}_{made.name}"):
                return made
        raise not_found(f"Unable to infer object type from: {name}")

    def add_type(self, name: str, label: str, primary: str) -> ObjectType:
        """A custom object, which may be associated with every type there is."""
        number = 100 + sum(made.type_id.startswith("2-") for made in self.types.values())
        made = _type(name, name, f"2-{number:07d}", f"hs_createdate hs_object_id {primary}", primary)
        made.label = label
        for other in (*self.types, name):
            self._own.append((name, other, CUSTOM_FIRST + len(self._own)))
            if other != name:
                self._own.append((other, name, CUSTOM_FIRST + len(self._own)))
        self.types[name] = made
        return made

    def add_properties(self, type_name: str, properties: Iterable[Property]) -> None:
        """Custom properties of the firm."""
        made = self.of(type_name)
        for each in properties:
            each.custom, each.group = True, each.group or f"{made.singular}information"
            made.properties[each.name] = each

    def associations(self, from_name: str, to_name: str) -> list[tuple[str, int]]:
        """(category, type id) of the associations there may be, the default one first."""
        found = [("HUBSPOT_DEFINED", i) for a, b, i in DEFINED if (a, b) == (from_name, to_name)]
        return found + [("USER_DEFINED", i) for a, b, i in self._own if (a, b) == (from_name, to_name)]

    def ends_of(self, category: str, type_id: int) -> tuple[str, str] | None:
        """The two types an association type is between."""
        known = DEFINED if category == "HUBSPOT_DEFINED" else self._own
        return next(((a, b) for a, b, i in known if i == type_id), None)

    def inverse(self, category: str, type_id: int) -> int:
        """The same association seen from the other end."""
        known: list[tuple[str, str, int]] = list(DEFINED if category == "HUBSPOT_DEFINED" else self._own)
        place = next(n for n, (_, _, i) in enumerate(known) if i == type_id)
        a, b, _ = known[place]
        if a == b:
            return type_id
        near = (place + 1, place - 1) if place % 2 == 0 else (place - 1, place + 1)
        ways = (known[other] for other in (*near, *range(len(known))) if 0 <= other < len(known))
        return next((way[2] for way in ways if way[:2] == (b, a)), type_id)
