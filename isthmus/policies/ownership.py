"""Who may write what: system-of-record ownership per object.field and legal entity.

Rules are data. The most specific rule wins: field before object, entity before any entity. A pair nobody owns is
refused: silence is not permission.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from isthmus.domain.errors import NotOwner

Role = Literal["crm", "psa", "erp", "tax", "hub", "finance", "time", "pmo"]


class OwnershipRule(BaseModel):
    """owner may write object.field ("*": every field) for entity ("*": every entity). route: what others do instead."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    object: str
    field: str = "*"
    entity: str = "*"
    owner: str
    route: str = ""

    @property
    def rule_id(self) -> str:
        """The rule's name in refusals and in the audit."""
        return f"{self.object}.{self.field}@{self.entity}"


DEFAULT_RULES: tuple[OwnershipRule, ...] = (
    OwnershipRule(object="opportunity", owner="crm", route="change it in the CRM"),
    OwnershipRule(object="contract", owner="crm", route="amend the contract in the CRM; the hub picks it up"),
    OwnershipRule(object="client", owner="crm", route="change the account in the CRM"),
    OwnershipRule(object="client", field="tax_id", owner="erp", route="ask finance master data"),
    OwnershipRule(object="client", field="payment_terms", owner="erp", route="ask finance master data"),
    OwnershipRule(object="project", owner="hub", route="projects are set up by the hub from an approved contract"),
    OwnershipRule(object="project", field="status", owner="psa", route="change the status in the PSA"),
    OwnershipRule(object="task", owner="psa", route="change the task in the PSA"),
    OwnershipRule(object="time_entry", owner="psa", route="record and approve time in the PSA"),
    OwnershipRule(object="billable_part", owner="hub", route="request a hold, release or write-off at the desk"),
    OwnershipRule(object="invoice", owner="hub", route="invoices are composed and numbered by the hub"),
    OwnershipRule(object="invoice", field="posting", owner="erp", route="the ERP posts"),
    OwnershipRule(object="invoice", field="tax", owner="tax", route="the tax engine calculates"),
    OwnershipRule(object="payment", owner="erp", route="record the payment in the ERP"),
    OwnershipRule(object="change_order", owner="pmo", route="submit an accepted change order"),
)


def find_rule(rules: Iterable[OwnershipRule], obj: str, field: str, entity: str) -> OwnershipRule | None:
    """The most specific rule for object.field in an entity."""
    fitting = [r for r in rules if r.object == obj and r.field in (field, "*") and r.entity in (entity, "*")]
    return max(fitting, key=lambda r: (r.field != "*", r.entity != "*"), default=None)


def check_owner(
    rules: Iterable[OwnershipRule], *, writer: str, obj: str, fields: Iterable[str], entity: str
) -> list[str]:
    """Ids of the rules that allow the write. NotOwner names the rule, the owner and the route of the first refusal.

    A write that names no field is a write of the whole object.
    """
    rules, allowed = list(rules), []
    for field in list(fields) or ["*"]:
        rule = find_rule(rules, obj, field, entity)
        if rule is None or rule.owner != writer:
            name = rule.rule_id if rule else f"{obj}.{field}@{entity}"
            owner = rule.owner if rule else "nobody"
            route = rule.route if rule and rule.route else "ask the integration team for an ownership rule"
            where = f"{obj}.{field} for {entity or 'any entity'}"
            message = f"{writer} may not write {where}: rule {name}, owner {owner}; {route}"
            raise NotOwner(message, rule=name, owner=owner, route=route)
        allowed.append(rule.rule_id)
    return allowed
