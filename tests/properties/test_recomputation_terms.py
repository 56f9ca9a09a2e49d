"""Random contracts of every billing type at once, billed by the hub's own code and by naive sums: difference 0.00.

Time with tiers and a least amount, cost plus, milestones, progress, a retainer, a subscription, usage; payers, caps
beside what takes off, holdback, deposits in both modes, tax by line and by category. How many: ISTHMUS_CONTRACTS.
"""

from __future__ import annotations

import ast
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from isthmus.domain.money import round_half_away
from isthmus.domain.objects import (
    BillableItem,
    BillingType,
    Cap,
    ContractLine,
    ContractVersion,
    Deposit,
    LedgerEntry,
    Milestone,
)
from isthmus.domain.states import PartState
from isthmus.domain.terms import (
    CostPlus,
    Discount,
    Holdback,
    MinimumCommitment,
    Retainer,
    Subscription,
    Tier,
)
from isthmus.domain.work import MilestoneStatus, PercentReport, Project, Task, UsageRecord
from isthmus.policies import caps, deposits, proration, retainers
from isthmus.policies.caps import Meter, place
from isthmus.policies.charges import Terms, charge_time, groups_of_days, items_of
from isthmus.policies.composition import InvoicePlan, plan_invoices
from isthmus.policies.layouts import compose
from isthmus.policies.tax_amounts import Taxable, work_out
from isthmus.processes.work import deriving, prepaying
from isthmus.processes.work.advances import pay
from isthmus.processes.work.deriving import charges_of
from isthmus.processes.work.drafting import invoice_for, with_holdback
from isthmus.processes.work.facts import Facts
from isthmus.processes.work.prepaying import keep_draws, with_deposits
from isthmus.runtime.clock import HandClock
from isthmus.runtime.engine import MemoryEngine
from isthmus.runtime.kernel import Kernel
from isthmus.store.memory import MemoryStore
from tests.end_of_run import TOLD
from tests.processes.hub import ENTITY
from tests.properties import naive_terms
from tests.properties.test_recomputation import (
    CONTRACTS,
    DECIMALS,
    ROLES,
    SEED,
    as_contract,
    as_entry,
    evidence_of_part,
    random_entries,
    random_terms,
    share_of_item,
)

THROUGH = date(2026, 5, 31)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINES = ("C", "M", "P", "R", "S", "U")
TRIED_MAX = 2000
Patch = pytest.MonkeyPatch


# -- random facts, as plain values -------------------------------------------------------------------------------------


def an_end(dice: random.Random) -> tuple[int, int] | None:
    return (5, dice.randint(1, 30)) if dice.random() < 0.3 else None


