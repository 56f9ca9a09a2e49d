"""Who is taxed where, and why: the decision behind the tax of a document, kept with it.

Services to a business are taxed where the client is established (Directive 2006/112/EC, Article 44), services to a
consumer where the seller is (Article 45); a consultant's services to a consumer outside the European Union where the
consumer is (Article 59). Taxed in the seller's country they carry its rates. Between two member states the client owes
the tax: reverse charge, Article 196, category AE, rate 0, with the VAT ids of both. Anywhere else they are outside the
seller's scope, category O. A seller outside the Union decides by the same places, without reverse charge.

What the decision needs and does not have puts the document on hold (TAX): no VAT id, one that was never validated or
whose validation has expired, an exemption without certificate, a category without a rate. It is never guessed.

Rates are data of the entity. This is how the hub decides, not tax advice: the firm's tax desk owns rates and rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from isthmus.domain.objects import Client, InvoiceLine, LegalEntity, TaxCategory
from isthmus.policies.eu import MEMBERS, VAT_PREFIXES
from isthmus.policies.tax_amounts import Taxable, work_out

POLICY = "tax_decision/1"
ZERO = Decimal(0)
STANDARD, REVERSE_CHARGE, EXEMPT, OUTSIDE, ZERO_RATED = "S", "AE", "E", "O", "Z"
UNTAXED = frozenset({REVERSE_CHARGE, EXEMPT, OUTSIDE, ZERO_RATED})
Result = Literal["domestic", "reverse_charge", "outside_scope", "exempt"]


@dataclass(frozen=True)
class Treatment:
    """How lines of one tax category of the contract are taxed: EN 16931 category, rate (0.21), and why not taxed."""

    category: str
    rate: Decimal
    reason: str = ""


@dataclass(frozen=True)
class TaxDecision:
    """The facts a tax decision rests on and what follows. hold: why the document must wait, or empty.

    treatments: by the tax category that stands on the contract's lines ("" is the standard one).
    """

    on: date
    entity: str
    entity_country: str
    entity_tax_id: str
    client_no: str
    client_country: str
    client_tax_status: str
    client_tax_id: str
    validated_on: date | None
    valid_until: date | None
    service_code: str
    place_of_supply: str
    result: Result
    treatments: Mapping[str, Treatment]
    hold: str = ""

    def record(self) -> dict[str, str]:
        """The decision as text, to be kept with the document."""
        facts = {name: value for name, value in vars(self).items() if name != "treatments"}
        told = {name: str(value) for name, value in facts.items() if value not in ("", None)}
        for code, treatment in self.treatments.items():
            why = f": {treatment.reason}" if treatment.reason else ""
            told[f"category {code or STANDARD}"] = f"{treatment.category} {treatment.rate}{why}"
        return {"policy": POLICY, **told}


def decide_tax(
    entity: LegalEntity, client: Client, categories: Iterable[str], on: date, *, service_code: str = "consulting"
) -> TaxDecision:
    """The tax decision of a document on its tax point date.

    categories: of the contract lines on it. "S", "Z", "E", or the entity's own name of a rate such as "S-reduced": what
    stands before the dash is the EN 16931 category. "O" (a disbursement) is outside the scope everywhere.
    """
    place = place_of_supply(entity, client)
    codes = sorted(set(categories)) or [""]
    result, hold = _result(entity, client, place, on)
    rates = entity.rates_on(on)
    treatments = {code: _treatment(entity, client, code, result, place, rates) for code in codes}
    missing = [code or STANDARD for code, treatment in treatments.items() if treatment is None]
    if missing and not hold:
        hold = f"{entity.code} has no tax rate for category {', '.join(missing)}"
    return TaxDecision(
        on=on,
        entity=entity.code,
        entity_country=entity.country,
        entity_tax_id=entity.tax_id,
        client_no=client.client_no,
        client_country=client.country,
        client_tax_status=client.tax_status,
        client_tax_id=client.tax_id,
        validated_on=client.tax_id_validated_on,
        valid_until=client.tax_id_valid_until,
        service_code=service_code,
        place_of_supply=place,
        result=result,
        treatments={code: treatment for code, treatment in treatments.items() if treatment is not None},
        hold=hold,
    )


def place_of_supply(entity: LegalEntity, client: Client) -> str:
    """The country a service is taxed in; empty when the client has none."""
    if client.tax_status != "consumer":
        return client.country
    leaves_the_union = entity.country in MEMBERS and client.country not in MEMBERS
    return client.country if leaves_the_union else entity.country


def _result(entity: LegalEntity, client: Client, place: str, on: date) -> tuple[Result, str]:
    """What the places make of it, and what is missing for it."""
    if not place:
        return "domestic", f"client {client.client_no} has no country"
    if client.tax_exempt or client.tax_status == "exempt":
        proof = client.exemption_certificate
        return "exempt", "" if proof else f"client {client.client_no} is exempt, but no certificate is there"
    if place == entity.country:
        return "domestic", ""
    if entity.country in MEMBERS and place in MEMBERS:
        missing = "" if entity.tax_id else f"{entity.code} has no VAT id to write on a reverse charge"
        return "reverse_charge", missing or vat_id_problem(client, on)
    return "outside_scope", ""


def vat_id_problem(client: Client, on: date) -> str:
    """Why the client's VAT id does not support a reverse charge on a day; empty when it does."""
    who, prefix = f"client {client.client_no}", VAT_PREFIXES.get(client.country, client.country)
    if not client.tax_id:
        return f"{who} has no VAT id"
    if not client.tax_id.upper().startswith(prefix):
        return f"the VAT id {client.tax_id} of {who} is not one of {client.country}: it begins with {prefix}"
    if client.tax_id_validated_on is None or client.tax_id_validated_on > on:
        return f"the VAT id {client.tax_id} of {who} was not validated by {on}"
    if client.tax_id_valid_until is not None and client.tax_id_valid_until < on:
        return f"the validation of VAT id {client.tax_id} of {who} has expired on {client.tax_id_valid_until}"
    return ""


