"""A month end: from approved entries in the store to issued invoices with lineage, beside COPY of the same rows.

Hub time is from the start of bill_month until its last share is billed and handed over; what the other systems then do
with invoices and cost is not in it. Workers are processes, as `isthmus worker` is, each with one share at a time.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.bed import Bed, count, peak_memory_mib, plain
from isthmus.app import bootstrap
from isthmus.app.firm import FirmConfig
from isthmus.domain.objects import (
    Address,
    BillingType,
    Client,
    ContractLine,
    ContractVersion,
    Engagement,
    LegalEntity,
    Project,
    Rate,
    Task,
    TimeEntry,
)
from isthmus.domain.states import EngagementState
from isthmus.runtime.clock import SystemClock
from isthmus.store.copying import columns_of
from isthmus.store.postgres import PostgresStore

Row = tuple[str, str, str]
WORKERS = 2
ROLES = {"Consultant": "185.00", "Partner": "333.335", "Analyst": "92.10"}
NOW = datetime(2026, 2, 27, 18, tzinfo=UTC)
WRITTEN = ("billable_item", "billable_part", "invoice")


def seed(url: str, contracts: int, entries_each: int) -> None:
    """Contracts with their projects, and approved entries that are no evidence yet."""
    address = Address(street="1 Main St", city="New York", region="NY", postal_code="10001", country="US")
    entity = LegalEntity(
        code="US01",
        name="Bench Inc.",
        functional_currency="USD",
        country="US",
        time_zone="America/New_York",
        currencies=("USD",),
        payment_terms=("NET30",),
        payment_days={"NET30": 30},
        tax_rates={"S": Decimal("0.0825")},
        address=address,
    )
    _apply(url, entity)
    hub = bootstrap.build(url)
    client = Client(client_no="C-1", legal_name="Harbor Mutual", country="US", address=address)
    with hub.store.transaction() as tx:
        tx.put(entity)
        tx.insert(client)
        several = [_contract(number, client) for number in range(contracts)]
        for kind in range(3):
            tx.insert_many([rows[kind] for rows in several])
    with hub.store.transaction() as tx:
        tx.copy(TimeEntry, (row for number in range(contracts) for row in _entries(number, entries_each)))
    hub.close()
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")


def _apply(url: str, entity: LegalEntity) -> None:
    """A firm without connections: what goes to other systems waits for them."""
    store, firm = PostgresStore(url), FirmConfig(name="Bench Inc.", entities=(entity,), connections=())
    bootstrap.apply_firm(store, firm, by="ines", approved_by="finn", clock=SystemClock())
    store.close()


def _contract(number: int, client: Client) -> tuple[ContractVersion, Engagement, Project]:
    no, code = f"K-{number:05d}", f"P-{number:05d}"
    rates = tuple(Rate(role=r, bill_rate=Decimal(price), effective_from=date(2026, 1, 1)) for r, price in ROLES.items())
    line = ContractLine(
        line_uid="L1", description="Advice", billing_type=BillingType.TM, tax_code="SERVICES", rates=rates
    )
    facts: dict[str, Any] = {"contract_no": no, "client_no": "C-1", "entity": "US01"}
    version = ContractVersion(
        **facts,
        version=1,
        client=client,
        currency="USD",
        effective_from=date(2026, 1, 1),
        signed_on=date(2026, 1, 1),
        payment_terms="NET30",
        lines=(line,),
    )
    engagement = Engagement(**facts, engagement_no=no, project_code=code, state=EngagementState.ACTIVE)
    task = Task(code="L1", name="Advice", line_uid="L1")
    more: dict[str, Any] = {"contract_version": 1, "currency": "USD", "start": date(2026, 1, 1), "tasks": (task,)}
    return version, engagement, Project(**facts, project_code=code, name=no, **more)


def _entries(contract: int, number: int) -> Iterator[list[Any]]:
    names, roles = columns_of(TimeEntry), list(ROLES)
    person = [f"person {(contract * 7 + n) % 997}" for n in range(max(20, number // 50))]
    for n in range(number):
        who = n % len(person)
        facts = {
            "source": "psa",
            "source_id": f"{contract:05d}-{n:06d}",
            "revision": 1,
            "project_code": f"P-{contract:05d}",
            "task_code": "L1",
            "person": person[who],
            "role": roles[who % 3],
            "service_date": date(2026, 1, 1) + timedelta(days=n // len(person) % 28),
            "hours": Decimal(25 + n % 8) / 100,
            "note": f"work {n}",
            "days": [],
            "approved_by": "pia",
            "approved_at": NOW,
        }
        empty = {"cost_rate": None}
        yield [facts.get(name, empty.get(name, "")) for name in names]


# -- measuring -------------------------------------------------------------------------------------------------


def bill(one: Bed, url: str, workers: int = WORKERS) -> dict[str, float]:
    """Bill everything; seconds of hub time, CPU seconds of workers and of PostgreSQL, peak memory of a worker."""
    command = [sys.executable, "-m", "benchmarks.month"]
    environment = {**os.environ, "ISTHMUS_DATABASE_URL": url}
    children = [
        subprocess.Popen(
            [*command, str(n), str(workers)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(workers)
    ]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    hub, before = bootstrap.build(url), one.cpu_of_postgres()
    started = time.perf_counter()
    args = {"entity": "US01", "cutoff": "2026-01-31", "name": "2026-01", "prepared_by": "ana"}
    with hub.store.transaction() as tx:
        row = hub.kernel.start(tx, "bill_month", "US01:2026-01", args, entity="US01")
    hub.kernel.advance(row.run_id, row.attempt)
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    told = [json.loads(child.stdout.readline()) for child in children if child.stdout is not None]
    seconds = time.perf_counter() - started
    postgres = one.cpu_of_postgres() - before
    peak = max(peak_memory_mib(child.pid) for child in children)
    for child in children:
        child.communicate("", timeout=60)
    hub.close()
    sums = {name: sum(each[name] for each in told) for name in ("cpu", "billing", "handing_over")}
    return {"seconds": seconds, "postgres": postgres, "peak": peak, **sums}


def copy_seconds(url: str, folder: Path) -> float:
    """Seconds COPY takes for the rows a month end has written, into tables with the same indexes and no triggers."""
    taken = 0.0
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for table in WRITTEN:
            connection.execute(f"create table again_{table} (like hub.{table} including all)")  # type: ignore[call-overload]
            kept = folder / f"{table}.copy"
            with (
                kept.open("wb") as file,
                connection.cursor() as cursor,
                cursor.copy(f"copy hub.{table} to stdout") as out,  # type: ignore[call-overload]
            ):
                for piece in out:
                    file.write(piece)
            started = time.perf_counter()
            with (
                kept.open("rb") as file,
                connection.cursor() as cursor,
                cursor.copy(f"copy again_{table} from stdin") as into,  # type: ignore[call-overload]
            ):
                while block := file.read(1 << 18):
                    into.write(block)
            taken += time.perf_counter() - started
            kept.unlink()
            connection.execute(f"drop table again_{table}")  # type: ignore[call-overload]
    return taken


def month_end(one: Bed, contracts: int, entries_each: int, workers: int = WORKERS) -> list[Row]:
    """One size: rate, memory, CPU, beside COPY."""
    entries = contracts * entries_each
    url = one.database("month")
    seed(url, contracts, entries_each)
    told = bill(one, url, workers)
    invoices = count(url, "select count(*) from hub.invoice where life = 'issued' and number <> ''")
    on_lines = count(
        url,
        "select sum(jsonb_array_length(line->'part_ids')) from hub.invoice i, jsonb_array_elements(i.lines) line",
    )
    assert (invoices, on_lines) == (contracts, entries), f"{invoices} invoices with {on_lines} parts"
    copied = copy_seconds(url, one.folder)
    rate, cpu = entries / told["seconds"], (told["cpu"] + told["postgres"]) / entries
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        (
            f"month end, {contracts:,} contracts, {entries:,} entries, {workers} workers",
            f"{rate:,.0f} entries/s in {told['seconds']:.1f} s",
            f"goal 20,000; {rate * copied / entries:.2f} x COPY of the same rows ({entries / copied:,.0f} entries/s)",
        ),
        (
            "  CPU per entry, workers and PostgreSQL",
            f"{told['cpu'] / entries * 1e6:.0f} + {told['postgres'] / entries * 1e6:.0f} us",
            f"2 idle cores would give {2 / cpu:,.0f} entries/s at most; load {load} on {os.cpu_count()} cores",
        ),
        (
            "  of it billing, handing over to posting",
            f"{told['billing']:.1f} s, {told['handing_over']:.1f} s of the workers",
            f"{invoices:,} invoices issued, each part on one line",
        ),
        ("  peak memory of a worker", f"{told['peak']:,.0f} MiB", "goal under 1,024 MiB"),
    ]


def one_project(one: Bed) -> list[Row]:
    """A project of 50,000 lines beside 50 projects of 1,000, by one worker each."""
    rates = {}
    for contracts, each in ((50, 1000), (1, 50_000)):
        url = one.database("project")
        seed(url, contracts, each)
        told = bill(one, url, 1)
        rates[contracts] = told["seconds"] / 50_000 * 1e6, (told["cpu"] + told["postgres"]) / 50_000 * 1e6
    many, single = rates[50], rates[1]
    return [
        (
            "one project of 50,000 lines, one worker",
            f"{single[0]:.0f} us per line ({single[1]:.0f} us of CPU)",
            f"50 projects of 1,000: {many[0]:.0f} us ({many[1]:.0f} us of CPU)",
        )
    ]


# -- a worker --------------------------------------------------------------------------------------------------


def work(number: int, workers: int) -> None:
    """Take every workers-th share; say what it took."""
    url = bootstrap.database_url()
    hub = bootstrap.build(url)
    with hub.store.transaction() as tx:
        tx.next("benchmark")  # the connection is open
    print("ready", flush=True)
    sys.stdin.readline()
    before = resource.getrusage(resource.RUSAGE_SELF)
    taken = {"billing": 0.0, "handing_over": 0.0}
    begun = [time.perf_counter()]

    def told(row: Any, step: Any) -> None:
        now = time.perf_counter()
        taken["billing" if step.seq == 1 else "handing_over"] += now - begun[0]
        begun[0] = now

    hub.kernel.told = told
    with psycopg.connect(plain(url)) as connection:
        shares = connection.execute("select run_id from hub.run where process = 'bill_share' order by key").fetchall()
    for (run_id,) in shares[number::workers]:
        begun[0] = time.perf_counter()
        state = hub.kernel.advance(run_id, 1)
        assert state == "done", f"{run_id} is {state}"
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu": cpu, **taken}), flush=True)
    sys.stdin.read()
    hub.close()


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]))
