"""A real Tryton server behind the fault gate of the sandboxes: the one counterpart here that nobody of us wrote.

Tryton (https://www.tryton.org, GPL-3) is not imported: it has an environment and a process of its own, and a PostgreSQL
database of its own, which keeper starts at the first request and ends with the process that asked for it. What people
over there do (office, people) is done over its JSON-RPC, as its own clients do; what is there is counted in its tables.

Two things a modelled sandbox can do are not to be had of a real system: its clock is the machine's, and nothing it has
committed can be made to show late.
"""

from __future__ import annotations

from isthmus.sandbox.tryton.gateway import TrytonSandbox

__all__ = ["TrytonSandbox", "sandbox"]


def sandbox() -> TrytonSandbox:
    """The gateway to a server that starts when it is first asked something."""
    return TrytonSandbox()
