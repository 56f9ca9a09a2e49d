"""An independent auditor: recomputes from the PSA's approved entries what is right, and compares every book with it.

It shares no code with the hub's policies: plain sums over dictionaries, its own rounding, its own reading of a
contract. Each check returns findings in words; an empty list is a clean audit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from isthmus.domain.objects import (
    Allocation,
    BillableItem,
    BillablePart,
    ContractVersion,
    Engagement,
    Invoice,
    Payment,
    TimeEntry,
)
from isthmus.domain.part_events import changes_of
from isthmus.store.records import Case, ConnectionState, Effect, OutboxEvent, RunRow

if TYPE_CHECKING:
    from tests.simulation.driver import Simulation

ZERO = Decimal(0)
USES_ROOM = ("ready", "held", "deferred", "on_draft", "invoiced")
BILLED = ("invoiced",)


class Auditor:
    """Reads the hub's books and the other systems once, and then judges."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        rows = sim.store.rows
        self.parts: list[Any] = [p for p in rows[BillablePart].values() if p.state != "superseded"]  # type: ignore[attr-defined]
        self.items: dict[str, Any] = {i.item_id: i for i in rows[BillableItem].values()}  # type: ignore[attr-defined]
        self.invoices: list[Any] = list(rows[Invoice].values())
        self.issued = [i for i in self.invoices if i.life == "issued"]
        self.shares: list[Any] = list(rows[Allocation].values())
        self.payments: list[Any] = list(rows[Payment].values())
        self.runs: list[Any] = list(rows[RunRow].values())
        self.cases: list[Any] = list(rows[Case].values())
        self.engagements: dict[str, Any] = {e.contract_no: e for e in rows[Engagement].values()}  # type: ignore[attr-defined]
        self.contracts: dict[str, ContractVersion] = {}
        for version in sorted(rows[ContractVersion].values(), key=lambda v: v.version):  # type: ignore[attr-defined]
            self.contracts[version.contract_no] = version  # type: ignore[attr-defined]
        self.truth = self._approved_entries()

    def all(self) -> list[str]:
        """Every finding of every check."""
        checks = (
            self.partition,
            self.completeness,
            self.caps,
            self.owners,
            self.should_have_been_billed,
            self.invoice_arithmetic,
            self.no_double_billing,
            self.line_evidence,
            self.price_truth,
            self.receivables,
            self.cash,
            self.exactly_once,
            self.nothing_stuck,
            self.other_systems,
            self.event_log,
        )
        return [f"{check.__name__}: {finding}" for check in checks for finding in check()]

    # -- the truth, from the source ---------------------------------------------------------------------------

    def _approved_entries(self) -> dict[str, TimeEntry]:
        """Per entry its last approved revision that has a project and a task; others are a person's case."""
        latest: dict[str, TimeEntry] = {}
        for page in self.sim.systems.psa.pages:
            for entry in page.entries:
                old = latest.get(entry.key)
                if self._can_be_taken(entry) and (old is None or old.approved_at < entry.approved_at):
                    latest[entry.key] = entry
        return latest

    def _can_be_taken(self, entry: TimeEntry) -> bool:
        number = entry.project_code.removeprefix("P-")
        engagement = self.engagements.get(number)
        if engagement is None or engagement.state != "active" or number not in self.contracts:
            return False
        lines = {line.line_uid: line for line in self.contracts[number].lines}
        return entry.task_code == "" or entry.task_code in lines

    def _rate(self, entry: TimeEntry) -> tuple[str, Decimal]:
        """(line, rate) of an entry, read off the contract: rate zero on a line that does not bill time."""
        contract = self.contracts[entry.project_code.removeprefix("P-")]
        for line in contract.lines:
            for rate in line.rates:
                if rate.role == entry.role and entry.task_code in ("", line.line_uid):
                    return line.line_uid, rate.bill_rate
        return entry.task_code, ZERO

    def _worth(self, entry: TimeEntry) -> Decimal:
        contract = self.contracts[entry.project_code.removeprefix("P-")]
        unit = Decimal(1) if contract.currency == "JPY" else Decimal("0.01")
        return (entry.hours * self._rate(entry)[1]).quantize(unit, rounding=ROUND_HALF_UP)

    def _chain(self, part: Any) -> str:
        return str(part.item_id).rsplit("#", 1)[0]

    # -- evidence ---------------------------------------------------------------------------------------------

    def partition(self) -> Iterable[str]:
        """INV-01, INV-22: the parts of an entry's chain that are not superseded add up to its latest revision."""
        for key, entry in self.truth.items():
            mine = [p for p in self.parts if self._chain(p) == key]
            net, worth = _sum(p.net for p in mine), self._worth(entry)
            hours = entry.hours if self._rate(entry)[1] else ZERO
            if net != worth or _sum(p.quantity for p in mine) != hours:
                told = ", ".join(f"{p.part_id} {p.state} {p.net}" for p in mine)
                yield f"{key}: {entry.hours} h are worth {worth}; parts: {told or 'none'}"
            billed = _sum(p.net for p in mine if p.state in USES_ROOM)
            if billed < 0:
                yield f"{key}: {billed} is given back for hours that were never billed"
        for part in self.parts:
            if self._chain(part) not in self.truth:
                yield f"{part.part_id} has no approved entry"

    def completeness(self) -> Iterable[str]:
        """INV-02: every approved entry is evidence, or somebody has or had its case."""
        asked = {run.args["alone"] for run in self.runs if run.process == "capture_time" and run.args["alone"]}
        newest: dict[str, Any] = {}
        for item in self.items.values():
            if item.source_key not in newest or newest[item.source_key].revision < item.revision:
                newest[item.source_key] = item
        for key, entry in self.truth.items():
            if key not in newest or newest[key].entry_quantity != entry.hours:
                kept = newest[key].entry_quantity if key in newest else "nothing"
                yield f"{key}: {entry.hours} h approved, the hub has {kept}"
        for key in self.sim.newest:
            if key not in self.truth and key not in asked:
                yield f"{key}: neither evidence nor a case"

    def caps(self) -> Iterable[str]:
        """INV-04: no hard cap is exceeded, and nothing is over a cap while all its caps have room."""
        for number, contract in self.contracts.items():
            room = {}
            for cap in contract.caps:
                used = _sum(p.net for p in self._within(number, cap.line_uid) if p.state in USES_ROOM)
                room[cap.cap_id] = cap.limit - used
                if used > cap.limit:
                    yield f"{cap.cap_id}: {used} is placed under {cap.limit}"
            for part in (p for p in self.parts if p.contract_no == number and p.state == "over_cap"):
                line = self.items[part.item_id].line_uid
                binding = [room[cap.cap_id] for cap in contract.caps if cap.line_uid in ("", line)]
                if not binding or min(binding) > 0:
                    yield f"{part.part_id}: {part.net} is over a cap that has {binding} of room"

    def owners(self) -> Iterable[str]:
        """Of each cap with something over it one open case with that amount, and no other."""
        over: dict[str, Decimal] = {}
        for part in self.parts:
            if part.state == "over_cap":
                name = f"cap/{part.contract_no}/{part.cap_id}"
                over[name] = over.get(name, Decimal(0)) + part.net
        told = [c for c in self.cases if c.state == "open" and c.exception == "EX-CAP-REACHED"]
        if sorted((c.run_id, c.amount) for c in told) != sorted(over.items()):
            yield f"over caps are {over}; cases tell {[(c.run_id, str(c.amount)) for c in told]}"

    def _within(self, number: str, line_uid: str) -> list[Any]:
        mine = [p for p in self.parts if p.contract_no == number]
        return [p for p in mine if line_uid in ("", self.items[p.item_id].line_uid)]

    def should_have_been_billed(self) -> Iterable[str]:
        """What caps allow of the approved, not given up work of each contract is billed, or is a credit."""
        for number, contract in self.contracts.items():
            by_line: dict[str, Decimal] = {}
            for entry in self.truth.values():
                if entry.project_code == f"P-{number}":
                    line = self._rate(entry)[0]
                    by_line[line] = by_line.get(line, ZERO) + self._worth(entry)
            expected = self._under_caps(contract, self._without_write_offs(number, by_line))
            mine = [p for p in self.parts if p.contract_no == number]
            billed = _sum(i.net for i in self.issued if i.contract_no == number)
            ready = _sum(p.net for p in mine if p.state in USES_ROOM and p.state not in BILLED)
            if billed + ready != expected:
                yield f"{number}: {expected} should be billed; {billed} is, {ready} is ready"
            if ready > 0 and self.sim.world.billing:
                yield f"{number}: {ready} was left unbilled by the last billing run"

    def _without_write_offs(self, number: str, by_line: dict[str, Decimal]) -> dict[str, Decimal]:
        left = dict(by_line)
        for part in self.parts:
            if part.contract_no == number and part.state == "written_off":
                line = self.items[part.item_id].line_uid
                left[line] = left.get(line, ZERO) - part.net
        return left

    def _under_caps(self, contract: ContractVersion, by_line: dict[str, Decimal]) -> Decimal:
        total = ZERO
        for line, net in by_line.items():
            limits = [cap.limit for cap in contract.caps if cap.line_uid == line]
            total += min([net, *limits])
        return min([total, *(cap.limit for cap in contract.caps if cap.scope == "contract")])

    def price_truth(self) -> Iterable[str]:
        """INV-08: every item's net is its hours times the contract's rate."""
        for key, entry in self.truth.items():
            mine = [i for i in self.items.values() if i.source_key == key]
            latest = max(mine, key=lambda i: i.revision, default=None)
            if latest is not None and (
                latest.entry_net != self._worth(entry) or latest.unit_price != self._rate(entry)[1]
            ):
                yield f"{latest.item_id}: {latest.entry_net} at {latest.unit_price}, not {self._worth(entry)}"

    # -- invoices ---------------------------------------------------------------------------------------------

    def invoice_arithmetic(self) -> Iterable[str]:
        """INV-05: lines, tax, total, settled and open add up; nothing open is negative."""
        for invoice in self.issued:
            if _sum(line.net for line in invoice.lines) != invoice.net or invoice.net + invoice.tax != invoice.total:
                yield f"{invoice.number}: {invoice.net} + {invoice.tax} is not {invoice.total}"
            if _sum(line.tax for line in invoice.lines) != invoice.tax:
                yield f"{invoice.number}: line taxes do not add up to {invoice.tax}"
            settled = _sum(s.amount for s in self.shares if s.invoice_id == invoice.invoice_id)
            if invoice.total != settled + invoice.open or invoice.open < 0 or invoice.net <= 0:
                yield f"{invoice.number}: total {invoice.total}, settled {settled}, open {invoice.open}"
            expected = "paid" if invoice.open == 0 else "open" if not settled else "partially_paid"
            if invoice.settlement != expected:
                yield f"{invoice.number}: {invoice.settlement} with {invoice.open} of {invoice.total} open"

    def no_double_billing(self) -> Iterable[str]:
        """INV-06: a part is on one living line exactly when it says so; no entry is billed beyond its hours."""
        living = [i for i in self.invoices if i.life in ("draft", "issued")]
        used = Counter(part for i in living for line in i.lines for part in line.part_ids)
        yield from (f"{part} is on {count} lines" for part, count in used.items() if count > 1)
        for part in self.parts:
            if (part.state in ("on_draft", "invoiced")) != (part.part_id in used):
                yield f"{part.part_id} is {part.state} but {'on' if part.part_id in used else 'not on'} an invoice"
        for key, entry in self.truth.items():
            mine = [p for p in self.parts if self._chain(p) == key]
            # Less what is given back: a credit waits as a negative part until there is work to net it against.
            billed = _sum(p.quantity for p in mine if p.state == "invoiced" or p.quantity < 0)
            if billed > entry.hours:
                yield f"{key}: {billed} h are billed of {entry.hours} approved"

    def line_evidence(self) -> Iterable[str]:
        """INV-07: a line is the sum of its parts, all of them evidence."""
        known = {p.part_id: p for p in self.parts}
        for invoice in self.issued:
            for line in invoice.lines:
                missing = [part for part in line.part_ids if part not in known]
                if missing or not line.part_ids:
                    yield f"{invoice.number} line {line.number}: evidence {missing or 'none'} is gone"
                elif _sum(known[part].net for part in line.part_ids) != line.net:
                    yield f"{invoice.number} line {line.number}: {line.net} is not the sum of its parts"

    # -- money in other books ---------------------------------------------------------------------------------

    def receivables(self) -> Iterable[str]:
        """INV-09: each issued invoice is in the ERP once, equal in total, currency and client, and nothing else is."""
        remote = {row["key"]: row for row in self.sim.systems.erp.things.get("invoice", [])}
        for invoice in self.issued:
            row = remote.pop(invoice.number, None)
            facts = (str(invoice.total), invoice.currency, invoice.client_no)
            if row is None:
                yield f"{invoice.number} is not in the ERP"
            elif (row["total"], row["currency"], row["client"]) != facts:
                yield f"{invoice.number}: {row} in the ERP, {facts} here"
            if (invoice.posting, invoice.tax_track, invoice.delivery) != ("posted", "committed", "sent"):
                yield f"{invoice.number}: {invoice.posting}, tax {invoice.tax_track}, {invoice.delivery}"
        yield from (f"{number} is in the ERP only" for number in remote)

    def cash(self) -> Iterable[str]:
        """INV-32: no payment gives more than it has; AR here is AR there less what was allocated."""
        for payment in self.payments:
            given = _sum(s.amount for s in self.shares if s.payment_key == payment.key and s.kind == "payment")
            if given > payment.amount:
                yield f"{payment.key}: {given} of {payment.amount} allocated"
        if len(self.payments) != len(self.sim.systems.erp.payments):  # type: ignore[attr-defined]
            yield f"{len(self.payments)} payments here, not those of the ERP"
        for currency in ("USD", "JPY"):
            numbers = {i.invoice_id for i in self.issued if i.currency == currency}
            there = _sum(
                Decimal(r["total"]) for r in self.sim.systems.erp.things.get("invoice", []) if r["currency"] == currency
            )
            settled = _sum(s.amount for s in self.shares if s.invoice_id in numbers)
            here = _sum(i.open for i in self.issued if i.currency == currency)
            if there - settled != here:
                yield f"AR in {currency}: {there} - {settled} there, {here} here"

    def exactly_once(self) -> Iterable[str]:
        """INV-19: nothing exists twice anywhere; numbers are unique and gapless in their series."""
        for model in self.sim.systems.by_port.values():
            yield from (f"duplicate {key}" for key in model.duplicates())
        series: dict[str, list[int]] = {}
        for invoice in self.issued:
            name, number = invoice.number.rsplit("-", 1)
            series.setdefault(name, []).append(int(number))
        for name, numbers in series.items():
            if sorted(numbers) != list(range(1, len(numbers) + 1)):
                yield f"series {name} has the numbers {sorted(numbers)}"

    def other_systems(self) -> Iterable[str]:
        """What other systems show at the end is what the hub knows: cost, projects, tax, the status in the CRM."""
        erp, psa, tax, crm = (self.sim.systems.by_port[p].things for p in ("Erp", "Psa", "TaxEngine", "Crm"))
        cost = {row["key"]: Decimal(row["hours"]) for row in erp.get("time", [])}
        for item in self.items.values():
            if item.raw_quantity is None:
                continue  # it brings no hours: it ends an entry on the contract it has left
            if cost.pop(f"{item.entry_key}#{item.entry_revision}", None) != item.raw_quantity:
                yield f"{item.item_id} is not the ERP's cost"
        yield from (f"{key} is cost in the ERP only" for key in cost)
        for number, engagement in self.engagements.items():
            for system, things in (("psa", psa), ("erp", erp)):
                active = [r["active"] for r in things.get("project", []) if r["key"] == f"P-{number}"]
                if (active != [True] and engagement.state == "active") or (
                    True in active and engagement.state == "cancelled"
                ):
                    yield f"project of {number} in {system}: {active}, the engagement is {engagement.state}"
        wanted = {i.invoice_id: "committed" for i in self.issued}
        for row in tax.get("document", []):
            if row["status"] != wanted.pop(row["key"], "void"):
                yield f"tax document {row['key']} is {row['status']}"
        yield from (f"tax document {key} is missing" for key in wanted)
        yield from self._statuses(crm.get("status", []))

    def _statuses(self, shown: list[dict[str, Any]]) -> Iterable[str]:
        for row in shown:
            mine = [i for i in self.issued if i.contract_no == row["key"]]
            billed, paid = _sum(i.net for i in mine), _sum(i.total - i.open for i in mine)
            status = row["shown"]
            if mine and (Decimal(status["billed"]), Decimal(status["paid"])) != (billed, paid):
                yield f"CRM shows {row['key']} billed {status['billed']} paid {status['paid']}; it is {billed}, {paid}"

    # -- nothing stuck ----------------------------------------------------------------------------------------

    def nothing_stuck(self) -> Iterable[str]:
        """INV-30: a run that is not finished has exactly one open case, or moves by itself; a finished one has none."""
        opened: dict[str, list[Any]] = {}
        for case in self.cases:
            if case.state == "open":
                opened.setdefault(case.run_id, []).append(case)
        paused = [c for c in self.sim.store.rows[ConnectionState].values() if c.paused]  # type: ignore[attr-defined]
        yield from (f"{c.connection} is paused" for c in paused if f"connection/{c.connection}" not in opened)
        for run in self.runs:
            told = [f"{c.case_no} {c.exception}" for c in opened.get(run.run_id, [])]
            finished = run.state in ("done", "cancelled")
            if finished and told:
                yield f"{run.run_id} is {run.state} and has {told}"
            if run.state == "failed" or (run.state == "parked" and len(told) != 1):
                yield f"{run.run_id} is {run.state} ({run.reason}) with {told or 'no case'}"
            by_itself = run.wake_at is not None or run.reason.startswith("connection:")
            if run.state == "waiting" and not by_itself:
                yield f"{run.run_id} waits for nothing: {run.reason}"
        yield from self._unfinished_writes()

    def _unfinished_writes(self) -> Iterable[str]:
        """A finished run leaves no write in the air, but those it never sent because one beside them was refused."""
        effects: list[Any] = list(self.sim.store.rows[Effect].values())
        refused = {(e.run_id, e.seq) for e in effects if e.state == "refused"}
        for effect in effects:
            open_ones = ("intended", "in_doubt") if (effect.run_id, effect.seq) not in refused else ("in_doubt",)
            if effect.state in open_ones and self._is_finished(effect.run_id):
                yield f"effect {effect.effect_key} is {effect.state}, its run is finished"

    def _is_finished(self, run_id: str) -> bool:
        return any(run.run_id == run_id and run.state in ("done", "cancelled") for run in self.runs)

    def event_log(self) -> Iterable[str]:
        """INV-28: what is open according to the events alone is what is open."""
        events: list[Any] = list(self.sim.store.rows[OutboxEvent].values())
        balance: dict[str, Decimal] = {}
        for event in sorted(events, key=lambda e: (e.aggregate, e.sequence)):
            if event.type in ("invoice.issued", "invoice.paid", "invoice.partially_paid"):
                balance[event.payload["number"]] = Decimal(event.payload["open"])
        known = {i.number: i.open for i in self.issued}
        if balance != known:
            yield f"open by events {balance}, by the books {known}"
        yield from self._parts_by_events(events)

    def _parts_by_events(self, events: list[Any]) -> Iterable[str]:
        """Every part, its state, net and hours, from the events alone; each event begins where the last one ended."""
        told: dict[str, tuple[str, Decimal, Decimal]] = {}
        ordered = sorted(events, key=lambda e: (e.aggregate, e.sequence))
        for event, fact in ((e, fact) for e in ordered for fact in changes_of(e.type, e.payload)):
            if told.get(fact["part"], ("", 0, 0))[0] != fact["from"]:
                was = told.get(fact["part"])
                yield f"{event.event_id}: {fact['part']} was {was}, the event begins at {fact['from']!r}"
            told[fact["part"]] = (fact["to"], Decimal(fact["net"]), Decimal(fact["quantity"]))
        every: list[Any] = list(self.sim.store.rows[BillablePart].values())
        known = {p.part_id: (str(p.state), p.net, p.quantity) for p in every}
        if told != known:
            yield f"parts by events differ from the books: {set(told.items()) ^ set(known.items())}"