def random_contract(dice: random.Random) -> dict[str, Any]:
    """Time and materials as in test_recomputation, and any of the other lines."""
    terms = random_terms(dice)
    lines = {name for name in LINES if dice.random() < 0.5}
    terms |= {
        "lines": lines,
        "tiers": dice.choice([[], [], [(0, Fraction(2)), (200_000, Fraction(5))], [(100_000, Fraction("7.5"))]]),
        "tier_kind": dice.choice(["prospective", "retroactive"]),
        "least": dice.choice(
            [
                None,
                None,
                {"amount": dice.randint(1, 900_000), "every": dice.choice([1, 3]), "start": dice.randint(1, 28)},
            ]
        ),
        "tax": Fraction(dice.choice(["0", "0.21", "0.08875", "0.19"])),
        "tax_by": dice.choice(["line", "category"]),
    }
    scale = 10 ** DECIMALS[terms["currency"]]
    terms["C"] = {
        "percent": Fraction(dice.choice(["10", "12.5", "8.75"])),
        "final": dice.choice([True, False]),
        "scale": scale,
    }
    percents = dice.choice([(30, 50, 20), ("33.33", "33.33", "33.34"), (100,)])
    accepted = {
        n: (dice.randint(3, 5), dice.randint(1, 28)) for n in range(1, len(percents) + 1) if dice.random() < 0.7
    }
    shares = [Fraction(percent) for percent in percents]
    terms["M"] = {"price": dice.randint(1, 9_000_000), "percents": shares, "accepted": accepted}
    rising = sorted({dice.randint(0, 10_000) for _ in range(dice.randint(0, 3))})
    reports = [(4, 2 + n, Fraction(percent, 100)) for n, percent in enumerate(rising)]
    terms["P"] = {"price": dice.randint(1, 5_000_000), "reports": reports}
    terms["S"] = {
        "amount": dice.randint(1, 400_000),
        "every": dice.choice([1, 3, 6, 12]),
        "start": dice.randint(1, 28),
        "end": an_end(dice),
    }
    terms["U"] = [
        {
            "id": n,
            "month": dice.randint(3, 5),
            "quantity": dice.randint(0, 9_000_000),
            "price": dice.randint(1, 5_000),
            "amount": dice.choice([None, None, dice.randint(-5_000, 50_000)]),
        }
        for n in range(dice.randint(0, 3))
    ]
    terms["R"] = random_retainer(dice)
    terms["held"] = {line: terms["holdback"] if line == "L1" else Fraction(dice.choice([0, 5])) for line in ("L1", "M")}
    caps = [{**cap, "line": ""} for cap in terms["caps"]]
    if caps and lines and dice.random() < 0.5:
        caps.append(
            {"role": "", "payer": "", "line": dice.choice(sorted(lines)), "left": dice.randint(10_000, 900_000)}
        )
    terms["caps"] = caps
    terms["deposit"] = dice.choice(["", "", "tax_deposit", "cash_advance"])
    terms["lots"] = [
        (dice.randint(1, dice.choice([500_000, 50_000_000])), dice.choice([None, (4, 30), (5, 31)]))
        for _ in range(dice.randint(0, 3))
    ]
    return terms


def takes_off(terms: dict[str, Any]) -> bool:
    """True when something of the contract may be below zero."""
    credited = "R" in terms["lines"] and terms["R"]["rollover"] == "credit"
    return bool(terms["tiers"]) or credited or "U" in terms["lines"]


def random_retainer(dice: random.Random) -> dict[str, Any]:
    rollover = dice.choice(["none", "capped", "capped", "credit"])
    end = an_end(dice)
    return {
        "quota": dice.randint(1, 24) * 10_000,
        "fee": dice.randint(100, 900_000),
        "overage": dice.randint(100, 40_000),
        "rollover": rollover,
        "most": dice.randint(0, 20) * 10_000,
        "periods": dice.randint(1, 2),
        "start": dice.randint(1, 28),
        "end": end,
        "used": {month: dice.randint(0, 120) * 2_500 for month in (3, 4, 5) if dice.random() < 0.8},
    }


# -- the same for the hub ----------------------------------------------------------------------------------------------


