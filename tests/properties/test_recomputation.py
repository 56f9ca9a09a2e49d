"""Random contracts, billed by the policies and by naive sums: the difference is 0.00.

The number of contracts is ISTHMUS_CONTRACTS (make properties CONTRACTS=...); it is printed with the seconds it took.
"""

from __future__ import annotations

import ast
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from isthmus.domain.objects import (
    BillableItem,
    BillingType,
    Cap,
    ContractLine,
    ContractVersion,
    Discount,
    Holdback,
    Increment,
    Payer,
    Rate,
    TimeEntry,
)
from isthmus.domain.states import PartState
from isthmus.domain.terms import Band, DayRule
from isthmus.policies.caps import Placement, Share, place
from isthmus.policies.charges import Terms, charge_time, groups_of_days, items_of
from isthmus.policies.composition import plan_invoices
from isthmus.policies.layouts import Evidence, compose
from isthmus.processes.work.drafting import with_holdback
from isthmus.processes.work.evidence import order_key
from tests.end_of_run import TOLD
from tests.processes.hub import contract, entry
from tests.properties import naive

CONTRACTS = int(os.environ.get("ISTHMUS_CONTRACTS", "1000"))
SEED = int(os.environ.get("ISTHMUS_SEED", "20260301"))
DECIMALS = {"USD": 2, "JPY": 0, "KWD": 3}
ROLES = ("Consultant", "Architect")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = 32


# -- random facts, as plain values -----------------------------------------------------------------------------


def random_terms(dice: random.Random) -> dict[str, Any]:
    """Amounts in minor units, hours in ten-thousandths, days of March."""
    change = dice.choice([END, END, dice.randint(5, 20)])
    shares = dice.choice([(), (), ("60", "40"), ("33.33", "33.33", "33.34"), ("12.5", "87.5")])
    # Who pays beside the client, C-1, or without it.
    first = dice.choice([0, 1])
    payers = [(f"B-{n}" if n else "C-1", Fraction(percent)) for n, percent in enumerate(shares, start=first)]
    bands = dice.choice([(), (), ((8, Fraction(1)), (12, Fraction(3, 2)))])
    caps = [
        {"role": "", "payer": "", "left": dice.randint(50_000, 600_000)},
        {"role": dice.choice(ROLES), "payer": "", "left": dice.randint(20_000, 300_000)},
        {"role": "", "payer": payers[0][0] if payers else "", "left": dice.randint(20_000, 300_000)},
    ]
    return {
        "currency": dice.choice(list(DECIMALS)),
        "rates": [
            {"role": role, "cents": dice.randint(3_000, 40_000), "from": start, "to": end}
            for role in ROLES
            for start, end in ([(1, change), (change, END)] if change < END else [(1, END)])
        ],
        "step": dice.choice([None, None, (6, "up", 0), (15, "nearest", 0), (15, "up", 30), (30, "down", 15)]),
        "bands": bands,
        "percent_off": Fraction(dice.choice(["0", "0", "2.5", "7"])),
        "payers": payers,
        "takes_rest": dice.randrange(len(payers)) if payers else 0,
        "holdback": Fraction(dice.choice(["0", "0", "5", "7.5"])),
        "caps": dice.sample(caps, dice.randint(0, 2)),
    }


def random_entries(dice: random.Random, terms: dict[str, Any]) -> list[dict[str, Any]]:
    """Up to twelve entries of two people; hours that no decimal can hold (67 minutes), and quarter minutes."""
    odd = [10_000, 11_167, 3_500, 3_333, 1_000, 22_500, 47_500]
    odd += [] if terms["bands"] else [1_250, 333]
    people = {"ann": dice.choice(ROLES), "bob": dice.choice(ROLES)}
    found = []
    for number in range(dice.randint(1, 12)):
        person = dice.choice(sorted(people))
        told = {"id": f"e{number:02d}", "person": person, "role": people[person], "day": dice.randint(1, 8)}
        same_day = [e["hours"] for e in found if (e["person"], e["day"]) == (person, told["day"])]
        if sum(same_day) > 190_000:  # a day has 24 hours
            continue
        found.append({**told, "hours": dice.choice(odd), "approved": dice.randint(0, 9) * 100 + number})
    return found


# -- the same for the policies ---------------------------------------------------------------------------------


def as_contract(terms: dict[str, Any]) -> ContractVersion:
    """The terms as the hub keeps them."""
    scale = -DECIMALS[terms["currency"]]

    def money(units: int) -> Decimal:
        return Decimal(units).scaleb(scale)

    def number(value: Fraction) -> Decimal:
        return Decimal(value.numerator) / value.denominator

    step, payers = terms["step"], terms["payers"]
    line = ContractLine(
        line_uid="L1",
        description="Advice",
        billing_type=BillingType.TM,
        rates=tuple(
            Rate(
                role=rate["role"],
                bill_rate=money(rate["cents"]),
                effective_from=date(2026, 3, rate["from"]),
                effective_to=date(2026, 3, rate["to"]) if rate["to"] < END else None,
            )
            for rate in terms["rates"]
        ),
        increment=Increment(minutes=step[0], mode=step[1], minimum_minutes=step[2]) if step else None,
        day_rule=DayRule(bands=tuple(Band(up_to_hours=Decimal(e), multiplier=number(m)) for e, m in terms["bands"]))
        if terms["bands"]
        else None,
        discounts=(Discount(kind="percent", percent=number(terms["percent_off"])),) if terms["percent_off"] else (),
        payers=tuple(
            Payer(bill_to=name, percent=number(percent), rounding=n == terms["takes_rest"])
            for n, (name, percent) in enumerate(payers)
        ),
        holdback=Holdback(percent=number(terms["holdback"])) if terms["holdback"] else None,
    )
    caps = tuple(
        Cap(
            cap_id=f"cap {n}",
            scope="role" if cap["role"] else "payer" if cap["payer"] else "contract",
            role=cap["role"],
            payer=cap["payer"],
            limit=money(cap["left"]),
        )
        for n, cap in enumerate(terms["caps"])
    )
    return contract(currency=terms["currency"], lines=(line,), caps=caps)


