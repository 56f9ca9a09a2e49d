"""One case: why, what it is worth, what was tried, what may be done; the dry run before the decision; its history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from isthmus.app.api.reading import reading
from isthmus.app.console.cases import values_of
from isthmus.app.console.pages import Look, page, to
from isthmus.app.console.render import show
from isthmus.app.scope import demand_sight
from isthmus.desk import proposals, rules, work
from isthmus.desk.cases import case_of
from isthmus.desk.close_day import impact_of
from isthmus.desk.dry_run import DryRun
from isthmus.desk.filing import cause_facts
from isthmus.desk.forms import form_of, forms_of
from isthmus.desk.notes import history
from isthmus.desk.proposals import Choice
from isthmus.desk.second import need_of
from isthmus.desk.suggestions import suggestions_for
from isthmus.desk.types import action_of
from isthmus.desk.weight import weight_of
from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Client, Invoice, LegalEntity
from isthmus.domain.states import CaseState
from isthmus.policies.authority import QUEUES, Actor
from isthmus.runtime.clock import local_day
from isthmus.store.desk_records import DeskRule, Proposal, ProposalState
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case, RunRow, RunStep
from isthmus.store.tx import Tx

STEPS_SHOWN = 12
HIDDEN_FACTS = frozenset(
    {"sent", "candidates", "offered", "prepared_by", "key", "verb", "words", "system", "remote_code", "field"}
)
ROWS_SHOWN = 40


@page("/cases/{case_no}", "case.read")
def case(look: Look) -> Response:
    """Everything about a case on one page."""
    with reading(look.hub) as tx:
        found = case_of(tx, look.path("case_no"))
        demand_sight(look.actor, tx, found)
        return show(look, "case.html", {**_facts(tx, look, found)})


def _facts(tx: PostgresTx, look: Look, found: Case) -> dict[str, Any]:
    now, config = look.hub.kernel.clock.now(), look.hub.desk
    entity = tx.get(LegalEntity, found.entity)
    is_open = found.state is CaseState.OPEN
    own = look.actor.decides(found.queue) and look.may("case.decide")
    given = {name.removeprefix("value:"): value for name, value in look.request.query_params.items()}
    return {
        "case": found,
        "weight": weight_of(found, config, now) if is_open else 0,
        "client": tx.get(Client, found.client_no) if found.client_no else None,
        "invoice": tx.get(Invoice, found.invoice_id) if found.invoice_id else None,
        "entity": entity,
        "impact": impact_of(found, entity, local_day(now, entity.time_zone), config) if entity and is_open else None,
        "known": _known(found),
        "tables": _tables(found),
        "alike": _alike(tx, found) if is_open else 0,
        "forms": [(one, need_of(tx, found, one.action, config)) for one in forms_of(tx, found)]
        if is_open and own
        else [],
        "chosen": look.query("action"),
        "given": given,
        "suggestions": suggestions_for(tx, found) if is_open and own else [],
        "can_decide": own,
        "proposals": tx.find(Proposal, case_no=found.case_no, order=("-proposal_no",)),
        "pending": tx.get(Proposal, found.pending) if found.pending else None,
        "may_agree": found.pending and _may_agree(tx, look, found),
        "rule": _rule_of(tx, found),
        "ruleable": _ruleable(tx, found, look),
        "history": history(tx, found.case_no),
        "run": tx.get(RunRow, str(found.context.get("run", found.run_id))),
        "steps": _steps(tx, found),
        "queues": sorted(QUEUES),
    }


def _known(found: Case) -> list[tuple[str, str]]:
    """The context in words: what is plain, and not shown elsewhere on the page."""
    shown = []
    for name, value in found.context.items():
        if name in HIDDEN_FACTS or value in ("", None, [], {}) or _is_table(value):
            continue
        if isinstance(value, list):
            value = ", ".join(str(one) for one in value if not isinstance(one, dict))
        elif isinstance(value, dict):
            value = ", ".join(f"{key} {inner}" for key, inner in value.items() if inner)
        shown.append((name, str(value)))
    return shown


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _tables(found: Case) -> list[tuple[str, list[str], list[dict[str, Any]]]]:
    """What the context lists row by row: (name, columns, rows)."""
    listed = {n: rows for n, rows in found.context.items() if n not in HIDDEN_FACTS and _is_table(rows)}
    return [
        (name, list(dict.fromkeys(key for row in rows for key in row)), rows[:ROWS_SHOWN])
        for name, rows in listed.items()
    ]


def _alike(tx: PostgresTx, found: Case) -> int:
    return len(tx.find(Case, state=CaseState.OPEN, group_key=found.group_key, limit=1000)) - 1


def _may_agree(tx: Tx, look: Look, found: Case) -> bool:
    proposal = tx.get(Proposal, found.pending)
    if proposal is None or not look.may("case.approve"):
        return False
    need = need_of(tx, found, proposal.action, look.hub.desk)
    return proposal.proposed_by != look.actor.name and bool(need.roles & look.actor.roles)


def _rule_of(tx: Tx, found: Case) -> DeskRule | None:
    made = tx.find(DeskRule, from_case=found.case_no, order=("-rule_no",), limit=1)
    return made[0] if made else None


def _ruleable(tx: Tx, found: Case, look: Look) -> bool:
    """True for a decision of a person that may become a rule, when no rule was made of it yet."""
    action = str((found.resolution or {}).get("action", ""))
    decided = found.state is not CaseState.OPEN and bool(action) and action_of(found.exception, action).rule
    return decided and look.may("rule.propose") and "cause" not in cause_facts(found) and _rule_of(tx, found) is None


def _steps(tx: PostgresTx, found: Case) -> list[RunStep]:
    """What the run had done when it stopped: the last steps before the case's."""
    steps = tx.find(RunStep, run_id=found.run_id, order=("-seq",), limit=200)
    before = [step for step in steps if step.seq < found.seq or not found.seq]
    return list(reversed(before[:STEPS_SHOWN]))


