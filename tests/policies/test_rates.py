"""Which price an hour has, as pricing would tabulate it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Rate
from isthmus.policies.rates import resolve_rate, version_in_force
from tests.policies.builders import contract, day, line, rate

CARD = (
    rate("consultant", "185.00", until="2026-04-01"),
    rate("consultant", "195.00", since="2026-04-01"),
    rate("partner", "400.00"),
    rate("", "210.00", person="ada"),
    rate("architect", "260.00", person="ada"),
    rate("architect", "240.00"),
    rate("analyst", "120.00", until="2026-03-01"),
    rate("analyst", "130.00", since="2026-03-15"),
    rate("tester", "90.00"),
    rate("tester", "95.00"),
)
PRICES = [
    ("the role's rate", "bob", "consultant", "2026-03-09", "185.00"),
    ("the last day of a window", "bob", "consultant", "2026-03-31", "185.00"),
    ("the first day of the next window: the end is not included", "bob", "consultant", "2026-04-01", "195.00"),
    ("another role, another price", "bob", "partner", "2026-03-09", "400.00"),
    ("person beats role", "ada", "consultant", "2026-03-09", "210.00"),
    ("person and role beat person", "ada", "architect", "2026-03-09", "260.00"),
    ("a person's rate is nobody else's", "bob", "architect", "2026-03-09", "240.00"),
    ("a person's rate without role holds for a role nobody priced", "ada", "driver", "2026-03-09", "210.00"),
    ("a role nobody priced", "bob", "driver", "2026-03-09", "EX-RATE-MISSING"),
    ("a gap between two windows", "bob", "analyst", "2026-03-10", "EX-RATE-MISSING"),
    ("before any rate", "bob", "partner", "2025-12-31", "EX-RATE-MISSING"),
    ("two equal rates on one day", "bob", "tester", "2026-03-09", "EX-RATE-AMBIGUOUS"),
]


@pytest.mark.parametrize(("person", "role", "on", "price"), [p[1:] for p in PRICES], ids=[p[0] for p in PRICES])
def test_the_rate_of_an_hour(person: str, role: str, on: str, price: str) -> None:
    work = line("L1", *CARD)
    version = contract(work)
    if price.startswith("EX-"):
        with pytest.raises(NeedsDecision, match=f"role {role}, {on}") as stopped:
            resolve_rate(version, work, person=person, role=role, service_date=day(on))
        assert (stopped.value.exception, stopped.value.queue) == (price, "pricing")
        return
    found, trace = resolve_rate(version, work, person=person, role=role, service_date=day(on))
    assert found == Decimal(price)
    assert trace["rate"] == price and trace["policy"] == "rates/1" and trace["contract_version"] == "C-1@1"


def test_the_trace_says_which_of_how_many_rates_won_and_why() -> None:
    work = line("L1", *CARD)
    _, trace = resolve_rate(contract(work), work, person="ada", role="architect", service_date=day("2026-03-09"))
    assert trace["candidates"] == 3
    assert trace["winner"] == {"role": "architect", "person": "ada", "from": "2026-01-01"}
    assert trace["reason"] == "most dimensions matched" and trace["line_uid"] == "L1"


def test_the_order_of_the_card_never_decides() -> None:
    work = line("L1", *reversed(CARD))
    found, _ = resolve_rate(contract(work), work, person="ada", role="consultant", service_date=day("2026-03-09"))
    assert found == Decimal("210.00")
    with pytest.raises(NeedsDecision, match=r"95.00, 90.00"):
        resolve_rate(contract(work), work, person="bob", role="tester", service_date=day("2026-03-09"))


def test_an_ambiguous_rate_offers_the_rates_and_takes_none() -> None:
    work = line("L1", *CARD)
    with pytest.raises(NeedsDecision) as stopped:
        resolve_rate(contract(work), work, person="bob", role="tester", service_date=day("2026-03-09"))
    assert stopped.value.context == {"rates": ["90.00", "95.00"]}


def test_a_daily_rate_never_prices_an_hour() -> None:
    work = line("L1", rate("consultant", "1480.00", unit="day"))
    with pytest.raises(NeedsDecision, match=r"1480.00 .* is per day; time comes in hours") as stopped:
        resolve_rate(contract(work), work, person="bob", role="consultant", service_date=day("2026-03-09"))
    assert stopped.value.exception == "EX-RATE-MISSING"


# -- which version of the contract ----------------------------------------------------------------------------------

V1 = contract(effective_from=day("2026-01-01"), signed_on=day("2025-12-15"))
V2 = contract(version=2, effective_from=day("2026-03-12"), signed_on=day("2026-03-20"))
V3 = contract(version=3, effective_from=day("2026-06-01"), effective_to=day("2026-07-01"), signed_on=day("2026-03-18"))
VERSIONS = [
    ("before the contract", "2025-12-31", "EX-NO-CONTRACT-LINE"),
    ("the day before the amendment takes effect", "2026-03-11", 1),
    ("the day it takes effect, though it was signed later", "2026-03-12", 2),
    ("between effect and signature", "2026-03-15", 2),
    ("after its signature", "2026-03-20", 2),
    ("a later version with an end, though it was signed before", "2026-06-30", 3),
    ("past its end the earlier version holds again", "2026-07-01", 2),
]


@pytest.mark.parametrize(("on", "version"), [v[1:] for v in VERSIONS], ids=[v[0] for v in VERSIONS])
def test_the_version_in_force_goes_by_effective_date_not_by_signature(on: str, version: int | str) -> None:
    for versions in ([V1, V2, V3], [V3, V2, V1]):
        if isinstance(version, int):
            assert version_in_force(versions, day(on)).version == version
            continue
        with pytest.raises(NeedsDecision, match=f"in force on {on}") as stopped:
            version_in_force(versions, day(on))
        assert (stopped.value.exception, stopped.value.queue) == (version, "contract-operations")


def test_no_version_at_all_is_a_case_too() -> None:
    with pytest.raises(NeedsDecision, match="no version"):
        version_in_force([], day("2026-03-09"))


def test_a_mid_week_amendment_prices_each_day_by_its_own_version() -> None:
    """SC-02's week: 24 hours at 200.00 and 16 at 212.50."""
    prices: list[Rate] = [rate("consultant", "200.00"), rate("consultant", "212.50")]
    first = contract(line("L1", prices[0]))
    second = contract(line("L1", prices[1]), version=2, effective_from=day("2026-03-12"), signed_on=day("2026-03-20"))
    week = Decimal(0)
    for number in range(9, 14):
        on = day(f"2026-03-{number:02}")
        version = version_in_force([first, second], on)
        found, _ = resolve_rate(version, version.lines[0], person="ada", role="consultant", service_date=on)
        week += 8 * found
    assert week == Decimal("8200.00")
