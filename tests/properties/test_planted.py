"""Each control is shown to catch a defect planted for it: in the rules, by a patch, or in the books, by a change.

The last test demands that all are caught and prints caught over planted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.lending import LentHours
from isthmus.domain.money import minor_unit
from isthmus.domain.objects import (
    Allocation,
    BillableItem,
    BillablePart,
    BillingType,
    Cap,
    ContractLine,
    ContractVersion,
    Holdback,
    Invoice,
    LedgerEntry,
    Milestone,
    Payer,
    Payment,
    Project,
    Rate,
    TimeEntry,
)
from isthmus.domain.periods import PeriodSnapshot
from isthmus.domain.states import BillState, PartState
from isthmus.domain.subcontracting import PaidHours, RetentionEntry, SubcontractorBill
from isthmus.domain.terms import ExpenseTerms, PurchaseOrder, Retainer
from isthmus.policies import caps as cap_rules
from isthmus.policies import charges, quantities, splits
from isthmus.processes.work import invoicing
from isthmus.reconciliation import CONTROLS
from isthmus.store.memory import key_of
from isthmus.store.records import Case, CrossReference, EffectState, OutboxEvent, RunRow, RunState
from tests.end_of_run import TOLD
from tests.processes.hub import contract
from tests.properties.histories import NOON, Act, History, time_entry

pytestmark = pytest.mark.xdist_group("planted")
CENT = Decimal("0.01")
Patch = pytest.MonkeyPatch


def terms(**changes: Any) -> ContractVersion:
    """A contract that has a bit of everything."""
    worked = ContractLine(
        line_uid="L1",
        description="Advice",
        billing_type=BillingType.TM,
        tax_code="SERVICES",
        rates=(
            Rate(role="Consultant", bill_rate=Decimal("133.30"), effective_from=date(2026, 3, 1)),
            Rate(role="Architect", bill_rate=Decimal("200.10"), effective_from=date(2026, 3, 1)),
        ),
        holdback=Holdback(percent=Decimal(5), release="manual"),
        expenses=ExpenseTerms(),
    )
    fixed = ContractLine(
        line_uid="L2",
        description="Design",
        billing_type=BillingType.FIXED_MILESTONE,
        tax_code="SERVICES",
        price=Decimal("900.00"),
        milestones=(
            Milestone(number=1, name="Draft", amount=Decimal("400.00"), due=date(2026, 3, 20)),
            Milestone(number=2, name="Final", amount=Decimal("500.00"), due=date(2026, 3, 20)),
        ),
    )
    facts: dict[str, Any] = {
        "lines": (worked, fixed),
        "po_number": "PO-1",
        "purchase_orders": (PurchaseOrder(po_number="PO-1", amount=Decimal("5000.00")),),
        "caps": (Cap(cap_id="line", scope="line", line_uid="L1", limit=Decimal("1200.00")),),
    }
    return contract(**{**facts, **changes})


def shared_terms() -> ContractVersion:
    """Two payers who cannot share an odd cent."""
    line = (
        terms()
        .lines[0]
        .model_copy(
            update={
                "holdback": None,
                "payers": (
                    Payer(bill_to="B-1", percent=Decimal("33.33")),
                    Payer(bill_to="B-2", percent=Decimal("66.67")),
                ),
            }
        )
    )
    return terms(lines=(line,), caps=(), purchase_orders=(), po_number="")


def retainer_terms() -> ContractVersion:
    """Ten hours a month for 1,000."""
    months = Retainer(quota_hours=Decimal(2), fee=Decimal(1000), overage_rate=Decimal(120), start=date(2026, 3, 1))
    line = (
        terms()
        .lines[0]
        .model_copy(
            update={"holdback": None, "expenses": None, "billing_type": BillingType.RETAINER, "retainer": months}
        )
    )
    return terms(lines=(line,), caps=(), purchase_orders=(), po_number="")


ACTS = (
    Act("time", {"number": 1, "approval": 1, "hours": "3.5"}),
    Act("time", {"number": 2, "approval": 2, "hours": "0.35"}),
    Act("expense", {"number": 1, "approval": 3, "gross": Decimal("120.37")}),
    Act("milestone", {"number": 1, "approval": 4, "state": "accepted"}),
    Act("bill", {"day": 31}),
    Act("credit", {"share": "0.5", "reason": "concession"}),
    Act("time", {"number": 4, "approval": 5, "hours": "3.5"}),
    Act("time", {"number": 5, "approval": 6, "hours": "2.25"}),
)


def played(agreed: ContractVersion | None = None) -> History:
    """A history with two kinds of evidence on paper, a credit, and work that waits."""
    history = History(agreed or terms())
    for act in ACTS:
        history.play(act)
    return history


@dataclass(frozen=True)
class Defect:
    """What goes wrong, and the control that must see it. in_rules: patched before the history; else after it."""

    control: str
    name: str
    plant: Callable[[History], None] = lambda history: None
    in_rules: Callable[[Patch], None] | None = None
    agreed: Callable[[], ContractVersion] = terms


def spoil(history: History, row: Any, **changes: Any) -> None:
    """Change a row behind the books' back."""
    history.hub.store.rows[type(row)][key_of(row)] = row.model_copy(update=changes)


