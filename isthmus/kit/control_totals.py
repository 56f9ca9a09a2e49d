"""Control totals: a last line ``#TOTAL,<rows>,<sum>`` with which a sender states what was sent.

When it disagrees with what arrived, nothing of the file is used: a file that was cut off between two rows cannot be
told from a short one. The sum is over the rows as sent, bad ones too, in whatever units they are: it proves the file,
it is no amount of money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.kit.csv_rows import REQUIRED, Header, Row, line_list, number, whole_number

TRAILER = "#TOTAL"


@dataclass(frozen=True)
class Controlled:
    """The rows below the header without the trailer, their sum, and whether a trailer was there and agreed.

    sent: what each line was counted with, by line; a cell that is no number counts nothing.
    """

    rows: tuple[Row, ...]
    total: Decimal
    controlled: bool
    sent: dict[int, Decimal]


def controlled(
    rows: Sequence[Row], header: Header, field: str, noun: str, source: str, *, required: bool = False
) -> Controlled:
    """The rows of a file, held to its control totals over one column. noun: what the column holds, in the plural.

    BadInput when the trailer disagrees, is not the last line, or is missing and required.
    """
    body, trailer = _split_trailer(rows, source)
    sent, unreadable = _as_sent(header, body, field)
    total = sum(sent.values(), Decimal(0))
    if trailer:
        _check(trailer, len(body), total, noun, unreadable, source)
    elif required:
        raise BadInput(
            f"{source}: the last line is not {TRAILER},<rows>,<{noun}>; the file may be cut off, send it again"
        )
    return Controlled(tuple(body), total, trailer is not None, sent)


def _split_trailer(rows: Sequence[Row], source: str) -> tuple[list[Row], Row | None]:
    trailers = [i for i, row in enumerate(rows) if row.cells[0].upper() == TRAILER]
    if not trailers:
        return list(rows), None
    if trailers != [len(rows) - 1]:
        # Two files glued together, or rows appended after the sender had counted.
        raise BadInput(f"{source}: line {rows[trailers[0]].line}: {TRAILER} must be the last line, and the only one")
    return list(rows[:-1]), rows[-1]


def _as_sent(header: Header, rows: Sequence[Row], field: str) -> tuple[dict[int, Decimal], list[int]]:
    """All cells that can be read as numbers, good or not, by line, and the lines where they cannot.

    Where a cell may be blank, blank counts nothing.
    """
    may_be_blank = any(column.field == field and column.blank is not REQUIRED for column in header.columns)
    sent, unreadable = {}, []
    for row in rows:
        cell = header.cell(row, field)
        try:
            sent[row.line] = Decimal(0) if may_be_blank and not cell else number(cell)
        except BadInput:
            sent[row.line] = Decimal(0)
            unreadable.append(row.line)
    return sent, unreadable


def _check(trailer: Row, count: int, total: Decimal, noun: str, unreadable: list[int], source: str) -> None:
    stated = [cell for cell in trailer.cells[1:] if cell]
    where = f"{source}: line {trailer.line}: control totals"
    if len(stated) != 2:
        raise BadInput(f"{where}: expected {TRAILER},<rows>,<{noun}> and found {','.join(trailer.cells)[:120]!r}")
    try:
        expected = whole_number(stated[0]), number(stated[1])
    except BadInput as bad:
        raise BadInput(f"{where}: {','.join(stated)[:120]!r} {bad.message}") from None
    if expected != (count, total):
        hint = f"; {noun} cannot be read on {line_list(unreadable)}" if unreadable else ""
        raise BadInput(
            f"{where}: expected {expected[0]} rows and {expected[1]} {noun}, "
            f"found {count} rows and {total} {noun}{hint}; nothing was taken, send the file again"
        )
