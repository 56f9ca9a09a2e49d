"""The worked examples of the scenarios as tables a controller can check with a pencil, and where each of them is shown.

Every scenario stands in two places: as a table of policies (here, or where INDEX says) and as a rehearsal in
examples/scenarios, which plays it through the real processes and reads the outcome from the books and the sandboxes.
"""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

import importlib
import tomllib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import ContractVersion, TimeEntry
from isthmus.domain.states import PartState
from isthmus.domain.terms import Increment
from isthmus.domain.work import Task
from isthmus.policies.caps import Share, place
from isthmus.policies.charges import Terms, charge_time, items_of
from isthmus.policies.periods import accrue
from isthmus.policies.quantities import extend
from tests.policies.builders import cap, contract, day, line, rate
from tests.policies.tables import number, rows

FOLDER = Path(__file__).parents[2] / "examples" / "scenarios"
ZERO = Decimal(0)
# scenario -> (tables of policies, rehearsals)
INDEX: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "SC-01": (
        ("test_scenarios:SC_01", "test_caps:test_sc01_an_entry_that_straddles_a_cap_is_split_to_the_cent"),
        ("sc01-hard-cap",),
    ),
    "SC-02": (
        ("test_scenarios:SC_02",),
        ("sc02a-increase", "sc02b-decrease", "sc02c-no-day-split", "sc02d-not-invoiced", "sc02e-credit-memo"),
    ),
    "SC-03": (("test_splits:SC_03", "test_cap_scopes:ITEMS"), ("sc03-three-payers", "sc03b-reversal-frees-room")),
    "SC-04": (("test_scenarios:SC_04", "test_periods:BOOKED"), ("sc04-late-approval", "sc04b-reopened")),
    "SC-06": (("test_retainers:SC_06", "test_retainers:LATE_JUNE"), ("sc06-retainer", "sc06b-late-entry")),
    "SC-08": (("test_holdback:SC_08", "test_credits:M2"), ("sc08-holdback-dispute",)),
    "SC-16": (("test_quantities:SC_16",), ("sc16-increments",)),
    "SC-21": (("test_expenses:SC_21", "test_cap_scopes:TRIP"), ("sc21-expenses", "sc21b-tax-not-recoverable")),
    "SC-22": (
        ("test_scenarios:SC_22", "test_fixed:test_unapproved_time_of_its_tasks_stops_a_milestone_and_is_listed"),
        ("sc22-hybrid", "sc22b-before-acceptance"),
    ),
}


@pytest.mark.parametrize("scenario", INDEX)
def test_a_scenario_has_its_table_and_its_rehearsal(scenario: str) -> None:
    tables, rehearsals = INDEX[scenario]
    for told in tables:
        module, name = told.split(":")
        assert getattr(importlib.import_module(f"tests.policies.{module}"), name)
    for name in rehearsals:
        acts = tomllib.loads((FOLDER / f"{name}.toml").read_text())["acts"]
        assert any(act["do"] == "expect" for act in acts)


# -- SC-01: an entry of 6.00 h at 185.00 straddles a cap of 10,000.00, of which 9,500.00 are consumed ----------------

SC_01 = rows("""
| step             | cap       | consumed  | placed   | hours  | ready  | ready h | over   | over h |
| approved         | 10,000.00 | 9,500.00  | 1,110.00 | 6.0000 | 500.00 | 2.7027  | 610.00 | 3.2973 |
| change order 400 | 10,400.00 | 10,000.00 | 610.00   | 3.2973 | 400.00 | 2.1622  | 210.00 | 1.1351 |
| nothing left     | 10,400.00 | 10,400.00 | 210.00   | 1.1351 | 0      | 0       | 210.00 | 1.1351 |
""")


@pytest.mark.parametrize("row", SC_01, ids=lambda row: row["step"])
def test_sc01_what_of_the_entry_has_room(row: dict[str, str]) -> None:
    assert extend(Decimal(6), Decimal(185), "USD") == Decimal("1110.00")
    version = contract(caps=(cap("NTE", row["cap"].replace(",", "")),))
    before = Share("earlier", "L1", "0", Decimal(1), number(row["consumed"]))
    placed = place([Share("E", "L1", "1", number(row["hours"]), number(row["placed"]))], version, [before])
    found = {p.state: (p.net, p.quantity) for p in placed}
    assert found.get(PartState.READY, (ZERO, ZERO)) == (number(row["ready"]), number(row["ready h"]))
    assert found.get(PartState.OVER_CAP, (ZERO, ZERO)) == (number(row["over"]), number(row["over h"]))
    assert {p.cap_id for p in placed if p.state is PartState.OVER_CAP} == {"NTE"}


# -- SC-02: 8 h a day at 200.00; v2, signed on 20 March, is effective on Thursday the 12th ----------------------------

SC_02 = rows("""
| day            | hours | v1 rate | v1 net   | A: v2 rate | A: v2 net | A: delta | B: v2 rate | B: v2 net | B: delta |
| Mon 2026-03-09 | 8     | 200.00  | 1,600.00 | 200.00     | 1,600.00  | 0        | 200.00     | 1,600.00  | 0        |
| Tue 2026-03-10 | 8     | 200.00  | 1,600.00 | 200.00     | 1,600.00  | 0        | 200.00     | 1,600.00  | 0        |
| Wed 2026-03-11 | 8     | 200.00  | 1,600.00 | 200.00     | 1,600.00  | 0        | 200.00     | 1,600.00  | 0        |
| Thu 2026-03-12 | 8     | 200.00  | 1,600.00 | 212.50     | 1,700.00  | 100.00   | 190.00     | 1,520.00  | -80.00   |
| Fri 2026-03-13 | 8     | 200.00  | 1,600.00 | 212.50     | 1,700.00  | 100.00   | 190.00     | 1,520.00  | -80.00   |
""")
FIRST = contract(line("L1", rate("consultant", "200.00")))


