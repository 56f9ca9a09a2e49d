"""The objects of the organisation as a data table: one line per field, ``name | type | detail | flags``.

Modelled from the vendor's published object reference and public CPQ package metadata; not certified. Fields without
a ``SBQQ__`` prefix that end in ``__c`` are the firm's own.
"""

from __future__ import annotations

from typing import Any

from isthmus.sandbox.platform.package import CURRENCY, ObjectType

ACCOUNT = f"""
Name | string | 255 | required
OwnerId | reference | User |
Type | picklist | Prospect;Customer;Partner;Other |
Industry | picklist | Banking;Consulting;Energy;Healthcare;Manufacturing;Technology;Other |
BillingStreet | textarea | 255 |
BillingCity | string | 40 |
BillingState | string | 80 |
BillingPostalCode | string | 20 |
BillingCountryCode | string | 10 |
{CURRENCY}
ParentId | reference | Account |
Hub_Id__c | string | 80 | external unique
Client_No__c | string | 40 | external unique
Tax_Id__c | string | 40 |
Tax_Exempt__c | boolean | |
Exemption_Certificate__c | string | 80 |
ERP_Id__c | string | 40 |
"""

CONTACT = f"""
LastName | string | 80 | required
FirstName | string | 40 |
Name | string | 121 | readonly
OwnerId | reference | User |
AccountId | reference | Account |
Email | email | 80 |
Phone | phone | 40 |
Title | string | 128 |
{CURRENCY}
Hub_Id__c | string | 80 | external unique
"""

OPPORTUNITY = f"""
Name | string | 120 | required
OwnerId | reference | User |
AccountId | reference | Account |
Amount | currency | 18.2 |
StageName | picklist | Prospecting;Qualification;Proposal/Price Quote;Closed Won;Closed Lost | required
CloseDate | date | | required
IsClosed | boolean | | readonly
IsWon | boolean | | readonly
ContractId | reference | Contract |
{CURRENCY}
SBQQ__PrimaryQuote__c | reference | SBQQ__Quote__c |
SBQQ__AmendedContract__c | reference | Contract |
SBQQ__Contracted__c | boolean | |
Hub_Id__c | string | 80 | external unique
Engagement_No__c | string | 40 | external
Target_Margin__c | percent | 5.2 |
"""

CONTRACT = f"""
ContractNumber | string | 30 | readonly autonumber
Name | string | 80 |
OwnerId | reference | User |
AccountId | reference | Account | required
Status | picklist | Draft;In Approval Process;Activated | restricted
StartDate | date | |
ContractTerm | int | 4 |
EndDate | date | | readonly
ActivatedDate | datetime | | readonly
ActivatedById | reference | User | readonly
CustomerSignedDate | date | |
CompanySignedDate | date | |
SBQQ__Quote__c | reference | SBQQ__Quote__c |
SBQQ__Opportunity__c | reference | Opportunity |
SBQQ__AmendmentStartDate__c | date | |
SBQQ__MasterContract__c | boolean | |
{CURRENCY}
Contract_No__c | string | 40 | external unique
Version__c | double | 4.0 |
Effective_Date__c | date | |
Legal_Entity__c | string | 80 |
Legal_Approved_By__c | string | 120 |
Legal_Approved_On__c | datetime | |
Finance_Approved_By__c | string | 120 |
Finance_Approved_On__c | datetime | |
Payment_Terms__c | string | 80 |
Practice__c | string | 80 |
Cost_Center__c | string | 80 |
Region__c | string | 80 |
Project_Template__c | string | 80 |
Transaction_Price__c | currency | 18.2 |
Billing_Cap__c | currency | 18.2 |
Cap_Kind__c | picklist | hard;soft | restricted
PO_Number__c | string | 80 |
Document_Url__c | url | 255 |
Document_Hash__c | string | 128 |
Invoice_Approval_Limit__c | currency | 18.2 |
Hub_Status__c | string | 80 |
Hub_Project_Ref__c | string | 80 |
Hub_Billed__c | currency | 18.2 |
Hub_Paid__c | currency | 18.2 |
Hub_Last_Invoice__c | string | 80 |
"""

