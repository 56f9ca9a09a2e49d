"""Short words for the objects the tables of these tests are made of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import (
    BillingType,
    Cap,
    CapKind,
    Client,
    ContractLine,
    ContractVersion,
    Invoice,
    InvoiceLine,
    LegalEntity,
    Payment,
    Rate,
    TimeEntry,
)
from isthmus.policies.caps import Placement, Share, binds, place


def day(text: str) -> date:
    """2026-03-09."""
    return date.fromisoformat(text)


def rate(role: str, price: str, *, person: str = "", since: str = "2026-01-01", until: str = "", **more: Any) -> Rate:
    """A price for a role or person, from a day on, up to but not including another."""
    end = day(until) if until else None
    return Rate(role=role, bill_rate=Decimal(price), person=person, effective_from=day(since), effective_to=end, **more)


def line(line_uid: str, *rates: Rate, kind: BillingType = BillingType.TM, **more: Any) -> ContractLine:
    """A contract line; time and materials for consultants at 100.00 unless told."""
    default = (rate("consultant", "100.00"),) if kind is BillingType.TM else ()
    facts = {"description": f"Work {line_uid}", "rates": rates or default, **more}
    return ContractLine(line_uid=line_uid, billing_type=kind, **facts)


def cap(cap_id: str, limit: str, *, line_uid: str = "", kind: CapKind = CapKind.HARD) -> Cap:
    """A cap of the contract, or of one line."""
    scope = "line" if line_uid else "contract"
    return Cap(cap_id=cap_id, scope=scope, line_uid=line_uid, kind=kind, limit=Decimal(limit))  # type: ignore[arg-type]


def client(**changes: Any) -> Client:
    """Acme of New York."""
    address = {"country": "US", "region": "NY"}
    facts = {"client_no": "CL-1", "legal_name": "Acme Inc", "country": "US", "tax_id": "12-3456789", "address": address}
    return Client.model_validate({**facts, **changes})


def contract(*lines: ContractLine, **changes: Any) -> ContractVersion:
    """A contract both legal and finance have approved; in USD from 2026 on unless told."""
    facts: dict[str, Any] = {
        "contract_no": "C-1",
        "version": 1,
        "client_no": "CL-1",
        "client": client(),
        "entity": "US01",
        "currency": "USD",
        "effective_from": day("2026-01-01"),
        "signed_on": day("2025-12-15"),
        "legal_approved_by": "lena",
        "finance_approved_by": "fritz",
        "payment_terms": "NET30",
        "dimensions": {"practice": "data", "cost_center": "100"},
        "lines": lines or (line("L1"),),
    }
    return ContractVersion.model_validate({**facts, **changes})


def entity(**changes: Any) -> LegalEntity:
    """US01, which invoices in dollars and euros."""
    facts: dict[str, Any] = {
        "code": "US01",
        "name": "Isthmus Consulting Inc",
        "functional_currency": "USD",
        "country": "US",
        "time_zone": "America/New_York",
        "currencies": ("USD", "EUR"),
        "payment_terms": ("NET30",),
    }
    return LegalEntity.model_validate({**facts, **changes})


def entry(**changes: Any) -> TimeEntry:
    """Eight approved hours of Ada, a consultant, on 9 March 2026."""
    facts: dict[str, Any] = {
        "source": "psa",
        "source_id": "E-1",
        "project_code": "P-C-1",
        "person": "ada",
        "role": "consultant",
        "service_date": day("2026-03-09"),
        "hours": Decimal("8"),
        "approved_by": "bea",
        "approved_at": datetime(2026, 3, 10, 9, tzinfo=UTC),
    }
    return TimeEntry.model_validate({**facts, **changes})


def invoice(number: str, open_amount: str, *, due: str = "2026-04-30", **changes: Any) -> Invoice:
    """An issued invoice with this much open."""
    amount = Decimal(open_amount)
    facts: dict[str, Any] = {
        "invoice_id": f"id:{number}",
        "contract_no": "C-1",
        "contract_version": 1,
        "client_no": "CL-1",
        "entity": "US01",
        "project_code": "P-C-1",
        "currency": "USD",
        "period": "2026-03",
        "lines": (),
        "net": amount,
        "total": amount,
        "open": amount,
        "number": number,
        "due_date": day(due),
    }
    return Invoice.model_validate({**facts, **changes})


def invoice_line(number: int, net: str, **changes: Any) -> InvoiceLine:
    """One line of an invoice."""
    facts = {"number": number, "description": "work", "quantity": "1", "unit_price": net, "net": net}
    return InvoiceLine.model_validate({**facts, **changes})


def payment(amount: str, *, reference: str = "", applies: dict[str, str] | None = None, **changes: Any) -> Payment:
    """Money received from the client."""
    facts: dict[str, Any] = {
        "source": "erp",
        "source_id": "PAY-1",
        "client_no": "CL-1",
        "amount": amount,
        "currency": "USD",
        "value_date": day("2026-04-15"),
        "reference": reference,
        "applies": applies or {},
    }
    return Payment.model_validate({**facts, **changes})


def caps_for(version: ContractVersion, line_uid: str) -> list[Cap]:
    """Hard caps that bind everything of a line: its own and the contract's."""
    share = Share("", line_uid, "", Decimal(0), Decimal(0))
    return [cap for cap in version.caps if cap.kind is CapKind.HARD and binds(cap, share, version.client_no)]


def place_under_caps(
    shares: Iterable[Share], version: ContractVersion, placed_net: dict[str, Decimal]
) -> list[Placement]:
    """caps.place, where all that has its room already is an amount by line."""
    return place(shares, version, [Share(uid, uid, "", Decimal(0), net) for uid, net in placed_net.items()])
