"""What the hub asks of other systems: one Protocol per capability."""

from isthmus.ports.crm import Crm
from isthmus.ports.erp import Erp, JournalBook, ReceivableList, ScheduleBook, VendorBillBook
from isthmus.ports.esign import Esign
from isthmus.ports.psa import DisputeBoard, Psa, RateBook, TimeSource
from isthmus.ports.tax import TaxEngine
from isthmus.ports.work import Delivery, ExpenseSource

PORTS: dict[str, type] = {
    port.__name__: port
    for port in (
        Crm,
        Delivery,
        DisputeBoard,
        Erp,
        Esign,
        ExpenseSource,
        JournalBook,
        Psa,
        RateBook,
        ReceivableList,
        ScheduleBook,
        TaxEngine,
        TimeSource,
        VendorBillBook,
    )
}

# Without these a journey from contract to cash stops; the others are asked only where a firm has them.
NEEDED_PORTS = frozenset({"Crm", "Erp", "Psa", "TaxEngine", "TimeSource"})

# What they hand over says where it came from, so a legal entity may have several at once: while it changes its time
# tool, or where work is logged in one system and planned in another.
SOURCES = frozenset({"Delivery", "ExpenseSource", "TimeSource"})

__all__ = [
    "NEEDED_PORTS",
    "PORTS",
    "SOURCES",
    "Crm",
    "Delivery",
    "DisputeBoard",
    "Erp",
    "Esign",
    "ExpenseSource",
    "JournalBook",
    "Psa",
    "RateBook",
    "ReceivableList",
    "ScheduleBook",
    "TaxEngine",
    "TimeSource",
    "VendorBillBook",
]
