"""The command that bills: a contract, or the contracts of a client together; as a dry run it shows what and why."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.app.cli.amounts import not_billed, plain
from isthmus.app.cli.shell import PERSON, REFUSED, WrongUsage, common, show, table
from isthmus.domain.errors import NotFound

if TYPE_CHECKING:
    from datetime import date

    from rich.console import Console

    from isthmus.app.previewing import PlannedInvoice, Preview
    from isthmus.domain.objects import Invoice
    from isthmus.runtime.kernel import Kernel
    from isthmus.store.records import RunRow
    from isthmus.store.tx import Tx

PANEL = "Decide"
POLL_SECONDS = 0.1
EVIDENCE_MAX = 60
ENDED = ("done", "cancelled")
STUCK = ("parked", "failed")
HOLDS = {
    "MIN_INVOICE": "below the least of one invoice",
    "NOT_ABOVE_ZERO": "the total would not be positive",
    "AFTER_CREDIT": "it is billed when the credit memo is issued",
}


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("bill", rich_help_panel=PANEL)(common(bill))


def bill(
    cutoff: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d"], help="Bill what was done up to and on this day.", show_default=False),
    ],
    by: Annotated[
        str, typer.Option("--as", metavar="USER", help="Who decides; goes into the audit.", show_default=False)
    ],
    contract_no: Annotated[
        str, typer.Argument(metavar="[CONTRACT]", help="The contract; leave it out with --client.", show_default=False)
    ] = "",
    client: Annotated[
        str,
        typer.Option(
            metavar="CLIENT",
            help="All running contracts of a client, together where they may.",
            show_default=False,
        ),
    ] = "",
    name: Annotated[
        str, typer.Option(help="Name of the billing run; the month of the cut-off unless given.", show_default=False)
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show fees, lines and why, and what keeps contracts apart; start nothing.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, help="Wait so many seconds for the run to end or to park.")
    ] = 0,
) -> None:
    """Bill a contract up to a cut-off, or all contracts of a client: one invoice of what is ready.

    Contracts that may be consolidated share an invoice where entity, bill-to, currency, payment terms and tax regime
    are equal. The same run again is found, not made twice. Exit code 3 when it needs a person (only with --wait).

    Example: isthmus bill C-1001 --cutoff 2026-03-31 --dry-run --as bianca
    """
    from isthmus.app.cli.books import desk

    if bool(contract_no) == bool(client):
        raise WrongUsage("say either the contract or --client CLIENT")
    if not by.strip():
        raise WrongUsage("--as names the person who decides")
    day, called = cutoff.date(), name or f"{cutoff:%Y-%m}"
    with desk() as kernel:
        if dry_run:
            _dry_run(kernel, contract_no, client, day, called, by)
            return
        rows = (
            [_start(kernel, contract_no, day, f"{contract_no}:{called}", by)]
            if contract_no
            else _start_client(kernel, client, day, called, by)
        )
        rows = [_await(kernel, row, wait) for row in rows]
    told = [row.model_dump(mode="json") for row in rows]
    show(told[0] if contract_no else told, lambda console: _print_runs(console, rows))
    unfinished = [row for row in rows if row.state not in ENDED]
    if wait and unfinished:
        raise typer.Exit(PERSON if any(row.state in STUCK for row in unfinished) else REFUSED)


def _print_runs(console: Console, rows: list[RunRow]) -> None:
    for row in rows:
        console.print(f"{row.run_id} is {row.state} {row.reason}".rstrip())


def _start(kernel: Kernel, contract_no: str, day: date, key: str, by: str) -> RunRow:
    with kernel.store.transaction() as tx:
        books = kernel.books(tx, key=key, actor=by, correlation_id=f"contract:{contract_no}")
        args = {"contract_no": contract_no, "cutoff": day.isoformat(), "prepared_by": by}
        _refuse_another(tx, f"bill_contract/{key}", args)
        row = books.start("bill_contract", key, args, entity=_entity_of(kernel, contract_no))
        books.audit("billing.start", key, reason=f"cut-off {day}")
    return row


def _refuse_another(tx: Tx, run_id: str, args: dict[str, Any]) -> None:
    """A run of this name with another cut-off or by somebody else is not this one, and says what it is."""
    from isthmus.domain.errors import SameKeyOtherContent
    from isthmus.runtime.hashing import content_hash
    from isthmus.store.records import RunRow

    known = tx.get(RunRow, run_id)
    if known is not None and known.args_hash != content_hash(args):
        was = f"by {known.args.get('prepared_by')} up to {known.args.get('cutoff')}, and is {known.state}"
        advice = f"look at it with 'isthmus runs {run_id}', or give this one another --name"
        raise SameKeyOtherContent(f"the billing run {known.key} was started before, {was}: {advice}")


def _entity_of(kernel: Kernel, contract_no: str) -> str:
    from isthmus.domain.objects import ContractVersion

    with kernel.store.transaction() as tx:
        found = tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    if not found:
        raise NotFound(f"no contract {contract_no}: 'isthmus trace {contract_no}' shows what is known of it")
    return found[0].entity


def _start_client(kernel: Kernel, client_no: str, day: date, name: str, by: str) -> list[RunRow]:
    """A run for each legal entity the client has running contracts with."""
    from isthmus.app.previewing import contracts_of_client

    rows = []
    for entity in contracts_of_client(kernel, client_no):
        key = f"{client_no}:{entity}:{name}"
        args = {"client_no": client_no, "entity": entity, "cutoff": day.isoformat(), "prepared_by": by}
        with kernel.store.transaction() as tx:
            _refuse_another(tx, f"bill_client/{key}", args)
            books = kernel.books(tx, key=key, actor=by, correlation_id=f"client:{client_no}")
            rows.append(books.start("bill_client", key, args, entity=entity))
            books.audit("billing.start", key, reason=f"cut-off {day}")
    return rows


def _await(kernel: Kernel, row: RunRow, seconds: float) -> RunRow:
    from isthmus.store.records import RunRow

    deadline = time.monotonic() + seconds
    while row.state not in (*ENDED, *STUCK) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        with kernel.store.transaction() as tx:
            row = tx.get(RunRow, row.run_id) or row
    return row


# -- what would be billed -------------------------------------------------------------------------------------------


def _dry_run(kernel: Kernel, contract_no: str, client: str, day: date, name: str, by: str) -> None:
    from isthmus.app.previewing import preview_client, preview_contract

    if contract_no:
        _entity_of(kernel, contract_no)
        shown = preview_contract(kernel, contract_no, day, f"{contract_no}:{name}", by)
        show(shown.model_dump(mode="json"), lambda console: _print(console, shown, contract_no, day))
        return
    found = preview_client(kernel, client, day, name, by)

    def tell(console: Console) -> None:
        for entity, shown in found.items():
            console.print(f"{client} with {entity}", style="bold")
            _print(console, shown, client, day)
            for own in shown.own:
                console.print(f"{own} shares no invoice by its terms: it gets a run of its own", style="dim")

    show({entity: shown.model_dump(mode="json") for entity, shown in found.items()}, tell)


def _print(console: Console, shown: Preview, whose: str, day: date) -> None:
    for fee in shown.fees:
        console.print(f"worked out first: {fee.day} {fee.net:,} {fee.description} ({fee.kind})", style="cyan")
    if shown.invoice is None:
        console.print(f"nothing of {whose} is ready up to {day}", style="bold")
    for planned in shown.invoices:
        _print_planned(console, planned, several=len(shown.invoices) > 1)
    for piece in shown.evidence[:EVIDENCE_MAX]:
        sum_of = f"{plain(piece.quantity)} x {plain(piece.unit_price)} = {piece.net:,}"
        told = f"  {piece.service_date} {piece.person} {sum_of}: {_why(piece.price_trace)}"
        console.print(told, style="dim")
    if len(shown.evidence) > EVIDENCE_MAX:
        console.print(f"  and {len(shown.evidence) - EVIDENCE_MAX} more: --json shows them all", style="dim")
    for credit in shown.credits:
        _print_lines(console, credit)
        console.print(f"credit memo of {credit.net:,} {credit.currency}, approved by another person", style="bold")
    for told in not_billed(shown.not_billed):
        console.print(told, style="yellow")


def _why(trace: dict[str, Any]) -> str:
    """The trace in a line: why this price first, then what it stands on."""
    told = [str(trace["reason"])] if trace.get("reason") else []
    named = {name: value for name, value in trace.items() if name not in ("reason", "rate", "candidates")}
    return ", ".join([*told, *(f"{name} {value}" for name, value in named.items() if value)])


def _print_planned(console: Console, planned: PlannedInvoice, several: bool) -> None:
    invoice = planned.invoice
    if invoice is not None:
        _print_lines(console, invoice)
        under = f"{invoice.contract_no}@{invoice.contract_version}"
        if len(planned.contracts) > 1 or several:
            under = f"{', '.join(planned.contracts)} to {planned.bill_to}"
        console.print(f"net {invoice.net:,} {invoice.currency}, tax on top, under {under}", style="bold")
    else:
        console.print(f"net {planned.net:,} waits: {HOLDS[planned.hold]}", style="yellow")
    for reason in planned.apart:
        console.print(f"apart from other contracts of the client: {reason}", style="yellow")


def _print_lines(console: Console, invoice: Invoice) -> None:
    lines = table("", "line", "quantity", "unit price", "net", "from", right=("", "quantity", "unit price", "net"))
    for line in invoice.lines:
        sums = (plain(line.quantity), plain(line.unit_price), f"{line.net:,}")
        pieces = "1 piece" if len(line.part_ids) == 1 else f"{len(line.part_ids)} pieces"
        lines.add_row(str(line.number), line.description, *sums, f"{pieces} of evidence")
    console.print(lines)
