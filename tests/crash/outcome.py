"""What is there at the end of a trial, in a form in which two trials that ended alike are equal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from isthmus.domain.objects import (
    Allocation,
    BillableItem,
    BillablePart,
    Engagement,
    Invoice,
    Payment,
    TimeEntry,
)
from isthmus.runtime.effects import FINISHED
from isthmus.runtime.hashing import content_hash
from isthmus.store.records import Case, Counter, CrossReference, Effect, OutboxEvent, RunRow, RunState
from isthmus.store.tx import Store

BOOKS = (Engagement, TimeEntry, BillableItem, BillablePart, Invoice, Payment, Allocation)
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
SERIES = "number:US01-INV-2026"


@dataclass(frozen=True)
class Outcome:
    """hub and systems: what is compared. effects, runs, cases, invoices: for the counts that SC-12 names."""

    hub: dict[str, Any]
    systems: dict[str, Any]
    effects: tuple[Effect, ...]
    runs: tuple[RunRow, ...]
    cases: tuple[Case, ...]
    next_number: int

    @property
    def hash(self) -> str:
        """Equal for trials that ended alike."""
        return content_hash([self.hub, self.systems])

    def differences(self, other: Outcome) -> list[str]:
        """Where two outcomes differ, as path: mine, theirs."""
        found: list[str] = []
        _differ({"hub": self.hub, "systems": self.systems}, {"hub": other.hub, "systems": other.systems}, "", found)
        return found


def outcome_of(store: Store, systems: dict[str, Any]) -> Outcome:
    """Read the books."""
    with store.transaction() as tx:
        hub: dict[str, Any] = {m.__name__: sorted((_plain(r) for r in tx.find(m)), key=content_hash) for m in BOOKS}
        effects = tx.find(Effect, order=("effect_key",))
        hub["effects"] = [
            {"key": e.effect_key, "finished": e.state in FINISHED, "result": _plain_value(e.result)} for e in effects
        ]
        hub["events"] = _events(tx.find(OutboxEvent, order=("position",)))
        crosswalk = tx.find(CrossReference, order=("system", "remote_type", "key", "object_type"))
        hub["crosswalk"] = [_plain(reference) for reference in crosswalk]
        counter = tx.get(Counter, SERIES)
        runs, cases = tx.find(RunRow), tx.find(Case)
    plain = {name: _plain_value(state) for name, state in systems.items()}
    _forget_ids_of_costs(hub, plain)
    next_number = counter.value + 1 if counter else 1
    return Outcome(hub, plain, tuple(effects), tuple(runs), tuple(cases), next_number)


def _forget_ids_of_costs(hub: dict[str, Any], systems: dict[str, Any]) -> None:
    """The ERP numbers cost entries as they come; which of them comes first is nobody's concern."""
    for row in systems["netsuite"].get("timeBill", []):
        row["id"] = "(id)"
    systems["netsuite"]["timeBill"] = sorted(systems["netsuite"].get("timeBill", []), key=lambda r: r["externalId"])
    for effect in hub["effects"]:
        if ":Erp.put_time:" in effect["key"]:
            effect["result"]["external_id"] = "(id)"
    costs = [r for r in hub["crosswalk"] if r["object_type"] == "Erp.put_time"]
    for row in costs:
        row["remote_id"] = "(id)"
    hub["crosswalk"] = sorted(hub["crosswalk"], key=content_hash)


def _events(events: list[OutboxEvent]) -> dict[str, list[Any]]:
    """Type and payload, per aggregate in its order."""
    told: dict[str, list[Any]] = {}
    for event in sorted(events, key=lambda e: (e.aggregate, e.sequence)):
        told.setdefault(event.aggregate, []).append([event.type, _plain_value(event.payload)])
    # Parts of one contract change their state in the order in which their batches come.
    return {a: sorted(e, key=content_hash) if a.startswith("contract:") else e for a, e in told.items()}


def _plain(row: Any) -> Any:
    return _plain_value(row.model_dump(mode="json"))


def _plain_value(value: Any) -> Any:
    """Without instants: they differ from trial to trial. Calendar days stay."""
    if isinstance(value, dict):
        return {name: _plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain_value(inner) for inner in value]
    return "(instant)" if isinstance(value, str) and INSTANT.match(value) else value


def _differ(mine: Any, theirs: Any, path: str, found: list[str]) -> None:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for name in sorted(set(mine) | set(theirs)):
            _differ(mine.get(name, "(absent)"), theirs.get(name, "(absent)"), f"{path}/{name}", found)
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for index, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            _differ(one, other, f"{path}/{index}", found)
    elif mine != theirs:
        found.append(f"{path}: {str(mine)[:300]} != {str(theirs)[:300]}")


def unfinished(outcome: Outcome) -> list[str]:
    """Runs that did not come to their end, with why."""
    return [f"{run.run_id} is {run.state}: {run.reason}" for run in outcome.runs if run.state is not RunState.DONE]
