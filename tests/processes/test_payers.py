"""Who pays beside the client is a client: found or made, on its own account, paid and taxed as the terms say."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.amending import preview_amendment
from isthmus.app.controls import audit, listed
from isthmus.domain.objects import (
    Address,
    Allocation,
    Client,
    ContractLine,
    ContractVersion,
    FiledContract,
    Invoice,
    Payment,
)
from isthmus.domain.states import CaseState
from isthmus.domain.terms import Cap, InvoiceTerms, Payer
from isthmus.processes.work import cash
from isthmus.processes.work.invoicing import posting_of
from isthmus.processes.work.taxing import tax_question
from isthmus.reconciliation.receivables import check_receivables
from isthmus.store.desk_records import ClientAlias
from isthmus.store.records import Case, Effect
from tests.processes.hub import CLIENT, NEW_YORK, Hub, contract, entry

HALVES = (Payer(bill_to="C-1", percent=Decimal(50)), Payer(bill_to="GRANT", percent=Decimal(50)))
TEXAS = Address(city="Austin", region="TX", postal_code="73301", country="US")
GRANT = Client(client_no="GRANT", legal_name="Alder Foundation", country="US", address=TEXAS)


def terms(*shares: Payer, **changes: Any) -> ContractVersion:
    line: ContractLine = contract().lines[0].model_copy(update={"payers": shares or HALVES})
    return contract(**{"lines": (line,), "caps": (), "payers": (GRANT,), **changes})


def billed(**changes: Any) -> Hub:
    """4 h of 185.00 are invoiced to the halves."""
    hub = Hub()
    hub.set_up(terms(**changes))
    hub.capture(entry(1, "4.0"))
    hub.bill("a")
    return hub


def invoice_of(hub: Hub, payer: str) -> Invoice:
    (found,) = [i for i in hub.rows(Invoice) if i.owed_by == payer]
    return found


def pays(hub: Hub, payer: str, amount: Decimal, **changes: Any) -> None:
    facts = {
        "source": "erp",
        "source_id": f"P-{payer}-{amount}",
        "client_no": payer,
        "amount": amount,
        "currency": "USD",
    }
    payment = Payment(**{**facts, "value_date": date(2026, 4, 1), **changes})
    hub.start("invoice_to_cash", payment.key, payment=payment.model_dump(mode="json"))


def put_clients(hub: Hub) -> list[str]:
    return [e.business_key for e in hub.rows(Effect, order=("run_id", "seq")) if e.verb == "Erp.put_client"]


# -- who it is -----------------------------------------------------------------------------------------------------


def test_a_payer_the_contract_describes_is_set_up_without_asking() -> None:
    hub = billed()
    assert not hub.rows(Case)
    assert put_clients(hub) == ["C-1", "GRANT"]
    with hub.store.transaction() as tx:
        assert tx.get(Client, "GRANT") is not None
    (version,) = hub.rows(ContractVersion)
    assert [(p.client_no, p.payment_terms) for p in version.payers] == [("GRANT", "NET30")]


def test_nothing_is_set_up_for_a_payer_nobody_knows() -> None:
    hub = Hub()
    hub.set_up(terms(payers=()))
    case = hub.case()
    assert (case.exception, case.queue, case.context["payer"]) == ("EX-PAYER", "data-steward", "GRANT")
    assert put_clients(hub) == []
    hub.resolve("create", payer="GRANT", legal_name="Alder Foundation", country="US")
    assert put_clients(hub) == ["C-1", "GRANT"]


def test_each_of_two_unknown_payers_has_its_own_answer() -> None:
    thirds = [Payer(bill_to=name, percent=Decimal(percent)) for name, percent in (("A", "40"), ("B", "60"))]
    hub = Hub()
    hub.set_up(terms(*thirds, payers=()))
    hub.resolve("create", payer="A", legal_name="Alder Foundation", country="US")
    assert hub.case().context["payer"] == "B"
    hub.resolve("create", payer="B", legal_name="Birch Trust", country="DE")
    (version,) = hub.rows(ContractVersion)
    told = [(p.client_no, p.legal_name, p.country) for p in version.payers]
    assert told == [("A", "Alder Foundation", "US"), ("B", "Birch Trust", "DE")]


def test_a_payer_that_is_a_client_under_another_number_is_billed_there_and_remembered() -> None:
    hub = Hub()
    with hub.store.transaction() as tx:
        tx.insert(GRANT)
    named = tuple(p.model_copy(update={"bill_to": "FUND-9"}) if p.bill_to == "GRANT" else p for p in HALVES)
    capped = (Cap(cap_id="p", scope="payer", payer="FUND-9", limit=Decimal("100.00")),)
    hub.set_up(terms(*named, payers=(), caps=capped))
    hub.resolve("link", payer="FUND-9", client_no="GRANT")
    hub.capture(entry(1, "4.0"))
    hub.bill("a")
    assert invoice_of(hub, "GRANT").net == Decimal("100.00")  # under the cap that named it by its other number
    (alias,) = hub.rows(ClientAlias)
    assert (alias.client_no, alias.canonical_no, alias.by) == ("FUND-9", "GRANT", "finn")
    amend(hub, terms(*named, payers=(), caps=(), version=2, effective_from=date(2026, 4, 1)))
    assert hub.rows(ContractVersion, version=2)[0].lines[0].payers[1].bill_to == "GRANT"
    assert not hub.rows(Case, state=CaseState.OPEN)


def test_a_new_payer_that_resembles_a_client_is_a_stewards_decision() -> None:
    hub = Hub()
    twin = GRANT.model_copy(update={"legal_name": CLIENT.legal_name})
    hub.set_up(terms(payers=(twin,)))
    assert not hub.rows(Case)  # nobody is known yet whom it could resemble
    other = terms(
        Payer(bill_to="X-1", percent=Decimal(100)),
        contract_no="K-2",
        payers=(twin.model_copy(update={"client_no": "X-1"}),),
    )
    hub.set_up(other)
    assert hub.case().exception == "EX-PAYER" and "resembles" in hub.case().cause


def test_two_names_of_one_client_on_a_line_cannot_both_have_a_share() -> None:
    hub = Hub()
    hub.set_up(terms(payers=()))
    hub.resolve("link", payer="GRANT", client_no="C-1")
    assert hub.case().exception == "EX-PAYER" and "there is no client C-1" in hub.case().cause
    with hub.store.transaction() as tx:
        tx.insert(CLIENT)
    hub.resolve("link", payer="GRANT", client_no="C-1")
    assert hub.case().exception == "EX-MAP-TERMS" and "named 2 times" in hub.case().cause


def amend(hub: Hub, version: ContractVersion) -> None:
    row = FiledContract(
        contract_no="K-1", version=version.version, content=version, filed_by="ines", filed_at=hub.clock.now()
    )
    with hub.store.transaction() as tx:
        tx.insert(row)
    hub.start("amend_contract", version.key, contract_no="K-1", version=version.version)


def test_an_amendment_brings_its_new_payers_to_the_erp_before_anything_is_billed_to_them() -> None:
    hub = Hub()
    hub.set_up(contract(caps=()))
    amend(hub, terms(version=2, effective_from=date(2026, 3, 1)))
    assert put_clients(hub) == ["GRANT", "C-1"]  # in the order of runs' names
    hub.capture(entry(1, "4.0"))
    hub.bill("a")
    assert invoice_of(hub, "GRANT").net == Decimal("370.00")


def test_a_contract_that_is_called_off_takes_its_new_payer_along() -> None:
    hub = Hub()
    hub.systems.weather.next_fault = lambda system, verb, write: "refused" if verb == "put_task" else None
    hub.set_up(terms())
    hub.resolve("cancel")
    undone = [e.business_key for e in hub.rows(Effect) if e.verb == "Erp.deactivate_client"]
    assert sorted(undone) == ["C-1:deactivate", "GRANT:deactivate"]


# -- whose account, whose money ------------------------------------------------------------------------------------


def test_each_invoice_is_posted_to_the_account_of_who_owes_it() -> None:
    hub = billed()
    with hub.store.transaction() as tx:
        books = hub.kernel.books(tx, key="test", actor="test")
        posted = {p: posting_of(books, invoice_of(hub, p).invoice_id) for p in ("C-1", "GRANT")}
    assert {p: (one.client_no, one.ordered_by) for p, one in posted.items()} == {
        "C-1": ("C-1", ""),
        "GRANT": ("GRANT", "C-1"),
    }
    assert audit(hub.kernel) == []


def test_a_receivable_on_the_clients_account_that_its_payer_owes_is_a_finding() -> None:
    hub = billed()
    invoice = invoice_of(hub, "GRANT")
    with hub.store.transaction() as tx:
        posting = posting_of(hub.kernel.books(tx, key="test", actor="test"), invoice.invoice_id)
    held = hub.systems.erp.find_invoice(posting)
    assert check_receivables([(invoice, posting)], lambda *_: held) == []
    (found,) = check_receivables([(invoice, posting)], lambda *_: held.model_copy(update={"client_no": "C-1"}))
    assert (found.kind, found.amount) == ("differs", invoice.total) and "GRANT owes it" in found.problem


def test_money_settles_what_stands_on_its_own_account_although_the_amounts_are_equal() -> None:
    hub = billed()
    theirs, mine = invoice_of(hub, "GRANT"), invoice_of(hub, "C-1")
    assert theirs.total == mine.total
    pays(hub, "C-1", mine.total)  # says nothing about what it is for
    assert invoice_of(hub, "C-1").open == 0 and invoice_of(hub, "GRANT").open == theirs.total
    pays(hub, "GRANT", theirs.total)
    assert invoice_of(hub, "GRANT").open == 0 and not hub.rows(Case)
    pays(hub, "GRANT", theirs.total + 1)
    assert hub.case().exception == "EX-CASH-UNMATCHED" and hub.case().context["open"] == {}


def test_a_client_may_pay_for_its_payer_where_it_says_so() -> None:
    hub = billed()
    theirs = invoice_of(hub, "GRANT")
    pays(hub, "C-1", theirs.total, applies={theirs.number: theirs.total})
    assert invoice_of(hub, "GRANT").open == 0 and invoice_of(hub, "C-1").open > 0
    (share,) = hub.rows(Allocation)
    back = hub.rows(Payment)[0].model_copy(update={"reversed_on": date(2026, 4, 3)})
    with hub.store.transaction() as tx:
        cash.take_back(hub.kernel.books(tx, key="back", actor="test"), back)
    assert invoice_of(hub, "GRANT").open == theirs.total == share.amount
    assert audit(hub.kernel) == []


def test_a_stranger_cannot_pay_what_stands_on_other_accounts() -> None:
    hub = billed()
    theirs = invoice_of(hub, "GRANT")
    pays(hub, "Z-9", theirs.total, applies={theirs.number: theirs.total})
    assert hub.case().exception == "EX-CASH-UNMATCHED"


# -- tax -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("party", "where", "who"), [("client", NEW_YORK, "C-1"), ("payer", TEXAS, "GRANT")])
def test_the_terms_say_who_is_taxed_for_a_payers_share(party: str, where: Address, who: str) -> None:
    hub = Hub()
    hub.systems.tax.regions = ("US-NY", "US-TX")
    hub.set_up(terms(invoicing=InvoiceTerms(tax_party=party)))
    hub.capture(entry(1, "4.0"))
    hub.bill("a")
    with hub.store.transaction() as tx:
        asked = tax_question(hub.kernel.books(tx, key="t", actor="t"), invoice_of(hub, "GRANT").invoice_id)
    assert asked is not None and (asked.ship_to, asked.client_no) == (where, who)


def test_a_payer_that_is_taxed_itself_needs_a_registration_where_it_is() -> None:
    hub = Hub()
    hub.set_up(terms(invoicing=InvoiceTerms(tax_party="payer")))
    case = hub.case()
    assert case.exception == "EX-TAX-REG" and "US-TX, where payer GRANT is" in case.cause
    assert case.actions == ["retry", "cancel"]  # its certificate comes with the contract
    hub.systems.tax.regions = ("US-NY", "US-TX")
    hub.resolve("retry")
    assert not hub.rows(Case, state=CaseState.OPEN)


# -- caps ----------------------------------------------------------------------------------------------------------


def test_a_cap_of_the_client_counts_what_no_line_names_a_payer_for() -> None:
    hub = Hub()
    hub.set_up(contract(caps=(Cap(cap_id="p", scope="payer", payer="C-1", limit=Decimal("100.00")),)))
    hub.capture(entry(1, "4.0"))
    hub.bill("a")
    assert invoice_of(hub, "C-1").net == Decimal("100.00")


def test_what_an_erp_lists_of_a_payer_is_held_against_what_was_issued() -> None:
    hub = billed()
    assert listed(hub.kernel, "US01") == []


def test_a_preview_of_an_amendment_names_payers_as_the_amendment_would() -> None:
    hub = Hub()
    hub.set_up(contract(caps=()))
    hub.capture(entry(1, "4.0"))
    told = preview_amendment(hub.kernel, terms(version=2, payers=()), "ana")
    assert told.waits.startswith("EX-PAYER") and "payer GRANT" in told.waits and not told.changes
    told = preview_amendment(hub.kernel, terms(version=2), "ana")
    assert not told.waits and {c.payer: c.now for c in told.changes} == {
        "C-1": Decimal("370.00"),
        "GRANT": Decimal("370.00"),
    }
    assert hub.rows(ContractVersion)[-1].version == 1 and not hub.rows(Case)
