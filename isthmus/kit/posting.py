"""What holds for every ERP that is given an invoice to post."""

from __future__ import annotations

from isthmus.domain.errors import RemoteRefusal
from isthmus.ports.messages import PostedInvoice, PostInvoice


def same_total(posted: PostedInvoice, invoice: PostInvoice) -> PostedInvoice:
    """The posted invoice, if its total is ours to the cent; anything else is a refusal that a person looks at."""
    made, ours = (f"{each.total} {each.currency}" for each in (posted, invoice))
    if (posted.total, posted.currency) != (invoice.total, invoice.currency):
        cause = f"{posted.ref.system} made invoice {invoice.number} {made} of {ours}"
        raise RemoteRefusal(cause, remote_code="TOTAL_DIFFERS", field="total", system=posted.ref.system)
    return posted
