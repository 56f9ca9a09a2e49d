"""The expense file: approved expenses as CSV or XLSX, for when the expense tool's API is not there to be asked.

The same promises as the time file: good rows whole, bad rows named, nothing when ``#TOTAL,<rows>,<gross>`` disagrees.
The control total is the sum of all gross amounts whatever their currencies: it proves the file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.domain.money import can_bill_in, is_exact_amount
from isthmus.domain.objects import Expense
from isthmus.kit.cells import amount, code_of_a_currency, instant, iso_day, price, revision, yes_or_no
from isthmus.kit.control_totals import TRAILER, controlled
from isthmus.kit.csv_rows import Column, Header, Rejection, Row, require_complete, text
from isthmus.kit.repeats import ReadRow, suspects, twice
from isthmus.kit.sheet_rows import rows_of_file

__all__ = ["COLUMNS", "TRAILER", "ExpenseFile", "Rejection", "read_expense_file", "require_complete"]

MEALS = ("breakfast", "lunch", "dinner")
DAYS = ("first", "full", "last")
AMOUNTS = ("gross", "tax", "personal")


@dataclass(frozen=True)
class ExpenseFile:
    """What an expense file said. count and gross are of all rows as sent, rejected ones too.

    Every row is in expenses, named by a rejection, or listed in repeated. suspects: rows in expenses whose content
    stands under another id too. lines: where each expense stands; sent: the gross of every line.
    """

    expenses: tuple[Expense, ...]
    rejected: tuple[Rejection, ...]
    count: int
    gross: Decimal
    source: str
    sha256: str
    controlled: bool
    repeated: tuple[int, ...] = ()
    suspects: tuple[Rejection, ...] = ()
    lines: tuple[int, ...] = ()
    sent: dict[int, Decimal] = field(default_factory=dict)


def _meals(cell: str) -> tuple[str, ...]:
    named = tuple(word.casefold() for word in cell.replace("+", " ").split())
    wrong = [word for word in named if word not in MEALS]
    if wrong:
        raise BadInput(f"names no meal with {wrong[0]!r}; there are: {' '.join(MEALS)}")
    return named


def _day(cell: str) -> str:
    if cell.casefold() not in DAYS:
        raise BadInput(f"is no day of a per diem; there are: {', '.join(DAYS)}")
    return cell.casefold()


def _distance(cell: str) -> Decimal:
    found = amount(cell)
    if found == 0:
        raise BadInput("is a distance of zero; leave it blank")
    return found


NOTHING = Decimal(0)
COLUMNS = (
    Column("source_id", "source_expense_id", text),
    Column("project_code", "project_code", text),
    Column("task_code", "task_code", text, blank="", optional=True),
    Column("person", "person", text),
    Column("category", "category", text),
    Column("expense_date", "expense_date", iso_day),
    Column("gross", "gross", amount, blank=NOTHING),
    Column("currency", "currency", code_of_a_currency),
    Column("tax", "tax", amount, blank=NOTHING),
    Column("tax_recoverable", "tax_recoverable", yes_or_no, blank=False),
    Column("personal", "personal", amount, blank=NOTHING, optional=True),
    Column("card_rate", "card_rate", price, blank=None, optional=True),
    Column("merchant_country", "merchant_country", text, blank="", optional=True),
    Column("receipt_ref", "receipt_ref", text, blank=""),
    Column("receipt_hash", "receipt_hash", text, blank="", optional=True),
    Column("location", "location", text, blank="", optional=True),
    Column("per_diem_day", "per_diem_day", _day, blank="", optional=True),
    Column("meals_provided", "meals_provided", _meals, blank=(), optional=True),
    Column("distance", "distance", _distance, blank=None, optional=True),
    Column("billable", "billable", yes_or_no, blank=True),
    Column("note", "note", text, blank=""),
    Column("approved_by", "approved_by", text),
    Column("approved_at", "approved_at", instant),
    Column("revision", "revision", revision, blank=1, optional=True),
)


def read_expense_file(
    content: bytes, source: str, *, system: str = "", require_totals: bool = False, sheet: str = ""
) -> ExpenseFile:
    """The expenses of a file: good rows whole, bad rows named with line, column and reason.

    source: the name of the file, for messages. system: the tool the expenses belong to, which makes their keys; source
    when left out. sheet: which one of a workbook, when it has more. Raises BadInput, and takes nothing, as
    ``read_time_file`` does.
    """
    first, *rest = rows_of_file(content, source, sheet)
    header = Header.match(first, COLUMNS, source, known_only=True)
    body = controlled(rest, header, "gross", "gross", source, required=require_totals)
    read = [_expense(header, row, system or source) for row in body.rows]
    conflicts, repeated = twice(header, read, "expense")
    refused = {rejection.line for rejection in conflicts} | set(repeated)
    taken = [found for found in read if found.record is not None and found.row.line not in refused]
    own = [rejection for found in read for rejection in found.rejected]
    return ExpenseFile(
        expenses=tuple(found.record for found in taken if found.record is not None),
        rejected=tuple(sorted([*own, *conflicts], key=lambda rejection: rejection.line)),
        count=len(body.rows),
        gross=body.total,
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        controlled=body.controlled,
        repeated=repeated,
        suspects=suspects(header, taken, _content, "expense"),
        lines=tuple(found.row.line for found in taken),
        sent=body.sent,
    )


def _expense(header: Header, row: Row, system: str) -> ReadRow[Expense]:
    values, rejected = header.parse(row)
    if not rejected:
        rejected = _misfits(header, row, values)
    return ReadRow(row, None if rejected else Expense(source=system, **values), tuple(rejected))


def _misfits(header: Header, row: Row, values: dict[str, Any]) -> list[Rejection]:
    """What cells say together that each may say alone."""
    found, currency = [], values["currency"]
    for name in AMOUNTS:
        # The minor unit of a currency that is no more is not known here; the amount is kept as it was written.
        if can_bill_in(currency) and not is_exact_amount(values[name], currency):
            found.append(header.reject(row, name, f"has more decimals than {currency} has"))
    for name in ("tax", "personal"):
        if values[name] > values["gross"]:
            found.append(header.reject(row, name, f"is more than the gross of {values['gross']}"))
    allowance = values["per_diem_day"] or values["distance"] is not None
    if values["per_diem_day"] and values["distance"] is not None:
        found.append(header.reject(row, "distance", "and a per diem are two expenses; send two rows"))
    if values["per_diem_day"] and not values["location"]:
        found.append(header.reject(row, "per_diem_day", "has no location; fill location"))
    if not allowance and values["gross"] == 0 and values["revision"] == 1:
        found.append(header.reject(row, "gross", "is nothing; only a correction (a higher revision) may be"))
    return found


def _content(expense: Expense) -> tuple[object, ...]:
    return (
        expense.person,
        expense.expense_date,
        expense.project_code,
        expense.category,
        expense.gross,
        expense.currency,
        expense.per_diem_day,
        expense.distance,
        expense.note,
    )
