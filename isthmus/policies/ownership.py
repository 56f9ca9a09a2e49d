"""Who may write what: system-of-record ownership per object.field and legal entity.

Rules are data. The most specific rule wins: field before object, entity before any entity. A pair nobody owns is
refused: silence is not permission.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from isthmus.domain.errors import NotOwner

Role = Literal["crm", "psa", "erp", "tax", "hub", "finance", "time", "pmo", "esign"]


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
    OwnershipRule(object="approval", owner="esign", route="sign for it in the e-signature service"),
    OwnershipRule(object="client", owner="crm", route="change the account in the CRM"),
    OwnershipRule(object="client", field="tax_id", owner="erp", route="ask finance master data"),
    OwnershipRule(object="client", field="payment_terms", owner="erp", route="ask finance master data"),
    OwnershipRule(object="project", owner="hub", route="projects are set up by the hub from an approved contract"),
    OwnershipRule(object="project", field="status", owner="psa", route="change the status in the PSA"),
    OwnershipRule(object="task", owner="psa", route="change the task in the PSA"),
    OwnershipRule(object="time_entry", owner="psa", route="record and approve time in the PSA"),
    OwnershipRule(object="expense", owner="psa", route="record and approve expenses where they are kept"),
    OwnershipRule(object="milestone", owner="psa", route="report progress in the delivery tool"),
    OwnershipRule(object="progress", owner="psa", route="report progress in the PSA"),
    OwnershipRule(object="usage", owner="hub", route="report usage with its evidence"),
    OwnershipRule(object="period", owner="hub", route="the controller closes periods"),
    OwnershipRule(object="billable_part", owner="hub", route="request a hold, release or write-off at the desk"),
    OwnershipRule(object="invoice", owner="hub", route="invoices are composed and numbered by the hub"),
    OwnershipRule(object="invoice", field="posting", owner="erp", route="the ERP posts"),
    OwnershipRule(object="invoice", field="tax", owner="tax", route="the tax engine calculates"),
    OwnershipRule(object="payment", owner="erp", route="record the payment in the ERP"),
    OwnershipRule(object="intercompany", owner="hub", route="finance keeps the agreements between entities"),
    OwnershipRule(object="vendor_bill", owner="hub", route="hand the supplier's bill in at the hub"),
    OwnershipRule(object="subcontract", owner="hub", route="procurement keeps subcontracts"),
    OwnershipRule(object="tax_threshold", owner="hub", route="the tax desk keeps thresholds"),
    OwnershipRule(object="change_order", owner="pmo", route="submit an accepted change order"),
)


# What a system is asked for is what it must own: a change captured there is a write to the hub.
CAPTURED: dict[str, str] = {
    "Crm": "contract",
    "Delivery": "milestone",
    "Erp": "payment",
    "Esign": "approval",
    "ExpenseSource": "expense",
    "TimeSource": "time_entry",
}

# What the hub's own writes to other systems are about (object, field). Objects without a shipped rule are the hub's own
# bookkeeping over there: a status, a mark, an hour as cost, a tax document.
SENT: dict[str, tuple[str, str]] = {
    "Crm.report_status": ("billing_status", "*"),
    "DisputeBoard.show_contested": ("billing_status", "*"),
    "Erp.put_client": ("client", "*"),
    "Erp.deactivate_client": ("client", "*"),
    "Erp.put_project": ("project", "*"),
    "Erp.close_project": ("project", "*"),
    "Erp.put_task": ("project", "tasks"),
    "Erp.put_time": ("time_cost", "*"),
    "Erp.post_invoice": ("invoice", "*"),
    "Erp.post_credit": ("invoice", "*"),
    "JournalBook.post_journal": ("journal", "*"),
    "Psa.put_project": ("project", "*"),
    "Psa.close_project": ("project", "*"),
    "Psa.put_task": ("project", "tasks"),
    "RateBook.put_rates": ("project", "rates"),
    "ScheduleBook.put_schedule": ("project", "schedule"),
    "TaxEngine.calculate": ("tax_document", "*"),
    "TaxEngine.commit": ("tax_document", "*"),
    "TaxEngine.void": ("tax_document", "*"),
    "TimeSource.mark_invoiced": ("billing_mark", "*"),
    "VendorBillBook.post_bill": ("vendor_bill", "*"),
    "VendorBillBook.release_bill": ("vendor_bill", "payment_hold"),
}


def check_sent(rules: Iterable[OwnershipRule], *, verb: str, to: str, entity: str) -> None:
    """NotOwner when the hub would write into a system what that system itself owns: it would overwrite the master.

    What the hub owns, or carries from its owner to others, it may write; and what no rule speaks of.
    """
    obj, field = SENT[verb]
    rule = find_rule(rules, obj, field, entity)
    if rule is not None and rule.owner == to:
        route = rule.route or "ask the integration team for an ownership rule"
        where = f"{obj}.{field} for {entity or 'any entity'}"
        message = f"hub may not write {where} to {to}: rule {rule.rule_id}, owner {rule.owner}; {route}"
        raise NotOwner(message, rule=rule.rule_id, owner=rule.owner, route=route)


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
