"""How amounts are written for people: rates without zeros that say nothing, many pieces of one reason as a sum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isthmus.app.previewing import Left

EACH_MAX = 3


def plain(number: Decimal) -> str:
    """A quantity or a rate as it is agreed: with two decimals or more, without zeros that say nothing."""
    exponent = number.normalize().as_tuple().exponent
    decimals = max(2, -exponent if isinstance(exponent, int) else 2)
    return f"{number.quantize(Decimal(1).scaleb(-decimals)):,}"


def not_billed(left: Iterable[Left]) -> Iterator[str]:
    """What is not billed, in sentences: a few pieces by themselves, many of one reason as a sum."""
    for why, group in groupby(sorted(left, key=lambda part: part.why), key=lambda part: part.why):
        parts = list(group)
        if len(parts) <= EACH_MAX:
            for part in parts:
                yield f"not billed: {part.service_date} {part.net:,} {part.currency}: {why}"
            continue
        total, days = sum((part.net for part in parts), Decimal(0)), [part.service_date for part in parts]
        span = f"{min(days)} to {max(days)}"
        yield f"not billed: {len(parts)} pieces, {span}, {total:,} {parts[0].currency} in all: {why}"
