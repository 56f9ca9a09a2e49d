"""When another person must agree, and who that may be: by the action's own rule and the approval matrix."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from isthmus.desk.config import DeskConfig
from isthmus.desk.types import action_of
from isthmus.domain.errors import NotPermitted
from isthmus.domain.names import same_person
from isthmus.domain.objects import LegalEntity
from isthmus.policies.approvals import approvers
from isthmus.policies.authority import Actor, deciders
from isthmus.store.records import Case
from isthmus.store.tx import Tx

BY_MATRIX = frozenset({"EX-WRITE-OFF", "EX-WRITE-DOWN"})  # approvals of these follow the matrix as well
# What the matrix of a legal entity itself is about, by the case in which somebody approves it.
APPROVES = {
    "EX-REVIEW": "invoice",
    "EX-CREDIT-REVIEW": "credit",
    "EX-WRITE-OFF": "write_off",
    "EX-WRITE-DOWN": "write_down",
    "EX-BAD-DEBT": "bad_debt",
    "EX-PRIOR-PERIOD": "prior_period",
    "EX-RERATE-REVIEW": "rerate",
}


@dataclass(frozen=True)
class Need:
    """second: another person must agree. roles: who that may be, or who may decide at all. why: in words.

    by_entity: the legal entity's own matrix says who, whichever queue the case is in.
    """

    second: bool
    roles: frozenset[str]
    why: str
    by_entity: bool = False


def need_of(tx: Tx, case: Case, action: str, config: DeskConfig) -> Need:
    """What a decision needs. Whoever decides the queue may decide; money, waivers and write-offs need more."""
    rule, ours = action_of(case.exception, action).second, deciders(case.queue)
    named = _by_entity(tx, case) if action == "approve" else None
    if named is not None:
        return named
    if rule == "always":
        return Need(True, ours, "this always takes a second person")
    if rule == "money" and case.amount:
        return Need(True, ours, f"{case.amount:,} {case.currency} is at stake: a second person agrees")
    if rule == "matrix" or (rule == "prepared" and case.exception in BY_MATRIX):
        return _by_matrix(tx, case, config, asked_already=rule == "prepared")
    return Need(False, ours, "")


def _by_matrix(tx: Tx, case: Case, config: DeskConfig, asked_already: bool) -> Need:
    """asked_already: somebody else has prepared it, so whoever approves is the second person."""
    amount = _in_own_currency(tx, case)
    band = config.band(amount)
    roles = frozenset(band.roles) or deciders(case.queue)
    limit = "whatever the amount" if band.up_to is None else f"up to {band.up_to:,}"
    why = f"by the approval matrix ({limit}): {', '.join(sorted(roles))}"
    return Need(band.second and not asked_already, roles, why)


def _by_entity(tx: Tx, case: Case) -> Need | None:
    """By the entity's approval matrix, where it has one: whoever has prepared it is never one of them.

    An amount in another currency takes a row without a limit.
    """
    what, entity = APPROVES.get(case.exception), tx.get(LegalEntity, case.entity) if case.entity else None
    if what is None or entity is None or not entity.approval_matrix:
        return None
    amount = _in_own_currency(tx, case)
    unlimited = [row for row in entity.approval_matrix if row.up_to is None]
    roles = approvers(unlimited if amount is None else entity.approval_matrix, what, amount or Decimal(0))
    told = "in another currency" if amount is None else f"of {amount:,}"
    who = ", ".join(roles) or "nobody"
    why = f"by the approval matrix of {entity.code}, {what.replace('_', ' ')} {told} is for {who}"
    return Need(False, frozenset(roles), why, by_entity=True)


def _in_own_currency(tx: Tx, case: Case) -> Decimal | None:
    """The amount when it is in the legal entity's own currency; nothing at stake counts as nothing."""
    if case.amount is None:
        return Decimal(0)
    entity = tx.get(LegalEntity, case.entity)
    return case.amount if entity is not None and entity.functional_currency == case.currency else None


def demand_decider(who: Actor, case: Case, need: Need) -> None:
    """NotPermitted unless the actor decides the case's queue; without a second person also by the matrix."""
    if need.by_entity:
        if not need.roles & who.roles:
            raise NotPermitted(f"{who.told} may not: {need.why}")
        return
    if not who.decides(case.queue):
        told = ", ".join(sorted(deciders(case.queue)))
        raise NotPermitted(f"{who.told}: case {case.case_no} is in {case.queue}, which {told} decides")
    if not need.second and not need.roles & who.roles:
        raise NotPermitted(f"{who.told} may not: {need.why}")


def demand_second(who: Actor, proposed_by: str, need: Need) -> None:
    """NotPermitted unless the actor is another person, with a role that may agree."""
    if same_person(who.name, proposed_by):
        raise NotPermitted(f"{who.name} proposed it; another person must agree")
    if not need.roles & who.roles:
        raise NotPermitted(f"{who.told} may not agree: it is for {', '.join(sorted(need.roles))}")
