"""Subcontractors' bills: matched with approved time, retained in part, paid when they may be."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.subcontracting import BillLine, RetentionTerm, Subcontract, SubcontractorBill
from isthmus.policies.subcontracts import (
    ApprovedWork,
    Evidence,
    Matched,
    Tolerance,
    match,
    may_pay,
    missing_money,
    rate_on,
    refusal,
    retain,
    tolerance_of,
)
from tests.policies.builders import day
from tests.policies.tables import number, rows

ZERO = Decimal(0)


def subcontract(**changes: Any) -> Subcontract:
    facts: dict[str, Any] = {
        "subcontract_no": "SC-1",
        "version": 1,
        "supplier": "SUBS",
        "entity": "US01",
        "project_code": "P-1",
        "contract_no": "K-1",
        "currency": "EUR",
        "rates": [
            {"person": "sub", "rate": "80.00", "effective_from": day("2026-01-01"), "effective_to": day("2026-03-10")},
            {"person": "sub", "rate": "85.00", "effective_from": day("2026-03-10")},
        ],
        "agreed_by": "prue",
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Subcontract.model_validate({**facts, **changes})


WORK = [
    ApprovedWork("psa:E-1", "sub", day("2026-03-09"), Decimal("8")),
    ApprovedWork("psa:E-2", "sub", day("2026-03-10"), Decimal("7.3333")),
    ApprovedWork("psa:E-3", "ada", day("2026-03-10"), Decimal("8")),
]
WHOLE = "sub 2026-03-09 2026-03-10 15.3333 1263.33"  # 8 h at 80.00 and 7 h 20 at 85.00


def lines(*texts: str) -> list[BillLine]:
    """'sub 2026-03-09 2026-03-10 15.3333 1263.33': a person, from, to, hours, amount."""
    made = []
    for text in texts:
        person, start, end, hours, amount = text.split()
        made.append(
            BillLine(person=person, start=day(start), end=day(end), hours=Decimal(hours), amount=Decimal(amount))
        )
    return made


EXACT = Tolerance()


def found(*texts: str, work: Sequence[ApprovedWork] = WORK, tolerance: Tolerance = EXACT) -> Matched:
    return match(lines(*texts), work, subcontract(), tolerance)


def keys(matched: Matched) -> list[tuple[int, str]]:
    return [(claim.line, claim.source_key) for claim in matched.claims]


def test_a_bill_is_matched_with_the_approved_time_it_is_for() -> None:
    matched = found(WHOLE)
    assert (keys(matched), matched.worth, matched.problems) == (
        [(1, "psa:E-1"), (1, "psa:E-2")],
        Decimal("1263.33"),
        (),
    )
    by_day = found("sub 2026-03-09 2026-03-09 8 640", "sub 2026-03-10 2026-03-10 7.3333 623.33")
    assert keys(by_day) == [(1, "psa:E-1"), (2, "psa:E-2")] and not by_day.problems


TOLERATED = rows("""
| hours   | amount  | of hours | of amount | problem |
| 15.3333 | 1262.83 | 0        | 0.50      | -       |
| 15.3333 | 1263.83 | 0        | 0.50      | -       |
| 15.3333 | 1263.84 | 0        | 0.50      | asks    |
| 15.5    | 1263.33 | 0.25     | 0         | -       |
| 15.5833 | 1263.33 | 0.25     | 0         | -       |
| 15.5834 | 1263.33 | 0.25     | 0         | h of    |
| 15.0833 | 1263.33 | 0.25     | 0         | -       |
""")


@pytest.mark.parametrize("row", TOLERATED, ids=lambda row: f"{row['hours']} {row['amount']}")
def test_a_difference_within_the_tolerance_is_accepted(row: dict[str, str]) -> None:
    tolerance = Tolerance(number(row["of hours"]), number(row["of amount"]))
    matched = found(f"sub 2026-03-09 2026-03-10 {row['hours']} {row['amount']}", tolerance=tolerance)
    assert bool(matched.problems) == (row["problem"] != "-")
    assert all(row["problem"] in problem for problem in matched.problems)


def test_the_tolerance_is_the_subcontracts_else_the_entitys() -> None:
    own, of_entity = subcontract(tolerance_hours="0.5"), Tolerance(Decimal(1), Decimal(2))
    assert tolerance_of(own, of_entity) == Tolerance(Decimal("0.5"), Decimal(2))
    assert tolerance_of(subcontract(tolerance_amount="0"), of_entity) == Tolerance(Decimal(1), ZERO)


UNMATCHED = [
    ("more hours than approved", ["sub 2026-03-09 2026-03-10 16 1320.00"], "line 1 has 16 h of sub, approved and not paid are 15.3333"),
    ("fewer hours at a higher rate", ["sub 2026-03-09 2026-03-10 15 1263.33"], "line 1 has 15 h of sub"),
    ("another rate", ["sub 2026-03-09 2026-03-10 15.3333 1303.33"], "line 1 asks 1303.33, 15.3333 h at the purchase rate are 1263.33"),
    ("somebody nobody knows", ["bob 2026-03-09 2026-03-10 8 640"], "line 1 has 8 h of bob, approved and not paid are 0"),
    ("somebody without a rate", ["ada 2026-03-10 2026-03-10 8 640"], "line 1: subcontract SC-1@1 has no purchase rate of ada on 2026-03-10"),
    ("a day outside", ["sub 2026-03-10 2026-03-10 15.3333 1263.33"], "approved and not paid are 7.3333"),
    ("the same time on two lines", [WHOLE, "sub 2026-03-10 2026-03-10 7.3333 623.33"], "line 2 claims psa:E-2 again"),
    ("a credit of nothing", ["sub 2026-03-09 2026-03-09 -2 -160.00"], "line 1 has -2 h of sub, paid beyond what is approved are 0"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "words"), [u[1:] for u in UNMATCHED], ids=[u[0] for u in UNMATCHED])
def test_a_bill_that_is_not_approved_time_says_why(texts: list[str], words: str) -> None:
    matched = found(*texts)
    assert len(matched.problems) == 1 and words in matched.problems[0]


PAID = [
    ApprovedWork("psa:E-1", "sub", day("2026-03-09"), Decimal(6), 2, Decimal(8), Decimal("640.00"), "SUBS:B-7"),
    ApprovedWork("psa:E-2", "sub", day("2026-03-10"), Decimal("7.3333"), 1, Decimal("7.3333"), Decimal("623.33"), "SUBS:B-7"),
    ApprovedWork("psa:E-4", "sub", day("2026-03-11"), Decimal("7.5"), 2, Decimal("7.1667"), Decimal("609.17"), "SUBS:B-7"),
]  # fmt: skip


def test_what_is_paid_is_not_paid_again_and_only_the_difference_of_a_correction_is_open() -> None:
    again = found(WHOLE, work=PAID)
    assert again.twice and "(paid by bill SUBS:B-7)" in again.problems[0] and not again.claims
    more = found("sub 2026-03-11 2026-03-11 0.3333 28.33", work=PAID)
    assert not more.problems and (more.claims[0].hours, more.claims[0].amount) == (Decimal("0.3333"), Decimal("28.33"))
    assert more.claims[0].amount + Decimal("609.17") == Decimal("637.50"), "all of it is paid, to the cent"
    back = found("sub 2026-03-09 2026-03-11 -2 -160.00", work=PAID)
    assert not back.problems and keys(back) == [(1, "psa:E-1")] and back.worth == Decimal("-160.00")


def bill(*texts: str) -> SubcontractorBill:
    made = tuple(lines(*texts))
    return SubcontractorBill(
        bill_id="SUBS:B-7",
        bill_no="B-7",
        supplier="SUBS",
        subcontract_no="SC-1",
        entity="US01",
        project_code="P-1",
        contract_no="K-1",
        currency="EUR",
        billed_on=day("2026-03-31"),
        due_on=day("2026-04-30"),
        lines=made,
        total=sum((line.amount for line in made), ZERO),
        content_hash="h",
        handed_in_by="rita",
        received_at=datetime(2026, 3, 31, tzinfo=UTC),
    )


def test_a_refusal_has_its_money_its_owner_and_what_may_be_done() -> None:
    asked = bill(WHOLE.replace("1263.33", "1300.00"))
    case = refusal(asked, match(asked.lines, WORK, subcontract(), Tolerance()))
    assert (case.exception, case.queue, case.money) == ("EX-SUBCON-MATCH", "procurement", (Decimal("1300.00"), "EUR"))
    assert case.actions == ("accept", "dispute", "retry", "cancel")
    assert (case.context["worth"], case.context["difference"]) == ("1263.33", "36.67")
    twice = refusal(bill(WHOLE), match(lines(WHOLE), PAID, subcontract(), Tolerance()))
    assert "accept" not in twice.actions
    assert "accept" not in refusal(asked, Matched(()), same_as="B-6").actions


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 16)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12),
)
def test_no_hour_is_paid_twice_whatever_is_billed(work: list[tuple[int, int]], windows: list[tuple[int, int]]) -> None:
    """Bills over random days in random order, each taking what matches: nothing is paid beyond what is approved."""
    agreed = subcontract()
    state = {
        f"psa:{n}": ApprovedWork(f"psa:{n}", "sub", date(2026, 3, 9 + d), Decimal(h) / 2)
        for n, (d, h) in enumerate(work)
    }
    for first, last in windows:
        start, end = sorted((date(2026, 3, 9 + first), date(2026, 3, 9 + last)))
        open_now = sum((w.open for w in state.values() if start <= w.service_date <= end), ZERO)
        asked = BillLine(person="sub", start=start, end=end, hours=open_now or Decimal(1), amount=Decimal(1))
        matched = match([asked], list(state.values()), agreed, Tolerance(amount=Decimal(10**6)))
        for claim in matched.claims if not matched.problems else ():
            before = state[claim.source_key]
            state[claim.source_key] = ApprovedWork(
                before.entry_key,
                before.person,
                before.service_date,
                before.hours,
                paid_hours=before.paid_hours + claim.hours,
                paid_amount=before.paid_amount + claim.amount,
            )
    for one in state.values():
        assert one.paid_hours in (ZERO, one.hours)
        rate = rate_on(agreed, "sub", one.service_date)
        assert rate is not None and one.paid_amount == (one.paid_hours * rate).quantize(Decimal("0.01"))


# -- retention -------------------------------------------------------------------------------------------------

TERMS = [
    RetentionTerm(until_percent=Decimal(50), retain_percent=Decimal(20)),
    RetentionTerm(until_percent=Decimal(80), retain_percent=Decimal(10), release_percent=Decimal(10)),
    RetentionTerm(until_percent=Decimal(100), retain_percent=Decimal(0), release_percent=Decimal(100)),
]
# The first three rows are the example of the vendor's page: 15,000, 9,000 and 6,000 pay 12,000, 8,400 and 9,600.
RETAINED = rows("""
| total  | delivered | held  | reached    | kept   | released | pays   |
| 15,000 | 50        | 0     |            | 3,000  | 0        | 12,000 |
| 9,000  | 80        | 3,000 | 50         | 900    | 300      | 8,400  |
| 6,000  | 100       | 3,600 | 50, 80     | 0      | 3,600    | 9,600  |
| 3,000  | 10        | 0     |            | 600    | 0        | 2,400  |
| 15,000 | 60        | 600   |            | 1,500  | 0        | 13,500 |
| 9,000  | 90        | 2,000 |            | 0      | 200      | 9,200  |
| 9,000  | 120       | 2,000 |            | 0      | 2,000    | 11,000 |
| 3,000  | 110       | 0     | 50, 80, 100 | 0     | 0        | 3,000  |
| -3,000 | 40        | 3,000 | 50         | -600   | 0        | -2,400 |
| -3,000 | 40        | 100   | 50         | -100   | 0        | -2,900 |
| -3,000 | 90        | 900   | 50, 80     | 0      | 0        | -3,000 |
""")


@pytest.mark.parametrize("row", RETAINED, ids=lambda row: f"{row['total']} at {row['delivered']}")
def test_what_is_kept_back_of_a_bill_and_what_it_releases(row: dict[str, str]) -> None:
    total = number(row["total"])
    kept = retain(
        total,
        delivered=number(row["delivered"]),
        held=number(row["held"]),
        reached=[Decimal(p) for p in row["reached"].split(",") if p.strip()],
        terms=TERMS,
        ordered=Decimal(100),
        currency="USD",
    )
    told = (kept.withheld, kept.released, total - kept.withheld + kept.released)
    assert told == (number(row["kept"]), number(row["released"]), number(row["pays"]))


@given(st.lists(st.integers(1, 40), max_size=10), st.integers(1, 200))
def test_what_is_kept_back_is_paid_out_once_all_is_delivered_and_never_more(bills: list[int], ordered: int) -> None:
    delivered = held = paid = ZERO
    reached: list[Decimal] = []
    for hours in bills:
        delivered += hours
        total = Decimal(hours) * Decimal("99.99")
        facts = {"delivered": delivered, "held": held, "reached": reached, "ordered": Decimal(ordered)}
        kept = retain(total, terms=TERMS, currency="USD", **facts)  # type: ignore[arg-type]
        held += kept.withheld - kept.released
        paid += total - kept.withheld + kept.released
        reached += [m.until_percent for m in kept.movements if m.kind == "released" and m.until_percent is not None]
        assert held >= 0 and paid + held == delivered * Decimal("99.99") and len(set(reached)) == len(reached)
    assert held == 0 or delivered < ordered


WRONG = [
    ({"retention": [TERMS[1], TERMS[0]], "ordered_hours": "100"}, "not in the order"),
    ({"retention": [TERMS[0]]}, "goes by the ordered hours"),
    ({"retention": [{"until_percent": "50", "retain_percent": "120"}], "ordered_hours": "1"}, "from 0 to 100"),
    ({"tolerance_hours": "-1"}, "is negative"),
    ({"payment_days": -1}, "due -1 days after"),
    ({"currency": "XTS"}, "XTS"),
    (
        {"rates": [{"person": "sub", "rate": "80", "effective_from": day("2026-01-01")}] * 2},
        "two purchase rates of sub",
    ),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[w[1] for w in WRONG])
def test_a_subcontract_that_cannot_be_held_to_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises((BadInput, ValueError), match=words):
        subcontract(**changes)


@pytest.mark.parametrize(
    "text", ["sub 2026-03-10 2026-03-09 8 640", "sub 2026-03-09 2026-03-10 -8 640", "sub 2026-03-09 2026-03-10 0 640"]
)
def test_a_line_is_one_claim(text: str) -> None:
    with pytest.raises(BadInput):
        lines(text)


# -- payment ---------------------------------------------------------------------------------------------------

PAYS = rows("""
| rule      | matched | confirmed | client paid | pays |
| when_due  | yes     | yes       | no          | yes  |
| when_due  | no      | yes       | yes         | no   |
| when_due  | yes     | no        | yes         | no   |
| when_paid | yes     | yes       | no          | no   |
| when_paid | yes     | yes       | yes         | yes  |
""")


@pytest.mark.parametrize("row", PAYS, ids=lambda row: f"{row['rule']} {row['client paid']}")
def test_a_bill_is_paid_when_it_is_matched_confirmed_and_due(row: dict[str, str]) -> None:
    facts = {name: row[name.replace("_", " ")] == "yes" for name in ("matched", "confirmed", "client_paid")}
    rule: Any = row["rule"]
    assert may_pay(rule, **facts) == (row["pays"] == "yes")


def side(state: str, net: str, **facts: Any) -> list[Evidence]:
    return [Evidence("E", state, Decimal(net), **facts)]


SIDES: list[tuple[str, dict[str, list[Evidence]], list[str]]] = [
    ("no evidence yet", {}, ["E is no evidence yet"]),
    ("ready", {"E": side("ready", "100.00")}, ["E: 100.00 is ready, not invoiced"]),
    ("over a cap", {"E": side("over_cap", "100.00", reason="NTE")}, ["E: 100.00 is over cap (NTE), not invoiced"]),
    ("given up", {"E": side("written_off", "100.00")}, ["E: 100.00 is written off, not invoiced"]),
    ("invoiced and open", {"E": side("invoiced", "100.00", invoice="I-1", open=Decimal(50))}, ["E: 50 of invoice I-1 is open"]),
    ("paid", {"E": side("invoiced", "100.00", invoice="I-1")}, []),
    ("not billable", {"E": side("ready", "0")}, []),
    ("without any part", {"E": []}, []),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "missing"), [s[1:] for s in SIDES], ids=[s[0] for s in SIDES])
def test_what_the_client_has_still_to_pay_is_told(evidence: dict[str, list[Evidence]], missing: list[str]) -> None:
    assert missing_money(["E", "E"], evidence) == missing
