"""Decisions as people make them: proposed with a dry run as evidence, agreed to by a second person where it takes two.

This is the one door for people: command line, API and console come through here, and each finds the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.desk import cases
from isthmus.desk.cases import Checked, case_of, open_case
from isthmus.desk.config import DeskConfig
from isthmus.desk.dry_run import DryRun, dry_run
from isthmus.desk.notes import note
from isthmus.desk.second import Need, demand_decider, demand_second, need_of
from isthmus.domain.errors import IllegalTransition, NotFound, NotPermitted
from isthmus.domain.names import same_person
from isthmus.policies.authority import Actor, demand
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel
from isthmus.store.desk_records import Proposal, ProposalState
from isthmus.store.records import Case
from isthmus.store.tx import Tx


@dataclass(frozen=True)
class Choice:
    """What somebody wants to do about a case: one of its actions, the values it asks for, and why."""

    action: str
    reason: str
    values: Mapping[str, Any] = field(default_factory=dict)


def preview(kernel: Kernel, who: Actor, case_no: str, choice: Choice, *, reads: bool = True) -> DryRun:
    """The dry run of a choice, whoever would have to agree; nothing is changed. Refusals as in decide."""
    with kernel.store.transaction() as tx:
        case = case_of(tx, case_no)

    def act(acting: Kernel, tx: Tx) -> None:
        books = acting.books(tx, key=f"dry-run/{case_no}", actor=who.name)
        _may(who, open_case(tx, case_no))
        checked = cases.check(books, case, choice.action, choice.values)
        _refuse_own_work(who, case, choice.action)
        cases.carry_out(books, case_no, action=choice.action, actor=who.name, reason=choice.reason, checked=checked)

    return dry_run(kernel, case, act, reads=reads)


def decide(
    books: Books,
    who: Actor,
    case_no: str,
    choice: Choice,
    *,
    evidence: DryRun,
    config: DeskConfig,
    bulk_no: str = "",
    rule_no: str = "",
    agreed_by: str = "",
) -> tuple[Case, Proposal]:
    """Decide a case. Carried out at once, or kept until a second person agrees when that is needed.

    agreed_by: the second person who has agreed already, to a bulk this case is in; the bulk has checked that they may.
    """
    case = open_case(books.tx, case_no)
    _may(who, case)
    need = need_of(books.tx, case, choice.action, config)
    demand_decider(who, case, need)
    checked = cases.check(books, case, choice.action, choice.values)
    if case.pending:
        raise IllegalTransition(f"case {case_no}: proposal {case.pending} waits for a second person; withdraw it first")
    proposal = Proposal(
        proposal_no=f"P-{books.tx.next('proposal'):06d}",
        case_no=case_no,
        action=choice.action,
        values=checked.values,
        original=checked.original,
        reason=choice.reason,
        dry_run=evidence.model_dump(mode="json"),
        proposed_by=who.name,
        proposed_at=books.now,
        needs_second=need.second,
        why_second=need.why,
        state=ProposalState.PROPOSED if need.second and not agreed_by else ProposalState.CARRIED_OUT,
        bulk_no=bulk_no,
        rule_no=rule_no,
        decided_by=agreed_by if need.second else "",
    )
    books.tx.insert(proposal)
    if proposal.state is ProposalState.PROPOSED:
        return _keep_for_second(books, case, proposal, need), proposal
    return _carry_out(books, proposal, checked, proposal.decided_by), proposal


def _may(who: Actor, case: Case) -> None:
    demand(who, "case.decide", case.entity)


def _refuse_own_work(who: Actor, case: Case, action: str) -> None:
    prepared = str(case.context.get("prepared_by", ""))
    if action == "approve" and same_person(prepared, who.name):
        raise NotPermitted(f"case {case.case_no}: {who.name} prepared it; another person must approve")


def _keep_for_second(books: Books, case: Case, proposal: Proposal, need: Need) -> Case:
    waiting = case.model_copy(update={"pending": proposal.proposal_no})
    books.tx.update(waiting)
    note(books, case.case_no, "propose", f"{proposal.reason} ({need.why})", after=_told(proposal))
    facts = {"case": case.case_no, "proposal": proposal.proposal_no, "why": need.why, "queue": case.queue}
    books.emit("case.proposed", f"case:{case.case_no}", facts, entity=case.entity)
    return waiting


def _carry_out(books: Books, proposal: Proposal, checked: Checked, agreed_by: str = "") -> Case:
    reason = proposal.reason
    if agreed_by:
        checked = Checked({**checked.values, "agreed_by": agreed_by}, checked.original)
    note(books, proposal.case_no, "resolve", reason, before=proposal.original, after=_told(proposal, agreed_by))
    return cases.carry_out(
        books,
        proposal.case_no,
        action=proposal.action,
        actor=proposal.proposed_by,
        reason=reason,
        checked=checked,
    )


def _told(proposal: Proposal, agreed_by: str = "") -> dict[str, Any]:
    facts = {"proposal": proposal.proposal_no, "action": proposal.action, "values": proposal.values}
    return {**facts, "agreed_by": agreed_by} if agreed_by else facts


# -- the second person --------------------------------------------------------------------------------------------


def approve(books: Books, who: Actor, proposal_no: str, reason: str, config: DeskConfig) -> tuple[Case, Proposal]:
    """Agree to a proposal: it is carried out. Refused for whoever proposed it, and for roles that may not agree."""
    proposal, case = _waiting(books, who, proposal_no)
    demand_second(who, proposal.proposed_by, need_of(books.tx, case, proposal.action, config))
    _refuse_own_work(who, case, "approve")
    decided = _decided(books, proposal, ProposalState.CARRIED_OUT, who, reason)
    books.tx.update(case.model_copy(update={"pending": ""}))
    note(books, case.case_no, "agree", reason, after={"proposal": proposal_no})
    return _carry_out(books, decided, Checked(decided.values, decided.original), agreed_by=who.name), decided


def decline(books: Books, who: Actor, proposal_no: str, reason: str, config: DeskConfig) -> tuple[Case, Proposal]:
    """Disagree: the case is open again for another decision."""
    proposal, case = _waiting(books, who, proposal_no)
    demand_second(who, proposal.proposed_by, need_of(books.tx, case, proposal.action, config))
    return _put_back(books, case, proposal, ProposalState.DECLINED, who, reason)


def withdraw(books: Books, who: Actor, proposal_no: str, reason: str) -> tuple[Case, Proposal]:
    """Take one's own proposal back."""
    proposal, case = _waiting(books, who, proposal_no)
    if not same_person(who.name, proposal.proposed_by):
        raise NotPermitted(f"{proposal_no} is {proposal.proposed_by}'s: others decline it")
    return _put_back(books, case, proposal, ProposalState.WITHDRAWN, who, reason)


