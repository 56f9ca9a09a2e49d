"""A NetSuite sandbox: SuiteTalk REST record service, SuiteQL, asynchronous jobs and both login schemes.

Modelled from the vendor's published material; it is not the vendor's software and nobody has certified it. What the
material leaves open (some message texts, the labels of enumerated values, the name of the warning header) is marked
where it is decided.
"""

from __future__ import annotations

from isthmus.sandbox.netsuite.account import NetSuiteSandbox

__all__ = ["NetSuiteSandbox", "sandbox"]


def sandbox() -> NetSuiteSandbox:
    """A fresh account with its reference data (subsidiaries, currencies, terms, periods) and no business records."""
    return NetSuiteSandbox()
