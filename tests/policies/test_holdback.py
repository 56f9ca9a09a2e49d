"""What the client keeps back of each invoice, what it is taxed on, and what is released in the end."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import LedgerEntry
from isthmus.domain.terms import Holdback
from isthmus.policies.fixed import to_bill
from isthmus.policies.holdback import held_of, hold_back, is_due, release
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)
TEN = Holdback(percent=Decimal(10))


def entry(kind: str, amount: Decimal, line_uid: str = "L1", **changes: Any) -> LedgerEntry:
    """A movement of what is held: withheld is plus, released is minus."""
    facts = {"entry_id": "1", "ledger": "holdback", "contract_no": "C-1", "line_uid": line_uid, "period": "2026-03"}
    facts |= {"kind": kind, "amount": amount, "currency": "EUR", "recorded_at": datetime(2026, 3, 1, tzinfo=UTC)}
    return LedgerEntry.model_validate({**facts, **changes})


# 120,000.00 in milestones of 30, 50 and 20 %, 10 % held and taxed on release, VAT 21 %.
SC_08 = rows("""
| line | gross     | held     | net       | VAT       | total     |
| M1   | 36,000.00 | 3,600.00 | 32,400.00 | 6,804.00  | 39,204.00 |
| D3   | 43,333.33 | 4,333.33 | 39,000.00 | 8,190.00  | 47,190.00 |
| D4   | 16,666.67 | 1,666.67 | 15,000.00 | 3,150.00  | 18,150.00 |
| M3   | 24,000.00 | 2,400.00 | 21,600.00 | 4,536.00  | 26,136.00 |
""")


def test_the_lines_of_sc_08_and_the_release() -> None:
    ledger, net, vat = [], ZERO, ZERO
    for row in SC_08:
        share = hold_back(number(row["gross"]), TEN, "EUR")
        assert (share.held, share.net) == (number(row["held"]), number(row["net"]))
        tax = round_half_away(share.taxable * Decimal("0.21"), "EUR")
        assert (tax, share.net + tax) == (number(row["VAT"]), number(row["total"]))
        ledger.append(entry("withheld", share.held))
        net, vat = net + share.net, vat + tax
    freed = release("L1", held_of(ledger)["L1"], TEN, "EUR")
    freed_tax = round_half_away(freed.taxable * Decimal("0.21"), "EUR")
    assert (freed.net, freed_tax, freed.net + freed_tax) == (
        Decimal("12000.00"),
        Decimal("2520.00"),
        Decimal("14520.00"),
    )
    assert held_of([*ledger, entry("released", -freed.net)])["L1"] == 0
    assert net + freed.net == Decimal("120000.00")
    # 6,000.00 of D4 are conceded in SC-08: its VAT of 1,260.00 goes with them.
    assert vat + freed_tax - Decimal("1260.00") == Decimal("23940.00")


TAXED = rows("""
| taxed      | gross      | percent | currency | held     | net        | taxed now  | taxed at release |
| at_release | 36,000.00  | 10      | EUR      | 3,600.00 | 32,400.00  | 32,400.00  | 3,600.00         |
| at_invoice | 36,000.00  | 10      | EUR      | 3,600.00 | 32,400.00  | 36,000.00  | 0                |
| at_release | 0.05       | 10      | EUR      | 0.01     | 0.04       | 0.04       | 0.01             |
| at_release | 1,005      | 5       | JPY      | 50       | 955        | 955        | 50               |
| at_release | 100.00     | 2.5     | USD      | 2.50     | 97.50      | 97.50      | 2.50             |
""")


@pytest.mark.parametrize("row", TAXED, ids=lambda row: f"{row['percent']} % of {row['gross']} {row['taxed']}")
def test_tax_falls_once_on_what_is_held(row: dict[str, str]) -> None:
    terms = Holdback.model_validate({"percent": row["percent"], "taxed": row["taxed"]})
    share = hold_back(number(row["gross"]), terms, row["currency"])
    freed = release("L1", share.held, terms, row["currency"])
    found = (share.held, share.net, share.taxable, freed.taxable)
    assert found == tuple(number(row[c]) for c in ("held", "net", "taxed now", "taxed at release"))
    assert share.taxable + freed.taxable == share.gross


DUE = rows("""
| release          | on         | accepted | asked | day        | due |
| final_acceptance | -          | no       | yes   | 2026-12-31 | no  |
| final_acceptance | -          | yes      | no    | 2026-01-01 | yes |
| date             | 2026-06-30 | yes      | yes   | 2026-06-29 | no  |
| date             | 2026-06-30 | no       | no    | 2026-06-30 | yes |
| date             | -          | yes      | yes   | 2026-12-31 | no  |
| manual           | -          | yes      | no    | 2026-12-31 | no  |
| manual           | -          | no       | yes   | 2026-01-01 | yes |
""")


@pytest.mark.parametrize("row", DUE, ids=lambda row: f"{row['release']} {row['day']}")
def test_when_it_is_released(row: dict[str, str]) -> None:
    on = None if row["on"] == "-" else day(row["on"])
    terms = Holdback.model_validate({"percent": "10", "release": row["release"], "release_on": on})
    found = is_due(terms, day(row["day"]), finally_accepted=row["accepted"] == "yes", asked_for=row["asked"] == "yes")
    assert found == (row["due"] == "yes")


@pytest.mark.parametrize("amount", ["0", "-1", "100.01", "0.001"])
def test_no_more_is_released_than_is_held(amount: str) -> None:
    with pytest.raises(BadInput, match=r"cannot be released of 100.00 held"):
        release("L1", Decimal("100.00"), TEN, "EUR", Decimal(amount))


def test_what_is_held_is_known_by_line_and_never_below_nothing() -> None:
    ledger = [entry("withheld", Decimal(5)), entry("withheld", Decimal(7), "L2"), entry("released", Decimal(-5))]
    other = entry("grant", Decimal(99), "L2", ledger="deposit")
    assert held_of([*ledger, other]) == {"L1": ZERO, "L2": Decimal(7)}
    with pytest.raises(BadInput, match="more holdback was released than withheld"):
        held_of([*ledger, entry("released", Decimal("-0.01"))])


@pytest.mark.parametrize("percent", ["-1", "100.5"])
def test_a_holdback_is_a_share(percent: str) -> None:
    with pytest.raises(BadInput, match="from 0 to 100"):
        hold_back(Decimal(1), Holdback(percent=Decimal(percent)), "EUR")


cents = st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100)
percents = st.integers(0, 10000).map(lambda n: Decimal(n) / 100)


@pytest.mark.requirement("INV-13")
@given(st.lists(cents, min_size=1, max_size=6), percents, st.sampled_from(["at_release", "at_invoice"]))
def test_all_that_is_held_is_released_and_taxed(grosses: list[Decimal], percent: Decimal, taxed: Any) -> None:
    terms = Holdback(percent=percent, taxed=taxed)
    shares = [hold_back(gross, terms, "EUR") for gross in grosses]
    held, gross = (sum((getattr(s, name) for s in shares), ZERO) for name in ("held", "gross"))
    assert held == sum((s.gross - s.net for s in shares), ZERO)
    if held <= 0:
        return
    freed = release("L1", held_of([entry("withheld", s.held) for s in shares])["L1"], terms, "EUR")
    assert sum((s.net for s in shares), ZERO) + freed.net == gross
    assert sum((s.taxable for s in shares), ZERO) + freed.taxable == gross


@given(cents, percents)
def test_a_reversal_mirrors_its_line(gross: Decimal, percent: Decimal) -> None:
    terms = Holdback(percent=percent)
    there, back = hold_back(gross, terms, "EUR"), hold_back(-gross, terms, "EUR")
    assert (there.held, there.net) == (-back.held, -back.net)


def test_a_retainage_of_a_tenth_is_the_contract_asset_until_acceptance() -> None:
    """Published case R24: 2,000,000 by cost of 1.6 M, billed at 90 %, 200,000 on acceptance."""
    price, billed, assets = Decimal(2_000_000), ZERO, []
    for cost in (800, 1200, 1600):
        gross = to_bill(price, Decimal(cost * 100) / 1600, billed, currency="USD")
        billed += gross
        assets.append(hold_back(gross, TEN, "USD").held)
    assert [sum(assets[:n], ZERO) for n in (1, 2, 3)] == [Decimal(100_000), Decimal(150_000), Decimal(200_000)]
    assert release("L1", sum(assets, ZERO), TEN, "USD").net == Decimal(200_000)