def amended(price: str) -> ContractVersion:
    return contract(
        line("L1", rate("consultant", price)), version=2, effective_from=day("2026-03-12"), signed_on=day("2026-03-20")
    )


def a_day(on: date, hours: str, days: tuple[date, ...] = ()) -> TimeEntry:
    return TimeEntry(
        source="psa",
        source_id=f"W{on.day}",
        project_code="P-1",
        task_code="L1",
        person="ada",
        role="consultant",
        service_date=on,
        hours=Decimal(hours),
        days=days,
        approved_by="bea",
        approved_at=datetime(2026, 3, 16, tzinfo=UTC),
    )


def priced(versions: list[ContractVersion], entry: TimeEntry) -> tuple[Decimal, Decimal]:
    """Rate and net of an entry under the versions that are known."""
    terms = Terms(versions=versions, tasks={"L1": Task(code="L1", name="Work", line_uid="L1")})
    (item,) = [item for charge in charge_time([entry], terms) for item in items_of(charge)]
    return item.unit_price, item.net


@pytest.mark.parametrize("row", SC_02, ids=lambda row: row["day"])
def test_sc02_each_day_is_priced_by_the_version_of_its_day(row: dict[str, str]) -> None:
    entry = a_day(day(row["day"].split()[1]), row["hours"])
    before = priced([FIRST], entry)
    assert before == (number(row["v1 rate"]), number(row["v1 net"]))
    for variant, price in (("A", "212.50"), ("B", "190.00")):
        after = priced([FIRST, amended(price)], entry)
        assert after == (number(row[f"{variant}: v2 rate"]), number(row[f"{variant}: v2 net"]))
        assert after[1] - before[1] == number(row[f"{variant}: delta"])


def test_sc02_the_sums_of_the_week() -> None:
    """A: +200.00 on the next invoice; B: -160.00; D, not invoiced yet: 24 h at 200.00 and 16 h at 212.50."""
    sums = {title: sum((number(row[title]) for row in SC_02), ZERO) for title in SC_02[0] if title != "day"}
    assert (sums["v1 net"], sums["A: delta"], sums["B: delta"]) == (Decimal(8000), Decimal(200), Decimal(-160))
    by_rate = {
        price: sum((number(r["A: v2 net"]) for r in SC_02 if r["A: v2 rate"] == price), ZERO)
        for price in ("200.00", "212.50")
    }
    assert by_rate == {"200.00": Decimal("4800.00"), "212.50": Decimal("3400.00")} and sums["A: v2 net"] == 8200


def test_sc02c_a_week_without_days_that_spans_the_change_is_not_priced() -> None:
    monday = day("2026-03-09")
    week = a_day(monday, "40", tuple(monday + timedelta(days=n) for n in range(5)))
    assert priced([FIRST], week) == (Decimal("200.00"), Decimal("8000.00"))
    with pytest.raises(NeedsDecision) as stopped:
        priced([FIRST, amended("212.50")], week)
    assert stopped.value.exception == "EX-TIME-SPLIT"
    by_the_day = contract(line("L1", rate("consultant", "200.00"), increment=Increment(minutes=15, basis="person_day")))
    with pytest.raises(NeedsDecision, match="depends on the day"):
        priced([by_the_day], week)


# -- SC-04: 7.5 h at 160.00, cost 70.00 an hour, of 29 January, approved on 9 February; January closed on the 5th -------

SC_04 = rows("""
| month    | what                   | revenue   | cost    |
| January  | accrual, 80 % of sales | 960.00    | 525.00  |
| February | its reversal           | -960.00   | -525.00 |
| February | the actual             | 1,200.00  | 525.00  |
| February | effect                 | 240.00    | 0       |
""")


def test_sc04_what_is_accrued_and_what_february_shows() -> None:
    sales, cost = extend(Decimal("7.5"), Decimal(160), "USD"), extend(Decimal("7.5"), Decimal(70), "USD")
    accrued = accrue("psa:E", sales, cost, Decimal(80), "USD")
    back = accrued.reversed
    found = [
        (accrued.revenue, accrued.cost),
        (back.revenue, back.cost),
        (sales, cost),
        (sales + back.revenue, cost + back.cost),
    ]
    assert found == [(number(row["revenue"]), number(row["cost"])) for row in SC_04]


# -- SC-22: CR-7, time and materials with a hard cap of 3,500.00 ------------------------------------------------------

SC_22 = rows("""
| day   | hours | rate   | net      | ready    | ready h | over   | over h |
| 04-02 | 12.5  | 210.00 | 2,625.00 | 2,625.00 | 12.5    | 0      | 0      |
| 04-09 | 7.25  | 165.00 | 1,196.25 | 875.00   | 5.3030  | 321.25 | 1.9470 |
""")


def test_sc22_the_change_request_ends_at_its_cap() -> None:
    version = contract(caps=(cap("CR-7", "3500.00"),))
    shares = [
        Share(r["day"], "L1", r["day"], number(r["hours"]), extend(number(r["hours"]), number(r["rate"]), "USD"))
        for r in SC_22
    ]
    assert [share.net for share in shares] == [number(row["net"]) for row in SC_22]
    placed = place(shares, version, [])
    for row in SC_22:
        found = {p.state: (p.net, p.quantity) for p in placed if p.item_id == row["day"]}
        assert found[PartState.READY] == (number(row["ready"]), number(row["ready h"]))
        assert found.get(PartState.OVER_CAP, (ZERO, ZERO)) == (number(row["over"]), number(row["over h"]))
    assert sum((number(row["ready"]) for row in SC_22), ZERO) == Decimal("3500.00")
