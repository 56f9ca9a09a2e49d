"""The write gate: every door asks it before anything is changed. A refusal is kept in the audit."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.domain.errors import NotOwner
from isthmus.policies.ownership import CAPTURED, DEFAULT_RULES, OwnershipRule, check_owner, check_sent


class Gate:
    """Ownership rules of the firm over the shipped defaults: a firm's rule for the same object.field.entity wins."""

    def __init__(self, firm_rules: Iterable[OwnershipRule] = ()) -> None:
        merged = {rule.rule_id: rule for rule in DEFAULT_RULES}
        merged.update({rule.rule_id: rule for rule in firm_rules})
        self.rules = tuple(merged.values())

    def check(self, *, writer: str, obj: str, fields: Iterable[str] = ("*",), entity: str = "") -> list[str]:
        """Rule ids that allow the write; NotOwner otherwise."""
        return check_owner(self.rules, writer=writer, obj=obj, fields=fields, entity=entity)

    def check_sent(self, verb: str, *, to: str, entity: str) -> None:
        """NotOwner when the hub would overwrite, by this verb, what the other system (to: its owner name) owns."""
        check_sent(self.rules, verb=verb, to=to, entity=entity)

    def check_captured(self, port: str, *, writer: str, entities: Iterable[str]) -> None:
        """NotOwner when what is asked for by this port is not the other system's to say."""
        for entity in tuple(entities) or ("",):
            self.check(writer=writer, obj=CAPTURED[port], entity=entity)

    def refusal(self, port: str, *, writer: str, entity: str) -> str:
        """Why a captured fact of this entity is not the other system's to say; empty when it is."""
        try:
            self.check_captured(port, writer=writer, entities=(entity,))
        except NotOwner as refused:
            return refused.message
        return ""

    def differs_by_entity(self, port: str) -> bool:
        """True when what this port captures has another owner in some legal entity."""
        return any(rule.object == CAPTURED[port] and rule.entity != "*" for rule in self.rules)

    def allows(self, *, writer: str, obj: str, fields: Iterable[str] = ("*",), entity: str = "") -> bool:
        """True when check would pass."""
        try:
            self.check(writer=writer, obj=obj, fields=fields, entity=entity)
        except NotOwner:
            return False
        return True
