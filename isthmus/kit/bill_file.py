"""The file of subcontractors' bills, CSV or XLSX: a row for each line of a bill, which is taken whole or not at all.

A last line ``#TOTAL,<rows>,<amount>`` states what was sent; when it disagrees, nothing of the file is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.domain.money import QUANTITY_EXPONENT, is_exact_amount
from isthmus.domain.subcontracting import BillLine
from isthmus.kit.cells import currency_code, iso_day
from isthmus.kit.control_totals import controlled
from isthmus.kit.csv_rows import Column, Header, Rejection, Row, line_list, number, text
from isthmus.kit.sheet_rows import rows_of_file


@dataclass(frozen=True)
class ReadBill:
    """A bill whose rows can all be read. at: the lines of the file they stand on."""

    bill_no: str
    supplier: str
    subcontract_no: str
    currency: str
    billed_on: date
    lines: tuple[BillLine, ...]
    at: tuple[int, ...]


@dataclass(frozen=True)
class BillFile:
    """What a file of bills said. count and amount are of all rows as sent, rejected ones too; sent: of every line.

    Every row belongs to one of bills, or is named by a rejection. header and rows: to name a cell of a bill that is
    refused later, when it is held against what is agreed.
    """

    bills: tuple[ReadBill, ...]
    rejected: tuple[Rejection, ...]
    count: int
    amount: Decimal
    source: str
    sha256: str
    controlled: bool
    header: Header
    rows: dict[int, Row]
    sent: dict[int, Decimal] = field(default_factory=dict)

    def refused(self, bill: ReadBill, column: str, reason: str) -> list[Rejection]:
        """A rejection for every row of a bill, at this field."""
        return [self.header.reject(self.rows[line], column, reason) for line in bill.at]


def _hours(cell: str) -> Decimal:
    found = number(cell)
    if found == 0:
        raise BadInput("is nothing; leave the row out")
    if found != found.quantize(QUANTITY_EXPONENT):
        raise BadInput("has more than four decimals")
    return found


COLUMNS = (
    Column("bill_no", "bill_no", text),
    Column("supplier", "supplier", text),
    Column("subcontract_no", "subcontract_no", text),
    Column("billed_on", "bill_date", iso_day),
    Column("currency", "currency", currency_code),
    Column("person", "person", text),
    Column("start", "from", iso_day),
    Column("end", "to", iso_day),
    Column("hours", "hours", _hours),
    Column("amount", "amount", number),
)
OF_THE_BILL = ("subcontract_no", "billed_on", "currency")


def read_bill_file(content: bytes, source: str, *, require_totals: bool = False, sheet: str = "") -> BillFile:
    """The bills of a file; bad rows named with line, column and reason, and with them the other rows of their bill.

    Raises BadInput, and takes nothing, when the file cannot be trusted as a whole; see read_time_file.
    """
    first, *rest = rows_of_file(content, source, sheet)
    header = Header.match(first, COLUMNS, source, known_only=True)
    body = controlled(rest, header, "amount", "amount", source, required=require_totals)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in body.rows:
        groups.setdefault((header.cell(row, "supplier"), header.cell(row, "bill_no")), []).append(row)
    bills: list[ReadBill] = []
    rejected: list[Rejection] = []
    for rows in groups.values():
        bill, refused = _bill(header, rows)
        bills += [bill] if bill is not None else []
        rejected += refused
    return BillFile(
        bills=tuple(bills),
        rejected=tuple(sorted(rejected, key=lambda rejection: rejection.line)),
        count=len(body.rows),
        amount=body.total,
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        controlled=body.controlled,
        header=header,
        rows={row.line: row for row in body.rows},
        sent=body.sent,
    )


def _bill(header: Header, rows: Sequence[Row]) -> tuple[ReadBill | None, list[Rejection]]:
    """The bill of these rows, or what is wrong with it: then none of its rows is taken."""
    read = [_row(header, row) for row in rows]
    rejected = [one for _, refused in read for one in refused] or _contradictions(header, rows, [v for v, _ in read])
    if rejected:
        bad = sorted({one.line for one in rejected})
        reason = f"is of a bill that is taken whole or not at all; see {line_list(bad)}"
        return None, [*rejected, *(header.reject(row, "bill_no", reason) for row in rows if row.line not in bad)]
    facts = read[0][0]
    lines = tuple(BillLine(**{name: v[name] for name in BillLine.model_fields}) for v, _ in read)
    of_bill = {name: facts[name] for name in ("bill_no", "supplier", *OF_THE_BILL)}
    return ReadBill(**of_bill, lines=lines, at=tuple(row.line for row in rows)), []


def _row(header: Header, row: Row) -> tuple[dict[str, Any], list[Rejection]]:
    values, rejected = header.parse(row)
    if not rejected:
        rejected = _misfits(header, row, values)
    return values, rejected


def _misfits(header: Header, row: Row, values: dict[str, Any]) -> list[Rejection]:
    """What cells say together that each may say alone."""
    found = []
    if values["end"] < values["start"]:
        found.append(header.reject(row, "end", f"is before {values['start']}, the first day"))
    if not is_exact_amount(values["amount"], values["currency"]):
        found.append(header.reject(row, "amount", f"has more decimals than {values['currency']} has"))
    if (values["hours"] < 0) != (values["amount"] < 0):
        reason = "and the amount have different signs; a credit has both negative"
        found.append(header.reject(row, "hours", reason))
    return found


def _contradictions(header: Header, rows: Sequence[Row], values: Sequence[dict[str, Any]]) -> list[Rejection]:
    """Rows of one bill that say different things of it, or the same line twice."""
    found = []
    for name in OF_THE_BILL:
        if len({value[name] for value in values}) > 1:
            where = line_list([row.line for row in rows])
            found += [header.reject(row, name, f"is not the same on {where}, which are one bill") for row in rows]
    seen: dict[tuple[Any, ...], int] = {}
    for row, value in zip(rows, values, strict=True):
        place = (value["person"], value["start"], value["end"])
        if place in seen:
            found.append(
                header.reject(row, "person", f"has the same days on line {seen[place]}; make one line of them")
            )
        seen.setdefault(place, row.line)
    return found
