"""Hours of one kind: priced once by the policies, then by multiplication.

What an hour costs and how its evidence reads depends on person, role, task and a few other words, and on the days on
which terms or rates change. All hours that are equal in these are of one kind: the first is charged by policies.charges
like any other, and its evidence is the pattern of the others'. So there is no second pricing that could differ.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from isthmus.domain.money import round_half_away
from isthmus.domain.objects import BillableItem, TimeEntry
from isthmus.policies.charges import Terms, charge_time, items_of
from isthmus.processes.work.bulk.reading import ENTRY_FIELDS, Case, Row
from isthmus.store.copying import columns_of

ZERO = Decimal(0)
ITEM = {name: n for n, name in enumerate(columns_of(BillableItem))}
ID, KEY, DAY = ITEM["item_id"], ITEM["source_key"], ITEM["service_date"]
HOURS = (ITEM["entry_quantity"], ITEM["quantity"], ITEM["raw_quantity"])
NETS = (ITEM["entry_net"], ITEM["net"])
EXTENDED, ENTRY, PERSON = ITEM["extended"], ITEM["entry_key"], ITEM["person"]
BY, AT = ITEM["approved_by"], ITEM["approved_at"]


@dataclass(slots=True)
class Kind:
    """A pattern of evidence, and what of it is billed so far: ids of parts, net and hours."""

    item: BillableItem
    values: list[Any]
    price: Decimal
    currency: str
    part_ids: list[str] = field(default_factory=list)
    days: list[date] = field(default_factory=list)
    nets: list[Decimal] = field(default_factory=list)
    hours: list[Decimal] = field(default_factory=list)

    def evidence(self, key: str, row: Row) -> list[Any]:
        """The values of an item of this kind, in the order of its fields."""
        hours, item = row[8], self.values.copy()
        net = round_half_away(hours * self.price, self.currency) if self.item.billable else ZERO
        item[ID], item[KEY], item[ENTRY], item[DAY] = f"{key}#1", key, key, row[7]
        for n in HOURS:
            item[n] = hours
        for n in NETS:
            item[n] = net
        item[PERSON] = row[5]
        item[EXTENDED], item[BY], item[AT] = net, row[15], row[16]
        return item

    def bill(self, part_id: str, day: date, net: Decimal, hours: Decimal) -> None:
        """Another part that goes on the invoice."""
        self.part_ids.append(part_id)
        self.days.append(day)
        self.nets.append(net)
        self.hours.append(hours)


class Kinds:
    """The kinds of hours of one contract."""

    def __init__(self, case: Case) -> None:
        project = case.projects[0]
        tasks = {task.code: task for task in project.tasks}
        self._terms = Terms(versions=case.versions, tasks=tasks, cards=case.cards)
        turns = {day for v in case.versions for day in (v.effective_from, v.effective_to) if day}
        rates = [*case.cards, *(rate for v in case.versions for line in v.lines for rate in line.rates)]
        turns |= {day for rate in rates for day in (rate.effective_from, rate.effective_to) if day}
        self._turns = sorted(turns)
        self._seasons: dict[date, int] = {}
        # A person makes a difference where a rate names them, or where the invoice does.
        self._apart = case.versions[-1].invoicing.layout in ("by_person_task", "detailed")
        self._named = {rate.person for rate in rates if rate.person}
        self.known: dict[tuple[Any, ...], Kind] = {}

    def of(self, row: Row) -> Kind:
        """The kind of an entry. NeedsDecision where its price needs a person, as charge_time says it."""
        day = row[7]
        season = self._seasons.get(day)
        if season is None:
            season = self._seasons[day] = bisect_right(self._turns, day)
        person = row[5] if self._apart or row[5] in self._named else ""
        key = (season, row[4], person, row[6], row[10], row[11], row[12], row[13])
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self._new(row)
        return found

    def _new(self, row: Row) -> Kind:
        entry = TimeEntry(**{**dict(zip(ENTRY_FIELDS, row, strict=True)), "days": ()})
        (item,) = [item for charge in charge_time([entry], self._terms) for item in items_of(charge)]
        return Kind(item, [getattr(item, name) for name in ITEM], item.unit_price, item.currency)


def approved(at: datetime) -> str:
    """An approval as order_key has it."""
    return at.astimezone(UTC).isoformat()
