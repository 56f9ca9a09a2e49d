"""Fixed fees: amounts of milestones, what a change of price does to them, when they bill, and percent complete."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.terms import Milestone
from isthmus.domain.work import MilestoneStatus
from isthmus.policies.fixed import (
    Category,
    OpenWork,
    acceptance,
    check_prerequisites,
    earned_by_category,
    left_to_bill,
    milestone_amounts,
    milestone_lines,
    respread,
    to_bill,
)
from tests.policies.builders import day
from tests.policies.tables import number, rows

DUE = day("2026-09-30")


def milestone(no: int, worth: str, **more: Any) -> Milestone:
    """M1 of 30 % or of 36,000.00."""
    amount = {"percent": worth.removesuffix("%").strip()} if worth.endswith("%") else {"amount": worth.replace(",", "")}
    return Milestone.model_validate({"number": no, "name": f"M{no}", "due": day("2026-06-30"), **amount, **more})


def milestones(*worth: str) -> tuple[Milestone, ...]:
    return tuple(milestone(no, w) for no, w in enumerate(worth, start=1))


def cells(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("/"))


AMOUNTS = rows("""
| price      | currency | milestones              | amounts                             |
| 120,000.00 | EUR      | 30% / 50% / 20%         | 36,000.00 / 60,000.00 / 24,000.00   |
| 100.00     | EUR      | 33.33% / 33.33% / 33.34% | 33.33 / 33.33 / 33.34              |
| 0.05       | EUR      | 50% / 50%               | 0.03 / 0.02                         |
| 100        | JPY      | 12.5% / 12.5% / 75%     | 13 / 13 / 74                        |
| 50,000.00  | USD      | 10,000 / 20,000 / 20,000 | 10,000 / 20,000 / 20,000           |
| 100,000.00 | EUR      | 25% / 40,000 / 35%      | 25,000.00 / 40,000.00 / 35,000.00   |
""")


@pytest.mark.parametrize("row", AMOUNTS, ids=lambda row: f"{row['price']}: {row['milestones']}")
def test_milestones_are_the_price_and_the_last_one_takes_the_rest(row: dict[str, str]) -> None:
    amounts = milestone_amounts(number(row["price"]), milestones(*cells(row["milestones"])), row["currency"])
    assert list(amounts.values()) == [number(amount) for amount in cells(row["amounts"])]
    assert list(amounts) == list(range(1, len(amounts) + 1))


UNEVEN: list[tuple[str, tuple[Milestone, ...], str]] = [
    ("percentages of 99.99", milestones("33.33%", "33.33%", "33.33%"), "add up to 99.9900, the price is 100.00 EUR"),
    ("amounts below the price", milestones("50", "49.99"), "add up to 99.99"),
    ("a number twice", (milestone(1, "50%"), milestone(1, "50%")), "there twice: 1, 1"),
]


@pytest.mark.parametrize(("given_", "message"), [u[1:] for u in UNEVEN], ids=[u[0] for u in UNEVEN])
def test_milestones_that_are_not_the_price_are_refused(given_: tuple[Milestone, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        milestone_amounts(Decimal("100.00"), given_, "EUR")


def test_a_price_too_small_for_its_percentages_is_refused() -> None:
    with pytest.raises(BadInput, match="too small for 6 milestones"):
        milestone_amounts(Decimal("0.03"), milestones(*["18%"] * 5, "10%"), "EUR")


# A change of price from 120,000.00 in milestones of 30 %, 50 % and 20 %; what is billed keeps its amount.
CHANGES = rows("""
| policy       | new price  | billed | after                                            |
| keep_percent | 150,000.00 | -      | 45,000.00 / 75,000.00 / 30,000.00                |
| keep_percent | 150,000.00 | 1      | 36,000.00 / 75,000.00 / 39,000.00                |
| keep_percent | 150,000.00 | 3      | 45,000.00 / 81,000.00 / 24,000.00                |
| keep_percent | 108,000.00 | 1 / 2  | 36,000.00 / 60,000.00 / 12,000.00                |
| keep_percent | 96,000.00  | 1 / 2  | 36,000.00 / 60,000.00 / 0.00                     |
| keep_percent | 150,000.00 | 1 / 2 / 3 | 36,000.00 / 60,000.00 / 24,000.00 / 30,000.00 |
| keep_amounts | 150,000.00 | 1      | 36,000.00 / 60,000.00 / 24,000.00 / 30,000.00    |
| keep_amounts | 120,000.00 | 1      | 36,000.00 / 60,000.00 / 24,000.00                |
""")


@pytest.mark.requirement("INV-23")
@pytest.mark.parametrize("row", CHANGES, ids=lambda row: f"{row['policy']} {row['new price']} {row['billed']}")
def test_a_change_of_price_spreads_what_is_not_billed(row: dict[str, str]) -> None:
    known = milestones("30%", "50%", "20%")
    old = milestone_amounts(Decimal("120000.00"), known, "EUR")
    billed = {int(no): old[int(no)] for no in cells(row["billed"]) if no != "-"}
    change: Any = {"before": Decimal("120000.00"), "price": number(row["new price"]), "billed": billed}
    after = respread(known, **change, currency="EUR", policy=row["policy"], due=DUE)
    assert [m.amount for m in after] == [number(amount) for amount in cells(row["after"])]
    assert milestone_amounts(change["price"], after, "EUR") == {m.number: m.amount for m in after}
    assert all((m.name, m.due) == ("Change of price", DUE) for m in after[3:])


def test_the_percentage_that_was_agreed_is_kept_over_many_changes() -> None:
    spread = milestones("33.33%", "33.33%", "33.34%")
    for before, price in (("1.00", "2.00"), ("2.00", "10000.00")):
        change: Any = {"before": Decimal(before), "price": Decimal(price), "billed": {}}
        spread = respread(spread, **change, currency="EUR", policy="keep_percent", due=DUE)
    assert [m.amount for m in spread] == [Decimal("3333.00"), Decimal("3333.00"), Decimal("3334.00")]


@pytest.mark.parametrize(("policy", "price"), [("keep_percent", "90000.00"), ("keep_amounts", "119999.99")])
def test_a_price_below_what_is_billed_or_kept_is_a_case(policy: Any, price: str) -> None:
    known = milestones("30%", "50%", "20%")
    billed = {1: Decimal("36000.00"), 2: Decimal("60000.00")}
    with pytest.raises(NeedsDecision) as stopped:
        change: Any = {"before": Decimal("120000.00"), "price": Decimal(price), "billed": billed}
        respread(known, **change, currency="EUR", policy=policy, due=DUE)
    case = stopped.value
    missing = Decimal("6000.00") if policy == "keep_percent" else Decimal("0.01")
    assert (case.exception, case.queue, case.money) == ("EX-SCHED", "billing", (missing, "EUR"))
    assert "96000.00 is billed" in case.message


PARTS = (("D3", "43333.33"), ("D4", "16666.67"))


def test_the_parts_of_a_milestone_are_its_lines() -> None:
    split = milestone(2, "60000.00", parts=PARTS)
    assert milestone_lines(split, Decimal("60000.00"), "EUR") == [
        ("D3", Decimal("43333.33")),
        ("D4", Decimal("16666.67")),
    ]
    assert milestone_lines(milestone(1, "30%"), Decimal("36000.00"), "EUR") == [("M1", Decimal("36000.00"))]
    with pytest.raises(BadInput, match="parts of milestone 2 add up to 60000"):
        milestone_lines(split, Decimal("75000.00"), "EUR")


def test_parts_follow_a_change_of_price_in_proportion() -> None:
    known = (milestone(1, "40%"), milestone(2, "60%", parts=(("D3", "40.00"), ("D4", "20.00"))))
    change: Any = {"before": Decimal("100.00"), "price": Decimal("150.01"), "billed": {1: Decimal("40.00")}}
    after = respread(known, **change, currency="EUR", policy="keep_percent", due=DUE)
    assert after[1].amount == Decimal("110.01")
    assert after[1].parts == (("D3", Decimal("73.34")), ("D4", Decimal("36.67")))
    assert after[0].parts == ()


@pytest.mark.parametrize(
    ("amount", "billed", "credited", "left"),
    [("100", "0", "0", "100"), ("100", "100", "0", "0"), ("100", "100", "100", "100"), ("100", "100", "40", "40")],
)
def test_a_milestone_is_billed_once_net_of_credits(amount: str, billed: str, credited: str, left: str) -> None:
    assert left_to_bill(Decimal(amount), Decimal(billed), Decimal(credited)) == Decimal(left)


def status(text: str, at: int) -> MilestoneStatus:
    """'completed by pia' or 'accepted by eve with doc-1 said ina', on a day of June 2026."""
    state, _, rest = text.partition(" by ")
    rest, _, said = rest.partition(" said ")
    by, _, evidence = rest.partition(" with ")
    facts = {"source": "psa", "source_id": "M-2", "number": 2, "state": state, "by": by, "evidence": evidence}
    facts["reported_by"] = said
    return MilestoneStatus.model_validate({**facts, "at": datetime(2026, 6, at, tzinfo=UTC)})


ACCEPTED = rows("""
| must accept        | what is reported                                       | bills | why                                          |
| engagement_manager | -                                                      | no    | nothing is reported                          |
| engagement_manager | in_progress by pia                                     | no    | in progress by pia on 2026-06-01, not accept |
| engagement_manager | completed by pia                                       | no    | completed by pia on 2026-06-01, not accepted by the engagement manager |
| engagement_manager | completed by pia, accepted by eve                      | yes   | accepted by eve on 2026-06-02                |
| engagement_manager | completed by pia, accepted by pia                      | no    | somebody else must accept                    |
| engagement_manager | completed by pia, accepted by Pia                      | no    | somebody else must accept                    |
| engagement_manager | completed by pia, accepted by eve with mail said pia   | no    | as pia says, who completed it: somebody else must say so |
| engagement_manager | completed by pia with log said ina, accepted by eve with mail said ina | yes | accepted by eve              |
| engagement_manager | completed by pia, accepted by eve, rejected by eve     | no    | rejected by eve on 2026-06-03                |
| engagement_manager | completed by pia, rejected by eve, in_progress by pia, completed by pia, accepted by eve | yes | 2026-06-05 |
| client             | completed by pia, accepted by eve                      | no    | without evidence of the client's acceptance  |
| client             | completed by pia, accepted by carl with letter.pdf     | yes   | accepted by carl                             |
| engagement_manager | accepted by eve                                        | yes   | accepted by eve                              |
""")  # noqa: E501


@pytest.mark.requirement("INV-23")
@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row["what is reported"])
def test_a_milestone_bills_only_when_it_is_accepted(row: dict[str, str]) -> None:
    words = [w.strip() for w in row["what is reported"].split(",") if w.strip() != "-"]
    told = [status(text, at) for at, text in enumerate(words, start=1)]
    found = acceptance(milestone(2, "50%", accepted_by=row["must accept"]), [*reversed(told)])
    assert found.billable == (row["bills"] == "yes")
    assert row["why"] in found.why


def test_another_milestones_acceptance_does_not_count() -> None:
    assert not acceptance(milestone(1, "30%"), [status("accepted by eve", 1)]).billable


def open_work(key: str, task: str) -> OpenWork:
    return OpenWork(key, task, "ada", day("2026-06-10"), Decimal("7.50"))


def test_unapproved_time_of_its_tasks_stops_a_milestone_and_is_listed() -> None:
    """SC-22: M2 of 150,000.00 is complete while two entries of its tasks are unapproved."""
    m2 = milestone(2, "150000.00", tasks=("T-1", "T-2"))
    waiting = [open_work("psa:E-2", "T-2"), open_work("psa:E-1", "T-1"), open_work("psa:E-3", "T-9")]
    with pytest.raises(NeedsDecision) as stopped:
        check_prerequisites(m2, waiting, Decimal("150000.00"), "USD")
    case = stopped.value
    assert (case.exception, case.queue) == ("EX-MILESTONE-PREREQ", "pmo")
    assert case.money == (Decimal("150000.00"), "USD")
    assert case.context["entries"] == ["psa:E-1", "psa:E-2"]
    assert (
        "waits for 2 unapproved entries" in case.message and "psa:E-1 (ada, 2026-06-10, 7.50 h on T-1)" in case.message
    )
    assert check_prerequisites(m2, waiting[2:], Decimal("150000.00"), "USD") is m2


PROGRESS = rows("""
| price      | currency | complete | billed    | to bill   |
| 100,000.00 | USD      | 15       | 0         | 15,000.00 |
| 100,000.00 | USD      | 40       | 15,000.00 | 25,000.00 |
| 100,000.00 | USD      | 40       | 40,000.00 | 0.00      |
| 100,000.00 | USD      | 100      | 99,999.99 | 0.01      |
| 99.99      | USD      | 33.335   | 0         | 33.33     |
| 1,001      | JPY      | 50       | 0         | 501       |
""")


@pytest.mark.parametrize("row", PROGRESS, ids=lambda row: f"{row['complete']} % of {row['price']}")
def test_what_a_percentage_of_completion_adds(row: dict[str, str]) -> None:
    price, percent, billed = (number(row[c]) for c in ("price", "complete", "billed"))
    assert to_bill(price, percent, billed, currency=row["currency"]) == number(row["to bill"])


def test_less_complete_than_billed_bills_nothing_and_is_the_project_managers() -> None:
    with pytest.raises(NeedsDecision) as stopped:
        to_bill(Decimal("100000"), Decimal("35"), Decimal("40000"), currency="USD", context={"line_uid": "L1"})
    case = stopped.value
    assert (case.exception, case.queue, case.money) == ("EX-PCT-REGRESS", "pmo", (Decimal("5000.00"), "USD"))
    assert case.context["line_uid"] == "L1" and "35 % of 100000 USD is 35000.00, but 40000 is billed" in case.message


@pytest.mark.parametrize("percent", ["-0.01", "100.01"])
def test_progress_is_between_nothing_and_all(percent: str) -> None:
    with pytest.raises(BadInput, match="from 0 to 100"):
        to_bill(Decimal("100"), Decimal(percent), Decimal(0), currency="USD")


def test_a_category_earns_at_most_its_price_and_needs_a_budget() -> None:
    over = Category(Decimal("10000.00"), cost=Decimal("6000"), budget=Decimal("5000"))
    assert earned_by_category([over], "USD") == Decimal("10000.00")
    with pytest.raises(BadInput, match="budget of 0"):
        earned_by_category([Category(Decimal("10.00"), Decimal(0), Decimal(0))], "USD")


cents = st.integers(1, 10**9).map(lambda n: Decimal(n) / 100)


@st.composite
def spreads(draw: st.DrawFn) -> tuple[Milestone, ...]:
    hundredths = draw(st.lists(st.integers(1, 2000), min_size=1, max_size=5))
    return milestones(*(f"{Decimal(n) / 100}%" for n in [*hundredths, 10000 - sum(hundredths)]))


@pytest.mark.requirement("INV-23")
@given(spreads(), cents, cents, st.sets(st.integers(1, 6)), st.sampled_from(["keep_percent", "keep_amounts"]))
def test_milestones_are_the_price_before_and_after_any_change(
    known: tuple[Milestone, ...], before: Decimal, price: Decimal, on_paper: set[int], policy: Any
) -> None:
    try:
        old = milestone_amounts(before, known, "EUR")
    except BadInput as refused:
        assert "too small" in refused.message and before < 1
        return
    assert sum(old.values()) == before
    billed = {no: amount for no, amount in old.items() if no in on_paper}
    try:
        after = respread(known, before=before, price=price, billed=billed, currency="EUR", policy=policy, due=DUE)
    except NeedsDecision as case:
        assert case.exception == "EX-SCHED"
        return
    assert sum(m.amount for m in after) == price
    assert {m.number: m.amount for m in after if m.number in billed} == billed


@given(cents, st.lists(st.integers(0, 10000).map(lambda n: Decimal(n) / 100), min_size=1, max_size=8))
def test_rising_progress_bills_the_whole_price_in_the_end(price: Decimal, reports: list[Decimal]) -> None:
    billed = Decimal(0)
    for percent in [*sorted(reports), Decimal(100)]:
        billed += to_bill(price, percent, billed, currency="EUR")
    assert billed == price
