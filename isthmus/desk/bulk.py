"""The same decision on many cases of one cause: previewed case by case, confirmed, and carried out case by case.

Each case keeps its own dry run, proposal and result. Money in one of them takes a second person for the whole bulk.
Runs that go on are queued like any others: the lanes and each connection's own limits say how fast.
"""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.desk.config import DeskConfig
from isthmus.desk.dry_run import DryRun
from isthmus.desk.proposals import Choice, decide, preview
from isthmus.desk.second import demand_second, need_of
from isthmus.domain.errors import BadInput, IllegalTransition, NotFound
from isthmus.domain.names import same_person
from isthmus.domain.states import CaseState
from isthmus.policies.authority import Actor, demand
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel
from isthmus.store.desk_records import BulkFix, BulkItem, BulkState
from isthmus.store.records import Case
from isthmus.store.tx import Tx

CASES_MAX = 5000
ASKED, READY, REFUSED, DONE, FAILED = "asked", "ready", "refused", "done", "failed"


def ask(books: Books, who: Actor, case_nos: Sequence[str], choice: Choice) -> BulkFix:
    """Ask for a bulk fix: it is previewed first, nothing is decided yet. All cases are of one type."""
    if not 1 < len(set(case_nos)) <= CASES_MAX:
        raise BadInput(f"a bulk fix is of 2 to {CASES_MAX} cases")
    cases = books.tx.find(Case, case_no=tuple(sorted(set(case_nos))), state=CaseState.OPEN, order=("case_no",))
    if {case.exception for case in cases} != {cases[0].exception if cases else ""} or len(cases) != len(set(case_nos)):
        raise BadInput("a bulk fix is of open cases of one type")
    for case in cases:
        demand(who, "case.decide", case.entity)
    groups = {case.group_key for case in cases}
    fix = BulkFix(
        bulk_no=f"B-{books.tx.next('bulk-fix'):05d}",
        exception=cases[0].exception,
        group_key=groups.pop() if len(groups) == 1 else "",
        action=choice.action,
        values=dict(choice.values),
        reason=choice.reason,
        state=BulkState.PREVIEWING,
        asked_by=who.name,
        asked_at=books.now,
        entities=sorted(who.entities) if who.entities is not None else None,
        roles=sorted(who.roles),
    )
    books.tx.insert(fix)
    books.tx.insert_many([BulkItem(bulk_no=fix.bulk_no, case_no=case.case_no, at=books.now) for case in cases])
    books.audit("bulk.ask", f"bulk:{fix.bulk_no}", reason=choice.reason, after={"cases": len(cases)})
    return fix


def bulk_of(tx: Tx, bulk_no: str) -> BulkFix:
    """The bulk fix with this number."""
    fix = tx.get(BulkFix, bulk_no)
    if fix is None:
        raise NotFound(f"no bulk fix {bulk_no}")
    return fix


def items_of(tx: Tx, bulk_no: str, state: str = "", limit: int | None = None) -> list[BulkItem]:
    """Its items, by case; only those in this state when one is named."""
    wanted = (state,) if state else (ASKED, READY, REFUSED, DONE, FAILED)
    return tx.find(BulkItem, bulk_no=bulk_no, state=wanted, order=("case_no",), limit=limit)


def confirm(books: Books, who: Actor, bulk_no: str, config: DeskConfig) -> BulkFix:
    """Whoever asked has seen the preview: carry it out, or wait for the second person it needs."""
    fix = _locked(books, who, bulk_no, BulkState.PREVIEWED)
    if not same_person(who.name, fix.asked_by):
        raise BadInput(f"bulk fix {bulk_no} is {fix.asked_by}'s: only they confirm it")
    needs = any(need_of(books.tx, case, fix.action, config).second for case in _ready_cases(books.tx, fix))
    return _moved(books, fix, BulkState.WAITING if needs else BulkState.RUNNING, "bulk.confirm")


def approve(books: Books, who: Actor, bulk_no: str, reason: str, config: DeskConfig) -> BulkFix:
    """Another person agrees to the whole bulk, held to what each of its cases needs."""
    fix = _locked(books, who, bulk_no, BulkState.WAITING)
    for case in _ready_cases(books.tx, fix):
        demand(who, "case.approve", case.entity)
        demand_second(who, fix.asked_by, need_of(books.tx, case, fix.action, config))
    agreed = fix.model_copy(update={"approved_by": who.name, "approved_reason": reason})
    return _moved(books, agreed, BulkState.RUNNING, "bulk.approve")


