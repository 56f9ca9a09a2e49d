"""make bench: each figure beside the raw limit measured in the same run. Nothing here passes or fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from benchmarks.bed import Bed, bed, count, cpu_seconds, peak_memory_mib, wait_for
from benchmarks.callers import Callers
from benchmarks.console import console
from benchmarks.month import month_end, one_project
from benchmarks.raw import commit_rates
from isthmus.app.demo import world

ACCEPTS = 6000
END_TO_END = 3000
WARM = 100
CALLERS = 32
FINISHED = "('done', 'found', 'resent')"
Row = tuple[str, str, str]


def accepting(one: Bed, url: str, raw: dict[int, float]) -> list[Row]:
    """Durable acceptance of webhooks by the API alone: the answer comes after the commit."""
    hub, address = one.start_hub("api", url)
    Callers(address, "kantata", 0, 300, CALLERS, "P-WARM").go()
    callers, used = Callers(address, "kantata", 1000, ACCEPTS, CALLERS, "P-K-1002"), cpu_seconds(hub.pid)
    told = callers.go()
    used = (cpu_seconds(hub.pid) - used) / ACCEPTS
    kept = count(url, "select count(*) from hub.inbox where kind = 'webhook' and message_id like 'm%'")
    rate = told["per_second"]
    rows = [
        ("webhooks accepted durably, 32 callers", f"{rate:,.0f}/s", f"{rate / raw[1]:.2f} x raw commits of one client"),
        ("  p50, p99", f"{told['p50_ms']:.1f} ms, {told['p99_ms']:.1f} ms", f"{kept} kept of {ACCEPTS + 300} sent"),
        ("  CPU per message, API", f"{used * 1e6:.0f} us", f"callers {told['cpu_seconds'] / ACCEPTS * 1e6:.0f} us"),
        ("  peak memory of the API", f"{peak_memory_mib(hub.pid):,.0f} MiB", ""),
    ]
    hub.terminate()
    hub.wait()
    return rows


def end_to_end(one: Bed, url: str) -> list[Row]:
    """Webhook, validation and pricing, a write to the ERP with its own effect row, done."""
    firm = one.firm_folder()
    one.slow_sweeps()
    hub, address = one.start_hub("up", url, "--firm", str(firm))
    one.win(world.DEALS[1])
    wait_for(url, "select count(*) from hub.engagement where state = 'active'", 1, 60)
    done = f"select count(*) from hub.effect where verb = 'Erp.put_time' and state in {FINISHED}"
    Callers(address, "kantata", 50_000, WARM, CALLERS, "P-K-1002").go()
    wait_for(url, done, WARM, 60)
    callers = Callers(address, "kantata", 100_000, END_TO_END, CALLERS, "P-K-1002")
    before, used, started = one.seen_by("netsuite"), _used(one, hub.pid), time.perf_counter()
    told = callers.go()
    wait_for(url, done, WARM + END_TO_END, 300)
    seconds = time.perf_counter() - started
    used = {name: (now - used[name]) / END_TO_END for name, now in _used(one, hub.pid).items()}
    used["callers"] = told["cpu_seconds"] / END_TO_END
    seen = one.seen_by("netsuite")
    with_money = count(url, "select count(*) from hub.billable_part where state = 'ready'")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    rows = [
        ("webhook to evidence to ERP to done, 32 callers", f"{END_TO_END / seconds:,.0f}/s", "goal 300/s on 2 cores"),
        (
            "  CPU per message, all processes",
            f"{sum(used.values()) * 1e6:,.0f} us",
            ", ".join(f"{name} {seconds * 1e6:,.0f}" for name, seconds in used.items()),
        ),
        (
            "  2 idle cores would give at most",
            f"{2 / sum(used.values()):,.0f}/s",
            f"the hub's one process {1 / used['hub']:,.0f}/s; load {load} on {os.cpu_count()} cores",
        ),
        (
            "  requests to the ERP per message",
            f"{(seen[0] - before[0]) / END_TO_END:.2f}",
            f"most at once {seen[1]}, limit 5",
        ),
        ("  p99 of the webhook's answer meanwhile", f"{told['p99_ms']:.1f} ms", f"{with_money} parts ready"),
        ("  peak memory of hub, worker and API", f"{peak_memory_mib(hub.pid):,.0f} MiB", ""),
    ]
    hub.terminate()
    hub.wait()
    return rows


def _used(one: Bed, hub: int) -> dict[str, float]:
    """CPU seconds so far."""
    return {
        "hub": cpu_seconds(hub),
        "PostgreSQL": one.cpu_of_postgres(),
        "sandboxes": cpu_seconds(one.children[0].pid),
    }


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