def remove(history: History, row: Any) -> None:
    """Lose a row."""
    del history.hub.store.rows[type(row)][key_of(row)]


def add(history: History, *rows: Any) -> None:
    """Rows that nobody should have written."""
    for row in rows:
        history.hub.store.rows[type(row)][key_of(row)] = row


def first(history: History, model: Any, **equals: Any) -> Any:
    """The first row like that."""
    return history.hub.rows(model, **equals)[0]


def bill(history: History) -> Invoice:
    """The invoice with evidence of time on it."""
    return next(i for i in history.hub.rows(Invoice, order=("number",)) if i.kind == "standard" and i.number)


# -- defects in the rules --------------------------------------------------------------------------------------


def half_even(patch: Patch) -> None:
    """Bankers' rounding while the month is billed; the audit rounds as agreed."""

    def rounded(amount: Decimal, currency: str) -> Decimal:
        return amount.quantize(minor_unit(currency), rounding="ROUND_HALF_EVEN")

    patch.setattr(charges, "round_half_away", rounded)
    patch.setattr(quantities, "round_half_away", rounded)


def cap_off_by_one_entry(patch: Patch) -> None:
    """The entry that straddles the limit is taken whole."""
    exact = cap_rules._cut

    def loose(meter: Any, share: Any, timed: bool, currency: str) -> Any:
        return None if meter.used < meter.cap.limit else exact(meter, share, timed, currency)

    patch.setattr(cap_rules, "_cut", loose)


def cap_too_eager(patch: Patch) -> None:
    """What does not fit whole is left out whole, though the contract says that items are divided."""
    exact = cap_rules._cut

    def stingy(meter: Any, share: Any, timed: bool, currency: str) -> Any:
        cut = exact(meter, share, timed, currency)
        return cut and replace(cut, net=Decimal(0), quantity=Decimal(0))

    patch.setattr(cap_rules, "_cut", stingy)


def lost_remainder(patch: Patch) -> None:
    """Each payer's share is cut, and nobody takes what is left."""
    patch.setattr(
        charges,
        "split",
        lambda quantity, net, payers, currency: [
            splits.PayerShare(
                p.bill_to,
                p.po_number,
                splits.truncate_quantity(quantity * p.percent / 100),
                splits.truncate(net * p.percent / 100, currency),
            )
            for p in payers
        ],
    )


def number_used_again(patch: Patch) -> None:
    """The counter of the series does not move."""
    patch.setattr(invoicing, "number_of", lambda books, entity, kind: f"{entity.code}-INV-2026-00001")


# -- defects in the books --------------------------------------------------------------------------------------


