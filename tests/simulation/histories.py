"""One seed, one verdict: play a history, audit it, play everything again, audit again."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from tests.simulation.auditor import Auditor, final_evidence, money_of
from tests.simulation.driver import Simulation
from tests.simulation.weather import Counts
from tests.simulation.world import make_world

REPLAY_EVERY = 2  # seeds; a replay costs as much as a history


class Unsound(AssertionError):
    """The history of a seed breaks an invariant; says which, and how to see it again."""


def quietly() -> None:
    """The hub's own log would drown the findings."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def judge(seed: int, *, looks_up: bool = True) -> Counts:
    """Play a seed in its storm. Unsound when the auditor finds anything, or when a replay moves money (INV-28)."""
    sim = Simulation(make_world(seed), looks_up=looks_up)
    try:
        sim.live()
        findings = Auditor(sim).all()
        if not findings and seed % REPLAY_EVERY == 0:
            before = money_of(sim)
            sim.replay_everything()
            findings = [f"replay moved {name}" for name, now in money_of(sim).items() if now != before[name]]
            findings += Auditor(sim).all()
    except Exception as problem:
        raise Unsound(_told(seed, [f"{type(problem).__name__}: {problem}"])) from problem
    if findings:
        raise Unsound(_told(seed, findings))
    return sim.storm.counts


def compare_orders(seed: int) -> None:
    """INV-31: the same messages in two orders, through two storms, give the same evidence and the same invoices."""
    ends = []
    for order in (1, 2):
        sim = Simulation(make_world(seed, billing=False), order=order)
        sim.rage()
        sim.calm_down()
        sim.bill_the_rest()
        ends.append(final_evidence(sim))
    differing = [f"{name}: {ends[0][name]} or {ends[1][name]}" for name in ends[0] if ends[0][name] != ends[1][name]]
    if differing:
        raise Unsound(_told(seed, differing))


def judge_all(seeds: Iterable[int]) -> Counts:
    """The sum over many seeds; stops at the first unsound one."""
    total = Counts()
    for seed in seeds:
        total.add(judge(seed))
    return total


def _told(seed: int, findings: list[str]) -> str:
    return "\n  ".join([f"seed {seed}; see it again: python -m tests.simulation --seed {seed}", *findings])