def _treatment(
    entity: LegalEntity, client: Client, code: str, result: Result, place: str, rates: Mapping[str, Decimal]
) -> Treatment | None:
    """None when the entity has no rate for a category it taxes."""
    category = code.partition("-")[0] or STANDARD
    if category == OUTSIDE:
        return Treatment(OUTSIDE, ZERO, "Paid in the name of the client: not subject to VAT")
    if result == "exempt":
        return Treatment(EXEMPT, ZERO, f"Exempt: certificate {client.exemption_certificate}")
    if result == "reverse_charge":
        return Treatment(REVERSE_CHARGE, ZERO, "Reverse charge: Articles 44 and 196 of Directive 2006/112/EC")
    if result == "outside_scope":
        return Treatment(OUTSIDE, ZERO, f"Not subject to tax in {entity.country}: place of supply {place}")
    rate = rates.get(code or STANDARD)
    if category in UNTAXED:
        return Treatment(category, ZERO, "" if category == ZERO_RATED else f"Exempt under the law of {entity.country}")
    return None if rate is None else Treatment(category, rate)


def category_taxes(
    lines: Sequence[InvoiceLine],
    decision: TaxDecision,
    entity: LegalEntity,
    currency: str,
    on_lines: Mapping[int, TaxDecision] | None = None,
) -> tuple[list[InvoiceLine], tuple[TaxCategory, ...]]:
    """Lines with their category, rate and tax, and the document's breakdown, rounded as the entity's regime does.

    on_lines: by line number, the decision on its own tax point, where that is another day than the document's.
    """
    own, rows = on_lines or {}, []
    for line in lines:
        decided = own.get(line.number, decision)
        assert not decided.hold, f"a decision on hold taxes nothing: {decided.hold}"
        treatment = decided.treatments[line.tax_category]
        rows.append(Taxable(line.number, line.taxed_net, treatment.category, treatment.rate, treatment.reason))
    found = work_out(rows, currency, entity.tax_rounding)
    by_number = {row.number: row for row in rows}
    taxed = [
        line.model_copy(
            update={
                "tax": found.line_taxes[line.number],
                "tax_category": by_number[line.number].code,
                "tax_rate": by_number[line.number].rate,
            }
        )
        for line in lines
    ]
    return taxed, found.breakdown


def breakdown_of(lines: Iterable[InvoiceLine], reasons: Iterable[TaxCategory] = ()) -> tuple[TaxCategory, ...]:
    """The breakdown of lines that carry their tax already, by category and rate: what a credit at the original rate
    has. reasons: the original's breakdown, for the words of a category without tax.
    """
    words = {(category.code, category.rate): category.reason for category in reasons}
    sums: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
    for line in lines:
        key = (line.tax_category or STANDARD, line.tax_rate or ZERO)
        net, tax = sums.get(key, (ZERO, ZERO))
        sums[key] = (net + line.taxed_net, tax + line.tax)
    return tuple(
        TaxCategory(code=code, rate=rate, taxable=net, tax=tax, reason=words.get((code, rate), ""))
        for (code, rate), (net, tax) in sorted(sums.items())
    )


def breakdown_problems(
    breakdown: Sequence[TaxCategory], lines: Sequence[InvoiceLine], decision: TaxDecision
) -> list[str]:
    """What is wrong with a breakdown, in words: INV-25 and the rules of EN 16931 for untaxed categories."""
    problems = []
    for category in breakdown:
        name = f"category {category.code} at {category.rate}"
        mine = [one for one in lines if (one.tax_category, one.tax_rate or ZERO) == (category.code, category.rate)]
        taxable = sum((line.taxed_net for line in mine), ZERO)
        if taxable != category.taxable:
            problems.append(f"{name} taxes {category.taxable}, its lines are {taxable}")
        if category.code in UNTAXED and (category.tax or category.rate):
            problems.append(f"{name} carries tax of {category.tax}")
        if category.code in UNTAXED - {ZERO_RATED} and not category.reason:
            problems.append(f"{name} does not say why")
    if any(category.code == REVERSE_CHARGE for category in breakdown):
        ids = (decision.entity_tax_id, decision.client_tax_id)
        if not all(ids) or decision.validated_on is None:
            problems.append("a reverse charge needs the VAT ids of both sides, the client's validated")
        if sum(category.code == REVERSE_CHARGE for category in breakdown) > 1:
            problems.append("there is more than one reverse charge category (BR-AE-01)")
    return problems


def tax_point(
    rule: Literal["issue", "service_end", "earliest"], issued: date, service_end: date, paid: date | None
) -> date:
    """The day whose rates and validations apply to a line: of issue, of the end of its service, or the earliest of
    these and of payment (Directive 2006/112/EC, articles 63 to 66: a member state may choose; an advance that is paid
    before is taxed then).
    """
    if rule == "issue":
        return issued
    if rule == "service_end":
        return service_end
    return min(day for day in (issued, service_end, paid) if day is not None)
