"""What the organisation starts with: its users, consultants, regions and practices. All synthetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isthmus.sandbox.platform import ids

if TYPE_CHECKING:
    from isthmus.sandbox.platform.store import Store

APPROVER, CONSULTANT = 2, 11
CONSULTANTS = (
    ("Amara", "Osei", 95.5),
    ("Bela", "Kovacs", 82.0),
    ("Chidi", "Eze", 71.25),
    ("Dana", "Moreau", 64.0),
)


def load(store: Store) -> None:
    """Put the standing records in, with fixed ids; nobody hears of them as changes."""
    pod = store.package.pod
    users = ((1, "Hub Integration", "hub"), (APPROVER, "Petra Lindqvist", "petra.lindqvist"))
    for number, name, address in users:
        email = f"{address}@delivery.example"
        _put(store, "User", ids.make("005", number, pod), Username=email, Name=name, Email=email, IsActive=True)
    for place, (first, last, cost) in enumerate(CONSULTANTS):
        _put(
            store,
            "Contact",
            ids.make("003", CONSULTANT + place, pod),
            FirstName=first,
            LastName=last,
            Email=f"{first}.{last}@consulting.example".lower(),
            pse__Is_Resource__c=True,
            pse__Is_Resource_Active__c=True,
            pse__Default_Cost_Rate__c=cost,
        )
    for entity, names in (("pse__Region__c", ("Americas", "Europe")), ("pse__Practice__c", ("DATA", "DIGITAL"))):
        prefix = store.schema.object(entity).prefix
        for number, name in enumerate(names, start=1):
            _put(store, entity, ids.make(prefix, number, pod), Name=name)


def _put(store: Store, entity: str, record_id: str, **fields: Any) -> None:
    with store.transaction("standing"):
        store.create(store.schema.object(entity), {"Id": record_id, **fields}, as_user=True)


def approver_id(pod: str) -> str:
    """The user who approves."""
    return ids.make("005", APPROVER, pod)
