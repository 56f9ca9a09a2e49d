"""Controls across the hub's books and the other systems: each break is a finding with its money."""

from isthmus.reconciliation.controls import CONTROLS, Recompute, audit_books, reconcile_books
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.numbering import check_numbers
from isthmus.reconciliation.partition import check_partition
from isthmus.reconciliation.receivables import check_receivables
from isthmus.reconciliation.standstill import check_standstill

__all__ = [
    "CONTROLS",
    "Finding",
    "Recompute",
    "audit_books",
    "check_numbers",
    "check_partition",
    "check_receivables",
    "check_standstill",
    "reconcile_books",
]
