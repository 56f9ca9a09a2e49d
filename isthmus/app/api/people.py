"""Process API: inspect runs and cases, decide, call off, replay, release."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from isthmus.app.api.admission import Visit, Visiting
from isthmus.app.api.endpoints import Asked, Cursor, Limit, Page, endpoint
from isthmus.app.api.idempotency import Reply, once
from isthmus.app.api.ledger import invoice_by
from isthmus.app.api.reading import page, reading
from isthmus.app.api.replays import take_again
from isthmus.app.api.starts import Started, Words, started
from isthmus.desk import cases as desk
from isthmus.desk import proposals
from isthmus.desk.dry_run import DryRun
from isthmus.desk.forms import FormView, forms_of
from isthmus.desk.proposals import Choice
from isthmus.desk.second import need_of
from isthmus.domain.errors import NotFound
from isthmus.domain.states import CaseState
from isthmus.runtime import outbox
from isthmus.runtime.books import Books
from isthmus.store.desk_records import Proposal, ProposalState
from isthmus.store.records import Case, Effect, OutboxEvent, RunRow, RunState, RunStep
from isthmus.store.tables import TABLES
from isthmus.store.tx import Tx

FINAL = (RunState.DONE, RunState.CANCELLED)
STEPS_MAX = EFFECTS_MAX = 1000


class RunSummary(BaseModel):
    """A run in a list."""

    run_id: str
    process: str
    key: str
    state: RunState
    reason: str
    attempt: int
    wake_at: datetime | None
    correlation_id: str
    created_at: datetime
    updated_at: datetime


class StepView(BaseModel):
    """One line of a run's timeline."""

    seq: int
    phrase: str
    kind: str
    system: str
    summary: str
    amount: str | None
    currency: str
    started_at: datetime
    ended_at: datetime


class RunView(BaseModel):
    """A run with its steps, its effects, and what it waits for."""

    run: RunSummary
    waits_for: str
    committed: bool
    steps: list[StepView]
    effects: list[Effect]
    cases: list[Case]


class Why(Asked):
    """Why a person does it; it is kept in the audit."""

    reason: Words


class Resolution(Why):
    """A person's decision on a case. values: what the action needs."""

    action: str = Field(min_length=1, max_length=40)
    values: dict[str, Any] = Field(default_factory=dict)


class CaseForm(BaseModel):
    """The form of one action. second: why another person must agree, or who may decide; empty when nobody else."""

    form: FormView
    second: str


class Replay(Why):
    """Past events to one subscriber again, or one message again. dry_run: only count."""

    subscriber: str = ""
    since: datetime | None = None
    aggregate: str = ""
    source: str = ""
    message_id: str = ""
    dry_run: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Replay:
        if bool(self.subscriber) == bool(self.message_id and self.source):
            raise ValueError("name either a subscriber or a message (source and message_id)")
        if self.since is not None and self.since.tzinfo is None:
            raise ValueError("since has no offset from UTC")
        return self


class Replayed(BaseModel):
    """How much was (or would be) replayed."""

    count: int
    dry_run: bool
    message_ids: list[str] = Field(default_factory=list)


# -- runs -------------------------------------------------------------------------------------------------------


