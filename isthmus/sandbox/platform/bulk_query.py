"""Bulk API 2.0 query jobs: a SELECT whose result is read as CSV, a part at a time.

Modelled from the vendor's published material; not certified. The result is what the query finds when its state is asked
for the (bulk_polls + 1)-th time; a part begins at the locator the part before named.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from isthmus.sandbox.platform.bulk import DELIMITERS, Job, Jobs
from isthmus.sandbox.platform.calls import Answer, Call, Router
from isthmus.sandbox.platform.errors import ApiError
from isthmus.sandbox.platform.soql import parse
from isthmus.sandbox.platform.soql_run import Runner
from isthmus.sandbox.platform.values import stamp

if TYPE_CHECKING:
    from isthmus.sandbox.platform.box import PlatformSandbox

RECORDS_MAX = 50_000  # of a part, when the caller names no number
_LINE_ENDS = {"LF": "\n", "CRLF": "\r\n"}


class QueryJobs(Jobs):
    """The query jobs of the organisation by id; they share the ids of all jobs and no list."""

    first = 1_000_000


def register(router: Router) -> None:
    """Add the addresses of this module."""
    router.add("jobs/query", POST=_open, GET=_list)
    router.add("jobs/query/{job}", GET=_status, PATCH=_abort, DELETE=_forget)
    router.add("jobs/query/{job}/results", GET=_results)


def _open(box: PlatformSandbox, call: Call, _: dict[str, str]) -> Answer:
    asked = call.document()
    if asked.get("operation") not in ("query", "queryAll"):
        raise ApiError(400, "INVALIDJOB", f"Unsupported operation: {asked.get('operation')}")
    runner = _runner(box, asked)
    if runner.query.count:
        raise ApiError(400, "API_ERROR", "The query must not be an aggregate")
    now = stamp(box.now())
    info = {
        "operation": asked["operation"],
        "object": runner.sobject.name,
        "createdById": box.store.user_id,
        "createdDate": now,
        "systemModstamp": now,
        "state": "UploadComplete",
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(call.version),
        "lineEnding": asked.get("lineEnding", "LF"),
        "columnDelimiter": asked.get("columnDelimiter", "COMMA"),
    }
    job = box.query_jobs.add(info)
    job.asked = asked
    return Answer(200, job.info)


def _runner(box: PlatformSandbox, asked: dict[str, Any]) -> Runner:
    text = str(asked.get("query") or "")
    return Runner(box.store, parse(text), with_deleted=asked["operation"] == "queryAll")


def _list(box: PlatformSandbox, _: Call, __: dict[str, str]) -> Answer:
    return Answer(200, {"done": True, "records": [job.info for job in box.query_jobs.by_id.values()]})


def _status(box: PlatformSandbox, _: Call, parts: dict[str, str]) -> Answer:
    job = box.query_jobs.get(parts["job"])
    if job.info["state"] in ("UploadComplete", "InProgress"):
        job.info["state"] = "InProgress"
        job.polls += 1
        if job.polls > box.bulk_polls:
            _work(box, job)
    return Answer(200, job.info)


def _work(box: PlatformSandbox, job: Job) -> None:
    runner = _runner(box, job.asked)
    shown = [_flat(runner.show(row, "")) for row in runner.rows()]
    job.header = [".".join([*(link.relationship for link in chain), column.name]) for chain, column in runner.columns]
    job.done = [{name: _cell(row.get(name)) for name in job.header} for row in shown]
    job.info |= {
        "state": "JobComplete",
        "numberRecordsProcessed": len(job.done),
        "retries": 0,
        "systemModstamp": stamp(box.now()),
    }


def _flat(row: dict[str, Any], under: str = "") -> dict[str, Any]:
    """A row with the columns of its parents under their paths."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{under}{name}.") if name != "attributes" else {}
        else:
            flat[f"{under}{name}"] = value
    return flat


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _abort(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    job, state = box.query_jobs.get(parts["job"]), call.document().get("state")
    if state != "Aborted" or job.info["state"] not in ("UploadComplete", "InProgress"):
        raise ApiError(400, "INVALIDJOBSTATE", f"The job cannot go to state {state}")
    job.info["state"] = state
    return Answer(200, job.info)


def _forget(box: PlatformSandbox, _: Call, parts: dict[str, str]) -> Answer:
    if box.query_jobs.get(parts["job"]).info["state"] not in ("JobComplete", "Aborted", "Failed"):
        raise ApiError(400, "INVALIDJOBSTATE", "A job in this state cannot be deleted")
    del box.query_jobs.by_id[parts["job"]]
    return Answer(204)


def _results(box: PlatformSandbox, call: Call, parts: dict[str, str]) -> Answer:
    job = box.query_jobs.get(parts["job"])
    if job.info["state"] != "JobComplete":
        raise ApiError(400, "INVALIDJOBSTATE", "The results of a job can be read when it is complete")
    start, most = _part(call)
    rows = job.done[start : start + most]
    text = io.StringIO(newline="")
    ends, delimiter = _LINE_ENDS.get(job.info["lineEnding"], "\n"), DELIMITERS.get(job.info["columnDelimiter"], ",")
    writer = csv.DictWriter(text, job.header, lineterminator=ends, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    more = start + most < len(job.done)
    headers = {"Sforce-NumberOfRecords": str(len(rows)), "Sforce-Locator": str(start + most) if more else "null"}
    return Answer(200, text.getvalue(), headers, media="text/csv")


def _part(call: Call) -> tuple[int, int]:
    """Where a part begins, and how many records it has at most."""
    locator, most = call.params.get("locator", "0"), call.params.get("maxRecords", str(RECORDS_MAX))
    if not (locator.isdigit() and most.isdigit() and int(most)):
        raise ApiError(400, "INVALIDJOB", f"locator {locator} or maxRecords {most} is not valid")
    return int(locator), int(most)
