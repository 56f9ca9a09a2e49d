"""The firm folder: who the firm is, which systems it has, who owns what. One TOML file a subject, validated as a whole.

firm.toml         name, legal entities, regions, pace
connections.toml  one table per connection: connector, address, credentials by reference, ports it fills
access.toml       who may come in: API callers and people of the console, their roles and legal entities
ownership.toml    rules that differ from the shipped defaults
desk.toml         how the desk works where it differs: routes, service levels, approval matrix, alerts
"""

from __future__ import annotations

import re
import tomllib
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Protocol
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from isthmus.app.console_config import ConsoleConfig
from isthmus.desk.config import desk_config
from isthmus.domain.errors import BadInput
from isthmus.domain.objects import LegalEntity
from isthmus.kit.references import by_reference
from isthmus.kit.traffic import MaintenanceWindow
from isthmus.policies.authority import Actor
from isthmus.policies.ownership import OwnershipRule
from isthmus.ports import PORTS, SOURCES

FILES = ("firm.toml", "connections.toml", "access.toml", "ownership.toml", "desk.toml")


BY_DIMENSIONS = SOURCES | {
    "DisputeBoard",
    "Psa",
    "RateBook",
}  # ports whose connections may be told apart by dimensions of contracts


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MaintenanceConfig(_Strict):
    """When a system is not to be called: once, from begins on, or every week, on weekday at a time of day.

    minutes: how long. drain_seconds: so long before, no bulk work is sent any more.
    """

    minutes: int = Field(gt=0, le=7 * 24 * 60)
    begins: datetime | None = None
    weekday: Literal["", "mon", "tue", "wed", "thu", "fri", "sat", "sun"] = ""
    at: str = ""
    time_zone: str = "UTC"
    drain_seconds: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _once_or_weekly(self) -> MaintenanceConfig:
        if (self.begins is None) == (not self.weekday):
            raise ValueError("a maintenance window begins once, or has a weekday")
        if self.begins is not None and self.begins.tzinfo is None:
            raise ValueError("begins needs its offset, such as 2026-03-07T22:00:00-05:00")
        if self.weekday and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", self.at):
            raise ValueError("at is a time of day, such as 22:00")
        if self.time_zone not in available_timezones():
            raise ValueError(f"{self.time_zone} is no time zone")
        return self

    def window(self) -> MaintenanceWindow:
        """As the kit has it."""
        return MaintenanceWindow(**self.model_dump())


class ConnectionConfig(_Strict):
    """One connection. entities: which legal entities it serves (none named: all). secrets: references by name.

    dimensions: of PSAs and tools that only hand over, which contracts it serves, by their financial dimensions, where
    business units of one legal entity have tools of their own.

    writes_as: the owner name its messages are checked under at the write gate. webhook_secret: reference to the secret
    its messages are signed with: whsec_… is Standard Webhooks, anything else the vendor's own scheme, where several
    separated by white space are all valid (for the time of a rotation). webhook_url: the address the vendor was given,
    when its signature covers it and the hub is behind a proxy. settling_seconds: how long a look-up may fail to show
    what the system has accepted, when this account differs from the manifest. maintenance: when it is not to be called.
    """

    name: str
    connector: str
    base_url: str
    auth: str
    fills: tuple[str, ...]
    writes_as: str
    entities: tuple[str, ...] = ()
    dimensions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    webhook_secret: str = ""
    webhook_url: str = ""
    ca_file: str = ""
    sweep_seconds: float = 5.0
    settling_seconds: float | None = Field(default=None, ge=0)
    maintenance: tuple[MaintenanceConfig, ...] = ()

    @field_validator("secrets")
    @classmethod
    def _references(cls, secrets: dict[str, str]) -> dict[str, str]:
        return {name: by_reference(reference) for name, reference in secrets.items()}

    @field_validator("webhook_secret")
    @classmethod
    def _reference(cls, reference: str) -> str:
        return by_reference(reference) if reference else reference


class Limited(Protocol):
    """Whoever has a name, roles, and perhaps limits."""

    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def entities(self) -> tuple[str, ...]: ...
    @property
    def regions(self) -> tuple[str, ...]: ...


class Caller(_Strict):
    """Someone who may call the API. token: reference. roles: what for. writes_as: see ConnectionConfig.

    entities, regions: the legal entities it is limited to; none named, all of them.
    """

    name: str
    token: str
    roles: tuple[str, ...]
    entities: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    writes_as: str = ""
    requests_per_minute: int = 6000

    @field_validator("token")
    @classmethod
    def _reference(cls, reference: str) -> str:
        return by_reference(reference)


