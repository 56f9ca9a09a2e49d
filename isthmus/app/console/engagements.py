"""Engagements: the journey from opportunity to cash as one timeline across systems, and where the evidence stands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.responses import Response

from isthmus.app import figures
from isthmus.app.api.reading import page as some
from isthmus.app.api.reading import reading
from isthmus.app.console.pages import Look, page
from isthmus.app.console.render import show
from isthmus.app.scope import demand_sight, within
from isthmus.domain.errors import NotFound
from isthmus.domain.objects import Allocation, Client, ContractVersion, Engagement, Invoice, Payment, Project
from isthmus.domain.states import CaseState
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case, CrossReference, OutboxEvent, RunRow, RunStep
from isthmus.store.shared import bills, invoices_on
from isthmus.store.tables import TABLES

PAGE, RUNS_MAX, EVENTS_MAX = 50, 200, 300
ORDER = ("ready", "on_draft", "held", "deferred", "over_cap", "invoiced", "credited", "written_off")
# Events that tell the journey; the rest is on the pages of runs and audit.
TOLD = [
    "contract.approved",
    "engagement.ready",
    "engagement.activated",
    "engagement.cancelled",
    "contract.version_activated",
    "change_order.accepted",
    "cap.hard_reached",
    "cap.soft_exceeded",
    "invoice.issued",
    "invoice.posted",
    "invoice.delivered",
    "invoice.partially_paid",
    "invoice.paid",
    "payment.received",
    "write_off.approved",
    "case.opened",
    "case.resolved",
]
# The lanes of the timeline, and which port or event belongs into which. What is in none is the hub's own.
LANES = ("CRM", "PSA", "Hub", "Tax", "ERP")
LANE_OF = {
    "Crm": ("CRM",),
    "Esign": ("CRM",),
    "Psa": ("PSA",),
    "RateBook": ("PSA",),
    "DisputeBoard": ("PSA",),
    "TimeSource": ("PSA",),
    "ExpenseSource": ("PSA",),
    "Delivery": ("PSA",),
    "TaxEngine": ("Tax",),
    "Erp": ("ERP",),
    "JournalBook": ("ERP",),
    "ReceivableList": ("ERP",),
    "ScheduleBook": ("ERP",),
    "VendorBillBook": ("ERP",),
    "invoice.posted": ("ERP",),
    "invoice.delivered": ("CRM", "PSA"),
    "payment.received": ("ERP",),
    "contract.approved": ("CRM",),
}
HUB = ("Hub",)


@dataclass(frozen=True)
class Moment:
    """One line of the timeline. lanes: the systems it took place in. write: the hub's own writing, not an event."""

    at: datetime
    what: str
    lanes: tuple[str, ...]
    detail: str = ""
    amount: str = ""
    currency: str = ""
    href: str = ""
    tone: str = ""
    write: bool = False


@page("/engagements", "contract.read")
def engagements(look: Look) -> Response:
    """One row per contract."""
    asked: dict[str, Any] = {n: look.query(n) for n in ("state", "client_no", "entity") if look.query(n)}
    with reading(look.hub) as tx:
        mine = within(look.actor, Engagement)
        rows, more = some(tx, Engagement, limit=PAGE, cursor=look.query("after"), where=mine, **asked)
        numbers = tuple(row.contract_no for row in rows)
        facts: dict[str, Any] = {
            "rows": rows,
            "asked": asked,
            "states": figures.engagements_by_state(tx, look.actor),
            "names": _names(tx, rows),
            "unbilled": _unbilled(tx, numbers),
            "cases": _cases(tx, numbers),
        }
    facts["more"] = f"/console/engagements?{urlencode({**asked, 'after': more})}" if more else ""
    return show(look, "engagements.html", facts)


def _names(tx: PostgresTx, rows: list[Engagement]) -> dict[str, str]:
    numbers = tuple({row.client_no for row in rows})
    return {one.client_no: one.legal_name for one in tx.find(Client, client_no=numbers)} if numbers else {}


