"""Sandbox of the Salesforce CRM: the platform's REST API with the CPQ objects and the firm's custom fields.

Modelled from the vendor's published material (REST API, SOQL, Bulk API 2.0, Change Data Capture and OAuth guides,
public package metadata). It is not the vendor's software and is not certified by anyone. The platform itself is
:mod:`isthmus.sandbox.platform`, which says what could not be checked.
"""

from isthmus.sandbox.platform.box import PlatformSandbox
from isthmus.sandbox.platform.package import Package, Record
from isthmus.sandbox.platform.store import Store
from isthmus.sandbox.salesforce import rules, tables

__all__ = ["SalesforceSandbox", "sandbox"]


class Cpq(Package):
    """CPQ and the firm's own fields."""

    objects = tables.OBJECTS
    defaults = tables.DEFAULTS
    children = tables.CHILDREN

    def before_save(
        self, store: Store, entity: str, before: Record | None, after: Record, as_user: bool, given: set[str]
    ) -> None:
        """See Package."""
        super().before_save(store, entity, before, after, as_user, given)
        rules.apply(store, entity, before, after, as_user, given)


class SalesforceSandbox(PlatformSandbox):
    """One organisation that sells."""

    name = "salesforce"
    package = Cpq()


def sandbox() -> SalesforceSandbox:
    """A fresh, empty organisation."""
    return SalesforceSandbox()
