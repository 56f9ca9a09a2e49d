"""From an hour to evidence, from evidence to an invoice line, and what a write-off takes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadAmount, BadInput, NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import BillableItem, BillingType, ContractVersion, Milestone, Task
from isthmus.policies.billing import as_correction, line_of, write_down_shares, write_off_order
from isthmus.policies.charges import Terms, charge_time, items_of
from isthmus.policies.layouts import Evidence, compose
from tests.policies.builders import contract, day, entry, line, rate
from tests.policies.tables import rows

# -- which contract line --------------------------------------------------------------------------------------------

BUILD = line("BUILD", rate("consultant", "185.00"), rate("architect", "240.00"))
RUN = line("RUN", rate("operator", "95.00"), rate("architect", "220.00"))
TRAVEL = line("TRAVEL", kind=BillingType.NON_BILLABLE, roles=("driver",))
KICKOFF = line(
    "KICKOFF",
    rate("trainer", "150.00"),
    kind=BillingType.FIXED_MILESTONE,
    milestones=(Milestone(number=1, name="Kick-off", amount="5000.00", due=day("2026-02-01")),),
)
TERMS = contract(BUILD, RUN, TRAVEL, KICKOFF)
LINES = [
    ("the task says which line", "RUN", "consultant", "RUN"),
    ("a task may be of a fixed fee", "KICKOFF", "trainer", "KICKOFF"),
    ("the role is priced on one line only", "", "consultant", "BUILD"),
    ("the role is named by one line only", "", "driver", "TRAVEL"),
    ("the role is priced on two lines", "", "architect", "EX-LINE-AMBIGUOUS"),
    ("no line knows the role", "", "pilot", "EX-NO-CONTRACT-LINE"),
    ("a role of a fixed fee alone is no line for hours", "", "trainer", "EX-NO-CONTRACT-LINE"),
    ("the task is of a line this version does not have", "LATER", "consultant", "EX-NO-CONTRACT-LINE"),
]


@pytest.mark.parametrize(("task", "role", "expected"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_the_contract_line_of_an_hour(task: str, role: str, expected: str) -> None:
    if not expected.startswith("EX-"):
        assert line_of(TERMS, task, role).line_uid == expected
        return
    with pytest.raises(NeedsDecision, match="C-1@1") as stopped:
        line_of(TERMS, task, role)
    assert (stopped.value.exception, stopped.value.queue) == (expected, "contract-operations")
    if expected == "EX-LINE-AMBIGUOUS":
        assert stopped.value.context["lines"] == ["BUILD", "RUN"]
        assert stopped.value.actions == ("assign", "retry", "cancel")


# -- the evidence of one entry --------------------------------------------------------------------------------------


def priced(version: ContractVersion = TERMS, *, task: str = "", billable: bool = True, **facts: object) -> BillableItem:
    """The evidence of one entry, on a task of this line ("": the role says which)."""
    tasks = {"T": Task(code="T", name="Work", line_uid=task, billable=billable)}
    (charge,) = charge_time([entry(task_code="T", **facts)], Terms([version], tasks))
    (item,) = items_of(charge)
    return item


CHARGEABLE = [
    ("time and materials on a billable task", "", "consultant", True, "185.00", "1110.00"),
    ("a task that is not billable", "BUILD", "consultant", False, "0", "0.00"),
    ("a line that is not billable", "", "driver", True, "0", "0.00"),
    ("hours on a fixed fee", "KICKOFF", "trainer", True, "0", "0.00"),
]


@pytest.mark.requirement("INV-24")
@pytest.mark.parametrize(
    ("task", "role", "billable", "price", "net"), [c[1:] for c in CHARGEABLE], ids=[c[0] for c in CHARGEABLE]
)
def test_what_is_chargeable(task: str, role: str, billable: bool, price: str, net: str) -> None:
    item = priced(task=task, billable=billable, role=role, hours="6")
    assert (item.unit_price, item.net, item.entry_net) == (Decimal(price), Decimal(net), Decimal(net))
    assert item.billable is (net != "0.00")
    assert item.quantity == item.entry_quantity == 6, "an hour nobody pays for still carries its cost"
    assert item.price_trace["policy"]


ROUNDED = [
    ("a third of an hour", "USD", "0.35", "133.33", "46.67"),
    ("half a cent goes up", "USD", "0.5", "0.01", "0.01"),
    ("a rate with six decimals", "USD", "7.3333", "123.456789", "905.35"),
    ("yen have no decimals", "JPY", "0.5", "12345", "6173"),
    ("dinar have three", "KWD", "1.25", "33.3333", "41.667"),
]


@pytest.mark.parametrize(("currency", "hours", "price", "net"), [r[1:] for r in ROUNDED], ids=[r[0] for r in ROUNDED])
def test_an_hour_is_rounded_once_to_the_contracts_currency(currency: str, hours: str, price: str, net: str) -> None:
    item = priced(contract(line("L1", rate("consultant", price)), currency=currency), hours=hours)
    assert (item.net, item.currency) == (Decimal(net), currency)


@given(st.decimals("0", "24", places=4), st.decimals("0.000001", "9999", places=6))
def test_the_net_can_be_recomputed_from_the_trace(hours: Decimal, price: Decimal) -> None:
    item = priced(contract(line("L1", rate("consultant", str(price)))), hours=hours)
    assert item.net == round_half_away(item.quantity * Decimal(item.price_trace["rate"]), item.currency)


def test_evidence_remembers_where_it_comes_from() -> None:
    item = priced(role="consultant")
    assert (item.item_id, item.source_key, item.revision) == ("psa:E-1#1", "psa:E-1", 1)
    assert (item.contract_no, item.contract_version, item.line_uid) == ("C-1", 1, "BUILD")
    assert (item.person, item.approved_by, item.service_date) == ("ada", "bea", day("2026-03-09"))


CORRECTIONS = [
    ("more hours than are on paper", "8", "6", "600.00", "2", "200.00"),
    ("fewer hours give back", "4", "6", "600.00", "-2", "-200.00"),
    ("taken back altogether", "0", "6", "600.00", "-6", "-600.00"),
    ("nothing is on paper yet", "8", "0", "0.00", "8", "800.00"),
    ("the same hours: nothing to place", "6", "6", "600.00", "0", "0.00"),
]


@pytest.mark.requirement("INV-22")
@pytest.mark.parametrize(
    ("hours", "on_paper", "billed", "quantity", "net"), [c[1:] for c in CORRECTIONS], ids=[c[0] for c in CORRECTIONS]
)
def test_a_correction_places_only_the_difference(
    hours: str, on_paper: str, billed: str, quantity: str, net: str
) -> None:
    item = as_correction(priced(contract(), hours=hours), Decimal(on_paper), Decimal(billed))
    assert (item.quantity, item.net) == (Decimal(quantity), Decimal(net))
    assert item.entry_quantity == Decimal(hours), "what the whole revision says stays known"
    assert item.quantity + Decimal(on_paper) == item.entry_quantity
    assert item.net + Decimal(billed) == item.entry_net


def test_hours_that_became_non_billable_give_back_all_that_is_on_paper() -> None:
    item = as_correction(priced(contract(), billable=False, hours="8"), Decimal("6"), Decimal("600.00"))
    assert (item.quantity, item.net, item.entry_quantity) == (-6, Decimal("-600.00"), 8)


# -- the lines of an invoice ----------------------------------------------------------------------------------------


def piece(
    part_id: str, quantity: str, net: str, *, uid: str = "BUILD", role: str = "consultant", price: str = "133.33"
):
    return Evidence(part_id, uid, role, Decimal(price), Decimal(quantity), Decimal(net))


@pytest.mark.parametrize(
    ("role", "told"), [("consultant", "Advice: consultant"), ("Advice: 2026-03", "Advice: 2026-03"), ("", "Advice")]
)
def test_a_line_says_nothing_twice(role: str, told: str) -> None:
    terms = contract(line("BUILD").model_copy(update={"description": "Advice"}))
    (only,) = compose([piece("p1", "1", "1.00", role=role)], [terms], "by_role")
    assert only.description == told


@pytest.mark.requirement("INV-07")
def test_a_line_is_the_sum_of_rounded_hours_never_hours_times_price() -> None:
    """Three times 0.35 h at 133.33 are three times 46.67: 140.01, where 1.05 h at 133.33 would be 140.00."""
    pieces = [piece(f"p{n}", "0.35", "46.67") for n in (1, 2, 3)]
    (only,) = compose(pieces, [TERMS], "by_role")
    assert (only.quantity, only.unit_price, only.net) == (Decimal("1.05"), Decimal("133.33"), Decimal("140.01"))
    assert round_half_away(only.quantity * only.unit_price, "USD") == Decimal("140.00") != only.net
    assert only.part_ids == ("p1", "p2", "p3")


def test_one_line_for_each_contract_line_role_and_price() -> None:
    pieces = [
        piece("p1", "1", "95.00", uid="RUN", role="operator", price="95.00"),
        piece("p2", "1", "185.00", price="185.00"),
        piece("p3", "2", "390.00", price="195.00"),
        piece("p4", "1", "240.00", role="architect", price="240.00"),
        piece("p5", "3", "555.00", price="185.00"),
    ]
    lines = compose(pieces, [TERMS], "by_role")
    told = [(x.number, x.line_uid, x.description, x.quantity, x.net, x.part_ids) for x in lines]
    assert told == [
        (1, "BUILD", "Work BUILD: architect", Decimal(1), Decimal("240.00"), ("p4",)),
        (2, "BUILD", "Work BUILD: consultant", Decimal(4), Decimal("740.00"), ("p2", "p5")),
        (3, "BUILD", "Work BUILD: consultant", Decimal(2), Decimal("390.00"), ("p3",)),
        (4, "RUN", "Work RUN: operator", Decimal(1), Decimal("95.00"), ("p1",)),
    ]
    assert compose(list(reversed(pieces)), [TERMS], "by_role") == lines, "whatever the order the parts are read in"


pieces_of_work = st.lists(
    st.builds(
        Evidence,
        part_id=st.integers(0, 10**6).map(str),
        line_uid=st.sampled_from(["BUILD", "RUN"]),
        role=st.sampled_from(["consultant", "architect"]),
        unit_price=st.sampled_from([Decimal("133.33"), Decimal("185.00")]),
        quantity=st.decimals("-24", "24", places=4),
        net=st.decimals("-9999", "9999", places=2),
    ),
    unique_by=lambda e: e.part_id,
    max_size=20,
)


@pytest.mark.requirement("INV-07")
@given(pieces_of_work)
def test_no_cent_and_no_part_is_lost_between_evidence_and_lines(pieces: list[Evidence]) -> None:
    lines = compose(pieces, [TERMS], "by_role")
    assert sum(x.net for x in lines) == sum(e.net for e in pieces)
    assert sum(x.quantity for x in lines) == sum(e.quantity for e in pieces)
    assert sorted(p for x in lines for p in x.part_ids) == sorted(e.part_id for e in pieces)
    net_of = {e.part_id: e.net for e in pieces}
    assert all(x.part_ids and x.net == sum(net_of[p] for p in x.part_ids) for x in lines)
    assert [x.number for x in lines] == list(range(1, len(lines) + 1))


def test_evidence_of_a_line_the_contract_does_not_have_is_refused() -> None:
    with pytest.raises(BadInput, match="has no line GONE"):
        compose([piece("p1", "1", "1.00", uid="GONE")], [TERMS], "by_role")


# -- what a write-off takes -----------------------------------------------------------------------------------------

WRITE_OFFS = [
    ("the newest first", [("old", "100.00"), ("new", "50.00")], "50.00", [("new", "50.00")]),
    ("and only part of the next", [("old", "100.00"), ("new", "50.00")], "80.00", [("new", "50.00"), ("old", "30.00")]),
    ("less than the newest", [("old", "100.00"), ("new", "50.00")], "20.00", [("new", "20.00")]),
    ("everything", [("old", "100.00"), ("new", "50.00")], "150.00", [("new", "50.00"), ("old", "100.00")]),
    ("never what the client gets back", [("a", "100.00"), ("b", "-30.00")], "60.00", [("a", "60.00")]),
    ("never what is worth nothing", [("a", "100.00"), ("b", "0.00")], "60.00", [("a", "60.00")]),
]


@pytest.mark.parametrize(("parts", "amount", "taken"), [w[1:] for w in WRITE_OFFS], ids=[w[0] for w in WRITE_OFFS])
def test_what_a_write_off_takes(parts: list[tuple[str, str]], amount: str, taken: list[tuple[str, str]]) -> None:
    chosen = write_off_order([(part, Decimal(net)) for part, net in parts], Decimal(amount))
    assert chosen == [(part, Decimal(net)) for part, net in taken]
    assert sum(net for _, net in chosen) == Decimal(amount)


def test_more_than_there_is_cannot_be_written_off() -> None:
    with pytest.raises(BadAmount, match=r"only 70.00 of 70.01"):
        write_off_order([("a", Decimal("70.00")), ("b", Decimal("-30.00"))], Decimal("70.01"))


DOWN = rows("""
| ready                     | taken off | currency | from each              |
| 1480.00, 740.00, 462.50   | 282.50    | USD      | 155.86, 77.93, 48.71   |
| 100.00, 100.00, 100.00    | 100.00    | EUR      | 33.34, 33.33, 33.33    |
| 100.00, -40.00, 60.00     | 16.00     | EUR      | 10.00, -, 6.00         |
| 1000, 1                   | 1         | JPY      | 1, -                   |
| 500.00                    | 500.00    | EUR      | 500.00                 |
""")


@pytest.mark.parametrize("row", DOWN, ids=lambda row: f"{row['taken off']} off {row['ready']}")
def test_a_write_down_takes_from_each_its_share(row: dict[str, str]) -> None:
    parts = [(str(n), Decimal(net)) for n, net in enumerate(row["ready"].split(","))]
    taken = dict(write_down_shares(parts, Decimal(row["taken off"]), row["currency"]))
    told = [str(taken.get(str(n), "-")) for n in range(len(parts))]
    assert told == [text.strip() for text in row["from each"].split(",")]
    assert sum(taken.values()) == Decimal(row["taken off"])


def test_no_more_is_taken_off_than_there_is() -> None:
    with pytest.raises(BadAmount):
        write_down_shares([("a", Decimal("10.00")), ("b", Decimal("-5.00"))], Decimal("10.01"), "EUR")
