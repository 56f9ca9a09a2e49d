"""Commands for the firm folder: write a new one, check it, plan it, apply it, and see what was applied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import PERSON, REFUSED, WrongUsage, common, show, table
from isthmus.domain.errors import BadInput, NeedsDecision, NotFound

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.firm import FirmConfig
    from isthmus.app.firm_check import Problem
    from isthmus.app.firm_plan import Change
    from isthmus.store.postgres import PostgresStore

PANEL = "The firm folder"
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The firm folder.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for name, act in (("init", init), ("check", check), ("plan", plan), ("apply", apply), ("firm", firm)):
        app.command(name, rich_help_panel=PANEL)(common(act))


def init(folder: Folder) -> None:
    """Write a new, commented firm folder. Existing files are never overwritten.

    Example: isthmus init firm
    """
    from isthmus.app.init import write

    written = [str(path) for path in write(folder)]

    def human(console: Console) -> None:
        console.print("\n".join(f"wrote {path}" for path in written))
        console.print(f"Next: fill in the connections, then 'isthmus check {folder}'.")

    show({"written": written}, human)


def check(
    folder: Folder,
    strict: Annotated[
        bool, typer.Option("--strict", help="A credential that cannot be read here is an error, not a warning.")
    ] = False,
) -> None:
    """Validate a firm folder: every problem at once, with file, line and place. Exit code 1 when it has errors.

    Ports, auth kinds, settings and credentials are held against what each connector says of itself.

    Example: isthmus check firm --strict
    """
    from isthmus.app.firm_check import check as checked

    found, problems = checked(folder, strict=strict)

    def human(console: Console) -> None:
        _print_problems(console, problems)
        if found is not None:
            connections = ", ".join(f"{c.name} ({c.connector})" for c in found.connections)
            console.print(f"{folder} can be applied: {found.name}, {len(found.entities)} entities; {connections}")

    show({"ok": found is not None, "problems": [problem.as_dict() for problem in problems]}, human)
    if found is None:
        raise typer.Exit(REFUSED)


def plan(folder: Folder) -> None:
    """Show what applying a firm folder would change, for whom, and what is dangerous now. Changes nothing.

    Exit code 3 when a change is dangerous: an entity with open invoices goes, a connection changes under running work.

    Example: isthmus plan firm
    """
    from isthmus.app.cli.books import opened

    wanted = usable(folder)
    with opened() as store:
        version, changes = planned(store, wanted)

    def human(console: Console) -> None:
        if not changes:
            console.print(f"nothing changes: version {version} says the same" if version else "nothing to apply")
        _print_changes(console, changes)

    dangers = [change.danger for change in changes if change.danger]
    data = {"applied_version": version, "changes": [change.as_dict() for change in changes], "dangers": dangers}
    show(data, human)
    if dangers:
        raise typer.Exit(PERSON)


def apply(
    folder: Folder,
    by: Annotated[str, typer.Option("--as", metavar="USER", help="Who applies it.", show_default=False)],
    approved_by: Annotated[
        str, typer.Option("--approved-by", metavar="OTHER", help="Who approved it: another person.", show_default=False)
    ],
    because: Annotated[
        str, typer.Option("--dangerous-because", metavar="REASON", help="Apply dangerous changes too, for this reason.")
    ] = "",
) -> None:
    """Make a firm folder the one in force, with both names on record. The same content again changes nothing.

    Running workers and APIs take it up when they are restarted. Dangerous changes (see plan) need a reason.

    Example: isthmus apply firm --as ines --approved-by carla
    """
    from isthmus.app.bootstrap import applied_firm, apply_firm, database_url, prepare
    from isthmus.app.cli.books import opened
    from isthmus.runtime.clock import SystemClock

    if not by.strip() or not approved_by.strip():
        raise WrongUsage("--as and --approved-by each name a person")
    wanted = usable(folder)
    prepare(database_url())
    with opened() as store:
        before = applied_firm(store)
        _, changes = planned(store, wanted)
        refuse_dangers(changes, because)
        reason = because or f"{len(changes)} changes, none dangerous"
        done = apply_firm(store, wanted, by=by, approved_by=approved_by, clock=SystemClock(), reason=reason)
    news = before is None or done.version != before.version

    def human(console: Console) -> None:
        _print_changes(console, changes)
        if news:
            console.print(f"version {done.version} is applied by {by}, approved by {approved_by}; restart what runs")
        else:
            console.print(f"nothing changes: version {done.version} says the same")

    show({"version": done.version, "changed": news, "changes": [change.as_dict() for change in changes]}, human)


def firm(
    version: Annotated[int | None, typer.Argument(help="Show this version whole.", show_default=False)] = None,
) -> None:
    """Show which firm folders were applied: when, by whom, approved by whom. With a version: what it said.

    Example: isthmus firm 3 --json
    """
    from isthmus.app.cli.books import opened
    from isthmus.store.records import FirmVersion

    with opened() as store, store.transaction() as tx:
        versions = tx.find(FirmVersion, order=("-version",))
    if version is not None:
        known = [v for v in versions if v.version == version]
        if not known:
            raise NotFound(f"no version {version}: the latest is {versions[0].version if versions else 'none'}")
        data = known[0].model_dump(mode="json")
        show(data, lambda console: console.print_json(data=data))
        return

    def human(console: Console) -> None:
        lines = table("version", "applied", "by", "approved by", "content", right=("version",))
        for v in versions:
            lines.add_row(
                str(v.version), f"{v.applied_at:%Y-%m-%d %H:%M} UTC", v.applied_by, v.approved_by, v.content_hash[:12]
            )
        console.print(lines if versions else "no firm is applied yet: 'isthmus apply DIR' applies a firm folder")

    show([v.model_dump(mode="json", exclude={"content"}) for v in versions], human)


# -- for up and apply -----------------------------------------------------------------------------------------------


def usable(folder: Path) -> FirmConfig:
    """The folder's firm. BadInput tells all errors."""
    from isthmus.app.firm_check import check as checked

    found, problems = checked(folder)
    if found is None:
        errors = [problem.told for problem in problems if problem.level == "error"]
        raise BadInput(f"{folder} cannot be applied ('isthmus check {folder}' shows the places): {'; '.join(errors)}")
    return found


