"""make bench: each figure beside the raw limit measured in the same run. Nothing here passes or fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.bed import Bed, bed, count, peak_memory_mib, wait_for
from benchmarks.console import console
from benchmarks.month import month_end, one_project
from benchmarks.raw import commit_rates
from isthmus.app.demo import world

ACCEPTS = 6000
END_TO_END = 1500
CALLERS = 32
FINISHED = "('done', 'found', 'resent')"
Row = tuple[str, str, str]


def call(url: str, first: int, number: int, project: str) -> dict[str, float]:
    """Webhooks from a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.callers",
        url,
        "kantata",
        str(first),
        str(number),
        str(CALLERS),
        project,
    ]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert not told.pop("refused"), told
    return told


def accepting(one: Bed, url: str, raw: dict[int, float]) -> list[Row]:
    """Durable acceptance of webhooks by the API alone: the answer comes after the commit."""
    hub, address = one.start_hub("api", url)
    call(address, 0, 300, "P-WARM")
    told = call(address, 1000, ACCEPTS, "P-K-1002")
    kept = count(url, "select count(*) from hub.inbox where kind = 'webhook' and message_id like 'm%'")
    rate = told["per_second"]
    rows = [
        ("webhooks accepted durably, 32 callers", f"{rate:,.0f}/s", f"{rate / raw[1]:.2f} x raw commits of one client"),
        ("  p50, p99", f"{told['p50_ms']:.1f} ms, {told['p99_ms']:.1f} ms", f"{kept} kept of {ACCEPTS + 300} sent"),
        ("  peak memory of the API", f"{peak_memory_mib(hub.pid):,.0f} MiB", ""),
    ]
    hub.terminate()
    hub.wait()
    return rows


def end_to_end(one: Bed, url: str) -> list[Row]:
    """Webhook, validation and pricing, a write to the ERP with its own effect row, done."""
    hub, address = one.start_hub("up", url, "--firm", str(one.firm_folder()))
    one.win(world.DEALS[1])
    wait_for(url, "select count(*) from hub.engagement where state = 'active'", 1, 60)
    done = f"select count(*) from hub.effect where verb = 'Erp.put_time' and state in {FINISHED}"
    log = one.served["netsuite"].url + "/_control/log"
    before = len(httpx.get(log, trust_env=False, timeout=30).json()["requests"])
    started = time.perf_counter()
    told = call(address, 100_000, END_TO_END, "P-K-1002")
    wait_for(url, done, END_TO_END, 300)
    seconds = time.perf_counter() - started
    seen = httpx.get(log, trust_env=False, timeout=60).json()
    requests = (len(seen["requests"]) - before) / END_TO_END
    with_money = count(url, "select count(*) from hub.billable_part where state = 'ready'")
    rows = [
        ("webhook to evidence to ERP to done, 32 callers", f"{END_TO_END / seconds:,.0f}/s", "goal 300/s on 2 cores"),
        ("  requests to the ERP per message", f"{requests:.2f}", f"most at once {seen['concurrent_max']}, limit 5"),
        ("  p99 of the webhook's answer meanwhile", f"{told['p99_ms']:.1f} ms", f"{with_money} parts ready"),
        ("  peak memory of hub, worker and API", f"{peak_memory_mib(hub.pid):,.0f} MiB", ""),
    ]
    hub.terminate()
    hub.wait()
    return rows


def running(one: Bed, url: str) -> list[Row]:
    """Latency of a three-step process; resume after kill -9."""
    environment = {**os.environ, "ISTHMUS_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.runs"], env=environment, check=True, capture_output=True, text=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    killed = f"{told['done_when_killed']:.0f} of 1,000 were done at kill -9"
    return [
        ("three-step durable process", f"p50 {told['p50_ms']:.1f} ms, p99 {told['p99_ms']:.1f} ms", "goal p50 < 50 ms"),
        ("1,000 runs after kill -9: all moving again", f"{told['seconds_all_moving']:.1f} s", killed),
        ("  all done", f"{told['seconds_all_done']:.1f} s", f"{told['steps_twice']:.0f} steps carried out twice"),
    ]


def hub_and_systems(one: Bed, table: Table) -> None:
    """Webhooks, runs and writes to other systems."""
    raw = commit_rates(one.database("raw"), one.folder)
    for clients, rate in raw.items():
        table.add_row(f"raw: single-row insert and commit, {clients} clients", f"{rate:,.0f}/s", "pgbench")
    one.start_sandboxes()
    url = one.database("bench")
    applied = one.child("apply", str(one.firm_folder()), "--as", "ines", "--approved-by", "finn", url=url)
    applied.wait()
    for measure in (
        lambda: running(one, url),
        lambda: accepting(one, url, raw),
        lambda: end_to_end(one, one.database("e2e")),
    ):
        for row in measure():
            table.add_row(*row)


def adding(measure: Callable[[Bed], list[Row]]) -> Callable[[Bed, Table], None]:
    """A section whose rows come all at once."""

    def add(one: Bed, table: Table) -> None:
        for row in measure(one):
            table.add_row(*row)

    return add


SECTIONS: dict[str, Callable[[Bed, Table], None]] = {
    "hub": hub_and_systems,
    "month": adding(lambda one: month_end(one, 1000, 100)),
    "million": adding(lambda one: month_end(one, 10_000, 100)),
    "project": adding(one_project),
    "console": adding(console),
}


def main() -> None:
    """Measure and print the sections named, all of them when none is."""
    unknown = set(sys.argv[1:]) - set(SECTIONS)
    if unknown:
        sys.exit(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    table = Table("figure", "measured", "beside", title="isthmus, measured in one run", title_justify="left")
    with bed() as one:
        for name in sys.argv[1:] or SECTIONS:
            SECTIONS[name](one, table)
    Console().print(table)


if __name__ == "__main__":
    main()