QUOTE = f"""
Name | string | 80 | readonly autonumber
OwnerId | reference | User |
SBQQ__Account__c | reference | Account |
SBQQ__Opportunity2__c | reference | Opportunity |
SBQQ__Status__c | picklist | Draft;In Review;Approved;Denied;Presented;Accepted;Rejected |
SBQQ__Type__c | picklist | Quote;Renewal;Amendment;Re-Quote;Change Order |
SBQQ__Primary__c | boolean | |
SBQQ__StartDate__c | date | |
SBQQ__EndDate__c | date | |
SBQQ__SubscriptionTerm__c | double | 5.0 |
SBQQ__NetAmount__c | currency | 18.2 | readonly
SBQQ__PaymentTerms__c | picklist | Due on receipt;Net 15;Net 30;Net 45;Net 60;Net 90 |
SBQQ__BillingFrequency__c | picklist | Monthly;Quarterly;Semiannual;Annual |
SBQQ__PriceBook__c | reference | Pricebook2 |
SBQQ__MasterContract__c | reference | Contract |
SBQQ__OriginalQuote__c | reference | SBQQ__Quote__c |
SBQQ__Uncalculated__c | boolean | | readonly
SBQQ__LastCalculatedOn__c | datetime | |
SBQQ__Key__c | string | 80 | external
{CURRENCY}
"""

QUOTE_LINE = f"""
Name | string | 80 | readonly autonumber
SBQQ__Quote__c | reference | SBQQ__Quote__c | required
SBQQ__Number__c | double | 5.0 |
SBQQ__Product__c | reference | Product2 |
SBQQ__ProductCode__c | string | 255 | readonly
SBQQ__ProductName__c | string | 255 | readonly
SBQQ__Description__c | textarea | 32000 |
SBQQ__Quantity__c | double | 12.2 |
SBQQ__PriorQuantity__c | double | 12.2 |
SBQQ__NetPrice__c | currency | 18.2 |
SBQQ__NetTotal__c | currency | 18.2 | readonly
SBQQ__ListPrice__c | currency | 18.2 |
SBQQ__Discount__c | percent | 5.2 |
SBQQ__BillingType__c | picklist | Advance;Arrears |
SBQQ__ChargeType__c | picklist | One-Time;Recurring;Usage |
SBQQ__BillingFrequency__c | picklist | Monthly;Quarterly;Semiannual;Annual |
SBQQ__StartDate__c | date | |
SBQQ__EndDate__c | date | |
SBQQ__TaxCode__c | string | 80 |
SBQQ__Taxable__c | boolean | |
SBQQ__UpgradedSubscription__c | reference | SBQQ__Subscription__c |
SBQQ__Existing__c | boolean | |
SBQQ__RequiredBy__c | reference | SBQQ__QuoteLine__c |
{CURRENCY}
Line_Uid__c | string | 80 | external unique
Billing_Type__c | picklist | tm;fixed_milestone;fixed_fee;retainer;expense;non_billable |
Role__c | string | 80 |
Rate__c | currency | 16.4 |
Unit__c | picklist | Hour;Day;Month;Each |
Cap_Amount__c | currency | 18.2 |
Cap_Kind__c | picklist | hard;soft | restricted
Tax_Class__c | string | 80 |
Milestone_Date__c | date | |
Deliverable__c | string | 255 |
"""

PRODUCT = """
Name | string | 255 | required
ProductCode | string | 255 |
Family | picklist | Services;Licences;Expenses |
IsActive | boolean | |
"""

# By API name.
OBJECTS = {
    "Account": ObjectType("001", "Account", "Accounts", "", ACCOUNT),
    "Contact": ObjectType("003", "Contact", "Contacts", "", CONTACT),
    "Opportunity": ObjectType("006", "Opportunity", "Opportunities", "", OPPORTUNITY),
    "Contract": ObjectType("800", "Contract", "Contracts", "{:08d}", CONTRACT),
    "Product2": ObjectType("01t", "Product", "Products", "", PRODUCT),
    "SBQQ__Quote__c": ObjectType("a0q", "Quote", "Quotes", "Q-{:05d}", QUOTE),
    "SBQQ__QuoteLine__c": ObjectType("a0r", "Quote Line", "Quote Lines", "QL-{:07d}", QUOTE_LINE),
}

# What the platform fills in when a new record leaves the field out.
DEFAULTS: dict[str, dict[str, Any]] = {
    "Contract": {"Status": "Draft"},
    "SBQQ__Quote__c": {"SBQQ__Status__c": "Draft", "SBQQ__Type__c": "Quote"},
}

# What is deleted with a record.
CHILDREN = {"SBQQ__Quote__c": (("SBQQ__QuoteLine__c", "SBQQ__Quote__c"),)}
