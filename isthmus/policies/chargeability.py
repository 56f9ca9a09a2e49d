"""Is a piece of approved work chargeable on its contract line: three questions, and all three must say yes.

Class of evidence, role, task (domain 2.4). Chargeable is not priced: hours of a retainer are chargeable, because they
use up its quota, and cost money only beyond it. What is not chargeable keeps its cost: it counts in utilisation and
margin, never in receivables (INV-24).
"""

from __future__ import annotations

from typing import Literal

from isthmus.domain.objects import BillingType, ContractLine

POLICY = "chargeability/1"
EvidenceClass = Literal["time", "expense", "fee", "material"]

# Of the other types of line the fee is billed, not the hours: those are cost (SC-22).
HOURS_COUNT = frozenset({BillingType.TM, BillingType.RETAINER, BillingType.COST_PLUS})


def chargeable(
    line: ContractLine, *, evidence_class: EvidenceClass, role: str, task_code: str, task_billable: bool
) -> tuple[bool, str]:
    """Whether the line charges for it, and why (not), in words a project manager can act on.

    role: of the person, empty where there is none (an expense, a fee). task_billable: what the task itself says.
    """
    refusals = (
        _class_refused(line, evidence_class),
        _role_refused(line, role, evidence_class),
        _task_refused(line, task_code, task_billable, evidence_class),
    )
    for refusal in refusals:
        if refusal:
            return False, refusal
    named = [evidence_class, f"role {role}" if role else "", f"task {task_code}" if task_code else ""]
    return True, f"line {line.line_uid} charges for {', '.join(name for name in named if name)}"


def _class_refused(line: ContractLine, evidence_class: EvidenceClass) -> str:
    where, included = f"line {line.line_uid}", line.chargeable.classes
    if line.billing_type is BillingType.NON_BILLABLE:
        return f"{where} is not billable"
    if evidence_class == "time" and line.billing_type not in HOURS_COUNT:
        return f"{where} is {line.billing_type}: its fee is billed, its hours are cost"
    if evidence_class == "expense" and line.expenses is None:
        return f"{where} has no terms for expenses"
    if included and evidence_class not in included:
        return f"{where} includes {', '.join(sorted(included))}, not {evidence_class}"
    return ""


def _role_refused(line: ContractLine, role: str, evidence_class: EvidenceClass) -> str:
    if not role and evidence_class != "time":
        return ""
    terms, named = line.chargeable, role or "(none)"
    if role in terms.not_roles:
        return f"line {line.line_uid} does not charge for role {named}"
    if terms.roles and role not in terms.roles:
        return f"line {line.line_uid} charges for roles {', '.join(sorted(terms.roles))}, not for {named}"
    return ""


def _task_refused(line: ContractLine, task_code: str, task_billable: bool, evidence_class: EvidenceClass) -> str:
    if evidence_class == "fee":
        return ""
    if not task_billable:
        return f"task {task_code or '(none)'} is not billable"
    selected = line.chargeable.tasks
    if selected and task_code not in selected:
        return f"line {line.line_uid} charges for tasks {', '.join(sorted(selected))}, not for {task_code or '(none)'}"
    return ""
