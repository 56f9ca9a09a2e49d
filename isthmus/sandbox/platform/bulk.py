"""Bulk API 2.0 ingest jobs: insert, update, upsert and delete from CSV.

Modelled from the vendor's published material; not certified. A job is carried out when its state is asked for the
(bulk_polls + 1)-th time after the upload, one transaction per record.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.platform import ids
from isthmus.sandbox.platform.calls import Answer, Call, Router
from isthmus.sandbox.platform.errors import Ambiguous, ApiError, not_found
from isthmus.sandbox.platform.rows import upsert
from isthmus.sandbox.platform.values import stamp

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

MAX_UPLOAD = 150 * 1024 * 1024
Row = dict[str, str]
DELIMITERS = {"COMMA": ",", "SEMICOLON": ";", "TAB": "\t", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
_OPERATIONS = ("insert", "update", "upsert", "delete")
_CSV = "text/csv"


@dataclass
class Job:
    """One ingest job: what clients see of it, its rows and their outcome."""

    info: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    done: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    polls: int = 0
    asked: dict[str, Any] = field(default_factory=dict)


class Jobs:
    """The jobs of the organisation by id. first: where their numbers begin."""

    first = 0

    def __init__(self) -> None:
        self.by_id: dict[str, Job] = {}
        self._last = self.first

    def add(self, info: dict[str, Any]) -> Job:
        """Keep a new job under the next id."""
        self._last += 1
        job_id = ids.make("750", self._last)
        self.by_id[job_id] = Job({"id": job_id, **info})
        return self.by_id[job_id]

    def get(self, job_id: str) -> Job:
        """The job of this id; the platform's 404 when there is none."""
        if job_id not in self.by_id:
            raise not_found()
        return self.by_id[job_id]


def register(router: Router) -> None:
    """Add the addresses of this module."""
    router.add("jobs/ingest", POST=_open, GET=_list)
    router.add("jobs/ingest/{job}", GET=_status, PATCH=_close, DELETE=_forget)
    router.add("jobs/ingest/{job}/batches", PUT=_upload)
    router.add("jobs/ingest/{job}/{results}", GET=_results)


