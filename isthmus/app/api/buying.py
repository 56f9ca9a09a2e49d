"""Process API of bought-in work: subcontracts, suppliers' bills, their confirmation, release and what is kept back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from isthmus.app.api.admission import Visit, Visiting
from isthmus.app.api.endpoints import Asked, Cursor, Limit, Page, endpoint
from isthmus.app.api.files import FILE_BODY, DryRun, Sheet, Totals, Way, content_of, pass_through
from isthmus.app.api.idempotency import Reply, once
from isthmus.app.api.reading import page, reading
from isthmus.app.api.starts import Name, Number, Started, Words, started
from isthmus.app.bought import BillExplained, explain_bill, find_bill, without_cost
from isthmus.app.taking import bills
from isthmus.app.taking.kept import File
from isthmus.app.taking.records import Options
from isthmus.app.taking.report import FileTaken
from isthmus.desk import proposals
from isthmus.desk.proposals import Choice
from isthmus.domain.errors import IllegalTransition, NotFound
from isthmus.domain.money import Exact
from isthmus.domain.states import BillState, CaseState
from isthmus.domain.subcontracting import PurchaseRate, RetentionTerm, Subcontract, SubcontractorBill
from isthmus.kit.bill_file import BillFile
from isthmus.processes.work.agreeing import keep_subcontract
from isthmus.processes.work.buying import newest
from isthmus.runtime.books import Books
from isthmus.store.records import Case

Days = Annotated[int, Field(ge=0, le=365)]


class SubcontractAsked(Asked):
    """What is agreed with a supplier for a project. The same number again is its next version."""

    subcontract_no: Number
    supplier: Number
    project_code: Number
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    rates: Annotated[tuple[PurchaseRate, ...], Field(min_length=1, max_length=1000)]
    tolerance_hours: Exact | None = None
    tolerance_amount: Exact | None = None
    payment: Literal["when_due", "when_paid"] = "when_due"
    payment_days: Days = 30
    ordered_hours: Exact | None = None
    retention: tuple[RetentionTerm, ...] = ()


class Confirmation(Asked):
    """The project manager's word on a bill; a reason says why it is disputed."""

    action: Literal["approve", "dispute"] = "approve"
    reason: Words


class ReleaseAsked(Asked):
    """Pay a bill before the client has paid. Another person approves."""

    name: Name
    reason: Words


class RetentionAsked(Asked):
    """Pay out what is kept back under a subcontract, or a part of it. Another person approves."""

    subcontract_no: Number
    name: Name
    amount: Exact | None = None
    reason: Words


@endpoint("POST /v1/subcontracts", answer=Subcontract, status=201)
def agree_subcontract(visit: Visiting, asked: SubcontractAsked) -> Response:
    """Keep what is agreed with a supplier for a project; the same number again is its next version."""

    def act(books: Books) -> Reply:
        visit.speak_of(books.tx, "subcontract", projects=[asked.project_code])
        return Reply(201, keep_subcontract(books, asked.model_dump(), visit.caller.name))

    return once(visit, asked, act)


@endpoint("POST /v1/files/subcontractor-bills", answer=FileTaken, status=202, extra=FILE_BODY)
async def receive_bill_file(
    request: Request,
    visit: Visiting,
    sheet: Sheet = "",
    dry_run: DryRun = False,
    require_totals: Totals = False,
) -> Response:
    """Take a file of subcontractors' bills, each whole or not at all; nothing when control totals disagree."""
    content, name = await content_of(request)
    options = Options(dry_run, require_totals)
    return await run_in_threadpool(_bills, visit, bills.file_of(name, content, sheet), options)


def _bills(visit: Visit, file: File, options: Options) -> Response:
    def take(books: Books, found: BillFile) -> FileTaken:
        for entity in sorted(bills.entities_of(books, found)):
            visit.speak_for("vendor_bill", entity)
        return bills.take(books, file, found, visit.caller.name, dry_run=options.dry_run)

    way = Way(
        file,
        options,
        read=lambda: bills.read(file, require_totals=options.require_totals),
        take=take,
        admit=lambda tx: visit.speak_for("vendor_bill"),
    )
    return pass_through(visit, way)


