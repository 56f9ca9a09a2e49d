"""Price proposals as workbooks (the forms of GSA schedules): a sheet of services becomes hourly prices.

The form names no contract and no window: whoever reads it says them. Forms differ in their titles and have the price
twice, with and without the schedule's fee (IFF); the price is the one including it. A form with other titles is read
by naming them.

    read_price_workbook(content, "r10.xlsx", sheet="Service Pricing", contract_no="C-1", vendor="Acme",
                        valid_from=date(2026, 1, 1), valid_to=date(2027, 1, 1))
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import BadInput
from isthmus.kit.cells import price
from isthmus.kit.csv_rows import Column, Header, Rejection, Row, text, whole_number
from isthmus.kit.price_list import CURRENCY, PriceList, PriceRow, ambiguous_prices, hourly, title_key
from isthmus.kit.sheet_rows import rows_of_sheet

HEADER_WITHIN = 20
TITLES = {
    "labor_category": "Service Proposed",
    "education": "Minimum Education/Certification Level",
    "years_min": "Minimum Years of Experience",
    "unit": "Unit of Issue",
    "price": "Price Offered to GSA (including IFF)",
}
_WITH_FEE = re.compile(r"includ\w*\s*iff")


def _key(title: str) -> str:
    """A title without its explanations, save the one that tells the two prices apart."""
    fee = " including iff" if _WITH_FEE.search(title.casefold()) else ""
    return title_key(title.replace("*", "")) + fee


def _price(cell: str) -> Decimal:
    # A price that a formula has worked out has a dozen decimals, where the sheet does not say how many are meant.
    if re.fullmatch(r"[0-9]+\.[0-9]{3,}", cell):
        raise BadInput("has part cents; format the cell as money, so that it shows the price that is meant")
    return price(cell).quantize(Decimal("0.01"))


def _columns(titles: Mapping[str, str]) -> tuple[Column, ...]:
    unknown = sorted(set(titles) - set(TITLES))
    if unknown:
        raise BadInput(f"no column {', '.join(unknown)}; there are: {', '.join(TITLES)}")
    named = {**TITLES, **titles}
    return (
        Column("labor_category", named["labor_category"], lambda cell: " ".join(cell.split())),
        Column("education", named["education"], text, blank=""),
        Column("years_min", named["years_min"], whole_number, blank=None),
        Column("unit", named["unit"], hourly),
        Column("price", named["price"], _price),
    )


def read_price_workbook(
    content: bytes,
    source: str,
    *,
    sheet: str,
    contract_no: str,
    vendor: str,
    valid_from: date,
    valid_to: date,
    titles: Mapping[str, str] | None = None,
) -> PriceList:
    """The hourly prices of a sheet: good rows whole, bad rows named with their row, column and reason.

    valid_from, valid_to: the window [valid_from, valid_to) of the contract the prices belong to. titles: by field of
    ``TITLES``, where the form calls a column otherwise. Rows with neither a service nor a price are lines of the form
    and listed in left_out. Raises BadInput, and takes nothing, when the sheet or a column is not there.
    """
    if valid_to <= valid_from:
        raise BadInput(f"{source}: prices from {valid_from} that end on {valid_to}")
    header, body = _below_header(rows_of_sheet(content, source, sheet), _columns(titles or {}), source)
    priced: list[tuple[Row, PriceRow]] = []
    rejected: list[Rejection] = []
    left_out = [row.line for row in body if _is_unfilled(header, row)]
    for row in (row for row in body if row.line not in left_out):
        values, faults = header.parse(row)
        rejected.extend(faults)
        if not faults:
            found = PriceRow(
                line=row.line,
                currency=CURRENCY,
                contract_no=contract_no,
                vendor=vendor,
                valid_from=valid_from,
                valid_to=valid_to,
                **values,
            )
            priced.append((row, found))
    ambiguous = ambiguous_prices(header, priced)
    lines = {rejection.line for rejection in ambiguous}
    return PriceList(
        rows=tuple(found for row, found in priced if row.line not in lines),
        rejected=tuple(sorted([*rejected, *ambiguous], key=lambda rejection: rejection.line)),
        source=f"{source}, {sheet}",
        sha256=hashlib.sha256(content).hexdigest(),
        rows_read=len(body),
        empty="" if priced or rejected else "the sheet has a header and no prices below it",
        left_out=tuple(left_out),
    )


def _below_header(rows: list[Row], columns: tuple[Column, ...], source: str) -> tuple[Header, list[Row]]:
    """The row with most of the titles is the header: forms begin with pages of prose."""
    wanted = {_key(column.title) for column in columns}
    places = range(min(HEADER_WITHIN, len(rows)))
    place = max(places, key=lambda i: (len(wanted & {_key(cell) for cell in rows[i].cells}), -i))
    return Header.match(rows[place], columns, source, key=_key), rows[place + 1 :]


def _is_unfilled(header: Header, row: Row) -> bool:
    """A line of the form: no service, no unit, and no price or the zero its formula gives."""
    told = [header.cell(row, field) for field in ("labor_category", "unit")]
    cell = header.cell(row, "price")
    return not any(told) and (not cell or not cell.strip("0."))
