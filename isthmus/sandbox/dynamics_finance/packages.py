"""Data packages: a zip with a manifest and one CSV file per entity, imported and exported as jobs (DMF).

From Microsoft's "Data management package REST API" and its published sample package. The blob storage is here, too.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from starlette.responses import JSONResponse, Response

from isthmus.sandbox.base import Record
from isthmus.sandbox.dynamics_finance.books import Books
from isthmus.sandbox.dynamics_finance.errors import Refusal, action_failed
from isthmus.sandbox.dynamics_finance.ledger import VERSION, shown
from isthmus.sandbox.dynamics_finance.schema import BY_SET, ENTITIES, Entity
from isthmus.sandbox.dynamics_finance.values import plain

GROUP = "DataManagementDefinitionGroup"
ACTIONS = f"{GROUP}s/Microsoft.Dynamics.DataEntities."
BLOBS = "/dmf/"
_MANIFEST = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"
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
    """One import or export. failed: what was refused, by entity label, with the reason."""

    status: str
    polls: int = 0
    failed: dict[str, list[str]] = field(default_factory=dict)
    generated: set[str] = field(default_factory=set)
    package: str = ""


class Packages:
    """The actions of data projects. pending_polls: how often a job is still executing when it is asked for."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.pending_polls = 0
        self.blobs: dict[str, bytes] = {}
        self.jobs: dict[str, Job] = {}
        self._exported: dict[str, set[tuple[str, int, int]]] = {}

    def forget(self) -> None:
        """No jobs, no blobs."""
        self.blobs.clear()
        self.jobs.clear()
        self._exported.clear()

    # -- blob storage --------------------------------------------------------------------------------------------
    def blob(self, method: str, path: str, query: str, body: bytes) -> Response:
        """Write or read a blob with the address that was given out."""
        name = path.removeprefix(BLOBS)
        if query != _SIGNATURE:
            return Response("AuthenticationFailed", 403)
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
            value = self._status(str(asked["executionId"]))
        elif name == "GetExportedPackageUrl":
            job = self._job(name, asked)
            value = {"value": f"{base}{BLOBS}{quote(job.package)}?{_SIGNATURE}" if job.package else ""}
        elif name == "GetImportStagingErrorFileUrl":
            self._job(name, asked)
            value = ""  # a CSV row that can be read is never refused on its way to staging
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
        found = self.jobs.get(str(asked.get("executionId")))
        if found is None:
            raise action_failed(action, GROUP, f"Execution {asked.get('executionId')} does not exist.")
        return found

    def _status(self, execution: str) -> str:
        job = self.jobs.get(execution)
        if job is None:
            return "Unknown"
        if job.polls > 0:
            job.polls -= 1
            return "Executing"
        return job.status

    def _error_keys(self, job: Job, execution: str, entity: str, base: str) -> str:
        """Empty at the first question, while the file is being made."""
        failed = job.failed.get(entity, [])
        if entity not in job.generated or not failed:
            return ""
        name = f"{execution}-{entity}-errors.txt"
        ready = name in self.blobs
        self.blobs[name] = "\r\n".join(failed).encode()
        return f"{base}{BLOBS}{quote(name)}?{_SIGNATURE}" if ready else ""

    # -- import --------------------------------------------------------------------------------------------------
    def _import(self, asked: Record) -> str:
        if any(job.polls > 0 for job in self.jobs.values()):
            raise action_failed("ImportFromPackage", GROUP, "Another package is being imported.")
        execution = str(asked.get("executionId") or f"{asked['definitionGroupId']}-{uuid.uuid4()}")
        if execution in self.jobs:
            raise action_failed("ImportFromPackage", GROUP, f"Execution {execution} already exists.")
        name = str(asked["packageUrl"]).split(BLOBS, 1)[-1].split("?")[0]
        job = Job("NotRun", self.pending_polls)
        self.jobs[execution] = job
        if name not in self.blobs:
            job.status = "Failed"
        elif asked.get("execute"):
            self._load(job, self.blobs[name], str(asked["legalEntityId"]).lower())
        return execution

    def _load(self, job: Job, package: bytes, company: str) -> None:
        good = 0
        for label, rows in _rows_of(package):
            entity = BY_SET.get(_LABELS.get(label, ""))
            for row in rows:
                try:
                    if entity is None:
                        raise action_failed("ImportFromPackage", GROUP, f"The entity {label} does not exist.")
                    self._put(entity, row, company)
                    good += 1
                except Refusal as refusal:
                    keys = ";".join(row.values()) if entity is None else _keys(entity, row)
                    job.failed.setdefault(label, []).append(f"{keys}: {json.dumps(refusal.body)}")
        job.status = (
            "PartiallySucceeded" if job.failed and good else "Failed" if job.failed or not good else "Succeeded"
        )

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
        files: dict[str, str] = {}
        for label in [part.strip() for part in held["Description"].split(",")]:
            entity = BY_SET[_LABELS[label]]
            rows = self.books.ledger.current(entity.entity_set, dataAreaId=company)
            marks = {(entity.entity_set, row["_rec_id"], row[VERSION]) for row in rows}
            new = [row for row in rows if (entity.entity_set, row["_rec_id"], row[VERSION]) not in seen]
            seen |= marks
            files[label] = _csv_of(entity, new)
        name = str(asked.get("packageName") or f"{execution}.zip")
        self.blobs[name] = _package_of(project, files)
        self.jobs[execution] = Job("Succeeded", self.pending_polls, package=name)
        return execution


def _keys(entity: Entity, row: dict[str, str]) -> str:
    return ";".join(row.get(name.upper(), "") for name in entity.key)


def _rows_of(package: bytes) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """(entity label, rows) of a package, in the order of its manifest."""
    with zipfile.ZipFile(io.BytesIO(package)) as files:
        name = next(each for each in files.namelist() if each.lower() == "manifest.xml")
        for entry in Xml.fromstring(files.read(name)).iter(f"{{{_MANIFEST}}}DataManagementPackageEntityData"):
            label = entry.findtext(f"{{{_MANIFEST}}}EntityName", "")
            text = files.read(entry.findtext(f"{{{_MANIFEST}}}InputFilePath", "")).decode("utf-8-sig")
            yield label, [{k.upper(): v or "" for k, v in row.items()} for row in csv.DictReader(io.StringIO(text))]


def _csv_of(entity: Entity, rows: list[Record]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([name.upper() for name in entity.all_fields])
    for row in rows:
        writer.writerow([plain(shown(row)[name]) for name in entity.all_fields])
    return out.getvalue()


def _package_of(project: str, files: dict[str, str]) -> bytes:
    """A zip with manifest, header and a file per entity."""
    manifest = Xml.Element("DataManagementPackageManifest", {"xmlns": _MANIFEST})
    Xml.SubElement(manifest, "DefinitionGroupName").text = project
    listed = Xml.SubElement(manifest, "PackageEntityList")
    for label in files:
        entry = Xml.SubElement(listed, "DataManagementPackageEntityData")
        for tag, text in (("EntityName", label), ("InputFilePath", f"{label}.csv"), ("SourceFormat", "CSV")):
            Xml.SubElement(entry, tag).text = text
    header = Xml.Element("DataManagementPackageHeader", {"xmlns": _MANIFEST})
    Xml.SubElement(header, "PackageType").text = "DefinitionGroup"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("Manifest.xml", Xml.tostring(manifest))
        package.writestr("PackageHeader.xml", Xml.tostring(header))
        for label, text in files.items():
            package.writestr(f"{label}.csv", text)
    return out.getvalue()


assert set(_LABELS.values()) <= {entity.entity_set for entity in ENTITIES}
