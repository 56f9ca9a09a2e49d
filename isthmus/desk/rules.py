"""Rules of the desk: a decision that is made by itself from now on. Reviewed by another person, reversible.

Where money is at stake a rule proposes, and a second person still agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.desk.cases import case_of
from isthmus.desk.filing import cause_facts
from isthmus.desk.types import action_of, type_of
from isthmus.domain.errors import BadInput, IllegalTransition, NotFound, NotPermitted
from isthmus.domain.names import same_person
from isthmus.policies.authority import Actor, deciders, demand
from isthmus.runtime.books import Books
from isthmus.store.desk_records import DeskRule, Proposal, RuleState
from isthmus.store.records import Case
from isthmus.store.tx import Tx


def propose(books: Books, who: Actor, case_no: str, action: str, values: Mapping[str, Any], reason: str) -> DeskRule:
    """Propose that cases of this one's cause are decided like this from now on; nothing is until it is reviewed."""
    case = case_of(books.tx, case_no)
    demand(who, "rule.propose", case.entity)
    known = action_of(case.exception, action)
    if not known.rule:
        raise BadInput(f"case {case_no}: {action} is decided case by case; it cannot become a rule")
    match = {**cause_facts(case), **({"entity": case.entity} if case.entity else {})}
    if "cause" in match:
        raise BadInput(f"case {case_no}: nothing but its words tells this cause from others: no rule can be made of it")
    rule = DeskRule(
        rule_no=f"R-{books.tx.next('desk-rule'):04d}",
        exception=case.exception,
        match=match,
        action=action,
        values=dict(values),
        text=reason,
        from_case=case_no,
        state=RuleState.PROPOSED,
        proposed_by=who.name,
        proposed_at=books.now,
    )
    books.tx.insert(rule)
    books.audit("rule.propose", f"rule:{rule.rule_no}", reason=reason, after=_told(rule))
    return rule


def review(books: Books, who: Actor, rule_no: str, accept: bool, reason: str) -> DeskRule:
    """Another person than the author lets the rule decide from now on, or declines it."""
    rule = _locked(books, who, rule_no)
    if rule.state is not RuleState.PROPOSED:
        raise IllegalTransition(f"rule {rule_no} is {rule.state} already")
    if same_person(who.name, rule.proposed_by):
        raise NotPermitted(f"{who.name} proposed rule {rule_no}; another person must review it")
    state = RuleState.ACTIVE if accept else RuleState.DECLINED
    facts = {"state": state, "reviewed_by": who.name, "reviewed_at": books.now, "review_reason": reason}
    return _kept(books, rule, rule.model_copy(update=facts), "rule.activate" if accept else "rule.decline", reason)


def retire(books: Books, who: Actor, rule_no: str, reason: str) -> DeskRule:
    """Stop a rule. What it has decided stays decided and is listed; from now on a person decides again."""
    rule = _locked(books, who, rule_no)
    if rule.state is not RuleState.ACTIVE:
        raise IllegalTransition(f"rule {rule_no} is {rule.state}, not active")
    facts = {"state": RuleState.RETIRED, "retired_by": who.name, "retired_at": books.now, "retired_reason": reason}
    return _kept(books, rule, rule.model_copy(update=facts), "rule.retire", reason)


def _locked(books: Books, who: Actor, rule_no: str) -> DeskRule:
    books.tx.lock(f"rule:{rule_no}")
    rule = books.tx.get(DeskRule, rule_no)
    if rule is None:
        raise NotFound(f"no rule {rule_no}")
    demand(who, "rule.review", str(rule.match.get("entity", "")))
    queue = type_of(rule.exception).queue
    if not who.decides(queue):
        raise NotPermitted(f"{who.told}: rule {rule_no} decides what {', '.join(sorted(deciders(queue)))} decide")
    return rule


def _kept(books: Books, before: DeskRule, after: DeskRule, action: str, reason: str) -> DeskRule:
    books.tx.update(after)
    books.audit(action, f"rule:{after.rule_no}", reason=reason, before=_told(before), after=_told(after))
    return after


def _told(rule: DeskRule) -> dict[str, Any]:
    return rule.model_dump(mode="json", include={"exception", "match", "action", "values", "state"})


def rule_for(tx: Tx, case: Case) -> DeskRule | None:
    """The active rule whose facts are the case's; the oldest of several."""
    facts = {**cause_facts(case), "entity": case.entity}
    for rule in tx.find(DeskRule, state=RuleState.ACTIVE, exception=case.exception, order=("rule_no",)):
        if all(facts.get(name) == value for name, value in rule.match.items()):
            return rule
    return None


def as_actor(rule: DeskRule, case: Case) -> Actor:
    """A rule decides with the roles of the case's queue, for its own legal entity, under its own name."""
    entity = str(rule.match.get("entity", ""))
    return Actor(f"rule {rule.rule_no}", deciders(case.queue), frozenset({entity}) if entity else None)


def decided_by(tx: Tx, rule_no: str) -> list[Proposal]:
    """What a rule has decided, so that it can be looked at and set right after the rule is retired."""
    return [p for p in tx.find(Proposal, order=("proposal_no",)) if p.rule_no == rule_no]
