"""Data packages of Microsoft's finance and operations apps: files of many rows, taken in by a job under an id of ours.

    GetAzureWriteUrl, PUT the package there, ImportFromPackage(id), then GetExecutionSummaryStatus(id) until it is final

A package may be taken in in part, and none may be started while another one is. Sources: Microsoft, "Data management
package REST API"; published clients of it for what a package must hold (a field map, text in UTF-16, both characters at
the end of a line), and that an execution is not known for a while after it was started.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as Xml

from isthmus.domain.errors import Underway, Unreachable
from isthmus.kit.keys import digest, to_external_id
from isthmus.kit.mapping import StatusTable
from isthmus.kit.meaning import meaning
from isthmus.kit.odata import ODataConnector, day_of
from isthmus.kit.wire import Request, Row, Verb, decode

_ACTIONS = "DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
_NAMESPACE = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"
_OF = "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest"
_NOT_KNOWN = "Execution details were not found"
_UPLOAD = {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/zip"}
ABSENT, UNDERWAY, DONE = "not known there", "underway", "taken in"
ATTEMPTS_MAX = 50  # packages of the same rows
PATIENCE = 20  # how often an execution that is not known, or a list of its errors that is not there yet, is asked for
EXECUTION = StatusTable(
    "data package execution",
    {
        "Unknown": UNDERWAY,
        "NotRun": UNDERWAY,
        "Executing": UNDERWAY,
        "Succeeded": DONE,
        "PartiallySucceeded": "taken in in part",
        "Failed": "failed",
        "Canceled": "cancelled",
    },
)


@dataclass(frozen=True)
class Package:
    """Rows of one entity. execution: the id it is taken in under; project: the data project; entity: its name in data
    management; rows: all with the same fields.
    """

    execution: str
    project: str
    entity: str
    rows: Sequence[Row]


class PackageConnector(ODataConnector):
    """Base of connectors that give data packages in. The setting package_project names the data project."""

    def give_in(
        self, name: str, entity: str, rows: Sequence[Row], company: str, there: Callable[[], Verb[list[Row]]]
    ) -> Verb[str]:
        """Have the rows taken in, once; the execution that does it, which taken_in asks for. Empty: they are all there.

        name: says what they are, the same at every call. An execution of it that has come to its end is followed by
        another one to bring in the rest: so the rows have to be such that one that is given in twice is there once.
        """
        named = f"{to_external_id(name)[:60]}-{digest([company, name])}"
        for number in range(1, ATTEMPTS_MAX + 1):
            execution = f"{named}-{number}"
            state = yield from self._state_of(execution)
            if state == UNDERWAY:
                return execution
            if state == ABSENT:
                # Looked for after the state of the last one was known: it may have brought them in just before.
                if len((yield from there())) < len(rows):
                    yield from self._start(Package(execution, self.setting("package_project"), entity, rows), company)
                    return execution
                return ""
        raise self.refusal(f"{self.system}: {ATTEMPTS_MAX} packages of {named} were not taken in", "PACKAGE", "rows")

    def taken_in(
        self, what: str, execution: str, entity: str, job: str, there: Callable[[], Verb[list[Row]]], wanted: int
    ) -> Verb[None]:
        """Nothing, once all rows are there. Underway while they are not, under the job with the execution: its id, and
        how often it was asked for in vain. A refusal, when it has ended, says how many are there, and what is wrong.
        """
        named, _, vain = execution.partition("*")
        state = yield from self._state_of(named)
        if state == UNDERWAY:
            raise Underway(f"{self.system}: package {named} is being taken in", job=job + execution, state="accepted")
        ended = state not in (ABSENT, DONE)
        told = (yield from self._errors_of(named, entity)) if ended else None
        held = len((yield from there()))
        if state == DONE and held >= wanted:
            return
        if told is None and int(vain or 0) < PATIENCE:
            cause, again = f"{self.system}: package {named} does not show yet", f"{job}{named}*{int(vain or 0) + 1}"
            raise Underway(cause, job=again, state="accepted")
        cause = f"{self.system}: {what} is not posted: {held} of {wanted} rows are in, package {named} is {state}"
        more = f"{cause}: {(told or 'no reason is told')[:300]}. Try again, and the rest is brought in"
        raise self.refusal(more, "PACKAGE", "rows", told or "")

    def _state_of(self, execution: str) -> Verb[str]:
        """ABSENT, UNDERWAY, DONE, or how it has ended else. Absent is no proof: a new one shows after a while."""
        request = self._action("GetExecutionSummaryStatus", executionId=execution)
        answer = yield replace(request, allow=(400, 404, 500))
        if _NOT_KNOWN in answer.text:
            return ABSENT
        wrong = meaning(self.manifest, self.system, request, answer, str)
        if wrong is not None:
            raise wrong
        return EXECUTION.read(answer.body["value"])

    def _start(self, package: Package, company: str) -> Verb[None]:
        """Upload a package and have it taken in. Until the last request nothing has happened there."""
        answer = yield self._action("GetAzureWriteUrl", uniqueFileName=f"{package.execution}.zip")
        url = str(decode(answer.body["value"])["BlobUrl"])
        where, _, signed = url.partition("?")
        put = Request("PUT", where, query=dict(parse_qsl(signed)), content=zipped(package), headers=_UPLOAD)
        taken = yield replace(put, elsewhere=True, writes=False, allow=(400, 403, 404))
        if taken.status >= 400:
            raise Unreachable(f"{self.system}: the address for the package is not taken any more ({taken.status})")
        facts = {"executionId": package.execution, "definitionGroupId": package.project, "legalEntityId": company}
        order = self._action("ImportFromPackage", packageUrl=url, execute=True, overwrite=True, **facts)
        yield replace(order, writes=True, alone="ImportFromPackage")

    def _errors_of(self, execution: str, entity: str) -> Verb[str | None]:
        """What a job says of the rows it has not taken in; None while the list of their keys is being made."""
        about = {"executionId": execution, "entityName": entity}
        told = yield replace(self._action("GetExecutionErrors", executionId=execution), allow=(400, 404, 500))
        words = [str(row["ErrorMessage"]) for row in decode(told.body["value"]) or ()] if told.status == 200 else []
        keys = yield from self._file("GetImportTargetErrorKeysFileUrl", about)
        if not keys and (yield self._action("GenerateImportTargetErrorKeysFile", **about)).body["value"]:
            return None
        unread = yield from self._file("GetImportStagingErrorFileUrl", about)
        return "; ".join(dict.fromkeys(filter(None, [*words, *unread.splitlines(), *keys.splitlines()])))

    def _file(self, action: str, about: Row) -> Verb[str]:
        """The text of a file whose address an action tells; empty when there is none."""
        url = str((yield self._action(action, **about)).body["value"])
        where, _, signed = url.partition("?")
        if not url:
            return ""
        return (yield Request("GET", where, query=dict(parse_qsl(signed)), elsewhere=True)).text

    def _action(self, name: str, **asked: Any) -> Request:
        return Request("POST", f"{self.service}/{_ACTIONS}{name}", json=asked, writes=False)


def general_journal(sides: Iterable[Row], vouchers: Iterable[int]) -> list[Row]:
    """Lines of a general journal as data management has them, by the place of each in it; vouchers are replaced when it
    is posted. Source: Microsoft, "General journal entity".
    """
    rows = []
    for place, (side, voucher) in enumerate(zip(sides, vouchers, strict=True), 1):
        row = {name: value for name, value in side.items() if name != "dataAreaId"}  # the import names the company
        row |= {"LineNumber": place, "Voucher": f"{side['JournalBatchNumber']}-{voucher}"}
        row |= {"AccountType": {"Cust": "Customer", "Vend": "Vendor"}.get(side["AccountType"], side["AccountType"])}
        rows.append(row | {"TransDate": str(day_of(side["TransDate"]))})
    return rows


def zipped(package: Package) -> bytes:
    """The file of a package. The same rows make the same bytes."""
    names, table = list(package.rows[0]), io.StringIO()
    columns = [name.upper() for name in names]
    csv.writer(table).writerows([columns, *([row[name] for name in names] for row in package.rows)])
    file = f"{package.entity}.csv"
    entity = {
        "DefaultRefreshType": "FullPush",
        "Disable": "false",
        "EntityMapList": [_mapped(name) for name in columns],
    }
    entity |= {"EntityName": package.entity, "ExecutionUnit": "1", "InputFilePath": file, "LevelInExecutionUnit": "1"}
    entity |= {"SequenceInLevel": "1", "SkipStaging": "false", "SourceFormat": "CSV-Unicode"}
    about = {"DefinitionGroupName": package.project, "Description": package.execution}
    manifest = about | {"PackageEntityList": [("DataManagementPackageEntityData", entity)]}
    header = {"Description": package.project, "ManifestType": _OF, "PackageType": "DefinitionGroup"}
    contents = {
        "Manifest.xml": _document("DataManagementPackageManifest", manifest),
        "PackageHeader.xml": _document("DataManagementPackageHeader", header | {"PackageVersion": "2"}),
        file: b"\xff\xfe" + table.getvalue().encode("utf-16-le"),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in contents.items():
            made.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _mapped(column: str) -> tuple[str, Row]:
    flags = ("IsAutoDefault", "IsAutoGenerated", "IsDefaultValueEqualNull", "UseTextQualifier")
    return "EntityMap", {"ArrayIndex": "0", "EntityField": column, **dict.fromkeys(flags, "false"), "XMLField": column}


def _document(root: str, content: Row) -> bytes:
    made = Xml.Element(root, {"xmlns": _NAMESPACE})
    _fill(made, content)
    written: bytes = Xml.tostring(made, "utf-8", xml_declaration=True)
    return written


def _fill(parent: Xml.Element, content: Row) -> None:
    """Texts as elements of their name; a list as elements within one, each a name with its content."""
    for name, value in content.items():
        child = Xml.SubElement(parent, name)
        if isinstance(value, str):
            child.text = value
        else:
            for inner, inside in value:
                _fill(Xml.SubElement(child, inner), inside)
