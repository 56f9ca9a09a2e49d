"""Every route of the API with its layer, its owner and the permission it asks for.

Data only. A route that is not in this table cannot be added to the application. Who has which permission is in
policies.authority, for tokens and console sessions alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isthmus.policies.authority import PERMISSIONS

Layer = Literal["system", "process", "experience"]
Key = Literal["none", "optional", "required"]


@dataclass(frozen=True)
class Access:
    """One route. permission: what a caller needs; none: open, guarded by other means or harmless.

    key: whether an Idempotency-Key is "required", "optional" (else the content is the key) or not used ("none").
    """

    layer: Layer
    owner: str
    permission: str = ""
    key: Key = "none"

    @property
    def roles(self) -> frozenset[str]:
        """The roles that are served; nobody named when the route is open."""
        return PERMISSIONS[self.permission] if self.permission else frozenset()


def _system(owner: str, permission: str = "") -> Access:
    return Access("system", owner, permission)


def _process(owner: str, permission: str = "", key: Key = "none") -> Access:
    return Access("process", owner, permission, key)


def _write(owner: str, permission: str, key: Literal["optional", "required"] = "required") -> Access:
    return Access("process", owner, permission, key)


ROUTES: dict[str, Access] = {
    "GET /healthz": _system("Integration"),
    "GET /readyz": _system("Integration"),
    "GET /metrics": _system("Integration"),
    # The signature is the permission.
    "POST /webhooks/{connection}": _process("Integration"),
    "POST /v1/files/time": _write("Integration", "time_file.deliver", key="optional"),
    "POST /v1/files/expenses": _write("Integration", "expense.deliver", key="optional"),
    "POST /v1/files/rate-card": _write("Pricing", "rate_card.hand_in", key="optional"),
    "POST /v1/files/price-list": _process("Pricing", "price_list.deliver"),
    "GET /v1/contracts": _system("Contract operations", "contract.read"),
    "GET /v1/contracts/{contract_no}": _system("Contract operations", "contract.read"),
    "GET /v1/clients": _system("Data stewards", "client.read"),
    "GET /v1/projects/{code}/time-allowed": _system("PMO", "project.read"),
    "GET /v1/projects/{code}": _system("PMO", "project.read"),
    "GET /v1/time-entries": _system("PMO", "time.read"),
    "GET /v1/billable-parts": _system("Billing", "evidence.read"),
    "GET /v1/invoices": _system("Billing", "invoice.read"),
    "GET /v1/invoices/{key}": _system("Billing", "invoice.read"),
    "GET /v1/payments": _system("Receivables", "payment.read"),
    "GET /v1/effects": _system("Integration", "effect.read"),
    "GET /v1/events": _system("Integration", "event.read"),
    "POST /v1/processes/contract-to-project": _write("PMO", "engagement.start"),
    "POST /v1/billing-runs": _write("Billing", "billing.start"),
    "POST /v1/client-billing-runs": _write("Billing", "billing.start"),
    "POST /v1/change-orders": _write("PMO", "change_order.submit"),
    "POST /v1/write-offs": _write("Billing", "write_off.request"),
    "POST /v1/write-downs": _write("Billing", "write_off.request"),
    "POST /v1/contract-versions": _write("Contract operations", "contract.hand_in"),
    "POST /v1/expenses": _write("Project managers", "expense.deliver"),
    "POST /v1/milestones": _write("Engagement managers", "milestone.report"),
    "POST /v1/time/submitted": _write("PMO", "time_file.deliver"),
    "POST /v1/progress": _write("Engagement managers", "milestone.report"),
    "POST /v1/fx-rates/ecb": _write("Finance", "fx_rate.load"),
    "POST /v1/usage": _write("Billing", "usage.report"),
    "GET /v1/contracts/{contract_no}/readiness": _process("Billing", "evidence.read"),
    "GET /v1/invoices/{key}/explanation": _process("Billing", "invoice.read"),
    "POST /v1/holds": _write("Billing", "hold.place"),
    "POST /v1/holds/{hold_id}/release": _write("Billing", "hold.place"),
    "POST /v1/credits": _write("Receivables", "credit.request"),
    "POST /v1/bad-debts": _write("Receivables", "bad_debt.request"),
    "POST /v1/disputes": _write("Receivables", "dispute.open"),
    "POST /v1/advances": _write("Billing", "billing.start"),
    "POST /v1/holdback-releases": _write("Billing", "billing.start"),
    "POST /v1/lending-agreements": _write("Project accounting", "lending.agree"),
    "POST /v1/intercompany-charges": _write("Project accounting", "lending.charge"),
    "POST /v1/subcontracts": _write("Procurement", "subcontract.agree"),
    "POST /v1/files/subcontractor-bills": _write("Procurement", "bill.hand_in", key="optional"),
    "GET /v1/subcontractor-bills": _system("Procurement", "bill.read"),
    "GET /v1/subcontractor-bills/{bill_id}": _process("Procurement", "bill.read"),
    "POST /v1/subcontractor-bills/{bill_id}/confirm": _write("PMO", "bill.confirm"),
    "POST /v1/subcontractor-bills/{bill_id}/release": _write("Procurement", "bill.release"),
    "POST /v1/retention-releases": _write("Procurement", "bill.release"),
    "POST /v1/tax-thresholds": _write("Tax desk", "threshold.keep"),
    "GET /v1/entities/{code}/tax-thresholds": _process("Tax desk", "figures.read"),
    "POST /v1/periods/close": _write("Controller", "period.close"),
    "POST /v1/periods/reopen": _write("Controller", "period.close"),
    "POST /v1/invoices/{invoice_id}/release": _write("Billing", "invoice.release"),
    "GET /v1/runs": _process("Integration", "run.read"),
    "GET /v1/runs/{run_id}": _process("Integration", "run.read"),
    "POST /v1/runs/{run_id}/cancel": _write("Integration", "run.cancel"),
    "GET /v1/cases": _process("Finance operations", "case.read"),
    "GET /v1/cases/{case_no}": _process("Finance operations", "case.read"),
    "GET /v1/cases/{case_no}/form": _process("Finance operations", "case.read"),
    "POST /v1/cases/{case_no}/dry-run": _process("Finance operations", "case.decide"),
    "POST /v1/cases/{case_no}/resolve": _write("Finance operations", "case.decide"),
    "GET /v1/proposals": _process("Finance operations", "case.read"),
    "POST /v1/proposals/{proposal_no}/approve": _write("Finance operations", "case.approve"),
    "POST /v1/proposals/{proposal_no}/decline": _write("Finance operations", "case.approve"),
    "POST /v1/replays": _write("Integration", "message.replay"),
    "GET /v1/journeys/{key}": Access("experience", "Finance operations", "journey.read"),
    "GET /v1/summary": Access("experience", "Finance operations", "figures.read"),
}
