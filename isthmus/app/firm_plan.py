"""What applying a firm folder would change: for whom, and which changes are dangerous while work is under way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from isthmus.app.firm import ConnectionConfig, FirmConfig
from isthmus.domain.objects import Engagement, Invoice
from isthmus.domain.states import EngagementState, InvoiceLife
from isthmus.store.records import Effect, EffectState, RunRow, RunState
from isthmus.store.tx import Tx

UNDER_WAY = (RunState.QUEUED, RunState.RUNNING, RunState.WAITING, RunState.PARKED)
UNSETTLED = (EffectState.INTENDED, EffectState.IN_DOUBT)
OVER = (EngagementState.CLOSED, EngagementState.CANCELLED)
# Changing these does not change whom the connection talks to, nor what it says.
HARMLESS = {"sweep_seconds", "webhook_secret", "secrets", "ca_file"}


@dataclass(frozen=True)
class Change:
    """One thing that differs. fields: before and after by name. danger is empty when it is safe."""

    kind: str
    what: str
    whom: str
    fields: dict[str, tuple[Any, Any]]
    danger: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def plan(tx: Tx, old: FirmConfig | None, new: FirmConfig) -> list[Change]:
    """All changes, with their dangers as the books stand now. The first firm is never dangerous."""
    changes = compare(old, new)
    if old is None:
        return changes
    live = tx.find(RunRow, state=UNDER_WAY)
    return [replace(change, danger=_danger(tx, change, old, live)) for change in changes]


def compare(old: FirmConfig | None, new: FirmConfig) -> list[Change]:
    """The changes alone, from the two folders."""
    before, after = (_things(old) if old else {}), _things(new)
    changes = []
    for key in sorted({*before, *after}):
        then, now = before.get(key, {}), after.get(key, {})
        if then == now:
            continue
        kind = "added" if key not in before else "removed" if key not in after else "changed"
        fields = {n: (then.get(n), now.get(n)) for n in sorted({*then, *now}) if then.get(n) != now.get(n)}
        changes.append(Change(kind, f"{key[0]} {key[1]}".strip(), _whom(key, then or now, new), fields))
    return changes


def _things(firm: FirmConfig) -> dict[tuple[str, str], dict[str, Any]]:
    def plain(thing: BaseModel) -> dict[str, Any]:
        return thing.model_dump(mode="json")

    things: dict[tuple[str, str], dict[str, Any]] = {("firm", ""): {"name": firm.name, "pace": plain(firm.pace)}}
    things |= {("entity", entity.code): plain(entity) for entity in firm.entities}
    things |= {("connection", connection.name): plain(connection) for connection in firm.connections}
    things |= {("caller", caller.name): plain(caller) for caller in firm.callers}
    things |= {("ownership rule", rule.rule_id): plain(rule) for rule in firm.ownership}
    return things


def _whom(key: tuple[str, str], thing: dict[str, Any], firm: FirmConfig) -> str:
    kind, name = key
    if kind == "entity":
        return f"contracts, invoices and payments of {name}"
    if kind == "connection":
        return f"{', '.join(thing['fills'])} of {', '.join(thing['entities']) or 'every entity'}"
    if kind == "caller":
        return f"API caller {name} ({', '.join(thing['roles']) or 'no role'})"
    if kind == "ownership rule":
        where = "every entity" if thing["entity"] == "*" else thing["entity"]
        return f"everybody who writes {thing['object']}.{thing['field']} for {where}"
    return f"the whole firm ({len(firm.entities)} entities)"


def _danger(tx: Tx, change: Change, old: FirmConfig, live: list[RunRow]) -> str:
    kind, _, name = change.what.partition(" ")
    if kind == "entity" and change.kind != "added":
        return _entity_danger(tx, change, name, live)
    if kind == "connection" and change.kind != "added":
        config = next(c for c in old.connections if c.name == name)
        return _connection_danger(tx, change, config, live)
    return ""


def _entity_danger(tx: Tx, change: Change, code: str, live: list[RunRow]) -> str:
    """Removing one with work or money open; taking away a currency that its open work is in; moving its clock."""
    runs = sum(run.entity == code for run in live)
    invoices = [i for i in tx.find(Invoice, entity=code) if i.life is InvoiceLife.DRAFT or i.open != 0]
    engagements = [e for e in tx.find(Engagement, entity=code) if e.state not in OVER]
    if change.kind == "removed":
        stakes = [_counted(len(invoices), "open invoice", _sums(invoices))]
        stakes += [_counted(len(engagements), "open engagement"), _counted(runs, "run under way")]
        return _joined(code, stakes)
    stakes = []
    if "currencies" in change.fields:
        gone = set(change.fields["currencies"][0]) - set(change.fields["currencies"][1])
        held = [i for i in invoices if i.currency in gone] + [e for e in engagements if e.currency in gone]
        stakes.append(_counted(len(held), f"open invoice or engagement in {', '.join(sorted(gone))}"))
    for name in ("functional_currency", "time_zone", "invoice_series"):
        if name in change.fields:
            stakes.append(_counted(len(invoices), f"open invoice under the old {name}"))
    return _joined(code, stakes)


def _connection_danger(tx: Tx, change: Change, config: ConnectionConfig, live: list[RunRow]) -> str:
    """Anything that changes whom it talks to, while runs may talk to it or a write's outcome is unknown."""
    if change.kind == "changed" and set(change.fields) <= HARMLESS:
        return ""
    served = {"", *config.entities}
    runs = sum(not config.entities or run.entity in served for run in live)
    unsettled = len(tx.find(Effect, connection=config.name, state=UNSETTLED))
    doubt = _counted(unsettled, "write whose outcome must still be looked up there")
    return _joined(config.name, [_counted(runs, "run under way"), doubt])


def _counted(number: int, what: str, more: str = "") -> str:
    """ "2 runs under way": the first noun of each alternative takes the plural; nothing for none."""
    if not number:
        return ""
    plural = {"invoice": "invoices", "engagement": "engagements", "run": "runs", "write": "writes"}
    words = [plural.get(word, word) if number != 1 else word for word in what.split(" ")]
    return f"{number} {' '.join(words)}" + (f" ({more})" if more else "")


def _sums(invoices: Iterable[Invoice]) -> str:
    sums: dict[str, Decimal] = {}
    for invoice in invoices:
        sums[invoice.currency] = sums.get(invoice.currency, Decimal(0)) + invoice.open
    return ", ".join(f"{amount} {currency} open" for currency, amount in sorted(sums.items()))


def _joined(name: str, stakes: Iterable[str]) -> str:
    told = [stake for stake in stakes if stake]
    return f"{name} still has {', '.join(told)}" if told else ""
