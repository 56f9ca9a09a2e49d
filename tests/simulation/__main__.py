"""Seeded worlds under faults: ``python -m tests.simulation --seeds 100000``, or one again with ``--seed 4711``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.histories import Unsound, compare_orders, judge, judge_all, quietly
from tests.simulation.weather import Counts

CHUNK = 100


def _chunk(start: int, end: int) -> tuple[Counts, str]:
    quietly()
    try:
        return judge_all(range(start, end)), ""
    except Unsound as unsound:
        return Counts(), str(unsound)


def run_many(first: int, seeds: int) -> int:
    """Play seeds on all cores; the number of chunks with an unsound seed."""
    began, total, unsound = time.monotonic(), Counts(), 0
    starts = list(range(first, first + seeds, CHUNK))
    ends = [min(start + CHUNK, first + seeds) for start in starts]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for counts, problem in pool.map(_chunk, starts, ends):
            total.add(counts)
            if problem:
                unsound += 1
                print(f"\nUNSOUND {problem}")
            if sys.stderr.isatty():
                print(f"\r{total.seeds:>8} of {seeds} seeds", end="", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    told = ", ".join(f"{name} {value}" for name, value in vars(total).items())
    print(f"{told}; {seconds:.0f} s; {'sound' if not unsound else f'{unsound} chunks with an unsound seed'}")
    return unsound


def run_one(seed: int) -> int:
    """Play one seed and say everything the auditor finds."""
    quietly()
    try:
        counts = judge(seed)
        compare_orders(seed)
    except Unsound as unsound:
        print(f"UNSOUND {unsound}")
        return 1
    print(", ".join(f"{name} {value}" for name, value in vars(counts).items()), "; sound")
    return 0


def main() -> int:
    """Parse the command line and play."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to play")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="play this one seed only")
    wanted = parser.parse_args()
    return run_one(wanted.seed) if wanted.seed is not None else min(run_many(wanted.first, wanted.seeds), 1)


if __name__ == "__main__":
    sys.exit(main())
