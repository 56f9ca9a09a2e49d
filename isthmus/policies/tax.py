"""Is the tax engine's answer one the hub can stand behind?"""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import minor_unit, round_half_away
from isthmus.domain.objects import Invoice, TaxAnswer

POLICY = "tax/1"


def check_answer(invoice: Invoice, answer: TaxAnswer) -> TaxAnswer:
    """The answer, if its base is the invoice's and its tax is what its own rates give, within one unit a line.

    Line rounding, as US engines do it: each line's tax is rounded half away from zero, the total is their sum. Raises
    NeedsDecision EX-TAX-DIFF with the difference.
    """
    if answer.net != invoice.net or answer.currency != invoice.currency:
        raise _difference(invoice, f"the engine taxed {answer.net} {answer.currency}", answer.net - invoice.net)
    expected = Decimal(0)
    for line in invoice.lines:
        rate = answer.rates.get(str(line.number), Decimal(0))
        expected += round_half_away(line.net * rate, invoice.currency)
    allowed = minor_unit(invoice.currency) * len(invoice.lines)
    if answer.rates and abs(expected - answer.tax) > allowed:
        raise _difference(invoice, f"its rates give {expected}, it says {answer.tax}", answer.tax - expected)
    if answer.line_taxes and sum(answer.line_taxes.values(), Decimal(0)) != answer.tax:
        raise _difference(invoice, "its line taxes do not add up to its tax", answer.tax)
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
