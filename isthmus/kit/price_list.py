"""Price lists as files: a GSA schedule price list (CSV) becomes hourly prices by labor category.

    prices = require_complete(read_price_list(content, "s70_sample.csv"))
    rates(prices, contract_no="GS-35F-308CA", from_date=date(2019, 7, 1), roles=["Architect II"])

A price is what the customer pays: the column it stands in includes the schedule's own fee (IFF).
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from isthmus.domain.errors import BadInput
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import Rate
from isthmus.kit.csv_rows import (
    Column,
    Header,
    Rejection,
    Row,
    line_list,
    plain_title,
    require_complete,
    rows_of,
    text,
    whole_number,
)

__all__ = [
    "PriceList",
    "PriceRow",
    "Rejection",
    "parse_date",
    "parse_price",
    "rates",
    "read_price_list",
    "require_complete",
]

CURRENCY: Literal["USD"] = "USD"
PIVOT = 69

_PRICE = re.compile(r"\$? ?([0-9]{1,9}|[0-9]{1,3}(?:,[0-9]{3}){1,2})(\.[0-9]{1,12})?")
_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}|[0-9]{2})")
_HEADER_WITHIN = 5
_GUIDANCE_WITHOUT_DIGITS = ("years_min", "price", "contract_no", "valid_from", "valid_to")
_GUIDANCE_IN_WORDS = ("years_min", "price", "contract_no")


@dataclass(frozen=True)
class PriceRow:
    """One price of the list: an hour of a labor category under a contract, in the window [valid_from, valid_to).

    valid_to is the day *after* the end date of the file. The file names the last day on which the price holds; the
    house keeps windows half-open, so that one window can end where the next begins and no day falls in both.
    """

    line: int
    labor_category: str
    unit: Literal["hour"]
    price: Decimal
    currency: Literal["USD"]
    contract_no: str
    vendor: str
    valid_from: date
    valid_to: date
    education: str
    years_min: int | None

    def covers(self, day: date) -> bool:
        """True when the price holds on this day."""
        return self.valid_from <= day < self.valid_to


@dataclass(frozen=True)
class PriceList:
    """Everything a file said. empty is the reason when it has no rows, and empty text when it has some.

    rows_read counts the rows below the header; each is in rows, named by at least one rejection, or (in a workbook) one
    of the lines left_out: rows of the form that nobody has filled in.
    """

    rows: tuple[PriceRow, ...]
    rejected: tuple[Rejection, ...]
    source: str
    sha256: str
    rows_read: int
    empty: str = ""
    left_out: tuple[int, ...] = ()


def parse_price(cell: str) -> Decimal:
    """A price in US dollars: "$1,234.50" or "1234.5". BadInput for anything else, for zero and for part cents."""
    found = _PRICE.fullmatch(cell)
    if not found:
        raise BadInput("is not a price in US dollars; write it like $1,234.50")
    price = Decimal(found[1].replace(",", "") + (found[2] or ""))
    if not is_exact_amount(price, CURRENCY):
        raise BadInput("has part cents; write the price with two decimal places")
    if price == 0:
        # A zero price bills the hours and earns nothing, and no later step would notice.
        raise BadInput("is a price of zero; leave the row out if the category is not sold")
    return price.quantize(Decimal("0.01"))


def parse_date(cell: str) -> date:
    """A date written month/day/year. BadInput otherwise.

    Two-digit years 00 to 68 are 2000 to 2068 and 69 to 99 are 1969 to 1999: the POSIX rule, which spreadsheets and
    C libraries follow within a few years of each other. A fixed pivot reads the same file the same way every year.
    """
    found = _DATE.fullmatch(cell)
    if not found:
        raise BadInput("is not a date; write it as month/day/year, such as 6/24/15")
    month, day, year = (int(part) for part in found.groups())
    if len(found[3]) == 2:
        year += 2000 if year < PIVOT else 1900
    try:
        return date(year, month, day)
    except ValueError:
        raise BadInput("is not a day of the calendar; the order is month/day/year") from None


def _day_after(cell: str) -> date:
    try:
        return parse_date(cell) + timedelta(days=1)
    except OverflowError:
        raise BadInput("is the last day of the calendar; write the real end date") from None


def hourly(cell: str) -> str:
    if plain_title(cell) not in ("hour", "hours", "hourly"):
        raise BadInput("is not priced by the hour; only hourly prices can become rates")
    return "hour"


COLUMNS = (
    Column("labor_category", "SERVICE PROPOSED", lambda cell: " ".join(cell.split())),
    Column("education", "MINIMUM EDUCATION/ CERTIFICATION LEVEL", text, blank=""),
    Column("years_min", "MINIMUM YEARS OF EXPERIENCE", whole_number, blank=None),
    Column("unit", "UNIT OF ISSUE", hourly),
    Column("price", "PRICE OFFERED TO GSA", parse_price),
    Column("contract_no", "CONTRACT NUMBER", text),
    Column("vendor", "VENDOR NAME", text),
    Column("valid_from", "CONTRACT START DATE", parse_date),
    Column("valid_to", "CONTRACT END DATE", _day_after),
)


def read_price_list(content: bytes, source: str) -> PriceList:
    """The price list in a CSV file: good rows whole, bad rows named with line, column and reason.

    Raises BadInput, and takes nothing, when the file is no CSV text or lacks a column.
    """
    header, body = _below_header(rows_of(content, source), source)
    priced: list[tuple[Row, PriceRow]] = []
    rejected: list[Rejection] = []
    for row in body:
        found, faults = _price_row(header, row)
        rejected.extend(faults)
        if found:
            priced.append((row, found))
    ambiguous = ambiguous_prices(header, priced)
    lines = {rejection.line for rejection in ambiguous}
    return PriceList(
        rows=tuple(found for row, found in priced if row.line not in lines),
        rejected=tuple(sorted([*rejected, *ambiguous], key=lambda rejection: rejection.line)),
        source=source,
        sha256=hashlib.sha256(content).hexdigest(),
        rows_read=len(body),
        empty="" if body else "the file has a header and no prices below it",
    )


def title_key(title: str) -> str:
    # Titles carry their own explanations: "UNIT OF ISSUE (e.g. Hour, Task, Sq ft)".
    return plain_title(re.sub(r"\([^()]*\)", " ", title)).replace("/ ", "/").replace(" /", "/")


def _below_header(rows: list[Row], source: str) -> tuple[Header, list[Row]]:
    wanted = {title_key(column.title) for column in COLUMNS}
    # A list may open with a line of prose above its titles; the row with most of our titles is the header, and if it
    # lacks one, that row is what the error shows.
    places = range(min(_HEADER_WITHIN, len(rows)))
    place = max(places, key=lambda i: (len(wanted & {title_key(cell) for cell in rows[i].cells}), -i))
    header = Header.match(rows[place], COLUMNS, source, key=title_key)
    body = rows[place + 1 :]
    return header, body[1:] if body and _is_guidance(header, body[0]) else body


def _is_guidance(header: Header, row: Row) -> bool:
    """The form's own explanation below the titles ("Whole numbers only. No range.").

    Strict on purpose: a price row that is wrong in many cells must be rejected by name, not taken for guidance.
    """
    without_digits = (header.cell(row, field) for field in _GUIDANCE_WITHOUT_DIGITS)
    in_words = (header.cell(row, field) for field in _GUIDANCE_IN_WORDS)
    return all(cell and not re.search(r"\d", cell) for cell in without_digits) and all(
        len(cell.split()) > 1 for cell in in_words
    )


def _price_row(header: Header, row: Row) -> tuple[PriceRow | None, list[Rejection]]:
    values, rejected = header.parse(row)
    if rejected:
        return None, rejected
    if values["valid_to"] <= values["valid_from"]:
        start = header.cell(row, "valid_from")
        return None, [
            header.reject(row, "valid_to", f"ends before it starts on {start}; two-digit years 69-99 are 19xx")
        ]
    return PriceRow(line=row.line, currency=CURRENCY, **values), []


def ambiguous_prices(header: Header, priced: list[tuple[Row, PriceRow]]) -> list[Rejection]:
    """Rejections of rows that give one contract, category and window different prices: nobody can say which holds."""
    groups: dict[tuple[str, str, date, date], list[tuple[Row, PriceRow]]] = defaultdict(list)
    for row, found in priced:
        category = found.labor_category.casefold()
        groups[found.contract_no.casefold(), category, found.valid_from, found.valid_to].append((row, found))
    rejected: list[Rejection] = []
    for group in groups.values():
        if len({found.price for _, found in group}) == 1:
            continue
        named = line_list([row.line for row, _ in group])
        reason = f"is ambiguous: {named} give the same contract, category and window different prices"
        rejected.extend(header.reject(row, "price", reason) for row, _ in group)
    return rejected


def rates(
    prices: PriceList,
    contract_no: str | None = None,
    *,
    from_date: date,
    roles: Iterable[str] | Mapping[str, str],
    adopt: bool = False,
) -> tuple[Rate, ...]:
    """Canonical rates from from_date on, one per role, in the order asked for.

    roles: labor categories to take under their own names, or a mapping of our role name to labor category.
    A rate ends with the window of the list. adopt=True is for a firm that takes the prices over into a contract of its
    own: the rate then has no end, and from_date may lie outside the window of the list.
    Raises BadInput when a role has no price on from_date, or more than one.
    """
    wanted = dict(roles.items()) if isinstance(roles, Mapping) else {role: role for role in roles}
    taken = []
    for role, category in wanted.items():
        found = _the_price(prices, category, contract_no, from_date, adopt)
        ends = None if adopt else found.valid_to
        taken.append(Rate(role=role, bill_rate=found.price, effective_from=from_date, effective_to=ends))
    return tuple(taken)


def _the_price(prices: PriceList, category: str, contract_no: str | None, day: date, adopt: bool) -> PriceRow:
    rows = [row for row in prices.rows if contract_no is None or row.contract_no.casefold() == contract_no.casefold()]
    named = [row for row in rows if row.labor_category.casefold() == " ".join(category.split()).casefold()]
    under = f" under contract {contract_no}" if contract_no else ""
    if not named:
        known = ", ".join(sorted({row.labor_category for row in rows})) or "none"
        raise BadInput(f"{prices.source}: no labor category {category!r}{under}; known: {known}")
    valid = [row for row in named if row.covers(day)] or (named if adopt else [])
    if not valid:
        windows = ", ".join(sorted({f"{row.valid_from} until before {row.valid_to}" for row in named}))
        raise BadInput(f"{prices.source}: no price for {category!r}{under} on {day}; the list holds {windows}")
    if len({row.price for row in valid}) > 1:
        lines = line_list([row.line for row in valid])
        raise BadInput(f"{prices.source}: several prices for {category!r}{under} on {day}: {lines}; name the contract")
    # The same price more than once is no contradiction; the window that lasts longest is the one that is promised.
    return max(valid, key=lambda row: row.valid_to)
