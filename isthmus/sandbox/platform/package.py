"""What is installed in an organisation: object types, defaults, and the rules that run when a record is saved.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from isthmus.sandbox.platform.store import Store

Record = dict[str, Any]

CURRENCY = "CurrencyIsoCode | picklist | USD;EUR;GBP;CAD;CHF;AUD;JPY;SEK;NOK;DKK;PLN;SGD;INR | restricted"
# Every object has these columns.
SYSTEM = """
Id | id | 18 | readonly
IsDeleted | boolean | | readonly
CreatedDate | datetime | | readonly
CreatedById | reference | User | readonly
LastModifiedDate | datetime | | readonly
LastModifiedById | reference | User | readonly
SystemModstamp | datetime | | readonly
"""


class ObjectType(NamedTuple):
    """One object type. prefix: of its ids; table: one line per field, ``name | type | detail | flags``.

    detail: length of a text, ``precision.scale`` of a number, values of a picklist, target of a reference.
    Flags: required, external, unique, readonly, autonumber, restricted.
    """

    prefix: str
    label: str
    plural: str
    number_format: str
    table: str


class Package:
    """Object types and rules of one organisation. A subclass says which; without one there is nothing installed.

    pod: the part of every id that tells organisations apart. defaults: what the platform fills in when a new record
    leaves the field out, by object. children: (object, parent column) of records that go with a deleted one.
    """

    pod: ClassVar[str] = "Hs0"
    objects: ClassVar[Mapping[str, ObjectType]] = {}
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    children: ClassVar[Mapping[str, tuple[tuple[str, str], ...]]] = {}

    def before_save(
        self, store: Store, entity: str, before: Record | None, after: Record, as_user: bool, given: set[str]
    ) -> None:
        """Fill derived fields of ``after`` in place; refuse what the package refuses.

        as_user: written in the vendor's own screens, where wizards and packages set what the API may not; fields given
        explicitly are then kept.
        """
        if entity == "Contact":
            after["Name"] = " ".join(part for part in (after["FirstName"], after["LastName"]) if part)

    def after_save(self, store: Store, entity: str, before: Record | None, after: Record) -> None:
        """Write what follows from a saved record into other records, in the same transaction."""

    def standing(self, store: Store) -> None:
        """Put in what every organisation of this kind starts with."""
