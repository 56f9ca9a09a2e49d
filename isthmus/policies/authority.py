"""Who may do what, to which legal entity: one table for API tokens, console sessions and the desk alike.

A permission is ``object.action``; a role has it or has it not. An actor may be limited to legal entities; what belongs
to no legal entity (yet) is firm-wide. The second rule of money is by name and not by role: who prepares never approves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.domain.errors import NotPermitted

ROLES: dict[str, str] = {
    "reader": "looks at everything except cost rates",
    "integration": "connects systems, delivers files, replays messages, mends connections",
    "billing": "starts billing runs, releases invoices, asks for write-offs",
    "project_manager": "sets projects up, submits change orders, asks for write-offs",
    "sales": "sees where signed work stands, answers what contract operations ask",
    "finance": "approves, decides money, sees cost rates",
    "tax": "decides about tax codes, registrations and differences",
    "controller": "approves beyond the limits of finance, sees cost rates and the audit",
    "executive": "sees the figures of all entities given",
    "steward": "decides about clients and master data",
    "admin": "operates the hub; starts no billing and approves no money",
}
EVERYBODY = frozenset(ROLES)
NOBODY: frozenset[str] = frozenset()

# Which roles decide the cases of a queue. A queue that is not here is decided by admin alone, until it is added.
QUEUES: dict[str, frozenset[str]] = {
    "data-steward": frozenset({"steward"}),
    "finance-master-data": frozenset({"steward", "finance"}),
    "tax": frozenset({"tax", "finance"}),
    "receivables": frozenset({"finance", "billing"}),
    "collections": frozenset({"finance", "billing"}),
    "billing": frozenset({"billing", "finance"}),
    "pricing": frozenset({"finance", "billing"}),
    "finance": frozenset({"finance", "controller"}),
    "controlling": frozenset({"controller"}),
    "revenue": frozenset({"finance", "controller"}),
    "project-accounting": frozenset({"finance"}),
    "procurement": frozenset({"finance"}),
    "people": frozenset({"steward", "project_manager"}),
    "pmo": frozenset({"project_manager"}),
    "contract-operations": frozenset({"project_manager", "steward", "sales"}),
    "integration": frozenset({"integration", "admin"}),
}
DECIDERS = frozenset().union(*QUEUES.values())


def _for(*roles: str) -> frozenset[str]:
    assert EVERYBODY.issuperset(roles), f"no such role: {sorted(set(roles) - EVERYBODY)}"
    return frozenset(roles)


PERMISSIONS: dict[str, frozenset[str]] = {
    "contract.read": EVERYBODY,
    "client.read": EVERYBODY,
    "project.read": EVERYBODY,
    "time.read": EVERYBODY,
    "evidence.read": EVERYBODY,
    "invoice.read": EVERYBODY,
    "payment.read": EVERYBODY,
    "bill.read": EVERYBODY,
    "effect.read": EVERYBODY,
    "event.read": EVERYBODY,
    "run.read": EVERYBODY,
    "case.read": EVERYBODY,
    "journey.read": EVERYBODY,
    "figures.read": EVERYBODY,
    "connection.read": EVERYBODY,
    "catalog.read": EVERYBODY,
    "access.read": EVERYBODY,
    "audit.read": _for("finance", "controller", "integration", "admin"),
    "cost_rate.read": _for("finance", "controller"),
    "time_file.deliver": _for("integration", "admin"),
    "price_list.deliver": _for("integration", "billing", "project_manager", "finance", "admin"),
    "rate_card.hand_in": _for("integration", "billing", "finance"),
    "fx_rate.load": _for("integration", "finance", "controller", "admin"),
    "engagement.start": _for("integration", "project_manager", "admin"),
    "billing.start": _for("billing", "finance"),
    "change_order.submit": _for("project_manager"),
    "contract.hand_in": _for("integration", "sales", "admin"),
    "expense.deliver": _for("integration", "admin"),
    "milestone.report": _for("integration", "project_manager", "admin"),
    "usage.report": _for("integration", "admin"),
    "hold.place": _for("billing", "project_manager"),
    "credit.request": _for("billing"),
    "bad_debt.request": _for("billing", "finance"),
    "dispute.open": _for("billing", "project_manager"),
    "period.close": _for("controller"),
    "lending.agree": _for("finance", "controller"),
    "lending.charge": _for("finance", "controller"),
    "subcontract.agree": _for("finance", "controller"),
    "bill.hand_in": _for("integration", "billing", "finance"),
    "bill.confirm": _for("project_manager"),
    "bill.release": _for("billing", "finance"),
    "threshold.keep": _for("tax"),
    "write_off.request": _for("billing", "project_manager"),
    "invoice.release": _for("billing", "finance"),
    "run.cancel": _for("integration", "billing", "project_manager", "finance", "admin"),
    "case.decide": DECIDERS,
    "case.approve": DECIDERS,
    "case.work": DECIDERS,
    "rule.propose": DECIDERS,
    "rule.review": _for("finance", "controller", "tax", "steward", "project_manager", "admin"),
    "message.replay": _for("integration", "admin"),
}


@dataclass(frozen=True)
class Actor:
    """Whoever acts: a person or a program. entities: the legal entities it is limited to; None when it is not."""

    name: str
    roles: frozenset[str]
    entities: frozenset[str] | None = None

    def may(self, permission: str) -> bool:
        """True when one of the roles has the permission."""
        return bool(PERMISSIONS[permission] & self.roles)

    def serves(self, entity: str) -> bool:
        """True when the legal entity is the actor's to see; what has none is firm-wide."""
        return not entity or self.entities is None or entity in self.entities

    def decides(self, queue: str) -> bool:
        """True when the actor's roles decide the cases of this queue."""
        return bool(deciders(queue) & self.roles)

    @property
    def told(self) -> str:
        """Name, roles and limits in words."""
        limits = "" if self.entities is None else f" for {', '.join(sorted(self.entities)) or 'no entity'}"
        return f"{self.name} ({', '.join(sorted(self.roles)) or 'no role'}{limits})"


def deciders(queue: str) -> frozenset[str]:
    """The roles that decide the cases of a queue."""
    return QUEUES.get(queue, frozenset({"admin"}))


def demand(actor: Actor, permission: str, entity: str = "") -> None:
    """NotPermitted, in words, unless the actor has the permission and serves the legal entity."""
    if not actor.may(permission):
        needed = ", ".join(sorted(PERMISSIONS[permission]))
        raise NotPermitted(f"{actor.told} may not {in_words(permission)}: it is for {needed}")
    demand_entity(actor, entity)


def demand_entity(actor: Actor, entity: str) -> None:
    """NotPermitted unless the actor serves the legal entity."""
    if not actor.serves(entity):
        raise NotPermitted(f"{actor.told} does not serve the legal entity {entity}")


def in_words(permission: str) -> str:
    """case.decide as 'decide case'."""
    subject, _, action = permission.partition(".")
    return f"{action} {subject}".replace("_", " ")


def matrix(roles: Iterable[str] = tuple(ROLES)) -> list[tuple[str, dict[str, bool]]]:
    """Every permission with yes or no per role, then every queue: the table that is printed and tested."""
    roles = tuple(roles)
    rows = [(permission, {role: role in holders for role in roles}) for permission, holders in PERMISSIONS.items()]
    queues = [(f"case.decide in {queue}", {role: role in deciders(queue) for role in roles}) for queue in QUEUES]
    return [*rows, *queues]
