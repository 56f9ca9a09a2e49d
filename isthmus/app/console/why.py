"""Why an invoice line has its amount: the lineage of app/explain.py, a page of it at a time, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.app.explain import Lineage, LineExplained, explain_line
from isthmus.domain.objects import ContractVersion, Invoice, InvoiceLine
from isthmus.runtime.books import Books
from isthmus.store.records import CrossReference

SHARES_SHOWN = 40
SAID_ELSEWHERE = frozenset({"line_uid", "contract_version", "candidates", "charge", "policy"})


@dataclass(frozen=True)
class Why:
    """A line explained. start: of the shares shown; whole: how many there are; clause, tax: in words."""

    line: InvoiceLine
    explained: LineExplained
    start: int
    whole: int
    clause: str
    tax: str
    documents: tuple[tuple[str, str], ...]

    @property
    def shares(self) -> list[Lineage]:
        """Those shown."""
        return self.explained.parts

    @property
    def next(self) -> int:
        """Where the shares after these start; 0 when these are the last."""
        end = self.start + len(self.shares)
        return end if end < self.whole else 0


def why(books: Books, invoice: Invoice, number: int, start: int = 0, *, sees_cost: bool = False) -> Why | None:
    """The lineage of a line; None when the invoice has no such line. sees_cost: see explain."""
    line = next((one for one in invoice.lines if one.number == number), None)
    if line is None:
        return None
    version = books.tx.get(ContractVersion, invoice.contract_no, invoice.contract_version)
    return Why(
        line=line,
        explained=explain_line(books, invoice, line, start=start, count=SHARES_SHOWN, sees_cost=sees_cost),
        start=start,
        whole=len(line.part_ids),
        clause=_clause(version, line.line_uid),
        tax=_tax(invoice, line),
        documents=tuple(_documents(books, invoice)),
    )


def told(trace: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A price trace as names and values, tables opened; what the page shows anyway is left out."""
    rows: list[tuple[str, str]] = []
    for name, value in trace.items():
        if name in SAID_ELSEWHERE or value in ("", None, [], {}):
            continue
        if isinstance(value, dict):
            rows += told(value, f"{prefix}{name} ")
        elif isinstance(value, list):
            rows.append((f"{prefix}{name}", ", ".join(str(one) for one in value)))
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows


def _clause(version: ContractVersion | None, line_uid: str) -> str:
    found = next((line for line in version.lines if line.line_uid == line_uid), None) if version else None
    if found is None or version is None:
        return ""
    rates = ", ".join(
        f"{rate.role} {rate.bill_rate} {version.currency} from {rate.effective_from}" for rate in found.rates
    )
    clause = f" ({found.clause})" if found.clause else ""
    return f"{found.line_uid} {found.description}{clause}" + (f": {rates}" if rates else "")


def _tax(invoice: Invoice, line: InvoiceLine) -> str:
    if line.tax_rate is None:
        return f"{line.tax} {invoice.currency}" if line.tax else ""
    code = f", code {line.tax_code}" if line.tax_code else ""
    by = f", decided by {invoice.tax_decision['by']}" if invoice.tax_decision.get("by") else ""
    rate = f"{(line.tax_rate * 100).normalize():f} %"
    return f"{line.net:,} × {rate} = {line.tax:,} {invoice.currency}{code}{by}"


def _documents(books: Books, invoice: Invoice) -> list[tuple[str, str]]:
    keys = tuple(key for key in (invoice.number, invoice.invoice_id) if key)
    found = books.tx.find(CrossReference, key=keys, order=("system", "remote_type"))
    return [(one.system, f"{one.remote_type} {one.remote_id}") for one in found]
