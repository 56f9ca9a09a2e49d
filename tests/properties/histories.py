"""Generated contracts and what happens to them: time, corrections, expenses, milestones, amendments, bills, credits.

Everything is small enough to be read when it fails, and odd enough to reach the corners: half cents, caps that split an
item, shares that leave a remainder, corrections of what is billed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from isthmus.domain.objects import (
    BillingType,
    Cap,
    ContractLine,
    ContractVersion,
    Discount,
    Expense,
    Holdback,
    Increment,
    Invoice,
    Milestone,
    MilestoneStatus,
    Payer,
    Payment,
    Rate,
    TimeEntry,
)
from isthmus.domain.states import CaseState, InvoiceLife
from isthmus.domain.terms import Band, DayRule, ExpenseTerms
from isthmus.processes import sweeps
from isthmus.store.records import Case
from tests.processes.hub import Hub, contract, entry

PEOPLE = {"ann": "Consultant", "bob": "Architect"}
START = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# The hub's hand-moved clock begins on 2 March; no approval in a history lies after the day it is delivered on.


@dataclass(frozen=True)
class Act:
    """One thing that happens."""

    do: str
    facts: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.do}({', '.join(f'{k}={v}' for k, v in self.facts.items())})"


def cents(low: int, high: int) -> st.SearchStrategy[Decimal]:
    """Amounts with two decimals."""
    return st.integers(low, high).map(lambda n: Decimal(n).scaleb(-2))


# -- contracts -------------------------------------------------------------------------------------------------


@st.composite
def rates(draw: st.DrawFn) -> tuple[Rate, ...]:
    """A price for each role; it may change in the middle of the month."""
    change = draw(st.sampled_from([None, date(2026, 3, 10)]))
    found = []
    for role in PEOPLE.values():
        found.append(Rate(role=role, bill_rate=draw(cents(5001, 25099)), effective_from=START, effective_to=change))
        if change:
            found.append(Rate(role=role, bill_rate=draw(cents(5001, 25099)), effective_from=change))
    return tuple(found)


@st.composite
def payers(draw: st.DrawFn) -> tuple[Payer, ...]:
    """None, or two or three who share to 100 %."""
    shares = draw(st.sampled_from([(), ("60", "40"), ("33.33", "33.33", "33.34"), ("70", "20", "10")]))
    rounding = draw(st.integers(0, len(shares)))
    return tuple(Payer(bill_to=f"B-{n}", percent=Decimal(p), rounding=n == rounding) for n, p in enumerate(shares))


@st.composite
def caps(draw: st.DrawFn) -> tuple[Cap, ...]:
    """Up to two caps, of different scopes and measures."""
    split = st.sampled_from(["split_item", "split_item", "whole_item"])
    known = [
        Cap(cap_id="all", scope="contract", limit=draw(cents(20000, 400000)), split=draw(split)),
        Cap(cap_id="line", scope="line", line_uid="L1", limit=draw(cents(10000, 300000)), split=draw(split)),
        Cap(cap_id="architects", scope="role", role="Architect", limit=draw(cents(10000, 200000))),
        Cap(cap_id="hours", scope="line", line_uid="L1", measure="hours", limit=Decimal(draw(st.integers(2, 20)))),
        Cap(cap_id="travel", scope="expense_class", expense_class="*", limit=draw(cents(2000, 20000))),
    ]
    chosen = draw(st.lists(st.sampled_from(range(len(known))), max_size=2, unique=True))
    return tuple(known[n] for n in sorted(chosen))


@st.composite
def terms(draw: st.DrawFn, plain: bool = False) -> ContractVersion:
    """A signed contract: time and materials with expenses, and a fixed price in milestones. plain: nothing that makes
    an hour's price depend on the other hours of the day.
    """
    increments = [
        None,
        Increment(minutes=15),
        Increment(minutes=6, mode="nearest"),
        Increment(minutes=30, mode="down", minimum_minutes=15),
    ]
    by_day = [] if plain else [Increment(minutes=15, basis="person_day")]
    bands = DayRule(bands=(Band(up_to_hours=Decimal(4)), Band(up_to_hours=Decimal(10), multiplier=Decimal("1.5"))))
    shared = draw(payers())
    holdback = draw(st.sampled_from([None, None, Decimal("5"), Decimal("7.5")]))
    worked = ContractLine(
        line_uid="L1",
        description="Advice",
        billing_type=BillingType.TM,
        tax_code="SERVICES",
        rates=draw(rates()),
        increment=draw(st.sampled_from([*increments, *by_day])),
        day_rule=draw(st.sampled_from([None] if plain else [None, None, bands])),
        discounts=draw(
            st.sampled_from([(), (), (Discount(kind="percent", percent=Decimal("2.5")),)]),
        ),
        payers=shared,
        holdback=Holdback(percent=holdback) if holdback and not shared else None,
        expenses=ExpenseTerms(markup_percent=draw(st.sampled_from([{}, {"hotel": Decimal("7.5")}]))),
    )
    amounts = draw(st.lists(cents(10001, 99999), min_size=1, max_size=3))
    fixed = ContractLine(
        line_uid="L2",
        description="Design",
        billing_type=BillingType.FIXED_MILESTONE,
        tax_code="SERVICES",
        price=sum(amounts, Decimal(0)),
        milestones=tuple(
            Milestone(number=n, name=f"Stage {n}", amount=amount, due=date(2026, 3, 20))
            for n, amount in enumerate(amounts, start=1)
        ),
    )
    return contract(lines=(worked, fixed), caps=draw(caps()))


# -- what happens ----------------------------------------------------------------------------------------------


@st.composite
def facts(draw: st.DrawFn) -> Act:
    """Approved time (or its correction), an expense, a milestone. The number says which; a later approval wins."""
    do = draw(st.sampled_from(["time", "time", "time", "expense", "milestone"]))
    told: dict[str, Any] = {"number": draw(st.integers(1, 6)), "approval": draw(st.integers(1, 400))}
    if do == "time":
        told |= {
            "hours": draw(st.sampled_from(["0", "0.1", "0.35", "1", "1.1167", "2.25", "3.5"])),
            "contract_no": draw(st.sampled_from(["K-1"] * 5 + ["K-2"])),
            "shift": draw(st.sampled_from([0, 0, 0, 1, 8])),
        }
    elif do == "expense":
        told |= {"gross": draw(cents(100, 15000))}
    else:
        told |= {"number": draw(st.integers(1, 3)), "state": draw(st.sampled_from(["completed", "accepted"]))}
    return Act(do, told)


@st.composite
def decisions(draw: st.DrawFn) -> Act:
    """What the firm does in between."""
    often = ["bill", "bill", "credit", "credit", "amend", "pay", "write_off", "dispute", "release", "close"]
    do = draw(st.sampled_from(often))
    share = draw(st.sampled_from(["1", "0.5", "0.37"]))
    told = {
        "bill": {"day": draw(st.integers(8, 31))},
        "credit": {
            "share": share,
            "reason": draw(st.sampled_from(["error_rebill", "concession", "duplicate"])),
            "transferred": draw(st.booleans()),
        },
        "release": {},
        "close": {},
        "dispute": {"share": share, "action": draw(st.sampled_from(["uphold", "reject"]))},
        "amend": {"day": draw(st.integers(1, 20)), "rate": draw(cents(5001, 25099)), "raise": draw(cents(0, 90000))},
        "pay": {"share": share},
        "write_off": {"state": draw(st.sampled_from(["ready", "over_cap"])), "share": share},
    }
    return Act(do, told[do])


@st.composite
def histories(draw: st.DrawFn) -> list[Act]:
    """Work comes in and is billed; then facts and decisions in any order, what follows an invoice among them."""
    first = draw(st.lists(facts(), min_size=3, max_size=6))
    then = draw(st.lists(st.one_of(facts(), decisions()), min_size=2, max_size=8))
    return [*first, Act("bill", {"day": 31}), *then]


def elsewhere() -> ContractVersion:
    """The contract that hours are moved to: both roles at one price, nothing else."""
    (line,) = contract().lines
    rates = tuple(line.rates[0].model_copy(update={"role": role}) for role in PEOPLE.values())
    return contract(contract_no="K-2", caps=(), lines=(line.model_copy(update={"rates": rates}),))


class History:
    """A hub that acts are played on."""

    def __init__(self, agreed: ContractVersion) -> None:
        self.hub = Hub()
        self.version = agreed
        self.count = 0
        self.closed = False
        self.hub.set_up(agreed)
        self.hub.set_up(elsewhere())
        assert self.hub.rows(Case) == [], [case.cause for case in self.hub.rows(Case)]

    def play(self, act: Act) -> None:
        """Do it, let everything come to rest, and have people approve what waits for them."""
        self.count += 1
        getattr(self, f"_{act.do}")(**act.facts)
        self._settle()

    def _settle(self) -> None:
        """Runs that wait for a moment get it; whoever must approve does."""
        for _ in range(20):
            self.hub.go()
            waiting = self.hub.rows(Case, state=CaseState.OPEN)
            approvable = [case for case in waiting if "approve" in case.actions]
            if not approvable:
                return
            for case in approvable:
                with self.hub.store.transaction() as tx:
                    self.hub.kernel.resolve(
                        tx, case.case_no, action="approve", actor="quinn", reason="agreed", values={}
                    )
        raise AssertionError("the history does not come to rest")

    # -- facts -------------------------------------------------------------------------------------------------

    def _time(self, number: int, approval: int, hours: str, contract_no: str = "K-1", shift: int = 0) -> None:
        self.hub.capture(time_entry(number, approval, hours, contract_no, shift))

    def _expense(self, number: int, approval: int, gross: Decimal) -> None:
        with self.hub.store.transaction() as tx:
            sweeps.accept_expenses(
                self.hub.kernel.books(tx, key="test", actor="psa"), "psa", [expense(number, approval, gross)]
            )
        sweeps.drain_facts(self.hub.kernel)

    def _milestone(self, number: int, approval: int, state: str) -> None:
        status = MilestoneStatus(
            source="psa",
            source_id=f"m{number}",
            project_code="P-K-1",
            line_uid="L2",
            number=number,
            state=state,
            by="eva" if state == "accepted" else "pia",  # nobody accepts what they have completed themselves
            at=NOON + timedelta(minutes=approval),
        )
        with self.hub.store.transaction() as tx:
            sweeps.accept_milestones(self.hub.kernel.books(tx, key="test", actor="psa"), "psa", [status])
        sweeps.drain_facts(self.hub.kernel)

    # -- decisions ---------------------------------------------------------------------------------------------

    def _bill(self, day: int) -> None:
        self.hub.bill(f"run-{self.count}", f"2026-03-{day:02d}")

    def issued(self) -> list[Invoice]:
        """What asks for money and may still be credited."""
        known = self.hub.rows(Invoice, life=InvoiceLife.ISSUED, order=("number",))
        return [invoice for invoice in known if invoice.kind != "credit"]

    def _some_line(self, share: str) -> tuple[Invoice, int, Decimal] | None:
        for invoice in reversed(self.issued()):
            for line in invoice.lines:
                left = line.net - line.credited - line.disputed
                if left > 0:
                    return invoice, line.number, max((left * Decimal(share)).quantize(Decimal("0.01")), Decimal("0.01"))
        return None

    def _credit(self, share: str, reason: str, transferred: bool = False) -> None:
        chosen = self._some_line(share)
        if chosen:
            invoice, line, amount = chosen
            args = {"invoice_id": invoice.invoice_id, "amounts": {str(line): str(amount)}, "reason": reason}
            args["disposition"] = "transferred" if transferred and reason == "error_rebill" else ""
            self.hub.start("credit_invoice", f"credit-{self.count}", requested_by="ana", **args)

    def _dispute(self, share: str, action: str) -> None:
        chosen = self._some_line(share)
        if not chosen:
            return
        invoice, line, amount = chosen
        args = {"invoice_id": invoice.invoice_id, "line": line, "amount": str(amount), "reason": "too many hours"}
        self.hub.start("dispute_line", f"dispute-{self.count}", opened_by="client", **args)
        for case in self.hub.rows(Case, state=CaseState.OPEN, exception="EX-DISPUTE"):
            with self.hub.store.transaction() as tx:
                self.hub.kernel.resolve(tx, case.case_no, action=action, actor="rea", reason="seen", values={})

    def _amend(self, day: int, rate: Decimal, **more: Decimal) -> None:
        effective = date(2026, 3, day)
        line = self.version.lines[0]
        kept = [r for r in line.rates if r.effective_from < effective]
        ended = [
            r.model_copy(update={"effective_to": effective})
            if r.effective_to is None or r.effective_to > effective
            else r
            for r in kept
        ]
        new = [Rate(role=role, bill_rate=rate, effective_from=effective) for role in PEOPLE.values()]
        changed = line.model_copy(update={"rates": (*ended, *new)})
        raised = tuple(cap.model_copy(update={"limit": cap.limit + more["raise"]}) for cap in self.version.caps)
        self.version = self.version.model_copy(
            update={
                "version": self.version.version + 1,
                "effective_from": effective,
                "lines": (changed, *self.version.lines[1:]),
                "caps": raised,
            }
        )
        self.hub.systems.crm.put_contract(self.version)
        self.hub.start("amend_contract", self.version.key, contract_no="K-1", version=self.version.version)

    def _release(self) -> None:
        line = self.version.lines[0]
        if line.holdback is not None:
            args = {"contract_no": "K-1", "line_uid": "L1", "asked_by": "ana", "finally_accepted": True}
            self.hub.start("release_holdback", f"K-1:r{self.count}", **args)

    def _close(self) -> None:
        """March is over and closed, once."""
        if not self.closed:
            self.closed = True
            self.hub.later(days=31)
            self.hub.start("close_period", "US01/2026-03/a", entity="US01", period="2026-03", closed_by="cora")

    def _pay(self, share: str) -> None:
        owing = [invoice for invoice in self.issued() if invoice.open > 0]
        if owing:
            amount = max((owing[0].open * Decimal(share)).quantize(Decimal("0.01")), Decimal("0.01"))
            payment = Payment(
                source="bank",
                source_id=f"p{self.count}",
                client_no="C-1",
                amount=amount,
                currency="USD",
                value_date=date(2026, 3, 3),
                applies={owing[0].number: amount},
            )
            self.hub.start("invoice_to_cash", payment.key, payment=payment.model_dump(mode="json"))

    def _write_off(self, state: str, share: str) -> None:
        from isthmus.domain.objects import BillablePart

        there = sum(
            (p.net for p in self.hub.rows(BillablePart, state=state, contract_no="K-1") if p.net > 0), Decimal(0)
        )
        amount = (there * Decimal(share)).quantize(Decimal("0.01"))
        if amount > 0:
            args = {"contract_no": "K-1", "amount": str(amount), "state": state, "requested_by": "pia"}
            self.hub.start("write_off", f"K-1:w{self.count}", reason="goodwill", **args)


def time_entry(number: int, approval: int, hours: str, contract_no: str = "K-1", shift: int = 0) -> TimeEntry:
    """Entry number of ann or bob; two of each share a day, unless shift moves it some days."""
    person = sorted(PEOPLE)[number % 2]
    return entry(
        number,
        hours,
        day=3 + 4 * ((number - 1) // 3) + shift,
        person=person,
        role=PEOPLE[person],
        note=f"work {number}",
        project_code=f"P-{contract_no}",
        approved_at=NOON + timedelta(minutes=approval),
    )


def expense(number: int, approval: int, gross: Decimal) -> Expense:
    """Expense number: a hotel or a train."""
    return Expense(
        source="psa",
        source_id=f"x{number}",
        project_code="P-K-1",
        task_code="L1",
        person="ann",
        category="hotel" if number % 2 else "train",
        expense_date=date(2026, 3, 4 + number),
        gross=gross,
        currency="USD",
        approved_by="pia",
        approved_at=NOON + timedelta(minutes=approval),
    )
