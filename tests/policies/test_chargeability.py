"""What a contract line charges for: class of evidence, role and task must all say yes."""

# Rows of a table are kept on one line each.
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.objects import BillingType, ContractLine
from isthmus.domain.terms import Chargeable, ExpenseTerms
from isthmus.policies.chargeability import chargeable
from tests.policies.builders import line

TRAVEL = ExpenseTerms()


def of(kind: BillingType = BillingType.TM, *, expenses: ExpenseTerms | None = None, **terms: Any) -> ContractLine:
    """Line L1 with these terms of chargeability."""
    return line("L1", kind=kind, chargeable=Chargeable.model_validate(terms), expenses=expenses)


WHAT = [
    # the case, the line, class, role, task, is the task billable, chargeable, why
    ("everything is included unless told", of(), "time", "consultant", "BUILD", True, True, "L1 charges for time, role consultant, task BUILD"),
    ("time without a task", of(), "time", "consultant", "", True, True, "L1 charges for time, role consultant"),
    ("the class is included", of(classes=("time",)), "time", "consultant", "BUILD", True, True, "charges for time"),
    ("the class is not", of(classes=("expense", "fee")), "time", "consultant", "BUILD", True, False, "includes expense, fee, not time"),
    ("the role is included", of(roles=("consultant",)), "time", "consultant", "", True, True, "charges for time"),
    ("the role is not", of(roles=("partner", "architect")), "time", "consultant", "", True, False, "roles architect, partner, not for consultant"),
    ("nobody's role is not either", of(roles=("partner",)), "time", "", "", True, False, "not for (none)"),
    ("the role is excluded", of(not_roles=("trainee",)), "time", "trainee", "", True, False, "does not charge for role trainee"),
    ("another is excluded", of(not_roles=("trainee",)), "time", "consultant", "", True, True, "charges for time"),
    ("excluded wins over included", of(roles=("trainee",), not_roles=("trainee",)), "time", "trainee", "", True, False, "does not charge for role trainee"),
    ("the task is selected", of(tasks=("BUILD",)), "time", "consultant", "BUILD", True, True, "task BUILD"),
    ("the task is not", of(tasks=("BUILD", "TEST")), "time", "consultant", "ADMIN", True, False, "tasks BUILD, TEST, not for ADMIN"),
    ("no task where tasks are selected", of(tasks=("BUILD",)), "time", "consultant", "", True, False, "not for (none)"),
    ("the task itself says no", of(), "time", "consultant", "ADMIN", False, False, "task ADMIN is not billable"),
    ("the task says no though it is selected", of(tasks=("ADMIN",)), "time", "consultant", "ADMIN", False, False, "task ADMIN is not billable"),
    ("two yes and one no are no", of(classes=("time",), roles=("consultant",), tasks=("BUILD",)), "time", "consultant", "TEST", True, False, "not for TEST"),
    ("hours of a retainer use up its quota", of(BillingType.RETAINER), "time", "consultant", "", True, True, "charges for time"),
    ("hours at cost plus", of(BillingType.COST_PLUS), "time", "consultant", "", True, True, "charges for time"),
    ("hours of milestones are cost", of(BillingType.FIXED_MILESTONE), "time", "consultant", "", True, False, "fixed_milestone: its fee is billed, its hours are cost"),
    ("hours of a fixed price are cost", of(BillingType.FIXED_PERCENT), "time", "consultant", "", True, False, "its hours are cost"),
    ("hours of a subscription are cost", of(BillingType.SUBSCRIPTION), "time", "consultant", "", True, False, "its hours are cost"),
    ("hours behind usage are cost", of(BillingType.USAGE), "time", "consultant", "", True, False, "its hours are cost"),
    ("a line nobody pays for", of(BillingType.NON_BILLABLE), "fee", "", "", True, False, "L1 is not billable"),
    ("the fee of a milestone", of(BillingType.FIXED_MILESTONE), "fee", "", "", True, True, "L1 charges for fee"),
    ("a fee asks no task", of(BillingType.FIXED_MILESTONE, tasks=("BUILD",)), "fee", "", "", True, True, "charges for fee"),
    ("expenses with terms", of(expenses=TRAVEL), "expense", "", "BUILD", True, True, "charges for expense, task BUILD"),
    ("expenses of a fixed fee with terms", of(BillingType.FIXED_MILESTONE, expenses=TRAVEL), "expense", "", "", True, True, "charges for expense"),
    ("expenses without terms", of(), "expense", "", "", True, False, "has no terms for expenses"),
    ("an expense has no role to be left out for", of(expenses=TRAVEL, roles=("partner",)), "expense", "", "", True, True, "charges for expense"),
    ("unless it has one", of(expenses=TRAVEL, roles=("partner",)), "expense", "consultant", "", True, False, "not for consultant"),
    ("expenses of a task that is not selected", of(expenses=TRAVEL, tasks=("BUILD",)), "expense", "", "ADMIN", True, False, "not for ADMIN"),
    ("material", of(classes=("material",)), "material", "", "", True, True, "charges for material"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "evidence_class", "role", "task", "billable", "expected", "why"),
    [row[1:] for row in WHAT],
    ids=[row[0] for row in WHAT],
)
def test_what_is_chargeable(
    terms: ContractLine, evidence_class: Any, role: str, task: str, billable: bool, expected: bool, why: str
) -> None:
    answer, reason = chargeable(terms, evidence_class=evidence_class, role=role, task_code=task, task_billable=billable)
    assert answer is expected
    assert why in reason


some = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple)


@given(some, some, st.sampled_from("abcd"), st.sampled_from("abcd"), st.booleans())
def test_it_is_the_conjunction_and_nothing_else(
    roles: tuple[str, ...], tasks: tuple[str, ...], role: str, task: str, billable: bool
) -> None:
    answer, reason = chargeable(
        of(roles=roles, tasks=tasks), evidence_class="time", role=role, task_code=task, task_billable=billable
    )
    assert answer is ((not roles or role in roles) and (not tasks or task in tasks) and billable)
    assert reason
