"""Files of time and of expenses: every good row is a message of its own, the same as by webhook or sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from isthmus.app.firm import ConnectionConfig, FirmConfig
from isthmus.app.taking.kept import File, keep, refuse_nameless
from isthmus.app.taking.report import FileTaken, Refusal, balance_of, refusals
from isthmus.app.taking.said import Said, check_owner, source_of
from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.objects import Engagement, Expense, TimeEntry
from isthmus.domain.states import EngagementState
from isthmus.kit.csv_rows import Rejection, require_complete
from isthmus.kit.expense_file import ExpenseFile, read_expense_file
from isthmus.kit.time_file import TimeFile, read_time_file
from isthmus.processes import sweeps
from isthmus.processes.work import expensing, intake
from isthmus.runtime.books import Books
from isthmus.store.records import InboxMessage
from isthmus.store.tx import Tx

Record = TimeEntry | Expense
SHOWN = 5


@dataclass(frozen=True)
class Options:
    """How strict: require_totals refuses a file without control totals, whole one with a bad row."""

    dry_run: bool = False
    require_totals: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of file: how it is read, what its records are called, and how they come in."""

    name: str
    obj: str
    read: Callable[..., Any]
    records: str
    column: str
    day: str
    amount: Callable[[Any], Decimal]
    same: Sequence[str]
    accept: Callable[[Books, str, Any], int]
    arrival: Callable[[str, Any], Any]


FILES: dict[str, Kind] = {
    "file.time": Kind(
        name="time",
        obj="time_entry",
        read=read_time_file,
        records="entries",
        column="source_entry_id",
        day="service_date",
        amount=lambda entry: entry.hours,
        same=intake.SAME_WORK,
        accept=sweeps.accept_time,
        arrival=sweeps.arrival_of,
    ),
    "file.expenses": Kind(
        name="expenses",
        obj="expense",
        read=read_expense_file,
        records="expenses",
        column="source_expense_id",
        day="expense_date",
        amount=lambda expense: expense.gross,
        same=expensing.SAME_SPENDING,
        accept=sweeps.accept_expenses,
        arrival=sweeps.arrival_of_expense,
    ),
}


@dataclass(frozen=True)
class Read:
    """A file that could be read, with the connection it is of and what the gate is asked."""

    file: File
    kind: Kind
    config: ConnectionConfig
    found: TimeFile | ExpenseFile
    said: Said

    @property
    def records(self) -> tuple[Record, ...]:
        taken: tuple[Record, ...] = getattr(self.found, self.kind.records)
        return taken


def read(firm: FirmConfig, file: File, options: Options) -> Read:
    """The rows of a file of a connection. BadInput, with nothing used, when it cannot be trusted as a whole."""
    refuse_nameless(file)
    kind, config = FILES[file.kind], connection_of(firm, file.source)
    found = kind.read(
        file.content, file.name, system=source_of(config), require_totals=options.require_totals, sheet=file.sheet
    )
    if options.whole:
        require_complete(found)
    codes = tuple(sorted({record.project_code for record in getattr(found, kind.records)}))
    return Read(file, kind, config, found, Said(kind.obj, ("*",), codes, lambda books: {}))


def connection_of(firm: FirmConfig, name: str) -> ConnectionConfig:
    """The connection of this name."""
    for config in firm.connections:
        if config.name == name:
            return config
    known = ", ".join(config.name for config in firm.connections) or "none"
    raise NotFound(f"no connection {name}; there are: {known}")


