"""The $metadata of an OData service, as its collections and their fields."""

from __future__ import annotations

import pytest

from isthmus.domain.errors import BadInput
from isthmus.kit.edmx import collections_of

DOCUMENT = """<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
 <Schema Namespace="Acme.Entities" Alias="Self" xmlns="http://docs.oasis-open.org/odata/ns/edm">
  <EntityType Name="Base" Abstract="true"><Property Name="Id" Type="Edm.Guid"/></EntityType>
  <EntityType Name="Customer" BaseType="Self.Base">
   <Property Name="Name" Type="Edm.String"/><NavigationProperty Name="Orders" Type="Collection(Acme.Entities.Order)"/>
  </EntityType>
  <EntityType Name="Order"><Property Name="No" Type="Edm.String"/></EntityType>
  <EntityContainer Name="Resources">
   <EntitySet Name="Customers" EntityType="Acme.Entities.Customer"/>
   <EntitySet Name="Orders" EntityType="Acme.Entities.Order"/>
  </EntityContainer>
 </Schema></edmx:DataServices></edmx:Edmx>"""


def test_fields_are_those_of_the_type_and_of_what_it_is_based_on() -> None:
    found = collections_of(DOCUMENT)
    assert {name: set(fields) for name, fields in found.items()} == {
        "Customers": {"Id", "Name", "Orders"},
        "Orders": {"No"},
    }


def test_what_is_no_document_is_refused() -> None:
    with pytest.raises(BadInput, match="no XML"):
        collections_of("<html>Sign in")
