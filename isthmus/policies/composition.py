"""What goes on one invoice: grouping, consolidation, the least and the most, attachments.

Bill-to comes before everything: evidence of two payers never shares an invoice, whatever a contract groups by. Two
contracts share one only when both say so and five things are equal: entity, bill-to, currency, payment terms and tax
regime. How it then reads is the layout's part (``layouts``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from isthmus.domain.objects import ContractVersion
from isthmus.domain.terms import InvoiceTerms
from isthmus.policies.layouts import NOTHING, Contracts, Evidence, Layout

POLICY = "composition/1"
MIN_INVOICE = "MIN_INVOICE"


class Conditions(NamedTuple):
    """What must be equal on one invoice."""

    entity: str
    bill_to: str
    currency: str
    payment_terms: str
    tax_regime: str


@dataclass(frozen=True)
class InvoicePlan:
    """One invoice to be drafted. key: the same from run to run; group: that of all invoices its evidence is shared out
    on because one would be too large. po_number: empty when there are several.

    hold MIN_INVOICE: the net is below the contract's minimum and waits. above_maximum: one part alone is more than the
    most an invoice may be. apart: why it is not on an invoice with another contract that would be consolidated.
    """

    key: str
    group: str
    conditions: Conditions
    contracts: tuple[str, ...]
    po_number: str
    evidence: tuple[Evidence, ...]
    net: Decimal
    layout: Layout
    hold: str = ""
    above_maximum: bool = False
    attachments: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    @property
    def bill_to(self) -> str:
        """Who is billed."""
        return self.conditions.bill_to


class Pot(NamedTuple):
    """Evidence of one pot may share an invoice, where its grouping lets it. contract_no: empty when consolidated.

    by: what it is grouped by besides bill-to. shape: its layout, limits and attachments where they are not the usual.
    Contracts that differ in these are invoiced in different ways and are no pot.
    """

    contract_no: str
    conditions: Conditions
    by: tuple[str, ...]
    shape: str


def plan_invoices(evidence: Iterable[Evidence], versions: Iterable[ContractVersion]) -> list[InvoicePlan]:
    """The invoices that ready evidence makes, in the order of their keys; every part is on exactly one.

    versions: of every contract the evidence is of; the newest says how it is invoiced. A plan may be negative: it then
    waits to be netted, or becomes a credit. BadInput for a line that no version of its contract has.
    """
    contracts = Contracts(versions)
    pots: dict[tuple[str, str, str], Pot] = {}
    groups: dict[tuple[Pot, tuple[str, ...]], list[Evidence]] = {}
    clients: dict[Pot, str] = {}
    for piece in sorted(evidence, key=_age):
        who = (piece.contract_no, piece.payer, piece.tax_regime)
        if who not in pots:
            version = contracts.newest(piece)
            pots[who] = _pot(piece, version)
            clients[pots[who]] = version.client_no
        pot = pots[who]
        contracts.line(piece)
        groups.setdefault((pot, tuple(FACTS[name](piece, contracts) for name in pot.by)), []).append(piece)
    apart = {pot: _apart(pot, clients) for pot in clients}
    plans = [plan for (pot, key), pieces in groups.items() for plan in _plans(pot, key, pieces, contracts, apart[pot])]
    return sorted(plans, key=lambda plan: plan.key)


def why_apart(one: Conditions, other: Conditions) -> list[str]:
    """Which of the five conditions keep two contracts from sharing an invoice; empty when none does."""
    return [
        f"{name.replace('_', ' ')}: {mine or '(none)'} and {theirs or '(none)'}"
        for name, mine, theirs in zip(Conditions._fields, one, other, strict=True)
        if mine != theirs
    ]


def tax_regime(version: ContractVersion, bill_to: str = "") -> str:
    """Where and as what the taxed party is taxed: US-NY business, DE consumer, FR exempt."""
    client = version.taxed(bill_to)
    return f"{client.place_of_taxation} {'exempt' if client.tax_exempt else client.tax_status}"


# -- groups ----------------------------------------------------------------------------------------------------


def _order(piece: Evidence, contracts: Contracts) -> str:
    return piece.po_number or contracts.newest(piece).po_number


def _period(piece: Evidence, contracts: Contracts) -> str:
    return piece.service_date.isoformat()[:7] if piece.service_date else ""


# What a contract may group by besides bill-to, in the order of the key.
FACTS: dict[str, Callable[[Evidence, Contracts], str]] = {
    "po": _order,
    "period": _period,
    "project": lambda piece, contracts: piece.project_code,
    "tax_category": lambda piece, contracts: piece.tax_category or contracts.line(piece).tax_category,
    "billing_type": lambda piece, contracts: str(contracts.line(piece).billing_type),
}


def _age(piece: Evidence) -> tuple[bool, date, str]:
    """What gives back first, then by day."""
    return piece.net >= 0, piece.service_date or date.min, piece.part_id


def _pot(piece: Evidence, version: ContractVersion) -> Pot:
    bill_to = piece.payer or version.client_no
    conditions = Conditions(
        version.entity,
        bill_to,
        version.currency,
        version.payment_terms,
        piece.tax_regime or tax_regime(version, bill_to),
    )
    invoicing = version.invoicing
    unusual = invoicing.model_dump(
        mode="json", exclude_defaults=True, exclude={"group_by", "consolidate", "po_required"}
    )
    shape = "|".join(f"{name}={value}" for name, value in unusual.items())
    by = tuple(name for name in FACTS if name in invoicing.group_by)
    return Pot("" if invoicing.consolidate else version.contract_no, conditions, by, shape)


def _apart(pot: Pot, clients: Mapping[Pot, str]) -> tuple[str, ...]:
    """What keeps contracts that would be consolidated from the others of the same client."""
    if pot.contract_no:
        return ()
    reasons: list[str] = []
    for other, client in clients.items():
        if client == clients[pot] and other != pot and not other.contract_no:
            reasons += why_apart(pot.conditions, other.conditions) or ["grouping, layout or limits of the invoice"]
    return tuple(dict.fromkeys(reasons))


def _plans(
    pot: Pot, key: tuple[str, ...], pieces: Sequence[Evidence], contracts: Contracts, apart: tuple[str, ...]
) -> Iterable[InvoicePlan]:
    invoicing = contracts.newest(pieces[0]).invoicing
    conditions = pot.conditions
    of = [pot.contract_no, conditions.bill_to, conditions.tax_regime] if pot.contract_no else [*conditions, pot.shape]
    name = "|".join(fact for fact in [*of, *(f"{by}={fact}" for by, fact in zip(pot.by, key, strict=True))] if fact)
    for number, filled in enumerate(_filled(pieces, invoicing.maximum), start=1):
        net = sum((piece.net for piece in filled), NOTHING)
        orders = {_order(piece, contracts) for piece in filled}
        yield InvoicePlan(
            key=name if number == 1 else f"{name}/{number}",
            group=name,
            conditions=conditions,
            contracts=tuple(sorted({contracts.newest(piece).contract_no for piece in filled})),
            po_number=orders.pop() if len(orders) == 1 else "",
            evidence=tuple(filled),
            net=net,
            layout=invoicing.layout,
            hold=MIN_INVOICE if invoicing.minimum is not None and 0 <= net < invoicing.minimum else "",
            above_maximum=invoicing.maximum is not None and net > invoicing.maximum,
            attachments=_attachments(filled, invoicing, contracts),
            apart=apart,
        )


def _filled(pieces: Sequence[Evidence], maximum: Decimal | None) -> list[Sequence[Evidence]]:
    """Pieces in their order on as many invoices as the most of one asks for."""
    if maximum is None:
        return [pieces]
    filled: list[list[Evidence]] = []
    room = NOTHING
    for piece in pieces:
        if not filled or piece.net > room:
            filled.append([])
            room = maximum
        filled[-1].append(piece)
        room -= piece.net
    return list(filled)


def _attachments(pieces: Sequence[Evidence], invoicing: InvoiceTerms, contracts: Contracts) -> tuple[str, ...]:
    """What has to go with the invoice: timesheet:PROJECT:YYYY-MM, receipt:REFERENCE, po:NUMBER."""
    found: dict[str, set[str]] = {"timesheets": set(), "receipts": set(), "po": set()}
    for piece in pieces if invoicing.attachments else ():
        if piece.source_type == "time":
            found["timesheets"].add(f"timesheet:{piece.project_code}:{_period(piece, contracts)}")
        if piece.receipt_ref:
            found["receipts"].add(f"receipt:{piece.receipt_ref}")
        if _order(piece, contracts):
            found["po"].add(f"po:{_order(piece, contracts)}")
    return tuple(name for kind in invoicing.attachments for name in sorted(found[kind]))
