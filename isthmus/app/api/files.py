"""Files at the door: time, expenses and rate cards, for when no API is there to be asked; price lists on trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from isthmus.app.api.admission import Visit, Visiting
from isthmus.app.api.endpoints import Asked, endpoint
from isthmus.app.api.idempotency import Reply, in_transaction, once
from isthmus.app.api.problems import NotUsable
from isthmus.app.api.reading import reading
from isthmus.app.api.starts import known_contract
from isthmus.app.taking import cards, rates, records
from isthmus.app.taking.kept import File, keep, refuse_nameless
from isthmus.app.taking.prices import Form, read_prices
from isthmus.app.taking.report import FileTaken, Refusal, refusals
from isthmus.app.taking.said import Said, check_owner
from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Engagement
from isthmus.kit.rate_card import RateCardFile
from isthmus.runtime.books import Books


class PriceListTried(BaseModel):
    """What a price list says, without taking anything over."""

    rows: int
    usable: int
    sha256: str
    empty: str
    rejected: list[Refusal]
    prices: list[dict[str, Any]]


class EcbRates(Asked):
    """Reference rates from the euro to these currencies, for every day in [first, last] that has one."""

    currencies: tuple[str, ...]
    first: date
    last: date
    dry_run: bool = False


_FILE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FILE_BODY = {
    "requestBody": {"required": True, "content": {"text/csv": _FILE, _XLSX: _FILE, "multipart/form-data": _FORM}}
}
DryRun = Annotated[bool, Query(description="Say what would become of the file; take nothing")]
Whole = Annotated[bool, Query(description="Take nothing when a row is bad")]
Totals = Annotated[bool, Query(description="Refuse a file without control totals")]
Sheet = Annotated[str, Query(max_length=100, description="Which sheet of a workbook, when it has more than one")]


async def content_of(request: Request) -> tuple[bytes, str]:
    """The file and its name: the body itself, or the one file of a form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body(), "the file"
    async with request.form(max_files=1, max_fields=10) as form:
        for part in form.values():
            if isinstance(part, UploadFile):
                return await part.read(), part.filename or "the file"
    raise BadInput("the form holds no file")


@dataclass(frozen=True)
class Way:
    """How a file is read, taken and held to ownership, for one request."""

    file: File
    options: records.Options
    read: Callable[[], Any]
    take: Callable[[Books, Any], FileTaken]
    admit: Callable[[Any], None]


def pass_through(visit: Visit, way: Way) -> Response:
    """Read, then take in one transaction; what cannot be read is kept as it came, with the reason."""
    refuse_nameless(way.file)
    with reading(visit.hub) as tx:
        way.admit(tx)
    try:
        found = way.read()
    except BadInput as wrong:
        if way.options.dry_run:
            raise
        _keep_refused(visit, way.file, wrong)
        raise NotUsable(wrong.message, way.file.message_id) from wrong
    if way.options.dry_run:
        with reading(visit.hub) as tx:
            books = visit.hub.kernel.books(tx, key="dry-run", actor=visit.caller.name)
            return JSONResponse(way.take(books, found).model_dump(mode="json"))
    # What is said beside the file stands in the address, which is part of the key.
    return once(visit, {"sha256": way.file.sha256}, lambda books: Reply(202, way.take(books, found)))


def _keep_refused(visit: Visit, file: File, wrong: BadInput) -> None:
    def act(tx: Any) -> None:
        books = visit.hub.kernel.books(tx, key=f"file/{file.message_id}", actor=visit.caller.name)
        keep(books, file, wrong.message)

    in_transaction(visit.hub.store.transaction, act)


def _of_connection(visit: Visit, file: File, options: records.Options) -> Response:
    config = records.connection_of(visit.hub.firm, file.source)
    writer = visit.caller.writes_as or config.writes_as
    obj = records.FILES[file.kind].obj
    nothing_yet = Said(obj, ("*",), (), lambda books: {})

    def take(books: Books, found: records.Read) -> FileTaken:
        visit.speak_of(books.tx, obj, projects=found.said.projects)
        return records.take(books, found, options, writer)

    way = Way(
        file,
        options,
        read=lambda: records.read(visit.hub.firm, file, options),
        take=take,
        admit=lambda tx: check_owner(visit.hub.gate, tx, writer, nothing_yet),
    )
    return pass_through(visit, way)


@dataclass(frozen=True)
class RecordsSaid:
    """What a sender of records says beside the file, in the address."""

    connection: str
    sheet: Sheet = ""
    dry_run: DryRun = False
    whole: Whole = False
    require_totals: Totals = False