# -- deciding ---------------------------------------------------------------------------------------------------


def _choice(tx: Tx, found: Case, look: Look) -> Choice:
    action = look.form.get("action", "")
    form = form_of(tx, found, action)
    reason = look.form.get("reason", "").strip()
    if not reason:
        raise BadInput("Say why: it is kept with the decision.")
    return Choice(action, reason, values_of(look.form, [one.name for one in form.fields]))


@page("/cases/{case_no}/dry-run", "case.decide", method="POST")
def try_it(look: Look) -> Response:
    """What the decision would write where and change in money, and the button that makes it."""
    number = look.path("case_no")
    with look.hub.store.transaction() as tx:
        found = case_of(tx, number)
        choice = _choice(tx, found, look)
        need = need_of(tx, found, choice.action, look.hub.desk)
    run = proposals.preview(look.hub.kernel, look.actor, number, choice)
    facts = {"case": found, "dry_run": run, "need": need, "choice": choice, "sent": _sent_again(look), "said": ""}
    return show(look, _dry_run_page(look), facts)


def _dry_run_page(look: Look) -> str:
    return "dry_run_part.html" if look.partial else "dry_run.html"


def _sent_again(look: Look) -> list[tuple[str, str]]:
    """The form's fields, to be sent once more with the decision."""
    return [(name, value) for name, value in look.form.items() if name != "csrf"]


@page("/cases/{case_no}/decide", "case.decide", method="POST")
def decide(look: Look) -> Response:
    """Decide as the dry run showed it. When the dry run would be another one by now, it is shown again first."""
    number = look.path("case_no")
    with look.hub.store.transaction() as tx:
        found = case_of(tx, number)
        choice = _choice(tx, found, look)
        need = need_of(tx, found, choice.action, look.hub.desk)
    evidence = proposals.preview(look.hub.kernel, look.actor, number, choice)
    if evidence.digest != look.form.get("digest", ""):
        said = "Something has changed since you looked: this is what would happen now."
        facts = {"case": found, "dry_run": evidence, "need": need, "choice": choice, "sent": _sent_again(look)}
        return show(look, _dry_run_page(look), {**facts, "said": said})
    _decided(look, number, choice, evidence)
    return _back(look, number)


def _decided(look: Look, number: str, choice: Choice, evidence: DryRun) -> None:
    with look.hub.store.transaction() as tx:
        books = look.hub.kernel.books(tx, key=f"case/{number}", actor=look.actor.name)
        proposals.decide(books, look.actor, number, choice, evidence=evidence, config=look.hub.desk)


def _back(look: Look, number: str) -> Response:
    target = f"/console/cases/{number}"
    return Response(status_code=204, headers={"HX-Redirect": target}) if look.partial else to(target)


