"""One trial: SC-12 from approved hours to money received, with one thing going wrong on the way.

The trial is everybody outside the hub: the PSA that calls the webhook, the night's file, the person who bills, the
client who pays, and the operator who starts a dead hub again. Whoever got no answer asks again.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg

from isthmus.app import bootstrap
from isthmus.domain.objects import TimeEntry
from isthmus.store.postgres import PostgresStore
from tests.crash.outcome import Outcome, outcome_of
from tests.crash.stage import CONTRACT, MONTH_END, TASK, HubProcess, Stage, wait_for

TOTAL = Decimal("7002.84")
HOURS = (("2026-03-09", "12"), ("2026-03-10", "8"), ("2026-03-11", "6.5"), ("2026-03-12", "5.5"))
PERSON_ID = "13"


@dataclass(frozen=True)
class Wrong:
    """What goes wrong in a trial.

    crash_at: a checkpoint, where crash_signal is sent; crash_again_at: one of the hub that is started next.
    faults, cuts: planned misbehaviour and broken connections, each with its sandbox. webhooks: False leaves it to the
    sweep to find the hours. log: write down the checkpoints passed. gathers_whole: see nursery.
    """

    crash_at: str = ""
    crash_again_at: str = ""
    crash_signal: str = "KILL"
    faults: tuple[tuple[str, dict[str, Any]], ...] = ()
    cuts: tuple[tuple[str, dict[str, Any]], ...] = ()
    webhooks: bool = True
    log: bool = False
    parallel_sends: int = 1
    gathers_whole: bool = True


@dataclass
class Trial:
    """A copy of the stage's database and sandboxes, and the hub that works on them."""

    stage: Stage
    wrong: Wrong = field(default_factory=Wrong)
    lease_seconds: float = 15.0
    _numbers = itertools.count(1)

    def __post_init__(self) -> None:
        self.number = next(self._numbers)
        self.database = f"trial_{self.number}"
        self.url = self.stage.url_of(self.database)
        self.points = self.stage.folder / f"points-{self.number}"
        self.armed = self.stage.folder / f"armed-{self.number}"
        self.starts, self.starts_planned, self.died = 0, 1 if self.wrong.webhooks else 2, False
        self._reviving = threading.Lock()
        self.began = time.monotonic()
        self.hubs: list[HubProcess] = []
        self.hub: HubProcess
        self.rows: psycopg.Connection[Any]

    def play(self) -> Outcome:
        """From the first hour to the last cent; what is there at the end."""
        self.open()
        try:
            self.work()
            self.bill()
            self.pay()
            self.die_at_last()
            return self.outcome()
        finally:
            self.close()

    # -- the stage ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Copies of database and sandboxes, what is to go wrong, and a hub."""
        cuts: dict[str, list[dict[str, Any]]] = {}
        for system, plan in self.wrong.cuts:
            cuts.setdefault(system, []).append(dict(plan))
        self.stage.farm.ask({"do": "fork", "cuts": cuts})
        self.stage.run_sql(f"create database {self.database} template {self.stage.template}")
        url = self.url.replace("+psycopg", "")
        self.rows = psycopg.connect(url, autocommit=True, application_name="harness")
        for system, fault in self.wrong.faults:
            self.stage.control(system, "faults", fault)
        self.hub = self.start_hub(self.wrong.crash_at, self.wrong.crash_signal)
        assert self.hub.wait_until_open(), self.hub.log.read_text()[-3000:]
        self.armed.touch()

    def start_hub(self, crash_at: str = "", crash_signal: str = "KILL", **more: Any) -> HubProcess:
        """A hub process on this trial's database; it dies (or stands still) at the checkpoint named."""
        self.starts += 1
        env = {"ISTHMUS_CRASH_AT": crash_at, "ISTHMUS_CRASH_ARMED": str(self.armed)}
        env["ISTHMUS_CRASH_SIGNAL"] = crash_signal
        env["ISTHMUS_CRASH_LOG"] = str(self.points) if self.wrong.log else ""
        spec = {"url": self.url, "began": MONTH_END.isoformat(), "elapsed": time.monotonic() - self.began, "env": env}
        spec |= {"lease_seconds": self.lease_seconds, "parallel_sends": self.wrong.parallel_sends}
        spec |= {"gathers_whole": self.wrong.gathers_whole, **more}
        self.hubs.append(HubProcess(self.stage.nursery, self.stage.folder, spec))
        return self.hubs[-1]

    def close(self) -> None:
        """Nothing of the trial stays."""
        for hub in self.hubs:
            hub.kill()
        self.rows.close()
        self.stage.run_sql(f"drop database if exists {self.database} with (force)")
        self.stage.farm.ask({"do": "end"})

    # -- the acts ----------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Four entries: by webhook twice at once, by the night's file, and by a late message of an earlier state."""
        entries = self.record_time()
        content = [e.model_dump(mode="json") for e in entries]
        if self.wrong.webhooks:
            with ThreadPoolExecutor(2) as senders:
                list(senders.map(lambda _: self.send("webhook", "psa", source="kantata", entries=content), range(2)))
        else:
            self.hub.kill()  # the next hub's first sweep finds what no webhook told
            self.hub = self.start_hub(self.wrong.crash_at)
            self.hub.wait_until_open()
        self.until("four entries recorded as cost", lambda: self.count(COSTS) == 4 and self.quiet())
        self.send("file", "psa", source="kantata", content=as_file(entries))
        self.until("the file settled", self.quiet)
        earlier = entries[0].model_copy(
            update={"hours": Decimal(10), "approved_at": entries[0].approved_at - timedelta(days=1)}
        )
        late = [earlier.model_dump(mode="json"), *content[1:]]
        self.send("webhook", "psa", source="kantata", entries=late)
        self.until("the late message settled", self.quiet)

    def record_time(self) -> list[TimeEntry]:
        """The PSA holds four approved entries; the entries as the connector reads them."""
        remote = self.remote_ids("kantata")
        rows = [
            {
                "workspace_id": remote[f"P-{CONTRACT}"],
                "story_id": remote[f"P-{CONTRACT}:{TASK}"],
                "user_id": PERSON_ID,
                "date_performed": day,
                "time_in_minutes": int(Decimal(hours) * 60),
                "notes": f"work of {day}",
                "approved": True,
                "billable": True,
            }
            for day, hours in HOURS
        ]
        self.stage.control("kantata", "seed", {"time_entries": rows})
        config = next(c for c in self.stage.firm.connections if c.name == "kantata")
        return sorted(bootstrap.connect(config).approved_time("").entries, key=lambda entry: entry.key)

    def bill(self) -> None:
        """The month's invoice, asked for once; its events are given to a subscriber twice."""
        self.send("bill", "billing", contract_no=CONTRACT, name="2026-03", cutoff="2026-03-31")
        self.until("the invoice delivered", lambda: self.count(DELIVERED) == 1 and self.quiet())
        self.send("replay", "integration", aggregate=f"invoice:{CONTRACT}:2026-03")
        self.until("the events handed over again", self.quiet)

    def pay(self) -> None:
        """The client pays in full; the ERP knows first."""
        number = self.rows.execute("select number from hub.invoice").fetchone()[0]  # type: ignore[index]
        remote = self.remote_ids("netsuite")
        paid = {
            "customer": {"id": remote["C-3001"]},
            "payment": float(TOTAL),
            "currency": {"id": "1"},
            "tranDate": "2026-03-31",
            "apply": [{"doc": {"id": remote[number]}, "apply": True, "amount": float(TOTAL)}],
            "lastModifiedDate": f"{MONTH_END:%Y-%m-%dT%H:%M:%SZ}",
        }
        self.stage.control("netsuite", "seed", {"customerPayment": [paid]})
        self.until("the payment shown", lambda: self.count(PAID) == 1 and self.quiet())

    def die_at_last(self) -> None:
        """The last checkpoints come when everything is done already: the death is waited for, and survived."""
        if not self.wrong.crash_at:
            return
        deadline = time.monotonic() + 2
        while not self.died and time.monotonic() < deadline:
            self.died = not self.hub.alive
            time.sleep(0.005)
        self.until("nothing moves any more", self.quiet)

    # -- how one waits and asks --------------------------------------------------------------------------------

    def send(self, do: str, by: str, **arguments: Any) -> dict[str, Any]:
        """Ask until there is an answer, as a sender does."""
        while True:
            hub = self.hub
            answer = hub.send(do, by, **arguments)
            if answer is not None and answer.get("error") == "unreachable":  # its database is away: later, then
                time.sleep(0.05)
                continue
            if answer is not None:
                assert "error" not in answer, answer
                return answer
            wait_for("it to die, since it gave no answer", lambda hub=hub: not hub.alive, hub)  # type: ignore[misc]
            self.revive()

    def revive(self) -> None:
        """A hub that died is started again, and now nothing goes wrong."""
        with self._reviving:
            while not self.hub.alive:
                self.died = True
                self.hub = self.start_hub(self.wrong.crash_again_at if self.starts == self.starts_planned else "")
                self.hub.wait_until_open()
                assert self.starts < 6, f"the hub dies again and again: {self.hub.log.read_text()[-3000:]}"

    def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until it is so, starting the hub again when it dies."""

        def there() -> bool:
            self.revive()
            return true()

        wait_for(what, there, self.hub)

    def count(self, question: str) -> int:
        """A number from the hub's books."""
        return int(self.rows.execute(question).fetchone()[0])  # type: ignore[index,call-overload]

    def quiet(self) -> bool:
        """Nothing moves by itself any more."""
        return self.count(MOVING) == 0

    def remote_ids(self, system: str) -> dict[str, str]:
        """The ids another system gave our keys."""
        found = self.rows.execute("select key, remote_id from hub.crosswalk where system = %s", [system])
        return dict(found.fetchall())

    def outcome(self) -> Outcome:
        """What the hub and the four systems hold."""
        store = PostgresStore(self.url, pool_size=1)
        try:
            return outcome_of(store, {name: self.stage.state_of(name) for name in self.stage.farm.hello})
        finally:
            store.close()


COSTS = "select count(*) from hub.effect where verb = 'Erp.put_time' and state in ('done', 'found', 'resent')"
DELIVERED = "select count(*) from hub.invoice where delivery = 'sent'"
PAID = "select count(*) from hub.run where process = 'invoice_to_cash' and state = 'done'"
MOVING = """
    select (select count(*) from hub.run where state in ('queued', 'running', 'waiting'))
         + (select count(*) from hub.inbox where state = 'accepted')
         + (select count(*) from hub.event_delivery where state = 'pending')
"""


def as_file(entries: list[TimeEntry]) -> str:
    """The night's file with the same entries."""
    columns = "source_entry_id,project_code,task_code,person,role,service_date,hours,note,approved_by,approved_at"
    lines = [
        f"{e.source_id},{e.project_code},{e.task_code},{e.person},{e.role},{e.service_date},{e.hours},{e.note},"
        f"{e.approved_by},{e.approved_at.isoformat()}"
        for e in entries
    ]
    total = sum((e.hours for e in entries), Decimal(0))
    return "\n".join([columns, *lines, f"#TOTAL,{len(entries)},{total}"]) + "\n"