def part_in_two_states(history: History) -> None:
    """The same evidence is invoiced and ready at once."""
    part = first(history, BillablePart, state=PartState.INVOICED)
    add(history, part.model_copy(update={"part_id": f"{part.item_id}/99", "state": PartState.READY, "invoice_id": ""}))


def part_of_a_cent_less(history: History) -> None:
    part = first(history, BillablePart, state=PartState.READY)
    spoil(history, part, net=part.net - CENT)


def part_of_nobody(history: History) -> None:
    part = first(history, BillablePart, state=PartState.READY)
    add(history, part.model_copy(update={"part_id": "psa:ghost#1/1", "item_id": "psa:ghost#1"}))


def entry_without_evidence(history: History) -> None:
    add(history, time_entry(6, 9, "1"))


def hours_lost(history: History) -> None:
    item = next(i for i in history.hub.rows(BillableItem) if i.source_type == "time")
    spoil(history, item, raw_quantity=item.raw_quantity - 1)


def price_below_billed(history: History) -> None:
    version = first(history, ContractVersion)
    line = version.lines[1].model_copy(update={"price": Decimal("300.00")})
    small = line.model_copy(
        update={"milestones": (line.milestones[0].model_copy(update={"amount": Decimal("300.00")}),)}
    )
    spoil(history, version, lines=(version.lines[0], small))


def value_below_billed(history: History) -> None:
    spoil(history, first(history, ContractVersion), authorised_value=Decimal("100.00"))


def total_off(history: History) -> None:
    invoice = bill(history)
    spoil(history, invoice, total=invoice.total + CENT)


def open_off(history: History) -> None:
    invoice = bill(history)
    spoil(history, invoice, open=invoice.open - CENT)


def line_tax_off(history: History) -> None:
    invoice = bill(history)
    wrong = invoice.lines[0].model_copy(update={"tax": invoice.lines[0].tax + CENT})
    spoil(history, invoice, lines=(wrong, *invoice.lines[1:]))


def part_on_two_invoices(history: History) -> None:
    invoice = bill(history)
    add(history, invoice.model_copy(update={"invoice_id": "K-1:again", "number": "US01-INV-2026-00002"}))


def invoiced_part_on_no_line(history: History) -> None:
    spoil(history, first(history, BillablePart, state=PartState.READY), state=PartState.INVOICED, invoice_id="K-1:run")


def line_of_a_cent_more(history: History) -> None:
    invoice = bill(history)
    wrong = invoice.lines[0].model_copy(update={"net": invoice.lines[0].net + CENT})
    spoil(history, invoice, lines=(wrong, *invoice.lines[1:]), net=invoice.net + CENT, total=invoice.total + CENT)


def rate_changed_in_place(history: History) -> None:
    version = first(history, ContractVersion)
    rates = tuple(rate.model_copy(update={"bill_rate": rate.bill_rate + 1}) for rate in version.lines[0].rates)
    line = version.lines[0].model_copy(update={"rates": rates})
    spoil(history, version, lines=(line, *version.lines[1:]))


def other_total_in_the_erp(history: History) -> None:
    history.hub.systems.erp.things["invoice"][0]["total"] = "1.00"


def billed_beside_the_hub(history: History) -> None:
    known = history.hub.systems.erp.things["invoice"]
    known.append({**known[0], "key": "BY-HAND-1"})


def gone_in_the_erp(history: History) -> None:
    history.hub.systems.erp.things["credit"].clear()


def credited_beyond_the_line(history: History) -> None:
    credit = next(i for i in history.hub.rows(Invoice) if i.kind == "credit")
    wrong = credit.lines[0].model_copy(update={"net": credit.lines[0].net + 5000})
    spoil(history, credit, lines=(wrong, *credit.lines[1:]))


def credited_at_another_rate(history: History) -> None:
    credit = next(i for i in history.hub.rows(Invoice) if i.kind == "credit")
    wrong = credit.lines[0].model_copy(update={"tax_rate": Decimal("0.19")})
    spoil(history, credit, lines=(wrong, *credit.lines[1:]))


