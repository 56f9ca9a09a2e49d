"""Steps that make those who pay beside the client clients of the firm too: found, in the books, set up in the ERP."""

from __future__ import annotations

from isthmus.domain.objects import Client, ContractVersion
from isthmus.policies.payers import payer_numbers, resolve_payer, with_payers
from isthmus.policies.readiness import check_terms
from isthmus.ports import Erp
from isthmus.processes.work.drafting import latest_version
from isthmus.processes.work.onboarding import client_is_new
from isthmus.runtime.books import Books
from isthmus.runtime.run import Run
from isthmus.store.desk_records import ClientAlias


def find(run: Run, contract: ContractVersion, client: Client | None = None) -> ContractVersion:
    """P1.3 for each payer that lines name: the contract with all of them, each under the number it goes by.

    client: of the contract; None for an amendment, whose client is the one of the version before.
    """
    names = payer_numbers(contract)
    found = [run.decide("Find who else pays", find_payer, contract, client, name) for name in names]
    if not found:
        return contract
    return run.decide("Check the shares of those who pay", checked, contract, dict(zip(names, found, strict=True)))


def resolved(books: Books, contract: ContractVersion) -> ContractVersion:
    """As find, at once, for a preview of an amendment: nobody is asked, so who is unknown is raised."""
    names = payer_numbers(contract)
    return checked(books, contract, {name: find_payer(books, contract, None, name) for name in names})


def find_payer(books: Books, contract: ContractVersion, client: Client | None, name: str) -> Client:
    """The client a payer is. The steward's link is remembered: the name stands for that client from now on."""
    if name == contract.client_no:
        return client or latest_version(books, contract.contract_no).client
    alias = books.tx.get(ClientAlias, name)
    canonical = books.tx.get(Client, alias.canonical_no) if alias is not None and alias.active else None
    if canonical is not None:
        return _as_last_agreed(books, canonical)
    known = books.tx.find(Client, order=("client_no",))
    found = resolve_payer(contract, name, known, books.answers)
    if found.client_no != name:
        _remember(books, name, found)
    return found if found in contract.payers else _as_last_agreed(books, found)


def _as_last_agreed(books: Books, client: Client) -> Client:
    """The client as its newest contract knows it: what is sent to the ERP must not be older than what it has."""
    signed = books.tx.find(ContractVersion, client_no=client.client_no, order=("signed_on", "version"))
    return signed[-1].client if signed else client


def _remember(books: Books, name: str, client: Client) -> None:
    answer = books.answers["EX-PAYER"]
    by, reason = str(answer["by"]), f"payer {name} is client {client.client_no}"
    books.tx.put(ClientAlias(client_no=name, canonical_no=client.client_no, by=by, at=books.now, reason=reason))
    books.audit("client.merge", f"client:{name}", reason=reason, after={"stands_for": client.client_no}, actor=by)


def checked(books: Books, contract: ContractVersion, found: dict[str, Client]) -> ContractVersion:
    """The contract with its payers, whose shares still fit where two names were one client."""
    return check_terms(with_payers(contract, found))


def set_up(run: Run, contract: ContractVersion, *, undone: bool) -> None:
    """P1.7 for those who pay beside the client. undone: a new payer goes with the contract if that is called off."""
    for payer in contract.payers:
        new = run.decide("Take a payer into the books", client_is_new, payer)
        undo = Erp.deactivate_client if new and undone else None
        run.effect("Create a payer in the ERP", Erp.put_client, payer, undo=undo)
