"""Several workers on one database: one dies, one stands still too long, one goes on with what a dead one left."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest

from isthmus.runtime.fleet import is_gone, process_mark
from isthmus.store.records import Executor
from tests.crash.conftest import Walked
from tests.crash.expected import breaks
from tests.crash.stage import CONTRACT, Stage, wait_for
from tests.crash.trial import DELIVERED, Trial, Wrong

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LEASE_SECONDS = 2.0
MANY = 100
HUB = "application_name <> 'harness' and datname ="


@pytest.mark.parametrize(
    "effect", ["TaxEngine.calculate", "Erp.post_invoice", "TimeSource.mark_invoiced", "Crm.report_status"]
)
@pytest.mark.requirement("SC-12")
def test_a_worker_takes_over_what_a_killed_one_had_in_hand(stage: Stage, walked: Walked, effect: str) -> None:
    """Both die when they have sent it; the first one does, so the second finds it by looking it up."""
    trial = Trial(stage, Wrong(crash_at=f"sent {effect}#1"), lease_seconds=60.0)
    trial.open()
    try:
        other = trial.start_hub(trial.wrong.crash_at)
        assert other.wait_until_open()
        first = trial.hub
        trial.work()
        asked = trial.send("bill", "billing", contract_no=CONTRACT, name="2026-03", cutoff="2026-03-31")
        assert asked["run"] == f"bill_contract/{CONTRACT}:2026-03"
        wait_for("one of them to die", lambda: not (first.alive and other.alive), first)
        trial.hub = other if other.alive else first
        killed = time.monotonic()
        wait_for("the other to finish", lambda: trial.count(DELIVERED) == 1 and trial.quiet(), trial.hub)
        assert trial.hub.alive
        assert time.monotonic() - killed < 30, "it waited for the dead one's lease of a minute"
        trial.bill()
        trial.pay()
        outcome = trial.outcome()
    finally:
        trial.close()
    assert breaks(outcome) == []
    assert outcome.differences(walked.undisturbed) == []


@pytest.mark.parametrize(
    "still_at",
    [
        "before Issue the invoice under its number",
        "intended Erp.post_invoice",
        "before Keep the posting",
        "sent Erp.post_invoice",
        "intended TimeSource.mark_invoiced",
        "sent TimeSource.mark_invoiced",
        "after Mark the invoice as delivered",
    ],
)
@pytest.mark.requirement("SC-12")
def test_a_worker_that_stood_still_past_its_lease_writes_and_sends_no_more(
    stage: Stage, walked: Walked, still_at: str
) -> None:
    trial = Trial(stage, Wrong(crash_at=f"{still_at}#1", crash_signal="STOP"), lease_seconds=LEASE_SECONDS)
    trial.open()
    still = trial.hub
    try:
        trial.work()
        trial.send("bill", "billing", contract_no=CONTRACT, name="2026-03", cutoff="2026-03-31")
        wait_for("it to stand still", lambda: still.stands_still, still)
        trial.hub = trial.start_hub()
        assert trial.hub.wait_until_open()
        wait_for("the other to finish", lambda: trial.count(DELIVERED) == 1 and trial.quiet(), trial.hub)
        done = _attempts(trial)
        still.signal(signal.SIGCONT)
        time.sleep(LEASE_SECONDS)
        assert _attempts(trial) == done, "the one that came back moved a run that another had finished"
        trial.bill()
        trial.pay()
        outcome = trial.outcome()
    finally:
        trial.close()
    assert breaks(outcome) == []
    assert outcome.differences(walked.undisturbed) == []


def _attempts(trial: Trial) -> list[tuple[str, str, int]]:
    rows = trial.rows.execute("select run_id, state, attempt from hub.run order by run_id")
    return [(str(run_id), str(state), int(attempt)) for run_id, state, attempt in rows.fetchall()]


def test_many_runs_in_flight_go_on_after_a_kill(stage: Stage, walked: Walked) -> None:
    """Two hundred runs: half of them end by themselves, half park with a case and are called off."""
    trial = Trial(stage, Wrong(crash_at="run claimed#40"))
    trial.open()
    try:
        entry = trial.record_time()[0].model_dump(mode="json")
        strangers = [{**entry, "source_id": f"X{n:03d}", "project_code": f"P-none-{n:03d}"} for n in range(MANY)]
        trial.send("webhook", "psa", source="kantata", entries=strangers)
        trial.send("bill_many", "billing", contract_no=CONTRACT, count=MANY)
        trial.until("half parked and half done", lambda: _states(trial) == (MANY, MANY) and trial.quiet())
        assert trial.died
        trial.hub.kill()
        trial.revive()
        assert trial.send("call_off_all", "pmo")["cases"] == MANY
        trial.until("the parked ones called off", lambda: _states(trial) == (0, MANY) and trial.quiet())
        again = trial.count("select count(*) from hub.run where state = 'cancelled'")
        assert (again, trial.count("select count(*) from hub.case_file")) == (MANY, MANY)
    finally:
        trial.close()


def _states(trial: Trial) -> tuple[int, int]:
    parked = trial.count("select count(*) from hub.run where state = 'parked'")
    billed = trial.count("select count(*) from hub.run where process = 'bill_contract' and state = 'done'")
    return parked, billed


def test_what_is_sent_while_it_is_gathered_makes_the_same_evidence(stage: Stage, walked: Walked) -> None:
    """Duplicates that arrive while the first message is being gathered."""
    for _ in range(5):
        trial = Trial(stage, Wrong(gathers_whole=False, parallel_sends=4))
        outcome = trial.play()
        assert breaks(outcome) == []
        assert outcome.differences(walked.undisturbed) == []


def test_only_a_process_of_this_machine_that_is_not_there_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    now, mark = datetime.now(UTC), process_mark(process.pid)
    here = Executor(executor_id="x", host=f"a/{mark}", pid=process.pid, version="", started_at=now, seen_at=now)
    elsewhere = here.model_copy(update={"host": "a/0badcafe.1"})
    nameless = here.model_copy(update={"host": "a"})
    reused = here.model_copy(update={"host": f"a/{mark}0"})
    assert mark
    assert not is_gone(here)
    assert is_gone(reused)
    process.kill()
    while process_mark(process.pid):
        time.sleep(0.001)
    assert is_gone(here), "a process that is dead and not yet reaped is gone as well"
    process.wait()
    assert is_gone(here)
    assert not is_gone(elsewhere)
    assert not is_gone(nameless)


@pytest.mark.requirement("SC-12")
def test_a_database_that_hangs_up_is_asked_again(stage: Stage, walked: Walked) -> None:
    """Every connection is cut, again and again, as by a failover; no worker dies of it and no run is left behind."""
    trial = Trial(stage, Wrong())
    trial.open()
    cut = threading.Event()

    def hang_up() -> None:
        while not cut.wait(0.7):
            stage.run_sql(f"select pg_terminate_backend(pid) from pg_stat_activity where {HUB} '{trial.database}'")

    cutter = threading.Thread(target=hang_up)
    try:
        cutter.start()
        trial.work()
        trial.bill()
        cut.set()
        cutter.join()
        trial.pay()
        outcome = trial.outcome()
        assert not trial.died
    finally:
        cut.set()
        cutter.join()
        trial.close()
    assert breaks(outcome) == []
    assert outcome.differences(walked.undisturbed) == []
