"""The tax within a debt that is given up: how much of it the firm gets back, and from which day on.

Where a supply is not paid for, the law of many places lowers the taxable amount afterwards (Directive 2006/112/EC,
article 90; each member state says when). In the United Kingdom that is six months after the later of the due date and
the supply, for a debt that is written off in the books (VATA 1994 section 36, VAT Notice 700/18). A later payment gives
the relief back. The number of months is the legal entity's; without one there is no relief.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from decimal import Decimal

from isthmus.domain.money import round_half_away
from isthmus.policies.proration import first_day, later, month_of

POLICY = "bad_debts/1"
ZERO = Decimal(0)


def relief_from(due: date, supplied: date, months: int) -> date:
    """The first day on which the tax may be had back: so many months after the later of due date and supply.

    The same day of that month, or its last where it is shorter.
    """
    start = max(due, supplied)
    month = first_day(later(month_of(start), months))
    return month.replace(day=min(start.day, monthrange(month.year, month.month)[1]))


def tax_within(
    amount: Decimal, total: Decimal, tax: Decimal, currency: str, had: tuple[Decimal, Decimal] = (ZERO, ZERO)
) -> Decimal:
    """The tax in an amount that is given up of an invoice: its share of the total's.

    had: amounts given up before, and their tax. Worked out on the sum of both, so that all that is given up, in however
    many steps, has exactly the tax of all of it.
    """
    before, relieved = had
    return round_half_away((before + amount) * tax / total, currency) - relieved
