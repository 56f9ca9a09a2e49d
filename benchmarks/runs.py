"""A three-step process under the real worker: how long one takes, and how fast many resume after kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psycopg

from benchmarks.bed import plain, wait_for
from isthmus.app import bootstrap
from isthmus.app.worker import Worker
from isthmus.runtime.books import Books
from isthmus.runtime.process import process
from isthmus.runtime.run import Run
from isthmus.store.records import RunRow, RunState


def _note(books: Books, what: str) -> str:
    books.emit("case.resolved", f"bench:{books.run_id}", {"step": what})
    return what


@process(starts="the benchmark", owner="nobody", key="a number")
def three_steps(run: Run, number: int) -> str:
    """Three steps, each one transaction with one event."""
    run.decide("First", _note, "first")
    run.decide("Second", _note, "second")
    return run.decide("Third", _note, "third")


def one_by_one(hub: bootstrap.Hub, number: int) -> list[float]:
    """Milliseconds from start to done, one run at a time."""
    taken = []
    for n in range(number):
        started = time.perf_counter()
        with hub.store.transaction() as tx:
            hub.kernel.start(tx, "three_steps", f"one-{n}", {"number": n})
        while True:
            with hub.store.transaction() as tx:
                row = tx.get(RunRow, f"three_steps/one-{n}")
            if row is not None and row.state is RunState.DONE:
                break
            time.sleep(0.001)
        taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken)


def resume(url: str, hub: bootstrap.Hub, number: int) -> dict[str, float]:
    """Queue many runs, kill the worker in the middle, start another: seconds until all have gone on, and until done."""
    with hub.store.transaction() as tx:
        for n in range(number):
            hub.kernel.start(tx, "three_steps", f"many-{n}", {"number": n})
    done = "select count(*) from hub.run where run_id like 'three_steps/many-%' and state = 'done'"
    first = _worker(url)
    wait_for(url, done, number // 10, 60)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute(done).fetchone()
    killed_at = int(row[0]) if row else 0
    started = time.perf_counter()
    second = _worker(url)
    wait_for(
        url, "select count(*) from hub.run where run_id like 'three_steps/many-%' and state <> 'queued'", number, 120
    )
    all_moving = time.perf_counter() - started
    wait_for(url, done, number, 120)
    finished = time.perf_counter() - started
    second.terminate()
    second.wait()
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute(
            "select count(*) from hub.event where aggregate like 'bench:three_steps/many-%'"
        ).fetchone()
    return {
        "done_when_killed": killed_at,
        "seconds_all_moving": all_moving,
        "seconds_all_done": finished,
        "steps_twice": (int(row[0]) if row else 0) - 3 * number,
    }


def _worker(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.runs", "worker"], env={**os.environ, "ISTHMUS_DATABASE_URL": url}, text=True
    )


def main() -> None:
    """``python -m benchmarks.runs worker``: a worker that knows three_steps; else measure and print JSON."""
    url = bootstrap.database_url()
    hub = bootstrap.build(url)
    if sys.argv[1:] == ["worker"]:
        Worker(hub, concurrency=16, sweeping=False).run_until_signal()
        hub.close()
        return
    worker = Worker(hub, concurrency=16, sweeping=False)
    worker.start()
    one_by_one(hub, 20)
    taken = one_by_one(hub, 200)
    worker.stop()
    told = {"p50_ms": taken[100], "p99_ms": taken[197], **resume(url, hub, 1000)}
    print(json.dumps(told))
    hub.close()


if __name__ == "__main__":
    from benchmarks.runs import main as run_main  # the module workers import, not __main__, registers the process

    run_main()
