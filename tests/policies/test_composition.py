"""Which evidence makes which invoice, and how it reads: groups, consolidation, limits, attachments, layouts."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import BillingType, ContractVersion
from isthmus.domain.terms import InvoiceTerms
from isthmus.policies.composition import Conditions, InvoicePlan, plan_invoices, tax_regime, why_apart
from isthmus.policies.layouts import LABELS, Evidence, compose
from tests.policies.builders import client, contract, day, line


def part(part_id: str, net: str, *, uid: str = "L1", of: str = "C-1", price: str = "100.00", **facts: Any) -> Evidence:
    """A ready part of contract C-1, a consultant's at 100.00 an hour unless told."""
    rest = {"role": "consultant", "service_date": day("2026-03-09"), "project_code": f"P-{of}", **facts}
    quantity = rest.pop("quantity", Decimal(net) / Decimal(price))
    return Evidence(
        part_id=part_id,
        line_uid=uid,
        unit_price=Decimal(price),
        quantity=quantity,
        net=Decimal(net),
        contract_no=of,
        **rest,
    )


def terms(number: str = "C-1", *lines: Any, **changes: Any) -> ContractVersion:
    """Contract of this number; words for its invoicing may be given beside its own fields."""
    invoicing = {name: changes.pop(name) for name in list(changes) if name in InvoiceTerms.model_fields}
    return contract(*(lines or (line("L1"),)), contract_no=number, invoicing=InvoiceTerms(**invoicing), **changes)


def told(plans: list[InvoicePlan]) -> list[tuple[str, str, str]]:
    """Bill-to, parts and net of each plan."""
    return [(p.bill_to, "+".join(e.part_id for e in p.evidence), str(p.net)) for p in plans]


# -- groups ---------------------------------------------------------------------------------------------------------

A, B = {"payer": "A"}, {"payer": "B"}
TWO = (
    line("L1", tax_category="S"),
    line("FEE", kind=BillingType.FIXED_MILESTONE, tax_category="S"),
    line("EU", tax_category="AE"),
)
GROUPS: list[tuple[str, dict[str, Any], list[Evidence], list[tuple[str, str, str]]]] = [
    ("all on one for the client", {}, [part("p", "1.00"), part("q", "2.00")], [("CL-1", "p+q", "3.00")]),
    ("each payer has one", {}, [part("p", "1.00", **A), part("q", "2.00", **B), part("r", "4.00", **A)], [("A", "p+r", "5.00"), ("B", "q", "2.00")]),
    ("two payers never share one, whatever the terms say", {"group_by": ()}, [part("p", "1.00", **A), part("q", "2.00", **B)], [("A", "p", "1.00"), ("B", "q", "2.00")]),
    ("each order has one", {}, [part("p", "1.00", po_number="PO-1"), part("q", "2.00", po_number="PO-2")], [("CL-1", "p", "1.00"), ("CL-1", "q", "2.00")]),
    ("the contract's order counts where a part names none", {"po_number": "PO-1"}, [part("p", "1.00"), part("q", "2.00", po_number="PO-1")], [("CL-1", "p+q", "3.00")]),
    ("several orders on one, where the terms say so", {"group_by": ("payer",)}, [part("p", "1.00", po_number="PO-1"), part("q", "2.00", po_number="PO-2")], [("CL-1", "p+q", "3.00")]),
    ("each project has one", {"group_by": ("project",)}, [part("p", "1.00"), part("q", "2.00", project_code="P-2")], [("CL-1", "q", "2.00"), ("CL-1", "p", "1.00")]),
    ("each month has one", {"group_by": ("period",)}, [part("p", "1.00"), part("q", "2.00", service_date=day("2026-04-01"))], [("CL-1", "p", "1.00"), ("CL-1", "q", "2.00")]),
    ("each billing type has one", {"group_by": ("billing_type",)}, [part("p", "1.00"), part("q", "2.00", uid="FEE"), part("r", "4.00", uid="EU")], [("CL-1", "q", "2.00"), ("CL-1", "p+r", "5.00")]),
    ("each tax category has one, the part's before the line's", {"group_by": ("tax_category",)}, [part("p", "1.00"), part("q", "2.00", uid="EU"), part("r", "4.00", tax_category="AE")], [("CL-1", "q+r", "6.00"), ("CL-1", "p", "1.00")]),
    ("what gives back is netted", {}, [part("p", "100.00"), part("q", "-30.00")], [("CL-1", "q+p", "70.00")]),
    ("what only gives back is a plan of its own", {}, [part("q", "-30.00")], [("CL-1", "q", "-30.00")]),
    ("nothing makes nothing", {}, [], []),
]  # fmt: skip


