"""One connector at the system it speaks to: connections, trials with objects of their own, and what a trial left."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from isthmus.app.conformance.counterpart import Counterpart, counterpart_of
from isthmus.app.conformance.samples import (
    Samples,
    Seed,
    all_verbs,
    arguments,
    before,
    filled,
    read_samples,
    references,
)
from isthmus.app.conformance.verdict import Broken
from isthmus.app.connecting.found import connector_class, folder_of, in_folder
from isthmus.domain.errors import NeedsSetup, Underway
from isthmus.kit.connector import Connector
from isthmus.kit.executor import Connection
from isthmus.kit.limits import Budget, Unlimited
from isthmus.kit.traffic import Breaker

POLLS_MAX = 50


@dataclass
class Trial:
    """One use of a verb, prepared. known: ids of this trial, to which inputs refer. done: verbs and seeds so far."""

    known: dict[str, Any]
    done: set[str] = field(default_factory=set)
    arguments: tuple[Any, ...] = ()


class Bench:
    """A connector and its counterpart."""

    def __init__(self, name: str, variant: str = "") -> None:
        """name: of a connector, or the path of a folder that holds one. variant: one of its samples, set otherwise."""
        folder = folder_of(name)
        self.kind: type[Connector] = in_folder(folder) if folder else connector_class(name)
        self.folder = Path(inspect.getfile(self.kind)).parent
        self.name = self.folder.name
        self.manifest = self.kind.read_manifest()
        self.samples: Samples = read_samples(self.folder)
        self.variant = variant
        self.only = self.samples.variants[variant].verbs if variant else ()
        self.counterpart: Counterpart = counterpart_of(self.samples.counterpart or self.name)
        self._standing: set[int] = set()
        self._given: dict[str, Any] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Of the sample firm, as far as its variant does not say otherwise."""
        return self.samples.settings | (self.samples.variants[self.variant].settings if self.variant else {})

    @property
    def verbs(self) -> list[str]:
        """Every verb of the ports the connector fills."""
        return [verb for verb in all_verbs() if verb.split(".")[0] in self.manifest.system.ports]

    def connect(
        self,
        kind: str = "",
        transport: httpx.BaseTransport | None = None,
        *,
        url: str = "",
        budget: Budget | None = None,
        settling_seconds: float | None = 0.0,
        cassette: Path | None = None,
        verify: str | bool = True,
    ) -> Connection:
        """A connection to the counterpart, by the connector's first auth kind unless another is named."""
        kind = kind or self.manifest.auth.kinds[0]
        if kind not in self.samples.auth:
            raise NeedsSetup(f"{self.name}/samples.toml: [auth.{kind}] is missing")
        address = url or self.counterpart.url
        given = self.counterpart.credentials() | {"url": address}
        carried = transport if url or transport else self.counterpart.transport()
        return Connection(
            self.name,
            self.kind(self.settings),
            base_url="/".join(part for part in (address, self.samples.base_path) if part),
            auth_kind=kind,
            secrets={name: str(filled(text, given)) for name, text in self.samples.auth[kind].items()},
            transport=carried,
            cassette=cassette,
            verify=verify,
            budget=budget or Unlimited(),
            settling_seconds=settling_seconds,
            breaker=Breaker(failures=10**9),  # a check loses answers by the dozen, and waits for none
        )

    def reset(self) -> None:
        """An empty counterpart."""
        self.counterpart.reset()
        self._standing.clear()
        self._given.clear()

    def census(self) -> dict[str, int]:
        """Business records over there, by collection."""
        return {what: n for what, n in self.counterpart.census().items() if what not in self.samples.uncounted}

    def prepare(self, verb: str, n: int, connection: Connection) -> Trial:
        """Everything a verb needs before it is called, and its arguments. connection: for the verbs that come first."""
        trial = Trial({"n": n, "url": self.counterpart.url, **self._given})
        for place, seed in enumerate(self.samples.seed):
            self._put_common(trial, place, seed)
        self._ready(trial, verb, connection)
        trial.arguments = arguments(verb, self.samples, trial.known)
        return trial

    def _put_common(self, trial: Trial, place: int, seed: Seed) -> None:
        """A standing record once; one that says anything of the trial each time."""
        if references(seed.record) - {"url", *self._given}:
            self._put(trial, seed)
        elif place not in self._standing:
            self._put(trial, seed)
            self._standing.add(place)
            self._given |= {seed.named: trial.known[seed.named]} if seed.named else {}

    def _put(self, trial: Trial, seed: Seed) -> None:
        made = self.counterpart.seed(seed.collection, filled(seed.record, trial.known))
        if seed.named:
            trial.known[seed.named] = made

    def _ready(self, trial: Trial, verb: str, connection: Connection) -> None:
        """Call what comes before a verb, each once, and put its own records in."""
        for earlier in before(verb, self.samples, self.manifest.system.ports):
            if earlier not in trial.done:
                self._ready(trial, earlier, connection)
                trial.known[earlier.split(".")[1]] = self.call(connection, earlier, trial.known)
        for seed in self.samples.verbs[verb].seed if verb in self.samples.verbs else ():
            self._put(trial, seed)
        trial.done.add(verb)

    def call(self, connection: Connection, verb: str, known: Mapping[str, Any]) -> Any:
        """Call a verb with its inputs as they are in this trial."""
        return carried_out(connection, verb, arguments(verb, self.samples, known))


def carried_out(connection: Connection, verb: str, given: tuple[Any, ...]) -> Any:
    """What a verb returns; of one that is taken on first, what its job comes to."""
    try:
        return getattr(connection, verb.split(".")[1])(*given)
    except Underway as taken_on:
        job = taken_on.job
    for _ in range(POLLS_MAX):
        try:
            return getattr(connection, connection.poll(verb))(job)
        except Underway as still:
            job = still.job
    raise Broken(f"{verb}: {job} does not end")


def benches(name: str) -> list[Bench]:
    """The bench of a connector, and one for each variant of its samples."""
    first = Bench(name)
    return [first, *(Bench(name, variant) for variant in first.samples.variants)]
