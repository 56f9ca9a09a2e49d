"""How the desk works, as data: service levels, routes, escalation, approval matrix, weights, alerts, expectations.

Shipped in desk.toml; a firm's own desk.toml is laid over it: tables are merged by key, lists replace.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from isthmus.desk.types import Severity, Strict
from isthmus.domain.money import Exact
from isthmus.kit.references import by_reference
from isthmus.policies.authority import QUEUES, ROLES


class QueueFacts(Strict):
    """A queue in words, and the queue that gets what it leaves lying."""

    title: str
    escalates_to: str = ""


class Route(Strict):
    """Where cases of a type and legal entity go; a pattern may end in *."""

    exception: str = "*"
    entity: str = "*"
    queue: str

    def fits(self, exception: str, entity: str) -> bool:
        """True for the cases of this route."""
        return fnmatchcase(exception, self.exception) and fnmatchcase(entity, self.entity)


class Escalation(Strict):
    """What happens when ``after`` times the service level have passed."""

    after: float = Field(gt=0)
    does: Literal["flag", "hand_over"]


class Band(Strict):
    """One row of the approval matrix. up_to: none in the last row. roles: none means the deciders of the queue."""

    up_to: Exact | None = None
    second: bool
    roles: tuple[str, ...] = ()

    @field_validator("roles")
    @classmethod
    def _known(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(roles) - set(ROLES))
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such role; there are {', '.join(ROLES)}")
        return roles


class Close(Strict):
    """On which working day of the next month a month is closed."""

    working_day: int = Field(default=5, ge=1, le=20)


class Weights(Strict):
    """See desk.toml."""

    severity: dict[Severity, int]
    money: tuple[Exact, ...]
    age: tuple[float, ...]


class Receiver(Strict):
    """Somebody who is alerted. secret: a reference (env:NAME, file:PATH). address: an URL, or a mail address."""

    name: str
    kind: Literal["webhook", "mail"]
    address: str
    secret: str = ""
    queues: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    from_weight: int = Field(default=0, ge=0, le=10)

    @field_validator("secret")
    @classmethod
    def _by_reference(cls, secret: str) -> str:
        return by_reference(secret) if secret else secret


class Mail(Strict):
    """The mail server that alerts go out by."""

    host: str = ""
    port: int = 25
    sender: str = "isthmus@localhost"
    tls: bool = False
    user: str = ""
    password: str = ""


class Expectation(Strict):
    """What is expected to come. Either messages of whatever fills a port (feed), or a stage after a stage."""

    name: str
    feed: str = ""
    stage: str = ""
    then: str = ""
    within_hours: float = Field(gt=0)
    working_days: bool = False
    queue: str

    @model_validator(mode="after")
    def _one_of_both(self) -> Expectation:
        if bool(self.feed) == bool(self.stage and self.then):
            raise ValueError(f"{self.name}: either a feed, or a stage and what comes then")
        return self


class Wedge(Strict):
    """When a run counts as wedged."""

    minutes: float = Field(default=15.0, gt=0)
    tries: int = Field(default=20, ge=1)


class WriteBack(Strict):
    """Whether a contract's own record shows, in the system it comes from, that it waits for a decision."""

    cases: bool = True


class DeskConfig(Strict):
    """All of it."""

    service: dict[Severity, float]
    escalation: tuple[Escalation, ...] = ()
    queues: dict[str, QueueFacts]
    routes: tuple[Route, ...] = ()
    matrix: tuple[Band, ...]
    close: Close = Close()
    weight: Weights
    receivers: tuple[Receiver, ...] = ()
    mail: Mail = Mail()
    expect: tuple[Expectation, ...] = ()
    wedge: Wedge = Wedge()
    write_back: WriteBack = WriteBack()

    @model_validator(mode="after")
    def _hangs_together(self) -> DeskConfig:
        named = [route.queue for route in self.routes] + [one.queue for one in self.expect]
        named += [facts.escalates_to for facts in self.queues.values() if facts.escalates_to]
        named += [queue for receiver in self.receivers for queue in receiver.queues]
        unknown = sorted({*named, *self.queues} - set(QUEUES))
        if unknown:
            raise ValueError(f"no queue {', '.join(unknown)}: there are {', '.join(QUEUES)}")
        limits = [band.up_to for band in self.matrix]
        bounded = [limit for limit in limits if limit is not None]
        if not limits or limits[-1] is not None or len(bounded) != len(limits) - 1 or bounded != sorted(bounded):
            raise ValueError("the approval matrix has rising limits and ends with a row without one")
        return self

    def queue_title(self, queue: str) -> str:
        """What people call a queue."""
        facts = self.queues.get(queue)
        return facts.title if facts else queue

    def band(self, amount: Decimal | None) -> Band:
        """The row of the matrix for an amount in the legal entity's currency; the last one when it is not known."""
        fitting = [b for b in self.matrix if b.up_to is None or (amount is not None and abs(amount) <= b.up_to)]
        return fitting[0]


@cache
def _shipped() -> dict[str, Any]:
    return tomllib.loads(resources.files("isthmus.desk").joinpath("desk.toml").read_text(encoding="utf-8"))


def desk_config(own: dict[str, Any] | None = None) -> DeskConfig:
    """The shipped settings with a firm's own laid over them."""
    merged = dict(_shipped())
    for name, value in (own or {}).items():
        base = merged.get(name)
        merged[name] = {**base, **value} if isinstance(base, dict) and isinstance(value, dict) else value
    return DeskConfig.model_validate(merged)
