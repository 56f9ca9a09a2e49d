"""A sandbox of Avalara AvaTax REST v2: transactions, companies, nexus and address resolution.

Modelled from the vendor's published material (SDK models, method and error pages). It is not the vendor's software,
it is not certified by anyone, and its tax rates are synthetic samples: never file with them.
"""

from __future__ import annotations

from isthmus.sandbox.avalara.service import AvalaraSandbox

__all__ = ["AvalaraSandbox", "sandbox"]


def sandbox() -> AvalaraSandbox:
    """A fresh sandbox with one company, its registrations and the sample rates."""
    return AvalaraSandbox()