def take(books: Books, taken: Read, options: Options, writer: str = "") -> FileTaken:
    """Hold the file to ownership, keep it, and put its good rows in the inbox; with dry_run only say what would be."""
    check_owner(books.kernel.gate, books.tx, writer or taken.config.writes_as, taken.said)
    ids = [taken.kind.arrival(taken.file.source, record).message_id for record in taken.records]
    deciding = to_decide(books.tx, taken)
    if options.dry_run:
        new = len(set(ids)) - len(_known(books.tx, taken.file.source, ids))
    else:
        new = taken.kind.accept(books, taken.file.source, sorted(taken.records, key=lambda record: f"{record.key}:"))
        keep(books, taken.file, problems_of(taken.found.rejected))
    report = FileTaken(
        kind=taken.kind.name,
        name=taken.file.name,
        sha256=taken.found.sha256,
        dry_run=options.dry_run,
        controlled=taken.found.controlled,
        rows=taken.found.count,
        balance=balance_of(
            taken.found.sent,
            [taken.kind.amount(record) for record in taken.records],
            taken.found.repeated,
            taken.found.rejected,
        ),
        accepted=new,
        duplicates=len(taken.records) - new,
        repeated_lines=list(taken.found.repeated),
        rejected=refusals(taken.found.rejected),
        to_decide=deciding,
        message_id=taken.file.message_id,
        message_ids=ids,
    )
    if not options.dry_run:
        after = {
            "accepted": new,
            "rejected": len(report.rejected),
            "rows": report.rows,
            "connection": taken.config.name,
        }
        books.audit(taken.file.kind, f"file:{report.sha256[:24]}", reason=taken.file.name, after=after)
    return report


def _known(tx: Tx, source: str, ids: Sequence[str]) -> set[str]:
    found = tx.find(InboxMessage, source=source, message_id=tuple(sorted(set(ids)))) if ids else []
    return {message.message_id for message in found}


def problems_of(rejected: Sequence[Rejection]) -> str:
    """The first refusals in words; empty when there are none."""
    if not rejected:
        return ""
    lines = len({rejection.line for rejection in rejected})
    more = f"; and {len(rejected) - SHOWN} more" if len(rejected) > SHOWN else ""
    told = "; ".join(str(rejection) for rejection in rejected[:SHOWN])
    return f"{lines} rows are not taken: {told}{more}"


def to_decide(tx: Tx, taken: Read) -> list[Refusal]:
    """Rows that will wait for a person, as far as the door can tell: nobody has to find out in the inbox."""
    codes = tuple(sorted({record.project_code for record in taken.records}))
    known = {e.project_code: e for e in tx.find(Engagement, project_code=codes)} if codes else {}
    twins = _twins(tx, taken, codes)
    found = refusals(taken.found.suspects, "EX-DUP-SUSPECT")
    suspected = {one.line for one in found}
    for line, record in zip(taken.found.lines, taken.records, strict=True):
        engagement = known.get(record.project_code)
        if engagement is None:
            reason, case = "is a project that is not known", "EX-UNKNOWN-PROJECT"
        elif engagement.state is not EngagementState.ACTIVE:
            reason, case = f"is a project of an engagement that is {engagement.state}, not active", "EX-NOT-READY"
        elif record.key in twins and line not in suspected:
            reason = f"has the content of {twins[record.key]}, which is known already"
            found.append(_refusal(line, taken.kind.column, record.source_id, reason, "EX-DUP-SUSPECT"))
            continue
        else:
            continue
        found.append(_refusal(line, "project_code", record.project_code, reason, case))
    return sorted(found, key=lambda one: (one.line, one.column))


def _refusal(line: int, column: str, value: str, reason: str, case: str) -> Refusal:
    return Refusal(line=line, column=column, value=value, reason=reason, case=case)


def _twins(tx: Tx, taken: Read, codes: tuple[str, ...]) -> dict[str, str]:
    """Records whose content the hub has under another id: by key, the other's key."""
    days = tuple(sorted({getattr(record, taken.kind.day) for record in taken.records}))
    if not days:
        return {}
    model: Any = TimeEntry if taken.kind.obj == "time_entry" else Expense
    where: dict[str, Any] = {"project_code": codes, taken.kind.day: days}
    held: dict[tuple[Any, ...], str] = {}
    known = set()
    for one in tx.find(model, **where, order=("revision",)):
        held[tuple(getattr(one, name) for name in taken.kind.same)] = one.key
        known.add(one.key)
    return {
        record.key: held[content]
        for record in taken.records
        if record.key not in known and (content := tuple(getattr(record, n) for n in taken.kind.same)) in held
    }


def refused(books: Books, file: File, wrong: BadInput) -> None:
    """Nothing of the file is used, and it is kept with the reason."""
    keep(books, file, wrong.message)
