"""An invoice that bills two contracts of a client is found under each of them: pages, lists, timeline, journey."""

from __future__ import annotations

from isthmus.app.journey import journey_of
from isthmus.desk.position import position_of
from isthmus.domain.objects import Invoice
from isthmus.domain.terms import InvoiceTerms
from tests.app.stage import an_entry
from tests.console.stage import ConsoleStage, text_of
from tests.processes.hub import contract

NUMBER = "US01-INV-2026-00001"


def shared(stage: ConsoleStage) -> Invoice:
    """K-1 and K-2 on one invoice of 1,665.00; K-3 shares too and has nothing on it."""
    for number in ("K-1", "K-2", "K-3"):
        stage.set_up(contract(contract_no=number, invoicing=InvoiceTerms(consolidate=True), caps=()))
    stage.record(an_entry(1), an_entry(2, "1", day=4, project_code="P-K-2"))
    body = {"client_no": "C-1", "cutoff": "2026-03-31", "name": "2026-03"}
    assert stage.post("/v1/client-billing-runs", body, by="ana").status_code == 202
    stage.go()
    (invoice,) = stage.rows(Invoice)
    return invoice  # type: ignore[no-any-return]


def test_it_is_shown_under_each_of_its_contracts_and_no_other(stage: ConsoleStage) -> None:
    assert shared(stage).number == NUMBER
    visitor = stage.visit("finn")
    for contract_no, there in (("K-1", True), ("K-2", True), ("K-3", False)):
        listed = stage.get(f"/v1/invoices?contract={contract_no}").json()["items"]
        assert [one["number"] for one in listed] == [NUMBER] * there
        assert (NUMBER in visitor.get(f"/console/engagements/{contract_no}").text) is there
        assert (NUMBER in text_of(visitor.get(f"/console/invoices?contract_no={contract_no}").text)) is there
        with stage.hub.store.transaction() as tx:
            assert [one.number for one in journey_of(tx, contract_no).invoices] == [NUMBER] * there
            assert any(NUMBER in what for what, _ in position_of(tx, contract_no)) is there
    page = visitor.get(f"/console/invoices/{NUMBER}").text
    assert all(f'href="/console/engagements/{number}"' in page for number in ("K-1", "K-2"))
    with stage.hub.store.transaction() as tx:
        found = journey_of(tx, NUMBER)
    assert [one.contract_no for one in found.contracts] == ["K-1", "K-2"]
