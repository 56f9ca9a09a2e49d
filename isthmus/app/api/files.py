"""Files at the door: the nightly time file, for when no API is there to be asked, and price lists on trial."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import Response

from isthmus.app.api.admission import Visit, Visiting
from isthmus.app.api.endpoints import endpoint
from isthmus.app.api.idempotency import Reply, once
from isthmus.app.api.intake import Said, check_owner, keep_time, source_of
from isthmus.domain.errors import BadInput, NotFound
from isthmus.kit.csv_rows import Rejection
from isthmus.kit.price_list import read_price_list
from isthmus.kit.time_file import TimeFile, read_time_file
from isthmus.runtime.books import Books


class Refusal(BaseModel):
    """One bad cell: where, what, why."""

    line: int
    column: str
    value: str
    reason: str


class TimeFileTaken(BaseModel):
    """What became of a time file: rows taken (new or known before), rows refused with their reasons."""

    rows: int
    hours: str
    sha256: str
    controlled: bool
    accepted: int
    duplicates: int
    repeated_lines: list[int]
    rejected: list[Refusal]
    message_ids: list[str]


class PriceListTried(BaseModel):
    """What a price list says, without taking anything over."""

    rows: int
    usable: int
    sha256: str
    empty: str
    rejected: list[Refusal]
    prices: list[dict[str, Any]]


_FILE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}}
_EXTRA = {"requestBody": {"required": True, "content": {"text/csv": _FILE, "multipart/form-data": _FORM}}}


async def _content(request: Request) -> tuple[bytes, str]:
    """The file and its name: the body itself, or the one file of a form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body(), "the file"
    async with request.form(max_files=1, max_fields=10) as form:
        for part in form.values():
            if isinstance(part, UploadFile):
                return await part.read(), part.filename or "the file"
    raise BadInput("the form holds no file")


@endpoint("POST /v1/files/time", answer=TimeFileTaken, status=202, extra=_EXTRA)
async def receive_time_file(request: Request, visit: Visiting, connection: str) -> Response:
    """Take a time file of a connection: good rows in, bad rows named, nothing when its control totals disagree."""
    content, name = await _content(request)
    return await run_in_threadpool(_take, visit, connection, content, name)


def _take(visit: Visit, connection: str, content: bytes, name: str) -> Response:
    config = next((c for c in visit.hub.firm.connections if c.name == connection), None)
    if config is None:
        raise NotFound(f"no connection {connection}")
    file = read_time_file(content, name, system=source_of(config))
    writer = visit.caller.writes_as or config.writes_as
    said = Said("time_entry", ("*",), tuple(sorted({e.project_code for e in file.entries})), lambda books: {})

    def act(books: Books) -> Reply:
        check_owner(visit.hub.gate, books.tx, writer, said)
        kept = keep_time(books, connection, list(file.entries))
        after = {"accepted": kept["accepted"], "rejected": len(file.rejected), "rows": file.count}
        books.audit("file.time", f"file:{file.sha256[:24]}", reason=name, after={**after, "connection": connection})
        return Reply(202, _told(file) | kept)

    return once(visit, {"sha256": file.sha256}, act)


def _told(file: TimeFile) -> dict[str, Any]:
    return {
        "rows": file.count,
        "hours": str(file.hours),
        "sha256": file.sha256,
        "controlled": file.controlled,
        "repeated_lines": list(file.repeated),
        "rejected": _refusals(file.rejected),
    }


def _refusals(rejected: tuple[Rejection, ...]) -> list[dict[str, Any]]:
    return [Refusal(line=r.line, column=r.column, value=r.value, reason=r.reason).model_dump() for r in rejected]


@endpoint("POST /v1/files/price-list", answer=PriceListTried, extra=_EXTRA)
async def try_price_list(request: Request, visit: Visiting) -> PriceListTried:
    """Check a price list; nothing is taken over."""
    content, name = await _content(request)
    prices = await run_in_threadpool(read_price_list, content, name)
    return PriceListTried(
        rows=prices.rows_read,
        usable=len(prices.rows),
        sha256=prices.sha256,
        empty=prices.empty,
        rejected=[Refusal.model_validate(one) for one in _refusals(prices.rejected)],
        prices=[
            {"line": p.line, "labor_category": p.labor_category, "price": str(p.price), "currency": p.currency}
            for p in prices.rows[:1000]
        ],
    )