def _waiting(books: Books, who: Actor, proposal_no: str) -> tuple[Proposal, Case]:
    found = books.tx.get(Proposal, proposal_no)
    if found is None:
        raise NotFound(f"no proposal {proposal_no}")
    case = open_case(books.tx, found.case_no)
    demand(who, "case.approve", case.entity)
    proposal = books.tx.get(Proposal, proposal_no)
    assert proposal is not None
    if proposal.state is not ProposalState.PROPOSED:
        raise IllegalTransition(f"proposal {proposal_no} is {proposal.state} already")
    return proposal, case


def _decided(books: Books, proposal: Proposal, state: ProposalState, who: Actor, reason: str) -> Proposal:
    facts = {"state": state, "decided_by": who.name, "decided_at": books.now, "decided_reason": reason}
    decided = proposal.model_copy(update=facts)
    books.tx.update(decided)
    return decided


def _put_back(
    books: Books, case: Case, proposal: Proposal, state: ProposalState, who: Actor, reason: str
) -> tuple[Case, Proposal]:
    decided = _decided(books, proposal, state, who, reason)
    again = case.model_copy(update={"pending": ""})
    books.tx.update(again)
    kind = "decline" if state is ProposalState.DECLINED else "withdraw"
    note(books, case.case_no, kind, reason, after={"proposal": proposal.proposal_no})
    return again, decided


def waiting_for_second(tx: Tx) -> list[Proposal]:
    """Proposals that wait, oldest first."""
    return tx.find(Proposal, state=ProposalState.PROPOSED, order=("proposal_no",))
