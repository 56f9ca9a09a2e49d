"""Who is taxed where and why; what puts a document on hold; what an untaxed category must say."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.objects import Client, LegalEntity
from isthmus.policies.eu import MEMBERS, VAT_PREFIXES
from isthmus.policies.tax_decision import (
    TaxDecision,
    breakdown_of,
    breakdown_problems,
    category_taxes,
    decide_tax,
    tax_point,
)
from tests.policies.builders import client, day, entity, invoice_line
from tests.policies.tables import number, rows

ON = day("2026-03-31")
RATES = {"S": "0.19", "S-reduced": "0.07"}


def seller(country: str = "DE", **changes: Any) -> LegalEntity:
    """DE01, which rounds by category and has rates of 19 and 7 %."""
    facts = {
        "code": f"{country}01",
        "country": country,
        "tax_id": "DE136695976",
        "tax_rates": RATES,
        "tax_rounding": "category",
    }
    return entity(**{**facts, **changes})


def buyer(country: str = "NL", **changes: Any) -> Client:
    """A business with a VAT id that was validated in January and holds until the end of the year."""
    facts: dict[str, Any] = {
        "country": country,
        "tax_id": f"{VAT_PREFIXES.get(country, country)}004495445B01",
        "tax_id_validated_on": "2026-01-15",
        "tax_id_valid_until": "2026-12-31",
    }
    return client(**{**facts, **changes})


def decided(of: LegalEntity, to: Client, *codes: str, **changes: Any) -> TaxDecision:
    return decide_tax(of, to, codes, ON, **changes)


DECISIONS = rows("""
| seller | buyer | status   | category | place | result         | code | rate | reason                                                   |
| DE     | DE    | business |          | DE    | domestic       | S    | 0.19 |                                                          |
| DE     | DE    | business | S-reduced | DE   | domestic       | S    | 0.07 |                                                          |
| DE     | DE    | consumer | S        | DE    | domestic       | S    | 0.19 |                                                          |
| DE     | DE    | business | Z        | DE    | domestic       | Z    | 0    |                                                          |
| DE     | DE    | business | E        | DE    | domestic       | E    | 0    | Exempt under the law of DE                               |
| DE     | NL    | business |          | NL    | reverse_charge | AE   | 0    | Reverse charge: Articles 44 and 196 of Directive 2006/112/EC |
| DE     | GR    | business |          | GR    | reverse_charge | AE   | 0    | Reverse charge                                           |
| DE     | NL    | public   | S        | NL    | reverse_charge | AE   | 0    | Reverse charge                                           |
| DE     | NL    | business | O        | NL    | reverse_charge | O    | 0    | Paid in the name of the client                           |
| DE     | NL    | consumer |          | DE    | domestic       | S    | 0.19 |                                                          |
| DE     | US    | business |          | US    | outside_scope  | O    | 0    | Not subject to tax in DE: place of supply US             |
| DE     | US    | consumer |          | US    | outside_scope  | O    | 0    | Not subject to tax in DE: place of supply US             |
| DE     | GB    | business | S        | GB    | outside_scope  | O    | 0    | place of supply GB                                       |
| GB     | NL    | business |          | NL    | outside_scope  | O    | 0    | Not subject to tax in GB: place of supply NL             |
| GB     | NL    | consumer |          | GB    | domestic       | S    | 0.19 |                                                          |
| GB     | GB    | public   |          | GB    | domestic       | S    | 0.19 |                                                          |
""")


@pytest.mark.parametrize(
    "row", DECISIONS, ids=lambda row: f"{row['seller']} to {row['buyer']} {row['status']} {row['category']}"
)
def test_who_is_taxed_where_and_why(row: dict[str, str]) -> None:
    found = decided(seller(row["seller"]), buyer(row["buyer"], tax_status=row["status"]), row["category"])
    treatment = found.treatments[row["category"]]
    assert (found.place_of_supply, found.result, found.hold) == (row["place"], row["result"], "")
    assert (treatment.category, treatment.rate) == (row["code"], number(row["rate"]))
    assert row["reason"] in treatment.reason and bool(row["reason"]) == bool(treatment.reason)


def test_an_exemption_needs_its_certificate() -> None:
    for facts in ({"tax_exempt": True}, {"tax_status": "exempt"}):
        found = decided(seller(), buyer("DE", **facts, exemption_certificate="EX-7"))
        assert (found.result, found.treatments[""].category, found.treatments[""].rate) == ("exempt", "E", 0)
        assert found.treatments[""].reason == "Exempt: certificate EX-7" and not found.hold
        assert "is exempt, but no certificate is there" in decided(seller(), buyer("DE", **facts)).hold


HOLDS: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...], str]] = [
    ("no VAT id of the client", {}, {"tax_id": ""}, (), "client CL-1 has no VAT id"),
    ("the VAT id of another country", {}, {"tax_id": "BE0428759497"}, (), "is not one of NL: it begins with NL"),
    ("a Greek VAT id with the ISO code", {}, {"country": "GR", "tax_id": "GR094259216"}, (), "it begins with EL"),
    ("never validated", {}, {"tax_id_validated_on": None}, (), "was not validated by 2026-03-31"),
    ("validated later", {}, {"tax_id_validated_on": "2026-04-01"}, (), "was not validated by 2026-03-31"),
    ("validation expired", {}, {"tax_id_valid_until": "2026-03-30"}, (), "has expired on 2026-03-30"),
    ("no VAT id of the seller", {"tax_id": ""}, {}, (), "DE01 has no VAT id to write on a reverse charge"),
    ("a client without country", {}, {"country": ""}, (), "client CL-1 has no country"),
    ("no rate", {"tax_rates": {}}, {"country": "DE"}, (), "DE01 has no tax rate for category S"),
    ("no rate of that name", {}, {"country": "DE"}, ("S", "S-low"), "DE01 has no tax rate for category S-low"),
]


@pytest.mark.parametrize(("of", "to", "codes", "words"), [h[1:] for h in HOLDS], ids=[h[0] for h in HOLDS])
def test_what_is_missing_puts_the_document_on_hold(
    of: dict[str, Any], to: dict[str, Any], codes: tuple[str, ...], words: str
) -> None:
    found = decided(seller(**of), buyer(**to), *codes)
    assert words in found.hold
    with pytest.raises(AssertionError, match="a decision on hold taxes nothing"):
        category_taxes([invoice_line(1, "1.00")], found, seller(), "EUR")


@pytest.mark.parametrize("until", ["2026-03-31", None])
def test_a_validation_holds_on_its_last_day_and_without_one(until: str | None) -> None:
    assert not decided(seller(), buyer(tax_id_valid_until=until, tax_id_validated_on="2026-03-31")).hold


def test_the_record_says_what_the_decision_rests_on() -> None:
    told = decided(seller(), buyer(), "", "O", service_code="82.99").record()
    assert told == {
        "policy": "tax_decision/1",
        "on": "2026-03-31",
        "entity": "DE01",
        "entity_country": "DE",
        "entity_tax_id": "DE136695976",
        "client_no": "CL-1",
        "client_country": "NL",
        "client_tax_status": "business",
        "client_tax_id": "NL004495445B01",
        "validated_on": "2026-01-15",
        "valid_until": "2026-12-31",
        "service_code": "82.99",
        "place_of_supply": "NL",
        "result": "reverse_charge",
        "category S": "AE 0: Reverse charge: Articles 44 and 196 of Directive 2006/112/EC",
        "category O": "O 0: Paid in the name of the client: not subject to VAT",
    }


LINES = [
    invoice_line(1, "100.05"),
    invoice_line(2, "50.05", tax_category="S-reduced"),
    invoice_line(3, "0.05"),
    invoice_line(4, "7.00", tax_category="O"),
]


@pytest.mark.parametrize(
    ("rounding", "taxes", "total"),
    [("category", ["19.01", "3.50", "0.01", "0"], "22.52"), ("line", ["19.01", "3.50", "0.01", "0"], "22.52")],
)
def test_lines_get_their_category_rate_and_tax(rounding: str, taxes: list[str], total: str) -> None:
    of = seller(tax_rounding=rounding)
    lines, breakdown = category_taxes(
        LINES, decided(of, buyer("DE"), *(line.tax_category for line in LINES)), of, "EUR"
    )
    assert [line.tax for line in lines] == [Decimal(tax) for tax in taxes]
    assert [(line.tax_category, line.tax_rate) for line in lines] == [
        ("S", Decimal("0.19")),
        ("S", Decimal("0.07")),
        ("S", Decimal("0.19")),
        ("O", 0),
    ]
    assert sum(category.tax for category in breakdown) == Decimal(total)
    assert breakdown_problems(breakdown, lines, decided(of, buyer("DE"))) == []
    assert breakdown_of(lines, breakdown) == breakdown


def test_the_regime_of_the_entity_decides_how_it_is_rounded() -> None:
    three = [invoice_line(n, "0.03") for n in (1, 2, 3)]
    for rounding, tax in (("category", "0.02"), ("line", "0.03")):
        of = seller(tax_rounding=rounding)
        _, (category,) = category_taxes(three, decided(of, buyer("DE")), of, "EUR")
        assert category.tax == Decimal(tax)


def test_tax_may_fall_on_more_than_is_asked_for() -> None:
    """A holdback of 10 % that is taxed with the invoice: net 90.00, taxed on 100.00."""
    of = seller()
    held = invoice_line(1, "90.00", taxable=Decimal("100.00"))
    (line,), (category,) = category_taxes([held], decided(of, buyer("DE")), of, "EUR")
    assert (line.net, line.tax, category.taxable) == (Decimal("90.00"), Decimal("19.00"), Decimal("100.00"))


def test_what_is_wrong_with_a_breakdown_is_said_in_words() -> None:
    of, to = seller(), buyer()
    decision = decided(of, to)
    lines, (category,) = category_taxes([invoice_line(1, "10.00")], decision, of, "EUR")
    assert breakdown_problems([category], lines, decision) == []
    wrong = category.model_copy(update={"tax": Decimal("1.90"), "taxable": Decimal("9.99"), "reason": ""})
    problems = breakdown_problems([wrong, category], lines, decided(of, buyer(tax_id="", tax_id_validated_on=None)))
    assert problems == [
        "category AE at 0 taxes 9.99, its lines are 10.00",
        "category AE at 0 carries tax of 1.90",
        "category AE at 0 does not say why",
        "a reverse charge needs the VAT ids of both sides, the client's validated",
        "there is more than one reverse charge category (BR-AE-01)",
    ]


POINTS = rows("""
| rule        | paid       | day        |
| issue       | 2026-03-01 | 2026-04-02 |
| service_end | 2026-03-01 | 2026-03-31 |
| earliest    | 2026-03-01 | 2026-03-01 |
| earliest    | -          | 2026-03-31 |
""")


@pytest.mark.parametrize("row", POINTS, ids=lambda row: f"{row['rule']} {row['paid']}")
def test_the_day_whose_rates_apply(row: dict[str, str]) -> None:
    rule: Any = row["rule"]
    paid = None if row["paid"] == "-" else day(row["paid"])
    assert tax_point(rule, day("2026-04-02"), day("2026-03-31"), paid) == day(row["day"])


countries = st.sampled_from([*sorted(MEMBERS), "GB", "US", "CH"])
nets = st.lists(st.integers(-(10**7), 10**7).map(lambda n: Decimal(n) / 100), min_size=1, max_size=6)


@pytest.mark.requirement("INV-25")
@given(countries, countries, st.sampled_from(["business", "consumer", "public"]), nets)
def test_a_reverse_charge_has_no_tax_and_both_vat_ids(at: str, to: str, status: str, amounts: list[Decimal]) -> None:
    of = seller(at)
    decision = decided(of, buyer(to, tax_status=status))
    assert not decision.hold
    lines, breakdown = category_taxes(
        [invoice_line(n, str(a)) for n, a in enumerate(amounts, start=1)], decision, of, "EUR"
    )
    assert breakdown_problems(breakdown, lines, decision) == []
    assert sum(c.taxable for c in breakdown) == sum(amounts)
    reverse = [c for c in breakdown if c.code == "AE"]
    assert bool(reverse) == (at in MEMBERS and to in MEMBERS and at != to and status != "consumer")
    for category in reverse:
        assert (category.tax, category.rate) == (0, 0) and category.reason
        assert decision.entity_tax_id and decision.client_tax_id and decision.validated_on
    assert all(c.tax == 0 for c in breakdown if c.code in ("AE", "O"))