Beside = Annotated[RecordsSaid, Depends()]


@endpoint("POST /v1/files/time", answer=FileTaken, status=202, extra=FILE_BODY)
async def receive_time_file(request: Request, visit: Visiting, said: Beside) -> Response:
    """Take a time file of a connection: good rows in, bad rows named, nothing when its control totals disagree."""
    return await _records("file.time", request, visit, said)


@endpoint("POST /v1/files/expenses", answer=FileTaken, status=202, extra=FILE_BODY)
async def receive_expense_file(request: Request, visit: Visiting, said: Beside) -> Response:
    """Take an expense file of a connection: good rows in, bad rows named, nothing when its control totals disagree."""
    return await _records("file.expenses", request, visit, said)


async def _records(kind: str, request: Request, visit: Visit, said: RecordsSaid) -> Response:
    content, name = await content_of(request)
    options = records.Options(said.dry_run, said.require_totals, said.whole)
    return await run_in_threadpool(
        _of_connection, visit, File(kind, said.connection, name, content, said.sheet), options
    )


@endpoint("POST /v1/files/rate-card", answer=FileTaken, status=202, extra=FILE_BODY)
async def receive_rate_card(
    request: Request,
    visit: Visiting,
    code: str,
    currency: str,
    entity: str = "",
    client_no: str = "",
    contract_no: str = "",
    line_uid: str = "",
    sheet: Sheet = "",
    dry_run: DryRun = False,
    require_totals: Totals = False,
) -> Response:
    """Take the rate card of a client or a legal entity: all rows or none; another person approves it.

    Of a contract it becomes an amended version with these rates, with its approvals still to be given.
    """
    content, name = await content_of(request)
    about = cards.About(code.strip(), currency, entity, client_no, contract_no, line_uid)
    options = records.Options(dry_run, require_totals, whole=True)
    return await run_in_threadpool(_card, visit, cards.file_of(about, name, content, sheet), options)


def _card(visit: Visit, file: File, options: records.Options) -> Response:
    about = cards.about_of(file)

    def take(books: Books, found: RateCardFile) -> FileTaken:
        # The card of a client prices its contracts in every legal entity.
        of_client = books.tx.find(Engagement, client_no=about.client_no) if about.client_no else []
        visit.speak_of(books.tx, "rate_card", contracts=[engagement.contract_no for engagement in of_client])
        return cards.take(books, file, found, visit.caller.name, dry_run=options.dry_run)

    way = Way(
        file,
        options,
        read=lambda: cards.read(file, require_totals=options.require_totals),
        take=take,
        admit=lambda tx: _may_price(visit, tx, about),
    )
    return pass_through(visit, way)


def _may_price(visit: Visit, tx: Any, about: cards.About) -> None:
    if about.contract_no:
        visit.speak_for("contract", known_contract(tx, about.contract_no).entity)
    else:
        visit.speak_for("rate_card", about.entity)


@endpoint("POST /v1/files/price-list", answer=PriceListTried, extra=FILE_BODY)
async def try_price_list(
    request: Request,
    visit: Visiting,
    sheet: Sheet = "",
    contract_no: str = "",
    vendor: str = "",
    valid_from: date | None = None,
    valid_to: date | None = None,
) -> PriceListTried:
    """Check a price list, CSV or workbook; nothing is taken over."""
    content, name = await content_of(request)
    form = Form(sheet, contract_no, vendor, valid_from, valid_to)
    prices = await run_in_threadpool(read_prices, content, name, form)
    return PriceListTried(
        rows=prices.rows_read,
        usable=len(prices.rows),
        sha256=prices.sha256,
        empty=prices.empty,
        rejected=refusals(prices.rejected),
        prices=[
            {"line": p.line, "labor_category": p.labor_category, "price": str(p.price), "currency": p.currency}
            for p in prices.rows[:1000]
        ],
    )


@endpoint("POST /v1/fx-rates/ecb", answer=rates.RatesTaken, status=202)
def take_ecb_rates(visit: Visiting, asked: EcbRates) -> Response:
    """Keep the ECB's reference rates of these days from the table that ships with the hub; none is overwritten."""
    visit.speak_for("fx_rate")
    facts = (asked.currencies, asked.first, asked.last)
    if asked.dry_run:
        with reading(visit.hub) as tx:
            books = visit.hub.kernel.books(tx, key="dry-run", actor=visit.caller.name)
            return JSONResponse(rates.take_ecb(books, *facts, dry_run=True).model_dump(mode="json"))
    return once(visit, asked, lambda books: Reply(202, rates.take_ecb(books, *facts)))
