"""Data packages imported and exported as jobs (data management framework, DMF), and the blob storage they pass through.

From Microsoft's "Data management package REST API". What is answered of an execution nobody knows, that imports in
parallel fail and how, and that a status may be asked for before there is one are from what people have published.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from starlette.responses import JSONResponse, Response

from isthmus.sandbox.base import Record
from isthmus.sandbox.dynamics_finance import general_journal
from isthmus.sandbox.dynamics_finance.books import Books
from isthmus.sandbox.dynamics_finance.errors import Refusal, action_failed, no_entity
from isthmus.sandbox.dynamics_finance.ledger import VERSION, shown
from isthmus.sandbox.dynamics_finance.package_files import Malformed, Piece, package_of, pieces_of
from isthmus.sandbox.dynamics_finance.schema import BY_SET, ENTITIES, Entity
from isthmus.sandbox.dynamics_finance.values import plain

GROUP = "DataManagementDefinitionGroup"
ACTIONS = f"{GROUP}s/Microsoft.Dynamics.DataEntities."
BLOBS = "/dmf/"
_SIGNATURE = "sv=2026-01-01&sig=synthetic"
_LABELS = {  # entities of a package by their label
    "Customers V3": "CustomersV3",
    "Projects V2": "ProjectsV2",
    "Project contract headers": "ProjectContractHeaders",
    "Project tasks": "ProjectTasks",
    "Project hour journals": "ProjectHourJournals",
    "Project hour journal lines": "ProjectHourJournalLines",
    "Customer free text invoice": "FreeTextInvoiceHeaders",
    "Customer free text invoice lines": "FreeTextInvoiceLines",
}


@dataclass
class Job:
    """One import or export. work: what it takes in, and for which company, until it has run.

    polls: how often it is still executing when it is asked for; age: other requests since it was started; shows_after:
    how often nobody knows of it yet. unread, failed: what was refused on its way to staging and to its target, by
    entity label: the row, why.
    """

    status: str
    polls: int = 0
    age: int = 0
    shows_after: int = 0
    unread: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    failed: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    generated: set[str] = field(default_factory=set)
    package: str = ""
    work: tuple[list[Piece], str] | None = None


class Packages:
    """The actions of data projects. pending_polls: how often a job is still executing when it is asked for; what it
    takes in shows when it has run. runs_after: so many other requests later it has run, whether anybody asked or not.
    shows_after: how often a new job is not known yet.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self.pending_polls = 1
        self.shows_after = 0
        self.runs_after = 5
        self.blobs: dict[str, bytes] = {}
        self.jobs: dict[str, Job] = {}
        self._exported: dict[str, set[tuple[str, int, int]]] = {}

    def forget(self) -> None:
        """No jobs, no blobs."""
        self.blobs.clear()
        self.jobs.clear()
        self._exported.clear()

    def go_on(self) -> None:
        """Time passes: another request is served."""
        for job in [job for job in self.jobs.values() if job.work is not None]:
            job.age += 1
            if job.age >= self.runs_after:
                job.polls = 0
                self._run(job)

    def cancel(self, execution: str) -> None:
        """Somebody cancels a job that has not run yet."""
        job = self.jobs[execution]
        job.status, job.polls, job.work = "Canceled", 0, None

    # -- blob storage --------------------------------------------------------------------------------------------
    def blob(self, request: Any, path: str, body: bytes) -> Response:
        """Write or read a blob with the address that was given out; a token beside its signature is one too many."""
        name, method = path.removeprefix(BLOBS), request.method
        if dict(request.query_params) != dict(parse_qsl(_SIGNATURE)) or "authorization" in request.headers:
            return Response("AuthenticationFailed", 403)
        if method == "PUT" and request.headers.get("x-ms-blob-type") != "BlockBlob":
            return Response("MissingRequiredHeader", 400)
        if method == "PUT":
            self.blobs[name] = body
            return Response(None, 201)
        found = self.blobs.get(name)
        return Response(found, 200, media_type="application/zip") if found is not None else Response(None, 404)

    # -- actions -------------------------------------------------------------------------------------------------
    def act(self, name: str, asked: Record, base: str, root: str) -> Response:
        """One action."""
        if name == "GetAzureWriteUrl":
            value: Any = self._write_url(str(asked["uniqueFileName"]), base)
        elif name == "ImportFromPackage":
            value = self._import(asked)
        elif name == "ExportToPackage":
            value = {"value": self._export(asked)}
        elif name == "GetExecutionSummaryStatus":
            value = self._status(asked)
        elif name == "GetExportedPackageUrl":
            job = self._job(name, asked)
            value = {"value": f"{base}{BLOBS}{quote(job.package)}?{_SIGNATURE}" if job.package else ""}
        elif name == "GetImportStagingErrorFileUrl":
            value = self._staging_errors(self._job(name, asked), asked, base)
        elif name == "GetExecutionErrors":
            value = _told(self._job(name, asked))
        elif name == "GenerateImportTargetErrorKeysFile":
            job = self._job(name, asked)
            job.generated.add(str(asked["entityName"]))
            value = bool(job.failed.get(str(asked["entityName"])))
        elif name == "GetImportTargetErrorKeysFileUrl":
            value = self._error_keys(self._job(name, asked), str(asked["executionId"]), str(asked["entityName"]), base)
        else:
            raise action_failed(name, GROUP, "The action does not exist.")
        kind = "Boolean" if isinstance(value, bool) else "String"
        return JSONResponse({"@odata.context": f"{root}/$metadata#Edm.{kind}", "value": value})

    def _write_url(self, name: str, base: str) -> str:
        url = f"{base}{BLOBS}{quote(name)}?{_SIGNATURE}"
        return json.dumps({"BlobId": f"{{{str(uuid.uuid4()).upper()}}}", "BlobUrl": url})

    def _job(self, action: str, asked: Record) -> Job:
        execution = str(asked.get("executionId"))
        found = self.jobs.get(execution)
        if found is None or found.shows_after > 0:
            if found is not None:
                found.shows_after -= 1
            raise action_failed(action, GROUP, f"Execution details were not found for execution id: {execution}")
        return found

    def _status(self, asked: Record) -> str:
        job = self._job("GetExecutionSummaryStatus", asked)
        if job.polls > 0:
            job.polls -= 1
            return "Executing"
        self._run(job)
        return job.status

    def _staging_errors(self, job: Job, asked: Record, base: str) -> str:
        label = str(asked["entityName"])
        return self._file(f"{asked['executionId']}-{label}-staging.txt", job.unread.get(label, []), base)

    def _file(self, name: str, rows: list[tuple[str, str]], base: str) -> str:
        if not rows:
            return ""
        self.blobs[name] = "\r\n".join(f"{row}: {why}" for row, why in rows).encode()
        return f"{base}{BLOBS}{quote(name)}?{_SIGNATURE}"

    def _error_keys(self, job: Job, execution: str, entity: str, base: str) -> str:
        """Empty at the first question, while the file is being made."""
        failed = job.failed.get(entity, [])
        if entity not in job.generated or not failed:
            return ""
        name = f"{execution}-{entity}-errors.txt"
        ready = name in self.blobs
        url = self._file(name, failed, base)
        return url if ready else ""

    # -- import --------------------------------------------------------------------------------------------------
    def _import(self, asked: Record) -> str:
        if any(job.work is not None for job in self.jobs.values()):
            text = "Cannot edit a record in Entities for a processing group (DMFDefinitionGroupEntity)."
            raise action_failed("ImportFromPackage", GROUP, f"{text}\nThe record has never been selected.")
        execution = str(asked.get("executionId") or f"{asked['definitionGroupId']}-{uuid.uuid4()}")
        if execution in self.jobs:
            text = f"Cannot create a record in Execution (DMFDefinitionGroupExecution). Execution: {execution}."
            raise action_failed("ImportFromPackage", GROUP, f"{text}\nThe record already exists.")
        name = unquote(str(asked["packageUrl"]).split(BLOBS, 1)[-1].split("?")[0])
        job = Job("NotRun", self.pending_polls, shows_after=self.shows_after)
        if name not in self.blobs:
            job.status, job.polls = "Failed", 0
        elif asked.get("execute"):
            job.work = self._checked(self.blobs[name]), str(asked["legalEntityId"]).lower()
        self.jobs[execution] = job
        if job.polls == 0:
            self._run(job)
        return execution

    def _run(self, job: Job) -> None:
        if job.work is not None:
            work, job.work = job.work, None
            self._load(job, *work)

    def _checked(self, package: bytes) -> list[Piece]:
        """What a package holds; one that cannot be read, or names an entity that is not there, starts no job."""
        try:
            pieces = pieces_of(package)
        except Malformed as wrong:
            raise action_failed("ImportFromPackage", GROUP, str(wrong)) from None
        for piece in pieces:
            if piece.label not in _LABELS and piece.label != general_journal.LABEL:
                raise no_entity(piece.label)
        return pieces

    def _load(self, job: Job, pieces: list[Piece], company: str) -> None:
        good = 0
        for piece in pieces:
            if piece.unreadable:
                job.unread.setdefault(piece.label, []).append(("file", piece.unreadable))
            entity = BY_SET.get(_LABELS.get(piece.label, ""))
            journal = general_journal.Rows(self.books, company)
            for row in piece.rows:
                try:
                    if entity is None:
                        journal.put(row)
                    else:
                        self._put(entity, row, company)
                    good += 1
                except Refusal as refusal:
                    keys = general_journal.keys(row) if entity is None else _keys(entity, row)
                    job.failed.setdefault(piece.label, []).append((keys, refusal.words))
        wrong = job.failed or job.unread
        job.status = "PartiallySucceeded" if wrong and good else "Failed" if wrong else "Succeeded"

    def _put(self, entity: Entity, row: dict[str, str], company: str) -> None:
        """A row is created, or changes the record of its key."""
        names = {name.upper(): name for name in entity.all_fields}
        body: Record = {names[column]: text for column, text in row.items() if column in names and text != ""}
        body = {name: int(text) if entity.all_fields[name] in "il" else text for name, text in body.items()}
        body.setdefault("dataAreaId", company)
        complete = all(body.get(name) for name in entity.key)
        held = self.books.ledger.by_key(entity, body) if complete else None
        if held is None:
            self.books.create(entity, body, company)
        else:
            self.books.update(entity, held, body, "")

    # -- export --------------------------------------------------------------------------------------------------
    def _export(self, asked: Record) -> str:
        """What has changed since the project's last run; its description names its entities by label."""
        project = str(asked["definitionGroupId"])
        held = self.books.ledger.by_key(BY_SET[f"{GROUP}s"], {"Name": project})
        if held is None:
            raise action_failed("ExportToPackage", GROUP, f"Data project {project} does not exist.")
        execution = str(asked.get("executionId") or f"{project}-{uuid.uuid4()}")
        company, seen = str(asked["legalEntityId"]).lower(), self._exported.setdefault(project, set())
        files: dict[str, tuple[list[str], list[list[str]]]] = {}
        for label in [part.strip() for part in held["Description"].split(",")]:
            entity = BY_SET[_LABELS[label]]
            rows = self.books.ledger.current(entity.entity_set, dataAreaId=company)
            marks = {(entity.entity_set, row["_rec_id"], row[VERSION]) for row in rows}
            new = [row for row in rows if (entity.entity_set, row["_rec_id"], row[VERSION]) not in seen]
            seen |= marks
            columns = [name.upper() for name in entity.all_fields]
            files[label] = columns, [[str(plain(shown(row)[name])) for name in entity.all_fields] for row in new]
        name = str(asked.get("packageName") or f"{execution}.zip")
        self.blobs[name] = package_of(project, files)
        self.jobs[execution] = Job("Succeeded", self.pending_polls, package=name)
        return execution


def _keys(entity: Entity, row: dict[str, str]) -> str:
    return ";".join(row.get(name.upper(), "") for name in entity.key)


def _told(job: Job) -> str:
    """All that went wrong, as JSON in a text."""
    rows = [row for wrong in (job.unread, job.failed) for each in wrong.values() for row in each]
    return json.dumps([{"RecordId": row, "Field": "", "ErrorMessage": why} for row, why in rows])


assert set(_LABELS.values()) <= {entity.entity_set for entity in ENTITIES}