def _open(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    asked = call.document()
    operation, key = asked.get("operation"), asked.get("externalIdFieldName")
    if operation not in _OPERATIONS:
        raise ApiError(400, "INVALIDJOB", f"Unsupported operation: {operation}")
    sobject = box.store.schema.find(str(asked.get("object")))
    if sobject is None:
        raise ApiError(400, "INVALIDENTITY", f"Entity {asked.get('object')} is not supported.")
    if operation == "upsert":
        column = sobject.get(str(key))
        if column is None or not (column.external_id or column.type == "id"):
            raise ApiError(400, "INVALIDJOB", f"InvalidJob : Field name provided, {key} is not an External ID")
    now = stamp(box.now())
    info = {
        "operation": operation,
        "object": sobject.name,
        "createdById": box.store.user_id,
        "createdDate": now,
        "systemModstamp": now,
        "state": "Open",
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(call.version),
        "lineEnding": asked.get("lineEnding", "LF"),
        "columnDelimiter": asked.get("columnDelimiter", "COMMA"),
        **({"externalIdFieldName": key} if key else {}),
    }
    job = box.jobs.add(info)
    job.info["contentUrl"] = f"{call.base[1:]}/jobs/ingest/{job.info['id']}/batches"
    return Answer(200, job.info)


def _list(box: PlatformSandbox, _: Call, __: dict[str, str]) -> Answer:
    return Answer(200, {"done": True, "records": [j.info for j in box.jobs.by_id.values()]})


def _upload(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    job = box.jobs.get(parts["job"])
    if job.info["state"] != "Open" or job.header:
        raise ApiError(400, "INVALIDJOBSTATE", "Data can be uploaded once, to an open job")
    if len(call.raw) > MAX_UPLOAD:
        raise ApiError(413, "CLIENTINPUTERROR", "The upload exceeds 150 MB")
    delimiter = DELIMITERS.get(job.info["columnDelimiter"], ",")
    try:
        text = call.raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ApiError(400, "CLIENTINPUTERROR", "The upload is not UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    job.rows = list(reader)
    job.header = list(reader.fieldnames or [])
    return Answer(201)


def _close(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    job = box.jobs.get(parts["job"])
    state = call.document().get("state")
    if state not in ("UploadComplete", "Aborted") or job.info["state"] in ("JobComplete", "Failed", "Aborted"):
        raise ApiError(400, "INVALIDJOBSTATE", f"The job cannot go to state {state}")
    job.info["state"] = state
    return Answer(200, job.info)


def _status(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    job = box.jobs.get(parts["job"])
    if job.info["state"] in ("UploadComplete", "InProgress"):
        job.info["state"] = "InProgress"
        job.polls += 1
        if job.polls > box.bulk_polls:
            _work(box, call, job)
    return Answer(200, job.info)


def _forget(box: PlatformSandbox, _: Call, parts: dict[str, str]) -> Answer:
    job = box.jobs.get(parts["job"])
    if job.info["state"] not in ("UploadComplete", "JobComplete", "Aborted", "Failed"):
        raise ApiError(400, "INVALIDJOBSTATE", "A job in this state cannot be deleted")
    del box.jobs.by_id[parts["job"]]
    return Answer(204)


def _work(box: PlatformSandbox, call: Call, job: Job) -> None:
    for row in job.rows:
        try:
            record_id, created = _save(box, call, job, row)
        except ApiError as exc:
            fields = ",".join(exc.fields or ()) or "--"
            job.failed.append({"sf__Id": "", "sf__Error": f"{exc.code}:{exc.message}:{fields}", **row})
        except Ambiguous as exc:
            job.failed.append({"sf__Id": "", "sf__Error": f"DUPLICATE_EXTERNAL_ID:{exc}:--", **row})
        else:
            job.done.append({"sf__Id": record_id, "sf__Created": str(created).lower(), **row})
    job.info |= {
        "state": "JobComplete",
        "numberRecordsProcessed": len(job.rows),
        "numberRecordsFailed": len(job.failed),
        "systemModstamp": stamp(box.now()),
    }


def _save(box: PlatformSandbox, call: Call, job: Job, row: Row) -> tuple[str, bool]:
    """Carry out one row. An empty cell leaves a field alone; #N/A empties it."""
    store = box.store
    sobject = store.schema.object(job.info["object"])
    body: dict[str, Any] = {}
    for name, cell in row.items():
        if cell in ("", None):
            continue
        value = None if cell == "#N/A" else cell
        parent, dot, key = name.partition(".")
        body[parent] = {key: value} if dot else value
    key = str(job.info.get("externalIdFieldName", "Id"))
    if job.info["operation"] == "upsert" and key.lower() != "id":
        value = body.pop(key, None)
        if value is None:
            raise ApiError(400, "MISSING_ARGUMENT", f"{key} not specified", [key])
        record, created = upsert(box, call, sobject, key, str(value), body)
        return record["Id"], created
    record_id = body.pop("Id", None)
    with store.transaction(call.origin):
        if job.info["operation"] == "insert" or (record_id is None and job.info["operation"] == "upsert"):
            return store.create(sobject, body)["Id"], True
        found = store.existing(sobject, str(record_id))
        if job.info["operation"] == "delete":
            store.delete(sobject, found)
        else:
            store.update(sobject, found, body)
        return found["Id"], False


def _results(box: PlatformSandbox, _: Call, parts: dict[str, str]) -> Answer:
    job = box.jobs.get(parts["job"])
    kind = parts["results"].lower()
    if kind == "successfulresults":
        return _sheet(["sf__Id", "sf__Created", *job.header], job.done)
    if kind == "failedresults":
        return _sheet(["sf__Id", "sf__Error", *job.header], job.failed)
    if kind == "unprocessedrecords":
        return _sheet(job.header, job.rows if job.info["state"] == "Aborted" else [])
    raise not_found()


def _sheet(header: list[str], rows: Iterable[Row]) -> Answer:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, header, lineterminator="\n", quoting=csv.QUOTE_ALL, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return Answer(200, text.getvalue(), media=_CSV)
