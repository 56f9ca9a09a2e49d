"""Process API: what starts a process. Each start is one transaction: the run, its queue entry and the answer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from isthmus.app.api.admission import Visit, Visiting
from isthmus.app.api.endpoints import Asked, endpoint
from isthmus.app.api.idempotency import Reply, once
from isthmus.app.api.reading import reading
from isthmus.app.previewing import Preview, contracts_of_client, preview_client, preview_contract
from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.money import Exact, is_exact_amount, minor_units
from isthmus.domain.objects import BillablePart, ContractVersion, Engagement
from isthmus.domain.states import PartState
from isthmus.runtime.books import Books
from isthmus.store.records import RunRow, RunState
from isthmus.store.tx import Tx

Number = Annotated[str, Field(min_length=1, max_length=80)]
Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Words = Annotated[str, Field(min_length=1, max_length=500)]


class Started(BaseModel):
    """The run that works on it; the same request, and the same business key, give the same run."""

    run_id: str
    process: str
    key: str
    state: RunState
    correlation_id: str


class ContractToProject(Asked):
    """Set up the project of an approved contract version."""

    contract_no: Number
    version: Annotated[int, Field(ge=1, lt=2**31)]


class BillingRun(Asked):
    """Bill a contract up to a cut-off. name: with the contract it is the run's business key."""

    contract_no: Number
    cutoff: date
    name: Name
    dry_run: bool = False


class ClientBillingRun(Asked):
    """Bill all running contracts of a client up to a cut-off. name: with client and entity the run's business key."""

    client_no: Number
    cutoff: date
    name: Name
    dry_run: bool = False


class StartedSeveral(BaseModel):
    """A run for each legal entity the client has running contracts with."""

    runs: list[Started]


class ClientPreview(BaseModel):
    """What a billing run of a client would do, by legal entity."""

    entities: dict[str, Preview]


class ChangeOrder(Asked):
    """A change the client has accepted to a contract's cap. evidence: where the signed document is."""

    contract_no: Number
    change_order: Name
    cap_delta: Exact
    accepted_on: date
    evidence: Words


class WriteOff(Asked):
    """Ask to give up unbilled evidence; another person approves."""

    contract_no: Number
    amount: Exact
    state: Literal["ready", "over_cap", "held", "deferred"]
    name: Name
    reason: Words


class WriteDown(Asked):
    """Ask to bill what is ready up to a day of service at this net; another person approves."""

    contract_no: Number
    down_to: Exact
    cutoff: date
    name: Name
    reason: Words


def _start(books: Books, process: str, key: str, args: dict[str, Any], contract_no: str) -> Reply:
    engagement = books.tx.get(Engagement, contract_no)
    entity = engagement.entity if engagement else ""
    run = books.start(process, key, args, entity=entity, correlation_id=f"contract:{contract_no}")
    return Reply(202, started(run))


def started(run: RunRow) -> Started:
    """What is told about a run that was started or queued again."""
    return Started(
        run_id=run.run_id, process=run.process, key=run.key, state=run.state, correlation_id=run.correlation_id
    )


def known_contract(tx: Tx, contract_no: str) -> ContractVersion:
    """The latest version of a contract the hub has set up."""
    found = tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    if not found:
        raise NotFound(f"no contract {contract_no}")
    return found[0]


def _fits(amount: Decimal, currency: str) -> None:
    if not is_exact_amount(amount, currency):
        raise BadInput(f"{amount} {currency}: {currency} has {minor_units(currency)} decimals")


@endpoint("POST /v1/processes/contract-to-project", answer=Started, status=202)
def start_contract_to_project(visit: Visiting, asked: ContractToProject) -> Response:
    """Set up the project of an approved contract version."""
    visit.speak_for("contract")
    args = {"contract_no": asked.contract_no, "version": asked.version}

    def act(books: Books) -> Reply:
        key = f"{asked.contract_no}@{asked.version}"
        visit.sees(books.tx, books.tx.get(Engagement, asked.contract_no))  # type: ignore[arg-type]
        return _start(books, "contract_to_project", key, args, asked.contract_no)

    return once(visit, asked, act)


@endpoint("POST /v1/billing-runs", answer=Started | Preview, status=202)
def start_billing_run(visit: Visiting, asked: BillingRun) -> Response:
    """Bill what is ready of a contract up to a cut-off, or only show it."""
    if asked.dry_run:
        return _preview(visit, asked)
    cutoff, by = asked.cutoff.isoformat(), visit.caller.name
    args = {"contract_no": asked.contract_no, "cutoff": cutoff, "prepared_by": by}

    def act(books: Books) -> Reply:
        visit.speak_for("invoice", known_contract(books.tx, asked.contract_no).entity)
        return _start(books, "bill_contract", f"{asked.contract_no}:{asked.name}", args, asked.contract_no)

    return once(visit, asked, act)


def _preview(visit: Visit, asked: BillingRun) -> Response:
    with reading(visit.hub) as tx:
        visit.speak_for("invoice", known_contract(tx, asked.contract_no).entity)
    key, by = f"{asked.contract_no}:{asked.name}", visit.caller.name
    shown = preview_contract(visit.hub.kernel, asked.contract_no, asked.cutoff, key, by)
    return JSONResponse(shown.model_dump(mode="json"))