class Words:
    """The plain values of one contract in the hub's words."""

    def __init__(self, terms: dict[str, Any]) -> None:
        self.terms, self.decimals = terms, DECIMALS[terms["currency"]]

    def money(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.decimals)

    def version(self) -> ContractVersion:
        """as_contract has line L1; the others beside it."""
        terms = self.terms
        base = as_contract({**terms, "caps": []})
        (worked,) = base.lines
        tiers = tuple(Tier(from_net=self.money(start), percent=number(percent)) for start, percent in terms["tiers"])
        volume = (Discount.model_validate({"kind": f"volume_{terms['tier_kind']}", "tiers": tiers}),) if tiers else ()
        least = terms["least"]
        commitment = (
            MinimumCommitment(
                amount=self.money(least["amount"]), every_months=least["every"], start=date(2026, 3, least["start"])
            )
            if least
            else None
        )
        deposit = Deposit(amount=Decimal(1), mode=terms["deposit"]) if terms["deposit"] else None
        more = {"discounts": worked.discounts + volume, "commitment": commitment, "deposit": deposit}
        worked = worked.model_copy(update=more)
        caps = tuple(
            Cap(
                cap_id=f"cap {n}",
                scope="line" if cap["line"] else "role" if cap["role"] else "payer" if cap["payer"] else "contract",
                line_uid=cap["line"],
                role=cap["role"],
                payer=cap["payer"],
                limit=self.money(cap["left"]),
            )
            for n, cap in enumerate(terms["caps"])
        )
        others = tuple(getattr(self, name)() for name in LINES if name in terms["lines"])
        return base.model_copy(update={"lines": (worked, *others), "caps": caps})

    def _line(self, name: str, kind: BillingType, **more: Any) -> ContractLine:
        return ContractLine(line_uid=name, description=name, billing_type=kind, tax_code="SERVICES", **more)

    def C(self) -> ContractLine:
        own = self.terms["C"]
        percents = {"markup_percent": number(own["percent"])}
        if not own["final"]:
            percents = {"markup_percent": Decimal(99), "provisional_percent": number(own["percent"])}
        return self._line("C", BillingType.COST_PLUS, cost_plus=CostPlus.model_validate(percents))

    def M(self) -> ContractLine:
        own, held = self.terms["M"], self.terms["held"]["M"]
        milestones = tuple(
            Milestone(number=n, name=f"Part {n}", percent=number(Fraction(percent)), due=THROUGH)
            for n, percent in enumerate(own["percents"], start=1)
        )
        holdback = Holdback(percent=number(held)) if held else None
        facts = {"price": self.money(own["price"]), "milestones": milestones, "holdback": holdback}
        return self._line("M", BillingType.FIXED_MILESTONE, **facts)

    def P(self) -> ContractLine:
        return self._line("P", BillingType.FIXED_PERCENT, price=self.money(self.terms["P"]["price"]))

    def R(self) -> ContractLine:
        own = self.terms["R"]
        retainer = Retainer(
            quota_hours=Decimal(own["quota"]).scaleb(-4),
            fee=self.money(own["fee"]),
            overage_rate=self.money(own["overage"]),
            rollover=own["rollover"],
            rollover_max_hours=Decimal(own["most"]).scaleb(-4),
            rollover_periods=own["periods"],
            start=date(2026, 3, own["start"]),
            end=on(own["end"]),
        )
        return self._line("R", BillingType.RETAINER, retainer=retainer)

    def S(self) -> ContractLine:
        own = self.terms["S"]
        fee = Subscription(
            amount=self.money(own["amount"]),
            every_months=own["every"],
            start=date(2026, 3, own["start"]),
            end=on(own["end"]),
        )
        return self._line("S", BillingType.SUBSCRIPTION, subscription=fee)

    def U(self) -> ContractLine:
        return self._line("U", BillingType.USAGE)

    def facts(self) -> list[Any]:
        """What was reported beside time."""
        terms, found = self.terms, []
        for number_, (month, day) in terms["M"]["accepted"].items():
            at = datetime(2026, month, day, 12, tzinfo=UTC)
            ids = {
                "source": "psa",
                "source_id": f"m{number_}",
                "contract_no": "K-1",
                "line_uid": "M",
                "number": number_,
            }
            found.append(MilestoneStatus(**ids, state="accepted", by="emma", at=at))
        for month, day, percent in terms["P"]["reports"]:
            at = datetime(2026, month, day, 12, tzinfo=UTC)
            found.append(
                PercentReport(
                    contract_no="K-1", line_uid="P", as_of=at.date(), percent=number(percent), by="emma", at=at
                )
            )
        for record in terms["U"]:
            month = record["month"]
            found.append(
                UsageRecord(
                    contract_no="K-1",
                    line_uid="U",
                    # A period of its own for each, so that each is a line of its own.
                    period_start=date(2026, month, 1 + record["id"]),
                    period_end=date(2026, month, naive_terms.DAYS[month]),
                    quantity=Decimal(record["quantity"]).scaleb(-4),
                    unit_price=self.money(record["price"]),
                    amount=None if record["amount"] is None else self.money(record["amount"]),
                    evidence_ref="meter",
                    evidence_hash=f"{record['id']:064x}",
                    source="meter",
                    source_id=str(record["id"]),
                )
            )
        return found

    def paid_in_advance(self) -> list[LedgerEntry]:
        """What the deposit's ledger grants."""
        return [
            LedgerEntry(
                entry_id=f"{n}",
                ledger="deposit",
                contract_no="K-1",
                line_uid="L1",
                period="2026-03",
                kind="grant",
                amount=self.money(left),
                currency=self.terms["currency"],
                expires=on(last),
                recorded_at=NOON,
            )
            for n, (left, last) in enumerate(self.terms["lots"])
        ]


