"""How a step's outcome reads in the timeline: a few words and an amount, for the people who own the money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.domain.money import Money
from isthmus.domain.objects import (
    BillableItem,
    Client,
    ContractVersion,
    ExternalRef,
    Invoice,
    LegalEntity,
    Project,
    TaxAnswer,
)
from isthmus.ports.messages import PaymentPage, PostedInvoice, ProjectFacts, TimePage

NOTHING_NEW = "nothing new"


def tell(output: Any) -> tuple[str, Decimal | None, str]:
    """(words, amount, currency) of a step's output."""
    if isinstance(output, list | tuple) and output and isinstance(output[0], ExternalRef):
        more = f" and {len(output) - 1} more" if len(output) > 1 else ""
        return f"{output[0].object_type} {output[0].external_id} in {output[0].system}{more}", None, ""
    if isinstance(output, list) and all(isinstance(item, BillableItem) for item in output):
        return _evidence(output)
    for kind, words in _WORDS:
        if isinstance(output, kind):
            told: tuple[str, Decimal | None, str] = words(output)
            return told
    return (output if isinstance(output, str) else ""), None, ""


def _evidence(items: list[BillableItem]) -> tuple[str, Decimal | None, str]:
    if not items:
        return NOTHING_NEW, None, ""
    hours = sum((item.quantity for item in items), Decimal(0))
    net = sum((item.net for item in items), Decimal(0))
    return f"{len(items)} entries, {hours:,.2f} h", net, items[0].currency


def _invoice(invoice: Invoice) -> tuple[str, Decimal | None, str]:
    name = invoice.number or invoice.invoice_id
    total = invoice.total or invoice.net
    return f"{name}: {_counted(len(invoice.lines), 'line')}", total, invoice.currency


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


_WORDS: tuple[tuple[type, Any], ...] = (
    (ExternalRef, lambda r: (f"{r.object_type} {r.external_id} in {r.system}", None, "")),
    (ContractVersion, lambda c: (f"{c.key} with {c.client.legal_name}", c.transaction_price, c.currency)),
    (Client, lambda c: (f"{c.client_no} {c.legal_name}", None, "")),
    (LegalEntity, lambda e: (f"{e.code} {e.name}", None, "")),
    (Project, lambda p: (f"{p.project_code} with {_counted(len(p.tasks), 'task')}", p.budget, p.currency)),
    (ProjectFacts, lambda p: (f"{p.project_code} is {'open' if p.active else 'closed'}", None, "")),
    (TaxAnswer, lambda t: (f"{t.status} on {t.net:,}", t.tax, t.currency)),
    (PostedInvoice, lambda p: (f"{p.number} in {p.ref.system} as {p.ref.external_id}", p.total, p.currency)),
    (TimePage, lambda p: (f"{len(p.entries)} entries", None, "")),
    (PaymentPage, lambda p: (f"{len(p.payments)} payments", None, "")),
    (Invoice, _invoice),
    (Money, lambda m: ("", m.amount, m.currency)),
)
