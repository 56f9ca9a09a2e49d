"""INV-27: the terms that projects, PSA and ERP were set up under are those in force, or somebody is at it."""

from __future__ import annotations

from isthmus.domain.objects import ContractVersion, Engagement, Project
from isthmus.domain.states import EngagementState
from isthmus.reconciliation.findings import Finding
from isthmus.store.records import RunRow, RunState
from isthmus.store.tx import Tx

FINISHED = (RunState.DONE, RunState.CANCELLED)


def check_versions(tx: Tx) -> list[Finding]:
    """The project of a running engagement is on the newest version of its contract, unless a run still brings it there.

    What is pushed to other systems is made of the project: when it is behind, so is a budget, a rate or a task there.
    """
    newest: dict[str, int] = {}
    for version in tx.find(ContractVersion):
        newest[version.contract_no] = max(version.version, newest.get(version.contract_no, 0))
    active = {e.contract_no: e for e in tx.find(Engagement, state=EngagementState.ACTIVE)}
    findings = []
    for project in tx.find(Project, order=("project_code",)):
        wanted = newest.get(project.contract_no, 0)
        if project.contract_no not in active or project.contract_version == wanted:
            continue
        runs = tx.find(RunRow, correlation_id=f"contract:{project.contract_no}")
        if all(run.state in FINISHED for run in runs):
            problem = (
                f"set up under version {project.contract_version}, version {wanted} is in force and no run brings it"
            )
            findings.append(Finding("INV-27", project.project_code, problem, "contract-operations"))
    return findings
