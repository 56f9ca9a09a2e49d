"""Thousands of seeded worlds through a storm of crashes, lost answers and outages, each audited independently.

A failing seed says how to see it again. The last tests show that the simulation notices what it is there to notice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from isthmus.domain.objects import Invoice, TimeEntry
from isthmus.domain.states import Posting
from isthmus.processes import sweeps
from isthmus.runtime.kernel import Kernel
from isthmus.runtime.process import PROCESSES, Process
from isthmus.runtime.run import Run
from isthmus.store.records import Case, InboxMessage, RunRow, RunState
from tests.end_of_run import COUNTED
from tests.simulation.auditor import Auditor
from tests.simulation.driver import Simulation
from tests.simulation.histories import Unsound, compare_orders, judge, judge_all, quietly
from tests.simulation.world import Approved, Signed, World, make_world

CHUNKS, CHUNK = 20, 100
ORDERS = 150


@pytest.fixture(autouse=True)
def _quietly() -> None:
    quietly()


@pytest.mark.requirement(
    "INV-01",
    "INV-02",
    "INV-04",
    "INV-05",
    "INV-06",
    "INV-07",
    "INV-08",
    "INV-09",
    "INV-19",
    "INV-22",
    "INV-28",
    "INV-30",
    "RES-06",
    "OBJ-17",
)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_history_is_sound(chunk: int, record_property: Callable[[str, object], None]) -> None:
    counts = judge_all(range(chunk * CHUNK, (chunk + 1) * CHUNK))
    record_property(COUNTED, ("simulation: seeds", counts.seeds, counts.duplicates))
    assert counts.seeds == CHUNK and counts.duplicates == 0
    # A storm that does nothing would prove nothing.
    assert min(counts.crashes, counts.faults, counts.lookups, counts.resends, counts.invoices) > CHUNK / 4


@pytest.mark.requirement("INV-31")
@pytest.mark.parametrize("chunk", range(3))
def test_the_order_of_messages_changes_nothing(chunk: int, record_property: Callable[[str, object], None]) -> None:
    seeds = range(chunk * ORDERS // 3, (chunk + 1) * ORDERS // 3)
    for seed in seeds:
        compare_orders(seed)
    record_property(COUNTED, ("simulation: seeds in two orders of arrival", len(seeds), 0))


def test_without_the_look_up_before_a_resend_there_are_duplicates() -> None:
    with pytest.raises(Unsound, match="duplicate"):
        for seed in range(36):
            judge(seed, looks_up=False)


def test_a_seed_is_one_history() -> None:
    histories = []
    for _ in range(2):
        sim = Simulation(make_world(4))
        sim.live()
        histories.append([(run.run_id, run.updated_at, run.state) for run in sim.store.rows[RunRow].values()])
    assert histories[0] == histories[1]


def _without_storm(seed: int) -> Simulation:
    """A world of one contract and its entries in the order of their approval, in calm weather."""
    world: World = make_world(seed, billing=False)
    number = world.contracts[0].contract_no
    mine = [h for h in world.happenings if isinstance(h, Approved) and h.entry.project_code == f"P-{number}"]
    signed = [h for h in world.happenings if isinstance(h, Signed) and h.contract.contract_no == number]
    world.contracts = world.contracts[:1]
    world.happenings = [*signed, *mine]
    return Simulation(world, rough=0.0)


def _play(sim: Simulation, happenings: int) -> None:
    for _ in range(min(happenings, len(sim.todo))):
        sim.happen()
    later, sim.todo = list(sim.todo), type(sim.todo)()
    sim.calm_down()
    sim.todo.extend(later)


@pytest.mark.requirement("INV-02", "INV-30", "RES-11", "RES-13")
@pytest.mark.parametrize("seed", [1, 5, 12])
def test_an_outage_of_the_psa_loses_nothing_and_holds_up_only_what_needs_the_psa(seed: int) -> None:
    sim = _without_storm(seed)
    _play(sim, 4)
    sim.storm.begin_outage("psa")
    ends = sim.storm.outages["psa"]
    with sim.store.transaction() as tx:
        sim._bill(tx, sim.world.contracts[0].contract_no, "during", sim.clock.now().date() + timedelta(days=60))
    while sim.todo:
        sim.happen()
    sim.mail.clear()  # the PSA's webhooks and files are lost with it: only the sweep can repair
    sim.tray.clear()
    while sim.clock.physical < ends - timedelta(minutes=5):
        sim.clock.move(timedelta(minutes=1))
        sim.wake()
        sim.attempt(lambda: sweeps.sweep_time(sim.kernel, sim.systems.psa))
        while sim.engine.due:
            sim.advance()
    with sim.store.transaction() as tx:
        billed, run = tx.get(Invoice, "during"), tx.get(RunRow, "bill_contract/during")
        waiting = tx.find(Case, run_id="bill_contract/during", exception="EX-WAITING")
    assert billed is not None and billed.posting is Posting.POSTED, "approved work is billed and posted meanwhile"
    assert run is not None and run.state is RunState.WAITING, "its mark in the PSA waits"
    assert len(waiting) == 1, "a person is told after a while, once"
    arrived = len(_messages(sim))
    sim.storm.clear()
    sim.calm_down()
    sim.bill_the_rest()
    assert Auditor(sim).all() == []
    assert _order_of_arrival(sim, arrived) == [e.key for page in sim.systems.psa.pages for e in page.entries][arrived:]


def _order_of_arrival(sim: Simulation, after: int) -> list[str]:
    """Entry keys of the messages in the order in which the hub took them in."""
    return [row.aggregate.removeprefix("time:") for row in _messages(sim)][after:]


def _messages(sim: Simulation) -> list[InboxMessage]:
    return [m for m in sim.store.rows[InboxMessage].values() if m.source == "psa" and m.kind == "time.approved"]  # type: ignore[attr-defined, misc]


def test_a_bug_stops_the_run_with_a_case_and_goes_on_after_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = Simulation(World(1, make_world(1).rng), rough=0.0)
    broken = [True]

    def story(run: Run) -> None:
        assert not broken[0], "a wrong sign"

    monkeypatch.setitem(PROCESSES, "odd", Process("odd", story, "", "", "", (), "", "standard"))
    kernel: Kernel = sim.kernel
    with sim.store.transaction() as tx:
        kernel.start(tx, "odd", "one", {})
    sim.advance()
    with sim.store.transaction() as tx:
        row, case = tx.get(RunRow, "odd/one"), tx.find(Case, run_id="odd/one")[0]
        assert row is not None and row.state is RunState.FAILED and "a wrong sign" in case.cause
        broken[0] = False
        kernel.resolve(tx, case.case_no, action="retry", actor="ida", reason="repaired", values={})
    sim.advance()
    with sim.store.transaction() as tx:
        row = tx.get(RunRow, "odd/one")
    assert row is not None and row.state is RunState.DONE


def _with_hours() -> Simulation:
    """The first history in which some hours were approved and taken."""
    for seed in range(20):
        sim = Simulation(make_world(seed))
        sim.live()
        if Auditor(sim).truth:
            return sim
    raise AssertionError("no history has hours")


def test_the_auditor_finds_an_hour_that_was_not_billed() -> None:
    sim = _with_hours()
    entry: TimeEntry = next(iter(Auditor(sim).truth.values()))
    sim._correct(entry.model_copy(update={"hours": entry.hours + 1}))
    told = "\n".join(Auditor(sim).all())
    assert f"completeness: {entry.key}" in told and f"partition: {entry.key}" in told
