"""How approved time becomes billed time: increments, minimums, overtime, the daily cap; as finance would list it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.money import hours_of, round_minutes
from isthmus.domain.terms import Band, DayRule, Increment
from isthmus.policies.quantities import DAILY_CAP, BilledTime, DayEntry, bill_day, extend

RATE, COST = Decimal("120.00"), Decimal("52.00")
OVERTIME = DayRule(bands=(Band(up_to_hours="8"), Band(up_to_hours="10", multiplier="1.5")))


def minutes(text: str) -> Decimal:
    """3:07 as hours at four decimals, as a time system sends them."""
    hours, _, more = text.partition(":")
    return hours_of(Decimal(int(hours) * 60 + int(more or 0)))


def day_of(*times: str, task: str = "") -> list[DayEntry]:
    """Entries a, b, c … of one day, in that order of the clock."""
    return [DayEntry("abcdefgh"[n], minutes(t), task, f"{n + 8:02}:00") for n, t in enumerate(times)]


def step(minutes_: int, mode: str = "up", basis: str = "entry", minimum: int = 0) -> Increment:
    return Increment(minutes=minutes_, mode=mode, basis=basis, minimum_minutes=minimum)  # type: ignore[arg-type]


def amount(billed: dict[str, BilledTime], rate: Decimal = RATE) -> Decimal:
    """What the day is worth: each segment rounded for itself."""
    segments = [s for time in billed.values() for s in time.segments]
    return sum((extend(s.quantity, rate, "USD", s.multiplier) for s in segments), Decimal(0))


def told(billed: dict[str, BilledTime]) -> str:
    """a 3.25 | b 2.75 | c 2 + 1.5 x1.5."""

    def one(quantity: Decimal, multiplier: Decimal, reason: str) -> str:
        factor = f" x{multiplier}" if multiplier != 1 else ""
        return f"{quantity.normalize():f}{factor}{' ' + reason if reason else ''}"

    lines = [(k, [one(s.quantity, s.multiplier, s.reason) for s in t.segments]) for k, t in billed.items()]
    return " | ".join(f"{key} {' + '.join(pieces) or 'nothing'}" for key, pieces in lines)


# -- SC-16 ----------------------------------------------------------------------------------------------------------

DAY_1 = day_of("3:07", "2:40", "3:20")
SC_16 = [
    ("each entry up to a quarter", step(15), "a 3.25 | b 2.75 | c 2 + 1.5 x1.5", "1230.00"),
    ("the day up to a quarter", step(15, basis="person_day"), "a 3.1167 | b 2.6667 | c 2.2167 + 1.25 x1.5", "1185.00"),
    ("each entry to the nearest quarter", step(15, "nearest"), "a 3 | b 2.75 | c 2.25 + 1 x1.5", "1140.00"),
    ("not rounded: 480 and 67 minutes", None, "a 3.1167 | b 2.6667 | c 2.2167 + 1.1167 x1.5", "1161.00"),
]


@pytest.mark.parametrize(("increment", "quantities", "net"), [r[1:] for r in SC_16], ids=[r[0] for r in SC_16])
def test_sc16_the_first_day(increment: Increment | None, quantities: str, net: str) -> None:
    billed = bill_day(DAY_1, increment, OVERTIME)
    assert told(billed) == quantities
    assert amount(billed) == Decimal(net)


def test_sc16_the_second_day_ends_at_the_daily_cap() -> None:
    billed = bill_day(day_of("12"), None, OVERTIME)
    assert told(billed) == "a 8 + 2 x1.5 + 2 x0 DAILY_CAP"
    assert [extend(s.quantity, RATE, "USD", s.multiplier) for s in billed["a"].segments] == [960, 360, 0]


def test_sc16_cost_is_always_on_raw_time() -> None:
    for increment, *_ in [row[1:] for row in SC_16]:
        raw = [time.raw for time in bill_day(DAY_1, increment, OVERTIME).values()]
        assert sum(extend(hours, COST, "USD") for hours in raw) == Decimal("474.07")
    assert extend(bill_day(day_of("12"), None, OVERTIME)["a"].raw, COST, "USD") == Decimal("624.00")


# -- increments -----------------------------------------------------------------------------------------------------

STEPS = [
    ("a step is a step", step(15), ("0:15",), "a 0.25"),
    ("a minute more is another step", step(15), ("0:16",), "a 0.5"),
    ("half a step goes up to the nearest", step(30, "nearest"), ("0:15",), "a 0.5"),
    ("less than half a step goes down", step(30, "nearest"), ("0:14",), "a nothing"),
    ("a step that is not full is not billed", step(15, "down"), ("0:29",), "a 0.25"),
    ("six minutes are a tenth", step(6), ("0:07",), "a 0.2"),
    ("steps of ten minutes", step(10), ("0:11",), "a 0.3333"),
    ("steps of an hour", step(60), ("1:01",), "a 2"),
    ("every entry for itself", step(15), ("0:05", "0:05", "0:05"), "a 0.25 | b 0.25 | c 0.25"),
    ("the day as one: the last takes the rest", step(15, basis="person_day"), ("0:05", "0:05"), "a 0.0833 | b 0.1667"),
    ("the day down: the last gives first", step(60, "down", "person_day"), ("0:50", "0:20"), "a 0.8333 | b 0.1667"),
    ("and then the one before it", step(60, "down", "person_day"), ("1:20", "0:30"), "a 1 | b nothing"),
    ("a minimum per entry", step(15, minimum=30), ("0:05", "0:40"), "a 0.5 | b 0.75"),
    ("a minimum keeps what is rounded to nothing", step(60, "down", minimum=15), ("0:05",), "a 0.25"),
    ("a minimum holds within a day as one", step(60, "down", "person_day", 15), ("0:50", "0:05"), "a 0.75 | b 0.25"),
    ("a minimum that is no whole step", step(15, minimum=20), ("0:05",), "a 0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("increment", "times", "quantities"), [s[1:] for s in STEPS], ids=[s[0] for s in STEPS])
def test_increments(increment: Increment, times: tuple[str, ...], quantities: str) -> None:
    assert told(bill_day(day_of(*times), increment, None)) == quantities


def test_an_entry_that_was_taken_back_has_no_minimum() -> None:
    day = [DayEntry("a", Decimal(0), corrected=True), *day_of("0", "0:05")[1:]]
    assert told(bill_day(day, step(15, minimum=30), None)) == "a nothing | b 0.5"


def test_time_that_is_no_whole_minutes_is_rounded_like_any() -> None:
    assert told(bill_day([DayEntry("a", Decimal("0.0083"))], step(1), None)) == "a 0.0167"


def test_entries_of_one_task_are_rounded_as_one() -> None:
    day = [*day_of("0:05", task="DESIGN"), DayEntry("b", minutes("0:05"), "BUILD", "09:00")]
    day.append(DayEntry("c", minutes("0:05"), "DESIGN", "10:00"))
    assert told(bill_day(day, step(15, basis="person_task_day"), None)) == "a 0.0833 | b 0.25 | c 0.1667"


# -- bands ----------------------------------------------------------------------------------------------------------


def test_bands_fill_by_the_clock_and_then_by_key() -> None:
    late, early = DayEntry("a", Decimal(6), "", "14:00"), DayEntry("b", Decimal(4), "", "9:30")
    assert told(bill_day([late, early], None, OVERTIME)) == "b 4 | a 4 + 2 x1.5"
    unknown = [DayEntry("b", Decimal(6)), DayEntry("a", Decimal(4))]
    assert told(bill_day(unknown, None, OVERTIME)) == "a 4 | b 4 + 2 x1.5"


def test_a_last_band_to_the_end_of_the_day_leaves_nothing_unbilled() -> None:
    nights = DayRule(bands=(Band(up_to_hours="8"), Band(up_to_hours="24", multiplier="2")))
    assert told(bill_day(day_of("12"), None, nights)) == "a 8 + 4 x2"


def test_time_that_is_no_whole_minutes_is_cut_without_loss() -> None:
    day = [DayEntry("a", Decimal("7.0001")), DayEntry("b", Decimal("1.3333"))]
    billed = bill_day(day, None, OVERTIME)
    assert told(billed) == "a 7.0001 | b 0.9999 + 0.3334 x1.5"


# -- corrections and refusals ---------------------------------------------------------------------------------------

CORRECTIONS = [
    ("a correction within the step changes nothing", "1.2", "1.1", "0.00"),
    ("a correction over the step moves one step", "1.1", "1.0", "-0.25"),
    ("taken back altogether", "1.1", "0", "-1.25"),
]


@pytest.mark.parametrize(
    ("first", "corrected", "difference"), [c[1:] for c in CORRECTIONS], ids=[c[0] for c in CORRECTIONS]
)
def test_rounding_is_of_the_corrected_total_never_of_the_difference(
    first: str, corrected: str, difference: str
) -> None:
    before = bill_day([DayEntry("a", Decimal(first))], step(15), None)["a"]
    after = bill_day([DayEntry("a", Decimal(corrected), corrected=True)], step(15), None)["a"]
    billed = [sum((s.quantity for s in time.segments), Decimal(0)) for time in (before, after)]
    assert billed[1] - billed[0] == Decimal(difference)


REFUSED = [
    ("no time at all", [DayEntry("a", Decimal(0))], "a: 0 hours"),
    ("less than no time", [DayEntry("a", Decimal("-0.1"), corrected=True)], "a: -0.1 hours"),
    ("more than a day in one entry", [DayEntry("a", Decimal("24.5"))], r"24.5 hours on one day: a day has 24"),
    ("more than a day in two", [DayEntry("b", Decimal(20)), DayEntry("a", Decimal(5))], r"25 hours .* \(a 5, b 20\)"),
]  # fmt: skip


@pytest.mark.parametrize(("day", "cause"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_day_that_cannot_be(day: list[DayEntry], cause: str) -> None:
    for increment, rule in ((None, None), (step(15), OVERTIME)):
        with pytest.raises(BadInput, match=cause):
            bill_day(day, increment, rule)


# -- price ----------------------------------------------------------------------------------------------------------

PRICES = [
    ("three hours and seven minutes", "3.1167", "120.00", "1", "USD", "374.00"),
    ("67 minutes of overtime, not 201.01", "1.1167", "120.00", "1.5", "USD", "201.00"),
    ("a third of an hour, not 33.3267", "0.3333", "99.99", "1", "USD", "33.33"),
    ("yen", "0.0167", "12345", "1", "JPY", "206"),
    ("decimals that are no minutes are what they say", "0.35", "133.33", "1", "USD", "46.67"),
    ("less than nothing mirrors", "-1.1167", "120.00", "1.5", "USD", "-201.00"),
]


@pytest.mark.parametrize(
    ("hours", "rate", "multiplier", "currency", "net"), [p[1:] for p in PRICES], ids=[p[0] for p in PRICES]
)
def test_the_price_of_hours_is_the_price_of_their_minutes(
    hours: str, rate: str, multiplier: str, currency: str, net: str
) -> None:
    assert extend(Decimal(hours), Decimal(rate), currency, Decimal(multiplier)) == Decimal(net)


# -- laws -----------------------------------------------------------------------------------------------------------

increments = st.none() | st.builds(
    step,
    st.sampled_from([1, 5, 6, 10, 15, 30, 60]),
    st.sampled_from(["up", "nearest", "down"]),
    st.sampled_from(["entry", "person_task_day", "person_day"]),
    st.sampled_from([0, 0, 15, 20]),
)
rules = st.none() | st.lists(st.integers(1, 24), min_size=1, max_size=4, unique=True).map(
    lambda ends: DayRule(bands=tuple(Band(up_to_hours=e, multiplier=1 + n) for n, e in enumerate(sorted(ends))))
)
clock_times = st.integers(1, 180).map(Decimal).map(hours_of)
any_times = st.decimals("0.0001", "3", places=4) | clock_times


def days(hours: st.SearchStrategy[Decimal]) -> st.SearchStrategy[list[DayEntry]]:
    rows = st.tuples(hours, st.sampled_from(["", "DESIGN", "BUILD"]), st.sampled_from(["", "9:30", "14:00"]))
    return st.lists(rows, min_size=1, max_size=8).map(
        lambda found: [DayEntry(f"e{n}", *row) for n, row in enumerate(found)]
    )


@given(days(clock_times), rules)
def test_no_minute_of_the_clock_is_ever_lost(day: list[DayEntry], rule: DayRule | None) -> None:
    billed = bill_day(day, None, rule)
    for entry in day:
        assert sum(s.minutes for s in billed[entry.key].segments) == round_minutes(entry.hours)


@given(days(any_times), rules)
def test_what_is_cut_adds_up_in_minutes_or_in_decimals(day: list[DayEntry], rule: DayRule | None) -> None:
    billed = bill_day(day, None, rule)
    for entry in day:
        segments = billed[entry.key].segments
        in_minutes = sum(s.minutes for s in segments) == round_minutes(entry.hours)
        assert in_minutes or sum(s.quantity for s in segments) == entry.hours


@given(days(any_times).flatmap(lambda d: st.tuples(st.just(d), st.permutations(d))), increments, rules)
def test_the_order_of_the_argument_never_matters(
    orders: tuple[list[DayEntry], list[DayEntry]], increment: Increment | None, rule: DayRule | None
) -> None:
    assert bill_day(orders[0], increment, rule) == bill_day(orders[1], increment, rule)


@given(days(any_times), increments, rules)
def test_the_fast_way_says_the_same_and_quantities_have_four_decimals(
    day: list[DayEntry], increment: Increment | None, rule: DayRule | None
) -> None:
    billed = bill_day(day, increment, rule)
    segments = [s for time in billed.values() for s in time.segments]
    assert all(s.quantity > 0 and s.quantity == s.quantity.quantize(Decimal("0.0001")) for s in segments)
    assert all((s.reason == DAILY_CAP) is (s.multiplier == 0) for s in segments)
    everything = DayRule(bands=(Band(up_to_hours=24),))
    if increment is None:
        assert bill_day(day, None, everything) == bill_day(day, None, None)


@given(days(any_times), increments)
def test_a_step_moves_time_only_in_its_direction_and_by_less_than_a_step(
    day: list[DayEntry], increment: Increment | None
) -> None:
    if increment is None or increment.minimum_minutes:
        return
    billed = bill_day(day, increment, None)
    groups: dict[str, list[DayEntry]] = {}
    for entry in day:
        name = {"entry": entry.key, "person_task_day": entry.task_code, "person_day": ""}[increment.basis]
        groups.setdefault(name, []).append(entry)
    for group in groups.values():
        raw = sum((round_minutes(e.hours) for e in group), Decimal(0))
        rounded = sum((s.quantity for e in group for s in billed[e.key].segments), Decimal(0)) * 60
        moved, slack = rounded - raw, Decimal("0.003") * (len(group) + 1)
        low = {"up": Decimal(0), "nearest": Decimal(-increment.minutes) / 2, "down": Decimal(-increment.minutes)}
        high = {"up": Decimal(increment.minutes), "nearest": Decimal(increment.minutes) / 2, "down": Decimal(0)}
        assert low[increment.mode] - slack <= moved <= high[increment.mode] + slack


@given(days(clock_times), increments, rules)
def test_no_band_holds_more_than_its_hours_and_none_is_skipped(
    day: list[DayEntry], increment: Increment | None, rule: DayRule | None
) -> None:
    if rule is None:
        return
    billed = bill_day(day, increment, rule)
    filled = {band.multiplier: Decimal(0) for band in rule.bands} | {Decimal(0): Decimal(0)}
    for time in billed.values():
        for segment in time.segments:
            filled[segment.multiplier] += segment.minutes
    start, total = Decimal(0), sum(filled.values(), Decimal(0))
    for band in rule.bands:
        end = band.up_to_hours * 60
        assert filled[band.multiplier] == max(min(total, end) - start, Decimal(0))
        start = end