def overdrawn(ledger: str) -> Callable[[History], None]:
    """More is drawn or released than there was."""

    def plant(history: History) -> None:
        entry = LedgerEntry(
            entry_id=f"{ledger}/wrong",
            ledger=ledger,
            contract_no="K-1",
            line_uid="L1",
            period="2026-03",
            kind="draw",
            amount=Decimal("-9999.00"),
            currency="USD",
            recorded_at=NOON,
        )
        add(history, entry)

    return plant


def withheld_forgotten(history: History) -> None:
    remove(history, first(history, LedgerEntry, ledger="holdback"))


def overage_not_worked(history: History) -> None:
    item = next(i for i in history.hub.rows(BillableItem) if i.source_type == "overage")
    spoil(history, item, entry_quantity=item.entry_quantity + 100)


def closed_period_changed(history: History) -> None:
    hub = history.hub
    hub.clock.move(timedelta(days=40))
    hub.start("close_period", "US01:2026-03", entity="US01", period="2026-03", closed_by="cora")
    assert hub.rows(PeriodSnapshot), [case.cause for case in hub.rows(Case)]
    assert audit(hub.kernel) == []
    kept = next(entry for entry in hub.rows(LedgerEntry) if entry.ledger == "earned")
    spoil(history, kept, amount=kept.amount + CENT)


def number_skipped(history: History) -> None:
    spoil(history, bill(history), number="US01-INV-2026-00007")


def issued_without_number(history: History) -> None:
    spoil(history, bill(history), number="")


def functional_off(history: History) -> None:
    invoice = bill(history)
    spoil(history, invoice, functional_total=invoice.functional_total + CENT)


def correction_forgotten(history: History) -> None:
    """A later revision of an entry came in, and its evidence is lost."""
    known = first(history, TimeEntry, source_id="1")
    add(history, known.model_copy(update={"revision": 2, "hours": Decimal(1)}))


def _corrected(history: History) -> BillableItem:
    """The last revision of an entry that is corrected after it came in."""
    history.play(Act("time", {"number": 4, "approval": 90, "hours": "2.5"}))
    (_, last) = history.hub.rows(BillableItem, source_key="psa:4", order=("revision",))
    return last


def revision_missing(history: History) -> None:
    spoil(history, last := _corrected(history), revision=last.revision + 1)


def correction_placed_twice(history: History) -> None:
    last = _corrected(history)
    (part, *_) = history.hub.rows(BillablePart, item_id=last.item_id)
    add(history, part.model_copy(update={"part_id": "twice", "net": Decimal(0)}))


def corrected_below_nothing(history: History) -> None:
    spoil(history, _corrected(history), entry_quantity=Decimal("-0.5"))


def project_left_behind(history: History) -> None:
    spoil(history, first(history, Project), contract_version=7)


def milestone_never_accepted(history: History) -> None:
    from isthmus.domain.objects import MilestoneStatus

    for status in history.hub.rows(MilestoneStatus):
        remove(history, status)


def milestone_billed_twice(history: History) -> None:
    item = next(i for i in history.hub.rows(BillableItem) if i.source_type == "milestone")
    key = f"{item.source_key}:again"
    add(history, item.model_copy(update={"source_key": key, "item_id": f"{key}#1"}))


def money_for_what_is_not_billable(history: History) -> None:
    item = next(i for i in history.hub.rows(BillableItem) if i.source_type == "time")
    spoil(history, item, billable=False)


def breakdown_misses_a_line(history: History) -> None:
    invoice = bill(history)
    category = invoice.tax_breakdown[0].model_copy(update={"taxable": invoice.tax_breakdown[0].taxable - 10})
    spoil(history, invoice, tax_breakdown=(category, *invoice.tax_breakdown[1:]))