def _sum(amounts: Iterable[Any]) -> Decimal:
    return sum(amounts, ZERO)


def money_of(sim: Simulation) -> dict[str, Any]:
    """All money of a hub and of the other systems, to compare before and after."""
    rows = sim.store.rows
    return {
        "parts": sorted((p.part_id, p.state, p.net, p.quantity) for p in rows[BillablePart].values()),  # type: ignore[attr-defined]
        "invoices": sorted((i.invoice_id, i.number, i.life, i.total, i.open) for i in rows[Invoice].values()),  # type: ignore[attr-defined]
        "allocations": sorted((a.allocation_id, a.amount) for a in rows[Allocation].values()),  # type: ignore[attr-defined]
        "remote": {
            f"{port}:{name}": len(things)
            for port, model in sim.systems.by_port.items()
            for name, things in model.things.items()
        },
    }


def final_evidence(sim: Simulation) -> dict[str, Any]:
    """Where every entry's money ended up, and on which invoice lines, up to numbers: INV-31."""
    places: dict[tuple[str, str, str], tuple[Decimal, Decimal]] = {}
    for part in sim.store.rows[BillablePart].values():
        if part.state != "superseded":  # type: ignore[attr-defined]
            key = (part.item_id.rsplit("#", 1)[0], str(part.state), part.cap_id)  # type: ignore[attr-defined]
            net, quantity = places.get(key, (ZERO, ZERO))
            places[key] = (net + part.net, quantity + part.quantity)  # type: ignore[attr-defined]
    lines = sorted(
        (i.contract_no, line.line_uid, line.unit_price, line.quantity, line.net)  # type: ignore[attr-defined]
        for i in sim.store.rows[Invoice].values()
        if i.life == "issued"  # type: ignore[attr-defined]
        for line in i.lines  # type: ignore[attr-defined]
    )
    return {"places": places, "lines": lines}
