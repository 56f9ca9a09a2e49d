"""Writes whose outcome is unknown: whatever is lost on the way, the object is there once, and the hub knows it.

Every write goes through the hub's own effect ledger; the weather decides what becomes of each request. Afterwards the
counterpart's records are counted: more than a clean write leaves is a duplicate, fewer is a loss.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.counterpart import Emulated
from isthmus.app.conformance.ledger import Writer
from isthmus.app.conformance.verbs import grown, same_object
from isthmus.app.conformance.verdict import expect
from isthmus.app.conformance.weather import TROUBLES, Trouble, Weather, fine
from isthmus.domain.errors import NeedsDecision
from isthmus.kit.executor import Connection
from isthmus.sandbox.base import Fault

TROUBLES_PER_TRIAL_MAX = 3
BATCH = 5
SETTLING_SECONDS = 30.0
PROBLEMS_TOLD, TRIALS_PER_OUTCOME_MAX = 3, 20
FRESH_AFTER = 25  # trials; a sandbox that fills up for ever becomes slow


@dataclass
class Doubts:
    """What many writes under trouble came to. outcomes: answers that never came, or said nothing. duplicates, lost:
    records more, and fewer, than clean writes leave; problems: what went wrong first, in words.
    """

    verb: str
    trials: int = 0
    outcomes: int = 0
    look_ups: int = 0
    sends: int = 0
    duplicates: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)

    def wrong(self, problem: str) -> None:
        """Something went wrong; the first few are told."""
        if len(self.problems) < PROBLEMS_TOLD:
            self.problems.append(problem)

    def told(self) -> str:
        """In words, for people."""
        said = f"{self.outcomes} unknown outcomes in {self.trials} writes, {self.sends} sends, {self.look_ups} look-ups"
        return f"{said}: {self.duplicates} duplicates, {self.lost} lost"


class Doubtful:
    """A connector, its ledger and the weather between it and its counterpart."""

    def __init__(self, bench: Bench, verb: str, settling_seconds: float = 0.0) -> None:
        self.bench, self.verb = bench, verb
        self.weather = Weather(bench.counterpart.transport(), bench.manifest)
        self.connection: Connection = bench.connect(transport=self.weather, settling_seconds=settling_seconds)
        self.writer = Writer(self.connection)
        self._clean: dict[str, int] | None = None
        self._requests = 0
        self._reads: list[bool] = []  # of each request of a clean write, whether it only asks

    def clean(self, n: int) -> tuple[dict[str, int], int]:
        """What a write leaves without any trouble, and how many requests it makes."""
        if self._clean is None:
            self._clean = self._left_by(n, fine)
            self._requests = len(self.weather.seen)
            self._reads = [request.method == "GET" for request in self.weather.seen]
        return self._clean, self._requests

    def troubles(self, place: int) -> tuple[Trouble, ...]:
        """The troubles worth trying at this request of the write. At a real system, where each takes its time, those
        that make a difference over there: lost before or after, and of a request that only asks one of the two.
        """
        if not self.bench.counterpart.real:
            return TROUBLES
        return TROUBLES[:1] if self._reads[place] else TROUBLES[:2]

    def forget(self) -> None:
        """An empty counterpart, and a hub that has never written."""
        self.bench.reset()
        self.writer = Writer(self.connection)

    def under(self, n: int, plan: Callable[[httpx.Request, int], Trouble | None], doubts: Doubts) -> None:
        """One write under a plan: it must leave what a clean one leaves; what it leaves more or less is counted."""
        wanted, _ = self.clean(0)
        left = self._left_by(n, plan, doubts)
        if left == wanted:
            return
        more = {what: left.get(what, 0) - wanted.get(what, 0) for what in {*left, *wanted}}
        doubts.duplicates += sum(number for number in more.values() if number > 0)
        doubts.lost -= sum(number for number in more.values() if number < 0)
        doubts.wrong(f"{self.verb} under {self.weather.met}: {grown(wanted, left)} than a clean write leaves")

    def _left_by(
        self, n: int, plan: Callable[[httpx.Request, int], Trouble | None], doubts: Doubts | None = None
    ) -> dict[str, int]:
        self.weather.under(fine)
        trial = self.bench.prepare(self.verb, n, self.connection)
        before = self.bench.census()
        self.weather.under(plan)
        made, effect = self.writer.write(self.verb, trial.arguments, run=f"conformance/{n}")
        after = self.bench.census()
        if doubts is not None:
            doubts.trials += 1
            doubts.outcomes += len(self.weather.met)
            doubts.look_ups += effect.lookups
            doubts.sends += effect.sends
        self.weather.plan = fine
        found = getattr(self.connection, self.bench.manifest.verbs[self.verb].find)(*trial.arguments)
        if found is None or not same_object(made, found):
            there = f"there is {found!r}" if found is not None else "it is not there"
            problem = f"{self.verb} under {self.weather.met}: the hub has {made!r}, {there}"
            expect(doubts is not None, problem)
            assert doubts is not None
            doubts.lost += 1
            doubts.wrong(problem)
        return _more(before, after)


def each_request_lost(bench: Bench, verb: str) -> str:
    """Each request of the write in turn is lost before or after it was carried out: the write ends whole, once."""
    doubtful, doubts = Doubtful(bench, verb), Doubts(verb)
    _, requests = doubtful.clean(0)
    n = 0
    for place in range(requests):
        for trouble in doubtful.troubles(place):
            n += 1
            doubtful.under(n, _at(place, trouble), doubts)
            expect(not doubts.problems, "; ".join(doubts.problems))
    return doubts.told()


def many_doubts(bench: Bench, verb: str, outcomes: int, seed: int = 1) -> Doubts:
    """At least so many unknown outcomes, by a seed: up to three in one write, at any of its requests.

    Duplicates and losses are counted to the end. Broken when the weather meets the verb so seldom that it never ends.
    """
    chance = random.Random(f"{bench.name} {verb} {seed}")
    doubtful, doubts = Doubtful(bench, verb), Doubts(verb)
    _, requests = doubtful.clean(0)
    while doubts.outcomes < outcomes:
        expect(doubts.trials <= TRIALS_PER_OUTCOME_MAX * outcomes, f"{verb}: {doubts.told()}, it does not end")
        if doubts.trials % FRESH_AFTER == 0:
            doubtful.forget()
        doubtful.under(doubts.trials + 1, _at_random(chance, requests), doubts)
    return doubts


def a_batch_in_part(bench: Bench, verb: str) -> str:
    """Several writes in one step, of which some are lost before and some after: each is there once in the end."""
    doubtful = Doubtful(bench, verb)
    wanted, requests = doubtful.clean(0)
    doubtful.weather.under(fine)
    trials = [bench.prepare(verb, n, doubtful.connection) for n in range(1, BATCH + 1)]
    before = bench.census()
    troubled = {1 * requests: "lost_before", 2 * requests: "lost_after", 4 * requests - 1: "gateway_after"}
    doubtful.weather.under(lambda _, place: troubled.get(place))  # type: ignore[arg-type,return-value]
    doubtful.writer.write_all(verb, [trial.arguments for trial in trials])
    after = bench.census()
    left = _more(before, after)
    whole = {what: number * BATCH for what, number in wanted.items()}
    expect(left == whole, f"{verb}, {BATCH} at once: {grown(whole, left)} than clean writes leave")
    doubtful.weather.plan = fine
    for trial in trials:
        found = getattr(doubtful.connection, bench.manifest.verbs[verb].find)(*trial.arguments)
        expect(found is not None, f"{verb}: one of {BATCH} is not there: {trial.arguments!r}")
    return f"{BATCH} writes, {len(doubtful.weather.met)} of their answers lost"


def forgotten(bench: Bench, verb: str) -> str:
    """A hub that has forgotten what it wrote, as after a restored backup, writes it again: no second object."""
    doubtful = Doubtful(bench, verb)
    trial = bench.prepare(verb, 1, doubtful.connection)
    first, _ = doubtful.writer.write(verb, trial.arguments)
    before = bench.census()
    doubtful.writer = Writer(doubtful.connection)
    told = "the same object"
    try:
        second, _ = doubtful.writer.write(verb, trial.arguments)
        expect(same_object(first, second), f"{verb} made {first!r}, and again {second!r}")
    except NeedsDecision as refused:
        told = f"refused: {refused.message[:80]}"
    expect(bench.census() == before, f"{verb}, written again: {grown(before, bench.census())}")
    return told


def delivered_twice(bench: Bench, verb: str) -> str:
    """Each request of the write in turn reaches the other side twice, and the second answer comes back.

    An upsert leaves what a clean write leaves. Where the vendor has no key, nobody can keep a proxy from making twins;
    then the hub says so when it looks: it never takes one of two for the only one in silence.
    """
    doubtful = Doubtful(bench, verb)
    wanted, requests = doubtful.clean(0)
    upsert = bench.manifest.verbs[verb].strategy != "find_then_create"
    twins = 0
    # That a real system may be asked twice needs no trial.
    places = [place for place in range(requests) if len(doubtful.troubles(place)) > 1]
    for place in places:
        trial = bench.prepare(verb, place + 1, doubtful.connection)
        before = bench.census()
        doubtful.weather.under(_at(place, "twice"))
        refused = ""
        try:
            doubtful.writer.write(verb, trial.arguments, run=f"conformance/{place + 1}")
        except NeedsDecision as told:
            refused = told.message
        left = _more(before, bench.census())
        doubtful.weather.plan = fine
        expect(left == wanted or not upsert, f"{verb}, request {place} twice: {grown(wanted, left)} than a clean write")
        twins += left != wanted
        if left == wanted:
            found = getattr(doubtful.connection, bench.manifest.verbs[verb].find)(*trial.arguments)
            expect(found is not None, f"{verb}, request {place} twice: it is not there ({refused})")
    return f"{len(places)} requests twice, {twins or 'none'} of them made twins"


def late_to_show(bench: Bench, verb: str) -> str:
    """The answer of each request is lost, and the other side does not show yet what it has done: the hub waits for the
    settling time before it believes that nothing is there, so that it never sends twice what was done.
    """
    counterpart = bench.counterpart
    if not isinstance(counterpart, Emulated) or counterpart.real:
        return "only an emulator can be made to show late"
    doubtful = Doubtful(bench, verb, settling_seconds=SETTLING_SECONDS)
    wanted, requests = doubtful.clean(0)
    for place in range(requests):
        trial = bench.prepare(verb, place + 1, doubtful.connection)
        before, written = bench.census(), counterpart.writes()
        began = doubtful.writer.clock.now()

        def stale(request: httpx.Request, at: int, lost: int = place, since: int = written, when: Any = began) -> Any:
            counterpart.forgive()
            hidden = counterpart.writes() - since
            if at > lost and hidden and (doubtful.writer.clock.now() - when).total_seconds() < SETTLING_SECONDS:
                counterpart.fault(Fault("stale_read", lag=hidden))
            return "lost_after" if at == lost else None

        doubtful.weather.under(stale)
        doubtful.writer.write(verb, trial.arguments, run=f"conformance/{place + 1}")
        counterpart.forgive()
        doubtful.weather.plan = fine
        left = _more(before, bench.census())
        expect(left == wanted, f"{verb}, request {place} late to show: {grown(wanted, left)} than a clean write leaves")
    return f"{requests} requests whose result showed late"


def _more(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {what: after.get(what, 0) - before.get(what, 0) for what in {*before, *after}}


def _at(place: int, trouble: Trouble) -> Callable[[httpx.Request, int], Trouble | None]:
    return lambda _, at: trouble if at == place else None


def _at_random(chance: random.Random, requests: int) -> Callable[[httpx.Request, int], Trouble | None]:
    """Troubles at the requests of the write itself and at those of its look-ups and later sends."""
    number = chance.randint(1, TROUBLES_PER_TRIAL_MAX)
    first = chance.randrange(requests)
    places = {first, *(chance.randrange(first, requests * 3) for _ in range(number - 1))}
    planned: dict[int, Any] = {place: chance.choice(TROUBLES) for place in places}
    return lambda _, at: planned.get(at)
