"""Compares what is with what a script expects; every difference in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from isthmus.app.bought import explain_bill
from isthmus.app.explain import explain
from isthmus.app.rehearsal.script import ExpectAct, InvoiceExpected
from isthmus.app.rehearsal.stage import Stage
from isthmus.domain.lending import LentHours
from isthmus.domain.objects import BillableItem, BillablePart, Invoice, LedgerEntry
from isthmus.domain.periods import PeriodSnapshot
from isthmus.domain.states import CaseState, InvoiceLife, PartState
from isthmus.domain.subcontracting import SubcontractorBill
from isthmus.kit.keys import from_external_id
from isthmus.processes.work.deriving import retainer_months
from isthmus.processes.work.drafting import latest_version
from isthmus.processes.work.earned import totals_of
from isthmus.processes.work.facts import Facts
from isthmus.processes.work.paying import held_of
from isthmus.processes.work.thresholds import standings_of
from isthmus.store.records import Case, OutboxEvent

if TYPE_CHECKING:
    from isthmus.app.rehearsal.play import Play

ZERO = Decimal(0)


def check(stage: Stage, play: Play, act: ExpectAct) -> Iterator[str]:
    """Every difference between what is and what the act expects."""
    with stage.store.transaction() as tx:
        if act.parts is not None or act.hours is not None:
            parts = tx.find(BillablePart, contract_no=act.contract)
            yield from _by_state(parts, act.parts, "net")
            yield from _by_state(parts, act.hours, "quantity")
        if act.sources is not None:
            items = tx.find(BillableItem, contract_no=act.contract, order=("revision",))
            yield from _sources(items, tx.find(BillablePart, contract_no=act.contract), act.sources)
        if act.cases is not None:
            found = sorted(case.exception for case in tx.find(Case, state=CaseState.OPEN))
            if found != sorted(act.cases):
                told = [f"{c.exception}: {c.cause}" for c in tx.find(Case, state=CaseState.OPEN)]
                yield f"open cases are {', '.join(found) or 'none'}; expected {', '.join(act.cases) or 'none'}: {told}"
        for exception, wanted in (act.at_stake or {}).items():
            amounts = [c.amount or ZERO for c in tx.find(Case, state=CaseState.OPEN, exception=exception)]
            if sum(amounts, ZERO) != wanted:
                yield f"open cases {exception} are about {sum(amounts, ZERO)}, not {wanted}"
        if act.events is not None:
            counts = Counter(event.type for event in tx.find(OutboxEvent))
            yield from (
                f"event {name} was published {counts[name]} times, not {wanted}"
                for name, wanted in act.events.items()
                if counts[name] != wanted
            )
        if act.retainer is not None:
            yield from _retainer(stage, tx, act)
        if act.held_back is not None:
            rows = tx.find(LedgerEntry, contract_no=act.contract, ledger="holdback")
            held = sum((row.amount for row in rows), ZERO)
            if held != act.held_back:
                yield f"{held} is held back, not {act.held_back}"
        if act.deposit is not None:
            entries = tx.find(LedgerEntry, contract_no=act.contract, ledger="deposit")
            left = sum((entry.amount for entry in entries), ZERO)
            if left != act.deposit:
                yield f"{left} of the deposit can be drawn, not {act.deposit}"
        yield from _between_entities(stage, tx, act)
        if act.period is not None:
            yield from _period(stage, tx, act.period)
        yield from _bought(tx, act)
        yield from _explained(stage, tx)
    if act.invoices is not None:
        yield from _invoices(play.issued(), act.invoices)
    if act.erp is not None:
        yield from _erp(stage, act.erp)


def _between_entities(stage: Stage, tx: Any, act: ExpectAct) -> Iterator[str]:
    """What was charged between legal entities, and how near sales are to thresholds."""
    for pair, wanted in (act.lent or {}).items():
        lender, _, borrower = pair.partition(">")
        charged = sum((one.amount for one in tx.find(LentHours, lender=lender, borrower=borrower)), ZERO)
        if charged != wanted:
            yield f"{lender} has charged {borrower} {charged}, not {wanted}"
    books = stage.kernel.books(tx, key="rehearsal", actor="rehearsal")
    for place, wanted in (act.near or {}).items():
        entity, _, state = place.partition("/")
        known = {one.threshold.state: one for one in standings_of(books, entity, books.today(entity))}
        percent = known[state].percent if state in known else ZERO
        if percent != wanted:
            yield f"sales of {entity} are {percent} % of the threshold of {state}, not {wanted} %"


def _explained(stage: Stage, tx: Any) -> Iterator[str]:
    """Whatever else is expected: every line that was billed can be worked out again to the cent."""
    books = stage.kernel.books(tx, key="rehearsal", actor="rehearsal")
    for invoice in tx.find(Invoice, life=(InvoiceLife.ISSUED, InvoiceLife.CREDITED)):
        told = explain(books, invoice.number)
        for line in told.lines:
            if not line.agrees:
                yield f"{told.number} line {line.number} of {line.net} cannot be worked out again: {line.parts}"


def _bought(tx: Any, act: ExpectAct) -> Iterator[str]:
    """Suppliers' bills by number, and by subcontract what is kept back; each bill is what its hours come to."""
    for number, wanted in (act.bills or {}).items():
        found = tx.find(SubcontractorBill, bill_no=number)
        if not found:
            yield f"there is no supplier's bill {number}"
            continue
        told = explain_bill(tx, found[0].bill_id)
        if not told.agrees:
            yield f"supplier's bill {number} of {found[0].payable} is not what its hours come to"
        facts = {**found[0].model_dump(), "waits_for": len(told.waits_for), "worth": found[0].worth}
        yield from _differences(f"supplier's bill {number}", facts, wanted)
    for subcontract_no, kept in (act.kept_back or {}).items():
        held = held_of(tx, subcontract_no)
        if held != kept:
            yield f"{held} is kept back under subcontract {subcontract_no}, not {kept}"


