"""Who may log in to the console: by an identity provider with roles from its claims, or a local account on loopback.

Part of access.toml in the firm folder: [console], [console.oidc], [[console.grants]], [[console.people]].
"""

from __future__ import annotations

from pydantic import Field, field_validator

from isthmus.desk.types import Strict
from isthmus.kit.references import by_reference
from isthmus.policies.authority import ROLES


def _known_roles(roles: tuple[str, ...]) -> tuple[str, ...]:
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such role; there are {', '.join(ROLES)}")
    return roles


class Oidc(Strict):
    """The identity provider. issuer: its address, where /.well-known/openid-configuration is. client_secret: reference.

    name_claim: the claim people are known by in the audit. groups_claim: the claim whose values grant roles.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "email"
    groups_claim: str = "groups"
    ca_file: str = ""

    @field_validator("client_secret")
    @classmethod
    def _reference(cls, reference: str) -> str:
        return by_reference(reference) if reference else reference


class Grant(Strict):
    """What a value of the groups claim gives: roles, perhaps limited to legal entities or regions."""

    group: str
    roles: tuple[str, ...]
    entities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    _roles = field_validator("roles")(_known_roles)

    @property
    def name(self) -> str:
        """What problems call it."""
        return f"group {self.group}"


class LocalPerson(Strict):
    """A local account, for trial: accepted on loopback alone. password: reference."""

    name: str
    password: str
    roles: tuple[str, ...]
    entities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    _roles = field_validator("roles")(_known_roles)

    @field_validator("password")
    @classmethod
    def _reference(cls, reference: str) -> str:
        return by_reference(reference)


class ConsoleConfig(Strict):
    """How people come in and for how long.

    idle_minutes, session_hours: a session ends so long after it was last used, and after it began at the latest.
    failures_max, lock_minutes: so many failed attempts within that time lock a name and an address for that time.
    public_url: the address people use, when a proxy stands before it.
    """

    oidc: Oidc | None = None
    grants: tuple[Grant, ...] = ()
    people: tuple[LocalPerson, ...] = ()
    idle_minutes: float = Field(default=30, gt=0)
    session_hours: float = Field(default=12, gt=0)
    failures_max: int = Field(default=5, ge=1)
    lock_minutes: float = Field(default=15, gt=0)
    public_url: str = ""