@pytest.mark.parametrize(("how", "parts", "expected"), [g[1:] for g in GROUPS], ids=[g[0] for g in GROUPS])
def test_which_parts_share_an_invoice(how: dict[str, Any], parts: list[Evidence], expected: Any) -> None:
    version = terms("C-1", *TWO, **how)
    plans = plan_invoices(parts, [version])
    assert told(plans) == expected
    assert plan_invoices(parts[::-1], [version]) == plans, "whatever the order the parts are read in"


def test_the_key_of_a_group_is_the_same_from_run_to_run() -> None:
    (plan,) = plan_invoices([part("p", "1.00", po_number="PO-1", **A)], [terms()])
    assert plan.key == "C-1|A|US-NY business|po=PO-1"
    assert (plan.po_number, plan.contracts, plan.layout) == ("PO-1", ("C-1",), "by_role")
    (both,) = plan_invoices(
        [part("p", "1.00", po_number="PO-1"), part("q", "1.00", po_number="PO-2")], [terms(group_by=("payer",))]
    )
    assert both.po_number == "", "on an invoice of two orders each line names its own"


def test_the_newest_terms_say_how_and_an_older_line_can_still_be_billed() -> None:
    first, second = terms("C-1", line("L1"), line("OLD")), terms("C-1", line("L1"), version=2, layout="summary")
    (plan,) = plan_invoices([part("p", "1.00", uid="OLD")], [second, first])
    assert plan.layout == "summary"
    assert compose(plan.evidence, [second, first])[0].description == "Work OLD: consultant"
    with pytest.raises(BadInput, match="has no line GONE"):
        plan_invoices([part("p", "1.00", uid="GONE")], [first, second])


# -- consolidation --------------------------------------------------------------------------------------------------

BASE = Conditions("US01", "CL-1", "USD", "NET30", "US-NY business")
FIVE = [
    ("entity", {"entity": "UK01"}, {}, "entity: US01 and UK01"),
    ("bill-to", {}, {"payer": "A"}, "bill to: CL-1 and A"),
    ("currency", {"currency": "EUR"}, {}, "currency: USD and EUR"),
    ("terms", {"payment_terms": "NET60"}, {}, "payment terms: NET30 and NET60"),
    ("tax regime", {"client": client(tax_exempt=True)}, {}, "tax regime: US-NY business and US-NY exempt"),
    ("tax regime of a part", {}, {"tax_regime": "GB business"}, "tax regime: US-NY business and GB business"),
]


def test_contracts_share_an_invoice_when_all_five_are_equal_and_both_say_so() -> None:
    parts = [part("p", "1.00"), part("q", "2.00", of="C-2"), part("r", "4.00", of="C-3")]
    versions = [terms("C-1", consolidate=True), terms("C-2", consolidate=True), terms("C-3")]
    shared, alone = sorted(plan_invoices(parts, versions), key=lambda p: p.contracts)
    assert (shared.contracts, shared.net) == (("C-1", "C-2"), Decimal("3.00"))
    assert (alone.contracts, alone.net) == (("C-3",), Decimal("4.00"))
    assert shared.key == "US01|CL-1|USD|NET30|US-NY business|po="
    assert shared.apart == alone.apart == (), "a contract that is not to be consolidated needs no reason"


@pytest.mark.parametrize(("changes", "facts", "reason"), [f[1:] for f in FIVE], ids=[f[0] for f in FIVE])
def test_one_that_differs_keeps_them_apart_and_is_named(changes: Any, facts: Any, reason: str) -> None:
    versions = [terms("C-1", consolidate=True), terms("C-2", consolidate=True, **changes)]
    plans = plan_invoices([part("p", "1.00"), part("q", "2.00", of="C-2", **facts)], versions)
    (first,) = [p for p in plans if p.contracts == ("C-1",)]
    assert len(plans) == 2 and first.apart == (reason,)