@page("/proposals/{proposal_no}", "case.approve", method="POST")
def answer(look: Look) -> Response:
    """Agree to, decline, or withdraw a proposal."""
    number, reason = look.path("proposal_no"), look.form.get("reason", "").strip()
    if not reason:
        raise BadInput("Say why: it is kept with the decision.")
    with look.hub.store.transaction() as tx:
        books = look.hub.kernel.books(tx, key=f"proposal/{number}", actor=look.actor.name)
        if look.form.get("do") == "agree":
            found, _ = proposals.approve(books, look.actor, number, reason, look.hub.desk)
        elif look.form.get("do") == "decline":
            found, _ = proposals.decline(books, look.actor, number, reason, look.hub.desk)
        else:
            found, _ = proposals.withdraw(books, look.actor, number, reason)
    return _back(look, found.case_no)


# -- working on it -----------------------------------------------------------------------------------------------


@page("/cases/{case_no}/work", "case.work", method="POST")
def work_on(look: Look) -> Response:
    """Take, give, hand over, comment, tag, wait."""
    number, form = look.path("case_no"), look.form
    with look.hub.store.transaction() as tx:
        books = look.hub.kernel.books(tx, key=f"case/{number}", actor=look.actor.name)
        act = form.get("do", "")
        if act == "take":
            work.assign(books, look.actor, number, look.actor.name)
        elif act == "give":
            work.assign(books, look.actor, number, form.get("assignee", ""))
        elif act == "hand_over":
            work.hand_over(books, look.actor, number, form.get("queue", ""), form.get("reason", ""))
        elif act == "comment":
            work.comment(books, look.actor, number, form.get("text", ""))
        elif act == "tag":
            work.tag(books, look.actor, number, form.get("tags", "").split(","))
        elif act == "wait":
            until = _until(form.get("until", ""), books.now)
            work.wait(books, look.actor, number, form.get("waiting_for", ""), until, form.get("reason", ""))
        elif act == "answered":
            work.answered(books, look.actor, number, look.hub.desk)
        else:
            raise BadInput(f"nothing is done by {act!r}")
    return _back(look, number)


def _until(given: str, now: datetime) -> datetime:
    """A day in the form's own format: the end of that day in UTC."""
    try:
        day = datetime.fromisoformat(given).replace(tzinfo=now.tzinfo)
    except ValueError as wrong:
        raise BadInput("Until when? Give a day.") from wrong
    return day.replace(hour=0, minute=0) + timedelta(days=1)


# -- rules --------------------------------------------------------------------------------------------------------


@page("/rules", "case.read")
def list_rules(look: Look) -> Response:
    """What the desk decides by itself, who made it so, and how often it has."""
    with reading(look.hub) as tx:
        found = [rule for rule in tx.find(DeskRule, order=("-rule_no",)) if _sees(look.actor, rule)]
        used = {rule.rule_no: rules.decided_by(tx, rule.rule_no) for rule in found}
    return show(look, "rules.html", {"rules": found, "used": used, "can_review": look.may("rule.review")})


def _sees(actor: Actor, rule: DeskRule) -> bool:
    return actor.serves(str(rule.match.get("entity", "")))


@page("/cases/{case_no}/rule", "rule.propose", method="POST")
def propose_rule(look: Look) -> Response:
    """Propose that cases of this cause are decided like this one from now on."""
    number = look.path("case_no")
    with look.hub.store.transaction() as tx:
        found = case_of(tx, number)
        demand_sight(look.actor, tx, found)
        carried_out = [p for p in tx.find(Proposal, case_no=number) if p.state is ProposalState.CARRIED_OUT]
        if not carried_out:
            raise BadInput(f"case {number} is not decided by a person yet")
        last, reason = carried_out[-1], look.form.get("reason", "").strip() or "as decided here"
        books = look.hub.kernel.books(tx, key=f"case/{found.case_no}", actor=look.actor.name)
        rules.propose(books, look.actor, number, last.action, last.values, reason)
    return to(f"/console/cases/{number}")


@page("/rules/{rule_no}", "rule.review", method="POST")
def review_rule(look: Look) -> Response:
    """Let a rule decide, decline it, or retire it."""
    number, reason = look.path("rule_no"), look.form.get("reason", "").strip()
    if not reason:
        raise BadInput("Say why: it is kept with the rule.")
    with look.hub.store.transaction() as tx:
        books = look.hub.kernel.books(tx, key=f"rule/{number}", actor=look.actor.name)
        if look.form.get("do") == "retire":
            rules.retire(books, look.actor, number, reason)
        else:
            rules.review(books, look.actor, number, look.form.get("do") == "accept", reason)
    return to("/console/rules")
