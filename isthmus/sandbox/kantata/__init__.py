"""Sandbox of Kantata OX (the Mavenlink v1 API), modelled from the vendor's published material, not certified.

Verified against the published API contract, the official attribute specification and the vendor's open-source
presenter library: envelope, paging (20 by default, 200 at most), ``only``, ``include``, ``optional_fields``,
ordering and its silent fall-back, the oauth and validation error bodies, 200 on create, 204 on delete,
bulk creation of time entries, timesheet approval URLs, subscribed events and their filters, the ``subject_type``
that a list of external references needs, 429 without a Retry-After header.

Not verified, chosen here: the numbers of the project statuses, wording of most messages,
what an attribute without permission does (ignored), how an invoice names its states.
"""

from isthmus.sandbox.kantata.vendor import KantataSandbox


def sandbox() -> KantataSandbox:
    """A fresh Kantata OX sandbox."""
    return KantataSandbox()
