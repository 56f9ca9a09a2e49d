"""What to do about a case: from rules of thumb, and from how cases like it were decided (how often, by whom, with what
result). A suggestion fills the form in; a person still looks at the dry run and decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz import fuzz

from isthmus.desk.options import LOOK_BACK
from isthmus.desk.types import action_of
from isthmus.domain.objects import BillableItem, Invoice, LegalEntity, Project, TimeEntry
from isthmus.domain.states import CaseState, InvoiceLife
from isthmus.store.records import Case
from isthmus.store.tx import Tx

PAST_MAX = 100
BY_THEMSELVES = frozenset({"closed_by_itself", "resumed"})
NOT_VALUES = frozenset({"action", "reason", "agreed_by", "key"})
SURE_SCORE, ALIKE_SCORE, SHARE_MIN = 95, 80, 0.8


@dataclass(frozen=True)
class Suggestion:
    """One way out. times: how often it was taken; went_on: how often the run did not stop there again; by: who."""

    action: str
    label: str
    why: str
    values: dict[str, Any] = field(default_factory=dict)
    times: int = 0
    went_on: int = 0
    by: tuple[str, ...] = ()


def suggestions_for(tx: Tx, case: Case) -> list[Suggestion]:
    """The most proven first; each action and values once, and only actions the case offers."""
    found = [*_from_the_past(tx, case), *_by_thumb(tx, case)]
    best: dict[str, Suggestion] = {}
    for one in found:
        key = f"{one.action} {sorted(one.values.items())}"
        if one.action in case.actions and key not in best:
            best[key] = one
    return sorted(best.values(), key=lambda one: (-one.went_on, -one.times))


# -- how it was decided before ------------------------------------------------------------------------------------


def _from_the_past(tx: Tx, case: Case) -> list[Suggestion]:
    same_cause = tx.find(
        Case, state=CaseState.RESOLVED, group_key=case.group_key, order=("-resolved_at",), limit=PAST_MAX
    )
    told = "the same cause"
    if not same_cause and case.contract_no:
        ours = tx.find(Case, contract_no=case.contract_no, order=("-resolved_at",), limit=PAST_MAX)
        same_cause = [c for c in ours if c.exception == case.exception and c.state is CaseState.RESOLVED]
        told = "this contract"
    taken: dict[str, list[Case]] = {}
    for past in same_cause:
        resolution = past.resolution or {}
        if resolution.get("action") not in BY_THEMSELVES and past.case_no != case.case_no:
            taken.setdefault(str(sorted(_choice(past).items())), []).append(past)
    return [_past(tx, case, cases, told) for cases in taken.values()]


def _choice(past: Case) -> dict[str, Any]:
    resolution = past.resolution or {}
    values = {name: value for name, value in resolution.items() if name not in NOT_VALUES}
    corrected = values.pop("changes", {})
    return {"action": resolution.get("action"), **values, **corrected}


def _past(tx: Tx, case: Case, cases: list[Case], told: str) -> Suggestion:
    action, *_ = (str((past.resolution or {})["action"]) for past in cases)
    went_on = len(cases) - len(_came_back(tx, cases))
    people = Counter(past.resolved_by for past in cases)
    names = tuple(name for name, _ in people.most_common(3))
    values = {name: value for name, value in _choice(cases[0]).items() if name != "action"}
    times = "once" if len(cases) == 1 else f"{len(cases)} times"
    result = "the run went on" if went_on == len(cases) else f"the run went on {went_on} of {len(cases)} times"
    why = f"decided so {times} for {told}, by {', '.join(names)}; {result}"
    return Suggestion(action, action_of(case.exception, action).label, why, values, len(cases), went_on, names)


def _came_back(tx: Tx, cases: list[Case]) -> set[str]:
    """Of these cases, the ones whose run has stopped for the same reason again."""
    theirs: dict[tuple[str, str], list[str]] = {}
    for case in tx.find(Case, run_id=tuple({case.run_id for case in cases})):
        theirs.setdefault((case.run_id, case.exception), []).append(case.case_no)
    return {c.case_no for c in cases if any(_number(o) > _number(c.case_no) for o in theirs[c.run_id, c.exception])}


def _number(case_no: str) -> tuple[int, str]:
    return len(case_no), case_no


# -- rules of thumb -----------------------------------------------------------------------------------------------


def _by_thumb(tx: Tx, case: Case) -> list[Suggestion]:
    rule = THUMBS.get(case.exception)
    found = rule(tx, case) if rule else None
    if found is None:
        return []
    action, values, why = found
    return [Suggestion(action, action_of(case.exception, action).label, why, values)]


Found = tuple[str, dict[str, Any], str] | None


def _closest_client(tx: Tx, case: Case) -> Found:
    candidates = [one for one in case.context.get("candidates", []) if isinstance(one, dict)]
    best = max(candidates, key=lambda one: int(one.get("score", 0)), default=None)
    if best is None:
        return None
    same_tax_id = best.get("reason") == "same tax id"
    if not same_tax_id and int(best.get("score", 0)) < SURE_SCORE:
        return None
    return "merge", {"client_no": str(best["client_no"])}, f"{best['reason']}: {best['name']}"


def _closest_terms(tx: Tx, case: Case) -> Found:
    given = str(case.context.get("given", ""))
    return _closest(given, [str(term) for term in case.context.get("known", [])], "map", "payment_terms")


def _closest_entity(tx: Tx, case: Case) -> Found:
    active = [entity.code for entity in tx.find(LegalEntity, order=("code",)) if entity.active]
    if len(active) == 1:
        return "choose", {"entity": active[0]}, "the only legal entity there is"
    return _closest(str(case.context.get("given", "")), active, "choose", "entity")


def _closest(given: str, known: list[str], action: str, name: str) -> Found:
    scores = [(fuzz.ratio(_plain(given), _plain(one)), one) for one in known if given]
    score, best = max(scores, default=(0, ""))
    if score < ALIKE_SCORE or sum(other == score for other, _ in scores) > 1:
        return None
    return action, {name: best}, f"{given!r} reads like {best}"


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _usual_dimension(tx: Tx, case: Case) -> Found:
    """Each missing dimension as most projects of the same client have it, else of the same practice."""
    missing = [str(name) for name in case.context.get("missing", [])]
    projects = tx.find(Project, entity=case.entity, order=("-project_code",), limit=LOOK_BACK)
    practice = dict(case.context.get("given", {})).get("practice")
    alike = [
        ("client", [p for p in projects if case.client_no and p.client_no == case.client_no]),
        ("practice", [p for p in projects if practice and p.dimensions.get("practice") == practice]),
    ]
    values: dict[str, Any] = {}
    why = []
    for name in missing:
        for what, group in alike:
            counts = Counter(p.dimensions[name] for p in group if p.dimensions.get(name))
            top = counts.most_common(1)
            if top and top[0][1] >= SHARE_MIN * counts.total():
                values[name] = top[0][0]
                why.append(f"{top[0][1]} of {counts.total()} projects of this {what} have {top[0][0]}")
                break
    return ("fill", values, "; ".join(why)) if missing and len(values) == len(missing) else None


def _usual_tax_code(tx: Tx, case: Case) -> Found:
    """The code on earlier invoices of the client, else the one nearly all invoices have."""
    issued = tx.find(Invoice, life=InvoiceLife.ISSUED, order=("-number",), limit=LOOK_BACK)
    theirs = [invoice for invoice in issued if invoice.client_no == case.client_no]
    for what, invoices in (("of this client", theirs), ("altogether", issued)):
        counts = Counter(line.tax_code for invoice in invoices for line in invoice.lines if line.tax_code)
        top = counts.most_common(1)
        if top and top[0][1] >= SHARE_MIN * counts.total():
            return "fill", {"tax_code": top[0][0]}, f"{top[0][1]} of {counts.total()} invoice lines {what} have it"
    return None


def _usual_line(tx: Tx, case: Case) -> Found:
    """The line the same person's latest hours on the contract went to."""
    source, _, source_id = str(case.context.get("entry", "")).partition(":")
    known = tx.find(TimeEntry, source=source, source_id=source_id, limit=1) if source_id else []
    role = str(case.context.get("role", ""))
    items = tx.find(BillableItem, contract_no=case.contract_no, order=("-service_date",), limit=LOOK_BACK)
    who = known[0].person if known else ""
    alike = [item for item in items if (who and item.person == who) or (not who and item.role == role)]
    lines = [str(uid) for uid in case.context.get("lines", [])]
    fitting = [item for item in alike if not lines or item.line_uid in lines]
    if not fitting:
        return None
    latest = fitting[0]
    return "assign", {"line_uid": latest.line_uid}, f"{latest.person}'s hours of {latest.service_date} went there"


THUMBS: dict[str, Callable[[Tx, Case], Found]] = {
    "EX-CLIENT-DUP": _closest_client,
    "EX-TERMS": _closest_terms,
    "EX-LE": _closest_entity,
    "EX-DIM": _usual_dimension,
    "EX-TAX-CODE": _usual_tax_code,
    "EX-LINE-AMBIGUOUS": _usual_line,
}