def number(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / value.denominator


def on(day: tuple[int, int] | None) -> date | None:
    return date(2026, *day) if day else None


Amounts = tuple[Decimal, Decimal, Decimal, Decimal]  # net asked for, held back, tax, and what an advance has paid


def billed_by_the_hub(words: Words, version: ContractVersion, entries: Sequence[Any]) -> dict[str, Amounts]:
    """By payer, as time, derived evidence, caps, layouts, deposits and tax have it."""
    tasks = {line.line_uid: Task(code=line.line_uid, name="Work", line_uid=line.line_uid) for line in version.lines}
    terms = Terms(versions=[version], tasks=tasks)
    items = [i for group in groups_of_days(entries, terms) for c in charge_time(group, terms) for i in items_of(c)]
    with books_of(words, version, items) as books:
        facts = Facts(books, version, THROUGH)
        items += [i for line in version.lines for charge in charges_of(facts, line) for i in items_of(charge)]
        billable = {item.item_id: item for item in items if item.billable}
        placed = place([share_of_item(item) for item in billable.values()], version, [])
        ready = [p for p in placed if p.state is PartState.READY]
        pieces = [evidence_of_part(p, billable[p.item_id], f"{p.item_id}/{n}") for n, p in enumerate(ready)]
        totals: dict[str, Amounts] = {}
        for plan in plan_invoices(pieces, [version]):
            payer = plan.bill_to
            assert payer not in totals, "a payer has two invoices"
            totals[payer] = invoiced(books, words, version, plan)
    return {payer: amounts for payer, amounts in totals.items() if any(amounts)}


def invoiced(books: Any, words: Words, version: ContractVersion, plan: InvoicePlan) -> Amounts:
    """The invoice of a plan with its deposits and tax, paid from advances as at its issue."""
    lines = with_holdback(compose(plan.evidence, [version], plan.layout), [version])
    lines = tuple(with_deposits(books, lines, [version], plan.bill_to))
    rows = [Taxable(line.number, line.net, "S", number(words.terms["tax"])) for line in lines]
    taxed = work_out(rows, version.currency, words.terms["tax_by"])
    lines = tuple(line.model_copy(update={"tax": taxed.line_taxes[line.number]}) for line in lines)
    invoice = invoice_for(plan, lines, version, "P-K-1", THROUGH, f"K-1:{plan.key}", "ana")
    invoice = invoice.model_copy(update={"total": invoice.net + taxed.tax, "open": invoice.net + taxed.tax})
    keep_draws(books, invoice)
    paid = invoice.open - pay(books, invoice).open
    return invoice.net, sum((line.held for line in lines), Decimal(0)), taxed.tax, paid


@contextmanager
def books_of(words: Words, version: ContractVersion, items: list[BillableItem]) -> Iterator[Any]:
    """Books that hold the contract, its time, what was reported and what was paid in advance, at the end of May."""
    store = MemoryStore()
    kernel = Kernel(store, HandClock(datetime(2026, 5, 31, 16, tzinfo=UTC)), MemoryEngine(), None)
    project = Project(
        project_code="P-K-1",
        name="Work",
        contract_no="K-1",
        contract_version=1,
        client_no="C-1",
        entity="US01",
        currency=version.currency,
        start=date(2026, 3, 1),
    )
    with store.transaction() as tx:
        tx.insert_many([ENTITY, project, version, *items, *words.facts(), *words.paid_in_advance()])
        yield kernel.books(tx, key="auditor", actor="auditor")


# -- the comparison ---------------------------------------------------------------------------------------------------


def other_entries(dice: random.Random, terms: dict[str, Any]) -> tuple[list[dict[str, Any]], list[Any]]:
    """Hours on the lines of cost plus and of the retainer: plain values of the first, entries of both."""
    words, plain, found = Words(terms), [], []
    if "C" in terms["lines"]:
        for n in range(dice.randint(1, 4)):
            hours, cost = dice.choice([10_000, 11_167, 47_500]), dice.randint(1_000, 20_000)
            plain.append(
                {"id": f"c{n}", "role": dice.choice(ROLES), "day": 10 + n, "hours": hours, "approved": n, "cost": cost}
            )
            entry = as_entry({**plain[-1], "person": "cleo"})
            more = {"task_code": "C", "cost_rate": words.money(cost), "cost_currency": terms["currency"]}
            found.append(entry.model_copy(update=more))
    if "R" in terms["lines"]:
        for month, hours in terms["R"]["used"].items():
            if terms["R"]["end"] and month > terms["R"]["end"][0]:
                continue
            for n in range(0, hours, 100_000):  # ten hours a day at most
                part = {"id": f"r{month}-{n}", "person": "rex", "role": ROLES[0], "day": 1, "approved": 0}
                entry = as_entry({**part, "hours": min(100_000, hours - n)})
                day = date(2026, month, 1 + n // 100_000)
                found.append(entry.model_copy(update={"task_code": "R", "service_date": day}))
    return plain, found


def difference(dice: random.Random, terms: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """(how far apart the two are; what the naive sums bill, tax included), in the currency."""
    words, entries = Words(terms), random_entries(dice, terms)
    costed, more = other_entries(dice, terms)
    version = words.version()
    hub = billed_by_the_hub(
        words, version, [*(as_entry(one).model_copy(update={"task_code": "L1"}) for one in entries), *more]
    )
    pieces = naive_terms.time_and_what_hangs_on_it(terms, entries)
    pieces += naive_terms.cost_plus(terms["C"], costed)
    rules = {
        "M": naive_terms.milestones,
        "P": naive_terms.progress,
        "R": naive_terms.retainer,
        "S": naive_terms.subscription,
        "U": naive_terms.usage,
    }
    for name in terms["lines"] & set(rules):
        pieces += rules[name](terms[name])
    plain = {
        payer: tuple(words.money(units) for units in amounts)
        for payer, amounts in naive_terms.invoices(terms, pieces).items()
    }
    nothing = (Decimal(0),) * 4
    apart = sum(
        (
            abs(a - b)
            for payer in {*hub, *plain}
            for a, b in zip(hub.get(payer, nothing), plain.get(payer, nothing), strict=True)
        ),
        Decimal(0),
    )
    return apart, sum((net + tax for net, _, tax, _ in plain.values()), Decimal(0))


@pytest.mark.timeout(3600)
def test_every_billing_type_comes_to_the_same_in_the_hub_and_in_naive_sums(
    record_property: Callable[[str, object], None],
) -> None:
    dice, begun = random.Random(SEED + 1), time.process_time()
    apart, billed, kinds, capped = Decimal(0), Counter[str](), Counter[str](), Counter[bool]()
    for _ in range(CONTRACTS):
        terms = random_contract(dice)
        off, net = difference(dice, terms)
        assert off == 0, f"{off} {terms['currency']} apart: {terms}"
        apart += off
        billed[terms["currency"]] += net  # type: ignore[assignment]
        kinds.update(terms["lines"])
        kinds.update(name for name in ("tiers", "least") if terms[name])
        kinds.update([terms["deposit"]] if terms["deposit"] and terms["lots"] else [])
        capped.update([takes_off(terms)] if terms["caps"] else [])
    told = ", ".join(f"{amount} {currency}" for currency, amount in sorted(billed.items()))
    seconds = time.process_time() - begun
    record_property(
        TOLD,
        f"recomputed: {CONTRACTS} contracts of every type, {capped.total()} with caps, {capped[True]} of them beside"
        f" what takes off, billed with tax {told}, difference {apart:.2f}, {seconds:.1f} s of CPU",
    )
    print(f"\nof each type: {dict(sorted(kinds.items()))}")
    assert apart == 0 and set(kinds) == {*LINES, "tiers", "least", "tax_deposit", "cash_advance"}
    assert capped[True] and capped[False]


# -- what the auditor would see ---------------------------------------------------------------------------------------


def _fees_of_whole_months(patch: Patch) -> None:
    patch.setattr(proration.Period, "share", lambda period, amount, currency: amount)


def _rolled_hours_never_end(patch: Patch) -> None:
    real = retainers._month_end

    def ended(terms: Retainer, *rest: Any) -> Any:
        return real(terms.model_copy(update={"rollover_periods": 12}), *rest)

    patch.setattr(retainers, "_month_end", ended)


def _everything_rolls_over(patch: Patch) -> None:
    real = retainers._month_end

    def ended(terms: Retainer, *rest: Any) -> Any:
        return real(terms.model_copy(update={"rollover_max_hours": Decimal(1000)}), *rest)

    patch.setattr(retainers, "_month_end", ended)


def _last_milestone_rounded(patch: Patch) -> None:
    def amounts(price: Decimal, milestones: Sequence[Milestone], currency: str) -> dict[int, Decimal]:
        return {m.number: round_half_away(price * (m.percent or 0) / 100, currency) for m in milestones}

    patch.setattr(deriving, "milestone_amounts", amounts)


def _tier_on_everything(patch: Patch) -> None:
    def off(discounts: Sequence[Discount], total: Decimal, currency: str, least: Decimal) -> Decimal:
        tiers = [tier for discount in discounts if discount.kind.startswith("volume") for tier in discount.tiers]
        last = [tier.percent for tier in tiers if total >= tier.from_net]
        return round_half_away(total * (last[-1] if last else 0) / 100, currency)

    patch.setattr(deriving, "volume_off", off)


def _commitment_without_discount(patch: Patch) -> None:
    patch.setattr(deriving, "COMMITTED", ("usage", "subscription", "milestone", "percent"))


def _expired_deposits(patch: Patch) -> None:
    patch.setattr(deposits.Lot, "usable", lambda lot, day: lot.left > 0)


def _tax_per_line_always(patch: Patch) -> None:
    real = work_out
    patch.setattr(f"{__name__}.work_out", lambda rows, currency, by: real(rows, currency, "line"))


def _cap_takes_no_room_back(patch: Patch) -> None:
    real = Meter.need

    def need(meter: Meter, quantity: Decimal, net: Decimal, timed: bool) -> Decimal:
        return max(real(meter, quantity, net, timed), Decimal(0))

    patch.setattr(Meter, "need", need)


def _what_takes_off_waits_its_turn(patch: Patch) -> None:
    patch.setattr(caps, "_turn", lambda share: (0, share.order_key, share.item_id))


def _advance_pays_before_tax(patch: Patch) -> None:
    def net_only(lines: Sequence[Any], line_uid: str) -> Decimal:
        return max(sum((line.net for line in lines if line.line_uid == line_uid), Decimal(0)), Decimal(0))

    patch.setattr(deposits, "drawable", net_only)


def _anybody_draws_the_deposit(patch: Patch) -> None:
    patch.setattr(prepaying, "prepayer", lambda version, line: "B-1")


def _advance_pays_other_lines(patch: Patch) -> None:
    def all_of_it(lines: Sequence[Any], line_uid: str) -> Decimal:
        return max(sum((line.net + line.tax for line in lines), Decimal(0)), Decimal(0))

    patch.setattr(deposits, "drawable", all_of_it)


PLANTED = (
    _fees_of_whole_months,
    _rolled_hours_never_end,
    _everything_rolls_over,
    _last_milestone_rounded,
    _tier_on_everything,
    _commitment_without_discount,
    _expired_deposits,
    _tax_per_line_always,
    _cap_takes_no_room_back,
    _what_takes_off_waits_its_turn,
    _advance_pays_before_tax,
    _advance_pays_other_lines,
    _anybody_draws_the_deposit,
)


def _is_seen(defect: Callable[[Patch], None]) -> bool:
    dice = random.Random(SEED)
    with Patch.context() as patch:
        defect(patch)
        return any(difference(dice, random_contract(dice))[0] for _ in range(TRIED_MAX))


def test_a_wrong_rule_makes_a_difference(record_property: Callable[[str, object], None]) -> None:
    seen = [defect for defect in PLANTED if _is_seen(defect)]
    record_property(TOLD, f"wrong rules: {len(seen)} seen of {len(PLANTED)} planted")
    assert seen == list(PLANTED)


def test_the_naive_sums_know_nothing_of_the_policies() -> None:
    for path in (Path(naive_terms.__file__), Path(naive_terms.__file__).with_name("naive.py")):
        tree = ast.parse(path.read_text())
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert not [name for name in names if name.startswith("isthmus")]
