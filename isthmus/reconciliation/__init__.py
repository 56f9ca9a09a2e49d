"""Controls across the hub's books and the other systems: each break is a finding with its money."""

from isthmus.reconciliation.controls import CONTROLS, Recompute, audit_books, reconcile_books
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.numbering import check_numbers
from isthmus.reconciliation.partition import check_partition
from isthmus.reconciliation.payables import check_payables
from isthmus.reconciliation.receivables import Unanswered, check_listed, check_receivables
from isthmus.reconciliation.standstill import check_standstill

__all__ = [
    "CONTROLS",
    "Finding",
    "Recompute",
    "Unanswered",
    "audit_books",
    "check_listed",
    "check_numbers",
    "check_partition",
    "check_payables",
    "check_receivables",
    "check_standstill",
    "reconcile_books",
]