def planned(store: PostgresStore, wanted: FirmConfig) -> tuple[int, list[Change]]:
    """(applied version or 0, changes) of applying a firm to these books."""
    from sqlalchemy import text

    from isthmus.app.bootstrap import applied_firm
    from isthmus.app.firm import parse
    from isthmus.app.firm_plan import plan as plan_of

    with store.transaction() as tx:
        if tx.raw.execute(text("select to_regclass('hub.firm_version')")).scalar() is None:
            return 0, plan_of(tx, None, wanted)
    applied = applied_firm(store)
    old = parse(applied.content, f"applied firm version {applied.version}") if applied else None
    with store.transaction() as tx:
        return (applied.version if applied else 0), plan_of(tx, old, wanted)


def refuse_dangers(changes: list[Change], because: str = "") -> None:
    """NeedsDecision when a change is dangerous and nobody has given the reason to go on."""
    dangers = [f"{change.what} {change.kind}: {change.danger}" for change in changes if change.danger]
    if dangers and not because.strip():
        told = (
            f"{'; '.join(dangers)}. Nothing was applied; 'isthmus plan' shows all, --dangerous-because REASON goes on"
        )
        raise NeedsDecision("EX-FIRM", told, queue="integration")


def _print_problems(console: Console, problems: list[Problem]) -> None:
    for problem in problems:
        console.print(f"{problem.level:7}  {problem.told}", style="red" if problem.level == "error" else "yellow")
    errors = sum(problem.level == "error" for problem in problems)
    console.print(f"{errors} errors, {len(problems) - errors} warnings")


def _print_changes(console: Console, changes: list[Change]) -> None:
    signs = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
    for change in changes:
        sign, style = signs[change.kind]
        console.print(f"{sign} {change.what} {change.kind}: {change.whom}", style=style)
        if change.kind == "changed":
            for name, (before, after) in change.fields.items():
                console.print(f"    {name}: {_short(before)} -> {_short(after)}")
        if change.danger:
            console.print(f"    dangerous: {change.danger}", style="bold red")


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
