"""The dry run of a decision: what would be written where, what changes in money, and what the run does after that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from isthmus.desk.position import Position, position_of
from isthmus.domain.money import can_bill_in, minor_units
from isthmus.ports import PORTS
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.kernel import Kernel
from isthmus.runtime.rehearsal import Rehearsed, Write, rehearse
from isthmus.runtime.routing import dimensions_about
from isthmus.runtime.storyline import Line
from isthmus.store.records import Case, RunState
from isthmus.store.tx import Tx


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WouldWrite(_Told):
    """A write that would be sent. changed: facts that are corrected, as [before, after]."""

    system: str
    what: str
    key: str
    amount: str = ""
    currency: str = ""
    changed: dict[str, list[str]] = {}


class MoneyChange(_Told):
    """A sum of the books before and after, with its difference; all in currency."""

    what: str
    currency: str
    before: str
    after: str
    change: str


class NextStep(_Told):
    """A line of the story that comes afterwards. system: whom it asks or writes to, empty for the hub's own books."""

    what: str
    system: str = ""
    writes: bool = False


class DryRun(_Told):
    """Kept with the decision as its evidence. stops: why the run would stop again; empty when it would go on."""

    at: datetime
    steps: tuple[str, ...]
    writes: tuple[WouldWrite, ...]
    money: tuple[MoneyChange, ...]
    then: tuple[NextStep, ...]
    ends: str
    stops: str
    digest: str

    @property
    def goes_on(self) -> bool:
        """True when nothing would stop the run again."""
        return not self.stops


def dry_run(
    kernel: Kernel, case: Case, act: Callable[[Kernel, Tx], None], *, reads: bool = True, original: Any = None
) -> DryRun:
    """Rehearse a decision on a case. act carries it out; its refusals are raised. reads: other systems may be asked."""

    def decide(acting: Kernel, tx: Tx) -> str:
        act(acting, tx)
        return case.run_id

    seen = rehearse(kernel, decide, lambda tx: position_of(tx, case.contract_no), reads=reads)
    facts: dict[str, Any] = {
        "steps": tuple(step.phrase + (f": {step.summary}" if step.summary else "") for step in seen.steps),
        "writes": tuple(_write(kernel, case, write) for write in seen.writes),
        "money": tuple(_changes(seen.before, seen.after)),
        "then": tuple(_next(kernel, case, line) for line in seen.then),
        "ends": _ends(case, seen),
        "stops": seen.stops,
    }
    digest = content_hash({name: [str(one) for one in facts[name]] for name in ("steps", "writes", "money")})
    return DryRun(at=kernel.clock.now(), digest=digest[:16], **facts)


# -- what changes in money ----------------------------------------------------------------------------------------


def _changes(before: Position, after: Position) -> list[MoneyChange]:
    changed = []
    for what, currency in sorted({*before, *after}):
        was, now = before.get((what, currency), Decimal(0)), after.get((what, currency), Decimal(0))
        if was != now:
            places = minor_units(currency) if can_bill_in(currency) else 2
            told = {
                "before": f"{was:,.{places}f}",
                "after": f"{now:,.{places}f}",
                "change": f"{now - was:+,.{places}f}",
            }
            changed.append(MoneyChange(what=what, currency=currency, **told))
    return changed


# -- in words -----------------------------------------------------------------------------------------------------


def _write(kernel: Kernel, case: Case, write: Write) -> WouldWrite:
    same = case.context.get("verb") == write.verb and case.context.get("key") == write.key
    sent = case.context.get("sent", {}) if same else {}
    return WouldWrite(
        system=write.connection,
        what=verb_in_words(write.verb),
        key=write.key,
        amount=f"{write.amount:,}" if write.amount is not None else "",
        currency=write.currency,
        changed=_differences(sent, write.facts) if same else {},
    )


def _differences(sent: dict[str, Any], now: dict[str, Any], path: str = "") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted({*sent, *now}):
        was, is_now, where = sent.get(name), now.get(name), f"{path}{name}"
        if isinstance(was, dict) or isinstance(is_now, dict):
            found |= _differences(was or {}, is_now or {}, f"{where}.")
        elif was != is_now:
            found[where] = ["" if was is None else str(was), "" if is_now is None else str(is_now)]
    return found


def verb_in_words(verb: str) -> str:
    """Erp.post_invoice as what it does: the first sentence of its documentation."""
    port, _, name = verb.partition(".")
    said = (getattr(PORTS[port], name).__doc__ or name).strip().split("\n")[0]
    return said.rstrip(".")


def _next(kernel: Kernel, case: Case, line: Line) -> NextStep:
    system, about = "", None
    if line.port in kernel.systems.told_apart:
        with kernel.store.transaction() as tx:
            about = dimensions_about(tx, f"contract:{case.contract_no}")
    if line.port and kernel.systems.fills(line.port, case.entity, "", about):
        system = str(kernel.systems.filling(line.port, case.entity, "", about).name)
    return NextStep(what=line.phrase, system=system or line.port, writes=line.writes)


def _ends(case: Case, seen: Rehearsed[Position]) -> str:
    """How far the rehearsal came, in a sentence."""
    if seen.stops:
        return f"The run would stop again: {seen.stops}"
    if seen.state is None:
        return "Nothing else is waiting for this decision."
    if seen.state is RunState.DONE:
        return "The run would come to its end."
    if seen.state is RunState.CANCELLED:
        return "The run would be called off."
    if not seen.then:
        return "The run would be called off once the other systems show it."
    return f"The run would go on; {len(seen.then)} more lines of its story follow once other systems have answered."
