"""Holds that follow from terms: orders that are missing or not valid on the day of the work."""

from __future__ import annotations

from isthmus.domain.objects import BillableItem, ContractVersion


def order_hold(item: BillableItem, version: ContractVersion) -> str:
    """PO_MISSING, PO_EXPIRED, or empty. An order binds the lines it names, or all when it names none.

    The amount of an order is no hold: it is a hard cap of what is billed on it.
    """
    if not item.po_number:
        return "PO_MISSING" if version.invoicing.po_required else ""
    known = [po for po in version.purchase_orders if po.po_number == item.po_number]
    if not version.purchase_orders:
        return ""
    fitting = [po for po in known if not po.line_uids or item.line_uid in po.line_uids]
    if not fitting:
        return "PO_MISSING"
    day = item.service_date
    valid = [
        po
        for po in fitting
        if (po.valid_from is None or po.valid_from <= day) and (po.valid_to is None or day <= po.valid_to)
    ]
    return "" if valid else "PO_EXPIRED"