@endpoint("GET /v1/subcontractor-bills", answer=Page[SubcontractorBill])
def list_bills(
    visit: Visiting,
    supplier: str = "",
    project: str = "",
    state: BillState | None = None,
    on_hold: Annotated[bool | None, Query(description="Only those whose payment waits, or does not")] = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[SubcontractorBill]:
    """List subcontractors' bills by supplier, project and state."""
    wanted: dict[str, Any] = {"supplier": supplier, "project_code": project, "state": state, "payment_hold": on_hold}
    with reading(visit.hub) as tx:
        mine = visit.within(SubcontractorBill)
        items, more = page(tx, SubcontractorBill, limit=limit, cursor=cursor, where=mine, **wanted)
    shown = items if visit.sees_cost else [without_cost(bill) for bill in items]
    return Page(items=shown, next_cursor=more)


@endpoint("GET /v1/subcontractor-bills/{bill_id}", path="/v1/subcontractor-bills/{bill_id:path}", answer=BillExplained)
def show_bill(visit: Visiting, bill_id: str) -> BillExplained:
    """Explain a bill down to the approved hours it pays, and what it waits for."""
    with reading(visit.hub) as tx:
        visit.sees(tx, find_bill(tx, bill_id))
        return explain_bill(tx, bill_id, sees_cost=visit.sees_cost)


@endpoint(
    "POST /v1/subcontractor-bills/{bill_id}/confirm", path="/v1/subcontractor-bills/{bill_id:path}/confirm", answer=Case
)
def confirm_bill(visit: Visiting, bill_id: str, asked: Confirmation) -> Response:
    """Confirm a bill as its project manager, or dispute it: the decision on its case."""

    def act(books: Books) -> Reply:
        bill = find_bill(books.tx, bill_id)
        visit.speak_for("vendor_bill", bill.entity)
        run_id = f"pay_subcontractor/{bill.bill_id}"
        waits = books.tx.find(Case, run_id=run_id, exception="EX-SUBCON-CONFIRM", state=CaseState.OPEN)
        if not waits:
            raise IllegalTransition(f"bill {bill.bill_id} is {bill.state}: it waits for no confirmation")
        choice = Choice(asked.action, asked.reason, {})
        evidence = proposals.preview(visit.hub.kernel, visit.actor, waits[0].case_no, choice)
        case, proposal = proposals.decide(
            books, visit.actor, waits[0].case_no, choice, evidence=evidence, config=visit.hub.desk
        )
        return Reply(202 if proposal.needs_second else 200, case)

    return once(visit, asked, act)


@endpoint(
    "POST /v1/subcontractor-bills/{bill_id}/release",
    path="/v1/subcontractor-bills/{bill_id:path}/release",
    answer=Started,
    status=202,
)
def release_bill(visit: Visiting, bill_id: str, asked: ReleaseAsked) -> Response:
    """Ask to pay a bill before the client has paid; another person approves, seeing what is still missing."""

    def act(books: Books) -> Reply:
        bill = find_bill(books.tx, bill_id)
        visit.speak_for("vendor_bill", bill.entity)
        if bill.state is not BillState.POSTED:
            raise IllegalTransition(f"bill {bill.bill_id} is {bill.state}: only a posted one waits to be released")
        args = {"bill_id": bill.bill_id, "asked_by": visit.caller.name, "why": asked.reason}
        key, about = f"{bill.bill_id}/{asked.name}", f"contract:{bill.contract_no}"
        row = books.start("release_subcontractor", key, args, entity=bill.entity, correlation_id=about)
        books.audit("bill.release", f"bill:{bill.bill_id}", reason=asked.reason)
        return Reply(202, started(row))

    return once(visit, asked, act)


@endpoint("POST /v1/retention-releases", answer=Started, status=202)
def release_kept_back(visit: Visiting, asked: RetentionAsked) -> Response:
    """Pay out what is kept back from a supplier though not all ordered hours are delivered; another person approves."""

    def act(books: Books) -> Reply:
        subcontract = newest(books.tx, asked.subcontract_no)
        if subcontract is None:
            raise NotFound(f"no subcontract {asked.subcontract_no}")
        visit.speak_for("vendor_bill", subcontract.entity)
        args = {
            "subcontract_no": asked.subcontract_no,
            "amount": str(asked.amount) if asked.amount is not None else "",
            "asked_by": visit.caller.name,
            "why": asked.reason,
            "name": asked.name,
        }
        key, about = f"{asked.subcontract_no}:{asked.name}", f"contract:{subcontract.contract_no}"
        row = books.start("release_retention", key, args, entity=subcontract.entity, correlation_id=about)
        books.audit("retention.release", f"subcontract:{asked.subcontract_no}", reason=asked.reason)
        return Reply(202, started(row))

    return once(visit, asked, act)
