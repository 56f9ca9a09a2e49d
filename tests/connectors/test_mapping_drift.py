"""A name that the vendor no longer has, or a firm has misspelt, is told from the metadata before any run meets it."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.app.bootstrap import CONNECTORS
from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.tables import drift

# By connector: settings a firm may get wrong, and what is said of it.
MISSPELT: dict[str, tuple[dict[str, Any], str]] = {
    "salesforce": ({"fields": {"line": {"role": "Rolle__c"}}}, "line: role is Rolle__c there"),
    "hubspot": ({"fields": {"contract": {"po_number": "po_nubmer"}}}, "contract: po_number is po_nubmer there"),
    "jira": ({"fields": {"customfield_99999": 1}}, "fields: customfield_99999 is customfield_99999 there"),
    "netsuite": ({"dimensions": {"practice": "custentity_praxis"}}, "dimensions: practice is custentity_praxis there"),
    "dynamics_finance": ({"tax_id_field": "TaxNubmer"}, "CLIENT: tax_id is TaxNubmer there"),
}
# These vendors publish no description of their standard records that could be asked for.
WITHOUT_METADATA = {"avalara", "docusign", "kantata"}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_name_of_the_firms_own_is_told(name: str) -> None:
    bench = Bench(name)
    bench.reset()
    settings, told = MISSPELT[name]
    bench.samples = bench.samples.model_copy(update={"settings": {**bench.samples.settings, **settings}})
    connection = bench.connect()
    found = drift(connection, connection.connector)
    assert found is not None and len(found) == 1, found
    assert told in found[0].told() and "has no such field" in found[0].told()


def test_every_connector_whose_vendor_describes_its_records_asks_for_it() -> None:
    assert {name for name in CONNECTORS if not hasattr(Bench(name).kind, "describe")} == WITHOUT_METADATA
