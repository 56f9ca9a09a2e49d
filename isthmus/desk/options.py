"""Where the options of a field come from: the case's own context, or what the books know. One look-up per name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from isthmus.domain.objects import BillingType, Client, ContractVersion, Invoice, LegalEntity, Project
from isthmus.domain.states import InvoiceLife
from isthmus.store.records import Case
from isthmus.store.tx import Tx

LOOK_BACK = 300  # how many of the latest records a frequency is counted over
OPTIONS_MAX = 40


@dataclass(frozen=True)
class Option:
    """One choice: the value the run gets, what people read, and a note that helps to choose."""

    value: str
    label: str
    note: str = ""


def options_for(tx: Tx, case: Case, source: str, field: str) -> list[Option]:
    """The options of a field; empty when there is no source or nothing is known."""
    if source.startswith("context:"):
        return _from_context(case, source.removeprefix("context:"))
    return LOOK_UPS[source](tx, case, field) if source else []


def _from_context(case: Case, name: str) -> list[Option]:
    found = case.context.get(name)
    if isinstance(found, dict):
        return [Option(str(key), str(key), str(value)) for key, value in found.items()]
    if isinstance(found, str):
        found = found.split(", ")
    return [Option(str(one), str(one)) for one in found or [] if not isinstance(one, dict)]


def _entities(tx: Tx, case: Case, field: str) -> list[Option]:
    """Active legal entities, the case's currency first."""
    active = [entity for entity in tx.find(LegalEntity, order=("code",)) if entity.active]
    return [
        Option(e.code, f"{e.code}  {e.name}", f"{e.country}, invoices in {', '.join(e.currencies)}") for e in active
    ]


def _billing_types(tx: Tx, case: Case, field: str) -> list[Option]:
    return [Option(str(kind), str(kind).replace("_", " ")) for kind in BillingType]


def _dimension_values(tx: Tx, case: Case, field: str) -> list[Option]:
    """Values of this dimension on the legal entity's latest projects, the most used first."""
    projects = tx.find(Project, entity=case.entity, order=("-project_code",), limit=LOOK_BACK)
    counts = Counter(value for project in projects if (value := project.dimensions.get(field)))
    return [Option(value, value, _times(number, "project")) for value, number in counts.most_common(OPTIONS_MAX)]


def _tax_codes(tx: Tx, case: Case, field: str) -> list[Option]:
    """Tax codes on the latest invoices and contracts, the most used first."""
    invoices = tx.find(Invoice, life=InvoiceLife.ISSUED, order=("-number",), limit=LOOK_BACK)
    versions = tx.find(ContractVersion, order=("-contract_no",), limit=LOOK_BACK)
    used = Counter(line.tax_code for invoice in invoices for line in invoice.lines if line.tax_code)
    known = {line.tax_code for version in versions for line in version.lines if line.tax_code}
    codes = [code for code, _ in used.most_common(OPTIONS_MAX)] + sorted(known - set(used))
    return [Option(code, code, _times(used[code], "invoice line")) for code in codes]


def _contract_lines(tx: Tx, case: Case, field: str) -> list[Option]:
    """The lines the case names, else all of the contract, each with its rates."""
    found = tx.find(ContractVersion, contract_no=case.contract_no, order=("-version",), limit=1)
    wanted = [str(uid) for uid in case.context.get("lines", [])]
    if not found:
        return [Option(uid, uid) for uid in wanted]
    version = found[0]
    return [
        Option(
            line.line_uid,
            f"{line.line_uid}  {line.description}",
            ", ".join(f"{r.role} {r.bill_rate} {version.currency}" for r in line.rates[:3]),
        )
        for line in version.lines
        if not wanted or line.line_uid in wanted
    ]


def _candidates(tx: Tx, case: Case, field: str) -> list[Option]:
    """Clients that resemble the one of the case, the most alike first, with the reason."""
    offered = [one for one in case.context.get("candidates", []) if isinstance(one, dict)]
    options = []
    for one in sorted(offered, key=lambda one: -int(one.get("score", 0))):
        client = tx.get(Client, str(one["client_no"]))
        place = f", {client.address.city} {client.country}".rstrip() if client else ""
        options.append(Option(str(one["client_no"]), f"{one['client_no']}  {one['name']}{place}", str(one["reason"])))
    return options


def _times(number: int, what: str) -> str:
    return f"on {number} {what}{'' if number == 1 else 's'}" if number else ""


LOOK_UPS: dict[str, Callable[[Tx, Case, str], list[Option]]] = {
    "entities": _entities,
    "billing_types": _billing_types,
    "dimension_values": _dimension_values,
    "tax_codes": _tax_codes,
    "contract_lines": _contract_lines,
    "candidates": _candidates,
}