def test_contracts_that_are_invoiced_in_different_ways_do_not_share_one() -> None:
    versions = [terms("C-1", consolidate=True), terms("C-2", consolidate=True, layout="detailed")]
    plans = plan_invoices([part("p", "1.00"), part("q", "2.00", of="C-2")], versions)
    assert [p.apart for p in plans] == [("grouping, layout or limits of the invoice",)] * 2
    assert [p.key.split("|")[5] for p in plans] == ["layout=detailed", "po="]


def test_another_clients_contract_is_no_reason_to_tell() -> None:
    versions = [terms("C-1", consolidate=True), terms("C-2", consolidate=True, client_no="CL-2")]
    plans = plan_invoices([part("p", "1.00"), part("q", "2.00", of="C-2")], versions)
    assert [p.apart for p in plans] == [(), ()]


def test_every_condition_is_told() -> None:
    assert why_apart(BASE, BASE) == []
    assert len(why_apart(BASE, Conditions("a", "b", "c", "d", "e"))) == len(Conditions._fields) == 5
    assert why_apart(BASE, BASE._replace(payment_terms="")) == ["payment terms: NET30 and (none)"]


REGIMES = [
    ({}, "US-NY business"),
    ({"country": "DE"}, "DE business"),
    ({"country": "FR", "tax_status": "consumer"}, "FR consumer"),
    ({"tax_exempt": True}, "US-NY exempt"),
]


@pytest.mark.parametrize(("facts", "regime"), REGIMES)
def test_the_tax_regime_of_a_client(facts: Any, regime: str) -> None:
    assert tax_regime(terms(client=client(**facts))) == regime


# -- limits and attachments -----------------------------------------------------------------------------------------

LIMITS = [
    ("enough", {"minimum": "100"}, ["100.00"], [("100.00", "", False)]),
    ("too little waits", {"minimum": "100"}, ["99.99"], [("99.99", "MIN_INVOICE", False)]),
    ("a credit is not too little", {"minimum": "100"}, ["-5.00"], [("-5.00", "", False)]),
    ("as much as it may be", {"maximum": "100"}, ["60.00", "40.00"], [("100.00", "", False)]),
    ("too much makes two", {"maximum": "100"}, ["60.00", "41.00", "59.00"], [("60.00", "", False), ("100.00", "", False)]),
    ("what gives back makes room", {"maximum": "100"}, ["60.00", "60.00", "-20.00"], [("100.00", "", False)]),
    ("one part alone that is too much is told", {"maximum": "100"}, ["60.00", "150.00", "40.00"], [("60.00", "", False), ("150.00", "", True), ("40.00", "", False)]),
    ("the rest may be too little", {"maximum": "100", "minimum": "50"}, ["60.00", "45.00"], [("60.00", "", False), ("45.00", "MIN_INVOICE", False)]),
]  # fmt: skip


@pytest.mark.parametrize(("how", "nets", "expected"), [x[1:] for x in LIMITS], ids=[x[0] for x in LIMITS])
def test_the_least_and_the_most_of_an_invoice(how: Any, nets: list[str], expected: list[tuple[str, str, bool]]) -> None:
    plans = plan_invoices([part(f"p{n}", net) for n, net in enumerate(nets)], [terms(**how)])
    assert [(str(p.net), p.hold, p.above_maximum) for p in plans] == expected
    assert [p.key for p in plans] == [f"C-1|CL-1|US-NY business|po={rest}" for rest in ("", "/2", "/3")][: len(plans)]


