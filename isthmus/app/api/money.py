"""Process API of billing: readiness, holds, advances, holdbacks, credits, disputes, periods, explanations."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from isthmus.app.api.admission import Visiting
from isthmus.app.api.contracts import StateTotal, state_totals
from isthmus.app.api.endpoints import Asked, endpoint
from isthmus.app.api.idempotency import Reply, once
from isthmus.app.api.reading import reading
from isthmus.app.api.starts import Name, Number, Started, Words, known_contract, started
from isthmus.app.explain import Explained, explain, find_invoice
from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.money import Exact, is_exact_amount
from isthmus.domain.objects import BillablePart, Hold, LegalEntity
from isthmus.domain.states import PartState
from isthmus.policies.credits import REASONS
from isthmus.processes.work.bad_debt import doubtful
from isthmus.processes.work.crediting import wanted_of
from isthmus.processes.work.disputing import contestable
from isthmus.processes.work.drafting import plans
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.holding import place_hold, release_hold
from isthmus.runtime.books import Books
from isthmus.store.records import RunRow

Month = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]


class Waiting(BaseModel):
    """Evidence that is not ready, and why."""

    state: PartState
    reason: str
    net: Exact
    parts: int


class Planned(BaseModel):
    """An invoice a billing run would draft now."""

    group: str
    bill_to: str
    po_number: str
    net: Exact
    parts: int
    hold: str


class Readiness(BaseModel):
    """What of a contract can be billed up to a day, what waits and why, and the invoices it would make."""

    contract_no: str
    currency: str
    cutoff: date
    states: list[StateTotal]
    waiting: list[Waiting]
    invoices: list[Planned]


class HoldAsked(Asked):
    """Hold evidence of a contract: one source (an entry's key), a line, or all. until: the day it ends by itself."""

    contract_no: Number
    name: Name
    reason: Literal["MILESTONE", "CLIENT_REQUEST", "TAX", "MANUAL", "DEFERRED", "RECEIPT_MISSING"]
    source_key: str = ""
    line_uid: str = ""
    amount: Exact | None = None
    until: date | None = None
    note: Words


class HoldEnded(Asked):
    """Let a hold go."""

    reason: Words


class CreditAsked(Asked):
    """Give back what an invoice bills: net by line number, or everything. Another person approves."""

    invoice: Number
    name: Name
    lines: dict[str, Exact] = Field(default_factory=dict)
    reason: str
    disposition: Literal["", "ready", "written_off", "transferred"] = ""
    note: Words


class BadDebtAsked(Asked):
    """Give up what a client will not pay of an invoice: all that is open, or an amount of it. Another person approves.

    claim_again: the other way round, for all that was given up of it; that needs nobody's approval.
    """

    invoice: Number
    name: Name
    amount: Exact | None = None
    claim_again: bool = False
    reason: Words


class DisputeAsked(Asked):
    """A client contests a line, or a part of its net."""

    invoice: Number
    name: Name
    line: Annotated[int, Field(ge=1)]
    amount: Exact | None = None
    reason: Words


class LineAsked(Asked):
    """An advance or a release of a contract line."""

    contract_no: Number
    line_uid: Number
    name: Name
    finally_accepted: bool = False


class PeriodAsked(Asked):
    """A month of a legal entity."""

    entity: Number
    period: Month
    name: Name
    reason: str = ""


@endpoint(
    "GET /v1/contracts/{contract_no}/readiness", path="/v1/contracts/{contract_no:path}/readiness", answer=Readiness
)
def show_readiness(visit: Visiting, contract_no: str, cutoff: date) -> Readiness:
    """Show what of a contract is ready to bill up to a day, what waits and why, and the invoices it would make."""
    with reading(visit.hub) as tx:
        version = known_contract(tx, contract_no)
        visit.sees(tx, version)
        books = visit.hub.kernel.books(tx, key="readiness", actor=visit.caller.name)
        waiting: dict[tuple[PartState, str], list[BillablePart]] = {}
        states = (PartState.HELD, PartState.DEFERRED, PartState.OVER_CAP)
        for part in tx.find(BillablePart, contract_no=contract_no, state=states):
            waiting.setdefault((part.state, part.cap_id or part.reason), []).append(part)
        return Readiness(
            contract_no=contract_no,
            currency=version.currency,
            cutoff=cutoff,
            states=state_totals(tx, contract_no),
            waiting=[
                Waiting(state=state, reason=why, net=sum((p.net for p in parts), Decimal(0)), parts=len(parts))
                for (state, why), parts in sorted(waiting.items())
            ],
            invoices=[
                Planned(
                    group=plan.key,
                    bill_to=plan.bill_to,
                    po_number=plan.po_number,
                    net=plan.net,
                    parts=len(plan.evidence),
                    hold=plan.hold,
                )
                for plan in plans(books, contract_no, cutoff)
            ],
        )


@endpoint("GET /v1/invoices/{key}/explanation", path="/v1/invoices/{key:path}/explanation", answer=Explained)
def explain_invoice(visit: Visiting, key: str, line: int | None = None) -> Explained:
    """Explain an invoice, or a line of it, down to entries, approvals, rate, terms, caps and tax; recomputed."""
    with reading(visit.hub) as tx:
        books = visit.hub.kernel.books(tx, key="explain", actor=visit.caller.name)
        visit.sees(tx, find_invoice(books, key))
        return explain(books, key, line, sees_cost=visit.sees_cost)


# -- holds -----------------------------------------------------------------------------------------------------


@endpoint("POST /v1/holds", answer=Hold, status=201)
def hold_evidence(visit: Visiting, asked: HoldAsked) -> Response:
    """Hold evidence: it is not billed until the hold ends, and still counts under its caps."""

    def act(books: Books) -> Reply:
        version = known_contract(books.tx, asked.contract_no)
        visit.speak_for("billable_part", version.entity)
        if asked.line_uid:
            version.line(asked.line_uid)
        if asked.amount is not None and (asked.amount <= 0 or not is_exact_amount(asked.amount, version.currency)):
            raise BadInput(f"{asked.amount} {version.currency} is no amount to hold")
        facts = asked.model_dump(exclude={"name", "note"})
        hold_id, by = f"{asked.contract_no}/{asked.name}", visit.caller.name
        hold = Hold(hold_id=hold_id, owner=by, placed_by=by, placed_at=books.now, **facts)
        known = books.tx.get(Hold, hold_id)
        if known is None:
            place_hold(books, hold)
            place_contract(books, asked.contract_no)
        return Reply(201, known or hold)

    return once(visit, asked, act)


@endpoint("POST /v1/holds/{hold_id}/release", path="/v1/holds/{hold_id:path}/release", answer=Hold)
def end_hold(visit: Visiting, hold_id: str, asked: HoldEnded) -> Response:
    """Release a hold; it stays in the books with who released it."""

    def act(books: Books) -> Reply:
        hold = books.tx.get(Hold, hold_id)
        if hold is None:
            raise NotFound(f"no hold {hold_id}")
        visit.speak_for("billable_part", known_contract(books.tx, hold.contract_no).entity)
        ended = release_hold(books, hold_id, visit.caller.name, asked.reason)
        if ended:
            place_contract(books, hold.contract_no)
        return Reply(200, ended or hold)

    return once(visit, asked, act)


# -- after issue -----------------------------------------------------------------------------------------------


@endpoint("POST /v1/credits", answer=Started, status=202)
def ask_for_credit(visit: Visiting, asked: CreditAsked) -> Response:
    """Ask for a credit memo; another person approves it."""

    def act(books: Books) -> Reply:
        invoice = find_invoice(books, asked.invoice)
        visit.speak_for("invoice", invoice.entity)
        if asked.reason not in REASONS:
            raise BadInput(f"{asked.reason!r} is no reason for a credit; there are: {', '.join(REASONS)}")
        if not invoice.number or invoice.kind == "credit":
            raise BadInput(f"{asked.invoice} is no issued invoice: there is nothing to credit")
        wanted_of(books, invoice, {_line_number(n): amount for n, amount in asked.lines.items()}, asked.reason)
        args = {
            "invoice_id": invoice.invoice_id,
            "amounts": {line: str(amount) for line, amount in asked.lines.items()},
            "reason": asked.reason,
            "requested_by": visit.caller.name,
            "note": asked.note,
            "disposition": asked.disposition,
        }
        return _begin(
            books, "credit_invoice", f"{invoice.number}/{asked.name}", args, invoice.entity, invoice.contract_no
        )

    return once(visit, asked, act)


@endpoint("POST /v1/bad-debts", answer=Started, status=202)
def ask_for_bad_debt(visit: Visiting, asked: BadDebtAsked) -> Response:
    """Ask to give up what a client will not pay of an invoice, or claim it again."""

    def act(books: Books) -> Reply:
        invoice = find_invoice(books, asked.invoice)
        visit.speak_for("invoice", invoice.entity)
        args = {"invoice_id": invoice.invoice_id, "reason": asked.reason, "requested_by": visit.caller.name}
        key = f"{invoice.number}/{asked.name}"
        if asked.claim_again:
            return _begin(books, "claim_again", key, args, invoice.entity, invoice.contract_no)
        if books.tx.get(RunRow, f"write_off_debt/{key}") is None:
            doubtful(invoice, asked.amount)
        args["amount"] = str(asked.amount) if asked.amount is not None else ""
        return _begin(books, "write_off_debt", key, args, invoice.entity, invoice.contract_no)

    return once(visit, asked, act)


def _line_number(text: str) -> int:
    if not text.isdigit():
        raise BadInput(f"{text!r} is no line number")
    return int(text)


@endpoint("POST /v1/disputes", answer=Started, status=202)
def open_dispute(visit: Visiting, asked: DisputeAsked) -> Response:
    """Contest a line of an invoice: it stays out of dunning until a person has decided."""

    def act(books: Books) -> Reply:
        invoice = find_invoice(books, asked.invoice)
        visit.speak_for("invoice", invoice.entity)
        if books.tx.get(RunRow, f"dispute_line/{invoice.number}/{asked.name}") is None:
            contestable(invoice, asked.line, asked.amount)
        args = {
            "invoice_id": invoice.invoice_id,
            "line": asked.line,
            "amount": str(asked.amount) if asked.amount is not None else "",
            "reason": asked.reason,
            "opened_by": visit.caller.name,
        }
        return _begin(
            books, "dispute_line", f"{invoice.number}/{asked.name}", args, invoice.entity, invoice.contract_no
        )

    return once(visit, asked, act)


@endpoint("POST /v1/advances", answer=Started, status=202)
def start_advance(visit: Visiting, asked: LineAsked) -> Response:
    """Invoice the deposit of a contract line before the work."""

    def act(books: Books) -> Reply:
        version = known_contract(books.tx, asked.contract_no)
        visit.speak_for("invoice", version.entity)
        if version.line(asked.line_uid).deposit is None:
            raise BadInput(f"line {asked.line_uid} of {version.key} has no deposit")
        args = {"contract_no": asked.contract_no, "line_uid": asked.line_uid, "asked_by": visit.caller.name}
        key = f"{asked.contract_no}:{asked.name}"
        return _begin(books, "bill_advance", key, args, version.entity, asked.contract_no)

    return once(visit, asked, act)


@endpoint("POST /v1/holdback-releases", answer=Started, status=202)
def start_release(visit: Visiting, asked: LineAsked) -> Response:
    """Invoice what was held back of a contract line."""

    def act(books: Books) -> Reply:
        version = known_contract(books.tx, asked.contract_no)
        visit.speak_for("invoice", version.entity)
        if version.line(asked.line_uid).holdback is None:
            raise BadInput(f"line {asked.line_uid} of {version.key} holds nothing back")
        args = {
            "contract_no": asked.contract_no,
            "line_uid": asked.line_uid,
            "asked_by": visit.caller.name,
            "finally_accepted": asked.finally_accepted,
        }
        key = f"{asked.contract_no}:{asked.name}"
        return _begin(books, "release_holdback", key, args, version.entity, asked.contract_no)

    return once(visit, asked, act)


# -- periods ---------------------------------------------------------------------------------------------------


@endpoint("POST /v1/periods/close", answer=Started, status=202)
def start_close(visit: Visiting, asked: PeriodAsked) -> Response:
    """Close a month of a legal entity: accrue what is not approved, keep what it added up to."""

    def act(books: Books) -> Reply:
        known_entity(books, asked.entity)
        visit.speak_for("period", asked.entity)
        args = {"entity": asked.entity, "period": asked.period, "closed_by": visit.caller.name}
        key = f"{asked.entity}/{asked.period}/{asked.name}"
        return _begin(books, "close_period", key, args, asked.entity, "", f"period:{asked.entity}/{asked.period}")

    return once(visit, asked, act)


@endpoint("POST /v1/periods/reopen", answer=Started, status=202)
def start_reopen(visit: Visiting, asked: PeriodAsked) -> Response:
    """Ask to open a closed month again; two other persons approve."""

    def act(books: Books) -> Reply:
        known_entity(books, asked.entity)
        visit.speak_for("period", asked.entity)
        args = {"entity": asked.entity, "period": asked.period, "asked_by": visit.caller.name, "reason": asked.reason}
        key = f"{asked.entity}/{asked.period}/{asked.name}"
        return _begin(books, "reopen_period", key, args, asked.entity, "", f"period:{asked.entity}/{asked.period}")

    return once(visit, asked, act)


def known_entity(books: Books, code: str) -> LegalEntity:
    """A legal entity of the firm. NotFound for another one."""
    found = books.tx.get(LegalEntity, code)
    if found is None:
        raise NotFound(f"no legal entity {code}")
    return found


def _begin(
    books: Books,
    process: str,
    key: str,
    args: dict[str, Any],
    entity: str,
    contract_no: str,
    correlation: str = "",
) -> Reply:
    about = correlation or f"contract:{contract_no}"
    return Reply(202, started(books.start(process, key, args, entity=entity, correlation_id=about)))
