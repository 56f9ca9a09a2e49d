"""The write gate: every door asks it before anything is changed. A refusal is kept in the audit."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.domain.errors import NotOwner
from isthmus.policies.ownership import DEFAULT_RULES, OwnershipRule, check_owner


class Gate:
    """Ownership rules of the firm over the shipped defaults: a firm's rule for the same object.field.entity wins."""

    def __init__(self, firm_rules: Iterable[OwnershipRule] = ()) -> None:
        merged = {rule.rule_id: rule for rule in DEFAULT_RULES}
        merged.update({rule.rule_id: rule for rule in firm_rules})
        self.rules = tuple(merged.values())

    def check(self, *, writer: str, obj: str, fields: Iterable[str] = ("*",), entity: str = "") -> list[str]:
        """Rule ids that allow the write; NotOwner otherwise."""
        return check_owner(self.rules, writer=writer, obj=obj, fields=fields, entity=entity)

    def allows(self, *, writer: str, obj: str, fields: Iterable[str] = ("*",), entity: str = "") -> bool:
        """True when check would pass."""
        try:
            self.check(writer=writer, obj=obj, fields=fields, entity=entity)
        except NotOwner:
            return False
        return True
