"""What a careful biller would stop at before an invoice is approved: each finding says what, where and how much.

None of these refuses an invoice. They are shown to whoever approves it, who holds a line, corrects it, or says why not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from statistics import median

from isthmus.domain.money import round_rate
from isthmus.domain.objects import BillableItem, Invoice
from isthmus.policies.quantities import extend

POLICY = "anomalies/1"
SAME = ("client_no", "bill_to", "currency", "net", "period")
NOTHING = Decimal(0)


@dataclass(frozen=True)
class Anomaly:
    """check: its name. about: items, persons and days, or invoices. amount: money at stake, never negative."""

    check: str
    reason: str
    about: tuple[str, ...]
    amount: Decimal = NOTHING


@dataclass(frozen=True)
class Habits:
    """What counts as unusual. duplicate_days: how far apart two equal invoices are still suspicious.

    times_median: how much larger than the client's usual invoice is unusual; least_history: invoices it takes to know.
    waits: checks that a person answers before the invoice goes on; the others are told and kept.
    """

    duplicate_days: int = 45
    times_median: Decimal = Decimal(3)
    least_history: int = 3
    waits: frozenset[str] = frozenset({"rate_differs", "long_day", "duplicate", "zero_price"})


@dataclass(frozen=True)
class Review:
    """An invoice before approval, with what it is judged by.

    items: the evidence on it. on: the day of the review. history: issued and drafted invoices of the same client.
    card: unit price per item as the contract gives it today, from resolve_rate; an item without one is judged by the
    rate in its own trace. hours_elsewhere: hours of a person's day that are not on this invoice. included: lines whose
    hours are paid by a fee (a retainer's quota), where a price of nothing is right.
    """

    invoice: Invoice
    items: Sequence[BillableItem]
    on: date
    history: Sequence[Invoice] = ()
    card: Mapping[str, Decimal] = field(default_factory=dict)
    hours_elsewhere: Mapping[tuple[str, date], Decimal] = field(default_factory=dict)
    included: Collection[str] = ()
    habits: Habits = Habits()


def find_anomalies(review: Review) -> list[Anomaly]:
    """Everything unusual about the invoice, in the order of CHECKS."""
    return [anomaly for check in CHECKS for anomaly in check(review)]


def rate_differs(review: Review) -> list[Anomaly]:
    """An item's unit price is not the one the contract gives."""
    found = []
    for item in _billed(review):
        expected = review.card.get(item.item_id, _traced(item))
        if expected is None or expected == item.unit_price:
            continue
        difference = extend(item.quantity, expected, item.currency) - extend(
            item.quantity, item.unit_price, item.currency
        )
        said = f"{_told(item)}: billed at {item.unit_price}, the contract says {expected}"
        short = f"{abs(difference):,} {item.currency} too {'little' if difference > 0 else 'much'}"
        found.append(Anomaly("rate_differs", f"{said}; that is {short}", (item.item_id,), abs(difference)))
    return found


def long_days(review: Review) -> list[Anomaly]:
    """A person's day has more than 24 hours, over all entries of it. An entry in several items counts once."""
    hours: dict[tuple[str, date], dict[str, tuple[int, Decimal]]] = {}
    for item in review.items:
        if item.source_type == "time" and item.person:
            entry = item.entry_key or item.source_key
            raw = item.entry_quantity if item.raw_quantity is None else item.raw_quantity
            day = hours.setdefault((item.person, item.service_date), {})
            day[entry] = max(day.get(entry, (0, NOTHING)), (item.revision, raw))
    found = []
    for (person, day_), entries in sorted(hours.items()):
        elsewhere = review.hours_elsewhere.get((person, day_), NOTHING)
        total = sum((raw for _, raw in entries.values()), elsewhere)
        if total > 24:
            more = f", {elsewhere} of them elsewhere" if elsewhere else ""
            reason = f"{person} has {total} hours on {day_}{more}: a day has 24"
            found.append(Anomaly("long_day", reason, (person, str(day_))))
    return found


def duplicates(review: Review) -> list[Anomaly]:
    """The payer has had an invoice of the same net for the same period lately; equal months are no surprise.

    Under another contract it is same_net, which nobody waits for: firms have many contracts of one size.
    """
    new, since = review.invoice, review.on - timedelta(days=review.habits.duplicate_days)
    found = []
    for old in review.history:
        same = all(getattr(old, name) == getattr(new, name) for name in SAME)
        day = old.issue_date or review.on
        if same and old.invoice_id != new.invoice_id and new.net and since <= day and old.kind == new.kind:
            which = f"invoice {old.number} of {day}" if old.number else f"draft {old.invoice_id}"
            reason = f"{which} is of {old.net:,} {old.currency} for {old.client_no} too"
            check = "duplicate" if old.contract_no == new.contract_no else "same_net"
            found.append(Anomaly(check, reason, (old.invoice_id,), abs(new.net)))
    return found


def zero_prices(review: Review) -> list[Anomaly]:
    """Billable work is on the invoice for nothing."""
    return [
        Anomaly("zero_price", f"{_told(item)}: {item.quantity} for nothing", (item.item_id,))
        for item in _billed(review)
        if item.quantity and not item.unit_price and not item.net and item.line_uid not in review.included
    ]


def negative_invoice(review: Review) -> list[Anomaly]:
    """The invoice gives money back and is no credit."""
    new = review.invoice
    if new.net >= 0 or new.kind == "credit":
        return []
    reason = f"the invoice is of {new.net:,} {new.currency}: it should be a credit, or wait to be netted"
    return [Anomaly("negative_invoice", reason, (new.invoice_id,), abs(new.net))]


def unusually_large(review: Review) -> list[Anomaly]:
    """The invoice is many times what this client is used to."""
    new, habits = review.invoice, review.habits
    alike = [o for o in review.history if (o.client_no, o.currency, o.kind) == (new.client_no, new.currency, new.kind)]
    nets = [old.net for old in alike if old.net > 0 and old.invoice_id != new.invoice_id]
    if len(nets) < habits.least_history or new.net <= habits.times_median * median(nets):
        return []
    times = (new.net / median(nets)).quantize(Decimal("0.1"))
    usual = f"{median(nets):,} {new.currency} (median of {len(nets)})"
    reason = f"the invoice of {new.net:,} {new.currency} is {times} times the usual {usual} of {new.client_no}"
    return [Anomaly("unusually_large", reason, (new.invoice_id,), new.net)]


CHECKS = (rate_differs, long_days, duplicates, zero_prices, negative_invoice, unusually_large)


def _billed(review: Review) -> list[BillableItem]:
    """Hours that are charged for; other evidence has no rate."""
    return [item for item in review.items if item.billable and item.source_type == "time"]


def _traced(item: BillableItem) -> Decimal | None:
    """The unit price that follows from the item's own trace: rate * multiplier."""
    if "rate" not in item.price_trace:
        return None
    rate = Decimal(item.price_trace["rate"])
    return round_rate(rate * Decimal(item.price_trace["multiplier"])) if "multiplier" in item.price_trace else rate


def _told(item: BillableItem) -> str:
    return f"{item.person or item.source_key} on {item.service_date}"
