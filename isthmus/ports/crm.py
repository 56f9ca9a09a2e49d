"""What the hub asks of a CRM: signed contracts, and a place to show their progress."""

from __future__ import annotations

from typing import Protocol

from isthmus.domain.objects import ContractVersion, ExternalRef
from isthmus.ports.messages import ContractNotices, ContractStatus
from isthmus.ports.verbs import reads, writes


class Crm(Protocol):
    """Owner of pipeline, account and, where there is no CLM, of the contract's terms."""

    @reads
    def contracts_changed(self, watermark: str) -> ContractNotices:
        """Contracts changed after the watermark (empty: from the beginning)."""
        ...

    @reads
    def read_contract(self, contract_no: str) -> ContractVersion:
        """The contract as it stands, terms normalised. NotFound; BadInput names a term that cannot be read."""
        ...

    @writes(
        key=lambda status: f"{status.contract_no}:{status.revision}",
        find="find_status",
        exception="EX-WRITEBACK",
        queue="billing",
    )
    def report_status(self, status: ContractStatus) -> ExternalRef:
        """Show state and money on the contract."""
        ...

    @reads
    def find_status(self, status: ContractStatus) -> ExternalRef | None:
        """The contract, if it shows exactly this status."""
        ...