def reverse_charge_without_ids(history: History) -> None:
    invoice = bill(history)
    category = invoice.tax_breakdown[0].model_copy(update={"code": "AE"})
    spoil(history, invoice, tax_breakdown=(category, *invoice.tax_breakdown[1:]), tax_decision={})


def order_overdrawn(history: History) -> None:
    version = first(history, ContractVersion)
    spoil(history, version, purchase_orders=(PurchaseOrder(po_number="PO-1", amount=Decimal("10.00")),))


def order_expired(history: History) -> None:
    version = first(history, ContractVersion)
    ended = PurchaseOrder(po_number="PO-1", amount=Decimal(5000), valid_to=date(2026, 3, 1))
    spoil(history, version, purchase_orders=(ended,))


def event_lost(history: History) -> None:
    events = [e for e in history.hub.rows(OutboxEvent) if e.type == "billing.part_state_changed"]
    remove(history, events[-1])


def state_changed_without_event(history: History) -> None:
    spoil(history, first(history, BillablePart, state=PartState.READY), state=PartState.HELD)


def run_that_nothing_moves(history: History) -> None:
    spoil(history, history.hub.rows(RunRow)[0], state=RunState.WAITING, wake_at=None)


def full_cap_of_nobody(patch: Patch) -> None:
    patch.setattr("isthmus.processes.work.full_caps.settle", lambda books, version, placements, known: None)


def full_cap_told_too_small(history: History) -> None:
    spoil(history, first(history, Case, exception="EX-CAP-REACHED"), amount=Decimal("0.01"))


def write_in_doubt_forgotten(history: History) -> None:
    from isthmus.store.records import Effect

    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    spoil(history, first(history, Effect), state=EffectState.IN_DOUBT, in_doubt_since=long_ago)


def payment_given_twice(history: History) -> None:
    payment = Payment(
        source="bank",
        source_id="p",
        client_no="C-1",
        amount=Decimal(10),
        currency="USD",
        value_date=date(2026, 3, 3),
    )
    add(history, payment)
    for number in (1, 2):
        add(
            history,
            Allocation(
                allocation_id=f"wrong-{number}",
                payment_key=payment.key,
                invoice_id=bill(history).invoice_id,
                amount=Decimal(10),
            ),
        )


def lent(number: str, amount: str, **changes: Any) -> LentHours:
    facts: dict[str, Any] = {
        "agreement_no": "L-1",
        "lender": "UK01",
        "borrower": "US01",
        "source_key": "psa:1",
        "entry_revision": 1,
        "contract_no": "K-1",
        "project_code": "P-K-1",
        "person": "ann",
        "service_date": date(2026, 3, 3),
        "quantity": Decimal(amount) / 100,
        "price": Decimal(100),
        "amount": Decimal(amount),
        "currency": "USD",
        "run": "march",
        "recorded_at": NOON,
    }
    return LentHours(charge_id=number, **{**facts, **changes})


def lent_in_no_book(history: History) -> None:
    add(history, lent("one", "800"))


def lent_and_reversed_at_another_price(history: History) -> None:
    add(history, lent("one", "800"))
    add(history, lent("two", "-800", reversal_of="one", price=Decimal(99)))


def bought(**changes: Any) -> SubcontractorBill:
    """A bill of SUBS over 8 h of an entry, confirmed."""
    facts: dict[str, Any] = {
        "bill_id": "SUBS:B-1",
        "bill_no": "B-1",
        "supplier": "SUBS",
        "subcontract_no": "SC-1",
        "entity": "US01",
        "project_code": "P-K-1",
        "contract_no": "K-1",
        "currency": "USD",
        "billed_on": date(2026, 3, 31),
        "due_on": date(2026, 4, 30),
        "lines": (),
        "total": Decimal(0),
        "content_hash": "h",
        "handed_in_by": "rita",
        "received_at": NOON,
        "state": BillState.CONFIRMED,
    }
    return SubcontractorBill(**{**facts, **changes})


