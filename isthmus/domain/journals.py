"""Entries of the general ledger that no invoice carries: accruals, forfeited deposits, charges between entities.

The hub names accounts by what they are for; which account number that is, each ERP's connection says.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from isthmus.domain.base import Canonical
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact, is_exact_amount, minor_units

# What an account is for, in the words of a chart of accounts.
Account = Literal[
    "accrued_revenue",
    "accrued_cost",
    "bad_debt_expense",
    "breakage_revenue",
    "cost_of_services",
    "customer_deposits",
    "intercompany_cost",
    "intercompany_payable",
    "intercompany_receivable",
    "intercompany_revenue",
    "receivables",
    "revenue",
    "subcontractor_payable",
    "tax_payable",
    "vendor_retention",
]
JournalKind = Literal["accrual", "bad_debt", "breakage", "deposit_drawn", "intercompany", "subcontractor"]
ZERO = Decimal(0)


class JournalLine(Canonical):
    """One side of a booking: debit or credit, never both, never below nothing. partner: the other legal entity."""

    account: Account
    debit: Exact = ZERO
    credit: Exact = ZERO
    contract_no: str = ""
    project_code: str = ""
    client_no: str = ""
    partner: str = ""
    text: str = ""

    @model_validator(mode="after")
    def _one_side(self) -> JournalLine:
        if min(self.debit, self.credit) != 0 or max(self.debit, self.credit) <= 0:
            raise BadInput(f"{self.account}: debit {self.debit} and credit {self.credit}; a line has one of them")
        return self


class Journal(Canonical):
    """What is booked in the general ledger of one legal entity on one day; its debits are its credits.

    journal_no: the hub's own, from what it is about, so that it is booked once. booked_as, booked_by: what the ERP
    calls it and who booked it, once it is there: the connection's system, or a person.
    """

    journal_no: str
    entity: str
    kind: JournalKind
    booked_on: date
    currency: str
    lines: tuple[JournalLine, ...]
    memo: str = ""
    recorded_at: datetime
    booked_as: str = ""
    booked_by: str = ""

    @model_validator(mode="after")
    def _balances(self) -> Journal:
        debit, credit = total_of(self.lines), sum((line.credit for line in self.lines), ZERO)
        if debit != credit or not self.lines:
            raise BadInput(f"journal {self.journal_no}: debits are {debit}, credits {credit}")
        for line in self.lines:
            if not is_exact_amount(line.debit + line.credit, self.currency):
                raise BadInput(f"journal {self.journal_no}: {self.currency} has {minor_units(self.currency)} decimals")
        return self

    @property
    def total(self) -> Decimal:
        """What is booked on each side."""
        return total_of(self.lines)


def total_of(lines: Iterable[JournalLine]) -> Decimal:
    """The sum of the debits."""
    return sum((line.debit for line in lines), ZERO)


def booking(
    debit: Account, credit: Account, amount: Decimal, text: str, **about: str
) -> tuple[JournalLine, JournalLine] | tuple[()]:
    """An amount from one account to another; a negative amount is booked the other way round, nothing not at all.

    about: contract_no, project_code, client_no, partner.
    """
    if not amount:
        return ()
    taken, given = (debit, credit) if amount > 0 else (credit, debit)
    return (
        JournalLine(account=taken, debit=abs(amount), text=text, **about),
        JournalLine(account=given, credit=abs(amount), text=text, **about),
    )
