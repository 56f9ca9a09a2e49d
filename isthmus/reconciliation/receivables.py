"""INV-09: every issued invoice is one document in the ERP, with the same total, document by document, never by sums;
and nothing else is claimed there of the hub's clients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal

from isthmus.domain.objects import Invoice
from isthmus.ports.messages import PostedInvoice, PostInvoice
from isthmus.reconciliation.findings import Finding

OWNER = "receivables"


@dataclass(frozen=True)
class Unanswered:
    """Why an ERP did not show the one document it was asked for. twice: because it has posted several."""

    why: str
    twice: bool = False


# What the ERP has for an invoice: the document, None for nothing, or why it showed none.
Ask = Callable[[Invoice, PostInvoice], PostedInvoice | Unanswered | None]


def check_receivables(invoices: list[tuple[Invoice, PostInvoice]], ask: Ask) -> list[Finding]:
    """Ask for each invoice (and how it was posted). An ERP that cannot be asked is a finding, not silence."""
    findings = []
    for invoice, posting in invoices:
        found = ask(invoice, posting)
        if isinstance(found, Unanswered) and found.twice:
            findings.append(_finding(invoice, "duplicate", found.why, invoice.total))
        elif isinstance(found, Unanswered):
            findings.append(_finding(invoice, "unasked", f"could not be checked: {found.why}", Decimal(0)))
        elif found is None:
            findings.append(_finding(invoice, "missing", "missing in the ERP", invoice.total))
        elif (found.total, found.currency) != (invoice.total, invoice.currency):
            problem = f"{invoice.total} {invoice.currency} here, {found.total} {found.currency} in {found.ref.system}"
            findings.append(_finding(invoice, "differs", problem, abs(invoice.total - found.total)))
        elif found.client_no not in ("", posting.client_no):
            problem = f"it is on the account of {found.client_no} in {found.ref.system}; {posting.client_no} owes it"
            findings.append(_finding(invoice, "differs", problem, invoice.total))
    return findings


def _finding(invoice: Invoice, kind: str, problem: str, amount: Decimal) -> Finding:
    about, day = {"entity": invoice.entity, "client_no": invoice.owed_by}, invoice.issue_date
    return Finding("INV-09", invoice.number, problem, OWNER, amount, invoice.currency, kind, **about, since=day)


def check_listed(
    entity: str, invoices: Collection[Invoice], clients: Collection[str], listed: Iterable[PostedInvoice]
) -> list[Finding]:
    """What an ERP lists of a legal entity against what the hub has issued of it. Documents of clients the hub does not
    bill are none of its business. What is there more than once, by our number or by its content, is a duplicate.
    """
    ours = {invoice.number: invoice for invoice in invoices if invoice.number}
    numbered: dict[str, list[PostedInvoice]] = defaultdict(list)
    alike: dict[object, list[PostedInvoice]] = defaultdict(list)
    for document in sorted(listed, key=lambda each: (len(each.ref.external_id), each.ref.external_id)):
        if document.number in ours:
            numbered[document.number].append(document)
        elif document.client_no in clients:
            whose, amount = (document.client_no, document.project_code), (document.total, document.currency)
            alike[whose, amount, document.issue_date].append(document)
    findings = []
    for number, (_, *others) in numbered.items():
        if others:
            problem = f"there {len(others) + 1} times: {', '.join(map(_named, numbered[number]))}"
            findings.append(_finding(ours[number], "duplicate", problem, ours[number].total * len(others)))
    for first, *others in alike.values():
        problem = f"the hub has not issued it{_like(first, invoices)}"
        findings.append(_unknown(entity, first, "unknown", problem))
        findings += [_unknown(entity, one, "duplicate", f"the same as {_named(first)}") for one in others]
    return findings


def _like(document: PostedInvoice, invoices: Iterable[Invoice]) -> str:
    """The hub's own invoice that it may be another one of."""
    same = [i.number for i in invoices if i.owed_by == document.client_no and document.total in (i.net, i.total)]
    return f"; {same[0]} comes to the same" if same else ""


def _unknown(entity: str, document: PostedInvoice, kind: str, problem: str) -> Finding:
    dated = f" of {document.issue_date}" if document.issue_date else ""
    what = f"{_named(document)}{dated} for {document.client_no}, {document.state}: {problem}"
    amount, about = abs(document.total), {"entity": entity, "client_no": document.client_no}
    key = f"{document.ref.system}:{document.ref.external_id}"
    return Finding("INV-09", key, what, OWNER, amount, document.currency, kind, **about, since=document.issue_date)


def _named(document: PostedInvoice) -> str:
    """What people over there call it, as far as it has a name."""
    called = document.number or document.ref.version
    return f"{document.ref.system} {document.ref.external_id}" + (f" ({called})" if called else "")