@endpoint("GET /v1/runs", answer=Page[RunSummary])
def list_runs(
    visit: Visiting,
    state: RunState | None = None,
    process: str = "",
    correlation_id: str = "",
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[RunSummary]:
    """List runs by state and process."""
    wanted: dict[str, Any] = {"state": state, "process": process, "correlation_id": correlation_id}
    with reading(visit.hub) as tx:
        rows, more = page(tx, RunRow, limit=limit, cursor=cursor, where=visit.within(RunRow), **wanted)
    return Page(items=[summary_of(row) for row in rows], next_cursor=more)


def summary_of(row: RunRow) -> RunSummary:
    """A run without its arguments."""
    return RunSummary.model_validate(row.model_dump(include=set(RunSummary.model_fields)))


def step_view(step: RunStep) -> StepView:
    """A step without its output."""
    facts = step.model_dump(include=set(StepView.model_fields))
    return StepView(**{**facts, "amount": None if step.amount is None else str(step.amount)})


@endpoint("GET /v1/runs/{run_id}", path="/v1/runs/{run_id:path}", answer=RunView)
def get_run(visit: Visiting, run_id: str) -> RunView:
    """Show a run: state, steps, effects, waits."""
    with reading(visit.hub) as tx:
        row = tx.get(RunRow, run_id)
        if row is None:
            raise NotFound(f"no run {run_id}")
        visit.sees(tx, row)
        steps = tx.find(RunStep, run_id=run_id, order=("seq",), limit=STEPS_MAX)
        effects = tx.find(Effect, run_id=run_id, order=("seq", "effect_key"), limit=EFFECTS_MAX)
        cases = tx.find(Case, run_id=run_id, order=("case_no",))
    waiting = row.state in (RunState.WAITING, RunState.PARKED)
    return RunView(
        run=summary_of(row),
        waits_for=row.reason if waiting else "",
        committed=row.committed,
        steps=[step_view(step) for step in steps],
        effects=effects,
        cases=cases,
    )


@endpoint("POST /v1/runs/{run_id}/cancel", path="/v1/runs/{run_id:path}/cancel", answer=Started, status=202)
def cancel_run(visit: Visiting, run_id: str, asked: Why) -> Response:
    """Call a parked or waiting run off; what it did is undone."""

    def act(books: Books) -> Reply:
        visit.sees(books.tx, books.tx.get(RunRow, run_id))  # type: ignore[arg-type]
        run = visit.hub.kernel.cancel(books.tx, run_id, actor=visit.caller.name, reason=asked.reason)
        books.audit("run.cancel", f"run:{run_id}", reason=asked.reason)
        return Reply(202, started(run))

    return once(visit, asked, act)


# -- cases ------------------------------------------------------------------------------------------------------


@endpoint("GET /v1/cases", answer=Page[Case])
def list_cases(
    visit: Visiting, queue: str = "", state: CaseState | None = None, limit: Limit = 100, cursor: Cursor = ""
) -> Page[Case]:
    """List cases by queue and state."""
    with reading(visit.hub) as tx:
        items, more = page(tx, Case, limit=limit, cursor=cursor, where=visit.within(Case), queue=queue, state=state)
    return Page(items=items, next_cursor=more)


@endpoint("GET /v1/cases/{case_no}", answer=Case)
def get_case(visit: Visiting, case_no: str) -> Case:
    """Show a case: money, client, cause, suggested actions."""
    with reading(visit.hub) as tx:
        case = desk.case_of(tx, case_no)
        visit.sees(tx, case)
        return case


@endpoint("GET /v1/cases/{case_no}/form", answer=list[CaseForm])
def get_case_form(visit: Visiting, case_no: str) -> list[CaseForm]:
    """Show what each action of a case asks for, with options, and who must agree."""
    with reading(visit.hub) as tx:
        case = desk.case_of(tx, case_no)
        visit.sees(tx, case)
        config = visit.hub.desk
        return [CaseForm(form=form, second=need_of(tx, case, form.action, config).why) for form in forms_of(tx, case)]


@endpoint("POST /v1/cases/{case_no}/dry-run", answer=DryRun)
def try_case(visit: Visiting, case_no: str, asked: Resolution) -> DryRun:
    """Show what a decision would write where and change in money; nothing is changed."""
    return proposals.preview(visit.hub.kernel, visit.actor, case_no, _choice(asked))


def _choice(asked: Resolution) -> Choice:
    return Choice(asked.action, asked.reason, asked.values)


@endpoint("POST /v1/cases/{case_no}/resolve", answer=Case)
def resolve_case(visit: Visiting, case_no: str, asked: Resolution) -> Response:
    """Decide a case; its run goes on at the same step. 202 when a second person must agree first: see pending."""

    def act(books: Books) -> Reply:
        evidence = proposals.preview(visit.hub.kernel, visit.actor, case_no, _choice(asked))
        case, proposal = proposals.decide(
            books, visit.actor, case_no, _choice(asked), evidence=evidence, config=visit.hub.desk
        )
        return Reply(202 if proposal.needs_second else 200, case)

    return once(visit, asked, act)


@endpoint("GET /v1/proposals", answer=Page[Proposal])
def list_proposals(
    visit: Visiting, state: ProposalState | None = None, case: str = "", limit: Limit = 100, cursor: Cursor = ""
) -> Page[Proposal]:
    """List decisions as they were made, each with its dry run."""
    with reading(visit.hub) as tx:
        mine = [TABLES[Proposal].c.case_no.in_(sa.select(TABLES[Case].c.case_no).where(*visit.within(Case)))]
        where = mine if visit.actor.entities is not None else []
        items, more = page(tx, Proposal, limit=limit, cursor=cursor, where=where, state=state, case_no=case)
    return Page(items=items, next_cursor=more)


@endpoint("POST /v1/proposals/{proposal_no}/approve", answer=Case)
def approve_proposal(visit: Visiting, proposal_no: str, asked: Why) -> Response:
    """Agree to another person's decision; it is carried out."""

    def act(books: Books) -> Reply:
        return Reply(200, proposals.approve(books, visit.actor, proposal_no, asked.reason, visit.hub.desk)[0])

    return once(visit, asked, act)


@endpoint("POST /v1/proposals/{proposal_no}/decline", answer=Case)
def decline_proposal(visit: Visiting, proposal_no: str, asked: Why) -> Response:
    """Disagree with another person's decision; the case is open for another one."""

    def act(books: Books) -> Reply:
        return Reply(200, proposals.decline(books, visit.actor, proposal_no, asked.reason, visit.hub.desk)[0])

    return once(visit, asked, act)


# -- replays ----------------------------------------------------------------------------------------------------


@endpoint("POST /v1/replays", answer=Replayed)
def replay(visit: Visiting, asked: Replay) -> Response:
    """Give a subscriber its events again, or take a message again."""

    def act(books: Books) -> Reply:
        if asked.subscriber:
            return Reply(200, _replay_events(visit, books, asked))
        return Reply(200, _replay_message(visit, books, asked))

    return once(visit, asked, act)


def _replay_events(visit: Visit, books: Books, asked: Replay) -> Replayed:
    known = visit.hub.kernel.subscribers
    if asked.subscriber not in known:
        raise NotFound(f"no subscriber {asked.subscriber}; there are: {', '.join(sorted(known)) or 'none'}")
    if asked.dry_run:
        return Replayed(count=_events_for(books.tx, known[asked.subscriber].types, asked), dry_run=True)
    count = outbox.replay(books, asked.subscriber, since=asked.since, aggregate=asked.aggregate)
    return Replayed(count=count, dry_run=False)


def _events_for(tx: Tx, types: frozenset[str], asked: Replay) -> int:
    event = TABLES[OutboxEvent]
    query = sa.select(sa.func.count()).where(event.c.type.in_(sorted(types)))
    if asked.since is not None:
        query = query.where(event.c.occurred_at >= asked.since)
    if asked.aggregate:
        query = query.where(event.c.aggregate == asked.aggregate)
    return int(tx.raw.execute(query).scalar_one())


def _replay_message(visit: Visit, books: Books, asked: Replay) -> Replayed:
    again = take_again(visit.hub.firm, books, asked.source, asked.message_id, asked.reason, dry_run=asked.dry_run)
    return Replayed(count=again.count, dry_run=asked.dry_run, message_ids=again.message_ids)


# -- release ----------------------------------------------------------------------------------------------------


@endpoint(
    "POST /v1/invoices/{invoice_id}/release",
    path="/v1/invoices/{invoice_id:path}/release",
    answer=Started,
    status=202,
)
def release_invoice(visit: Visiting, invoice_id: str, asked: Why) -> Response:
    """Try a waiting billing run again now. Only the run issues: by hand no invoice would reach tax engine and ERP."""

    def act(books: Books) -> Reply:
        invoice = invoice_by(books.tx, invoice_id)  # type: ignore[arg-type]
        if invoice is None:
            raise NotFound(f"no invoice {invoice_id}")
        visit.speak_for("invoice", invoice.entity)
        run = visit.hub.kernel.wake_now(books.tx, f"bill_contract/{invoice.invoice_id}")
        books.audit("invoice.release", f"invoice:{invoice.invoice_id}", reason=asked.reason)
        return Reply(202, started(run))

    return once(visit, asked, act)