def _unbilled(tx: PostgresTx, numbers: tuple[str, ...]) -> dict[str, figures.Sums]:
    """Approved and not billed, by contract."""
    from isthmus.store.tables import PART_SUM

    if not numbers:
        return {}
    labels = (PART_SUM.c.contract_no, PART_SUM.c.currency)
    query = sa.select(*labels, sa.func.sum(PART_SUM.c.net)).where(
        PART_SUM.c.contract_no.in_(numbers), PART_SUM.c.state.in_(figures.UNBILLED)
    )
    found: dict[str, figures.Sums] = {}
    for contract_no, currency, net in tx.raw.execute(query.group_by(*labels)):
        if net:
            found.setdefault(contract_no, {})[currency] = net
    return found


def _cases(tx: PostgresTx, numbers: tuple[str, ...]) -> dict[str, int]:
    case = TABLES[Case]
    query = sa.select(case.c.contract_no, sa.func.count()).where(
        case.c.contract_no.in_(numbers), case.c.state == CaseState.OPEN
    )
    if not numbers:
        return {}
    return {str(number): int(count) for number, count in tx.raw.execute(query.group_by(case.c.contract_no))}


@page("/engagements/{contract_no:path}", "contract.read")
def engagement(look: Look) -> Response:
    """One contract, from opportunity to cash."""
    number = look.path("contract_no")
    with reading(look.hub) as tx:
        found = tx.get(Engagement, number)
        versions = tx.find(ContractVersion, contract_no=number, order=("version",))
        if found is None and not versions:
            raise NotFound(f"no engagement {number}")
        demand_sight(look.actor, tx, found or versions[-1])
        client_no = found.client_no if found else versions[-1].client_no
        projects = tx.find(Project, contract_no=number)
        invoices = invoices_on(tx, number)
        evidence = figures.evidence(tx, look.actor, number)
        facts = {
            "engagement": found,
            "number": number,
            "versions": versions,
            "changes": _changes(versions),
            "client": tx.get(Client, client_no),
            "projects": projects,
            "references": _references(tx, number, client_no, projects),
            "evidence": evidence,
            "bars": bars(evidence),
            "invoices": invoices,
            "payments": _payments(tx, invoices),
            "open_cases": tx.find(Case, contract_no=number, state=CaseState.OPEN, order=("case_no",)),
            "moments": timeline(tx, number),
            "lanes": LANES,
        }
    return show(look, "engagement.html", facts)


def bars(evidence: list[figures.Evidence]) -> list[dict[str, Any]]:
    """The evidence as a picture: widths of 1000 by amount, in the order of the work; one currency a contract."""
    ordered = sorted((one for one in evidence if one.net > 0), key=lambda one: ORDER.index(str(one.state)))
    whole = sum((one.net for one in ordered), Decimal(0))
    made: list[dict[str, Any]] = []
    at = Decimal(0)
    for one in ordered:
        width = one.net / whole * 1000
        made.append(
            {
                "state": str(one.state),
                "net": one.net,
                "currency": one.currency,
                "x": f"{at:.2f}",
                "width": f"{width:.2f}",
            }
        )
        at += width
    return made


def _changes(versions: list[ContractVersion]) -> dict[int, list[str]]:
    """What each version changed against the one before, in words."""
    told: dict[int, list[str]] = {}
    for before, after in itertools.pairwise(versions):
        changed = []
        for cap in after.caps:
            was = next((c.limit for c in before.caps if c.cap_id == cap.cap_id), None)
            if was != cap.limit:
                changed.append(f"cap {was or 'none'} to {cap.limit} {after.currency}")
        known = {line.line_uid: line for line in before.lines}
        changed += [f"line {line.line_uid} is new" for line in after.lines if line.line_uid not in known]
        changed += [
            f"line {line.line_uid} has other terms"
            for line in after.lines
            if line.line_uid in known and line != known[line.line_uid]
        ]
        told[after.version] = changed or ["no billing term"]
    return told


def _references(tx: PostgresTx, number: str, client_no: str, projects: list[Project]) -> list[CrossReference]:
    keys = (number, client_no, *(project.project_code for project in projects))
    return tx.find(CrossReference, key=keys, order=("system", "remote_type", "remote_id"), limit=60)


def _payments(tx: PostgresTx, invoices: list[Invoice]) -> list[tuple[Allocation, Payment | None, str]]:
    numbers = {one.invoice_id: one.number for one in invoices}
    shares = tx.find(Allocation, invoice_id=tuple(numbers), order=("allocation_id",)) if numbers else []
    found = []
    for share in shares:
        source, _, source_id = share.payment_key.partition(":")
        found.append((share, tx.get(Payment, source, source_id), numbers[share.invoice_id]))
    return found