def stop(books: Books, who: Actor, bulk_no: str, reason: str) -> BulkFix:
    """Stop a bulk fix: what is carried out stays, the rest of its cases is left open."""
    books.tx.lock(f"bulk:{bulk_no}")
    fix = bulk_of(books.tx, bulk_no)
    _demand_all(books.tx, who, fix)
    if fix.state in (BulkState.DONE, BulkState.STOPPED):
        raise IllegalTransition(f"bulk fix {bulk_no} is {fix.state} already")
    return _moved(books, fix, BulkState.STOPPED, "bulk.stop", reason)


def _demand_all(tx: Tx, who: Actor, fix: BulkFix) -> None:
    """NotPermitted unless the actor decides cases of every legal entity in there."""
    numbers = tuple(item.case_no for item in items_of(tx, fix.bulk_no))
    for entity in {case.entity for case in tx.find(Case, case_no=numbers)}:
        demand(who, "case.decide", entity)


def _locked(books: Books, who: Actor, bulk_no: str, wanted: BulkState) -> BulkFix:
    books.tx.lock(f"bulk:{bulk_no}")
    fix = bulk_of(books.tx, bulk_no)
    _demand_all(books.tx, who, fix)
    if fix.state is not wanted:
        raise IllegalTransition(f"bulk fix {bulk_no} is {fix.state}, not {wanted}")
    return fix


def _moved(books: Books, fix: BulkFix, state: BulkState, action: str, reason: str = "") -> BulkFix:
    ended = {"ended_at": books.now} if state in (BulkState.DONE, BulkState.STOPPED) else {}
    moved = fix.model_copy(update={"state": state, **ended})
    books.tx.update(moved)
    books.audit(action, f"bulk:{fix.bulk_no}", reason=reason or fix.reason, after={"state": str(state)})
    return moved


def _ready_cases(tx: Tx, fix: BulkFix) -> list[Case]:
    numbers = tuple(item.case_no for item in items_of(tx, fix.bulk_no, state=READY))
    return tx.find(Case, case_no=numbers, order=("case_no",)) if numbers else []


# -- one item at a time: the caller has a transaction for each, and says what went wrong --------------------------


def actor_of(fix: BulkFix) -> Actor:
    """Whoever asked, as they were when they asked."""
    limits = frozenset(fix.entities) if fix.entities is not None else None
    return Actor(fix.asked_by, frozenset(fix.roles), limits)


def preview_item(kernel: Kernel, fix: BulkFix, item: BulkItem) -> BulkItem:
    """The dry run of one case; other systems are not asked, so that a preview of hundreds costs them nothing."""
    choice = Choice(fix.action, fix.reason, fix.values)
    run = preview(kernel, actor_of(fix), item.case_no, choice, reads=False)
    told = (
        run.ends
        if run.stops
        else f"{len(run.steps)} steps, {len(run.writes)} writes at once, then {len(run.then)} more"
    )
    facts = {"state": READY, "told": told, "dry_run": run.model_dump(mode="json"), "at": kernel.clock.now()}
    return item.model_copy(update=facts)


def carry_out_item(books: Books, fix: BulkFix, item: BulkItem, config: DeskConfig) -> BulkItem:
    """Decide one case, with the dry run of its preview as evidence."""
    assert item.dry_run is not None
    case, proposal = decide(
        books,
        actor_of(fix),
        item.case_no,
        Choice(fix.action, fix.reason, fix.values),
        evidence=DryRun.model_validate(item.dry_run),
        config=config,
        bulk_no=fix.bulk_no,
        agreed_by=fix.approved_by,
    )
    facts = {"state": DONE, "told": f"{case.case_no} is {case.state}", "proposal_no": proposal.proposal_no}
    done = item.model_copy(update={**facts, "at": books.now})
    books.tx.update(done)
    return done


def failed(item: BulkItem, why: str, *, before: bool) -> BulkItem:
    """The item that could not be previewed (before) or carried out, with the reason."""
    return item.model_copy(update={"state": REFUSED if before else FAILED, "told": why})


def move_on(books: Books, fix: BulkFix) -> BulkFix | None:
    """The next state once no item of this one is left; None while some are."""
    left = {BulkState.PREVIEWING: ASKED, BulkState.RUNNING: READY}[fix.state]
    if items_of(books.tx, fix.bulk_no, state=left):
        return None
    after = {BulkState.PREVIEWING: BulkState.PREVIEWED, BulkState.RUNNING: BulkState.DONE}[fix.state]
    return _moved(books, fix, after, f"bulk.{after}")
