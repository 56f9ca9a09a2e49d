"""Commands that decide: resolve a case, replay, cancel a run. Each keeps who did it and why."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import PERSON, WrongUsage, common, show
from isthmus.domain.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.firm import FirmConfig
    from isthmus.desk.dry_run import DryRun
    from isthmus.runtime.books import Books
    from isthmus.runtime.kernel import Kernel
    from isthmus.store.desk_records import Proposal
    from isthmus.store.records import Case

PANEL = "Decide"
RESERVED = ("action", "by", "reason")  # part of every resolution: a value must not stand in for them
As = Annotated[str, typer.Option("--as", metavar="USER", help="Who decides; goes into the audit.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; goes into the audit.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for act in (resolve, approve, decline, replay, cancel):
        app.command(act.__name__, rich_help_panel=PANEL)(common(act))


def resolve(
    case_no: Annotated[str, typer.Argument(metavar="CASE", show_default=False)],
    action: Annotated[str, typer.Argument(help="One of the actions the case offers.", show_default=False)],
    reason: Reason,
    by: As,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="What the action needs; repeat it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written where and change in money; decide nothing.")
    ] = False,
) -> None:
    """Decide an open case; its run goes on at the same step. A preparer cannot approve their own work.

    Exit code 3 when a second person must agree first: 'isthmus approve' with the number that is printed.

    Example: isthmus resolve CASE-00012 approve --reason "checked against the SOW" --as carla
    """
    from isthmus.app.cli.books import deciding, operator
    from isthmus.desk import proposals

    _named(by, reason)
    choice = proposals.Choice(action, reason, _values(values or []))
    with deciding() as (kernel, config):
        evidence = proposals.preview(kernel, operator(by), case_no, choice)
        if dry_run:
            show(evidence.model_dump(mode="json"), lambda console: _print_dry_run(console, evidence))
            return
        with kernel.store.transaction() as tx:
            books = kernel.books(tx, key=f"resolve/{case_no}", actor=by)
            case, proposal = proposals.decide(books, operator(by), case_no, choice, evidence=evidence, config=config)
    _show_decided(case, proposal)


def approve(
    proposal_no: Annotated[str, typer.Argument(metavar="PROPOSAL", show_default=False)], reason: Reason, by: As
) -> None:
    """Agree to another person's decision on a case; it is carried out and the run goes on.

    Example: isthmus approve P-000007 --reason "code is right" --as finn
    """
    from isthmus.app.cli.books import deciding, operator
    from isthmus.desk import proposals

    _named(by, reason)
    with deciding() as (kernel, config), kernel.store.transaction() as tx:
        books = kernel.books(tx, key=f"approve/{proposal_no}", actor=by)
        case, proposal = proposals.approve(books, operator(by), proposal_no, reason, config)
    _show_decided(case, proposal)


def decline(
    proposal_no: Annotated[str, typer.Argument(metavar="PROPOSAL", show_default=False)], reason: Reason, by: As
) -> None:
    """Disagree with another person's decision on a case; the case is open for another one.

    Example: isthmus decline P-000007 --reason "wrong cost centre" --as finn
    """
    from isthmus.app.cli.books import deciding, operator
    from isthmus.desk import proposals

    _named(by, reason)
    with deciding() as (kernel, config), kernel.store.transaction() as tx:
        books = kernel.books(tx, key=f"decline/{proposal_no}", actor=by)
        case, proposal = proposals.decline(books, operator(by), proposal_no, reason, config)
    _show_decided(case, proposal)


def _show_decided(case: Case, proposal: Proposal) -> None:
    waits = proposal.state == "proposed"
    told = f"{case.case_no} is {case.state} by {case.resolved_by}: {proposal.action}"
    if waits:
        told = f"{proposal.proposal_no} waits for a second person: {proposal.why_second}"
    elif proposal.state == "declined":
        told = f"{case.case_no} is open again: {proposal.proposal_no} was declined"
    show(
        {**case.model_dump(mode="json"), "proposal": proposal.model_dump(mode="json")},
        lambda console: console.print(told),
    )
    if waits:
        raise typer.Exit(PERSON)


def _print_dry_run(console: Console, run: DryRun) -> None:
    for step in run.steps:
        console.print(f"done here   {step}", style="dim")
    for write in run.writes:
        money = f"  {write.amount} {write.currency}" if write.amount else ""
        console.print(f"would write {write.system}: {write.what} ({write.key}){money}")
        for name, (was, now) in write.changed.items():
            console.print(f"            {name}: {was or '(nothing)'} becomes {now or '(nothing)'}")
    for change in run.money:
        console.print(f"money       {change.what}: {change.before} becomes {change.after} {change.currency}")
    for line in run.then:
        console.print(f"then        {line.what}", style="dim")
    console.print(run.ends, style="yellow" if run.stops else "bold")


def _named(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise WrongUsage("--as names the person who decides and --reason says why")


def _values(pairs: list[str]) -> dict[str, Any]:
    """name=value pairs; a value that begins as a JSON object or array is one, everything else is text."""
    given: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise WrongUsage(f"--set {pair!r}: write NAME=VALUE")
        if name.strip() in RESERVED:
            raise WrongUsage(f"--set {name.strip()}: the hub writes that itself; use the options of this command")
        if name.strip() in given:
            raise WrongUsage(f"--set {name.strip()} is given twice")
        try:
            given[name.strip()] = json.loads(value) if value[:1] in ("{", "[") else value
        except json.JSONDecodeError as wrong:
            raise WrongUsage(f"--set {name.strip()}: no JSON: {wrong}") from wrong
    return given


class _DryRun(Exception):
    """Raised at the end of a dry run, so that its transaction rolls back."""


def replay(
    reason: Reason,
    message: Annotated[
        tuple[str, str] | None, typer.Option(metavar="SOURCE ID", help="Take this message again.", show_default=False)
    ] = None,
    subscriber: Annotated[
        str, typer.Option(metavar="NAME", help="Give this subscriber past events again.", show_default=False)
    ] = "",
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only events since then (ISO 8601, UTC).", show_default=False)
    ] = "",
    aggregate: Annotated[
        str, typer.Option(metavar="KEY", help="Only events of this one, such as contract:C-1001.", show_default=False)
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be replayed; change nothing.")] = False,
    by: As = "",
) -> None:
    """Take a message again, or give a subscriber past events again. What was done is recognised, not done twice.

    Example: isthmus replay --message psa te-4711:9c0b --reason "project was missing" --as ines
    """
    from isthmus.app.cli.books import desk, whoami

    if bool(message) == bool(subscriber):
        raise WrongUsage("say either --message SOURCE ID or --subscriber NAME")
    if message and (since or aggregate):
        raise WrongUsage("--since and --aggregate choose events of a --subscriber")
    actor = by or whoami()
    _named(actor, reason)
    instant = _instant(since)
    told: dict[str, Any] = {"dry_run": dry_run}
    with desk() as kernel:
        try:
            with kernel.store.transaction() as tx:
                books = kernel.books(tx, key=f"replay/{'/'.join(message) if message else subscriber}", actor=actor)
                told |= _replay(books, message, subscriber, instant, aggregate, reason)
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
    words = "would be" if dry_run else "are"
    show(told, lambda console: console.print(f"{told['count']} {told['what']} {words} taken again"))


def _replay(
    books: Books, message: tuple[str, str] | None, subscriber: str, since: datetime | None, aggregate: str, reason: str
) -> dict[str, Any]:
    from isthmus.app.api.replays import take_again
    from isthmus.runtime import outbox

    if message:
        again = take_again(applied(books.kernel), books, message[0], message[1], reason)
        return {"count": again.count, "what": f"facts of a message of {message[0]}", "message": message[1]}
    known = books.kernel.subscribers
    if subscriber not in known:
        raise NotFound(f"no subscriber {subscriber!r}; there are: {', '.join(sorted(known)) or 'none'}")
    count = outbox.replay(books, subscriber, since=since, aggregate=aggregate)
    books.audit("event.replay.asked", subscriber, reason=reason)
    return {"count": count, "what": f"events for {subscriber}", "subscriber": subscriber}


def applied(kernel: Kernel) -> FirmConfig:
    """The firm in force: it says which connection a message came from, and what that one may say."""
    from isthmus.app.firm import parse
    from isthmus.store.records import FirmVersion

    with kernel.store.transaction() as tx:
        applied = tx.find(FirmVersion, order=("-version",), limit=1)[0]
    return parse(applied.content, f"applied firm version {applied.version}")


def _instant(text: str) -> datetime | None:
    """An instant from ISO 8601 text; without an offset it is UTC."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise WrongUsage(f"--since {text!r} is no time: write one such as 2026-03-01T00:00:00Z") from wrong
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def cancel(run_id: Annotated[str, typer.Argument(show_default=False)], reason: Reason, by: As) -> None:
    """Call a parked or waiting run off: what it set up in other systems is undone in reverse order.

    Refused once an invoice has its number: then only a credit helps.

    Example: isthmus cancel contract_to_project/C-1001@1 --reason "client withdrew" --as paula
    """
    from isthmus.app.cli.books import desk

    _named(by, reason)
    with desk() as kernel, kernel.store.transaction() as tx:
        row = kernel.cancel(tx, run_id, actor=by, reason=reason)
        kernel.books(tx, key=run_id, actor=by).audit("run.cancel", run_id, reason=reason)
    show(
        row.model_dump(mode="json"), lambda console: console.print(f"{run_id} is being undone: 'isthmus runs {run_id}'")
    )
