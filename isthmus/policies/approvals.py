"""Who may approve what, up to which amount: the approval matrix of a legal entity, and nobody their own work.

The matrix is about money actions (invoice, credit, write-off …); whether a person may act at all is ``authority``.
Amounts are net, in the entity's functional currency; a credit counts like an invoice of its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from decimal import Decimal

from isthmus.domain.errors import NotPermitted
from isthmus.domain.names import same_person
from isthmus.domain.party import Approval

POLICY = "approvals/1"


def approvers(matrix: Sequence[Approval], action: str, amount: Decimal) -> list[str]:
    """The roles that may approve the action for this amount; nobody above the last row of the action."""
    return sorted({row.role for row in matrix if row.action == action and _reaches(row, amount)})


def may_approve(
    matrix: Sequence[Approval],
    action: str,
    amount: Decimal,
    *,
    approver: str,
    roles: Collection[str],
    prepared_by: Collection[str],
) -> tuple[bool, str]:
    """Whether this person may approve it, and why (not), in words.

    prepared_by: everybody who had a hand in it. An entity without any matrix leaves it to whoever did not prepare it;
    a matrix without a row for the action leaves it to nobody.
    """
    if any(same_person(approver, person) for person in prepared_by):
        return False, f"{approver} has prepared it; another person must approve"
    if not matrix:
        return True, f"{approver} has not prepared it, and the entity has no approval matrix"
    able = approvers(matrix, action, amount)
    mine = sorted(set(roles).intersection(able))
    if mine:
        return True, f"{', '.join(mine)} may approve {_words(action)} of {abs(amount):,}"
    return False, f"{approver} may not approve {_words(action)} of {abs(amount):,}: {_who(matrix, action, able)}"


def demand_approval(
    matrix: Sequence[Approval],
    action: str,
    amount: Decimal,
    *,
    approver: str,
    roles: Collection[str],
    prepared_by: Collection[str],
) -> str:
    """The reason why this person may approve it; NotPermitted, with who may, when not."""
    may, reason = may_approve(matrix, action, amount, approver=approver, roles=roles, prepared_by=prepared_by)
    if not may:
        raise NotPermitted(reason)
    return reason


def check_matrix(matrix: Sequence[Approval]) -> list[str]:
    """What is wrong with a matrix, in words; that nobody may approve above the last row is not."""
    problems = [
        f"{row.role} may approve {_words(row.action)} up to {row.up_to}, which is nothing"
        for row in matrix
        if row.up_to is not None and row.up_to <= 0
    ]
    twice = Counter((row.action, row.role) for row in matrix)
    problems += [
        f"{role} has {count} limits for {_words(action)}" for (action, role), count in twice.items() if count > 1
    ]
    return problems


def _reaches(row: Approval, amount: Decimal) -> bool:
    return row.up_to is None or abs(amount) <= row.up_to


def _words(action: str) -> str:
    return action.replace("_", " ")


def _who(matrix: Sequence[Approval], action: str, able: Sequence[str]) -> str:
    if able:
        return f"it is for {', '.join(able)}"
    limits = [row.up_to for row in matrix if row.action == action and row.up_to is not None]
    if limits:
        return f"the approval matrix ends at {max(limits):,}"
    return f"the approval matrix has no row for {_words(action)}"
