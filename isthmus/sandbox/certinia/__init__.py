"""Sandbox of Certinia PSA: an organisation on the Salesforce platform with the ``pse__`` package and its rules.

Modelled from the vendor's published data dictionary and help, and from facts of public package metadata (fields, and
the wording of active validation rules). It is not the vendor's software and is not certified by anyone.

Chosen here, not published: which field a broken rule names; that a rule broken in a record the package itself writes
is answered as if it had been broken in the request; that time periods are months; that a status approves and includes
in financials at once; picklists of roles, expense types and task statuses, which are open; key prefixes of objects.
Not here: billing events, Apex services (billing, timecard submission), utilisation, forecasts, budgets, transactions.
"""

from __future__ import annotations

from isthmus.sandbox.certinia import chain, reference, tables, weeks
from isthmus.sandbox.platform.box import PlatformSandbox
from isthmus.sandbox.platform.package import Package, Record
from isthmus.sandbox.platform.store import Store

__all__ = ["CertiniaSandbox", "sandbox"]


class Pse(Package):
    """Professional Services Automation and the firm's own fields."""

    pod = "Cp4"
    objects = tables.OBJECTS
    defaults = tables.DEFAULTS
    children = tables.CHILDREN

    def before_save(
        self, store: Store, entity: str, before: Record | None, after: Record, as_user: bool, given: set[str]
    ) -> None:
        """See Package."""
        super().before_save(store, entity, before, after, as_user, given)
        weeks.derive(store, entity, before, after, given)
        chain.check(store, entity, before, after)

    def after_save(self, store: Store, entity: str, before: Record | None, after: Record) -> None:
        """See Package."""
        weeks.follow(store, entity, after)

    def standing(self, store: Store) -> None:
        """See Package."""
        reference.load(store)


class CertiniaSandbox(PlatformSandbox):
    """One organisation that delivers: four consultants, an approver, two regions and two practices."""

    name = "certinia"
    package = Pse()
    consumer_key = "3MVG9sandboxPsaConsumerKey"
    consumer_secret = "synthetic-psa-secret"
    username = "hub@delivery.example"

    def seed(self, collection: str, record: Record) -> Record:
        """See Sandbox; a timecard is given back with the ids of its splits."""
        made = super().seed(collection, record)
        if collection != "pse__Timecard_Header__c":
            return made
        splits = self.store.schema.object("pse__Timecard__c")
        return {**made, "splits": self.store.find(splits.name, splits.fields[collection], made["Id"])}


def sandbox() -> CertiniaSandbox:
    """A fresh organisation."""
    return CertiniaSandbox()
