"""Salesforce fields of a contract, its client, its quote lines and the status the hub shows. Data only.

Names ending in ``__c`` without a package prefix are the firm's own: the defaults here, changed by the setting
``fields``. Amounts come as JSON numbers with the scale of the field, so they are brought to the currency's decimals.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.kit.contract_rows import Shape, amount, day, day_after
from isthmus.kit.mapping import Field, StatusTable, Table
from isthmus.kit.wire import Row
from isthmus.ports.messages import ContractStatus

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
    there="Contract",
)
# Fields of the table that a contract version needs; the others may be empty.
CONTRACT_NEEDS = ("contract_no", "version", "entity", "currency", "effective_from", "signed_on", "quote")

DIMENSIONS = Table(Field("practice", "Practice__c"), Field("cost_center", "Cost_Center__c"), there="Contract")

CLIENT = Table(
    Field("client_no", "Client_No__c"),
    Field("legal_name", "Name"),
    Field("country", "BillingCountryCode"),
    Field("tax_id", "Tax_Id__c"),
    Field("tax_exempt", "Tax_Exempt__c"),
    Field("exemption_certificate", "Exemption_Certificate__c"),
    Field("parent_no", "Parent.Client_No__c"),
    Field("currency", "CurrencyIsoCode"),
    there="Account",
)

ADDRESS = Table(
    Field("street", "BillingStreet"),
    Field("city", "BillingCity"),
    Field("region", "BillingState"),
    Field("postal_code", "BillingPostalCode"),
    Field("country", "BillingCountryCode"),
    there="Account",
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
    there="SBQQ__QuoteLine__c",
)
# Not for a firm to rename; read with every line, so that prices and this answer are of the same moment.
UNCALCULATED = "SBQQ__Quote__r.SBQQ__Uncalculated__c"

STATUS = Table(
    Field("state", "Hub_Status__c"),
    Field("project_ref", "Hub_Project_Ref__c"),
    Field("billed", "Hub_Billed__c", back=amount),
    Field("paid", "Hub_Paid__c", back=amount),
    Field("last_invoice", "Hub_Last_Invoice__c"),
    of=ContractStatus,
    there="Contract",
)

CAP_KINDS = StatusTable("salesforce Cap_Kind__c", {"hard": "hard", "soft": "soft"})
# A price per month or per piece is neither an hourly nor a daily rate: it must not be read as one.
RATE_UNITS = StatusTable("salesforce Unit__c", {"Hour": "hour", "Day": "day"})
SHAPE = Shape(
    {"contract": CONTRACT, "client": CLIENT, "address": ADDRESS, "line": LINE, "status": STATUS},
    DIMENSIONS,
    CONTRACT_NEEDS,
    RATE_UNITS,
    CAP_KINDS,
)
ACTIVATED = "Status = 'Activated'"
CHANGES = "/data/ContractChangeEvent"  # the channel of change events of contracts
ANY = "*"  # stands for records that an event does not name


def records_of(events: Iterable[Row]) -> set[str]:
    """Ids of the records that change events speak of; ANY among them where one names none in particular."""
    headers = [event["ChangeEventHeader"] for event in events]
    named = {record for header in headers for record in header["recordIds"]}
    vague = any(header["changeType"] == "GAP_OVERFLOW" for header in headers) or any(ANY in one for one in named)
    return {one for one in named if ANY not in one} | ({ANY} if vague else set())
