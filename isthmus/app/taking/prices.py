"""Price lists on trial, in either form: the CSV of a schedule, or the workbook of a proposal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from isthmus.domain.errors import BadInput
from isthmus.kit.price_list import PriceList, read_price_list
from isthmus.kit.price_workbook import read_price_workbook
from isthmus.kit.sheet_rows import is_workbook


@dataclass(frozen=True)
class Form:
    """What a workbook does not say itself: its sheet, the contract the prices belong to, their window [from, to)."""

    sheet: str = ""
    contract_no: str = ""
    vendor: str = ""
    valid_from: date | None = None
    valid_to: date | None = None


def read_prices(content: bytes, name: str, form: Form) -> PriceList:
    """The prices of a file. BadInput when a workbook lacks what only its reader can say."""
    if not is_workbook(content):
        return read_price_list(content, name)
    missing = [title for title, value in vars(form).items() if not value]
    if form.valid_from is None or form.valid_to is None or missing:
        raise BadInput(f"{name} is a workbook, which names no contract and no window: say {', '.join(missing)}")
    return read_price_workbook(
        content,
        name,
        sheet=form.sheet,
        contract_no=form.contract_no,
        vendor=form.vendor,
        valid_from=form.valid_from,
        valid_to=form.valid_to,
    )
