"""The whole journey behind any key: what belongs together over all systems, from the signed contract to the money.

A key is found by what it may be (a contract, an invoice number, an entry, an id in another system …); everything of
a journey shares its correlation id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from isthmus.app.bought import without_cost
from isthmus.domain.errors import NotFound
from isthmus.domain.objects import (
    Allocation,
    BillableItem,
    BillablePart,
    ContractVersion,
    Engagement,
    Invoice,
    Payment,
    Project,
)
from isthmus.domain.subcontracting import Subcontract, SubcontractorBill
from isthmus.processes.work.reading import contracts_on
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case, CrossReference, Effect, InboxMessage, OutboxEvent, RunRow, RunStep
from isthmus.store.shared import invoices_on
from isthmus.store.tables import TABLES
from isthmus.store.tx import M

ROWS_MAX = 1000


class JourneyStep(BaseModel):
    """One line of the timeline."""

    seq: int
    phrase: str
    system: str
    summary: str
    amount: str | None
    currency: str
    started_at: datetime
    ended_at: datetime


class JourneyRun(BaseModel):
    """A run of the journey with its steps."""

    run_id: str
    process: str
    state: str
    reason: str
    correlation_id: str
    created_at: datetime
    updated_at: datetime
    steps: list[JourneyStep]


class JourneyEffect(BaseModel):
    """A write to another system and what came of it."""

    run_id: str
    connection: str
    verb: str
    business_key: str
    external_id: str
    state: str
    sends: int
    lookups: int
    amount: str | None
    currency: str
    created_at: datetime
    done_at: datetime | None


class Journey(BaseModel):
    """found_as: what the key turned out to be. truncated: lists cut at 1,000 rows; the system APIs page through all."""

    key: str
    found_as: list[str]
    correlation_ids: list[str]
    contracts: list[ContractVersion]
    engagements: list[Engagement]
    projects: list[Project]
    runs: list[JourneyRun]
    effects: list[JourneyEffect]
    events: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    cases: list[Case]
    invoices: list[Invoice]
    payments: list[Payment]
    bills: list[SubcontractorBill]
    truncated: list[str]


# -- what a key may be ------------------------------------------------------------------------------------------


def _contracts(rows: Iterable[Any]) -> set[str]:
    return {f"contract:{row.contract_no}" for row in rows}


def _billed_by(invoices: Iterable[Invoice]) -> set[str]:
    """The contracts on invoices; one may bill several."""
    return {f"contract:{contract_no}" for invoice in invoices for contract_no in contracts_on(invoice)}


def _of_versions(tx: PostgresTx, key: str) -> set[str]:
    number, _, version = key.rpartition("@")
    if version.isascii() and version.isdigit() and len(version) < 10:
        return _contracts(tx.find(ContractVersion, contract_no=number, version=int(version)))
    return set()


def _of_run(tx: PostgresTx, key: str) -> set[str]:
    row = tx.get(RunRow, key)
    return {row.correlation_id} if row else {r.correlation_id for r in tx.find(RunRow, key=key, limit=20)}


def _of_entry(tx: PostgresTx, key: str) -> set[str]:
    found = _contracts(tx.find(BillableItem, source_key=key))
    if not found:  # it may be stuck before it became evidence
        found = _of_messages(tx, tx.find(InboxMessage, aggregate=f"time:{key}", limit=20))
    return found


def _of_messages(tx: PostgresTx, messages: Iterable[InboxMessage]) -> set[str]:
    runs = tuple({message.run_id for message in messages if message.run_id})
    return {row.correlation_id for row in tx.find(RunRow, run_id=runs)} if runs else set()


def _of_payment(tx: PostgresTx, key: str) -> set[str]:
    ids = tuple({share.invoice_id for share in tx.find(Allocation, payment_key=key)})
    return _billed_by(tx.find(Invoice, invoice_id=ids)) if ids else set()


def _of_external_id(tx: PostgresTx, key: str) -> set[str]:
    references = tx.find(CrossReference, remote_id=key, limit=50)
    ours = tuple({reference.key for reference in references})
    return {e.correlation_id for e in tx.find(Effect, business_key=ours, limit=500)} if ours else set()


def _of_case(tx: PostgresTx, key: str) -> set[str]:
    case = tx.get(Case, key)
    return {case.correlation_id} if case else set()


def _of_client(tx: PostgresTx, key: str) -> set[str]:
    table = TABLES[Engagement]
    rows = tx.raw.execute(sa.select(table.c.contract_no).where(table.c.client_no == key).limit(100))
    return {f"contract:{contract_no}" for (contract_no,) in rows}


Finder = Callable[[PostgresTx, str], set[str]]
FINDERS: dict[str, Finder] = {
    "correlation id": lambda tx, key: {r.correlation_id for r in tx.find(RunRow, correlation_id=key, limit=1)},
    "contract": lambda tx, key: _contracts(tx.find(Engagement, contract_no=key)),
    "contract version": _of_versions,
    "project": lambda tx, key: _contracts(tx.find(Engagement, project_code=key)) if key else set(),
    "client": _of_client,
    "invoice number": lambda tx, key: _billed_by(tx.find(Invoice, number=key)) if key else set(),
    "invoice": lambda tx, key: _billed_by(tx.find(Invoice, invoice_id=key)),
    "time entry": _of_entry,
    "evidence": lambda tx, key: _contracts(tx.find(BillableItem, item_id=key)),
    "billable part": lambda tx, key: _contracts(tx.find(BillablePart, part_id=key)),
    "supplier's bill": lambda tx, key: _contracts(
        tx.find(SubcontractorBill, bill_id=key) or tx.find(SubcontractorBill, bill_no=key, limit=20)
    ),
    "subcontract": lambda tx, key: _contracts(tx.find(Subcontract, subcontract_no=key)),
    "run": _of_run,
    "payment": _of_payment,
    "case": _of_case,
    "effect": lambda tx, key: {e.correlation_id for e in tx.find(Effect, business_key=key, limit=500)},
    "id in another system": _of_external_id,
}


def journey_of(tx: PostgresTx, key: str) -> Journey:
    """Everything that belongs to the key. NotFound when nothing does."""
    found = {name: ids for name, find in FINDERS.items() if (ids := find(tx, key) - {""})}
    if not found:
        raise NotFound(f"nothing is known under {key}")
    correlations = sorted(set().union(*found.values()))
    return _gather(tx, key, list(found), correlations)


def _gather(tx: PostgresTx, key: str, found_as: list[str], correlations: list[str]) -> Journey:
    contract_nos = tuple(c.removeprefix("contract:") for c in correlations if c.startswith("contract:"))
    invoices = invoices_on(tx, *contract_nos)
    payments = _payments(tx, invoices)
    own = tx.find(RunRow, correlation_id=tuple(correlations), order=("created_at", "run_id"), limit=ROWS_MAX)
    runs = _with_cash(tx, own, payments)
    run_ids = tuple(run.run_id for run in runs)
    effects = _some(tx, Effect, ("created_at", "effect_key"), run_id=run_ids)
    events = _some(tx, OutboxEvent, ("position",), correlation_id=tuple(correlations))
    messages = _messages(tx, contract_nos, run_ids)
    lists: dict[str, Sequence[Any]] = {"runs": own, "effects": effects, "events": events, "messages": messages}
    return Journey(
        key=key,
        found_as=found_as,
        correlation_ids=correlations,
        contracts=_some(tx, ContractVersion, ("contract_no", "version"), contract_no=contract_nos),
        engagements=_some(tx, Engagement, ("contract_no",), contract_no=contract_nos),
        projects=_some(tx, Project, ("project_code",), contract_no=contract_nos),
        runs=_told(tx, runs),
        effects=[_effect(effect) for effect in effects],
        events=[_event(event) for event in events],
        messages=[_message(message) for message in messages],
        cases=_some(tx, Case, ("case_no",), run_id=run_ids),
        invoices=invoices,
        payments=payments,
        bills=[without_cost(bill) for bill in _some(tx, SubcontractorBill, ("bill_id",), contract_no=contract_nos)],
        truncated=[name for name, rows in lists.items() if len(rows) >= ROWS_MAX],
    )


def _some(tx: PostgresTx, model: type[M], order: tuple[str, ...], **equals: Any) -> list[M]:
    """At most ROWS_MAX; none when there is nothing to look for."""
    return tx.find(model, order=order, limit=ROWS_MAX, **equals) if all(equals.values()) else []


def _payments(tx: PostgresTx, invoices: list[Invoice]) -> list[Payment]:
    ids = tuple(invoice.invoice_id for invoice in invoices)
    keys = {share.payment_key for share in tx.find(Allocation, invoice_id=ids)} if ids else set()
    sources = tuple({key.partition(":")[0] for key in keys})
    source_ids = tuple({key.partition(":")[2] for key in keys})
    found = tx.find(Payment, source=sources, source_id=source_ids, order=("value_date", "source_id")) if keys else []
    return [payment for payment in found if payment.key in keys]


def _with_cash(tx: PostgresTx, runs: list[RunRow], payments: list[Payment]) -> list[RunRow]:
    """A payment that names no invoice has a correlation of its own; its run belongs here once it has settled one."""
    known = {run.run_id for run in runs}
    missing = tuple(i for p in payments if (i := f"invoice_to_cash/{p.key}") not in known)
    return runs + (tx.find(RunRow, run_id=missing, order=("created_at",)) if missing else [])


def _messages(tx: PostgresTx, contract_nos: tuple[str, ...], run_ids: tuple[str, ...]) -> list[InboxMessage]:
    """Messages about the contracts, and about the entries that became their evidence or are on their way to it."""
    inbox, item = TABLES[InboxMessage], TABLES[BillableItem]
    entries = sa.select(sa.literal("time:") + item.c.source_key).where(item.c.contract_no.in_(contract_nos))
    about = inbox.c.aggregate.in_([f"contract:{number}" for number in contract_nos])
    where = sa.or_(about, inbox.c.aggregate.in_(entries), inbox.c.run_id.in_(run_ids))
    query = sa.select(inbox).where(where).order_by(inbox.c.received_at, inbox.c.message_id).limit(ROWS_MAX)
    return [InboxMessage.model_validate(dict(row)) for row in tx.raw.execute(query).mappings()]


# -- telling ----------------------------------------------------------------------------------------------------


def _told(tx: PostgresTx, runs: list[RunRow]) -> list[JourneyRun]:
    steps: dict[str, list[RunStep]] = {}
    for step in _some(tx, RunStep, ("run_id", "seq"), run_id=tuple(run.run_id for run in runs)):
        steps.setdefault(step.run_id, []).append(step)
    fields = set(JourneyRun.model_fields) - {"steps"}
    return [
        JourneyRun(**run.model_dump(include=fields), steps=[_step(step) for step in steps.get(run.run_id, [])])
        for run in runs
    ]


def _step(step: RunStep) -> JourneyStep:
    facts = step.model_dump(include=set(JourneyStep.model_fields))
    return JourneyStep(**{**facts, "amount": _text(step.amount)})


def _text(amount: Any) -> str | None:
    return None if amount is None else str(amount)


def _effect(effect: Effect) -> JourneyEffect:
    facts = effect.model_dump(include=set(JourneyEffect.model_fields) - {"external_id"})
    return JourneyEffect(**{**facts, "amount": _text(effect.amount)}, external_id=external_id(effect))


def external_id(effect: Effect) -> str:
    """What the other system calls what was written; empty until it is known."""
    result = effect.result if isinstance(effect.result, dict) else {}
    reference = result.get("ref") or result
    return str(reference.get("external_id") or reference.get("document_code") or "")


def _event(event: OutboxEvent) -> dict[str, Any]:
    fields = ("event_id", "position", "type", "occurred_at", "aggregate", "sequence", "actor", "payload")
    return event.model_dump(mode="json", include=set(fields))


def _message(message: InboxMessage) -> dict[str, Any]:
    """Without its raw text, which may hold cost rates."""
    return message.model_dump(mode="json", exclude={"raw", "content_hash"})
