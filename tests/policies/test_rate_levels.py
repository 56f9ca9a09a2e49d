"""Which price wins between assignment, project, contract, client and standard cards; currencies, floors, overlaps."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import ContractLine, Rate
from isthmus.domain.terms import RATE_LEVELS, FxPolicy
from isthmus.policies.rates import WEIGHTS, LineRates, Work, check_rates, overlaps, resolve_rate
from isthmus.policies.readiness import check_terms
from tests.policies.builders import contract, day, line, rate

CONTRACT = (
    rate("consultant", "185.00"),
    rate("consultant", "199.00", grade="senior"),
    rate("consultant", "170.00", region="EMEA"),
    rate("consultant", "205.00", grade="senior", region="EMEA"),
    rate("consultant", "150.00", work_type="travel"),
    rate("consultant", "180.00", location="offshore"),
    rate("consultant", "215.00", task="CUTOVER"),
)
CARDS = (
    rate("consultant", "230.00", person="ada", task="BUILD", level="assignment"),
    rate("", "220.00", person="ada", level="person_on_project"),
    rate("architect", "260.00", task="BUILD", level="task_role"),
    rate("architect", "240.00", level="client"),
    rate("driver", "60.00", level="client"),
    rate("driver", "70.00", level="entity"),
    rate("analyst", "130.00", level="entity"),
    rate("", "99.00", person="zoe", level="person_default"),
    rate("tester", "90.00", level="client", until="2026-03-01"),
    rate("tester", "95.00", level="client", since="2026-04-01"),
    rate("tester", "80.00", level="entity"),
    rate("pilot", "300.00", level="client", grade="senior"),
    rate("pilot", "310.00", level="client", person="mia"),
    rate("cook", "0", level="client"),
)
PRICES: list[tuple[str, dict[str, str], str, str]] = [
    # the case, the hour, its price, the reason in the trace
    ("an assignment comes first", {"person": "ada", "task": "BUILD"}, "230.00", "level assignment comes first"),
    ("then the person on the project", {"person": "ada"}, "220.00", "level person_on_project comes first"),
    ("then the task and role", {"role": "architect", "task": "BUILD"}, "260.00", "level task_role comes first"),
    ("then the contract", {}, "185.00", "the only rate that fits"),
    ("then the client's card", {"role": "architect"}, "240.00", "the only rate that fits"),
    ("which comes before the standard card", {"role": "driver"}, "60.00", "level client comes first"),
    ("then the entity's standard card", {"role": "analyst"}, "130.00", "the only rate that fits"),
    ("the person's own default is the last", {"person": "zoe", "role": "smith"}, "99.00", "the only rate that fits"),
    ("a window that is over leaves it to the next level", {"role": "tester"}, "80.00", "the only rate that fits"),
    ("a grade is more than none", {"grade": "senior"}, "199.00", "most dimensions matched"),
    ("a grade nobody priced is the role's", {"grade": "junior"}, "185.00", "the only rate that fits"),
    ("a region", {"region": "EMEA"}, "170.00", "most dimensions matched"),
    ("grade and region", {"grade": "senior", "region": "EMEA"}, "205.00", "most dimensions matched"),
    ("a grade is worth more than region, work type and location", {"grade": "senior", "work_type": "travel", "location": "offshore"}, "199.00", "most dimensions matched"),
    ("a region is worth more than work type and location", {"region": "EMEA", "work_type": "travel", "location": "offshore"}, "170.00", "most dimensions matched"),
    ("a work type is worth more than a location", {"work_type": "travel", "location": "offshore"}, "150.00", "most dimensions matched"),
    ("a location", {"location": "offshore"}, "180.00", "most dimensions matched"),
    ("a task on a card is worth more than all others", {"task": "CUTOVER", "grade": "senior", "region": "EMEA"}, "215.00", "most dimensions matched"),
    ("a person is worth more than a grade", {"person": "mia", "role": "pilot", "grade": "senior"}, "310.00", "most dimensions matched"),
    ("a role nobody priced at any level", {"role": "smith"}, "EX-RATE-MISSING", "no rate for contract C-1@1"),
    ("a price of nothing is no price", {"role": "cook"}, "EX-RATE-MISSING", "is 0; what is free is not chargeable"),
]  # fmt: skip


def ask(work: dict[str, str], terms: ContractLine, cards: tuple[Rate, ...] = (), **version: Any) -> Any:
    hour = {"person": "bob", "role": "consultant", **work}
    return resolve_rate(contract(terms, **version), terms, service_date=day("2026-03-09"), cards=cards, **hour)


@pytest.mark.requirement("OBJ-06")
@pytest.mark.parametrize(("work", "price", "why"), [p[1:] for p in PRICES], ids=[p[0] for p in PRICES])
def test_the_rate_of_an_hour(work: dict[str, str], price: str, why: str) -> None:
    for rates, cards in ((CONTRACT, CARDS), (CONTRACT[::-1], CARDS[::-1])):
        if price.startswith("EX-"):
            with pytest.raises(NeedsDecision, match=why) as stopped:
                ask(work, line("L1", *rates), cards)
            assert (stopped.value.exception, stopped.value.queue) == (price, "pricing")
            continue
        found, trace = ask(work, line("L1", *rates), cards)
        assert (found, trace["reason"], trace["rate"]) == (Decimal(price), why, price)
        assert trace["candidates"] == 1 + len(trace.get("others", []))


def test_two_that_name_as_much_are_ambiguous_whatever_they_name() -> None:
    terms = line(
        "L1", rate("consultant", "185.00"), rate("consultant", "186.00"), rate("consultant", "1.00", grade="x")
    )
    with pytest.raises(NeedsDecision, match=r"2 rates fit equally .* 185.00, 186.00") as stopped:
        ask({}, terms)
    assert stopped.value.exception == "EX-RATE-AMBIGUOUS"


def test_an_earlier_level_decides_though_it_is_ambiguous() -> None:
    cards = (rate("driver", "60.00", level="client"), rate("driver", "61.00", level="client"), CARDS[5])
    with pytest.raises(NeedsDecision, match=r"60.00, 61.00"):
        ask({"role": "driver"}, line("L1"), cards)


def test_the_trace_names_every_candidate_and_why_it_lost() -> None:
    _, trace = ask({"person": "ada", "task": "BUILD", "grade": "senior"}, line("L1", *CONTRACT, fx=None), CARDS)
    assert trace["winner"] == {"role": "consultant", "person": "ada", "task": "BUILD", "from": "2026-01-01"}
    assert (trace["level"], trace["contract_version"], trace["line_uid"]) == ("assignment", "C-1@1", "L1")
    assert trace["others"] == [
        {"level": "contract", "role": "consultant", "person": "", "rate": "185.00 USD", "lost": "a later level"},
        {"level": "contract", "role": "consultant", "person": "", "grade": "senior", "rate": "199.00 USD", "lost": "a later level"},
        {"level": "person_on_project", "role": "", "person": "ada", "rate": "220.00 USD", "lost": "a later level"},
    ]  # fmt: skip
    assert trace["candidates"] == 4


def test_a_trace_belongs_to_who_asked() -> None:
    terms = line("L1")
    book = LineRates(contract(terms), terms)
    first = book.resolve(Work("bob", "consultant"), day("2026-03-09"))[1]
    first["spoiled"] = True
    assert "spoiled" not in book.resolve(Work("bob", "consultant"), day("2026-03-10"))[1]


def test_the_floor_of_the_winner_is_in_the_trace() -> None:
    _, trace = ask({}, line("L1", rate("consultant", "185.00", floor=Decimal("150.00"))))
    assert trace["floor"] == "150.00"
    assert "floor" not in ask({}, line("L1"))[1]


# -- currencies -----------------------------------------------------------------------------------------------------

EUROS = rate("consultant", "170.00", currency="EUR")
ECB = FxPolicy(rate_type="ecb", date_rule="service_date")


def test_a_rate_in_another_currency_is_no_rate_without_an_exchange_policy() -> None:
    with pytest.raises(NeedsDecision, match="there is one in EUR, but the line has no exchange policy"):
        ask({}, line("L1", EUROS))
    found, trace = ask(
        {}, line("L1", rate("consultant", "185.00"), rate("consultant", "170.00", currency="EUR", grade=""))
    )
    assert (found, trace["others"][0]["lost"]) == (Decimal("185.00"), "another currency")
    assert trace["reason"] == "the only rate that fits"


def test_with_a_policy_it_is_returned_as_it_is_with_what_to_convert() -> None:
    found, trace = ask({}, line("L1", EUROS, fx=ECB))
    assert found == Decimal("170.00")
    assert trace["convert"] == {
        "from": "EUR",
        "to": "USD",
        "rate_type": "ecb",
        "date_rule": "service_date",
        "missing_day": "previous_business_day",
    }


def test_the_contracts_own_currency_comes_before_one_to_convert() -> None:
    own = rate("consultant", "185.00", currency="USD")
    found, trace = ask({}, line("L1", EUROS, own, fx=ECB))
    assert (found, trace["reason"]) == (Decimal("185.00"), "in the contract's currency")
    assert trace["others"][0]["lost"] == "would be converted" and "convert" not in trace
    senior = rate("consultant", "200.00", currency="EUR", grade="senior")
    assert ask({"grade": "senior"}, line("L1", own, senior, fx=ECB))[0] == Decimal("200.00"), "naming more comes first"


def test_two_currencies_to_convert_are_ambiguous() -> None:
    with pytest.raises(NeedsDecision, match="2 rates fit equally"):
        ask({}, line("L1", EUROS, rate("consultant", "150.00", currency="GBP"), fx=ECB))


# -- before the contract is set up ----------------------------------------------------------------------------------

PAIRS = [
    ("one window after the other", [("185.00", "2026-01-01", "2026-04-01", {}), ("195.00", "2026-04-01", "", {})], 0),
    ("a day in both", [("185.00", "2026-01-01", "2026-04-02", {}), ("195.00", "2026-04-01", "", {})], 1),
    ("one without an end", [("185.00", "2026-01-01", "", {}), ("195.00", "2026-04-01", "", {})], 1),
    ("the same window", [("185.00", "2026-01-01", "", {}), ("195.00", "2026-01-01", "", {})], 1),
    ("three that all share a day", [("1.00", "2026-01-01", "", {}), ("2.00", "2026-02-01", "", {}), ("3.00", "2026-03-01", "", {})], 3),
    ("a long one over two short ones", [("1.00", "2026-01-01", "2027-01-01", {}), ("2.00", "2026-02-01", "2026-03-01", {}), ("3.00", "2026-03-01", "2026-04-01", {})], 2),
    ("another grade is another rate", [("185.00", "2026-01-01", "", {}), ("195.00", "2026-01-01", "", {"grade": "senior"})], 0),
    ("another level is another rate", [("185.00", "2026-01-01", "", {}), ("195.00", "2026-01-01", "", {"level": "client"})], 0),
    ("another currency is another rate", [("185.00", "2026-01-01", "", {}), ("195.00", "2026-01-01", "", {"currency": "EUR"})], 0),
    ("the contract's currency, named or not", [("185.00", "2026-01-01", "", {}), ("195.00", "2026-01-01", "", {"currency": "USD"})], 1),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "found"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_rates_that_overlap(rows: list[tuple[str, str, str, dict[str, str]]], found: int) -> None:
    rates = [rate("consultant", price, since=since, until=until, **more) for price, since, until, more in rows]
    assert len(overlaps(rates, "USD")) == len(overlaps(rates[::-1], "USD")) == found


WRONG = [
    ("two on one day", [rate("consultant", "185.00"), rate("consultant", "195.00", since="2026-04-01")],
     "line L1: rates 185.00 from 2026-01-01 and 195.00 from 2026-04-01 of role consultant (contract) overlap"),
    ("a window of no day", [rate("consultant", "185.00", until="2026-01-01")],
     "line L1: the rate 185.00 of role consultant (contract) holds on no day: from 2026-01-01 to 2026-01-01"),
    ("a floor above the rate", [rate("", "185.00", floor=Decimal("190.00"))],
     "line L1: the rate 185.00 of everybody (contract) is below its own floor of 190.00"),
    ("a currency without a policy", [EUROS],
     "line L1: the rate 170.00 of role consultant (contract) is in EUR, the contract in USD, without an exchange policy"),
]  # fmt: skip


@pytest.mark.parametrize(("rates", "problem"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_card_that_would_stop_billing_stops_the_contract_first(rates: list[Rate], problem: str) -> None:
    assert check_rates(line("L1", *rates), "USD") == [problem]
    with pytest.raises(NeedsDecision, match="C-1@1") as stopped:
        check_terms(contract(line("L1", *rates)))
    assert stopped.value.context["problems"] == [problem]


def test_a_good_card_has_no_problems() -> None:
    assert check_rates(line("L1", *CONTRACT), "USD") == []
    assert check_rates(line("L1", EUROS, fx=ECB), "USD") == []


# -- laws -----------------------------------------------------------------------------------------------------------

START = day("2026-01-01")
some_rates = st.lists(
    st.builds(
        lambda level, price, since, length, named: Rate(
            level=level,
            bill_rate=Decimal(price),
            effective_from=START + timedelta(since),
            effective_to=START + timedelta(since + length) if length else None,
            **dict.fromkeys(named, "x"),
        ),
        st.sampled_from(RATE_LEVELS[2:6]),
        st.integers(1, 9),
        st.integers(0, 20),
        st.integers(0, 10),
        st.lists(st.sampled_from(["role", "grade", "region"]), unique=True, max_size=3),
    ),
    min_size=1,
    max_size=6,
)


def naive(rates: list[Rate], on: date) -> set[tuple[int, Decimal]]:
    """The best rates by sorting everything, as one would with a pencil."""
    fits = [
        (RATE_LEVELS.index(r.level), -sum(w for n, w in WEIGHTS.items() if getattr(r, n)), i, r.bill_rate)
        for i, r in enumerate(rates)
        if r.effective_from <= on and (r.effective_to is None or on < r.effective_to)
    ]
    return {(i, price) for level, weight, i, price in fits if (level, weight) == min(f[:2] for f in fits)}


@given(
    some_rates.flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))), st.lists(st.integers(0, 35), max_size=5)
)
def test_the_rate_is_what_a_pencil_finds_on_every_day_in_any_order(orders: Any, days: list[int]) -> None:
    rates, shuffled = orders
    terms = line("L1", *shuffled)
    book, work = LineRates(contract(terms), terms), Work("x", "x", "x", "x", "x", "x", "x")
    for offset in days:
        on = START + timedelta(offset)
        best = naive(rates, on)
        if len(best) == 1:
            assert book.resolve(work, on)[0] == next(iter(best))[1]
            continue
        with pytest.raises(NeedsDecision) as stopped:
            book.resolve(work, on)
        assert stopped.value.exception == ("EX-RATE-AMBIGUOUS" if best else "EX-RATE-MISSING")


@given(some_rates)
def test_rates_overlap_exactly_when_some_day_is_ambiguous_between_them(rates: list[Rate]) -> None:
    def alike(one: Rate, other: Rate) -> bool:
        return all(getattr(one, n) == getattr(other, n) for n in ("level", *WEIGHTS))

    days = [START + timedelta(n) for n in range(40)]
    pairs = sum(
        alike(one, other) and any(one.covers(d) and other.covers(d) for d in days)
        for n, one in enumerate(rates)
        for other in rates[n + 1 :]
    )
    assert len(overlaps(rates)) == pairs