def test_what_has_to_go_with_the_invoice() -> None:
    parts = [
        part("p", "1.00", po_number="PO-1"),
        part("q", "1.00", po_number="PO-1", service_date=day("2026-02-27")),
        part("r", "1.00", po_number="PO-1", source_type="expense", expense_class="taxi", receipt_ref="R-7"),
        part("s", "1.00", po_number="PO-1", source_type="milestone", description="Kick-off"),
    ]
    (plan,) = plan_invoices(parts, [terms(attachments=("timesheets", "receipts", "po"))])
    assert plan.attachments == ("timesheet:P-C-1:2026-02", "timesheet:P-C-1:2026-03", "receipt:R-7", "po:PO-1")
    assert plan_invoices(parts, [terms(attachments=("po",))])[0].attachments == ("po:PO-1",)
    assert plan_invoices(parts, [terms()])[0].attachments == ()


# -- layouts --------------------------------------------------------------------------------------------------------

MONTH = [
    part("p1", "46.67", price="133.33", quantity=Decimal("0.35"), person="ada", task_code="BUILD", description="design of tables"),
    part("p2", "46.67", price="133.33", quantity=Decimal("0.35"), person="ada", task_code="TEST"),
    part("p3", "46.67", price="133.33", quantity=Decimal("0.35"), person="bob", task_code="BUILD", service_date=day("2026-03-10")),
    part("p4", "240.00", price="240.00", role="architect", person="cy", task_code="BUILD"),
    part("p5", "38.00", price="38.00", role="", source_type="expense", expense_class="taxi", description="airport"),
    part("p6", "5000.00", uid="FEE", price="5000.00", role="", source_type="milestone", description="Kick-off"),
    part("p7", "9000.00", uid="FEE", price="9000.00", role="", source_type="milestone", description="Go-live"),
]  # fmt: skip
LAYOUTS = [
    ("by_role", [
        ("Work FEE: Go-live", "1", "9000.00", "9000.00"),
        ("Work FEE: Kick-off", "1", "5000.00", "5000.00"),
        ("Work L1: architect", "1", "240.00", "240.00"),
        ("Work L1: consultant", "1.05", "133.33", "140.01"),
        ("Work L1: taxi", "1", "38.00", "38.00"),
    ]),
    ("by_person_task", [
        ("Work FEE: Go-live", "1", "9000.00", "9000.00"),
        ("Work FEE: Kick-off", "1", "5000.00", "5000.00"),
        ("Work L1: ada, BUILD", "0.35", "133.33", "46.67"),
        ("Work L1: ada, TEST", "0.35", "133.33", "46.67"),
        ("Work L1: bob, BUILD", "0.35", "133.33", "46.67"),
        ("Work L1: cy, BUILD", "1", "240.00", "240.00"),
        ("Work L1: taxi", "1", "38.00", "38.00"),
    ]),
    ("by_task", [
        ("Work FEE: Go-live", "1", "9000.00", "9000.00"),
        ("Work FEE: Kick-off", "1", "5000.00", "5000.00"),
        ("Work L1: BUILD", "0.70", "133.33", "93.34"),
        ("Work L1: BUILD", "1", "240.00", "240.00"),
        ("Work L1: TEST", "0.35", "133.33", "46.67"),
        ("Work L1: taxi", "1", "38.00", "38.00"),
    ]),
    ("detailed", [
        ("Work FEE: 2026-03-09 Kick-off", "1", "5000.00", "5000.00"),
        ("Work FEE: 2026-03-09 Go-live", "1", "9000.00", "9000.00"),
        ("Work L1: 2026-03-09 ada BUILD design of tables", "0.35", "133.33", "46.67"),
        ("Work L1: 2026-03-09 ada TEST consultant", "0.35", "133.33", "46.67"),
        ("Work L1: 2026-03-09 cy BUILD architect", "1", "240.00", "240.00"),
        ("Work L1: 2026-03-09 airport", "1", "38.00", "38.00"),
        ("Work L1: 2026-03-10 bob BUILD consultant", "0.35", "133.33", "46.67"),
    ]),
    ("summary", [
        ("Work FEE", "1", "14000.00", "14000.00"),
        ("Work L1", "1", "418.01", "418.01"),
    ]),
]  # fmt: skip


