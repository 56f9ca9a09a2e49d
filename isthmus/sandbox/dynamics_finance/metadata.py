"""The service document and $metadata, made from the schema."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as Xml

from isthmus.sandbox.dynamics_finance.schema import BY_SET, EDM, ENTITIES, ENUMS, NAMESPACE, Entity

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_ACTIONS = {  # package actions: name -> parameters
    "GetAzureWriteUrl": ("uniqueFileName",),
    "GetExecutionSummaryStatus": ("executionId",),
    "GetExportedPackageUrl": ("executionId",),
    "GetImportStagingErrorFileUrl": ("executionId", "entityName"),
}


def service_document(root: str) -> dict[str, Any]:
    """The list of collections."""
    sets = [{"name": e.entity_set, "kind": "EntitySet", "url": e.entity_set} for e in ENTITIES]
    return {"@odata.context": f"{root}/$metadata", "value": sets}


def document() -> bytes:
    """The metadata document."""
    whole = Xml.Element("edmx:Edmx", {"Version": "4.0", "xmlns:edmx": _EDMX})
    services = Xml.SubElement(whole, "edmx:DataServices")
    schema = Xml.SubElement(
        services, "Schema", {"Namespace": NAMESPACE, "xmlns": "http://docs.oasis-open.org/odata/ns/edm"}
    )
    for name, members in ENUMS.items():
        listed = Xml.SubElement(schema, "EnumType", {"Name": name})
        for value, member in enumerate(members):
            Xml.SubElement(listed, "Member", {"Name": member, "Value": str(value)})
    for entity in ENTITIES:
        _entity_type(schema, entity)
    for name, parameters in _ACTIONS.items():
        _action(schema, name, parameters)
    container = Xml.SubElement(schema, "EntityContainer", {"Name": "Resources"})
    for entity in ENTITIES:
        kind = f"{NAMESPACE}.{entity.name}"
        made = Xml.SubElement(container, "EntitySet", {"Name": entity.entity_set, "EntityType": kind})
        for link, (target, _, _) in entity.links.items():
            Xml.SubElement(made, "NavigationPropertyBinding", {"Path": link, "Target": target})
    return b'<?xml version="1.0" encoding="utf-8"?>' + Xml.tostring(whole)


def _entity_type(schema: Xml.Element, entity: Entity) -> None:
    made = Xml.SubElement(schema, "EntityType", {"Name": entity.name})
    key = Xml.SubElement(made, "Key")
    for name in entity.key:
        Xml.SubElement(key, "PropertyRef", {"Name": name})
    for name, kind in entity.all_fields.items():
        facts = {"Name": name, "Type": EDM.get(kind, f"{NAMESPACE}.{kind}")}
        if name in entity.key or kind in "ilnd":
            facts["Nullable"] = "false"
        if kind == "n":
            facts["Scale"] = "variable"
        Xml.SubElement(made, "Property", facts)
    for link, (target, _, _) in entity.links.items():
        kind = f"Collection({NAMESPACE}.{BY_SET[target].name})"
        Xml.SubElement(made, "NavigationProperty", {"Name": link, "Type": kind})


def _action(schema: Xml.Element, name: str, parameters: tuple[str, ...]) -> None:
    bound = f"Collection({NAMESPACE}.DataManagementDefinitionGroup)"
    made = Xml.SubElement(schema, "Action", {"Name": name, "IsBound": "true"})
    Xml.SubElement(made, "Parameter", {"Name": "bindingParameter", "Type": bound})
    for parameter in parameters:
        Xml.SubElement(made, "Parameter", {"Name": parameter, "Type": "Edm.String"})
    Xml.SubElement(made, "ReturnType", {"Type": "Edm.String"})
