"""Whether the hub stands behind a tax engine's answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import TaxAnswer
from isthmus.policies.tax import check_answer
from tests.policies.builders import invoice, invoice_line

TWO_LINES = invoice("INV-1", "150.00", lines=(invoice_line(1, "100.00"), invoice_line(2, "50.00")))
RATES = {"1": "0.08875", "2": "0"}


def answer(tax: str, by_line: dict[int, str] | None = None, **changes: Any) -> TaxAnswer:
    """100.00 at 8.875 % and 50.00 exempt, unless told."""
    facts: dict[str, Any] = {
        "document_code": "id:INV-1",
        "net": "150.00",
        "tax": tax,
        "currency": "USD",
        "status": "calculated",
        "line_taxes": by_line if by_line is not None else {1: tax, 2: "0.00"},
        "rates": RATES,
    }
    return TaxAnswer.model_validate({**facts, **changes})


ACCEPTED = [
    ("to the cent", answer("8.88")),
    ("a cent a line less is rounding", answer("8.86")),
    ("a cent a line more is rounding", answer("8.90")),
    ("nothing at all is due", answer("0.00", {}, rates={})),
    ("the engine put it on the other line", answer("8.88", {1: "8.00", 2: "0.88"})),
]


@pytest.mark.parametrize("given", [a[1] for a in ACCEPTED], ids=[a[0] for a in ACCEPTED])
def test_what_is_accepted_is_the_engines_own_amount(given: TaxAnswer) -> None:
    assert check_answer(TWO_LINES, given) is given


REFUSED = [
    ("more than a cent a line too little", answer("8.85"), "its rates give 8.88 by line, it says 8.85", "0.03"),
    ("more than a cent a line too much", answer("8.91"), "its rates give 8.88 by line, it says 8.91", "0.03"),
    ("another base", answer("8.88", net="149.99"), "taxed 149.99 USD", "0.01"),
    ("another currency", answer("8.88", currency="CAD"), "taxed 150.00 CAD", "0.00"),
    ("tax nobody gave a rate for", answer("8.88", rates={}), "its rates give 0", "8.88"),
    ("lines that do not add up", answer("8.88", {1: "8.80", 2: "0.00"}), "add up to 8.80", "0.08"),
    ("tax on no line", answer("8.88", {}), "add up to 0", "8.88"),
    ("tax on a line we do not have", answer("8.88", {1: "8.00", 3: "0.88"}), "add up to 8.00", "0.88"),
    ("half a cent", answer("8.875"), "does not fit the currency", "8.875"),
]


@pytest.mark.parametrize(("given", "cause", "amount"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_difference_is_the_tax_desks_with_its_amount(given: TaxAnswer, cause: str, amount: str) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        check_answer(TWO_LINES, given)
    case = stopped.value
    assert (case.exception, case.queue, case.actions) == ("EX-TAX-DIFF", "tax", ("retry", "cancel"))
    assert case.money == (Decimal(amount), "USD") and case.context == {"invoice": "id:INV-1"}
    assert cause in case.message and "invoice id:INV-1" in case.message


@pytest.mark.parametrize(("tax", "good"), [("33", True), ("34", True), ("35", False)])
def test_the_tolerance_is_a_unit_of_the_currency(tax: str, good: bool) -> None:
    yen = invoice("INV-1", "333", currency="JPY", lines=(invoice_line(1, "333"),))
    given = answer(tax, {1: tax}, net="333", currency="JPY", rates={"1": "0.10"})
    if good:
        assert check_answer(yen, given) is given
    else:
        with pytest.raises(NeedsDecision):
            check_answer(yen, given)


BY_CATEGORY = [("0.05", True), ("0.06", True), ("0.04", True), ("0.07", False), ("0.03", False)]


@pytest.mark.parametrize(("tax", "good"), BY_CATEGORY)
def test_a_category_is_rounded_once_where_the_regime_says_so(tax: str, good: bool) -> None:
    """Ten lines of 0.05 at 10 % are 0.05 by category (and 0.10 by line); the tolerance is one cent a category."""
    ten = invoice("INV-1", "0.50", lines=tuple(invoice_line(n, "0.05") for n in range(1, 11)))
    given = answer(tax, {1: tax}, net="0.50", rates={str(n): "0.10" for n in range(1, 11)})
    if good:
        assert check_answer(ten, given, "category") is given
    else:
        with pytest.raises(NeedsDecision, match=r"its rates give 0\.05 by category, it says"):
            check_answer(ten, given, "category")


def test_the_tolerance_is_the_firms() -> None:
    assert check_answer(TWO_LINES, answer("8.88"), tolerance=Decimal(0))
    with pytest.raises(NeedsDecision):
        check_answer(TWO_LINES, answer("8.89"), tolerance=Decimal(0))
    assert check_answer(TWO_LINES, answer("9.08"), tolerance=Decimal("0.10"))


def test_each_line_is_rounded_for_itself_as_engines_do() -> None:
    """Ten lines of 0.05 at 10 % are ten times 0.01 (half away), not 10 % of 0.50."""
    lines = tuple(invoice_line(n, "0.05") for n in range(1, 11))
    ten = invoice("INV-1", "0.50", lines=lines)
    by_line = dict.fromkeys(range(1, 11), "0.01")
    given = answer("0.10", by_line, net="0.50", rates={str(n): "0.10" for n in range(1, 11)})
    assert check_answer(ten, given) is given
