"""Exchange rates: which one a day has, what it makes of amounts, and what the money brought in the end."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import minor_unit
from isthmus.domain.periods import FxRate
from isthmus.domain.terms import FxPolicy
from isthmus.policies.fx import DAYS_BACK_MAX, REPLACED, FxTable, convert, functional, rate_day, realised
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)


def fx(text: str) -> FxRate:
    """'ecb EUR USD 2026-03-06 1.1600'."""
    rate_type, from_currency, to_currency, on, rate = text.split()
    facts = {"rate_type": rate_type, "from_currency": from_currency, "to_currency": to_currency}
    return FxRate.model_validate({**facts, "day": on, "rate": rate, "source": f"{rate_type} of {on}"})


# Friday 6 March 2026 and Monday 9 March; GBP has no Monday.
TABLE = FxTable(
    [
        fx("ecb EUR USD 2026-03-06 1.1600"),
        fx("ecb EUR USD 2026-03-09 1.1500"),
        fx("ecb EUR GBP 2026-03-06 0.8600"),
        fx("ecb EUR JPY 2026-03-06 175.68"),
        fx("ecb EUR CAD 2026-03-06 1.6000"),
        fx("ecb USD CAD 2026-03-06 1.3500"),
        fx("ecb EUR HRK 2022-12-30 7.5365"),
        fx("ecb EUR BGN 2025-12-31 1.9558"),
        fx("company USD EUR 2026-03-01 0.8500"),
    ]
)

RATES = rows("""
| type    | missing day           | from | to  | day        | rate         | of the day | source                             |
| ecb     | previous_business_day | EUR  | USD | 2026-03-06 | 1.1600       | 2026-03-06 | ecb of 2026-03-06                  |
| ecb     | previous_business_day | EUR  | USD | 2026-03-08 | 1.1600       | 2026-03-06 | ecb of 2026-03-06                  |
| ecb     | previous_business_day | EUR  | USD | 2026-03-09 | 1.1500       | 2026-03-09 | ecb of 2026-03-09                  |
| ecb     | previous_business_day | EUR  | USD | 2026-03-16 | 1.1500       | 2026-03-09 | ecb of 2026-03-09                  |
| ecb     | refuse                | EUR  | USD | 2026-03-06 | 1.1600       | 2026-03-06 | ecb of 2026-03-06                  |
| ecb     | previous_business_day | USD  | EUR | 2026-03-06 | 0.8620689655 | 2026-03-06 | ecb of 2026-03-06, inverted        |
| ecb     | previous_business_day | JPY  | EUR | 2026-03-06 | 0.005692167577 | 2026-03-06 | ecb of 2026-03-06, inverted      |
| ecb     | previous_business_day | USD  | GBP | 2026-03-06 | 0.7413793103 | 2026-03-06 | ecb of 2026-03-06, through EUR     |
| ecb     | previous_business_day | USD  | GBP | 2026-03-09 | 0.7413793103 | 2026-03-06 | ecb of 2026-03-06, through EUR     |
| ecb     | refuse                | USD  | CAD | 2026-03-06 | 1.3500       | 2026-03-06 | ecb of 2026-03-06                  |
| ecb     | refuse                | GBP  | GBP | 2026-03-08 | 1            | 2026-03-08 | same currency                      |
| company | refuse                | USD  | EUR | 2026-03-01 | 0.8500       | 2026-03-01 | company of 2026-03-01              |
| company | refuse                | EUR  | USD | 2026-03-01 | 1.176470588  | 2026-03-01 | company of 2026-03-01, inverted    |
| ecb     | previous_business_day | EUR  | HRK | 2022-12-31 | 7.5365       | 2022-12-30 | ecb of 2022-12-30                  |
""")  # noqa: E501


@pytest.mark.parametrize("row", RATES, ids=lambda row: f"{row['type']} {row['from']} {row['to']} {row['day']}")
def test_the_rate_of_a_pair_on_a_day(row: dict[str, str]) -> None:
    policy = FxPolicy.model_validate({"rate_type": row["type"], "missing_day": row["missing day"]})
    found = TABLE.rate(policy, row["from"], row["to"], day(row["day"]))
    assert (found.rate, found.day, found.source) == (Decimal(row["rate"]), day(row["of the day"]), row["source"])
    assert (found.from_currency, found.to_currency, found.rate_type) == (row["from"], row["to"], row["type"])


UNKNOWN = rows("""
| type    | missing day           | from | to  | day        | words                                    |
| ecb     | refuse                | EUR  | USD | 2026-03-08 | has none on 2026-03-08                   |
| ecb     | refuse                | EUR  | USD | 2026-03-10 | has none on 2026-03-10                   |
| ecb     | previous_business_day | EUR  | USD | 2026-03-17 | on 2026-03-17 or on the 7 days before    |
| ecb     | previous_business_day | EUR  | USD | 2026-03-05 | has none on 2026-03-05                   |
| ecb     | previous_business_day | EUR  | CHF | 2026-03-06 | no ecb rate from EUR to CHF              |
| ecb     | previous_business_day | CHF  | USD | 2026-03-06 | no ecb rate from CHF to USD              |
| company | previous_business_day | USD  | GBP | 2026-03-01 | no company rate from USD to GBP          |
| fixed   | previous_business_day | EUR  | USD | 2026-03-06 | no fixed rate from EUR to USD: the table does not say |
""")


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: f"{row['type']} {row['from']} {row['to']} {row['day']}")
def test_a_rate_nobody_knows_is_a_case_and_never_one(row: dict[str, str]) -> None:
    policy = FxPolicy.model_validate({"rate_type": row["type"], "missing_day": row["missing day"]})
    with pytest.raises(NeedsDecision) as stopped:
        TABLE.rate(policy, row["from"], row["to"], day(row["day"]))
    case = stopped.value
    assert (case.exception, case.queue) == ("EX-FX-RATE", "finance-master-data")
    assert row["words"] in case.message and case.context["day"] == row["day"]


@pytest.mark.parametrize("fixed", ["1.25", "0.5"])
def test_a_rate_that_is_agreed_holds_on_every_day(fixed: str) -> None:
    policy = FxPolicy(rate_type="fixed", fixed_rate=Decimal(fixed))
    found = TABLE.rate(policy, "EUR", "USD", day("2030-01-01"))
    assert (found.rate, found.source) == (Decimal(fixed), "agreed in the contract")


GONE = [
    ("HRK", "2023-01-01", "HRK was replaced by EUR on 2023-01-01 at 7.53450 HRK for 1 EUR: an amount of 2023-01-01"),
    ("BGN", "2026-01-02", "BGN was replaced by EUR on 2026-01-01 at 1.95583"),
    ("ROL", "2020-01-01", "ROL was replaced by RON on 2005-07-01 at 10000"),
]


@pytest.mark.parametrize(("currency", "on", "words"), GONE, ids=[g[0] for g in GONE])
def test_a_currency_that_is_gone_is_refused_with_what_replaced_it(currency: str, on: str, words: str) -> None:
    for pair in ((currency, "USD"), ("EUR", currency), (currency, currency)):
        with pytest.raises(BadInput, match=words):
            TABLE.rate(FxPolicy(), *pair, day(on))


DAYS = rows("""
| rule         | day        |
| service_date | 2026-03-09 |
| expense_date | 2026-03-07 |
| issue_date   | 2026-04-02 |
| month_start  | 2026-03-01 |
""")


@pytest.mark.parametrize("row", DAYS, ids=lambda row: row["rule"])
def test_the_day_whose_rate_applies_is_a_term(row: dict[str, str]) -> None:
    policy = FxPolicy.model_validate({"date_rule": row["rule"]})
    known = {"service_date": day("2026-03-09"), "expense_date": day("2026-03-07"), "issue_date": day("2026-04-02")}
    assert rate_day(policy, **known) == day(row["day"])
    if row["rule"] in ("expense_date", "issue_date"):
        with pytest.raises(BadInput, match="is not known"):
            rate_day(policy, service_date=day("2026-03-09"))


CONVERTED = rows("""
| amount     | from | to  | rate     | gives      |
| 114.00     | EUR  | GBP | 0.8600   | 98.04      |
| 1.005      | EUR  | USD | 1        | 1.01       |
| -1.005     | EUR  | USD | 1        | -1.01      |
| 100.00     | EUR  | JPY | 175.6849 | 17,568     |
| 1,000,000  | JPY  | EUR | 0.005692167577 | 5,692.17 |
| 12.34      | USD  | USD | 1        | 12.34      |
""")


@pytest.mark.parametrize("row", CONVERTED, ids=lambda row: f"{row['amount']} {row['from']} to {row['to']}")
def test_a_conversion_is_rounded_once_in_the_currency_it_ends_in(row: dict[str, str]) -> None:
    assert convert(number(row["amount"]), row["from"], row["to"], Decimal(row["rate"])) == number(row["gives"])


@pytest.mark.parametrize(("pair", "rate"), [(("EUR", "USD"), "0"), (("EUR", "USD"), "-1"), (("EUR", "EUR"), "1.1")])
def test_what_is_no_rate_converts_nothing(pair: tuple[str, str], rate: str) -> None:
    with pytest.raises(BadInput, match="is no rate from EUR"):
        convert(Decimal(1), *pair, Decimal(rate))


DOCUMENTS = rows("""
| total  | parts             | rate   | currency | functional | lines              |
| 100.00 | 33.33 33.33 33.34 | 1.1111 | USD      | 111.11     | 37.03 37.03 37.05  |
| 100.00 | 33.33 33.34 33.33 | 1.1111 | USD      | 111.11     | 37.03 37.05 37.03  |
| 0.03   | 0.01 0.01 0.01    | 0.5    | USD      | 0.02       | 0.00 0.01 0.01     |
| -0.03  | -0.01 -0.01 -0.01 | 0.5    | USD      | -0.02      | -0.00 -0.01 -0.01  |
| 0.00   | 10.00 -10.00      | 1.1    | USD      | 0.00       | 11.00 -11.00       |
""")


@pytest.mark.parametrize("row", DOCUMENTS, ids=lambda row: f"{row['total']} of {row['parts']}")
def test_a_document_in_the_functional_currency_is_its_lines(row: dict[str, str]) -> None:
    parts = {n: number(part) for n, part in enumerate(row["parts"].split(), start=1)}
    whole, lines = functional(number(row["total"]), parts, Decimal(row["rate"]), row["currency"])
    assert (whole, list(lines.values())) == (number(row["functional"]), [number(x) for x in row["lines"].split()])


def test_parts_that_are_not_the_document_are_refused() -> None:
    with pytest.raises(BadInput, match=r"parts of 99.99 are not the total of 100"):
        functional(Decimal(100), {1: Decimal("99.99")}, Decimal(1), "USD")


# An invoice of 1,210.00 EUR, 1,403.60 USD at 1.1600, is settled in parts.
SETTLED = rows("""
| before   | amount   | rate   | settled  | invoiced | gain   |
| 0        | 1,210.00 | 1.1600 | 1,403.60 | 1,403.60 | 0.00   |
| 0        | 1,210.00 | 1.2000 | 1,452.00 | 1,403.60 | 48.40  |
| 0        | 1,210.00 | 1.1000 | 1,331.00 | 1,403.60 | -72.60 |
| 0        | 400.01   | 1.1500 | 460.01   | 464.01   | -4.00  |
| 400.01   | 809.99   | 1.1500 | 931.49   | 939.59   | -8.10  |
""")


@pytest.mark.parametrize("row", SETTLED, ids=lambda row: f"{row['amount']} at {row['rate']}")
def test_what_the_money_brought_against_what_was_invoiced(row: dict[str, str]) -> None:
    invoice: Any = {"total": Decimal("1210.00"), "functional_total": Decimal("1403.60"), "currency": "USD"}
    before, amount, rate = (number(row[c]) for c in ("before", "amount", "rate"))
    found = realised(amount, **invoice, settled_before=before, rate=rate)
    told = tuple(number(row[c]) for c in ("settled", "invoiced", "gain"))
    assert (found.functional_settled, found.functional_invoiced, found.gain) == told


@pytest.mark.parametrize(("before", "amount"), [("0", "1210.01"), ("1210", "0.01"), ("0", "-1")])
def test_no_more_is_settled_than_was_invoiced(before: str, amount: str) -> None:
    invoice: Any = {"total": Decimal("1210.00"), "functional_total": Decimal("1403.60"), "currency": "USD"}
    with pytest.raises(BadInput, match="is no settlement of 1210"):
        realised(Decimal(amount), **invoice, settled_before=Decimal(before), rate=Decimal(1))


cents = st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100)
fx_rates = st.integers(1, 10**9).map(lambda n: Decimal(n) / 10**6)
CURRENCIES = st.sampled_from(["USD", "JPY", "KWD"])


@pytest.mark.requirement("INV-20")
@given(st.dictionaries(st.integers(1, 40), cents, min_size=1), fx_rates, CURRENCIES)
def test_a_functional_total_is_the_sum_of_its_lines(parts: dict[int, Decimal], rate: Decimal, currency: str) -> None:
    total = sum(parts.values(), ZERO)
    whole, lines = functional(total, parts, rate, currency)
    assert whole == convert(total, "EUR", currency, rate) == sum(lines.values(), ZERO)
    unit = minor_unit(currency)
    moved = [n for n in parts if lines[n] != convert(parts[n], "EUR", currency, rate)]
    assert moved in ([], [min(parts, key=lambda n: (-abs(parts[n]), n))])
    assert all(abs(lines[n] - parts[n] * rate) <= unit * (len(parts) + 1) / 2 for n in parts)


@pytest.mark.requirement("INV-20")
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=6), fx_rates, st.lists(fx_rates, min_size=6, max_size=6))
def test_the_parts_settled_add_up_to_what_was_invoiced(
    paid: list[int], invoiced_at: Decimal, settled_at: list[Decimal]
) -> None:
    amounts = [Decimal(n) / 100 for n in paid]
    total = sum(amounts, ZERO)
    worth, before, found = convert(total, "EUR", "USD", invoiced_at), ZERO, []
    for amount, rate in zip(amounts, settled_at, strict=False):
        found.append(
            realised(amount, total=total, functional_total=worth, settled_before=before, rate=rate, currency="USD")
        )
        before += amount
    assert sum((s.functional_invoiced for s in found), ZERO) == worth
    gain = sum((s.gain for s in found), ZERO)
    assert gain == sum((s.functional_settled for s in found), ZERO) - worth


@given(st.dates(date(2026, 2, 1), date(2026, 4, 30)))
def test_a_rate_is_never_from_the_future_nor_older_than_a_week(on: date) -> None:
    known = {day("2026-03-06"), day("2026-03-09")}
    usable = [d for d in known if d <= on and on - d <= timedelta(days=DAYS_BACK_MAX)]
    if usable:
        assert TABLE.rate(FxPolicy(), "EUR", "USD", on).day == max(usable)
    else:
        with pytest.raises(NeedsDecision):
            TABLE.rate(FxPolicy(), "EUR", "USD", on)


@given(fx_rates)
def test_an_inverse_brings_an_amount_back(rate: Decimal) -> None:
    table = FxTable([fx(f"ecb EUR USD 2026-03-06 {rate}")])
    back = table.rate(FxPolicy(), "USD", "EUR", day("2026-03-06")).rate
    assert abs(back * rate - 1) <= Decimal("1e-9")


def test_what_replaced_a_currency_is_alive() -> None:
    assert {gone.by for gone in REPLACED.values()} & set(REPLACED) == set()
