"""Is the tax engine's answer one the hub can stand behind?"""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import is_exact_amount, minor_unit, round_half_away
from isthmus.domain.objects import Invoice, TaxAnswer

POLICY = "tax/1"


def check_answer(invoice: Invoice, answer: TaxAnswer) -> TaxAnswer:
    """The answer, if its base is the invoice's and its tax is what its own rates give, within one unit a line.

    Line rounding, as US engines do it: each line's tax is rounded half away from zero, the total is their sum. Tax the
    engine gives no rate for is a difference too. Raises NeedsDecision EX-TAX-DIFF with the difference.
    """
    if answer.net != invoice.net or answer.currency != invoice.currency:
        raise _difference(invoice, f"the engine taxed {answer.net} {answer.currency}", answer.net - invoice.net)
    expected = Decimal(0)
    for line in invoice.lines:
        rate = answer.rates.get(str(line.number), Decimal(0))
        expected += round_half_away(line.net * rate, invoice.currency)
    allowed = minor_unit(invoice.currency) * len(invoice.lines)
    if abs(expected - answer.tax) > allowed:
        raise _difference(invoice, f"its rates give {expected}, it says {answer.tax}", answer.tax - expected)
    if not is_exact_amount(answer.tax, invoice.currency):
        raise _difference(invoice, f"its tax of {answer.tax} does not fit the currency", answer.tax)
    by_line = sum((answer.line_taxes.get(line.number, Decimal(0)) for line in invoice.lines), Decimal(0))
    if by_line != answer.tax:
        raise _difference(
            invoice, f"its taxes of our lines add up to {by_line}, not {answer.tax}", answer.tax - by_line
        )
    return answer


def _difference(invoice: Invoice, cause: str, amount: Decimal) -> NeedsDecision:
    return NeedsDecision(
        "EX-TAX-DIFF",
        f"invoice {invoice.invoice_id}: net {invoice.net} {invoice.currency}, {cause}",
        queue="tax",
        money=(abs(amount), invoice.currency),
        context={"invoice": invoice.invoice_id},
        actions=("retry", "cancel"),
    )
