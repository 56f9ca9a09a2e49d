"""Subcontractors' bills: held against approved time at the purchase rate, retained in part, paid when they may be.

A bill pays hours that are approved and that no bill has paid. An hour that was corrected after it was paid is open by
the difference, at its worth now less what was paid for it; where it became less, only a credit takes it back.

Retention follows the vendor retention of Dynamics 365 Project Operations (procurement/vendor-retention-overview): the
term a bill falls under is the first one whose percent of the ordered hours is not exceeded with the bill; a term that
is reached pays out its share of what was kept back before the bill.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import round_half_away
from isthmus.domain.subcontracting import BillLine, Claim, RetentionTerm, Subcontract, SubcontractorBill
from isthmus.policies.quantities import extend

POLICY = "subcontracts/1"
ZERO, WHOLE = Decimal(0), Decimal(100)


# -- matching --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ApprovedWork:
    """An approved entry of a supplier's person as it stands now, and what bills have paid of it so far."""

    entry_key: str
    person: str
    service_date: date
    hours: Decimal
    revision: int = 1
    paid_hours: Decimal = ZERO
    paid_amount: Decimal = ZERO
    paid_by: str = ""

    @property
    def open(self) -> Decimal:
        """Hours that no bill has paid; below nothing where more was paid than is approved now."""
        return self.hours - self.paid_hours


@dataclass(frozen=True)
class Tolerance:
    """How far a line of a bill may be off approved time, in hours and in the currency of the bill."""

    hours: Decimal = ZERO
    amount: Decimal = ZERO


@dataclass(frozen=True)
class Matched:
    """What a bill pays, and what is wrong with it. twice: it asks for hours that are paid; nobody can let that pass."""

    claims: tuple[Claim, ...]
    problems: tuple[str, ...] = ()
    twice: bool = False

    @property
    def worth(self) -> Decimal:
        """What the hours come to at the purchase rate."""
        return sum((claim.amount for claim in self.claims), ZERO)


@dataclass
class _Found:
    claims: list[Claim] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    taken: set[tuple[str, str]] = field(default_factory=set)
    twice: bool = False


def match(
    lines: Sequence[BillLine], work: Sequence[ApprovedWork], subcontract: Subcontract, tolerance: Tolerance
) -> Matched:
    """Every line with the approved entries it pays: the person's in its days that are open in its direction.

    A problem for each line whose hours or amount are not theirs, for time that two lines or two bills claim, and for a
    person without a purchase rate.
    """
    found = _Found()
    for number, line in enumerate(lines, start=1):
        inside = [w for w in work if w.person == line.person and line.start <= w.service_date <= line.end]
        _match_line(found, number, line, inside, subcontract, tolerance)
    return Matched(tuple(found.claims), tuple(found.problems), found.twice)


def _match_line(
    found: _Found,
    number: int,
    line: BillLine,
    inside: Sequence[ApprovedWork],
    subcontract: Subcontract,
    tolerance: Tolerance,
) -> None:
    back = line.hours < 0
    mine = [w for w in inside if (w.open < 0 if back else w.open > 0)]
    again = sorted(w.entry_key for w in mine if (w.entry_key, w.person) in found.taken)
    if again:
        found.problems.append(f"line {number} claims {', '.join(again)} again")
        found.twice = True
        return
    claims, unpriced = _claims(number, mine, subcontract)
    found.claims += claims
    found.taken |= {(claim.source_key, claim.person) for claim in claims}
    hours, worth = sum((c.hours for c in claims), ZERO), sum((c.amount for c in claims), ZERO)
    if unpriced:
        lacking = f"no purchase rate of {line.person} {', '.join(unpriced)}"
        found.problems.append(f"line {number}: subcontract {subcontract.key} has {lacking}")
    elif abs(line.hours - hours) > tolerance.hours:
        known = "paid beyond what is approved" if back else "approved and not paid"
        found.problems.append(f"line {number} has {line.hours} h of {line.person}, {known} are {hours}{_paid(inside)}")
        found.twice |= not back and not mine and any(w.paid_hours > 0 for w in inside)
    elif abs(line.amount - worth) > tolerance.amount:
        found.problems.append(f"line {number} asks {line.amount}, {hours} h at the purchase rate are {worth}")


def _claims(number: int, work: Iterable[ApprovedWork], subcontract: Subcontract) -> tuple[list[Claim], list[str]]:
    """What of these entries is to be paid, and the days on which their person has no rate."""
    claims: list[Claim] = []
    unpriced: list[str] = []
    for one in sorted(work, key=lambda w: (w.service_date, w.entry_key)):
        rate = rate_on(subcontract, one.person, one.service_date)
        if rate is None:
            unpriced.append(f"on {one.service_date}")
            continue
        worth = extend(one.hours, rate, subcontract.currency) - one.paid_amount
        claims.append(
            Claim(
                line=number,
                source_key=one.entry_key,
                entry_revision=one.revision,
                person=one.person,
                service_date=one.service_date,
                hours=one.open,
                rate=rate,
                amount=worth,
            )
        )
    return claims, unpriced


def _paid(inside: Iterable[ApprovedWork]) -> str:
    by = sorted({w.paid_by for w in inside if w.paid_by})
    return f" (paid by bill {', '.join(by)})" if by else ""