def as_entry(one: dict[str, Any]) -> TimeEntry:
    """The entry as its PSA has it."""
    return entry(
        0,
        str(Decimal(one["hours"]).scaleb(-4)),
        source_id=one["id"],
        person=one["person"],
        role=one["role"],
        service_date=date(2026, 3, one["day"]),
        approved_at=NOON + timedelta(seconds=one["approved"]),
    )


def billed_by_policies(version: ContractVersion, entries: list[TimeEntry]) -> dict[str, tuple[Decimal, Decimal]]:
    """By payer, what the hub's policies ask for and hold back."""
    terms = Terms(versions=[version])
    charges = [charge for group in groups_of_days(entries, terms) for charge in charge_time(group, terms)]
    items = {item.item_id: item for charge in charges for item in items_of(charge)}
    placed = place([share_of_item(item) for item in items.values()], version, [])
    ready = [p for p in placed if p.state is PartState.READY]
    pieces = [evidence_of_part(p, items[p.item_id], f"{p.item_id}/{n}") for n, p in enumerate(ready)]
    totals: dict[str, tuple[Decimal, Decimal]] = {}
    for plan in plan_invoices(pieces, [version]):
        lines = with_holdback(compose(plan.evidence, [version], plan.layout), [version])
        asked, held = totals.get(plan.evidence[0].payer, (Decimal(0), Decimal(0)))
        asked, held = asked + sum(line.net for line in lines), held + sum(line.held for line in lines)
        totals[plan.evidence[0].payer] = (asked, held)
    return {payer: amounts for payer, amounts in totals.items() if amounts != (0, 0)}


def share_of_item(item: BillableItem) -> Share:
    facts = {"payer": item.payer, "role": item.role, "service_date": item.service_date}
    return Share(item.item_id, item.line_uid, order_key(item), item.quantity, item.net, **facts)  # type: ignore[arg-type]


def evidence_of_part(placement: Placement, item: BillableItem, part_id: str) -> Evidence:
    return Evidence(
        part_id=part_id,
        line_uid=item.line_uid,
        role=item.role,
        unit_price=item.unit_price,
        quantity=placement.quantity,
        net=placement.net,
        contract_no=item.contract_no,
        payer=item.payer,
        service_date=item.service_date,
        source_type=item.source_type,
        description=item.description,
    )


# -- the comparison --------------------------------------------------------------------------------------------


def difference(terms: dict[str, Any], entries: list[dict[str, Any]]) -> tuple[Decimal, Decimal]:
    """(how far apart the two are, over all payers; what the naive sums bill), in the currency."""
    scale = -DECIMALS[terms["currency"]]
    hub = billed_by_policies(as_contract(terms), [as_entry(one) for one in entries])
    plain = {
        payer: tuple(Decimal(units).scaleb(scale) for units in amounts)
        for payer, amounts in naive.billed(terms, entries).items()
    }
    nothing = (Decimal(0), Decimal(0))
    apart = sum(
        (
            abs(mine - theirs)
            for payer in {*hub, *plain}
            for mine, theirs in zip(hub.get(payer, nothing), plain.get(payer, nothing), strict=True)
        ),
        Decimal(0),
    )
    return apart, sum((asked for asked, _ in plain.values()), Decimal(0))


@pytest.mark.timeout(3600)
def test_policies_and_naive_sums_bill_the_same(record_property: Callable[[str, object], None]) -> None:
    """The auditor agrees on every contract, to the minor unit, payer by payer, asked for and held back apart."""
    dice, begun = random.Random(SEED), time.monotonic()
    apart, billed, capped, entries_seen = Decimal(0), Counter[str](), 0, 0
    for number in range(CONTRACTS):
        terms = random_terms(dice)
        entries = random_entries(dice, terms)
        off, sum_billed = difference(terms, entries)
        assert off == 0, f"contract {number} (seed {SEED}) differs by {off}: {terms} {entries}"
        apart += off
        billed[terms["currency"]] += sum_billed  # type: ignore[assignment]
        capped += bool(terms["caps"])
        entries_seen += len(entries)
    seconds = time.monotonic() - begun
    record_property(
        TOLD,
        f"recomputed: {CONTRACTS} contracts ({capped} with caps), {entries_seen} entries,"
        f" billed {', '.join(f'{amount} {code}' for code, amount in sorted(billed.items()))},"
        f" difference {apart:.2f}, {seconds:.1f} s",
    )
    assert set(billed) == set(DECIMALS) and capped > 0


def test_the_auditor_shares_no_code_with_the_hub() -> None:
    tree = ast.parse(Path(naive.__file__).read_text())
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    imported += [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
    assert [name for name in imported if name.startswith(("isthmus", "tests"))] == []


def test_the_auditor_sees_half_even_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a cent to the even one is the smallest mistake there is: one contract in a few shows it."""
    from isthmus.domain.money import minor_unit
    from isthmus.policies import charges, quantities

    def half_even(amount: Decimal, currency: str) -> Decimal:
        return amount.quantize(minor_unit(currency), rounding="ROUND_HALF_EVEN")

    monkeypatch.setattr(charges, "round_half_away", half_even)
    monkeypatch.setattr(quantities, "round_half_away", half_even)
    dice = random.Random(SEED)
    seen = 0
    for _ in range(200):
        terms = random_terms(dice)
        seen += difference(terms, random_entries(dice, terms))[0] > 0
    assert seen > 0
