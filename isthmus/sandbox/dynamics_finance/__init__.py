"""A Dynamics 365 Finance sandbox: Entra ID token endpoint, OData v4 data entities, change sets, packages, events.

Modelled from Microsoft's published documentation, the Common Data Model and answers that people have published; it is
not the vendor's software and nobody has certified it. Names and texts without a published source are marked where
they are decided.
"""

from __future__ import annotations

from isthmus.sandbox.dynamics_finance.environment import FinanceSandbox

__all__ = ["FinanceSandbox", "sandbox"]


def sandbox() -> FinanceSandbox:
    """A fresh environment with its reference data (companies, groups, terms, accounts) and no business records."""
    return FinanceSandbox()