def paid_hours(number: str, hours: str, **changes: Any) -> PaidHours:
    facts: dict[str, Any] = {
        "bill_id": "SUBS:B-1",
        "subcontract_no": "SC-1",
        "contract_no": "K-1",
        "project_code": "P-K-1",
        "source_key": "psa:1",
        "entry_revision": 1,
        "person": "ann",
        "service_date": date(2026, 3, 3),
        "hours": Decimal(hours),
        "rate": Decimal(80),
        "amount": Decimal(hours) * 80,
        "currency": "USD",
        "recorded_at": NOON,
    }
    return PaidHours(paid_id=number, **{**facts, **changes})


def hours_paid_twice(history: History) -> None:
    entry = last_entry(history)
    facts = {"source_key": entry.key, "person": entry.person, "project_code": entry.project_code}
    twice = [paid_hours(n, str(entry.hours), **facts) for n in ("one", "two")]
    asked = sum((one.amount for one in twice), Decimal(0))
    add(history, *twice, bought(payable=asked))


def last_entry(history: History) -> TimeEntry:
    found = [e for e in history.hub.rows(TimeEntry, order=("revision",)) if e.hours]
    return found[-1]  # type: ignore[no-any-return]


def bill_beyond_its_hours(history: History) -> None:
    entry = last_entry(history)
    facts = {"source_key": entry.key, "person": entry.person, "project_code": entry.project_code}
    paid = paid_hours("one", str(entry.hours), **facts)
    add(history, paid, bought(payable=paid.amount + CENT))


def more_paid_out_than_kept_back(history: History) -> None:
    facts = {"subcontract_no": "SC-1", "bill_id": "SUBS:B-1", "currency": "USD", "recorded_at": NOON}
    add(history, RetentionEntry(entry_id="one", kind="released", amount=-CENT, **facts), bought(payable=CENT))


def bill_missing_in_the_erp(history: History) -> None:
    known = CrossReference(
        object_type="VendorBillBook.post_bill",
        key="SUBS:B-1",
        system="erp",
        remote_type="bill",
        remote_id="bill-1",
    )
    add(history, known, bought(state=BillState.PAYABLE, posted_as="bill-1"))


