"""A firm of some size for the console: a billed month, unbilled evidence of all states, cases, runs, events, audit.

The billed month is made by the real month end; everything else is laid beside it, in the shape the hub gives it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
from pydantic import BaseModel

from benchmarks.bed import plain
from benchmarks.month import NOW
from isthmus.desk.filing import group_key
from isthmus.desk.types import type_of
from isthmus.domain.states import CaseState
from isthmus.runtime.audit import CHAIN, GENESIS, sealed
from isthmus.store.copying import columns_of
from isthmus.store.desk_records import BulkFix, BulkItem, BulkState
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import (
    AuditEntry,
    Case,
    Counter,
    Effect,
    EffectState,
    OutboxEvent,
    RunRow,
    RunState,
    RunStep,
)

ENTITIES = ("US01", "GB01")
BULK_ITEMS = 1000
# Evidence that is not billed: of each contract as many of its billed items again, in these states and months.
UNBILLED = ("ready", "ready", "ready", "ready", "held", "deferred", "over_cap", "ready", "ready", "written_off")
# What cases are about: type, process, record, context by a number that makes causes (few big ones, some small ones).
KINDS: tuple[tuple[str, str, str, Any], ...] = (
    ("EX-TAX-CODE", "bill_contract", "invoice", lambda n: {"lines": [f"line {n % 40}"]}),
    ("EX-DIM", "contract_to_project", "contract", lambda n: {"missing": ["cost_center"], "given": {"practice": n % 9}}),
    ("EX-TERMS", "contract_to_project", "contract", lambda n: {"given": f"NET-{n % 5}", "known": ["NET30", "NET45"]}),
    ("EX-LINE-AMBIGUOUS", "capture_time", "time", lambda n: {"role": f"role {n % 7}", "lines": ["L1", "L2"]}),
    ("EX-REVIEW", "bill_contract", "invoice", lambda n: {"prepared_by": "ana", "reason": f"reason {n % 3}"}),
    ("EX-POST-REJECT", "bill_contract", "invoice", lambda n: {**REFUSED, "field": f"field {n % 11}"}),
)
REFUSED = {
    "verb": "Erp.post_invoice",
    "key": "x",
    "system": "erp",
    "words": "Please enter value(s) for: Region.",
    "sent": {"number": "x", "dimensions": {"region": "", "practice": "DIGITAL"}, "memo": "work"},
}


def enlarge(url: str, contracts: int, cases: int, events: int, audit: int) -> None:
    """Lay everything else beside a billed month."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for statement in BESIDE:
            connection.execute(statement)  # type: ignore[call-overload]
    store, dice = PostgresStore(url), random.Random(5)
    opened = [_case(dice, number, contracts) for number in range(cases)]
    decided = [_decided(dice, _case(dice, cases + number, contracts)) for number in range(cases * 2)]
    with store.transaction() as tx:
        _copy(tx, Case, [*opened, *decided])
        runs = [_run(case) for case in opened]
        _copy(tx, RunRow, runs)
        _copy(tx, RunStep, (step for run in runs for step in _steps(run)))
        _copy(tx, Effect, (_effect(dice, run) for run in runs))
        _copy(tx, OutboxEvent, (_event(dice, number, contracts) for number in range(events)))
        _copy(tx, AuditEntry, _audit(dice, audit))
        tx.put(Counter(name=CHAIN, value=audit))
        _bulk(tx, [case for case in opened if case.exception == "EX-DIM"][:BULK_ITEMS])
    store.close()
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")


def _copy(tx: Any, model: type[BaseModel], rows: Iterable[BaseModel]) -> None:
    names = columns_of(model)
    tx.copy(model, ([_plain(getattr(row, name)) for name in names] for row in rows))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# Clients, a second legal entity, and evidence that is not billed, made of the billed by the database itself.
BESIDE: Sequence[str] = (
    """insert into hub.client select (jsonb_populate_record(c, jsonb_build_object(
         'client_no', 'C-' || n, 'legal_name', 'Client ' || md5(n::text) || ' Holdings'))).*
       from hub.client c, generate_series(2, 2000) n where c.client_no = 'C-1'""",
    """update hub.engagement set client_no = 'C-' || (1 + right(contract_no, 5)::int % 2000),
         entity = case when right(contract_no, 5)::int % 2 = 0 then 'US01' else 'GB01' end""",
    """update hub.invoice i set client_no = e.client_no, entity = e.entity
       from hub.engagement e where e.contract_no = i.contract_no""",
    f"""insert into hub.billable_item select (jsonb_populate_record(i, jsonb_build_object(
         'item_id', i.item_id || '/more', 'source_key', i.source_key || '/more', 'entry_key', i.entry_key || '/more',
         'service_date', i.service_date + 27 - 31 * (place % 4)::int))).*
       from (select *, row_number() over (partition by contract_no order by item_id) place from hub.billable_item) j
       join hub.billable_item i using (item_id) where place <= {len(UNBILLED)}""",
    f"""insert into hub.billable_part select (jsonb_populate_record(p, jsonb_build_object(
         'part_id', p.part_id || '/more', 'item_id', p.item_id || '/more', 'invoice_id', '',
         'state', (array{list(UNBILLED)!r})[place], 'service_date', p.service_date + 27 - 31 * (place % 4)::int))).*
       from (select *, row_number() over (partition by contract_no order by item_id) place from hub.billable_part) j
       join hub.billable_part p using (part_id) where place <= {len(UNBILLED)}""",
)


