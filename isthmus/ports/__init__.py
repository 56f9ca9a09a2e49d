"""What the hub asks of other systems: one Protocol per capability."""

from isthmus.ports.crm import Crm
from isthmus.ports.erp import Erp
from isthmus.ports.psa import Psa
from isthmus.ports.tax import TaxEngine

PORTS: dict[str, type] = {"Crm": Crm, "Erp": Erp, "Psa": Psa, "TaxEngine": TaxEngine}

__all__ = ["PORTS", "Crm", "Erp", "Psa", "TaxEngine"]
