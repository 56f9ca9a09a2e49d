"""Commands that take files in or try them: what each brings, and which of its cells are wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.shell import OK, PERSON, REFUSED, WrongUsage, common, show, table
from isthmus.domain.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

    from isthmus.app.taking.kept import File
    from isthmus.app.taking.report import FileTaken, Refusal
    from isthmus.kit.price_list import PriceList
    from isthmus.runtime.kernel import Kernel

PANEL = "See"
TAKES = "Decide"
SHOWN = 40
imports = typer.Typer(
    help="Take files in: approved time, expenses, rate cards, suppliers' bills, exchange rates.", no_args_is_help=True
)

FilePath = Annotated[Path, typer.Argument(help="CSV, or a workbook (XLSX).", show_default=False)]
Connection = Annotated[
    str, typer.Option(metavar="NAME", help="The connection of the system the file is of.", show_default=False)
]
By = Annotated[str, typer.Option("--as", metavar="USER", help="Who takes it in; goes into the audit.")]
Sheet = Annotated[str, typer.Option(help="Which sheet of a workbook, when it has more than one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would become of the file; take nothing.")]
Whole = Annotated[bool, typer.Option("--whole", help="Take nothing when a row is bad.")]
Totals = Annotated[bool, typer.Option("--require-totals", help="Refuse a file without control totals.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("prices", rich_help_panel=PANEL)(common(prices))
    imports.command("time")(records_command("file.time", TIME))
    imports.command("expenses")(records_command("file.expenses", EXPENSES))
    imports.command("rate-card")(common(import_rate_card))
    imports.command("bills")(common(import_bills))
    imports.command("ecb-rates")(common(import_ecb_rates))
    app.add_typer(imports, name="import", rich_help_panel=TAKES)


# -- taking in ------------------------------------------------------------------------------------------------------


TIME = """Take approved time in: good rows used, bad rows named with line, column and reason, the file kept as it came.

Exit code 1 when a row is refused, 3 when one will wait for a person. Nothing is used of a file whose control totals
disagree.

Example: isthmus import time night.csv --connection psa --dry-run
"""
EXPENSES = """Take approved expenses in: good rows used, bad rows named, the file kept as it came.

Exit code 1 when a row is refused, 3 when one will wait for a person. Nothing is used of a file whose control totals
disagree.

