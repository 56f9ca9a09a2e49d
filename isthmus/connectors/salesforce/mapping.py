"""Salesforce fields of a contract, its client, its quote lines and the status the hub shows. Data only.

Names ending in ``__c`` without a package prefix are the firm's own: the defaults here, changed by the setting
``fields``. Amounts come as JSON numbers with the scale of the field, so they are brought to the currency's decimals.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from isthmus.domain.money import is_exact_amount
from isthmus.kit.mapping import Field, StatusTable, Table, at_minor_unit


def day(value: str) -> date:
    """A date field."""
    return date.fromisoformat(value)


def day_after(value: str) -> date:
    """The last day of a contract as our exclusive end."""
    return date.fromisoformat(value) + timedelta(days=1)


def amount(value: Any) -> Decimal:
    """A number field, exact as it was written."""
    return Decimal(str(value))


def rate(value: Decimal, currency: str) -> Decimal:
    """A price: with the currency's decimals when they hold it, else with its own and no trailing zeros."""
    return at_minor_unit(value, currency) if is_exact_amount(value, currency) else value.normalize()


CONTRACT = Table(
    Field("source_ref", "Id"),
    Field("contract_no", "Contract_No__c"),
    Field("version", "Version__c", back=int),
    Field("entity", "Legal_Entity__c"),
    Field("currency", "CurrencyIsoCode"),
    Field("start", "StartDate", back=day),
    Field("effective_from", "Effective_Date__c", back=day),
    Field("effective_to", "EndDate", back=day_after),
    Field("signed_on", "CustomerSignedDate", back=day),
    Field("legal_approved_by", "Legal_Approved_By__c"),
    Field("finance_approved_by", "Finance_Approved_By__c"),
    Field("payment_terms", "Payment_Terms__c"),
    Field("po_number", "PO_Number__c"),
    Field("template", "Project_Template__c"),
    Field("transaction_price", "Transaction_Price__c", back=amount),
    Field("document_ref", "Document_Url__c"),
    Field("document_hash", "Document_Hash__c"),
    Field("opportunity_ref", "SBQQ__Opportunity__c"),
    Field("quote", "SBQQ__Quote__c"),
    Field("cap_limit", "Billing_Cap__c", back=amount),
    Field("cap_kind", "Cap_Kind__c"),
)
# Fields of the table that a contract version needs; the others may be empty.
CONTRACT_NEEDS = ("contract_no", "version", "entity", "currency", "effective_from", "signed_on", "quote")
# Fields that serve the reading and are not the version's own.
CONTRACT_AIDS = ("start", "quote", "cap_limit", "cap_kind")

DIMENSIONS = Table(Field("practice", "Practice__c"), Field("cost_center", "Cost_Center__c"))

CLIENT = Table(
    Field("client_no", "Client_No__c"),
    Field("legal_name", "Name"),
    Field("country", "BillingCountryCode"),
    Field("tax_id", "Tax_Id__c"),
    Field("tax_exempt", "Tax_Exempt__c"),
    Field("exemption_certificate", "Exemption_Certificate__c"),
    Field("parent_no", "Parent.Client_No__c"),
    Field("currency", "CurrencyIsoCode"),
)
CLIENT_NEEDS = ("client_no", "legal_name", "country")

ADDRESS = Table(
    Field("street", "BillingStreet"),
    Field("city", "BillingCity"),
    Field("region", "BillingState"),
    Field("postal_code", "BillingPostalCode"),
    Field("country", "BillingCountryCode"),
)

LINE = Table(
    Field("line_uid", "Line_Uid__c"),
    Field("number", "SBQQ__Number__c", back=int),
    Field("description", "SBQQ__Product__r.Name"),
    Field("billing_type", "Billing_Type__c"),
    Field("currency", "CurrencyIsoCode"),
    Field("role", "Role__c"),
    Field("unit", "Unit__c"),
    Field("rate", "Rate__c", back=amount),
    Field("net_price", "SBQQ__NetPrice__c", back=amount),
    Field("net_total", "SBQQ__NetTotal__c", back=amount),
    Field("tax_code", "Tax_Class__c"),
    Field("cap_limit", "Cap_Amount__c", back=amount),
    Field("cap_kind", "Cap_Kind__c"),
    Field("due", "Milestone_Date__c", back=day),
    Field("deliverable", "Deliverable__c"),
)
# Not for a firm to rename; read with every line, so that prices and this answer are of the same moment.
UNCALCULATED = "SBQQ__Quote__r.SBQQ__Uncalculated__c"

STATUS = Table(
    Field("state", "Hub_Status__c"),
    Field("project_ref", "Hub_Project_Ref__c"),
    Field("billed", "Hub_Billed__c", back=amount),
    Field("paid", "Hub_Paid__c", back=amount),
    Field("last_invoice", "Hub_Last_Invoice__c"),
)

BILLING_TYPES = {"tm": "tm", "fixed_milestone": "fixed_milestone", "non_billable": "non_billable"}
CAP_KINDS = StatusTable("salesforce Cap_Kind__c", {"hard": "hard", "soft": "soft"})
# A price per month or per piece is neither an hourly nor a daily rate: it must not be read as one.
RATE_UNITS = StatusTable("salesforce Unit__c", {"Hour": "hour", "Day": "day"})
