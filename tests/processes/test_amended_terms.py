"""What an amendment cannot change, and what it must bring along: a case says so before anything is kept."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.controls import audit
from isthmus.domain.objects import ContractVersion, Invoice
from isthmus.domain.states import CaseState
from isthmus.store.desk_records import ClientAlias
from isthmus.store.records import Case
from tests.processes.hub import CLIENT, Hub, contract, entry
from tests.processes.test_new_shares import amend

OTHER = CLIENT.model_copy(update={"client_no": "C-2", "legal_name": "Zenith Rail"})

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "another currency": ({"currency": "EUR"}, "EX-MAP-TERMS", "is in USD and cannot go on in EUR"),
    "another client": (
        {"client_no": "C-2", "client": OTHER},
        "EX-AMENDMENT",
        "contract K-1@2: it names client C-2, and it runs with C-1: neither changes by an amendment;"
        " end the contract and sign another one",
    ),
    "another legal entity": ({"entity": "GB01"}, "EX-AMENDMENT", "it names legal entity GB01, and it runs with US01:"),
    "both": (
        {"client_no": "C-2", "client": OTHER, "entity": "GB01"},
        "EX-AMENDMENT",
        "it names client C-2, and it runs with C-1 and legal entity GB01, and it runs with US01:",
    ),
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


def amended(hub: Hub, number: int, **changes: Any) -> str:
    hub.systems.crm.put_contract(contract(version=number, **changes))
    return str(hub.start("amend_contract", f"K-1@{number}", contract_no="K-1", version=number).state)


def test_a_person_says_that_it_is_the_same_client_and_is_not_asked_again() -> None:
    hub = Hub()
    hub.set_up()
    assert amended(hub, 2, client_no="C-2", client=OTHER) == "parked"
    hub.resolve("keep")
    assert [v.client_no for v in hub.rows(ContractVersion, order=("version",))] == ["C-1", "C-1"]
    assert amended(hub, 3, client_no="C-2", client=OTHER) == "done"
    assert amended(hub, 4, entity="GB01") == "parked", "that was about the client alone"


def test_what_the_source_calls_a_linked_client_and_a_chosen_entity_is_no_other_one() -> None:
    """The CRM goes on naming the client a steward has linked, and the company finance has replaced."""
    twin = CLIENT.model_copy(update={"client_no": "C-9"})
    hub = Hub()
    with hub.store.transaction() as tx:
        tx.insert(CLIENT)
    hub.set_up(contract(client_no="C-9", client=twin, entity="ZZ"))
    hub.resolve("link", client_no="C-1")
    hub.resolve("choose", entity="US01")
    assert [(v.client_no, v.entity) for v in hub.rows(ContractVersion)] == [("C-1", "US01")]
    assert amended(hub, 2, client_no="C-9", client=twin, entity="ZZ") == "done"
    assert amended(hub, 3, client_no="C-2", client=OTHER, entity="ZZ") == "parked"
    assert "client C-2" in hub.case().cause and "legal entity" not in hub.case().cause


def test_a_merged_client_is_the_one_it_was_merged_with() -> None:
    hub = Hub()
    hub.set_up()
    alias = ClientAlias(client_no="C-8", canonical_no="C-1", by="stella", at=hub.clock.now(), reason="the same")
    with hub.store.transaction() as tx:
        tx.insert(alias)
    assert amended(hub, 2, client_no="C-8", client=CLIENT.model_copy(update={"client_no": "C-8"})) == "done"
    with hub.store.transaction() as tx:
        tx.update(alias.model_copy(update={"active": False}))
    assert amended(hub, 3, client_no="C-8", client=CLIENT.model_copy(update={"client_no": "C-8"})) == "parked"


def test_what_is_not_billed_is_taxed_as_the_amended_terms_say_and_what_is_billed_keeps_its_tax() -> None:
    """Nothing of the price changes: only the category under which the work is taxed from its first day on."""
    hub = Hub()
    standard = contract().lines[0].model_copy(update={"tax_category": "S"})
    hub.set_up(contract(lines=(standard,), caps=()))
    hub.capture(entry(1, "1.0"))
    hub.bill("a")
    hub.capture(entry(2, "2.0", day=4))
    exempt = standard.model_copy(update={"tax_category": "E"})
    amend(hub, contract(lines=(exempt,), caps=(), version=2, signed_on=date(2026, 4, 1)))
    hub.bill("b")
    assert not hub.rows(Case, state=CaseState.OPEN)
    told = {i.invoice_id: [(one.net, one.tax_category) for one in i.lines] for i in hub.rows(Invoice)}
    assert told == {"K-1:a": [(Decimal("185.00"), "S")], "K-1:b": [(Decimal("370.00"), "E")]}
    assert audit(hub.kernel) == []