Example: isthmus import expenses march.xlsx --connection psa --as ines
"""


def records_command(kind: str, told: str) -> Callable[..., None]:
    """The command that takes records of this kind of file (taking.records.FILES) in. told: its help."""

    def take(
        file: FilePath,
        connection: Connection,
        by: By = "",
        sheet: Sheet = "",
        dry_run: DryRun = False,
        whole: Whole = False,
        require_totals: Totals = False,
    ) -> None:
        _import_records(kind, file, connection, by, sheet, (dry_run, require_totals, whole))

    take.__doc__ = told
    return common(take)


def _import_records(
    kind: str, path: Path, connection: str, by: str, sheet: str, flags: tuple[bool, bool, bool]
) -> None:
    from isthmus.app.cli.books import desk, whoami
    from isthmus.app.cli.deciding import applied
    from isthmus.app.taking import records
    from isthmus.app.taking.kept import File

    options = records.Options(*flags)
    file, who = File(kind, connection, path.name, _bytes(path), sheet), by or whoami()
    with desk() as kernel:
        firm = applied(kernel)
        records.connection_of(firm, connection)
        try:
            found = records.read(firm, file, options)
        except BadInput as wrong:
            _keep_refused(kernel, file, wrong, who, dry_run=options.dry_run)
            raise
        with kernel.store.transaction() as tx:
            books = kernel.books(tx, key=f"import/{file.message_id}", actor=who)
            report = records.take(books, found, options)
    _answer(report)


def import_rate_card(
    file: FilePath,
    code: Annotated[str, typer.Option(help="The card's name; another file of it is its next version.")],
    currency: Annotated[str, typer.Option(help="What its rates are in (ISO 4217).")],
    entity: Annotated[str, typer.Option(help="The legal entity whose standard card it is.")] = "",
    client: Annotated[str, typer.Option(metavar="NUMBER", help="The client whose card it is, instead.")] = "",
    contract: Annotated[str, typer.Option(metavar="NUMBER", help="The contract whose rates they are, instead.")] = "",
    line: Annotated[str, typer.Option(help="Of a contract with rates on several lines: which.")] = "",
    by: By = "",
    sheet: Sheet = "",
    dry_run: DryRun = False,
    require_totals: Totals = False,
) -> None:
    """Hand in the rate card of a client or a legal entity: all rows or none. Another person approves it (EX-RATE-CARD).

    Of a contract it becomes an amended version with these rates, in force when legal and finance have approved it
    (EX-APPROVAL-INCOMPLETE); what is billed since its first day is reviewed.

    Exit code 1 when a row is refused. Once approved it prices what comes in; what is priced keeps its price.

    Example: isthmus import rate-card acme-2026.csv --code ACME --client C-1001 --currency USD --as paula
    """
    from isthmus.app.cli.books import whoami
    from isthmus.app.taking import cards

    about, who = cards.About(code.strip(), currency, entity, client, contract, line), by or whoami()
    if [bool(entity), bool(client), bool(contract)].count(True) != 1:
        raise WrongUsage("say --entity, --client or --contract: whose card it is")
    if not dry_run and not by.strip():
        raise WrongUsage("--as names who hands the card in: that person cannot approve it")
    kept = cards.file_of(about, file.name, _bytes(file), sheet)
    _answer(_handed_in(cards, kept, who, dry_run=dry_run, require_totals=require_totals))


def _handed_in(taker: Any, file: File, by: str, *, dry_run: bool, require_totals: bool) -> FileTaken:
    """What became of a file that a person hands in. taker: how it is read and taken (taking.cards, taking.bills)."""
    from isthmus.app.cli.books import desk

    with desk() as kernel:
        try:
            found = taker.read(file, require_totals=require_totals)
        except BadInput as wrong:
            _keep_refused(kernel, file, wrong, by, dry_run=dry_run)
            raise
        with kernel.store.transaction() as tx:
            books = kernel.books(tx, key=f"import/{file.message_id}", actor=by)
            report: FileTaken = taker.take(books, file, found, by, dry_run=dry_run)
    return report


def import_bills(
    file: FilePath,
    by: By = "",
    sheet: Sheet = "",
    dry_run: DryRun = False,
    require_totals: Totals = False,
) -> None:
    """Hand subcontractors' bills in: each whole or not at all, and matched with approved time.

    Exit code 1 when a row is refused, 3 when a bill does not match (EX-SUBCON-MATCH). Nothing is used of a file whose
    control totals disagree. Who hands a bill in does not confirm it.

    Example: isthmus import bills march.csv --dry-run
    """
    from isthmus.app.cli.books import whoami
    from isthmus.app.taking import bills

    who = by or whoami()
    if not dry_run and not by.strip():
        raise WrongUsage("--as names who hands the bills in: that person cannot confirm them")
    kept = bills.file_of(file.name, _bytes(file), sheet)
    _answer(_handed_in(bills, kept, who, dry_run=dry_run, require_totals=require_totals))


def import_ecb_rates(
    currency: Annotated[list[str], typer.Option(metavar="CODE", help="From the euro to this one; repeat it.")],
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.", show_default=False)],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.", show_default=False)],
    by: By = "",
    dry_run: DryRun = False,
) -> None:
    """Keep the ECB's reference rates of these days, from the table that ships with isthmus; none is overwritten.

    Days without a rate are weekends and holidays of the ECB. Days after the table's end are refused.

    Example: isthmus import ecb-rates --currency USD --currency GBP --from 2025-01-01 --to 2025-01-31
    """
    from isthmus.app.cli.books import desk, whoami
    from isthmus.app.taking.rates import take_ecb

    with desk() as kernel, kernel.store.transaction() as tx:
        books = kernel.books(tx, key="import/ecb-rates", actor=by or whoami())
        taken = take_ecb(books, currency, first.date(), last.date(), dry_run=dry_run)
    words = "would be kept" if dry_run else "are kept"
    told = f"{taken.accepted} rates {words}, {taken.duplicates} were known; {taken.source}"
    show(taken.model_dump(mode="json"), lambda console: console.print(told))


def _keep_refused(kernel: Kernel, file: File, wrong: BadInput, by: str, *, dry_run: bool) -> None:
    """Nothing is used of the file; unless it was only tried, it is kept as it came, with the reason."""
    from isthmus.app.taking.kept import keep

    if not dry_run:
        with kernel.store.transaction() as tx:
            keep(kernel.books(tx, key=f"import/{file.message_id}", actor=by), file, wrong.message)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as unreadable:
        raise BadInput(f"{path} cannot be read: {unreadable.strerror}") from unreadable


def _answer(report: FileTaken) -> None:
    """The report, and the exit code: 1 with refused rows, 3 when rows wait for a person."""
    show(report.model_dump(mode="json"), lambda console: _print_report(console, report))
    code = REFUSED if report.rejected else PERSON if report.to_decide else OK
    if code:
        raise typer.Exit(code)


def _print_report(console: Console, report: FileTaken) -> None:
    sums = table("", "rows", "sum", right=("rows", "sum"))
    for name, part in (
        ("in the file", report.balance.sent),
        ("taken", report.balance.taken),
        ("said twice", report.balance.repeated),
        ("refused", report.balance.refused),
    ):
        sums.add_row(name, str(part.rows), part.total)
    console.print(sums)
    _print_refusals(console, report.rejected, "red")
    _print_refusals(console, report.to_decide, "yellow")
    for change in report.detail.get("changes", [])[:SHOWN]:
        console.print(change, style="dim")
    totals = "control totals agree" if report.controlled else "no control totals"
    known = f", {report.duplicates} known before" if report.duplicates else ""
    words = "would be taken" if report.dry_run else "taken"
    rows = "1 row" if report.accepted == 1 else f"{report.accepted} rows"
    console.print(f"{rows} {words}{known}; {totals}", style="bold")
    if report.run_id:
        console.print(f"{report.detail['card']} waits for approval: 'isthmus cases --queue finance'")
    if not report.dry_run:
        console.print(f"the file is kept as {report.message_id}", style="dim")


def _print_refusals(console: Console, found: list[Refusal], style: str) -> None:
    for one in found[:SHOWN]:
        case = f" ({one.case})" if one.case else ""
        console.print(f"line {one.line}, {one.column}: {one.value!r} {one.reason}{case}", style=style)
    if len(found) > SHOWN:
        console.print(f"and {len(found) - SHOWN} more; --json lists all", style=style)


# -- trying ---------------------------------------------------------------------------------------------------------


def prices(
    file: Annotated[
        Path, typer.Argument(help="A GSA schedule price list (CSV), or a proposal (XLSX).", show_default=False)
    ],
    sheet: Annotated[str, typer.Option(help="Of a workbook: the sheet with the prices.")] = "",
    contract: Annotated[str, typer.Option(help="Of a workbook: the contract they belong to.")] = "",
    vendor: Annotated[str, typer.Option(help="Of a workbook: whose prices they are.")] = "",
    valid_from: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="Of a workbook: the first day.")
    ] = None,
    valid_to: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Of a workbook: the day after the last.")
    ] = None,
) -> None:
    """Read a price list: the prices it holds, and each wrong cell with its line, column and reason. Takes nothing over.

    Exit code 1 when a row is wrong, or when there is none.

    Example: isthmus prices s70_sample.csv
    """
    from isthmus.app.taking.prices import Form, read_prices

    read = read_prices(_bytes(file), file.name, Form(sheet, contract, vendor, _day(valid_from), _day(valid_to)))
    show(_as_data(read), lambda console: _print(console, read))
    if read.rejected or read.empty:
        raise typer.Exit(REFUSED)


def _day(instant: datetime | None) -> date | None:
    return instant.date() if instant else None


def _as_data(read: PriceList) -> dict[str, Any]:
    return {
        "source": read.source,
        "sha256": read.sha256,
        "rows": read.rows_read,
        "usable": len(read.rows),
        "empty": read.empty,
        "rejected": [{"line": r.line, "column": r.column, "value": r.value, "reason": r.reason} for r in read.rejected],
        "prices": [
            {
                "line": p.line,
                "labor_category": p.labor_category,
                "price": str(p.price),
                "currency": p.currency,
                "contract_no": p.contract_no,
                "valid_from": str(p.valid_from),
                "valid_to": str(p.valid_to),
            }
            for p in read.rows
        ],
    }


def _print(console: Console, read: PriceList) -> None:
    lines = table("line", "labor category", "an hour", "contract", "from", "up to", right=("line", "an hour"))
    for p in read.rows:
        price = f"{p.price:,} {p.currency}"
        lines.add_row(str(p.line), p.labor_category, price, p.contract_no, str(p.valid_from), str(p.valid_to))
    if read.rows:
        console.print(lines)
    for wrong in read.rejected:
        console.print(f"line {wrong.line}, {wrong.column}: {wrong.value!r} {wrong.reason}", style="red")
    console.print(read.empty or f"{len(read.rows)} of {read.rows_read} rows can be used")
