"""The worked examples on what comes after an invoice, on tax and on periods are what the policies compute."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from isthmus.domain.money import round_half_away
from isthmus.domain.periods import FxRate
from isthmus.domain.states import PeriodState
from isthmus.domain.terms import FxPolicy, Holdback
from isthmus.policies.cash import plan_settlement
from isthmus.policies.credits import MAY_GO_TO, RELEASES_CAPS, contest, credit_lines
from isthmus.policies.fx import REPLACED, FxTable, realised
from isthmus.policies.holdback import hold_back
from isthmus.policies.periods import accounting_date, accrue
from isthmus.policies.proration import month_of
from isthmus.policies.tax_amounts import Taxable, work_out
from isthmus.policies.tax_decision import decide_tax
from tests.house.test_docs_core import DOCS, rows
from tests.policies.builders import client, day, entity, invoice, invoice_line, payment

AFTER, TAX = DOCS / "learn" / "after-issue.md", DOCS / "learn" / "tax-and-periods.md"
ZERO = Decimal(0)


def number(cell: str) -> Decimal:
    return Decimal(cell.replace(",", ""))


def body(page: Path, width: int, title: str) -> list[list[str]]:
    """The rows of the one table of this width that begins with this title."""
    found = rows(page, width)
    start = next(n for n, row in enumerate(found) if row[0] == title) + 1
    others = [n for n, row in enumerate(found) if n > start and row[0] in TITLES]
    return found[start : min(others, default=len(found))]


TITLES = {"Reason", "Line", "What", "Paid", "Seller", "Nets", "Booked in"}


def test_where_the_evidence_of_a_credit_goes() -> None:
    told = {row[0].strip("`"): row[1:] for row in body(AFTER, 3, "Reason") if row[0].startswith("`")}
    assert set(told) == set(MAY_GO_TO)
    for reason, allowed in MAY_GO_TO.items():
        places, frees = told[reason]
        assert re.findall(r"`(\w+)`", places) == list(allowed)
        assert (frees == "yes") == (reason in RELEASES_CAPS)


def test_the_lines_the_dispute_and_the_credit_of_the_milestone() -> None:
    lines = []
    for no, (_, *cells) in enumerate(body(AFTER, 6, "Line"), start=1):
        share = hold_back(number(cells[0]), Holdback(percent=Decimal(10)), "EUR")
        vat = round_half_away(share.taxable * Decimal("0.21"), "EUR")
        assert [share.gross, share.held, share.net, vat, share.net + vat] == [number(cell) for cell in cells]
        lines.append(invoice_line(no, str(share.net), tax=str(vat)))
    total = sum((line.net + line.tax for line in lines), ZERO)
    m2 = invoice("M2", str(total), lines=tuple(lines), currency="EUR")
    (credit,) = credit_lines(m2, {2: Decimal("6000.00")})
    text = AFTER.read_text()
    for amount in (contest(m2, 2).gross, credit.tax, credit.gross, contest(m2, 2).gross - credit.gross):
        assert f"{amount:,.2f}" in text


def test_what_settles_the_invoice_of_the_example() -> None:
    for paid, early, small, left, on_account in body(AFTER, 5, "Paid"):
        one = invoice("INV-1", "1210.00")
        money = payment(str(number(paid)), reference="INV-1")
        found = plan_settlement(money, [one], tolerance=Decimal("0.50"), discounts={"id:INV-1": Decimal("24.20")})
        kinds = {s.kind: s.amount for s in found.settlings}
        told = (kinds.get("early_payment", ZERO), kinds.get("small_difference", ZERO), found.left["id:INV-1"])
        assert (*told, found.on_account) == tuple(number(cell) for cell in (early, small, left, on_account)), paid


def test_the_exchange_loss_of_the_example() -> None:
    found = realised(
        Decimal("400.01"),
        total=Decimal("1210.00"),
        functional_total=Decimal("1403.60"),
        settled_before=ZERO,
        rate=Decimal("1.15"),
        currency="USD",
    )
    assert (found.functional_settled, found.functional_invoiced, found.gain) == (
        Decimal("460.01"),
        Decimal("464.01"),
        Decimal("-4.00"),
    )
    assert "460.01 settled less 464.01" in AFTER.read_text()


WHO = {
    "business in the same country": ("DE", "DE", "business"),
    "business in another member state": ("DE", "NL", "business"),
    "business outside the Union": ("DE", "US", "business"),
    "consumer in the Union": ("DE", "NL", "consumer"),
    "consumer outside the Union": ("DE", "US", "consumer"),
    "business in another country": ("GB", "NL", "business"),
    "exempt, with certificate": ("DE", "DE", "exempt"),
}


def test_who_is_taxed_where() -> None:
    told = body(TAX, 5, "Seller")
    assert [row[1] for row in told] == list(WHO)
    for _, who, place, category, rate in told:
        at, to, status = WHO[who]
        seller = entity(country=at, tax_id="DE136695976", tax_rates={"S": "0.19"})
        facts = {
            "tax_status": status,
            "exemption_certificate": "7",
            "tax_id": f"{to}1",
            "tax_id_validated_on": "2026-01-01",
        }
        decision = decide_tax(seller, client(country=to, **facts), [""], day("2026-03-31"))
        treatment = decision.treatments[""]
        assert treatment.category == re.split(r"[ ,]", category)[0], who
        assert decision.place_of_supply == (at if place == "the seller's country" else to)
        assert (treatment.rate == 0) == (rate == "0")


def test_tax_by_line_and_by_category() -> None:
    for nets, rates, by_line, by_category in body(TAX, 4, "Nets"):
        lines = [
            Taxable(n, Decimal(net), "S", Decimal(rate))
            for n, net in enumerate(nets.split(), start=1)
            for rate in rates.split()
        ]
        assert work_out(lines, "USD", "line").tax == Decimal(by_line)
        assert work_out(lines, "USD", "category").tax == Decimal(by_category)


def test_the_late_timesheet() -> None:
    states = {"2026-01": PeriodState.CLOSED}
    month = month_of(accounting_date(day("2026-01-29"), states).accounting_date)
    accrued = accrue("E", Decimal("1200.00"), Decimal("525.00"), Decimal(80), "USD")
    computed = [
        ("2026-01", accrued.revenue, accrued.cost),
        (month, accrued.reversed.revenue, accrued.reversed.cost),
        (month, Decimal("1200.00"), Decimal("525.00")),
    ]
    told = [(row[0], number(row[2]), number(row[3])) for row in body(TAX, 4, "Booked in")]
    assert told == computed


def test_replaced_currencies_are_told_with_their_day_and_rate() -> None:
    text = TAX.read_text()
    for currency in ("HRK", "BGN"):
        gone = REPLACED[currency]
        assert f"{currency} by {gone.by} on {gone.since} at {gone.rate}" in text
    friday = FxRate(
        rate_type="ecb", from_currency="EUR", to_currency="USD", day=day("2026-03-06"), rate=Decimal("1.16"), source="x"
    )
    assert FxTable([friday]).rate(FxPolicy(), "EUR", "USD", day("2026-03-08")).day == friday.day
