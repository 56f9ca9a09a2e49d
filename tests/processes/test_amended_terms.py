"""What an amendment cannot change, and what it must bring along: a case says so before anything is kept."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.domain.objects import ContractVersion
from tests.processes.hub import Hub, contract

REFUSED = {
    "another currency": ({"currency": "EUR"}, "EX-MAP-TERMS", "is in USD and cannot go on in EUR"),
    "payment terms nobody knows": ({"payment_terms": "NET99"}, "EX-TERMS", "NET99 have no due date in US01"),
}


@pytest.mark.parametrize(("change", "exception", "cause"), REFUSED.values(), ids=REFUSED)
def test_an_amendment_that_cannot_be_billed_waits_for_a_person(
    change: dict[str, Any], exception: str, cause: str
) -> None:
    hub = Hub()
    hub.set_up()
    hub.systems.crm.put_contract(contract(version=2, **change))
    assert hub.start("amend_contract", "K-1@2", contract_no="K-1", version=2).state == "parked"
    case = hub.case()
    assert (case.exception, cause in case.cause) == (exception, True), case.cause
    assert [version.version for version in hub.rows(ContractVersion)] == [1], "nothing is kept"


def test_payment_terms_are_mapped_by_a_person_and_the_amendment_goes_on() -> None:
    hub = Hub()
    hub.set_up()
    hub.systems.crm.put_contract(contract(version=2, payment_terms="NET99"))
    hub.start("amend_contract", "K-1@2", contract_no="K-1", version=2)
    hub.resolve("map", payment_terms="NET30")
    assert [v.payment_terms for v in hub.rows(ContractVersion, order=("version",))] == ["NET30", "NET30"]
