"""Lets a world happen to the hub in an order the seed chooses, through a storm and then in calm weather."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import isthmus.processes.amendment
import isthmus.processes.contract_to_project
import isthmus.processes.invoice_to_cash
import isthmus.processes.time_to_invoice  # noqa: F401  the processes declare themselves
from isthmus.domain.errors import IsthmusError, Unreachable
from isthmus.domain.objects import BillablePart, Invoice, Payment, TimeEntry
from isthmus.domain.states import InvoiceLife, PartState
from isthmus.ports.messages import TimePage
from isthmus.processes import sweeps
from isthmus.runtime import inbox, outbox
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel, Subscriber
from isthmus.store.records import (
    Case,
    DeliveryState,
    Effect,
    EffectState,
    EventDelivery,
    InboxMessage,
    MessageState,
    OutboxEvent,
    RunRow,
    RunState,
)
from tests.simulation.fakes import FakeSystems, Weather
from tests.simulation.people import People, call_off, is_called_off, open_cases
from tests.simulation.weather import (
    SimulatedCrash,
    Storm,
    StormyStore,
    TransactionalEngine,
    WorldClock,
)
from tests.simulation.world import (
    START,
    Approved,
    BillingAsked,
    ChangeOrdered,
    Happening,
    Signed,
    World,
    WriteOffAsked,
)

ROUNDS_MAX = 400
STEPS_MAX = 4000
ROUGH = (0.02, 0.1, 0.1, 0.3)  # chance of a fault at a call


class NotQuiet(AssertionError):
    """The hub did not come to rest in calm weather."""


class Simulation:
    """One world, one hub, one history."""

    def __init__(self, world: World, *, order: int = 0, rough: float | None = None, looks_up: bool = True) -> None:
        self.world = world
        self.rng = random.Random(f"order {world.seed} {order}")
        self.clock = WorldClock(START)
        self.storm = Storm(self.rng, self.clock, self.rng.choice(ROUGH) if rough is None else rough)
        self.store = StormyStore(self.storm)
        self.engine = TransactionalEngine()
        self.systems = FakeSystems(Weather(self.storm.next_fault, lambda: self.clock.physical))
        self.systems.tax.regions = ("US-NY", "JP")
        self.systems.psa.pages = []
        self.systems.erp.payments = []  # type: ignore[attr-defined]
        self.looks_up = looks_up
        self.todo: deque[Happening] = deque(world.happenings)
        self.mail: list[tuple[str, tuple[TimeEntry, ...]]] = []
        self.tray: list[TimeEntry] = []
        self.newest: dict[str, TimeEntry] = {}
        self.paid: dict[str, Decimal] = {}
        self.asked: dict[str, Decimal] = {}
        contracts = {contract.contract_no: contract for contract in world.contracts}
        self.people = People(self.rng, self._correct, lambda key: self.newest[key], contracts)
        self.people.call_off_chance = 0.15 if world.billing else 0.0
        self.restart()
        self._set_up()

    def _set_up(self) -> None:
        rough, self.storm.rough = self.storm.rough, 0.0
        with self.store.transaction() as tx:
            tx.insert_many(self.world.entities)
        self.storm.rough = rough

    # -- the process that dies and comes back -----------------------------------------------------------------

    def restart(self) -> None:
        """A new process on the same books: everything queued or running is due again, as a durable queue keeps it."""
        self.storm.dead = False
        self.engine.due.clear()
        self.kernel = Kernel(
            self.store,
            self.clock,
            self.engine,
            self.systems,
            subscribers={
                "biller": Subscriber(frozenset({"cap.raised"}), self._bill_after),
                "ledger": Subscriber(LEDGER, self._note),
            },
            looks_up=self.looks_up,
            checkpoint=self.storm.checkpoint,
        )
        rough, self.storm.rough = self.storm.rough, 0.0
        with self.store.transaction() as tx:
            for row in tx.find(RunRow, state=(RunState.QUEUED, RunState.RUNNING), order=("run_id",)):
                self.engine.enqueue(tx, row)
        self.storm.rough = rough

    def attempt(self, act: Callable[[], Any]) -> Any:
        """Do something; the process may die of it. Loops and requests answer errors as the worker and the API do."""
        try:
            return act()
        except SimulatedCrash:
            self.restart()
        except IsthmusError:
            return None
        return None

    # -- what happens -----------------------------------------------------------------------------------------

    def _correct(self, entry: TimeEntry) -> None:
        self._approved(self.world.approve(entry))

    def _approved(self, news: Approved) -> None:
        entry = news.entry
        self.systems.psa.pages.append(TimePage(entries=(entry,), watermark=""))
        self.newest[entry.key] = entry
        self.mail += [("psa", (entry,))] * news.webhooks
        if news.in_file:
            self.tray.append(entry)

    def happen(self) -> None:
        """The next thing in the world; a request that the hub could not take is made again."""
        if not self.todo:
            return
        news = self.todo[0]
        if isinstance(news, Signed):
            self.systems.crm.put_contract(news.contract)
        elif isinstance(news, Approved):
            self._approved(news)
        else:
            self._ask(news)
        self.todo.popleft()

    def _ask(self, news: Happening) -> None:
        with self.store.transaction() as tx:
            if isinstance(news, BillingAsked):
                self._bill(tx, news.contract_no, news.name, news.cutoff)
            elif isinstance(news, ChangeOrdered):
                args = {"contract_no": news.contract_no, "change_order": "CO1", "cap_delta": str(news.delta)}
                args |= {"accepted_on": "2026-03-10", "evidence": "mail"}
                self.kernel.start(tx, "change_order", news.name, args, entity=self._entity(news.contract_no))
            else:
                assert isinstance(news, WriteOffAsked)
                self._ask_for_write_off(tx, news)

    def _ask_for_write_off(self, tx: Any, news: WriteOffAsked) -> None:
        parts = tx.find(BillablePart, contract_no=news.contract_no, state=PartState(news.state))
        there = sum((p.net for p in parts), Decimal(0)) * news.share
        # Who asks again because no answer came asks for the same.
        amount = self.asked.setdefault(news.name, max(there, Decimal(1)).quantize(Decimal(1)))
        args = {"contract_no": news.contract_no, "amount": str(amount), "state": news.state}
        args |= {"requested_by": "pm", "reason": "goodwill"}
        self.kernel.start(tx, "write_off", news.name, args, entity=self._entity(news.contract_no))

    def _entity(self, contract_no: str) -> str:
        return next(c.entity for c in self.world.contracts if c.contract_no == contract_no)

    def _bill(self, tx: Any, contract_no: str, name: str, cutoff: date) -> None:
        args = {"contract_no": contract_no, "cutoff": str(cutoff), "prepared_by": "bob"}
        correlation = f"contract:{contract_no}"
        entity = self._entity(contract_no)
        self.kernel.start(tx, "bill_contract", name, args, entity=entity, correlation_id=correlation)

    def _bill_after(self, books: Books, event: OutboxEvent) -> None:
        """A subscriber that starts work: a raised cap is billed at once."""
        if self.world.billing:
            contract = event.payload["contract"]
            self._bill(books.tx, contract, f"{contract}:cap{event.sequence}", date(2026, 3, 31))

    def _note(self, books: Books, event: OutboxEvent) -> None:
        """A subscriber that now and then cannot be reached."""
        if self.storm.rough and self.rng.random() < 0.1:
            raise Unreachable("the ledger of the data warehouse is closed")

    # -- what the hub's loops and the world do ----------------------------------------------------------------

    def advance(self) -> None:
        """Some worker takes some due run."""
        taken = self.engine.take(self.rng.randrange(len(self.engine.due)) if self.engine.due else 0)
        if taken is not None:
            self.kernel.advance(*taken)

    def deliver(self) -> None:
        """A message from anywhere in the post; a file with everything in the tray."""
        if self.tray and self.rng.random() < 0.3:
            self._receive("file", tuple(self.tray))
            self.tray.clear()
        if self.mail:
            position = self.rng.randrange(len(self.mail))
            self._receive(*self.mail[position])
            del self.mail[position]

    def _receive(self, source: str, entries: tuple[TimeEntry, ...]) -> None:
        with self.store.transaction() as tx:
            sweeps.accept_time(self.kernel.books(tx, key="web", actor=source), source, entries)

    def sweep(self) -> None:
        """Look at one of the systems for what has changed."""
        k, s = self.kernel, self.systems
        looks = ((sweeps.sweep_contracts, s.crm), (sweeps.sweep_time, s.psa), (sweeps.sweep_payments, s.erp))
        look, system = self.rng.choice(looks)
        look(k, system)

    def drain(self) -> None:
        """Gather messages, few or many."""
        sweeps.drain_time(self.kernel, self.rng.choice((1, 3, 200)))

    def dispatch(self) -> None:
        """Hand events on."""
        for name in self.kernel.subscribers:
            outbox.dispatch(self.kernel, name)

    def decide(self) -> None:
        """Somebody takes some open case."""
        with self.store.transaction() as tx:
            cases = open_cases(tx)
        if cases:
            self.people.work_on(self.kernel, self.rng.choice(cases))

    def tick(self) -> None:
        """Time passes; now and then the clock is set back, or a machine sleeps for an hour."""
        chance = self.rng.random()
        if chance < 0.05:
            self.clock.move(-timedelta(seconds=self.rng.randint(1, 3600)))
        elif chance < 0.12:
            self.clock.move(timedelta(minutes=self.rng.randint(5, 70)))
        elif chance < 0.5:
            self.clock.move(timedelta(seconds=self.rng.choice((0.2, 1, 5, 30))))
        else:
            self.clock.move_to(self.kernel.next_wake() or self.clock.now())

    def pay(self) -> None:
        """A client pays a posted invoice: exactly, in part, too little, too late or too much."""
        posted = self.systems.erp.things.get("invoice", [])
        owing = [row for row in posted if Decimal(row["total"]) > self.paid.get(row["key"], Decimal(0))]
        if not owing:
            return
        row = self.rng.choice(owing)
        number, unit = row["key"], Decimal(1) if row["currency"] == "JPY" else Decimal("0.01")
        left = Decimal(row["total"]) - self.paid.get(number, Decimal(0))
        factor = Decimal(self.rng.choice(("1", "1", "1", "0.6", "0.5", "1.1")))
        amount = max((left * factor).quantize(unit) - self.rng.choice((0, 0, 0, 30)) * unit, unit)
        self.paid[number] = self.paid.get(number, Decimal(0)) + amount
        named = self.rng.random() < 0.5
        late = timedelta(days=self.rng.choice((1, 20, 60)))
        self.systems.erp.payments.append(  # type: ignore[attr-defined]
            Payment(
                source="erp",
                source_id=f"PAY-{len(self.systems.erp.payments) + 1}",  # type: ignore[attr-defined]
                client_no=row["client"],
                amount=amount,
                currency=row["currency"],
                value_date=(self.clock.now() + late).date(),
                reference="" if named else self.rng.choice((f"payment of {number}", "thank you")),
                applies={number: amount} if named else {},
            )
        )

    def disturb(self) -> None:
        """Somebody replays a message or events, calls a waiting run off, a system goes down, the process is killed."""
        self.rng.choice((self._replay_message, self._replay_events, self._call_off, self._outage, self._kill))()

    def _replay_message(self) -> None:
        with self.store.transaction() as tx:
            known = tx.find(InboxMessage, kind="time.approved", state=MessageState.APPLIED, order=("message_id",))
            if known:
                message = self.rng.choice(known)
                inbox.replay(self.kernel.books(tx, key="desk", actor="fin"), message.source, message.message_id, "test")

    def _replay_events(self) -> None:
        with self.store.transaction() as tx:
            outbox.replay(self.kernel.books(tx, key="desk", actor="fin"), self.rng.choice(("biller", "ledger")))

    def _call_off(self) -> None:
        with self.store.transaction() as tx:
            waiting = tx.find(RunRow, state=(RunState.WAITING, RunState.PARKED), order=("run_id",))
        fitting = [row for row in waiting if row.process in ("contract_to_project", "bill_contract")]
        if fitting and self.world.billing and self.rng.random() < 0.3:
            call_off(self.kernel, self.rng.choice(fitting))

    def _outage(self) -> None:
        if self.storm.rough:
            self.storm.begin_outage(self.rng.choice(("crm", "psa", "erp", "tax")))

    def _kill(self) -> None:
        if self.storm.rough:
            self.storm.counts.crashes += 1
            self.storm.dead = True
            raise SimulatedCrash

    # -- a history --------------------------------------------------------------------------------------------

    def rage(self) -> None:
        """Everything in any order, until the world has nothing new."""
        acts = (self.happen, self.advance, self.deliver, self.sweep, self.drain, self.dispatch)
        acts += (self.decide, self.tick, self.pay, self.disturb, self.wake)
        weights = (5, 10, 4, 2, 3, 1, 3, 4, 1, 0.5, 2)
        steps = 0
        while self.todo and steps < STEPS_MAX:
            self.attempt(self.rng.choices(acts, weights)[0])
            steps += 1
        for _ in range(self.rng.randint(5, 60)):
            self.attempt(self.rng.choices(acts, weights)[0])

    def wake(self) -> None:
        """Queue what is due."""
        self.kernel.wake_due()

    def calm_down(self) -> None:
        """Calm weather until nothing moves any more; NotQuiet when that does not come."""
        self.storm.clear()
        self.people.calm = True
        for _ in range(ROUNDS_MAX):
            if not self._round():
                return
        raise NotQuiet(f"seed {self.world.seed}: not at rest after {ROUNDS_MAX} rounds: {self._restless()}")

    def _round(self) -> bool:
        """One round of everything; True when something moved."""
        while self.todo:
            self.happen()
        before = self._progress()
        while self.mail or self.tray:
            self.deliver()
        k, s = self.kernel, self.systems
        sweeps.sweep_contracts(k, s.crm)
        sweeps.sweep_time(k, s.psa)
        sweeps.sweep_payments(k, s.erp)
        while sweeps.drain_time(k):
            pass
        while self.engine.due:
            self.advance()
        self.dispatch()
        with self.store.transaction() as tx:
            cases = open_cases(tx)
        worked = [self.people.work_on(k, case) for case in cases]
        self.clock.move(timedelta(minutes=6))
        k.wake_due()
        return any(worked) or before != self._progress() or bool(self._restless())

    def _progress(self) -> tuple[int, ...]:
        with self.store.transaction() as tx:
            done = len(tx.find(RunRow, state=(RunState.DONE, RunState.CANCELLED)))
        return done, len(self.store.rows[RunRow]), len(self.store.rows[InboxMessage]), len(self.systems.psa.pages)

    def _restless(self) -> list[str]:
        """What still has to move by itself."""
        with self.store.transaction() as tx:
            live = (RunState.QUEUED, RunState.RUNNING, RunState.WAITING)
            runs = [f"{row.run_id} {row.state} {row.reason}" for row in tx.find(RunRow, state=live)]
            messages = [m.message_id for m in tx.find(InboxMessage, state=MessageState.ACCEPTED)]
            events = [d.event_id for d in tx.find(EventDelivery, state=DeliveryState.PENDING)]
        return runs + messages + events

    def bill_the_rest(self) -> None:
        """A last billing run for every contract, after everything else, and then rest again."""
        with self.store.transaction() as tx:
            for contract in self.world.contracts:
                if not is_called_off(tx, contract):
                    no = contract.contract_no
                    self._bill(tx, no, f"{no}:final", date(2026, 12, 31))
        self.calm_down()

    def settle_up(self) -> None:
        """Clients pay some of what they owe, and then rest again."""
        for _ in range(self.rng.randint(0, 4)):
            self.pay()
        self.calm_down()

    def live(self) -> None:
        """The whole history: storm, calm, a last billing run, payments."""
        self.rage()
        self.calm_down()
        self.bill_the_rest()
        self.settle_up()
        self.count()

    def replay_everything(self) -> None:
        """Every event to every subscriber again, every message again, twice over; then rest."""
        with self.store.transaction() as tx:
            books = self.kernel.books(tx, key="desk", actor="fin")
            for name in self.kernel.subscribers:
                outbox.replay(books, name)
            for message in tx.find(InboxMessage, kind="time.approved", order=("message_id",)):
                inbox.accept(
                    books,
                    source=message.source,
                    message_id=message.message_id,
                    kind=message.kind,
                    aggregate=message.aggregate,
                    raw=message.raw,
                )
                inbox.replay(books, message.source, message.message_id, "everything again")
        self.calm_down()

    def count(self) -> None:
        """Sum the history up."""
        counts = self.storm.counts
        effects = list(self.store.rows[Effect].values())
        counts.seeds += 1
        counts.runs += len(self.store.rows[RunRow])
        counts.cases += len(self.store.rows[Case])
        counts.lookups += sum(e.lookups for e in effects)  # type: ignore[attr-defined]
        counts.resends += sum(e.state is EffectState.RESENT for e in effects)  # type: ignore[attr-defined]
        counts.invoices += sum(i.life is InvoiceLife.ISSUED for i in self.store.rows[Invoice].values())  # type: ignore[attr-defined]
        counts.duplicates += sum(len(model.duplicates()) for model in self.systems.by_port.values())


LEDGER = frozenset({"invoice.issued", "invoice.paid", "invoice.partially_paid", "payment.applied", "time.approved"})