def _by_state(parts: list[Any], wanted: Mapping[str, Decimal] | None, field: str) -> Iterator[str]:
    if wanted is None:
        return
    sums: dict[str, Decimal] = {}
    for part in parts:
        if part.state not in (PartState.SUPERSEDED, PartState.CREDITED):
            sums[str(part.state)] = sums.get(str(part.state), ZERO) + getattr(part, field)
    for state in sorted(set(sums) | set(wanted)):
        if sums.get(state, ZERO) != wanted.get(state, ZERO):
            yield f"{field} {state} is {sums.get(state, ZERO)}, not {wanted.get(state, ZERO)}"


def _sources(items: list[Any], parts: list[Any], wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Per source key (less its system): net and quantity of its last word, and net by state and payer."""
    for name, expected in wanted.items():
        mine = [i for i in items if i.source_key.split(":", 1)[-1] == name or i.source_key == name]
        if not mine:
            known = ", ".join(sorted({i.source_key for i in items}))
            yield f"there is no evidence of {name}; there is: {known}"
            continue
        ids = {item.item_id for item in mine}
        live = [p for p in parts if p.item_id in ids and p.state not in (PartState.SUPERSEDED, PartState.CREDITED)]
        facts: dict[str, Any] = mine[-1].model_dump() | {"net": mine[-1].entry_net, "placed": mine[-1].net}
        for part in live:
            facts[str(part.state)] = facts.get(str(part.state), ZERO) + part.net
        facts["reason"] = "+".join(sorted({part.reason for part in live if part.reason}))
        yield from _differences(name, facts, expected)


def _invoices(known: list[Invoice], wanted: tuple[InvoiceExpected, ...]) -> Iterator[str]:
    if len(known) != len(wanted):
        told = ", ".join(f"{i.number} {i.net}+{i.tax}" for i in known) or "none"
        yield f"{len(known)} documents are issued, not {len(wanted)}: {told}"
    for invoice, expected in zip(known, wanted, strict=False):
        facts = invoice.model_dump() | {"contract": invoice.contract_no}
        given = expected.model_dump(exclude_none=True)
        lines = given.pop("lines", None)
        yield from _differences(invoice.number, facts, given)
        if lines is not None:
            if len(lines) != len(invoice.lines):
                told = ", ".join(f"{line.description} {line.net}" for line in invoice.lines)
                yield f"{invoice.number} has {len(invoice.lines)} lines, not {len(lines)}: {told}"
            for line, of_line in zip(invoice.lines, lines, strict=False):
                yield from _differences(f"{invoice.number} line {line.number}", line.model_dump(), of_line)


def _differences(name: str, facts: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for field, expected in wanted.items():
        found = facts.get(field, ZERO)
        if not _same(found, expected):
            yield f"{name}: {field} is {found}, not {expected}"


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, Decimal):
        try:
            return found == Decimal(str(expected))
        except InvalidOperation:
            return False
    return str(found) == str(expected)


def _retainer(stage: Stage, tx: Any, act: ExpectAct) -> Iterator[str]:
    version = latest_version(stage.kernel.books(tx, key="rehearsal", actor="rehearsal"), act.contract)
    line = next(line for line in version.lines if line.retainer is not None)
    facts = Facts(stage.kernel.books(tx, key="rehearsal", actor="rehearsal"), version, act.on)
    months = {month.period: month for month in retainer_months(facts, line)}
    for expected in act.retainer or ():
        month = months.get(str(expected["period"]))
        if month is None:
            yield f"there is no month {expected['period']}"
            continue
        told = {name: getattr(month, name) for name in expected if name != "period"}
        yield from _differences(month.period, told, {k: v for k, v in expected.items() if k != "period"})


def _period(stage: Stage, tx: Any, wanted: Mapping[str, Any]) -> Iterator[str]:
    """entity and period; any total by name ("revenue USD"); snapshots: how many; unchanged: totals equal the last."""
    entity, period = str(wanted["entity"]), str(wanted["period"])
    books = stage.kernel.books(tx, key="rehearsal", actor="rehearsal")
    totals = totals_of(books, entity, period)
    snapshots = tx.find(PeriodSnapshot, entity=entity, period=period, order=("version",))
    for name, expected in wanted.items():
        if name in ("entity", "period"):
            continue
        if name == "snapshots":
            found: Any = len(snapshots)
        elif name == "unchanged":
            found = bool(snapshots) and snapshots[-1].totals == totals
        else:
            found = Decimal(totals.get(name, "0"))
        if not _same(found, expected):
            yield f"{entity} {period}: {name} is {found}, not {expected}"


def _erp(stage: Stage, wanted: Mapping[str, Any]) -> Iterator[str]:
    """invoices, credits: how many; total: of invoices less credits; open: still to be paid, and by client in accounts.

    vendor_bills, vendor_credits: how many; payable: of bills less credits; on_hold: how many bills.
    """
    state = stage.state("netsuite")
    invoices, credits = state.get("invoice", []), state.get("creditMemo", [])
    billed = sum((Decimal(str(row["total"])) for row in invoices), ZERO)
    given_back = sum((Decimal(str(row["total"])) for row in credits), ZERO)
    facts = {
        "invoices": len(invoices),
        "credits": len(credits),
        "total": billed - given_back,
        "open": sum((Decimal(str(row["amountRemaining"])) for row in invoices), ZERO),
        "hours": len(state.get("timeBill", [])),
        **_payables(state),
    }
    yield from _differences("ERP", facts, {name: wanted[name] for name in wanted if name != "accounts"})
    if "accounts" in wanted:
        yield from _differences("ERP accounts", _open_by_client(state, invoices), wanted["accounts"])


def _open_by_client(state: Mapping[str, list[dict[str, Any]]], invoices: list[dict[str, Any]]) -> dict[str, Decimal]:
    clients = {row["id"]: from_external_id(row["externalId"]) for row in state.get("customer", [])}
    still_open: dict[str, Decimal] = {}
    for row in invoices:
        client_no = clients[row["entity"]["id"]]
        still_open[client_no] = still_open.get(client_no, ZERO) + Decimal(str(row["amountRemaining"]))
    return still_open


def _payables(state: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    bills, credits = state.get("vendorBill", []), state.get("vendorCredit", [])
    owed = sum((Decimal(str(row["total"])) for row in bills), ZERO)
    return {
        "vendor_bills": len(bills),
        "vendor_credits": len(credits),
        "payable": owed - sum((Decimal(str(row["total"])) for row in credits), ZERO),
        "on_hold": sum(bool(row["paymentHold"]) for row in bills),
    }
