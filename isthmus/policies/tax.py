"""Is the tax engine's answer one the hub can stand behind?"""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import is_exact_amount, minor_unit
from isthmus.domain.objects import Invoice, TaxAnswer
from isthmus.policies.tax_amounts import Rounding, Taxable, work_out

POLICY = "tax/2"


def check_answer(
    invoice: Invoice, answer: TaxAnswer, rounding: Rounding = "line", tolerance: Decimal | None = None
) -> TaxAnswer:
    """The answer, if its base is the invoice's and its tax is what its own rates give.

    rounding: how the regime of the entity rounds. By line, as US engines do: each line's tax is rounded half away from
    zero, the total is their sum. By category, as EN 16931 does: the tax of all lines of a rate is rounded once.
    tolerance: how far a line or a category may be off, in the invoice's currency; one minor unit unless told. Tax the
    engine gives no rate for is a difference too. Raises NeedsDecision EX-TAX-DIFF with the difference.
    """
    asked = sum((line.asked_net for line in invoice.lines), Decimal(0))
    if answer.net != asked or answer.currency != invoice.currency:
        raise _difference(invoice, f"the engine taxed {answer.net} {answer.currency}", answer.net - asked)
    rates = {line.number: answer.rates.get(str(line.number), Decimal(0)) for line in invoice.lines}
    rows = [Taxable(line.number, line.asked_net, "", rates[line.number]) for line in invoice.lines]
    expected = work_out(rows, invoice.currency, rounding)
    rounded = len(invoice.lines) if rounding == "line" else len(expected.breakdown)
    allowed = (minor_unit(invoice.currency) if tolerance is None else tolerance) * rounded
    if abs(expected.tax - answer.tax) > allowed:
        cause = f"its rates give {expected.tax} by {rounding}, it says {answer.tax}"
        raise _difference(invoice, cause, answer.tax - expected.tax)
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
