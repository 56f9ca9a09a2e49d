"""What an OData service says it has: the fields of each of its collections, from its $metadata document.

Source: OASIS Common Schema Definition Language 4.0, XML: an entity set of the container names its entity type, an
entity type its properties, and those of the type it is based on.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from isthmus.domain.errors import BadInput
from isthmus.kit.drift import Described, RemoteField


def collections_of(document: str) -> dict[str, Described]:
    """The fields of each collection of a service, links to others among them. BadInput for what is no such document."""
    try:
        whole = Xml.fromstring(document)
    except Xml.ParseError as wrong:
        raise BadInput(f"the service's metadata is no XML: {wrong}") from wrong
    types: dict[str, Xml.Element] = {}
    for schema in whole.iterfind(".//{*}Schema"):
        names = {schema.get("Namespace", ""), schema.get("Alias", "")} - {""}
        for entity in schema.iterfind("{*}EntityType"):
            types |= {f"{name}.{entity.get('Name')}": entity for name in names}
    sets = {str(each.get("Name")): str(each.get("EntityType")) for each in whole.iterfind(".//{*}EntitySet")}
    return {name: _fields(types, kind) for name, kind in sets.items()}


def _fields(types: dict[str, Xml.Element], kind: str) -> Described:
    if kind not in types:
        return {}
    entity = types[kind]
    own = [*entity.iterfind("{*}Property"), *entity.iterfind("{*}NavigationProperty")]
    return _fields(types, entity.get("BaseType", "")) | {str(each.get("Name")): RemoteField() for each in own}
