"""Tables as a controller writes them: columns between bars, amounts with or without thousands commas."""

from __future__ import annotations

from decimal import Decimal


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a table by column title."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    titles, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(cells) == len(titles) for cells in body), "a row has more or fewer cells than titles"
    return [dict(zip(titles, cells, strict=True)) for cells in body]


def number(cell: str) -> Decimal:
    """1,234.50; empty and - are zero."""
    return Decimal(cell.replace(",", "")) if cell not in ("", "-") else Decimal(0)
