"""The firm's own properties in the sandbox' portal: what a signed contract needs beyond the vendor's deal.

They are this project's, not the vendor's: the names a portal is set up with by docs/connect/hubspot.md.
"""

from __future__ import annotations

from isthmus.sandbox.hubspot.schema import Property

BILLING_TYPES = ("tm", "fixed_milestone", "non_billable", "retainer")


def _properties(text: str) -> list[Property]:
    """name:kind, ``!`` after a name whose values are unique, ``:a|b`` for the options of an enumeration."""
    made = []
    for entry in text.split():
        name, _, kind = entry.partition(":")
        options = tuple(kind.split("|")) if "|" in kind else ()
        unique = name.endswith("!")
        made.append(Property(name.rstrip("!"), "enumeration" if options else kind or "string", options=options,
                             unique=unique))  # fmt: skip
    return made


DEAL = """
contract_no! contract_version:number contract_price:number legal_entity signed_on:date effective_date:date
contract_start_date:date contract_end_date:date legal_approved_by finance_approved_by payment_terms po_number
project_template practice cost_center billing_cap:number cap_kind:hard|soft document_url document_hash
hub_status hub_project_ref hub_billed:number hub_paid:number hub_last_invoice
"""
LINE_ITEM = f"""
line_uid billing_type:{"|".join(BILLING_TYPES)} role billing_unit:Hour|Day|Month bill_rate:number tax_class
cap_amount:number cap_kind:hard|soft milestone_date:date deliverable
"""
COMPANY = "client_no! tax_id tax_exempt:bool exemption_certificate parent_client_no billing_currency"


def firm_properties() -> dict[str, list[Property]]:
    """Custom properties by object type."""
    return {"deals": _properties(DEAL), "line_items": _properties(LINE_ITEM), "companies": _properties(COMPANY)}
