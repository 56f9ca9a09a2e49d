"""The firm folder: who the firm is, which systems it has, who owns what. One TOML file a subject, validated as a whole.

firm.toml         name, legal entities, pace
connections.toml  one table per connection: connector, address, credentials by reference, ports it fills
access.toml       API callers, their roles and the system they speak for
ownership.toml    rules that differ from the shipped defaults
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.domain.objects import LegalEntity
from isthmus.policies.ownership import OwnershipRule
from isthmus.ports import PORTS

FILES = ("firm.toml", "connections.toml", "access.toml", "ownership.toml")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def read_secret(reference: str) -> str:
    """The value a reference names: ``env:NAME``, ``file:PATH``, or ``demo:VALUE`` for synthetic credentials."""
    kind, _, rest = reference.partition(":")
    if kind == "env":
        if rest not in os.environ:
            raise NeedsSetup(f"environment variable {rest} is not set")
        return os.environ[rest]
    if kind == "file":
        try:
            return Path(rest).read_text().rstrip("\n")
        except OSError as missing:
            raise NeedsSetup(f"secret file {rest} cannot be read: {missing.strerror}") from missing
    return rest


def _by_reference(reference: str) -> str:
    if reference.partition(":")[0] not in ("env", "file", "demo"):
        raise ValueError("a secret is given by reference: env:NAME or file:PATH, never as text")
    return reference


class ConnectionConfig(_Strict):
    """One connection. entities: which legal entities it serves (none named: all). secrets: references by name.

    writes_as: the owner name its messages are checked under at the write gate. webhook_secret: reference to the secret
    its messages are signed with: whsec_… is Standard Webhooks, anything else the vendor's own scheme, where several
    separated by white space are all valid (for the time of a rotation). webhook_url: the address the vendor was given,
    when its signature covers it and the hub is behind a proxy. settling_seconds: how long a look-up may fail to show
    what the system has accepted, when this account differs from the manifest.
    """

    name: str
    connector: str
    base_url: str
    auth: str
    fills: tuple[str, ...]
    writes_as: str
    entities: tuple[str, ...] = ()
    secrets: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    webhook_secret: str = ""
    webhook_url: str = ""
    ca_file: str = ""
    sweep_seconds: float = 5.0
    settling_seconds: float | None = Field(default=None, ge=0)

    @field_validator("secrets")
    @classmethod
    def _references(cls, secrets: dict[str, str]) -> dict[str, str]:
        return {name: _by_reference(reference) for name, reference in secrets.items()}

    @field_validator("webhook_secret")
    @classmethod
    def _reference(cls, reference: str) -> str:
        return _by_reference(reference) if reference else reference


class Caller(_Strict):
    """Someone who may call the API. token: reference. roles: what for. writes_as: see ConnectionConfig."""

    name: str
    token: str
    roles: tuple[str, ...]
    writes_as: str = ""
    requests_per_minute: int = 6000

    @field_validator("token")
    @classmethod
    def _reference(cls, reference: str) -> str:
        return _by_reference(reference)


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
        for port in PORTS:
            for code in codes:
                filling = [
                    c.name for c in self.connections if port in c.fills and (not c.entities or code in c.entities)
                ]
                if len(filling) > 1:
                    problems.append(f"{' and '.join(filling)} both fill {port} for {code}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


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