@endpoint("POST /v1/client-billing-runs", answer=StartedSeveral | ClientPreview, status=202)
def start_client_billing_run(visit: Visiting, asked: ClientBillingRun) -> Response:
    """Bill a client's contracts: those that may share an invoice together, the others each for itself; or show it.

    A dry run says for each invoice which of the five conditions keeps it apart from the client's other contracts.
    """
    entities = list(contracts_of_client(visit.hub.kernel, asked.client_no))
    for entity in entities:
        visit.speak_for("invoice", entity)
    by, cutoff = visit.caller.name, asked.cutoff
    if asked.dry_run:
        found = preview_client(visit.hub.kernel, asked.client_no, cutoff, asked.name, by)
        return JSONResponse(ClientPreview(entities=found).model_dump(mode="json"))

    def act(books: Books) -> Reply:
        runs = []
        for entity in entities:
            key = f"{asked.client_no}:{entity}:{asked.name}"
            args = {"client_no": asked.client_no, "entity": entity, "cutoff": cutoff.isoformat(), "prepared_by": by}
            about = f"client:{asked.client_no}"
            runs.append(started(books.start("bill_client", key, args, entity=entity, correlation_id=about)))
        return Reply(202, StartedSeveral(runs=runs))

    return once(visit, asked, act)


@endpoint("POST /v1/change-orders", answer=Started, status=202)
def submit_change_order(visit: Visiting, asked: ChangeOrder) -> Response:
    """Submit a change order the client has accepted."""
    args = {
        "contract_no": asked.contract_no,
        "change_order": asked.change_order,
        "cap_delta": str(asked.cap_delta),
        "accepted_on": asked.accepted_on.isoformat(),
        "evidence": asked.evidence,
    }

    def act(books: Books) -> Reply:
        version = known_contract(books.tx, asked.contract_no)
        visit.speak_for("change_order", version.entity)
        _fits(asked.cap_delta, version.currency)
        if asked.cap_delta == 0 or not any(cap.scope == "contract" for cap in version.caps):
            raise BadInput(f"contract {version.key} has no cap that {asked.cap_delta} would change")
        return _start(books, "change_order", f"{asked.contract_no}:{asked.change_order}", args, asked.contract_no)

    return once(visit, asked, act)


@endpoint("POST /v1/write-offs", answer=Started, status=202)
def ask_for_write_off(visit: Visiting, asked: WriteOff) -> Response:
    """Ask to write off unbilled evidence; another person decides."""
    args = {
        "contract_no": asked.contract_no,
        "amount": str(asked.amount),
        "state": asked.state,
        "requested_by": visit.caller.name,
        "reason": asked.reason,
    }

    def act(books: Books) -> Reply:
        version, key = known_contract(books.tx, asked.contract_no), f"{asked.contract_no}:{asked.name}"
        visit.speak_for("billable_part", version.entity)
        _fits(asked.amount, version.currency)
        if books.tx.get(RunRow, f"write_off/{key}") is None:
            _enough(books.tx, asked)
        return _start(books, "write_off", key, args, asked.contract_no)

    return once(visit, asked, act)


@endpoint("POST /v1/write-downs", answer=Started, status=202)
def ask_for_write_down(visit: Visiting, asked: WriteDown) -> Response:
    """Ask to bill ready work at less than it is worth, each piece of it by its share; another person decides."""
    args = {
        "contract_no": asked.contract_no,
        "down_to": str(asked.down_to),
        "cutoff": asked.cutoff.isoformat(),
        "requested_by": visit.caller.name,
        "reason": asked.reason,
    }

    def act(books: Books) -> Reply:
        version, key = known_contract(books.tx, asked.contract_no), f"{asked.contract_no}:{asked.name}"
        visit.speak_for("billable_part", version.entity)
        _fits(asked.down_to, version.currency)
        if books.tx.get(RunRow, f"write_down/{key}") is None:
            _worth_more(books.tx, asked)
        return _start(books, "write_down", key, args, asked.contract_no)

    return once(visit, asked, act)


def _worth_more(tx: Tx, asked: WriteDown) -> None:
    """Refused here, as for a write-off."""
    parts = tx.find(BillablePart, contract_no=asked.contract_no, state=PartState.READY)
    worth = sum((part.net for part in parts if part.service_date <= asked.cutoff), Decimal(0))
    if not 0 <= asked.down_to < worth:
        told = f"contract {asked.contract_no} has {worth} ready up to {asked.cutoff}"
        raise BadInput(f"{told}; it cannot be written down to {asked.down_to}")


def _enough(tx: Tx, asked: WriteOff) -> None:
    """Refused here, so that a slip of the pen does not use up the request's name."""
    parts = tx.find(BillablePart, contract_no=asked.contract_no, state=PartState(asked.state))
    there = sum((part.net for part in parts), Decimal(0))
    if asked.amount <= 0 or asked.amount > there:
        raise BadInput(f"contract {asked.contract_no} has {there} {asked.state}; {asked.amount} cannot be written off")
