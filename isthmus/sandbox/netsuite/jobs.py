"""Asynchronous requests: accepted with a job, looked at later; the idempotency key lives here and only here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from isthmus.sandbox.netsuite.shapes import REST, Refusal, answer, empty, link, unexpected

ASYNC = f"{REST}/async/v1/job"
_APPLIED = {"Preference-Applied": "respond-async"}


@dataclass
class Job:
    """One accepted request; results holds what each task would have answered directly."""

    id: str
    accepted_at: str
    results: list[Response] = field(default_factory=list)
    polls: int = 0


class Jobs:
    """The queue of one account. The work is done on acceptance and shows as pending for the first polls."""

    def __init__(self) -> None:
        self.pending_polls = 0
        self._jobs: dict[str, Job] = {}
        self._by_key: dict[str, str] = {}

    def forget(self) -> None:
        """Empty the queue."""
        self._jobs.clear()
        self._by_key.clear()

    def refuse_repeat(self, key: str | None, base: str) -> None:
        """A key that was used before is refused with the place of the first job."""
        if key and key in self._by_key:
            place = {"Location": f"{base}{ASYNC}/{self._by_key[key]}", **_APPLIED}
            text = "A request with this idempotency key was already submitted. See the Location header for its job."
            raise Refusal(400, "IDEMPOTENCY_ERROR", text, headers=place)

    def accept(self, key: str | None, base: str, stamp: str, results: list[Response]) -> Response:
        """Register the request and answer 202 with the job's place."""
        job = Job(str(len(self._jobs) + 1), stamp, results)
        self._jobs[job.id] = job
        if key:
            self._by_key[key] = job.id
        return empty(202, f"{base}{ASYNC}/{job.id}", _APPLIED)

    def show(self, base: str, parts: list[str]) -> Response:
        """GET job/{id}, job/{id}/task, job/{id}/task/{n}, job/{id}/task/{n}/result."""
        job = self._jobs.get(parts[0]) if parts else None
        if job is None or (len(parts) > 1 and parts[1] != "task") or len(parts) > 4:
            raise unexpected(404)
        url = f"{base}{ASYNC}/{job.id}"
        done = job.polls >= self.pending_polls
        if len(parts) == 1:
            job.polls += 1
            return answer(_job_document(job, url, done))
        if len(parts) == 2:
            tasks = [{"links": link(f"{url}/task/{n}"), "id": str(n)} for n in range(1, len(job.results) + 1)]
            return answer({"links": link(f"{url}/task"), "items": tasks, "totalResults": len(tasks)})
        if not parts[2].isdigit() or not 1 <= int(parts[2]) <= len(job.results):
            raise unexpected(404)
        result = job.results[int(parts[2]) - 1]
        if len(parts) == 3:
            return answer(_task_document(job, f"{url}/task/{parts[2]}", parts[2], result, done))
        if parts[3] != "result" or not done:
            raise unexpected(404)
        return result


def _job_document(job: Job, url: str, done: bool) -> dict[str, Any]:
    failed = any(result.status_code >= 400 for result in job.results)
    progress = ("failed" if failed else "succeeded") if done else "pending"
    return {
        "links": link(url),
        "completed": done,
        "id": job.id,
        "progress": progress,
        "task": {"links": link(f"{url}/task")},
    }


def _task_document(job: Job, url: str, number: str, result: Response, done: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "links": link(f"{url}/result", "related") + link(url),
        "completed": done,
        "id": number,
        "progress": "pending",
        "startTime": job.accepted_at,
    }
    if done:
        document |= {
            "progress": "failed" if result.status_code >= 400 else "succeeded",
            "endTime": job.accepted_at,
        }
    return document
