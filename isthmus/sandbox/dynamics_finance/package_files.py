"""The files of data packages: a zip with a manifest, a header and one file per entity; and what is wrong with one.

From Microsoft's published sample package and what people have published of packages that were refused: without a field
map nothing is taken in and nothing is said, a file that is called Unicode is UTF-16, lines end with both characters.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

NAMESPACE = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"
_IN = f"{{{NAMESPACE}}}"
_OF = "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest"
_FORMATS = ("CSV", "CSV-Unicode")


class Malformed(Exception):
    """Why a package is not taken."""


@dataclass(frozen=True)
class Piece:
    """One entity of a package. rows: by column, of the columns its field map names; unreadable: why there are none."""

    label: str
    rows: tuple[dict[str, str], ...] = ()
    unreadable: str = ""


def pieces_of(package: bytes) -> list[Piece]:
    """What a package holds, in the order of its manifest."""
    try:
        files = zipfile.ZipFile(io.BytesIO(package))
    except zipfile.BadZipFile:
        raise Malformed("The package is not a valid zip file.") from None
    with files:
        _check_header(files)
        manifest = _document(files, "Manifest.xml", "DataManagementPackageManifest")
        return [_piece(files, entry) for entry in manifest.iter(f"{_IN}DataManagementPackageEntityData")]


def _document(files: zipfile.ZipFile, name: str, root: str) -> Xml.Element:
    if name not in files.namelist():
        raise Malformed(f"{name} was not found in the package.")
    try:
        found = Xml.fromstring(files.read(name))
    except Xml.ParseError as wrong:
        raise Malformed(f"{name} cannot be read: {wrong}.") from None
    if found.tag != f"{_IN}{root}":
        raise Malformed(f"{name} holds {found.tag}, {root} of {NAMESPACE} was expected.")
    return found


def _check_header(files: zipfile.ZipFile) -> None:
    header = _document(files, "PackageHeader.xml", "DataManagementPackageHeader")
    for name, wanted in (("ManifestType", _OF), ("PackageType", "DefinitionGroup"), ("PackageVersion", "2")):
        if header.findtext(f"{_IN}{name}") != wanted:
            raise Malformed(f"PackageHeader.xml: {name} is {header.findtext(f'{_IN}{name}')}, not {wanted}.")


def _piece(files: zipfile.ZipFile, entry: Xml.Element) -> Piece:
    label, path, form = (entry.findtext(f"{_IN}{name}", "") for name in ("EntityName", "InputFilePath", "SourceFormat"))
    if form not in _FORMATS:
        raise Malformed(f"The source data format {form} of entity {label} does not exist.")
    if path not in files.namelist():
        raise Malformed(f"The file {path} of entity {label} was not found in the package.")
    content = files.read(path)
    if form == "CSV-Unicode" and not content.startswith(b"\xff\xfe"):
        return Piece(label, unreadable="Selected file is not Unicode.")
    text = content.decode("utf-16" if form == "CSV-Unicode" else "utf-8-sig")
    if "\n" in text.replace("\r\n", ""):
        raise Malformed(
            f"The mapping is incorrect for entity {label} and field {{00000000-0000-0000-0000-000000000000}}."
        )
    mapped = {
        field.findtext(f"{_IN}XMLField", "").upper(): field.findtext(f"{_IN}EntityField", "").upper()
        for field in entry.iter(f"{_IN}EntityMap")
    }
    return Piece(label, tuple(_rows(text, mapped)))


def _rows(text: str, mapped: dict[str, str]) -> Iterator[dict[str, str]]:
    for row in csv.DictReader(io.StringIO(text, newline="")) if mapped else ():
        found = {str(column).upper(): value or "" for column, value in row.items()}
        yield {field: found[column] for column, field in mapped.items() if column in found}


def package_of(project: str, files: dict[str, tuple[list[str], list[list[str]]]]) -> bytes:
    """The package of an export: columns and rows by entity."""
    manifest = Xml.Element("DataManagementPackageManifest", {"xmlns": NAMESPACE})
    Xml.SubElement(manifest, "DefinitionGroupName").text = project
    listed = Xml.SubElement(manifest, "PackageEntityList")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for label, (columns, rows) in files.items():
            entry = Xml.SubElement(listed, "DataManagementPackageEntityData")
            maps = Xml.SubElement(entry, "EntityMapList")
            for column in columns:
                field = Xml.SubElement(maps, "EntityMap")
                Xml.SubElement(field, "EntityField").text = column
                Xml.SubElement(field, "XMLField").text = column
            for tag, text in (("EntityName", label), ("InputFilePath", f"{label}.csv"), ("SourceFormat", "CSV")):
                Xml.SubElement(entry, tag).text = text
            table = io.StringIO()
            csv.writer(table).writerows([columns, *rows])
            package.writestr(f"{label}.csv", table.getvalue())
        header = Xml.Element("DataManagementPackageHeader", {"xmlns": NAMESPACE})
        for tag, text in (("ManifestType", _OF), ("PackageType", "DefinitionGroup"), ("PackageVersion", "2")):
            Xml.SubElement(header, tag).text = text
        package.writestr("Manifest.xml", Xml.tostring(manifest))
        package.writestr("PackageHeader.xml", Xml.tostring(header))
    return out.getvalue()
