"""Rate cards as files: CSV or XLSX rows become the prices of a contract, a client or an entity.

One row is one price: what it applies to (blank matches everything), how much, and from when to when. Two rows that
could both price the same hour are refused by name: an ambiguous rate is never resolved silently. A last line
``#TOTAL,<rows>,<sum of bill rates>`` lets the sender state what was sent.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Rate
from isthmus.domain.terms import RATE_LEVELS
from isthmus.kit.cells import currency_code, iso_day, price, rate
from isthmus.kit.control_totals import TRAILER, controlled
from isthmus.kit.csv_rows import Column, Header, Rejection, Row, line_list, require_complete, text
from isthmus.kit.sheet_rows import rows_of_file

__all__ = ["COLUMNS", "TRAILER", "RateCardFile", "Rejection", "read_rate_card", "require_complete"]

DIMENSIONS = ("person", "role", "grade", "region", "work_type", "location", "task")


@dataclass(frozen=True)
class RateCardFile:
    """What a rate card said. count and total (of the bill rates) are of all rows as sent, rejected ones too.

    Every row is in rates, named by a rejection, or listed in repeated: lines that say again what an earlier one said.
    lines: where each rate stands; sent: the bill rate of every line.
    """

    rates: tuple[Rate, ...]
    rejected: tuple[Rejection, ...]
    count: int
    total: Decimal
    source: str
    sha256: str
    controlled: bool
    repeated: tuple[int, ...] = ()
    lines: tuple[int, ...] = ()
    sent: dict[int, Decimal] = field(default_factory=dict)


def _level(cell: str) -> str:
    if cell not in RATE_LEVELS:
        raise BadInput(f"is no level of a rate; there are: {', '.join(RATE_LEVELS)}")
    return cell


def _unit(cell: str) -> str:
    if cell.casefold() not in ("hour", "day"):
        raise BadInput("is no unit of a rate; there are: hour, day")
    return cell.casefold()


def _day_after(cell: str) -> date:
    day = iso_day(cell)
    if day == date.max:
        raise BadInput("is the last day of the calendar; leave it blank for a price without an end")
    return day + timedelta(days=1)


COLUMNS = (
    Column("role", "role", text, blank=""),
    Column("person", "person", text, blank="", optional=True),
    Column("grade", "grade", text, blank="", optional=True),
    Column("region", "region", text, blank="", optional=True),
    Column("work_type", "work_type", text, blank="", optional=True),
    Column("location", "location", text, blank="", optional=True),
    Column("task", "task", text, blank="", optional=True),
    Column("level", "level", _level, blank="contract", optional=True),
    Column("bill_rate", "bill_rate", price),
    Column("currency", "currency", currency_code),
    Column("unit", "unit", _unit, blank="hour", optional=True),
    Column("floor", "floor", rate, blank=None, optional=True),
    Column("effective_from", "valid_from", iso_day),
    Column("effective_to", "valid_to", _day_after, blank=None),
)


def read_rate_card(
    content: bytes,
    source: str,
    *,
    currency: str = "",
    other_currencies: bool = False,
    scope: Literal["", "client", "entity"] = "",
    require_totals: bool = False,
    sheet: str = "",
) -> RateCardFile:
    """The rates of a file: good rows whole, bad rows named with line, column and reason.

    currency: what the contract is priced in; a row in another one is refused, unless other_currencies says that the
    contract has an exchange policy. scope: of a card that is agreed beside contracts; every row is then of this level,
    and one that says another is refused. valid_to is the last day on which a price holds, as people write it; the rate
    ends on the day after. sheet: which one of a workbook, when it has more. Raises BadInput, and takes nothing, when
    the file is neither CSV text nor a workbook, has a wrong header, or its control totals disagree.
    """
    first, *rest = rows_of_file(content, source, sheet)
    header = Header.match(first, COLUMNS, source, known_only=True)
    body = controlled(rest, header, "bill_rate", "bill rates", source, required=require_totals)
    good: list[tuple[Row, Rate]] = []
    rejected: list[Rejection] = []
    for row in body.rows:
        values, faults = header.parse(row)
        if not faults and scope:
            faults = _put_on_level(header, row, values, scope)
        faults = faults or _misfits(header, row, values, currency, other_currencies)
        rejected.extend(faults)
        if not faults:
            good.append((row, Rate(**values)))
    overlapping, repeated = _overlaps(header, good)
    refused = {rejection.line for rejection in overlapping} | set(repeated)
    return RateCardFile(
        rates=tuple(found for row, found in good if row.line not in refused),
        rejected=tuple(sorted([*rejected, *overlapping], key=lambda rejection: rejection.line)),
        count=len(body.rows),
        total=body.total,
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        controlled=body.controlled,
        repeated=repeated,
        lines=tuple(row.line for row, _ in good if row.line not in refused),
        sent=body.sent,
    )


def _put_on_level(header: Header, row: Row, values: dict[str, Any], scope: str) -> list[Rejection]:
    if header.cell(row, "level") not in ("", scope):
        return [header.reject(row, "level", f"is not {scope}, the level of all rates of this card")]
    values["level"] = scope
    return []


def _misfits(
    header: Header, row: Row, values: dict[str, Any], currency: str, other_currencies: bool
) -> list[Rejection]:
    found = []
    if currency and values["currency"] != currency and not other_currencies:
        found.append(header.reject(row, "currency", f"is not {currency}, which the contract is priced in"))
    if not any(values[name] for name in DIMENSIONS):
        found.append(header.reject(row, "role", "is blank, and so is everything else that says whom the price is for"))
    if values["floor"] is not None and values["floor"] > values["bill_rate"]:
        found.append(header.reject(row, "floor", f"is above the bill rate of {values['bill_rate']}"))
    if values["effective_to"] is not None and values["effective_to"] <= values["effective_from"]:
        found.append(header.reject(row, "effective_to", f"is before {values['effective_from']}, when the price starts"))
    return found


def _overlaps(header: Header, good: Sequence[tuple[Row, Rate]]) -> tuple[list[Rejection], tuple[int, ...]]:
    """Rows that could price the same hour: refused where they differ, listed where they say the same again."""
    groups: dict[tuple[str, ...], list[tuple[Row, Rate]]] = defaultdict(list)
    for row, one in good:
        groups[(one.level, one.unit, one.currency, *(getattr(one, name) for name in DIMENSIONS))].append((row, one))
    rejected: dict[int, Rejection] = {}
    repeated: set[int] = set()
    for group in groups.values():
        known: list[tuple[Row, Rate]] = []
        for row, one in group:
            again = [other for other, same in known if same == one]
            if again:
                repeated.add(row.line)
                continue
            for other, earlier in known:
                if _overlap(one, earlier):
                    lines = line_list([other.line, row.line])
                    since = max(one.effective_from, earlier.effective_from)
                    reason = f"overlaps: {lines} price the same work from {since} on"
                    for refused in (other, row):
                        rejected.setdefault(refused.line, header.reject(refused, "effective_from", reason))
            known.append((row, one))
    return list(rejected.values()), tuple(sorted(repeated))


def _overlap(one: Rate, other: Rate) -> bool:
    return (one.effective_to is None or other.effective_from < one.effective_to) and (
        other.effective_to is None or one.effective_from < other.effective_to
    )