class PaceConfig(_Strict):
    """How patient the hub is."""

    wait_seconds_first: float = 0.5
    wait_seconds_max: float = 60.0
    alert_after_minutes: float = 15.0


class FirmConfig(_Strict):
    """All of the firm folder."""

    name: str
    entities: tuple[LegalEntity, ...]
    connections: tuple[ConnectionConfig, ...]
    callers: tuple[Caller, ...] = ()
    ownership: tuple[OwnershipRule, ...] = ()
    pace: PaceConfig = PaceConfig()
    regions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    console: ConsoleConfig = ConsoleConfig()
    desk: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _hangs_together(self) -> FirmConfig:
        problems = [*_twice("entity", [e.code for e in self.entities])]
        problems += _twice("connection", [c.name for c in self.connections])
        problems += _twice("caller", [c.name for c in self.callers])
        codes = {entity.code for entity in self.entities}
        for connection in self.connections:
            problems += [
                f"{connection.name} fills {p}, which is no port ({', '.join(PORTS)})"
                for p in connection.fills
                if p not in PORTS
            ]
            problems += [
                f"{connection.name} serves {e}, which is no entity" for e in connection.entities if e not in codes
            ]
        problems += self._filled_twice(codes)
        problems += self._limits_that_limit_nothing(codes)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _filled_twice(self, codes: set[str]) -> list[str]:
        """A port of an entity that two connections fill for the same contracts, and limits where there may be none."""
        problems = []
        for one in self.connections:
            others = [p for p in one.fills if p not in BY_DIMENSIONS]
            if one.dimensions and others:
                problems.append(f"{one.name} fills {' and '.join(others)}, which dimensions cannot limit")
        for port in PORTS.keys() - SOURCES:
            for code in codes:
                able = [c for c in self.connections if port in c.fills and (not c.entities or code in c.entities)]
                both = [(a, b) for a, b in combinations(able, 2) if not _told_apart(a, b)]
                problems += [f"{a.name} and {b.name} both fill {port} for {code}" for a, b in both]
        return problems

    def _limits_that_limit_nothing(self, codes: set[str]) -> list[str]:
        """A misspelt entity, region or role would let somebody in for everything, or for nothing."""
        placed = [(region, code) for region, inside in self.regions.items() for code in inside]
        problems = [f"region {region} has {code}, which is no entity" for region, code in placed if code not in codes]
        everybody: list[Limited] = [*self.callers, *self.console.people, *self.console.grants]
        for who in everybody:
            problems += [f"{who.name}: {e} is no entity" for e in who.entities if e not in codes]
            problems += [f"{who.name}: {r} is no region" for r in who.regions if r not in self.regions]
        return problems

    @field_validator("desk")
    @classmethod
    def _desk_fits(cls, own: dict[str, Any]) -> dict[str, Any]:
        desk_config(own)
        return own

    def actor(self, who: Limited) -> Actor:
        """Whoever comes in as the one authorisation knows them: name, roles, and the legal entities they serve."""
        named = {*who.entities, *(code for region in who.regions for code in self.regions.get(region, ()))}
        limits = frozenset(named) if who.entities or who.regions else None
        return Actor(who.name, frozenset(who.roles), limits)


def _told_apart(one: ConnectionConfig, other: ConnectionConfig) -> bool:
    """True when no contract can be of both: a dimension that both name has no value in common."""
    shared = one.dimensions.keys() & other.dimensions.keys()
    return any(not set(one.dimensions[name]) & set(other.dimensions[name]) for name in shared)


def _twice(what: str, names: list[str]) -> list[str]:
    return [f"{what} {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]


def read_folder(folder: Path) -> FirmConfig:
    """The firm folder, validated. BadInput names file, place and problem; nothing is applied here."""
    if not (folder / "firm.toml").exists():
        raise BadInput(f"{folder} is no firm folder: firm.toml is missing; 'isthmus init {folder}' writes one")
    content: dict[str, Any] = {}
    for name in FILES:
        path = folder / name
        if path.exists():
            try:
                found = tomllib.loads(path.read_text())
            except tomllib.TOMLDecodeError as wrong:
                raise BadInput(f"{path}: {wrong}") from wrong
            twice = sorted(set(found) & set(content))
            if twice:
                raise BadInput(f"{path}: {', '.join(twice)} is in another file as well: keep one")
            content |= found
    return parse(content, str(folder))


def parse(content: dict[str, Any], source: str) -> FirmConfig:
    """A firm from its parsed content."""
    try:
        return FirmConfig.model_validate(content)
    except ValidationError as wrong:
        told = [f"{'.'.join(str(p) for p in e['loc']) or 'firm'}: {e['msg']}" for e in wrong.errors()]
        raise BadInput(f"{source}: " + "; ".join(told)) from wrong