def rate_on(subcontract: Subcontract, person: str, day: date) -> Decimal | None:
    """The purchase rate of a person on a day of service; None when nothing is agreed."""
    return next((r.rate for r in subcontract.rates if r.person == person and r.covers(day)), None)


def tolerance_of(subcontract: Subcontract, of_entity: Tolerance) -> Tolerance:
    """What the subcontract says, else the legal entity."""
    hours, amount = subcontract.tolerance_hours, subcontract.tolerance_amount
    return Tolerance(of_entity.hours if hours is None else hours, of_entity.amount if amount is None else amount)


def refusal(bill: SubcontractorBill, found: Matched, same_as: str = "") -> NeedsDecision:
    """EX-SUBCON-MATCH: nothing of the bill is paid until it is decided. Hours that are paid already are never let pass.

    same_as: another bill of the supplier with the same content.
    """
    problems = [f"it has the content of bill {same_as}"] if same_as else []
    problems += found.problems
    accept = () if found.twice or same_as else ("accept",)
    return NeedsDecision(
        "EX-SUBCON-MATCH",
        f"bill {bill.bill_no} of {bill.supplier} over {bill.total} {bill.currency}: {'; '.join(problems)}",
        queue="procurement",
        money=(bill.total, bill.currency),
        context={
            "bill": bill.bill_id,
            "subcontract": bill.subcontract_no,
            "project": bill.project_code,
            "prepared_by": bill.handed_in_by,
            "asked": str(bill.total),
            "worth": str(found.worth),
            "difference": str(bill.total - found.worth),
            "problems": problems,
            **({"same_as": same_as} if same_as else {}),
        },
        actions=(*accept, "dispute", "retry", "cancel"),
    )


# -- retention -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Movement:
    """What a bill keeps back (plus; minus where a credit takes it back) or pays out (minus), and by which term; None
    where a person has decided.
    """

    kind: Literal["withheld", "released"]
    until_percent: Decimal | None
    amount: Decimal


@dataclass(frozen=True)
class Retained:
    """A bill's retention: what is kept back of it, and what it brings of earlier ones."""

    movements: tuple[Movement, ...] = ()

    @property
    def withheld(self) -> Decimal:
        """Kept back of this bill; below nothing where a credit takes back what was kept."""
        return sum((m.amount for m in self.movements if m.kind == "withheld"), ZERO)

    @property
    def released(self) -> Decimal:
        """Paid out of what was kept back before."""
        return -sum((m.amount for m in self.movements if m.kind == "released"), ZERO)


def retain(
    total: Decimal,
    *,
    delivered: Decimal,
    held: Decimal,
    reached: Iterable[Decimal],
    terms: Sequence[RetentionTerm],
    ordered: Decimal,
    currency: str,
) -> Retained:
    """What is kept back of a bill over total and what it releases.

    delivered: hours of all bills with this one, of the ordered ones. held: kept back before it. reached: terms that
    were reached before, by their percent. A credit (total below nothing) gives back in the proportion of its term, at
    most what is held, and reaches nothing; what was paid out stays paid out.
    """
    movements: list[Movement] = []
    done, left = set(reached), held
    for term in terms if total >= 0 else ():
        if term.until_percent * ordered <= delivered * WHOLE and term.until_percent not in done:
            share = round_half_away(left * term.release_percent / WHOLE, currency)
            left -= share
            movements.append(Movement("released", term.until_percent, -share))
    applies = next((t for t in terms if delivered * WHOLE <= t.until_percent * ordered), None)
    if applies is not None:
        kept = round_half_away(total * applies.retain_percent / WHOLE, currency)
        movements.append(Movement("withheld", applies.until_percent, max(kept, -held)))
    return Retained(tuple(movements))


# -- payment ---------------------------------------------------------------------------------------------------


PaymentRule = Literal["when_due", "when_paid"]


def may_pay(rule: PaymentRule, *, matched: bool, confirmed: bool, client_paid: bool) -> bool:
    """Whether a matched bill that the project manager has confirmed is paid now, or waits for the client's money."""
    return matched and confirmed and (rule == "when_due" or client_paid)


@dataclass(frozen=True)
class Evidence:
    """Where the client's side of an hour is: state of its part, its net, and of its invoice what is still open."""

    source_key: str
    state: str
    net: Decimal
    reason: str = ""
    invoice: str = ""
    open: Decimal = ZERO


def missing_money(keys: Iterable[str], evidence: Mapping[str, Sequence[Evidence]]) -> list[str]:
    """What the client has still to pay for these hours, in words; nothing when all of it is paid.

    Hours that carry no money (not billable) wait for none. A share of an invoice counts as paid when nothing of the
    invoice is open: nobody can tell which of its lines a part payment is for. Hours that were given up are never paid
    by the client, so they are named until a person decides.
    """
    missing: list[str] = []
    for key in sorted(set(keys)):
        if key not in evidence:
            missing.append(f"{key} is no evidence yet")
        for part in evidence.get(key, ()):
            if part.state == "invoiced" and part.open:
                missing.append(f"{key}: {part.open} of invoice {part.invoice} is open")
            elif part.state != "invoiced" and part.net:
                why = f" ({part.reason})" if part.reason else ""
                missing.append(f"{key}: {part.net} is {part.state.replace('_', ' ')}{why}, not invoiced")
    return missing
