"""Commands that look: the journey of a business key, runs and their steps, cases."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import PERSON, WrongUsage, common, show, table
from isthmus.domain.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.store.records import Case, RunRow, RunStep
    from isthmus.store.tx import Tx

PANEL = "See"
STYLES = {
    "done": "green",
    "running": "cyan",
    "queued": "cyan",
    "waiting": "yellow",
    "parked": "bold yellow",
    "failed": "bold red",
    "cancelled": "dim",
    "open": "bold yellow",
}
LIMIT_MAX = 10_000
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many at most.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for name, act in (("trace", trace), ("runs", runs), ("cases", cases), ("access", access)):
        app.command(name, rich_help_panel=PANEL)(common(act))


def trace(
    key: Annotated[
        str,
        typer.Argument(help="Contract, invoice number, project, client, external id, run or case.", show_default=False),
    ],
) -> None:
    """Show the journey of any business key as a timeline: what happened, in which system, with which money.

    Exit code 3 when it waits for a person.

    Example: isthmus trace US01-INV-2026-00001
    """
    from isthmus.app.cli.books import opened
    from isthmus.app.cli.timeline import print_journey, waits_for_a_person
    from isthmus.app.journey import journey_of

    with opened() as store, store.transaction() as tx:
        told = journey_of(tx, key).model_dump(mode="json")
    show(told, lambda console: print_journey(console, told))
    if waits_for_a_person(told):
        raise typer.Exit(PERSON)


def runs(
    run_id: Annotated[str | None, typer.Argument(help="Show this run with its steps.", show_default=False)] = None,
    state: Annotated[str, typer.Option(help="Only runs in this state, such as parked.", show_default=False)] = "",
    process: Annotated[
        str, typer.Option(help="Only runs of this process, such as bill_contract.", show_default=False)
    ] = "",
    limit: Limit = 50,
) -> None:
    """List runs, the latest first; or show one run with its steps. Exit code 3 when that run needs a person.

    Example: isthmus runs --state parked --process bill_contract
    """
    from isthmus.app.cli.books import opened
    from isthmus.store.records import RunRow, RunState

    if state and state not in set(RunState):
        raise WrongUsage(f"no state {state!r}; there are: {', '.join(RunState)}")
    with opened() as store, store.transaction() as tx:
        if run_id is not None:
            _one_run(tx, run_id)
            return
        wanted: dict[str, Any] = {"state": state} if state else {}
        wanted |= {"process": process} if process else {}
        found = tx.find(RunRow, order=("-updated_at",), limit=limit, **wanted)

    def human(console: Console) -> None:
        lines = table("run", "state", "entity", "tries", "updated", "reason", right=("tries",))
        for row in found:
            lines.add_row(
                row.run_id,
                row.state,
                row.entity,
                str(row.tries),
                _at(row.updated_at),
                row.reason,
                style=STYLES.get(row.state),
            )
        console.print(lines if found else "no runs")

    show([row.model_dump(mode="json", exclude={"args"}) for row in found], human)


def _one_run(tx: Tx, run_id: str) -> None:
    from isthmus.domain.states import CaseState
    from isthmus.store.records import Case, RunRow, RunState, RunStep

    row = tx.get(RunRow, run_id)
    if row is None:
        raise NotFound(f"no run {run_id}: 'isthmus runs' lists them, 'isthmus trace KEY' finds one by its business key")
    steps = tx.find(RunStep, run_id=run_id, order=("seq",))
    waiting = tx.find(Case, run_id=run_id, state=CaseState.OPEN)
    data = {
        "run": row.model_dump(mode="json"),
        "steps": [step.model_dump(mode="json") for step in steps],
        "cases": [case.model_dump(mode="json") for case in waiting],
    }
    show(data, lambda console: _print_run(console, row, steps, waiting))
    if row.state is RunState.PARKED or (row.state is RunState.FAILED):
        raise typer.Exit(PERSON)


def _print_run(console: Console, row: RunRow, steps: list[RunStep], waiting: list[Case]) -> None:
    console.print(f"{row.run_id}  {row.state}", style=STYLES.get(row.state))
    if row.reason:
        console.print(f"  {row.reason}")
    lines = table("", "step", "outcome", "amount", "system", "ended", right=("", "amount"))
    for step in steps:
        lines.add_row(
            str(step.seq), step.phrase, step.summary, money(step.amount, step.currency), step.system, _at(step.ended_at)
        )
    console.print(lines)
    for case in waiting:
        console.print(f"{case.case_no} waits for {case.queue}: {case.cause}", style="bold yellow")
        console.print(f"  isthmus resolve {case.case_no} {'|'.join(case.actions)} --reason TEXT --as USER")


def cases(
    case_no: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="Show this case whole.", show_default=False)
    ] = None,
    queue: Annotated[str, typer.Option(help="Only cases of this queue, such as billing.", show_default=False)] = "",
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones as well.")] = False,
    limit: Limit = 100,
) -> None:
    """List open cases with the money at stake; or show one with all a person needs to decide it.

    Example: isthmus cases --queue billing
    """
    from isthmus.app.cli.books import opened
    from isthmus.domain.states import CaseState
    from isthmus.store.records import Case

    with opened() as store, store.transaction() as tx:
        if case_no is not None:
            case = tx.get(Case, case_no)
            if case is None:
                raise NotFound(f"no case {case_no}: 'isthmus cases --all' lists them")
            found = [case]
        else:
            wanted: dict[str, Any] = {} if everything else {"state": CaseState.OPEN}
            wanted |= {"queue": queue} if queue else {}
            found = tx.find(Case, order=("opened_at", "case_no"), limit=limit, **wanted)
    data = [case.model_dump(mode="json") for case in found]
    if case_no is not None:
        show(data[0], lambda console: _print_case(console, found[0]))
    else:
        show(data, lambda console: _print_cases(console, found))


def _print_cases(console: Console, found: list[Case]) -> None:
    lines = table("case", "state", "queue", "type", "at stake", "subject", "cause", "opened", right=("at stake",))
    for case in found:
        stake = money(case.amount, case.currency)
        lines.add_row(
            case.case_no, case.state, case.queue, case.exception, stake, case.subject, case.cause, _at(case.opened_at)
        )
    console.print(lines if found else "no cases")


def _print_case(console: Console, case: Case) -> None:
    from isthmus.desk.cases import asks_for

    console.print(f"{case.case_no}  {case.state}  {case.exception}", style=STYLES.get(case.state))
    facts = {
        "cause": case.cause,
        "at stake": money(case.amount, case.currency),
        "subject": case.subject,
        "entity": case.entity,
        "queue": case.queue,
        "tried": case.tried,
        "run": case.run_id,
        "opened": f"{_at(case.opened_at)} by {case.opened_by}",
        **case.context,
    }
    if case.resolved_at:
        facts["resolved"] = f"{_at(case.resolved_at)} by {case.resolved_by}: {case.resolution}"
    lines = table("", "")
    lines.show_header = False
    for name, fact in facts.items():
        if fact not in ("", None):
            lines.add_row(name, str(fact))
    console.print(lines)
    if case.state == "open":
        for action, needs in asks_for(case).items():
            values = " ".join(f"--set {name}=..." for name in needs)
            command = " ".join(part for part in (f"isthmus resolve {case.case_no} {action}", values) if part)
            console.print(f"{command} --reason TEXT --as USER")
        if not case.actions:
            console.print("nothing to decide: its run goes on by itself")


def access(
    role: Annotated[list[str] | None, typer.Option(help="Only these roles; repeat it.", show_default=False)] = None,
) -> None:
    """Print who may do what: every permission and every queue of cases, by role. The same for tokens and sessions.

    Example: isthmus access --role finance --role tax
    """
    from isthmus.policies.authority import ROLES, matrix

    unknown = sorted(set(role or ()) - set(ROLES))
    if unknown:
        raise WrongUsage(f"no role {', '.join(unknown)}; there are: {', '.join(ROLES)}")
    roles = [one for one in ROLES if one in (role or ROLES)]
    rows = matrix(roles)

    def show_matrix(console: Console) -> None:
        lines = table("permission", *roles)
        for name, cells in rows:
            lines.add_row(name, *("yes" if cells[one] else "" for one in roles))
        console.print(lines)

    show([{"permission": name, **cells} for name, cells in rows], show_matrix)


def money(amount: Any, currency: str) -> str:
    """An amount with its currency; nothing for none."""
    return "" if amount is None else f"{amount:,} {currency}".strip()


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"
