"""Commands about connectors: which there are, a new one, and whether one keeps its promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import REFUSED, SETTINGS, WrongUsage, common, console, show, table, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from isthmus.app.conformance.suite import Verdict
    from isthmus.app.firm import ConnectionConfig

PANEL = "Connect"
connector = typer.Typer(help="Connectors: those there are, a new one, is one as it should be.", no_args_is_help=True)
OUTCOMES = 1000


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(connector, name="connector", rich_help_panel=PANEL)
    for name, act in (("list", listing), ("new", new), ("check", check), ("compare", compare)):
        connector.command(name)(common(act))


def listing() -> None:
    """List the connectors there are, with the ports they fill.

    Example: isthmus connector list
    """
    from isthmus.app.connecting.found import connector_class, known_names

    facts = {name: connector_class(name).read_manifest() for name in known_names()}

    def human(out: Any) -> None:
        shown = table("Name", "Vendor", "Fills", "Auth")
        for name, f in facts.items():
            shown.add_row(name, f.system.vendor, ", ".join(f.system.ports), ", ".join(f.auth.kinds))
        out.print(shown)

    rows = [
        {"name": name, "vendor": f.system.vendor, "fills": f.system.ports, "auth": f.auth.kinds}
        for name, f in facts.items()
    ]
    show(rows, human)


def new(
    name: Annotated[str, typer.Argument(help="Its name: lower case letters, digits, underscores.", show_default=False)],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder in which its project is made.", file_okay=False)
    ] = Path(),
) -> None:
    """Write the project of a new connector: connector, sandbox, notes and tests that pass the suite as they are.

    It speaks to an invented PSA and time tool; change manifest, mapping and connector to the vendor's facts, and the
    sandbox with them, and keep the suite green.

    Example: isthmus connector new acme_time --into work
    """
    from isthmus.app.connecting.new import write

    written = write(name, into)
    root = into / name

    def human(out: Any) -> None:
        for path in written:
            out.print(f"  {path}")
        out.print(f"Next: isthmus connector check {root}; then NOTES.md, manifest.toml, mapping.py, connector.py.")

    show({"project": str(root), "files": [str(path) for path in written]}, human)


def check(
    name: Annotated[str, typer.Argument(help="A connector, or the folder that holds one.", show_default=False)],
    outcomes: Annotated[
        int, typer.Option(min=0, max=100_000, help=f"Unknown outcomes per write; {OUTCOMES} is what releases have.")
    ] = 0,
    firm: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Ask the real tenant of this firm folder.", show_default=False)
    ] = None,
    connection: Annotated[
        str, typer.Option(help="The connection of the firm folder; without it the one of this connector.")
    ] = "",
    since_hours: Annotated[int, typer.Option(min=1, max=8760, help="How far lists of changes go back there.")] = 24,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write down what that tenant answers, without secrets.")
    ] = None,
) -> None:
    """Run the conformance suite: at its sandbox, or with --firm at a real tenant, where nothing is changed.

    Exit code 1 when a promise is not kept. What --record has written down can be read again: see connector compare.

    Example: isthmus connector check netsuite --outcomes 1000
    """
    if record is not None and firm is None:
        raise WrongUsage("--record writes down what a real tenant answers: it needs --firm")
    if firm is not None:
        _judge(_tenant(_connection_of(name, firm, connection), since_hours, record))
        return
    _judge(_sandbox(name, outcomes))


def _sandbox(name: str, outcomes: int) -> Iterable[Verdict]:
    from isthmus.app.conformance import suite
    from isthmus.app.conformance.bench import benches

    checks = (*suite.SUITE, suite.doubts(outcomes)) if outcomes else suite.SUITE
    for bench in benches(name):
        yield from suite.run(bench, checks)


def compare(
    name: Annotated[str, typer.Argument(help="A connector, or the folder that holds one.", show_default=False)],
    tape: Annotated[
        Path, typer.Argument(help="What a tenant has answered, by connector check --record.", show_default=False)
    ],
    verb: Annotated[str, typer.Argument(help="A read of it, such as TimeSource.approved_time.", show_default=False)],
    old: Annotated[str, typer.Option(help="The mapping version it was, such as 2026.", show_default=False)],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What it was asked with: a watermark, a number.", show_default=False)
    ] = None,
    new: Annotated[str, typer.Option(help="Another; without it the newest.", show_default=False)] = "",
    firm: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Whose settings it is read with.", show_default=False)
    ] = None,
    connection: Annotated[str, typer.Option(help="The connection of the firm folder.")] = "",
) -> None:
    """Read the same recorded answers under two mapping versions and say what becomes different. Nothing is sent.

    Example: isthmus connector compare acme_time tape.jsonl TimeSource.approved_time "" --old 2026 --new 2027
    """
    from isthmus.app.connecting.found import connector_class, folder_of, in_folder
    from isthmus.kit.cassette import read
    from isthmus.kit.replay import differences, replay

    folder = folder_of(name)
    kind = in_folder(folder) if folder else connector_class(name)
    if verb not in kind.read_manifest().reads:
        raise WrongUsage(f"{verb} is no read of {name}; there are: {', '.join(kind.read_manifest().reads)}")
    settings = dict(_connection_of(name, firm, connection).settings) if firm else {}
    versions = [{**settings, "mapping_version": version} if version else settings for version in (old, new)]
    asked = (verb.split(".")[1], *(arguments or ()))
    told = list(differences(*(replay(read(tape), kind(each), *asked) for each in versions)))
    show(told, lambda out: out.print("\n".join(told) or "the same under both"))


def _connection_of(name: str, folder: Path, connection: str) -> ConnectionConfig:
    """The one connection of a firm folder that this connector serves, or the one that is named."""
    from isthmus.app.firm import read_folder

    firm = read_folder(folder)
    fitting = [c for c in firm.connections if c.connector == name and connection in ("", c.name)]
    if len(fitting) != 1:
        names = ", ".join(c.name for c in firm.connections if c.connector == name) or "none"
        raise WrongUsage(f"{len(fitting)} connections of {folder} fit; --connection names one of: {names}")
    served = fitting[0].entities or tuple(e.code for e in firm.entities if e.active)
    return fitting[0].model_copy(update={"entities": served})


def _tenant(config: ConnectionConfig, since_hours: int, record: Path | None) -> Iterable[Verdict]:
    from isthmus.app.bootstrap import connect
    from isthmus.app.conformance import tenant

    since = (datetime.now(UTC) - timedelta(hours=since_hours)).isoformat()
    opened = connect(config, cassette=record)
    try:
        yield from tenant.ask(opened, (config.entities or ("",))[0], since)
    finally:
        opened.close()


def _judge(verdicts: Iterable[Verdict]) -> None:
    """Show each verdict as it comes; exit code 1 when one promise is not kept."""
    seen: list[Verdict] = []
    out = console()
    for verdict in verdicts:
        seen.append(verdict)
        if not SETTINGS.as_json:
            what = f"{verdict.check}  {verdict.subject}".rstrip()
            out.print(f"{'FAIL' if verdict.problem else 'ok  '}  {what}: {verdict.problem or verdict.said}")
    broken = [verdict for verdict in seen if verdict.problem]
    if SETTINGS.as_json:
        write_json([vars(verdict) for verdict in seen])
    else:
        out.print(f"{len(seen) - len(broken)} promises kept, {len(broken)} not")
    if broken:
        raise typer.Exit(REFUSED)