# -- the timeline ---------------------------------------------------------------------------------------------------


def timeline(tx: PostgresTx, number: str) -> list[Moment]:
    """Writes to other systems, events of the business, and approved time by day, the newest first."""
    moments = [*_writes(tx, number), *_events(tx, number), *_time(tx, number)]
    return sorted(moments, key=lambda moment: moment.at, reverse=True)


def _writes(tx: PostgresTx, number: str) -> list[Moment]:
    run, step = TABLES[RunRow], TABLES[RunStep]
    query = (
        sa.select(
            step.c.phrase, step.c.summary, step.c.system, step.c.amount, step.c.currency, step.c.ended_at, run.c.run_id
        )
        .join(run, run.c.run_id == step.c.run_id)
        .where(run.c.correlation_id == f"contract:{number}", run.c.process != "capture_time", step.c.kind == "effect")
        .order_by(step.c.ended_at.desc())
        .limit(RUNS_MAX)
    )
    return [
        Moment(
            row.ended_at,
            row.phrase,
            LANE_OF.get(row.system.partition(".")[0], HUB),
            row.summary,
            "" if row.amount is None else str(row.amount),
            row.currency,
            f"/console/runs/{row.run_id}",
            write=True,
        )
        for row in tx.raw.execute(query)
    ]


def _events(tx: PostgresTx, number: str) -> list[Moment]:
    event = TABLES[OutboxEvent]
    query = sa.select(event.c.type, event.c.occurred_at, event.c.actor, event.c.payload).where(
        event.c.correlation_id.in_(_correlations(number)), event.c.type.in_(TOLD)
    )
    rows = tx.raw.execute(query.order_by(event.c.position.desc()).limit(EVENTS_MAX))
    return [_moment(row.type, row.occurred_at, row.actor, row.payload) for row in rows]


def _correlations(number: str) -> Any:
    """The contract's own, and those of payments that turned out to be for its invoices."""
    share, invoice = TABLES[Allocation], TABLES[Invoice]
    paid = sa.select(sa.literal("payment:") + share.c.payment_key).join(
        invoice, invoice.c.invoice_id == share.c.invoice_id
    )
    return sa.union_all(sa.select(sa.literal(f"contract:{number}")), paid.where(bills(number)))


def _moment(kind: str, at: datetime, actor: str, facts: dict[str, Any]) -> Moment:
    """An event in the words of the business."""
    from isthmus.domain.events import EVENT_TYPES

    number, currency = str(facts.get("number", "")), str(facts.get("currency", ""))
    amount = str(facts.get("total") or facts.get("amount") or "")
    href, tone, detail = "", "", number
    if kind.startswith("case."):
        href, tone = f"/console/cases/{facts.get('case', '')}", "warn" if kind == "case.opened" else "good"
        detail = str(facts.get("cause") or facts.get("reason") or "")
    elif kind.startswith("invoice.") and number:
        href = f"/console/invoices/{number}"
    elif kind.startswith("cap."):
        amount, tone = str(facts.get("limit") or facts.get("cap") or ""), "warn"
    person = f", {actor}" if actor not in ("hub", "") and not kind.startswith("invoice") else ""
    lanes = LANE_OF.get(kind, HUB)
    return Moment(at, EVENT_TYPES.get(kind, kind), lanes, f"{detail}{person}", amount, currency, href, tone)


def _time(tx: PostgresTx, number: str) -> list[Moment]:
    """Approved time by the day it became evidence: entries and hours."""
    from isthmus.domain.objects import BillableItem

    item = TABLES[BillableItem]
    approved = sa.func.date(item.c.approved_at).label("day")
    query = sa.select(
        approved, sa.func.count(), sa.func.sum(item.c.quantity), sa.func.sum(item.c.net), sa.func.min(item.c.currency)
    ).where(item.c.contract_no == number, item.c.approved_at.is_not(None))
    rows = tx.raw.execute(query.group_by(approved).order_by(approved.desc()).limit(120))
    return [
        Moment(
            datetime.combine(day, time(23, 59), UTC),
            "Approved time became evidence",
            ("PSA", "Hub"),
            f"{count} entries, {hours.normalize():f} h",
            str(net),
            currency,
        )
        for day, count, hours, net, currency in rows
    ]
