"""Plays the demo: sandboxes up, firm applied, a worker on the embedded database, and a month of business."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import sqlalchemy as sa
from rich.console import Console

from isthmus.app import bootstrap
from isthmus.app.demo import world
from isthmus.app.demo.firm import write_folder
from isthmus.app.demo.left_open import leave_open, open_cases
from isthmus.app.demo.timeline import Timeline
from isthmus.app.demo.totals import duplicates, totals
from isthmus.app.firm import read_folder
from isthmus.app.worker import Worker
from isthmus.domain.errors import NeedsSetup, Refused, Retryable
from isthmus.domain.objects import BillablePart, Engagement, Invoice
from isthmus.domain.states import CaseState, EngagementState, InvoiceLife, PartState, Posting
from isthmus.runtime.clock import ShiftedClock
from isthmus.sandbox.server import Running, running
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import Case, CrossReference, Effect, EffectState, RunRow, RunState

SYSTEMS = ("salesforce", "kantata", "netsuite", "avalara")
DATABASE = "isthmus_demo"
PATIENCE_SECONDS = 60.0


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database of the demo's own, beside the hub's, which it never touches. One demo at a time."""
    address = sa.make_url(bootstrap.database_url())
    own = address.set(database=DATABASE).render_as_string(hide_password=False)
    with psycopg.connect(
        address.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        taken = connection.execute("select pg_try_advisory_lock(hashtext(%s))", [DATABASE]).fetchone()
        if taken != (True,):
            raise Refused("a demo is being played on this database server already: wait for its end")
        if address.database == DATABASE:
            raise NeedsSetup(f"ISTHMUS_DATABASE_URL names {DATABASE}, which the demo empties: name another database")
        try:
            connection.execute(f'drop database if exists "{DATABASE}" with (force)')
            connection.execute(f'create database "{DATABASE}" template template0')
        except psycopg.errors.InsufficientPrivilege as missing:
            remedy = "let its user create databases, or unset ISTHMUS_DATABASE_URL"
            raise NeedsSetup(f"the demo makes a database of its own ({DATABASE}): {remedy}") from missing
        yield own


class Play:
    """One performance."""

    def __init__(self, console: Console, seed: int, every_step: bool) -> None:
        self.dice = random.Random(seed)
        self.clock = ShiftedClock(datetime(2026, 3, 2, 13, 0, tzinfo=UTC))
        self.timeline = Timeline(self.clock, console, every_step=every_step)
        self.hub: bootstrap.Hub
        self.served: dict[str, Running]

    # -- the stage --------------------------------------------------------------------------------------------

    def set_up(self, stack: ExitStack) -> None:
        """Sandboxes, database, firm folder, hub and worker."""
        self.served = stack.enter_context(running(*SYSTEMS))
        self._set_clocks()
        url = stack.enter_context(fresh_database())
        bootstrap.prepare(url)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-demo-")))
        people = sorted({person for _, person in world.TEAM.values()})
        employees = {person: str(11 + n % 4) for n, person in enumerate(people)}
        firm = read_folder(write_folder(folder, self.served, employees))
        store = PostgresStore(url, pool_size=2)
        bootstrap.apply_firm(store, firm, by="ines.integration", approved_by="finn.finance", clock=self.clock)
        store.close()
        self.hub = bootstrap.build(url, clock=self.clock)
        stack.callback(self.hub.close)
        self.hub.kernel.told = self.timeline.told
        worker = Worker(self.hub, watching=False)  # weeks pass in seconds here: a silence would mean nothing
        worker.start()
        stack.callback(worker.stop)

    def control(self, system: str, path: str, body: Any) -> Any:
        """Something happens in one of the systems, by its control address."""
        answer = httpx.post(f"{self.served[system].url}/_control/{path}", json=body, timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def _set_clocks(self) -> None:
        for system in self.served:
            self.control(system, "clock", {"now": f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}"})

    def move_to(self, day: date, hour: int = 18) -> None:
        """Let the month go on."""
        self.clock.move_to(datetime(day.year, day.month, day.day, hour, tzinfo=UTC))
        self._set_clocks()

    def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until the hub has got there."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            if time.monotonic() > deadline:
                raise Retryable(
                    f"the demo waited {PATIENCE_SECONDS:g} s for: {what}; see 'isthmus runs' and 'isthmus cases'"
                )
            time.sleep(0.03)

    def rows(self, model: Any, **equals: Any) -> list[Any]:
        """Records of the hub."""
        with self.hub.store.transaction() as tx:
            return tx.find(model, **equals)

    def quiet(self) -> bool:
        """True when no run moves."""
        moving = (RunState.QUEUED, RunState.RUNNING, RunState.WAITING)
        return not self.rows(RunRow, state=moving, limit=1)

    # -- the acts ---------------------------------------------------------------------------------------------

    def win_deals(self) -> None:
        """Sales closes the deals; legal and finance have signed."""
        self.timeline.say("Three deals are won and signed. Rates come from a GSA price list (CC0).")
        self.enter(world.DEALS)

        def all_decided() -> bool:
            states = [e.state for e in self.rows(Engagement)]
            return len(states) == len(world.DEALS) and self.quiet()

        self.until("contracts set up or parked", all_decided)

    def enter(self, deals: Sequence[world.Deal]) -> None:
        """Sales has entered these deals in the CRM, one after the other."""
        prices = world.price_list()
        for deal in deals:
            ids: dict[str, str] = {}
            for object_name, record in world.salesforce_records(deal, prices, ids):
                filled = {
                    k: ids.get(v[1:], v) if isinstance(v, str) and v.startswith("@") else v for k, v in record.items()
                }
                ids[object_name] = self.control("salesforce", "seed", {object_name: [filled]})[object_name][0]["Id"]

    def fill_dimension(self) -> None:
        """A contract without a cost centre has parked; finance fills it in and the run goes on at that step."""
        case = self.rows(Case, state=CaseState.OPEN, exception="EX-DIM")[0]
        self.timeline.say(f"{case.case_no} in the queue {case.queue}: {case.cause}. finn.finance fills it in.")
        self.decide(case, "fill", "cost centre of the delivery unit", {"cost_center": "CC-200"})
        active = (EngagementState.ACTIVE,)
        self.until("all active", lambda: len(self.rows(Engagement, state=active)) == len(world.DEALS) and self.quiet())

    def decide(self, case: Case, action: str, reason: str, values: dict[str, Any] | None = None) -> None:
        """finn.finance decides a case."""
        with self.hub.store.transaction() as tx:
            self.hub.kernel.resolve(
                tx, case.case_no, action=action, actor="finn.finance", reason=reason, values=values or {}
            )

    def work(self) -> None:
        """The team records time; project managers approve it; the hub sweeps it in, week by week."""
        days = world.working_days()
        for start in range(0, len(days), 5):
            week = days[start : start + 5]
            rows = [row for day in week for deal in world.DEALS for row in self.time_rows(deal, day)]
            self.work_week(week[-1], rows)

    def work_week(self, until: date, rows: list[dict[str, Any]]) -> None:
        """These entries are approved in the PSA; the hub finds them."""
        self.move_to(until)
        self.timeline.say(f"Time of the week to {until:%d %B} is approved: {len(rows)} entries.")
        expected = self._captured() + len(rows)
        self.control("kantata", "seed", {"time_entries": rows})
        self.until("time swept in", lambda: self._captured() >= expected and self.quiet())

    def _captured(self) -> int:
        costs = self.rows(Effect, verb="Erp.put_time")
        return sum(1 for e in costs if e.state in (EffectState.DONE, EffectState.FOUND, EffectState.RESENT))

    def time_rows(self, deal: world.Deal, day: date) -> list[dict[str, Any]]:
        """What the team records for a deal on a day, as the PSA keeps it."""
        project = f"P-{deal.contract_no}"
        remote = {x.key: x.remote_id for x in self.rows(CrossReference, system="kantata")}
        return [
            {
                "workspace_id": remote[project],
                "story_id": remote[f"{project}:{line.uid}"],
                "user_id": world.TEAM[line.role][0],
                "date_performed": day.isoformat(),
                "time_in_minutes": minutes,
                "notes": note,
                "approved": True,
                "billable": line.billing == "tm",
            }
            for line, minutes, note in world.hours_of(deal, day, self.dice)
        ]

    def bill(self) -> None:
        """Month end: one invoice per contract. The ERP loses an answer on the way, and nothing is posted twice."""
        self.move_to(date(2026, 3, 31), 20)
        self.timeline.say(
            "Month end. The ERP will post one invoice but lose its answer: the hub looks before it sends again."
        )
        fault = {"kind": "timeout_after_commit", "method": "PUT", "path": "/record/v1/invoice/eid", "times": 1}
        self.control("netsuite", "faults", fault)
        for number, deal in enumerate(world.DEALS, start=1):
            self.start_billing(deal.contract_no, "2026-03", "2026-03-31")
            self._approve_reviews(number)
        lost = [e for e in self.rows(Effect, verb="Erp.post_invoice") if e.lookups]
        for effect in lost:
            self.timeline.say(
                f"{effect.business_key}: no answer from the ERP; looked up {effect.lookups} time, {effect.state}."
            )

    def start_billing(self, contract_no: str, name: str, cutoff: str) -> None:
        """ana.billing starts the invoice of a contract for the time up to a day."""
        with self.hub.store.transaction() as tx:
            books = self.hub.kernel.books(tx, key="demo", actor="ana.billing", correlation_id=f"contract:{contract_no}")
            args = {"contract_no": contract_no, "cutoff": cutoff, "prepared_by": "ana.billing"}
            books.start("bill_contract", f"{contract_no}:{name}", args, entity="US01")

    def _approve_reviews(self, expected: int) -> None:
        def posted() -> bool:
            for case in self.rows(Case, state=CaseState.OPEN, exception="EX-REVIEW"):
                self.timeline.say(f"{case.cause}. finn.finance approves.")
                self.decide(case, "approve", "checked")
            done = self.rows(Invoice, life=InvoiceLife.ISSUED, posting=Posting.POSTED)
            return len(done) >= expected and self.quiet()

        self.until("invoices posted", posted)

    def raise_cap(self) -> None:
        """The client accepts a change order; work beyond the old cap becomes billable, oldest first."""
        self.move_to(date(2026, 4, 2), 15)
        deal = world.DEALS[0]
        self.timeline.say(f"{deal.client} accepts change order CO-1: the cap of {deal.contract_no} rises by 1,500.00.")
        with self.hub.store.transaction() as tx:
            books = self.hub.kernel.books(
                tx, key="demo", actor="pia.pmo", correlation_id=f"contract:{deal.contract_no}"
            )
            args = {
                "contract_no": deal.contract_no,
                "change_order": "CO-1",
                "cap_delta": "1500.00",
                "accepted_on": "2026-04-02",
                "evidence": "https://documents.example/CO-1",
            }
            books.start("change_order", f"{deal.contract_no}:CO-1", args, entity="US01")
        self.until("change order applied", self.quiet)
        self.start_billing(deal.contract_no, "2026-03-co1", "2026-03-31")
        self._approve_reviews(len(world.DEALS) + 1)

    def pay(self) -> None:
        """Clients pay: two exactly, one in part before it is due, one short after the due date."""
        self.move_to(date(2026, 4, 24), 15)
        self.timeline.say("The bank reports money: exact, in part, exact, and one short payment after the due date.")
        invoices = sorted(self.rows(Invoice, life=InvoiceLife.ISSUED), key=lambda i: str(i.number))
        remote = {x.key: x.remote_id for x in self.rows(CrossReference, system="netsuite")}
        for number, invoice in enumerate(invoices):
            share = {1: Decimal("0.5"), 3: Decimal("0.9")}.get(number, Decimal(1))
            amount = (invoice.total * share).quantize(Decimal("0.01"))
            day = date(2026, 5, 8) if number == 3 else date(2026, 4, 24)
            self._receive(invoice, amount, day, remote)
        self.until("payments applied", lambda: self._applied(len(invoices)) and self.quiet())

    def _receive(self, invoice: Invoice, amount: Decimal, day: date, remote: dict[str, str]) -> None:
        if day > self.clock.now().date():
            self.move_to(day, 15)
        paid = {
            "customer": {"id": remote[invoice.client_no]},
            "payment": float(amount),
            "currency": {"id": "1"},
            "tranDate": day.isoformat(),
            "apply": [{"doc": {"id": remote[invoice.number]}, "apply": True, "amount": float(amount)}],
            "lastModifiedDate": f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}",
        }
        self.control("netsuite", "seed", {"customerPayment": [paid]})

    def _applied(self, expected: int) -> bool:
        runs = self.rows(RunRow, process="invoice_to_cash")
        return len(runs) >= expected and all(run.state in (RunState.DONE, RunState.PARKED) for run in runs)

    def write_off(self) -> None:
        """What stays over the cap is given up: asked for by the project manager, approved by finance."""
        left = sum((p.net for p in self.rows(BillablePart, state=PartState.OVER_CAP)), Decimal(0))
        if left <= 0:
            return
        self.timeline.say(f"pia.pmo asks to write off {left:,.2f} USD that stays over the cap; finn.finance approves.")
        with self.hub.store.transaction() as tx:
            contract_no = world.DEALS[0].contract_no
            books = self.hub.kernel.books(tx, key="demo", actor="pia.pmo", correlation_id=f"contract:{contract_no}")
            args = {
                "contract_no": contract_no,
                "amount": str(left),
                "state": "over_cap",
                "requested_by": "pia.pmo",
                "reason": "goodwill",
            }
            books.start("write_off", f"{contract_no}:W-1", args, entity="US01")
        self.until("asked", lambda: bool(self.rows(Case, state=CaseState.OPEN, exception="EX-WRITE-OFF")))
        case = self.rows(Case, state=CaseState.OPEN, exception="EX-WRITE-OFF")[0]
        self.decide(case, "approve", "agreed")
        self.until("written off", self.quiet)

    def state_of_systems(self) -> dict[str, Any]:
        """What each sandbox holds now."""
        return {
            name: httpx.get(f"{one.url}/_control/state", timeout=30, trust_env=False).json()
            for name, one in self.served.items()
        }


def run(*, seed: int = 20260301, as_json: bool = False, look_around: Callable[[Play], None] | None = None) -> int:
    """Play the month; returns the exit code. as_json prints only the totals.

    look_around is called at the end, while hub and sandboxes still run.
    """
    started = time.monotonic()
    console = Console(quiet=as_json)
    with ExitStack() as stack:
        play = Play(console, seed, every_step=False)
        console.print("isthmus demo: everything below is synthetic except the rates.", style="dim")
        play.set_up(stack)
        console.print(f"ready after {time.monotonic() - started:.1f} s", style="dim")
        acts = (play.win_deals, play.fill_dimension, play.work, play.bill, play.raise_cap, play.pay, play.write_off)
        for number, act in enumerate(acts, start=1):
            play.timeline.progress = f"{number}/{len(acts) + 1}"
            act()
        time.sleep(0.2)
        end = totals(play.hub.store, play.state_of_systems())
        play.timeline.say("The books at the end of the month.")
        play.timeline.summary(end)
        play.timeline.progress = f"{len(acts) + 1}/{len(acts) + 1}"
        leave_open(play)
        end |= {"cases_open": open_cases(play), "duplicates": duplicates(play.state_of_systems())}
        console.print(f"{play.timeline.steps} steps in {time.monotonic() - started:.1f} s", style="dim")
        if as_json:
            Console().print_json(json.dumps(end, default=str))
        shown = sa.make_url(play.hub.url).set(drivername="postgresql").render_as_string(hide_password=True)
        first = f"ISTHMUS_DATABASE_URL='{shown}' isthmus trace"
        console.print(f"The books stay until the next demo. Look around: {first} US01-INV-2026-00001", soft_wrap=True)
        if look_around is not None:
            look_around(play)
        return 0 if end["duplicates"] == 0 else 1
