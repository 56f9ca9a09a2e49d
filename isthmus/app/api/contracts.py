"""System API: contracts with what they have used up, clients, projects, time."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import sqlalchemy as sa
from pydantic import BaseModel

from isthmus.app.api.admission import Visiting
from isthmus.app.api.endpoints import Cursor, Limit, Page, endpoint
from isthmus.app.api.reading import page, reading
from isthmus.domain.errors import NeedsDecision, NotFound
from isthmus.domain.money import Exact
from isthmus.domain.objects import BillableItem, BillablePart, Client, ContractVersion, Engagement, Project, TimeEntry
from isthmus.domain.states import EngagementState, PartState
from isthmus.policies.billing import CONSUMES
from isthmus.policies.rates import version_in_force
from isthmus.runtime.books import Books
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import CrossReference
from isthmus.store.tables import TABLES


class StateTotal(BaseModel):
    """What lies in one evidence state."""

    state: PartState
    net: Exact
    hours: Exact


class CapUse(BaseModel):
    """A cap and how full it is; room is negative when a soft cap is exceeded."""

    cap_id: str
    scope: str
    line_uid: str
    kind: str
    limit: Exact
    consumed: Exact
    room: Exact


class ContractView(BaseModel):
    """A contract: all its versions, and what its evidence adds up to. revenue_recognisable: earned, billed or not."""

    contract_no: str
    currency: str
    engagement: Engagement | None
    versions: list[ContractVersion]
    states: list[StateTotal]
    caps: list[CapUse]
    revenue_recognisable: Exact


class ExternalId(BaseModel):
    """What another system calls it."""

    system: str
    remote_type: str
    remote_id: str


class ProjectView(BaseModel):
    """A project, the state of its engagement, and its ids elsewhere."""

    project: Project
    engagement_state: EngagementState | None
    external: list[ExternalId]


class TimeAllowed(BaseModel):
    """May time be recorded on this project for this day? reason says why not."""

    project_code: str
    day: date
    allowed: bool
    reason: str


@endpoint("GET /v1/contracts", answer=Page[Engagement])
def list_contracts(visit: Visiting, limit: Limit = 100, cursor: Cursor = "") -> Page[Engagement]:
    """List engagements, one per contract."""
    with reading(visit.hub) as tx:
        items, more = page(tx, Engagement, limit=limit, cursor=cursor, where=visit.within(Engagement))
    return Page(items=items, next_cursor=more)


@endpoint("GET /v1/contracts/{contract_no}", path="/v1/contracts/{contract_no:path}", answer=ContractView)
def get_contract(visit: Visiting, contract_no: str) -> ContractView:
    """Show a contract: versions, evidence per state, caps, revenue."""
    with reading(visit.hub) as tx:
        versions = tx.find(ContractVersion, contract_no=contract_no, order=("version",))
        engagement = tx.get(Engagement, contract_no)
        visit.sees(tx, engagement or (versions[-1] if versions else None))
        lines = _net_by_line(tx, contract_no)
        states = state_totals(tx, contract_no)
    if not versions and engagement is None:
        raise NotFound(f"no contract {contract_no}")
    return ContractView(
        contract_no=contract_no,
        currency=versions[-1].currency if versions else "",
        engagement=engagement,
        versions=versions,
        states=states,
        caps=_caps(versions[-1], lines) if versions else [],
        revenue_recognisable=sum((s.net for s in states if s.state in CONSUMES), Decimal(0)),
    )


def state_totals(tx: PostgresTx, contract_no: str) -> list[StateTotal]:
    """Net and hours per evidence state; superseded parts are history and count nowhere."""
    part = TABLES[BillablePart]
    query = (
        sa.select(part.c.state, sa.func.sum(part.c.net), sa.func.sum(part.c.quantity))
        .where(part.c.contract_no == contract_no, part.c.state != PartState.SUPERSEDED)
        .group_by(part.c.state)
        .order_by(part.c.state)
    )
    return [StateTotal(state=PartState(s), net=net, hours=hours) for s, net, hours in tx.raw.execute(query)]


def _net_by_line(tx: PostgresTx, contract_no: str) -> dict[str, Decimal]:
    part, item = TABLES[BillablePart], TABLES[BillableItem]
    query = (
        sa.select(item.c.line_uid, sa.func.sum(part.c.net))
        .join(item, item.c.item_id == part.c.item_id)
        .where(part.c.contract_no == contract_no, part.c.state.in_(sorted(CONSUMES)))
        .group_by(item.c.line_uid)
    )
    return {str(line): net for line, net in tx.raw.execute(query)}


def _caps(version: ContractVersion, by_line: dict[str, Decimal]) -> list[CapUse]:
    uses = []
    for cap in version.caps:
        whole = sum(by_line.values(), Decimal(0))
        consumed = by_line.get(cap.line_uid, Decimal(0)) if cap.scope == "line" else whole
        facts = cap.model_dump(include={"cap_id", "scope", "line_uid", "kind", "limit"})
        uses.append(CapUse(**facts, consumed=consumed, room=cap.limit - consumed))
    return uses


@endpoint("GET /v1/clients", answer=Page[Client])
def list_clients(visit: Visiting, limit: Limit = 100, cursor: Cursor = "") -> Page[Client]:
    """List clients."""
    with reading(visit.hub) as tx:
        items, more = page(tx, Client, limit=limit, cursor=cursor)
    return Page(items=items, next_cursor=more)


# Before the project itself: a project code may hold slashes, so its address takes all that follows.
@endpoint("GET /v1/projects/{code}/time-allowed", path="/v1/projects/{code:path}/time-allowed", answer=TimeAllowed)
def check_time_allowed(visit: Visiting, code: str, date: date | None = None) -> TimeAllowed:
    """Say at once whether time may be recorded on a project."""
    with reading(visit.hub) as tx:
        books = visit.hub.kernel.books(tx, key="time-allowed", actor=visit.caller.name)
        engagement = _engagement(tx, code)
        visit.sees(tx, engagement)
        day = date or books.today(engagement.entity)
        reason = _why_not(books, engagement, day)
    return TimeAllowed(project_code=code, day=day, allowed=not reason, reason=reason)


def _why_not(books: Books, engagement: Engagement, day: date) -> str:
    if engagement.state is not EngagementState.ACTIVE:
        return f"engagement {engagement.engagement_no} is {engagement.state}, not active"
    try:
        version_in_force(books.tx.find(ContractVersion, contract_no=engagement.contract_no), day)
    except NeedsDecision as none:
        return none.message
    return ""


def _engagement(tx: PostgresTx, code: str) -> Engagement:
    found = tx.find(Engagement, project_code=code, limit=1) if code else []
    if not found:
        raise NotFound(f"no project {code}")
    return found[0]


@endpoint("GET /v1/projects/{code}", path="/v1/projects/{code:path}", answer=ProjectView)
def get_project(visit: Visiting, code: str) -> ProjectView:
    """Show a project with its ids in other systems."""
    with reading(visit.hub) as tx:
        project = tx.get(Project, code)
        if project is None:
            raise NotFound(f"no project {code}")
        visit.sees(tx, project)
        engagement = tx.find(Engagement, project_code=code, limit=1)
        state = engagement[0].state if engagement else None
        return ProjectView(project=project, engagement_state=state, external=external_ids(tx, (code,)))


def external_ids(tx: PostgresTx, keys: tuple[str, ...]) -> list[ExternalId]:
    """What other systems call the things with these keys."""
    found = tx.find(CrossReference, key=keys, order=("system", "remote_type", "remote_id"))
    return [ExternalId(system=x.system, remote_type=x.remote_type, remote_id=x.remote_id) for x in found]


@endpoint("GET /v1/time-entries", answer=Page[TimeEntry])
def list_time_entries(visit: Visiting, project: str = "", limit: Limit = 100, cursor: Cursor = "") -> Page[TimeEntry]:
    """List approved time with all its revisions."""
    with reading(visit.hub) as tx:
        items, more = page(
            tx, TimeEntry, limit=limit, cursor=cursor, where=visit.within(TimeEntry), project_code=project
        )
    if not visit.sees_cost:
        items = [entry.model_copy(update={"cost_rate": None, "cost_currency": ""}) for entry in items]
    return Page(items=items, next_cursor=more)
