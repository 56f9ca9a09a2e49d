"""The calculation: tax per line, split over the jurisdictions of the line's destination.

Each line is rounded half up to the currency's minor unit and the document's tax is the sum of its lines; the rates
are the sandbox's sample rows. Tax code NT is non-taxable. An exemption number or an entity use code exempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from isthmus.sandbox.avalara import rates
from isthmus.sandbox.avalara.errors import Refusal
from isthmus.sandbox.avalara.money import minor_unit, rounded
from isthmus.sandbox.avalara.request import DocumentRequest, LineRequest
from isthmus.sandbox.base import Record, Records

ZERO = Decimal(0)


@dataclass
class Share:
    """What one jurisdiction takes of one line."""

    jurisdiction: Record
    rate: Decimal
    taxable: Decimal
    non_taxable: Decimal
    exempt: Decimal
    tax: Decimal
    calculated: Decimal


@dataclass
class LineResult:
    """One calculated line; amount is net of tax."""

    request: LineRequest
    destination: Record
    origin: Record
    amount: Decimal
    discount: Decimal
    taxable: Decimal
    exempt: Decimal
    tax: Decimal
    calculated: Decimal
    tax_date: str
    item_taxable: bool
    exempt_no: str
    use_code: str
    shares: list[Share]


def calculate(request: DocumentRequest, records: Records, nexus: set[tuple[str, str]] | None) -> list[LineResult]:
    """Every line of a document calculated; nexus, when given, limits tax to the places registered."""
    unit = minor_unit(request.currency)
    discounts = _discounts(request, unit)
    results = [_line(request, line, records, nexus, d, unit) for line, d in zip(request.lines, discounts, strict=True)]
    if request.override.type == "TaxAmount":
        _spread_override(request, results, unit)
    return results


def _line(
    request: DocumentRequest,
    line: LineRequest,
    records: Records,
    nexus: set[tuple[str, str]] | None,
    discount: Decimal,
    unit: Decimal,
) -> LineResult:
    destination = rates.locate(line.addresses.get("shipTo") or line.addresses.get("shipFrom"))
    origin = rates.locate(line.addresses.get("shipFrom") or line.addresses.get("shipTo"))
    tax_date = line.override.tax_date or request.day
    row = rates.find(records, destination, line.tax_code, tax_date)
    registered = nexus is None or (destination["country"], row["region"]) in nexus
    rate = rates.combined_rate(row) if registered else ZERO
    exempt_no, use_code = _exemption(request, line)
    item_taxable = line.tax_code != "NT"
    exempt = bool(exempt_no) or use_code not in ("", "TAXABLE") or line.override.type == "Exemption"
    charged = rate if item_taxable and not exempt else ZERO
    gross = line.amount - discount
    if line.raw.get("taxIncluded"):
        # The amount holds its own tax: take the net out first, the rest is tax, so that both add up to the amount.
        net = rounded(gross / (1 + charged), unit)
        calculated = gross - net
    else:
        net, calculated = gross, rounded(gross * charged, unit)
    own_override = line.override is not request.override and line.override.type == "TaxAmount"
    tax = line.override.amount if own_override else calculated
    taxable = net if item_taxable and not exempt else ZERO
    result = LineResult(
        line, destination, origin, net + discount, discount, taxable, net - taxable, tax, calculated,
        tax_date, item_taxable, exempt_no, use_code, [],
    )  # fmt: skip
    result.shares = _shares(result, row, registered, unit)
    return result


def _exemption(request: DocumentRequest, line: LineRequest) -> tuple[str, str]:
    doc, own = request.raw, line.raw
    exempt_no = str(own.get("exemptionCode") or doc.get("exemptionNo") or "")
    use_code = str(own.get("entityUseCode") or own.get("customerUsageType") or "")
    return exempt_no, use_code or str(doc.get("entityUseCode") or doc.get("customerUsageType") or "")


def _shares(line: LineResult, row: Record, registered: bool, unit: Decimal) -> list[Share]:
    """The line's tax by jurisdiction; the first one takes the rounding difference, so that shares add up."""
    shares = []
    net = line.amount - line.discount
    for jurisdiction in row["jurisdictions"]:
        rate = Decimal(str(jurisdiction["rate"])) if registered else ZERO
        tax = rounded(line.taxable * rate, unit)
        non_taxable = ZERO if line.item_taxable else net
        shares.append(Share(jurisdiction, rate, line.taxable, non_taxable, net - line.taxable - non_taxable, tax, tax))
    shares[0].calculated += line.calculated - sum((s.calculated for s in shares), ZERO)
    shares[0].tax += line.tax - sum((s.tax for s in shares), ZERO)
    return shares


def _discounts(request: DocumentRequest, unit: Decimal) -> list[Decimal]:
    """The document discount spread over the lines marked discounted, by amount; the last one takes the rest."""
    marked = [i for i, line in enumerate(request.lines) if line.raw.get("discounted")]
    spread = [ZERO] * len(request.lines)
    if not request.discount:
        return spread
    base = sum((request.lines[i].amount for i in marked), ZERO)
    if not marked or not base:
        raise Refusal("NoLinesDiscounted", "No line is marked as discounted.", refers_to="discount")
    for i in marked:
        spread[i] = rounded(request.discount * request.lines[i].amount / base, unit)
    spread[marked[-1]] += request.discount - sum(spread, ZERO)
    return spread


def _spread_override(request: DocumentRequest, results: list[LineResult], unit: Decimal) -> None:
    """A document's TaxAmount override spread over its lines by calculated tax, or by amount when none was due."""
    weights = [abs(r.calculated) for r in results]
    if not any(weights):
        weights = [abs(r.amount) or Decimal(1) for r in results]
    whole, left = sum(weights, ZERO), request.override.amount
    for result, weight in zip(results, weights, strict=True):
        result.tax = rounded(request.override.amount * weight / whole, unit)
        left -= result.tax
    heaviest = weights.index(max(weights))
    results[heaviest].tax += left
    for result in results:
        result.shares[0].tax += result.tax - sum((s.tax for s in result.shares), ZERO)
