"""Who may approve what, up to which amount; and nobody their own work."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import NotPermitted
from isthmus.domain.party import Approval
from isthmus.policies.approvals import approvers, check_matrix, demand_approval, may_approve


def row(action: str, role: str, up_to: str | None = None) -> Approval:
    return Approval.model_validate({"action": action, "role": role, "up_to": up_to})


MATRIX = (
    row("invoice", "billing", "10000"),
    row("invoice", "finance", "100000"),
    row("invoice", "controller"),
    row("write_off", "finance", "5000"),
    row("write_off", "controller", "50000"),
)
WHO = [
    # the case, action, amount, approver, roles, prepared by, may, why
    ("within the limit", "invoice", "10000.00", "bea", ("billing",), ("ana",), True, "billing may approve invoice of 10,000.00"),
    ("a cent above it", "invoice", "10000.01", "bea", ("billing",), ("ana",), False, "it is for controller, finance"),
    ("the next row", "invoice", "10000.01", "finn", ("finance",), ("ana",), True, "finance may approve"),
    ("no limit", "invoice", "9000000", "cleo", ("controller",), ("ana",), True, "controller may approve"),
    ("one of several roles", "invoice", "50000", "finn", ("reader", "billing", "finance"), ("ana",), True, "finance may approve"),
    ("a role of another action", "write_off", "100", "bea", ("billing",), ("ana",), False, "it is for controller, finance"),
    ("above the last row nobody may", "write_off", "50000.01", "cleo", ("controller",), ("ana",), False, "the approval matrix ends at 50,000"),
    ("an action without a row is nobody's", "bad_debt", "1", "cleo", ("controller",), ("ana",), False, "the approval matrix has no row for bad debt"),
    ("a credit counts by its size", "invoice", "-10000.01", "bea", ("billing",), ("ana",), False, "invoice of 10,000.01"),
    ("nobody approves their own", "invoice", "1", "ana", ("controller",), ("ana",), False, "ana has prepared it; another person must approve"),
    ("nor under another spelling", "invoice", "1", " Ana ", ("controller",), ("ana",), False, "another person must approve"),
    ("nor what they had a hand in", "invoice", "1", "ben", ("controller",), ("ana", "ben"), False, "another person must approve"),
    ("no role at all", "invoice", "1", "zoe", (), ("ana",), False, "it is for billing, controller, finance"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "amount", "approver", "roles", "prepared_by", "may", "why"),
    [w[1:] for w in WHO],
    ids=[w[0] for w in WHO],
)
def test_who_may_approve(
    action: str, amount: str, approver: str, roles: tuple[str, ...], prepared_by: tuple[str, ...], may: bool, why: str
) -> None:
    answer, reason = may_approve(
        MATRIX, action, Decimal(amount), approver=approver, roles=roles, prepared_by=prepared_by
    )
    assert answer is may
    assert why in reason
    if may:
        demand_approval(MATRIX, action, Decimal(amount), approver=approver, roles=roles, prepared_by=prepared_by)
        return
    with pytest.raises(NotPermitted) as refused:
        demand_approval(MATRIX, action, Decimal(amount), approver=approver, roles=roles, prepared_by=prepared_by)
    assert refused.value.message == reason


def test_without_a_matrix_anybody_else_may() -> None:
    assert may_approve((), "invoice", Decimal(10**6), approver="bea", roles=(), prepared_by=("ana",))[0]
    assert not may_approve((), "invoice", Decimal(1), approver="ana", roles=("controller",), prepared_by=("ana",))[0]


WRONG = [
    (row("invoice", "billing", "0"), "billing may approve invoice up to 0, which is nothing"),
    (row("bad_debt", "billing", "-1"), "billing may approve bad debt up to -1, which is nothing"),
    (row("invoice", "billing", "20000"), "billing has 2 limits for invoice"),
]


@pytest.mark.parametrize(("more", "problem"), WRONG, ids=[w[1] for w in WRONG])
def test_a_matrix_that_says_two_things_or_nothing(more: Approval, problem: str) -> None:
    assert check_matrix(MATRIX) == []
    assert problem in check_matrix((*MATRIX, more))


limits = st.none() | st.integers(1, 1000).map(str)
matrices = st.lists(
    st.builds(row, st.sampled_from(["invoice", "credit"]), st.sampled_from(["a", "b", "c"]), limits),
    min_size=1,
    max_size=6,
)


@given(matrices, st.integers(-1200, 1200).map(Decimal), st.integers(0, 1200).map(Decimal))
def test_who_may_approve_much_may_approve_less_and_nobody_approves_their_own(
    matrix: list[Approval], amount: Decimal, less: Decimal
) -> None:
    able = set(approvers(matrix, "invoice", amount))
    if less <= abs(amount):
        assert able <= set(approvers(matrix, "invoice", less))
    for role in "abc":
        told = may_approve(matrix, "invoice", amount, approver="bea", roles=(role,), prepared_by=("ana",))
        assert told[0] is (role in able)
        assert not may_approve(matrix, "invoice", amount, approver="ana", roles=(role,), prepared_by=("ana",))[0]