def _case(dice: random.Random, number: int, contracts: int) -> Case:
    exception, process, record, context = KINDS[min(dice.randrange(9), dice.randrange(len(KINDS)))]
    contract = dice.randrange(contracts)
    contract_no, key = f"K-{contract:05d}", f"K-{contract:05d}:{number}"
    opened = NOW - timedelta(minutes=dice.randrange(20_000))
    kind = type_of(exception)
    case = Case(
        case_no=f"CASE-{number:05d}",
        run_id=f"{process}/{key}",
        seq=6,
        exception=exception,
        cause=f"{kind.about} Contract {contract_no}.",
        queue=kind.queue,
        severity=kind.severity,
        amount=Decimal(dice.randrange(1, 900_000)) / 100 if dice.random() < 0.8 else None,
        currency="USD",
        entity=ENTITIES[contract % 2],
        subject=key,
        context=context(dice.randrange(1000)),
        actions=[*kind.actions, "retry", "cancel"],
        tried="Check what is there",
        opened_at=opened,
        correlation_id=f"contract:{contract_no}",
        record=f"{record}:{key}",
        client_no=f"C-{1 + contract % 2000}",
        contract_no=contract_no,
        due_at=opened + timedelta(hours=8),
        pending="P-1" if dice.random() < 0.02 else "",
        tags=["month-end"] if dice.random() < 0.1 else [],
    )
    return case.model_copy(update={"group_key": group_key(case)})


def _decided(dice: random.Random, case: Case) -> Case:
    action = case.actions[0]
    facts = {
        "state": CaseState.RESOLVED,
        "resolved_at": case.opened_at + timedelta(minutes=dice.randrange(5, 3000)),
        "resolved_by": dice.choice(("finn", "fay", "tara", "stella")),
        "resolution": {"action": action, "reason": "as before", "cost_center": "CC-7"},
    }
    return case.model_copy(update={**facts, "pending": ""})


def _run(case: Case) -> RunRow:
    process, _, key = case.run_id.partition("/")
    return RunRow(
        run_id=case.run_id,
        process=process,
        key=key,
        args={},
        args_hash="x",
        state=RunState.PARKED,
        reason=f"{case.exception}: {case.cause}",
        entity=case.entity,
        correlation_id=case.correlation_id,
        created_at=case.opened_at - timedelta(minutes=1),
        updated_at=case.opened_at,
    )


def _steps(run: RunRow) -> Iterator[RunStep]:
    for seq in range(1, 6):
        at = run.created_at + timedelta(seconds=seq)
        facts: dict[str, Any] = {"phrase": f"Step {seq}", "summary": "done", "started_at": at, "ended_at": at}
        kind = {"kind": "effect", "system": "Erp.put_project"} if seq == 5 else {"kind": "decide"}
        yield RunStep(run_id=run.run_id, seq=seq, **kind, **facts)


def _effect(dice: random.Random, run: RunRow) -> Effect:
    state = dice.choices(list(EffectState), [1, 1, 1, 80, 5, 2, 9, 1])[0]
    return Effect(
        effect_key=f"{run.run_id}#5",
        run_id=run.run_id,
        seq=5,
        connection=dice.choice(("psa", "erp", "tax")),
        verb="Erp.put_project",
        business_key=run.key,
        args_hash="x",
        state=state,
        created_at=run.created_at,
        done_at=run.updated_at if state == "done" else None,
    )


def _event(dice: random.Random, number: int, contracts: int) -> OutboxEvent:
    contract_no = f"K-{dice.randrange(contracts):05d}"
    kind = dice.choice(("invoice.issued", "invoice.posted", "case.opened", "case.resolved", "time.approved"))
    return OutboxEvent(
        event_id=f"bench/{number}",
        type=kind,
        schema_version=1,
        occurred_at=NOW - timedelta(minutes=dice.randrange(40_000)),
        entity="US01",
        aggregate=f"bench:{number}",
        sequence=1,
        correlation_id=f"contract:{contract_no}",
        causation_id="bench",
        actor="hub",
        payload={"number": f"US01-{number}", "total": "100.00", "currency": "USD"},
    )


def _audit(dice: random.Random, number: int) -> Iterator[AuditEntry]:
    previous = GENESIS
    for chain in range(1, number + 1):
        entry = AuditEntry(
            audit_id=f"bench/{chain}",
            at=NOW - timedelta(seconds=number - chain),
            actor=dice.choice(("finn", "fay", "hub")),
            action=dice.choice(("case.resolve", "invoice.issue", "part.move")),
            subject=f"case:CASE-{dice.randrange(30_000):05d}",
            reason="as agreed",
            after={"state": "resolved"},
        )
        entry = sealed(entry, chain, previous)
        previous = entry.hash
        yield entry


def _bulk(tx: Any, cases: Sequence[Case]) -> None:
    fix = BulkFix(
        bulk_no="B-00001",
        exception=cases[0].exception,
        group_key="",
        action="fill",
        values={"cost_center": "CC-7"},
        reason="agreed with the practice",
        state=BulkState.PREVIEWED,
        asked_by="finn",
        asked_at=NOW,
        roles=["finance"],
    )
    write = {"system": "erp", "what": "Create the project", "key": "K", "amount": "", "currency": "", "changed": {}}
    then = [{"what": f"Line {n}", "system": "erp", "writes": True} for n in range(12)]
    dry_run = {"writes": [write] * 3, "then": then, "steps": ["a step"] * 5, "money": [], "ends": "", "stops": ""}
    tx.insert(fix)
    _copy(
        tx,
        BulkItem,
        (BulkItem(bulk_no="B-00001", case_no=c.case_no, state="ready", dry_run=dry_run, at=NOW) for c in cases),
    )
