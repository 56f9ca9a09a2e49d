"""Who else pays: each payer that lines and caps of a contract name is a client of the firm, or becomes one.

An invoice of a payer stands on the payer's own account in the ERP, is paid from there and is dunned there, so a payer
needs what a client needs: a number, a legal name and a country. A name nobody knows is never billed under the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import Client, ContractLine, ContractVersion, LegalEntity
from isthmus.policies.readiness import case_about, look_alikes
from isthmus.policies.tax_decision import decide_tax

POLICY = "payers/1"


def payer_numbers(contract: ContractVersion) -> list[str]:
    """Whom the lines name as payers, the client among them, in the order of the contract."""
    return list(dict.fromkeys(payer.bill_to for line in contract.lines for payer in line.payers))


def resolve_payer(
    contract: ContractVersion, number: str, known: Sequence[Client], answers: Mapping[str, Mapping[str, Any]]
) -> Client:
    """The client a payer is: as the contract gives it, else the known one of that number, else as a person says.

    known: the clients of the hub; the answer to EX-PAYER is read where it is about this payer: {"action": "link",
    "payer": …, "client_no": …} or {"action": "create", "payer": …, "legal_name": …, "country": …}. EX-PAYER for a
    payer of whom nobody has said who it is, and for a new one that resembles a known client.
    """
    answer = answers.get("EX-PAYER", {})
    decided = answer if answer.get("payer") == number else {}
    by_number = {client.client_no: client for client in known}
    if decided.get("action") == "link":
        linked = by_number.get(str(decided.get("client_no")))
        if linked is None:
            raise _unknown(contract, number, f"there is no client {decided.get('client_no')}")
        return linked
    if decided.get("action") == "create":
        return Client(client_no=number, legal_name=str(decided["legal_name"]), country=str(decided["country"]))
    given = next((payer for payer in contract.payers if payer.client_no == number), None)
    if number in by_number:
        return given or by_number[number]
    if given is None:
        raise _unknown(contract, number, "no client has this number, and the contract does not say who it is")
    likely = look_alikes(given, known)
    if likely:
        names = "; ".join(f"{one['client_no']} {one['name']} ({one['reason']})" for one in likely)
        raise _unknown(contract, number, f"{given.legal_name} resembles {names}", candidates=likely)
    return given


def with_payers(contract: ContractVersion, found: Mapping[str, Client]) -> ContractVersion:
    """The contract with those who pay, under the numbers they go by. found: each of them by the name the contract uses,
    the client too where a line names it.
    """
    numbers = {name: client.client_no for name, client in found.items()}
    lines = tuple(
        line.model_copy(
            update={
                "payers": tuple(
                    payer.model_copy(update={"bill_to": numbers.get(payer.bill_to, payer.bill_to)})
                    for payer in line.payers
                )
            }
        )
        for line in contract.lines
    )
    caps = tuple(cap.model_copy(update={"payer": numbers.get(cap.payer, cap.payer)}) for cap in contract.caps)
    client_no = numbers.get(contract.client_no, contract.client_no)
    beside = {client.client_no: client for client in found.values() if client.client_no != client_no}
    return contract.model_copy(update={"lines": lines, "caps": caps, "payers": tuple(beside.values())})


def taxed_payers(contract: ContractVersion) -> tuple[Client, ...]:
    """Those who pay beside the client and are taxed for it themselves: see InvoiceTerms.tax_party."""
    return contract.payers if contract.invoicing.tax_party == "payer" else ()


def check_payer_tax(
    contract: ContractVersion, payer: Client, entity: LegalEntity, on: date, registered: Sequence[str] | None
) -> None:
    """P1.5 for such a payer: exempt with a certificate, or taxed where the entity is registered. registered: None where
    the hub decides the tax itself: what that needs is there. EX-TAX-REG otherwise, to be mended in the contract.
    """
    if registered is None:
        decision = decide_tax(entity, payer, [line.tax_category for line in contract.lines], on)
        if decision.hold:
            raise case_about(contract, "EX-TAX-REG", f"payer: {decision.hold}", "tax", place=decision.place_of_supply)
        return
    place = payer.place_of_taxation
    if place in registered or (payer.tax_exempt and payer.exemption_certificate):
        return
    where = ", ".join(registered) or "nowhere"
    cause = f"{entity.code} is not registered for tax in {place}, where payer {payer.client_no} is (it is in {where})"
    raise case_about(contract, "EX-TAX-REG", cause, "tax", place=place)


def prepayer(version: ContractVersion, line: ContractLine) -> str:
    """Who pays the deposit of a line, and whose invoices draw on it: its only payer, else the client."""
    payers = {payer.bill_to for payer in line.payers}
    return payers.pop() if len(payers) == 1 else version.client_no


def with_terms(payers: Iterable[Client], terms: str) -> tuple[Client, ...]:
    """Payers with payment terms: their own, else the contract's, so that the ERP knows when they are late."""
    return tuple(p if p.payment_terms else p.model_copy(update={"payment_terms": terms}) for p in payers)


def _unknown(contract: ContractVersion, number: str, why: str, **context: Any) -> NeedsDecision:
    cause = f"payer {number}: {why}"
    return case_about(contract, "EX-PAYER", cause, "data-steward", "link", "create", payer=number, **context)
