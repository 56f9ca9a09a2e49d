"""Runs: what each has done, what it waits for, and every write with its look-ups."""

from __future__ import annotations

from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.responses import Response

from isthmus.app.api.reading import reading
from isthmus.app.console.pages import Look, page, to
from isthmus.app.console.render import show
from isthmus.app.scope import demand_sight, within
from isthmus.domain.errors import BadInput, NotFound
from isthmus.runtime.process import PROCESSES
from isthmus.runtime.storyline import rest_of
from isthmus.store.records import Case, Effect, RunRow, RunState, RunStep
from isthmus.store.tables import TABLES

PAGE, STEPS_MAX = 50, 500
GOING = (RunState.PARKED, RunState.FAILED, RunState.WAITING, RunState.RUNNING, RunState.QUEUED)


@page("/runs", "run.read")
def runs(look: Look) -> Response:
    """Runs that are not over, those that stand still first; or all of a state or process."""
    run = TABLES[RunRow]
    asked = {name: look.query(name) for name in ("state", "process") if look.query(name)}
    offset = int(look.query("from")) if look.query("from").isdigit() else 0
    where = [*within(look.actor, RunRow)]
    where += [run.c.state == asked["state"]] if asked.get("state") else [run.c.state.in_(GOING)]
    where += [run.c.process == asked["process"]] if asked.get("process") else []
    rank = sa.case(*((run.c.state == state, place) for place, state in enumerate(GOING)), else_=9)
    order = [*([] if asked.get("state") else [rank]), run.c.updated_at.desc()]
    query = sa.select(run).where(*where).order_by(*order).offset(offset).limit(PAGE + 1)
    with reading(look.hub) as tx:
        rows = [RunRow.model_validate(dict(row)) for row in tx.raw.execute(query).mappings()]
        counted = sa.select(run.c.state, sa.func.count()).where(run.c.state.in_(GOING), *within(look.actor, RunRow))
        counts = {str(state): int(number) for state, number in tx.raw.execute(counted.group_by(run.c.state))}
    more = f"/console/runs?{urlencode({**asked, 'from': offset + PAGE})}" if len(rows) > PAGE else ""
    facts = {"rows": rows[:PAGE], "asked": asked, "counts": counts, "processes": sorted(PROCESSES), "more": more}
    return show(look, "runs.html", {"states": [str(state) for state in RunState], **facts})


@page("/runs/{run_id:path}", "run.read")
def run(look: Look) -> Response:
    """One run: its steps so far, what its story does afterwards, its writes, its cases."""
    run_id = look.path("run_id")
    with reading(look.hub) as tx:
        row = tx.get(RunRow, run_id)
        if row is None:
            raise NotFound(f"no run {run_id}")
        demand_sight(look.actor, tx, row)
        steps = tx.find(RunStep, run_id=run_id, order=("seq",), limit=STEPS_MAX)
        effects = tx.find(Effect, run_id=run_id, order=("seq", "effect_key"), limit=STEPS_MAX)
        cases = tx.find(Case, run_id=run_id, order=("case_no",))
    over = row.state in (RunState.DONE, RunState.CANCELLED) or row.cancelling
    rest = [] if over or row.process not in PROCESSES else rest_of(row.process, steps[-1].phrase if steps else "")
    facts = {
        "run": row,
        "steps": steps,
        "effects": effects,
        "cases": cases,
        "rest": rest,
        "card": PROCESSES.get(row.process),
    }
    can_cancel = look.may("run.cancel") and not row.committed and row.state in (RunState.PARKED, RunState.WAITING)
    return show(look, "run.html", {"can_cancel": can_cancel, **facts})


@page("/runs/{run_id:path}", "run.cancel", method="POST")
def cancel(look: Look) -> Response:
    """Call a run off: what it has set up is taken back."""
    run_id, reason = look.path("run_id"), look.form.get("reason", "").strip()
    if not reason:
        raise BadInput("Say why: it is kept in the audit.")
    with look.hub.store.transaction() as tx:
        demand_sight(look.actor, tx, tx.get(RunRow, run_id))
        look.hub.kernel.cancel(tx, run_id, actor=look.actor.name, reason=reason)
        books = look.hub.kernel.books(tx, key=run_id, actor=look.actor.name)
        books.audit("run.cancel", f"run:{run_id}", reason=reason)
    return to(f"/console/runs/{run_id}")
