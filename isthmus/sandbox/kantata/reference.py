"""What the account starts with: an administrator, six consultants, their roles and a custom field. All synthetic."""

from __future__ import annotations

from isthmus.sandbox.kantata.access import ADMIN_ID
from isthmus.sandbox.kantata.schema_custom import CUSTOM_FIELDS
from isthmus.sandbox.kantata.schema_money import ROLES, USERS
from isthmus.sandbox.kantata.store import Store

ROLE_NAMES = (
    "Program Manager I",
    "Business Analyst II",
    "Software Engineer II",
    "Architect II",
    "Visual Designer",
    "User Researcher",
    "Consultant",
)
CONSULTANTS = (
    ("11", "Ada Lindqvist", "Program Manager I"),
    ("12", "Bruno Achterberg", "Business Analyst II"),
    ("13", "Chiara Mwangi", "Software Engineer II"),
    ("14", "Dmitri Castellanos", "Architect II"),
    ("15", "Esme Okonkwo", "Visual Designer"),
    ("16", "Farid Johansson", "User Researcher"),
)


def load(store: Store) -> None:
    """Put the standing records in, with fixed ids."""
    role_ids = {name: str(101 + n) for n, name in enumerate(ROLE_NAMES)}
    for name, role_id in role_ids.items():
        store.insert(ROLES, {"id": role_id, "name": name}, ADMIN_ID)
    administrator = {
        "id": ADMIN_ID,
        "full_name": "Integration Administrator",
        "email_address": "integration@consulting.example",
        "account_permission": "administrator",
        "role_id": role_ids["Consultant"],
    }
    store.insert(USERS, administrator, ADMIN_ID)
    for user_id, full_name, role in CONSULTANTS:
        address = f"{full_name.lower().replace(' ', '.')}@consulting.example"
        values = {"id": user_id, "full_name": full_name, "email_address": address, "role_id": role_ids[role]}
        store.insert(USERS, values, ADMIN_ID)
    store.insert(CUSTOM_FIELDS, {"id": "501", "name": "Contested", "creator_id": ADMIN_ID}, ADMIN_ID)