DEFECTS = (
    Defect("INV-08", "half-even rounding", in_rules=half_even),
    Defect("INV-04", "cap off by one entry", in_rules=cap_off_by_one_entry),
    Defect("INV-04", "over a cap that has room", in_rules=cap_too_eager),
    Defect("INV-30", "a full cap that is nobody's", in_rules=full_cap_of_nobody),
    Defect("INV-30", "a case that says less than is over the cap", full_cap_told_too_small),
    Defect("INV-11", "lost remainder of a split", in_rules=lost_remainder, agreed=shared_terms),
    Defect("INV-19", "re-used number", in_rules=number_used_again, agreed=shared_terms),
    Defect("INV-01", "part in two states", part_in_two_states),
    Defect("INV-01", "part of a cent less", part_of_a_cent_less),
    Defect("INV-01", "part without evidence", part_of_nobody),
    Defect("INV-02", "approved entry without evidence", entry_without_evidence),
    Defect("INV-02", "hours lost on the way", hours_lost),
    Defect("INV-02", "correction forgotten", correction_forgotten),
    Defect("INV-21", "hours lent and in neither book", lent_in_no_book),
    Defect("INV-21", "reversed at another price", lent_and_reversed_at_another_price),
    Defect("INV-22", "revision that is missing", revision_missing),
    Defect("INV-22", "correction placed once too often", correction_placed_twice),
    Defect("INV-22", "corrected below nothing", corrected_below_nothing),
    Defect("INV-03", "billed beyond the fixed price", price_below_billed),
    Defect("INV-03", "billed beyond the authorised value", value_below_billed),
    Defect("INV-05", "total is not net and tax", total_off),
    Defect("INV-05", "open is not what is left", open_off),
    Defect("INV-05", "tax is not the lines' tax", line_tax_off),
    Defect("INV-06", "part on two invoices", part_on_two_invoices),
    Defect("INV-06", "invoiced part on no line", invoiced_part_on_no_line),
    Defect("INV-07", "line of a cent more", line_of_a_cent_more),
    Defect("INV-08", "rate changed in place", rate_changed_in_place),
    Defect("INV-09", "other total in the ERP", other_total_in_the_erp),
    Defect("INV-09", "billed beside the hub", billed_beside_the_hub),
    Defect("INV-10", "credited beyond the line", credited_beyond_the_line),
    Defect("INV-10", "credited at another rate", credited_at_another_rate),
    Defect("INV-12", "retainer overdrawn", overdrawn("retainer")),
    Defect("INV-12", "deposit overdrawn", overdrawn("deposit")),
    Defect("INV-12", "overage that nobody worked", overage_not_worked, agreed=retainer_terms),
    Defect("INV-13", "more released than withheld", overdrawn("holdback")),
    Defect("INV-13", "withheld and not in the ledger", withheld_forgotten),
    Defect("INV-18", "closed period changed", closed_period_changed),
    Defect("INV-19", "number skipped", number_skipped),
    Defect("INV-19", "issued without a number", issued_without_number),
    Defect("INV-20", "functional total off", functional_off),
    Defect("INV-23", "milestone never accepted", milestone_never_accepted),
    Defect("INV-23", "milestone billed twice", milestone_billed_twice),
    Defect("INV-24", "money for what is not billable", money_for_what_is_not_billable),
    Defect("INV-25", "breakdown misses a line", breakdown_misses_a_line),
    Defect("INV-25", "reverse charge with tax and without ids", reverse_charge_without_ids),
    Defect("INV-26", "order overdrawn", order_overdrawn),
    Defect("INV-26", "work outside the order's days", order_expired),
    Defect("INV-27", "project left on old terms", project_left_behind),
    Defect("INV-28", "event lost", event_lost),
    Defect("INV-28", "state changed without event", state_changed_without_event),
    Defect("INV-30", "run that nothing moves", run_that_nothing_moves),
    Defect("INV-30", "write in doubt forgotten", write_in_doubt_forgotten),
    Defect("INV-32", "payment given twice", payment_given_twice),
    Defect("INV-33", "hours paid twice", hours_paid_twice),
    Defect("INV-33", "bill of a cent beyond its hours", bill_beyond_its_hours),
    Defect("INV-33", "more paid out than kept back", more_paid_out_than_kept_back),
    Defect("INV-34", "bill missing in the ERP", bill_missing_in_the_erp),
)


@cache
def found_for(defect: Defect) -> frozenset[str]:
    """The controls with findings after the defect."""
    with pytest.MonkeyPatch.context() as patch:
        if defect.in_rules:
            defect.in_rules(patch)
        history = played(defect.agreed())
    defect.plant(history)
    return frozenset(finding.control for finding in audit(history.hub.kernel))


@pytest.mark.parametrize("agreed", [terms, shared_terms, retainer_terms], ids=lambda made: made.__name__)
def test_without_a_defect_there_is_no_finding(agreed: Callable[[], ContractVersion]) -> None:
    assert audit(played(agreed()).hub.kernel) == []


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.control} {defect.name}")
def test_a_planted_defect_is_caught(defect: Defect) -> None:
    assert defect.control in found_for(defect)


@pytest.mark.requirement("OBJ-17", "OBJ-19", "WF-50", "WF-53")
def test_every_control_has_a_defect_and_all_are_caught(record_property: Callable[[str, object], None]) -> None:
    caught = [defect for defect in DEFECTS if defect.control in found_for(defect)]
    controls = {defect.control for defect in caught}
    told = f"planted defects: {len(caught)} caught of {len(DEFECTS)} planted, {len(controls)} controls"
    record_property(TOLD, told)
    assert caught == list(DEFECTS)
    assert set(CONTROLS) == controls
