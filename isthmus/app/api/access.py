"""Who may do what: every route with its layer, its owner and the roles it serves; every case queue with its deciders.

Data only. A route that is not in this table cannot be added to the application.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Layer = Literal["system", "process", "experience"]

ROLES: dict[str, str] = {
    "reader": "looks at everything except cost rates",
    "integration": "connects systems, delivers files, replays messages, mends connections",
    "billing": "starts billing runs, releases invoices, asks for write-offs",
    "project_manager": "sets projects up, submits change orders, asks for write-offs",
    "finance": "approves, decides money, sees cost rates",
    "steward": "decides about clients and master data",
    "admin": "operates the hub; starts no billing and approves no money",
}
EVERYBODY = frozenset(ROLES)
NOBODY: frozenset[str] = frozenset()
SEES_COST = frozenset({"finance"})


@dataclass(frozen=True)
class Access:
    """One route. roles: who is served; nobody named: open, guarded by other means or harmless.

    key: whether an Idempotency-Key is "required", "optional" (else the content is the key) or not used ("none").
    """

    layer: Layer
    owner: str
    roles: frozenset[str]
    key: Literal["none", "optional", "required"] = "none"


def _read(layer: Layer, owner: str) -> Access:
    return Access(layer, owner, EVERYBODY)


def _write(owner: str, *roles: str, key: Literal["optional", "required"] = "required") -> Access:
    return Access("process", owner, frozenset(roles), key)


ROUTES: dict[str, Access] = {
    "GET /healthz": Access("system", "Integration", NOBODY),
    "GET /readyz": Access("system", "Integration", NOBODY),
    "GET /metrics": Access("system", "Integration", NOBODY),
    # The signature is the permission.
    "POST /webhooks/{connection}": Access("process", "Integration", NOBODY),
    "POST /v1/files/time": _write("Integration", "integration", "admin", key="optional"),
    "POST /v1/files/price-list": Access(
        "process", "Pricing", frozenset({"integration", "billing", "project_manager", "finance", "admin"})
    ),
    "GET /v1/contracts": _read("system", "Contract operations"),
    "GET /v1/contracts/{contract_no}": _read("system", "Contract operations"),
    "GET /v1/clients": _read("system", "Data stewards"),
    "GET /v1/projects/{code}/time-allowed": _read("system", "PMO"),
    "GET /v1/projects/{code}": _read("system", "PMO"),
    "GET /v1/time-entries": _read("system", "PMO"),
    "GET /v1/billable-parts": _read("system", "Billing"),
    "GET /v1/invoices": _read("system", "Billing"),
    "GET /v1/invoices/{key}": _read("system", "Billing"),
    "GET /v1/payments": _read("system", "Receivables"),
    "GET /v1/effects": _read("system", "Integration"),
    "GET /v1/events": _read("system", "Integration"),
    "POST /v1/processes/contract-to-project": _write("PMO", "integration", "project_manager", "admin"),
    "POST /v1/billing-runs": _write("Billing", "billing", "finance"),
    "POST /v1/change-orders": _write("PMO", "project_manager"),
    "POST /v1/write-offs": _write("Billing", "billing", "project_manager"),
    "POST /v1/invoices/{invoice_id}/release": _write("Billing", "billing", "finance"),
    "GET /v1/runs": _read("process", "Integration"),
    "GET /v1/runs/{run_id}": _read("process", "Integration"),
    "POST /v1/runs/{run_id}/cancel": _write(
        "Integration", "integration", "billing", "project_manager", "finance", "admin"
    ),
    "GET /v1/cases": _read("process", "Finance operations"),
    "GET /v1/cases/{case_no}": _read("process", "Finance operations"),
    "POST /v1/cases/{case_no}/resolve": _write(
        "Finance operations", "integration", "billing", "project_manager", "finance", "steward", "admin"
    ),
    "POST /v1/replays": _write("Integration", "integration", "admin"),
    "GET /v1/journeys/{key}": _read("experience", "Finance operations"),
    "GET /v1/summary": _read("experience", "Finance operations"),
}

QUEUES: dict[str, frozenset[str]] = {
    "data-steward": frozenset({"steward"}),
    "finance-master-data": frozenset({"steward", "finance"}),
    "tax": frozenset({"finance"}),
    "receivables": frozenset({"finance", "billing"}),
    "collections": frozenset({"finance", "billing"}),
    "billing": frozenset({"billing", "finance"}),
    "pricing": frozenset({"finance", "billing"}),
    "finance": frozenset({"finance"}),
    "project-accounting": frozenset({"finance"}),
    "pmo": frozenset({"project_manager"}),
    "contract-operations": frozenset({"project_manager", "steward"}),
    "integration": frozenset({"integration", "admin"}),
}
