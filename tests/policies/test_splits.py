"""Who pays which share: SC-03 to the cent, remainders, reversals, and what no contract may say."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import is_exact_amount, minor_unit
from isthmus.domain.terms import Payer
from isthmus.policies.readiness import check_terms
from isthmus.policies.splits import PayerShare, check_payers, split
from tests.policies.builders import contract, line


def payer(name: str, percent: str, *, rounding: bool = False, po: str = "") -> Payer:
    return Payer(bill_to=name, percent=Decimal(percent), rounding=rounding, po_number=po)


THIRDS = (payer("A", "33.33", rounding=True), payer("B", "33.33"), payer("C", "33.34"))
SC_03 = [
    ("100.00", "33.33", "33.33", "33.34"),
    ("185.55", "61.85", "61.84", "61.86"),
    ("77.77", "25.93", "25.92", "25.92"),
    ("1240.05", "413.32", "413.30", "413.43"),
]


@pytest.mark.requirement("INV-11")
@pytest.mark.parametrize(("net", "a", "b", "c"), SC_03)
def test_sc03_three_payers_and_their_mirror(net: str, a: str, b: str, c: str) -> None:
    expected = [Decimal(a), Decimal(b), Decimal(c)]
    assert [s.net for s in split(Decimal(1), Decimal(net), THIRDS, "USD")] == expected
    assert [s.net for s in split(Decimal(-1), -Decimal(net), THIRDS, "USD")] == [-share for share in expected]


def test_sc03_the_sums_of_each_payer() -> None:
    shares = [split(Decimal(1), Decimal(row[0]), THIRDS, "USD") for row in SC_03]
    sums = [sum(item[n].net for item in shares) for n in range(3)]
    assert sums == [Decimal("534.43"), Decimal("534.39"), Decimal("534.55")]
    assert sum(sums) == Decimal("1603.37")


SHARES = [
    ("nobody is named: the client pays", (), "7.5", "100.00", "USD", [("", "7.5", "100.00")]),
    ("one pays it all", (payer("A", "100"),), "7.5", "100.00", "USD", [("A", "7.5", "100.00")]),
    ("the first takes the cent unless another is named", (payer("A", "50"), payer("B", "50")), "1", "0.01", "USD",
     [("A", "0.5", "0.01"), ("B", "0.5", "0.00")]),
    ("the one who is named takes it", (payer("A", "50"), payer("B", "50", rounding=True)), "1", "0.01", "USD",
     [("A", "0.5", "0.00"), ("B", "0.5", "0.01")]),
    ("hours have remainders too", THIRDS, "0.0001", "1.00", "USD",
     [("A", "0.0001", "0.34"), ("B", "0.0000", "0.33"), ("C", "0.0000", "0.33")]),
    ("yen", THIRDS, "1", "100", "JPY", [("A", "0.3333", "34"), ("B", "0.3333", "33"), ("C", "0.3334", "33")]),
    ("dinar", (payer("A", "50"), payer("B", "50")), "1", "0.001", "KWD", [("A", "0.5", "0.001"), ("B", "0.5", "0.000")]),
    ("a price correction without hours", THIRDS, "0", "-80.00", "USD",
     [("A", "0", "-26.67"), ("B", "0", "-26.66"), ("C", "0", "-26.67")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("payers", "quantity", "net", "currency", "expected"), [s[1:] for s in SHARES], ids=[s[0] for s in SHARES]
)
def test_who_pays_what(
    payers: tuple[Payer, ...], quantity: str, net: str, currency: str, expected: list[tuple[str, str, str]]
) -> None:
    shares = split(Decimal(quantity), Decimal(net), payers, currency)
    assert shares == [PayerShare(name, "", Decimal(hours), Decimal(share)) for name, hours, share in expected]


def test_a_payer_may_pay_on_two_orders() -> None:
    payers = (payer("A", "60", po="PO-1"), payer("A", "40", po="PO-2"))
    assert check_payers(payers) == []
    told = [(s.bill_to, s.po_number, s.net) for s in split(Decimal(1), Decimal("10.00"), payers, "USD")]
    assert told == [("A", "PO-1", Decimal("6.00")), ("A", "PO-2", Decimal("4.00"))]


WRONG = [
    ("a hundredth of a percent is missing", (payer("A", "66.66"), payer("B", "33.33")), ["shares add up to 99.99 %, not to 100 %"]),
    ("a hundredth too much", (payer("A", "66.67"), payer("B", "33.34")), ["shares add up to 100.01 %, not to 100 %"]),
    ("a share of nothing", (payer("A", "100"), payer("B", "0")), ["B has a share of 0 %"]),
    ("less than nothing", (payer("A", "150"), payer("B", "-50")), ["B has a share of -50 %"]),
    ("nobody", (payer("", "100"),), ["share 1 names nobody to bill"]),
    ("the same twice", (payer("A", "50"), payer("A", "50")), ["A is named 2 times"]),
    ("the same twice on one order", (payer("A", "50", po="P"), payer("A", "50", po="P")), ["A on order P is named 2 times"]),
    ("two for the remainder", (payer("A", "50", rounding=True), payer("B", "50", rounding=True)), ["A and B are all to take the remainder; one can"]),
]  # fmt: skip


@pytest.mark.parametrize(("payers", "problems"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_payers_that_cannot_share_are_refused_when_the_contract_is_loaded(
    payers: tuple[Payer, ...], problems: list[str]
) -> None:
    assert check_payers(payers) == problems
    with pytest.raises(BadInput, match="payers"):
        split(Decimal(1), Decimal("100.00"), payers, "USD")
    with pytest.raises(NeedsDecision) as stopped:
        check_terms(contract(line("L1", payers=payers)))
    assert stopped.value.exception == "EX-MAP-TERMS"
    assert stopped.value.context["problems"] == [f"line L1: {problem}" for problem in problems]


# -- laws -----------------------------------------------------------------------------------------------------------


@st.composite
def payers_of_a_line(draw: st.DrawFn) -> list[Payer]:
    """Two to six payers with percentages of two decimals that add up to 100."""
    cuts = sorted(draw(st.lists(st.integers(1, 9999), unique=True, min_size=1, max_size=5)))
    percents = [Decimal(b - a) / 100 for a, b in zip([0, *cuts], [*cuts, 10000], strict=True)]
    taker = draw(st.integers(0, len(percents)))
    return [payer(f"P{n}", str(p), rounding=n == taker) for n, p in enumerate(percents)]


amounts = st.tuples(st.sampled_from(["JPY", "USD", "KWD"]), st.integers(-(10**12), 10**12))


@pytest.mark.requirement("INV-11")
@given(payers_of_a_line(), amounts, st.decimals("-999", "999", places=4))
def test_shares_add_up_and_a_reversal_mirrors_them(
    payers: list[Payer], amount: tuple[str, int], quantity: Decimal
) -> None:
    currency, net = amount[0], amount[1] * minor_unit(amount[0])
    shares = split(quantity, net, payers, currency)
    assert sum(s.net for s in shares) == net and sum(s.quantity for s in shares) == quantity
    assert all(is_exact_amount(s.net, currency) for s in shares)
    mirror = split(-quantity, -net, payers, currency)
    assert [(s.quantity, s.net) for s in mirror] == [(-s.quantity, -s.net) for s in shares]
    taker = next((n for n, p in enumerate(payers) if p.rounding), 0)
    for n, (one, share) in enumerate(zip(payers, shares, strict=True)):
        exact = net * one.percent / 100
        away = abs(share.net - exact)
        assert away < minor_unit(currency) * (len(payers) if n == taker else 1)
        assert n == taker or abs(share.quantity) <= abs(quantity * one.percent / 100)
        assert n == taker or abs(share.net) <= abs(exact), "nobody but the rounding payer pays more than the share"