@pytest.mark.requirement("WF-42")
@pytest.mark.parametrize(("layout", "expected"), LAYOUTS, ids=[name for name, _ in LAYOUTS])
def test_five_layouts_of_one_month_and_one_total(layout: Any, expected: list[tuple[str, str, str, str]]) -> None:
    version = terms("C-1", *TWO)
    lines = compose(MONTH, [version], layout)
    assert [(x.description, str(x.quantity), str(x.unit_price), str(x.net)) for x in lines] == expected
    assert sum(x.net for x in lines) == Decimal("14418.01")
    assert [x.number for x in lines] == list(range(1, len(lines) + 1))
    assert compose(MONTH[::-1], [version], layout) == lines


def test_the_table_has_every_layout() -> None:
    assert {name for name, _ in LAYOUTS} == set(LABELS)


def test_a_line_is_of_one_contract_one_tax_category_and_says_where_it_is_from() -> None:
    parts = [
        part("p", "1.00", contract_version=1, po_number="PO"),
        part("q", "1.00", contract_version=2),
        part("r", "1.00", tax_category="AE"),
        part("s", "1.00", of="C-2"),
        part("t", "1.00", project_code="P-9"),
    ]
    lines = compose(parts, [terms("C-1", *TWO), terms("C-2")])
    assert [(x.contract_no, x.contract_version, x.tax_category, x.project_code, x.part_ids) for x in lines] == [
        ("C-1", 2, "S", "", ("p", "q", "t")),
        ("C-1", 0, "AE", "P-C-1", ("r",)),
        ("C-2", 0, "", "P-C-2", ("s",)),
    ]


# -- laws -----------------------------------------------------------------------------------------------------------

parts_of_work = st.lists(
    st.builds(
        part,
        st.integers(0, 10**6).map(str),
        st.integers(-500_00, 2000_00).map(lambda n: str(Decimal(n) / 100)),
        uid=st.sampled_from(["L1", "FEE", "EU"]),
        of=st.sampled_from(["C-1", "C-2"]),
        price=st.sampled_from(["133.33", "185.00"]),
        payer=st.sampled_from(["", "A", "B"]),
        po_number=st.sampled_from(["", "PO-1"]),
        role=st.sampled_from(["consultant", "architect"]),
        person=st.sampled_from(["ada", "bob"]),
        task_code=st.sampled_from(["BUILD", "TEST"]),
        tax_category=st.sampled_from(["", "S", "AE"]),
        service_date=st.sampled_from([day("2026-03-31"), day("2026-04-01")]),
    ),
    unique_by=lambda e: e.part_id,
    max_size=20,
)
ways = st.fixed_dictionaries(
    {
        "consolidate": st.booleans(),
        "group_by": st.lists(
            st.sampled_from(["payer", "project", "po", "tax_category", "period", "billing_type"]), unique=True
        ).map(tuple),
        "layout": st.sampled_from(["by_role", "summary"]),
        "maximum": st.none() | st.integers(1, 3000).map(Decimal),
        "minimum": st.none() | st.integers(1, 300).map(Decimal),
    }
)


@pytest.mark.requirement("INV-07")
@given(parts_of_work, ways, ways)
def test_every_part_is_on_exactly_one_invoice_in_every_layout_with_the_same_net(
    parts: list[Evidence], one: Any, other: Any
) -> None:
    versions = [terms("C-1", *TWO, **one), terms("C-2", *TWO, **other)]
    plans = plan_invoices(parts, versions)
    assert sorted(e.part_id for p in plans for e in p.evidence) == sorted(e.part_id for e in parts)
    assert len({p.key for p in plans}) == len(plans)
    for plan in plans:
        assert {e.payer or "CL-1" for e in plan.evidence} == {plan.bill_to}
        assert (one["consolidate"] and other["consolidate"]) or len(plan.contracts) == 1
        assert plan.above_maximum is False or len([e for e in plan.evidence if e.net > 0]) == 1
        for layout in LABELS:
            lines = compose(plan.evidence, versions, layout)
            assert sum(x.net for x in lines) == plan.net == sum(e.net for e in plan.evidence)
            net_of = {e.part_id: e.net for e in plan.evidence}
            assert sorted(p for x in lines for p in x.part_ids) == sorted(net_of)
            assert all(x.net == sum(net_of[p] for p in x.part_ids) for x in lines)
