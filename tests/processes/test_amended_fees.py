"""An amendment changes fees from its first day on: what a month, a milestone or a period has earned before stays so."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import BillingType, ContractLine, Milestone, MilestoneStatus
from isthmus.domain.terms import MinimumCommitment, Retainer, Subscription
from isthmus.store.records import Case
from tests.processes.hub import Hub, contract
from tests.processes.test_new_shares import amend, documents

MARCH = date(2026, 3, 1)
QUOTA = Retainer(quota_hours=Decimal(10), fee=Decimal(1000), overage_rate=Decimal(100), start=MARCH)
ANEW = QUOTA.model_copy(update={"fee": Decimal(7), "start": date(2026, 5, 1)})
FEE = Subscription(amount=Decimal(500), start=MARCH)
LEAST = MinimumCommitment(amount=Decimal(300), start=MARCH)


def line(kind: BillingType, **terms: Any) -> ContractLine:
    facts: dict[str, Any] = {"line_uid": "F", "billing_type": kind, "rates": (), **terms}
    return contract().lines[0].model_copy(update=facts)


def billed_to_april(*lines: ContractLine) -> Hub:
    hub = Hub()
    hub.set_up(contract(lines=lines, caps=()))
    hub.bill("a", "2026-04-30")
    return hub


def amended(hub: Hub, *lines: ContractLine) -> None:
    """From May on; then May is billed."""
    amend(hub, contract(lines=lines, caps=(), version=2, effective_from=date(2026, 5, 1)))
    hub.bill("b", "2026-05-31")
    assert not hub.rows(Case, state="open"), [case.cause for case in hub.rows(Case)]
    assert audit(hub.kernel) == []


@pytest.mark.parametrize(
    ("before", "after", "april", "may"),
    [
        (
            line(BillingType.RETAINER, retainer=QUOTA),
            line(BillingType.RETAINER, retainer=QUOTA.model_copy(update={"fee": Decimal(1200)})),
            "2000.00",
            "1200.00",
        ),
        (
            line(BillingType.RETAINER, retainer=QUOTA),
            line(
                BillingType.RETAINER, retainer=QUOTA.model_copy(update={"fee": Decimal(7), "start": date(2026, 5, 1)})
            ),
            "2000.00",
            "7.00",
        ),
        (
            line(BillingType.SUBSCRIPTION, subscription=FEE),
            line(BillingType.SUBSCRIPTION, subscription=FEE.model_copy(update={"amount": Decimal(650)})),
            "1000.00",
            "650.00",
        ),
        (
            line(BillingType.TM, rates=contract().lines[0].rates, commitment=LEAST),
            line(
                BillingType.TM,
                rates=contract().lines[0].rates,
                commitment=LEAST.model_copy(update={"amount": Decimal(400)}),
            ),
            "600.00",
            "400.00",
        ),
    ],
    ids=["retainer", "retainer that begins anew", "subscription", "minimum"],
)
def test_a_fee_that_rises_in_may_leaves_march_and_april(
    before: ContractLine, after: ContractLine, april: str, may: str
) -> None:
    hub = billed_to_april(before)
    amended(hub, after)
    assert [net for _, _, net in documents(hub)] == sorted([april, may])


SIXTEENTH = date(2026, 3, 16)


@pytest.mark.parametrize(
    ("kind", "term", "anew", "first", "second"),
    [
        (BillingType.SUBSCRIPTION, {"subscription": FEE}, {"amount": Decimal(650)}, "500.00", "727.42"),
        (BillingType.TM, {"commitment": LEAST}, {"amount": Decimal(400)}, "300.00", "451.61"),
    ],
    ids=["subscription", "minimum"],
)
def test_a_fee_that_begins_anew_in_mid_month_is_each_for_its_own_days(
    kind: BillingType, term: dict[str, Any], anew: dict[str, Any], first: str, second: str
) -> None:
    """March is 15 days at 500.00 a month and 16 at 650.00, 241.94 + 335.48, of which 500.00 are billed; April 650.00.

    The least of 300.00 and 400.00 alike: 145.16 + 206.45 - 300.00 + 400.00.
    """
    rates = contract().lines[0].rates if kind is BillingType.TM else ()
    (name,) = term
    before = line(kind, rates=rates, **term)
    after = line(kind, rates=rates, **{name: term[name].model_copy(update={**anew, "start": SIXTEENTH})})
    hub = Hub()
    hub.set_up(contract(lines=(before,), caps=()))
    hub.bill("a", "2026-03-31")
    amend(hub, contract(lines=(after,), caps=(), version=2, effective_from=SIXTEENTH))
    hub.bill("b", "2026-04-30")
    assert sorted(net for _, _, net in documents(hub)) == sorted([first, second])
    assert audit(hub.kernel) == []


def test_a_quota_does_not_begin_anew_within_a_month() -> None:
    hub = billed_to_april(line(BillingType.RETAINER, retainer=QUOTA))
    anew = line(BillingType.RETAINER, retainer=QUOTA.model_copy(update={"start": date(2026, 5, 16)}))
    amend(hub, contract(lines=(anew,), caps=(), version=2, effective_from=date(2026, 5, 16)))
    assert "begins anew on 2026-05-16, within a month that has a quota" in hub.case("EX-MAP-TERMS").cause


@pytest.mark.parametrize(
    ("fee", "billed"),
    [
        (line(BillingType.SUBSCRIPTION, subscription=FEE), "750.00"),
        (line(BillingType.RETAINER, retainer=QUOTA), "1500.00"),
        (line(BillingType.TM, rates=contract().lines[0].rates, commitment=LEAST), "450.00"),
    ],
    ids=["subscription", "retainer", "minimum"],
)
def test_no_fee_outlives_its_contract(fee: ContractLine, billed: str) -> None:
    """The last day is 15 April: March, half of April, and nothing of May."""
    hub = Hub()
    hub.set_up(contract(lines=(fee,), caps=(), effective_to=date(2026, 4, 16)))
    hub.bill("a", "2026-05-31")
    assert [net for _, _, net in documents(hub)] == [billed]
    assert audit(hub.kernel) == []


def test_a_line_that_ends_keeps_what_it_has_earned() -> None:
    hub = billed_to_april(contract().lines[0], line(BillingType.RETAINER, retainer=QUOTA))
    amended(hub, contract().lines[0])
    assert documents(hub) == [("standard", "C-1", "2000.00")]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("keep_percent", ["400.00", "800.00"]), ("keep_amounts", ["400.00", "600.00"])],
)
@pytest.mark.requirement("INV-23")
def test_a_fixed_price_that_rises_leaves_billed_milestones_and_spreads_the_rest(
    policy: str, expected: list[str]
) -> None:
    """1,000.00 in 40 % and 60 %; the first is billed when the price becomes 1,200.00."""
    parts = tuple(
        Milestone(number=n, name=f"Part {n}", percent=Decimal(percent), due=date(2026, 5, 1))
        for n, percent in ((1, "40"), (2, "60"))
    )
    fixed = line(BillingType.FIXED_MILESTONE, price=Decimal(1000), milestones=parts, respread=policy)
    hub = Hub()
    hub.set_up(contract(lines=(fixed,), caps=()))
    accept(hub, 1, 20, 3)
    hub.bill("a", "2026-04-30")
    accept(hub, 2, 20, 5)
    amended(hub, fixed.model_copy(update={"price": Decimal(1200)}))
    assert [net for _, _, net in documents(hub)] == expected


def accept(hub: Hub, number: int, day: int, month: int) -> None:
    at = datetime(2026, month, day, 12, tzinfo=UTC)
    facts = {"source": "psa", "source_id": f"m{number}", "contract_no": "K-1", "line_uid": "F", "number": number}
    with hub.store.transaction() as tx:
        tx.insert(MilestoneStatus(**facts, state="completed", by="pia", at=at))
        tx.insert(MilestoneStatus(**facts, state="accepted", by="emma", at=at.replace(hour=13)))
