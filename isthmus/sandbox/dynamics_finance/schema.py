"""The data entities of the environment: public names, keys, fields and their types.

Field names are those of the Common Data Model (operationsCommon). Names of collections, keys and Edm types are those
of published $metadata where one is known; ``unverified`` marks collections whose public name is an assumption.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NAMESPACE = "Microsoft.Dynamics.DataEntities"
NO_DATE = "1900-01-01T12:00:00Z"

ENUMS: dict[str, tuple[str, ...]] = {
    "NoYes": ("No", "Yes"),
    "CustVendorBlocked": ("No", "Invoice", "All", "Payment", "Requisition", "Never"),
    "ProjStatus": ("Created", "Estimated", "Scheduled", "InProcess", "Completed"),
    "LedgerJournalACType": ("Ledger", "Cust", "Vend", "Project", "FixedAssets", "Bank"),
    "LedgerTransType": ("None", "Sales", "Cust", "Payment"),
}
EDM = {"s": "Edm.String", "i": "Edm.Int32", "l": "Edm.Int64", "n": "Edm.Decimal", "d": "Edm.DateTimeOffset"}
_EMPTY = {"s": "", "i": 0, "l": 0, "n": 0, "d": NO_DATE}


@dataclass(frozen=True)
class Entity:
    """One data entity.

    name: public type; entity_set: collection; xpp: name in messages; table: where it is kept, as messages call it.
    fields: name -> kind (s text, i and l integers, n decimal, d moment, or an enumeration). given: what only the
    vendor sets. links: name -> (collection, our field, their field). shared: not kept per company.
    """

    name: str
    entity_set: str
    xpp: str
    table: str
    key: tuple[str, ...]
    fields: dict[str, str]
    required: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    links: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    shared: bool = False
    read_only: bool = False
    unverified: bool = False

    @property
    def all_fields(self) -> dict[str, str]:
        """Fields with the company first, where the entity is kept per company."""
        return self.fields if self.shared else {"dataAreaId": "s", **self.fields}

    def empty(self) -> dict[str, object]:
        """A record as the vendor shows what nobody has filled in."""
        return {name: _EMPTY.get(kind, ENUMS.get(kind, ("",))[0]) for name, kind in self.all_fields.items()}


def _fields(text: str, **others: str) -> dict[str, str]:
    """Fields from words; a word without a kind is text. others: enumerations."""
    made = {name: kind or "s" for name, _, kind in (word.partition(":") for word in text.split())}
    return made | others


_DESCRIBED = "DefaultDimensionDisplayValue"

ENTITIES = (
    Entity("Company", "Companies", "CompanyInfoEntity", "Legal entities (CompanyInfo)", ("DataArea",),
           _fields("DataArea Name CurrencyCode"), shared=True, read_only=True),
    Entity("CustomerGroup", "CustomerGroups", "CustCustomerGroupEntity", "Customer groups (CustGroup)",
           ("dataAreaId", "CustomerGroupId"), _fields("CustomerGroupId Description PaymentTermId TaxGroupId"),
           required=("CustomerGroupId",)),
    Entity("PaymentTerm", "PaymentTerms", "PaymentTermEntity", "Terms of payment (PaymTerm)", ("dataAreaId", "Name"),
           _fields("Name Description NumberOfDays:i"), required=("Name",)),
    Entity("CustomerV3", "CustomersV3", "CustCustomerV3Entity", "Customers (CustTable)",
           ("dataAreaId", "CustomerAccount"),
           _fields("CustomerAccount PartyType OrganizationName NameAlias KnownAs CustomerGroupId OrganizationNumber"
                   " LanguageId AddressDescription AddressStreet AddressCity AddressState AddressZipCode"
                   " AddressCountryRegionId AddressCountryRegionISOCode SalesCurrencyCode PaymentTerms TaxExemptNumber"
                   f" PartyNumber InvoiceAccount SalesTaxGroup CreditLimit:n {_DESCRIBED}",
                   OnHoldStatus="CustVendorBlocked", IsOneTimeCustomer="NoYes"),
           required=("CustomerGroupId", "OrganizationName"), given=frozenset({"PartyNumber"})),
    Entity("ProjectContractHeader", "ProjectContractHeaders", "ProjProjectContractHeaderEntity",
           "Project contracts (ProjInvoiceTable)", ("dataAreaId", "ProjectContractId"),
           _fields("ProjectContractId Name SalesCurrencyCode CustomerAccountNumber CustomerRequisitionNumber"
                   " CustomersOrderReference TermsOfPayment IntegrationSourceDataId SalesTaxGroupCode",
                   NetPrice="NoYes"),
           required=("CustomerAccountNumber",)),
    Entity("ProjectV2", "ProjectsV2", "ProjProjectV2Entity", "Projects (ProjTable)", ("dataAreaId", "ProjectId"),
           _fields("ProjectId ProjectName ProjectContractId ProjectGroupId CustomerAccountNumber ParentProjectId"
                   " ProjectedStartDate:d ProjectedEndDate:d ActualStartDate:d ActualEndDate:d Description"
                   " DimensionDisplayValue IntegrationSourceDataId ProjectManagerPersonnelNumber",
                   ProjectStage="ProjStatus", IsProjectTemplate="NoYes"),
           required=("ProjectName", "ProjectContractId", "ProjectGroupId")),
    Entity("ProjectTask", "ProjectTasks", "ProjProjectTaskEntity", "Activities (smmActivities)",
           ("dataAreaId", "ProjectId", "TaskId"),
           _fields("ProjectId TaskId TaskName TaskElementId ParentTaskElementId TaskOutlineLevel:i"
                   " TaskDisplaySequence:n"),
           required=("TaskId", "TaskName")),
    Entity("ProjectHourJournal", "ProjectHourJournals", "ProjJournalTableEntity", "Journals (ProjJournalTable)",
           ("dataAreaId", "JournalBatchNumber"),
           _fields("JournalBatchNumber JournalName Description ProjectID PostedUserId", Posted="NoYes"),
           required=("JournalName",), given=frozenset({"JournalBatchNumber", "Posted"}), unverified=True),
    Entity("ProjectHourJournalLine", "ProjectHourJournalLines", "ProjJournalTransEntity",
           "Journal lines (ProjJournalTrans)", ("dataAreaId", "JournalId", "LineNumber"),
           _fields("JournalId LineNumber:n ProjectID ActivityNumber Category ResourceId LineProperty Description"
                   " Voucher CurrencyId TransactionID ProjectDate:d Hours:n CostPrice:n SalesPrice:n"),
           required=("JournalId", "ProjectID", "Category", "ResourceId"), unverified=True),
    Entity("ProjectOnAccountForecast", "ProjectOnAccountForecasts", "ProjForecastOnAccEntity",
           "On-account forecasts (ProjForecastOnAcc)", ("dataAreaId", "ForecastModel", "TransactionID"),
           _fields("ForecastModel TransactionID ProjectID Description SalesCurrency InvoiceDate:d ProjectDate:d"
                   " Quantity:n SalesPrice:n"),
           required=("ForecastModel", "ProjectID"), unverified=True),
    Entity("FreeTextInvoiceHeader", "FreeTextInvoiceHeaders", "FreeTextInvoiceHeaderEntity",
           "Free text invoices (CustInvoiceTable)", ("dataAreaId", "InvoiceIdentifier"),
           _fields("InvoiceIdentifier:l FreeTextNumber InvoiceId ExternalInvoiceId CustomerAccount InvoiceAccount"
                   " CurrencyCode TermsOfPayment CustomerRequisition CustomerReference InvoiceName CorrectedInvoiceId"
                   f" PostingProfile SalesTaxGroupId InvoiceDate:d DueDate:d DocumentDate:d {_DESCRIBED}",
                   IsPosted="NoYes", IsCorrection="NoYes", InclTax="NoYes", OverrideSalesTax="NoYes"),
           required=("CustomerAccount",), given=frozenset({"InvoiceIdentifier", "IsPosted"}),
           links={"CustFreeTextInvoiceHeader": ("FreeTextInvoiceLines", "InvoiceIdentifier", "ParentRecId")}),
    Entity("FreeTextInvoiceLine", "FreeTextInvoiceLines", "FreeTextInvoiceLineEntity",
           "Free text invoice lines (CustInvoiceLine)", ("dataAreaId", "LineNumber", "ParentRecId"),
           _fields("LineNumber:n ParentRecId:l ExternalInvoiceId Description InvoiceText ProjectID CurrencyCode"
                   " MainAccountDisplayValue SalesTaxGroupId SalesTaxItemGroupId Quantity:n UnitPrice:n"
                   f" TransactionCurrencyAmount:n SalesTaxAmount:n {_DESCRIBED}", OverrideSalesTax="NoYes"),
           required=("MainAccountDisplayValue",)),
    Entity("CustomerPaymentJournalHeader", "CustomerPaymentJournalHeaders", "CustomerPaymentJournalHeaderEntity",
           "Ledger journal table (LedgerJournalTable)", ("dataAreaId", "JournalBatchNumber"),
           _fields("JournalBatchNumber JournalName Description", IsPosted="NoYes"), required=("JournalName",),
           given=frozenset({"JournalBatchNumber", "IsPosted"})),
    Entity("CustomerPaymentJournalLine", "CustomerPaymentJournalLines", "CustomerPaymentJournalLineEntity",
           "Journal lines (LedgerJournalTrans)", ("dataAreaId", "JournalBatchNumber", "LineNumber"),
           _fields("JournalBatchNumber LineNumber:n Company AccountDisplayValue CustomerName CreditAmount:n"
                   " DebitAmount:n CurrencyCode TransactionDate:d PaymentReference PaymentId DocumentNumber"
                   " TransactionText MarkedInvoice MarkedInvoiceCompany SettleVoucher Voucher",
                   AccountType="LedgerJournalACType", IsPrepayment="NoYes"),
           required=("AccountDisplayValue",)),
    Entity("CustomerPaymentJournalLineSettledInvoice", "CustomerPaymentJournalLineSettledInvoices",
           "CustomerPaymentJournalLineSettledInvoiceEntity", "Marked transactions (SpecTrans)",
           ("JournalLineCompany", "JournalBatchNumber", "JournalLineNumber", "InvoiceCompany", "InvoiceNumber"),
           _fields("JournalLineCompany JournalBatchNumber JournalLineNumber:n JournalLineAccountType InvoiceNumber"
                   " InvoiceCompany InvoiceDueDate:d AccountDisplayValue SettlementAmountInInvoiceCurrency:n"
                   " CashDiscountToTakeInInvoiceCurrency:n InvoiceToPaymentCrossRate:n"),
           shared=True, unverified=True),
    Entity("CustomerTransaction", "CustomerTransactions", "CustTransEntity", "Customer transactions (CustTrans)",
           ("dataAreaId", "Voucher", "AccountNum"),
           _fields("Voucher AccountNum Invoice TransDate:d DueDate:d Closed:d CurrencyCode AmountCur:n"
                   " SettleAmountCur:n LastSettleVoucher", TransType="LedgerTransType"),
           read_only=True, unverified=True),
    Entity("LedgerJournalHeader", "LedgerJournalHeaders", "LedgerJournalHeaderEntity",
           "Ledger journal table (LedgerJournalTable)", ("dataAreaId", "JournalBatchNumber"),
           _fields("JournalBatchNumber JournalName Description IntegrationKey", IsPosted="NoYes"),
           required=("JournalName",), given=frozenset({"JournalBatchNumber", "IsPosted"})),
    Entity("LedgerJournalLine", "LedgerJournalLines", "LedgerJournalLineEntity", "Journal lines (LedgerJournalTrans)",
           ("dataAreaId", "JournalBatchNumber", "LineNumber"),
           _fields("JournalBatchNumber LineNumber:n AccountDisplayValue OffsetAccountDisplayValue DebitAmount:n"
                   f" CreditAmount:n CurrencyCode Text Document Voucher TransDate:d {_DESCRIBED}",
                   AccountType="LedgerJournalACType"),
           required=("AccountDisplayValue", "CurrencyCode"), given=frozenset({"LineNumber", "Voucher"})),
    Entity("MainAccount", "MainAccounts", "MainAccountEntity", "Main accounts (MainAccount)", ("MainAccountId",),
           _fields("MainAccountId Name ChartOfAccounts"), shared=True, read_only=True),
    Entity("DataManagementDefinitionGroup", "DataManagementDefinitionGroups", "DMFDefinitionGroupEntity",
           "Data projects (DMFDefinitionGroup)", ("Name",), _fields("Name Description OperationType"), shared=True),
)  # fmt: skip
BY_SET = {entity.entity_set: entity for entity in ENTITIES}

# (collection, field) -> (collection it refers to, its field, label of the field, label of the table).
REFERENCES: dict[tuple[str, str], tuple[str, str, str, str]] = {
    ("CustomersV3", "CustomerGroupId"): ("CustomerGroups", "CustomerGroupId", "Customer group", "Customer groups"),
    ("CustomersV3", "PaymentTerms"): ("PaymentTerms", "Name", "Terms of payment", "Terms of payment"),
    ("ProjectContractHeaders", "CustomerAccountNumber"): ("CustomersV3", "CustomerAccount", "Customer", "Customers"),
    ("ProjectsV2", "ProjectContractId"): (
        "ProjectContractHeaders", "ProjectContractId", "Project contract ID", "Project contracts",
    ),
    ("ProjectsV2", "CustomerAccountNumber"): ("CustomersV3", "CustomerAccount", "Customer account", "Customers"),
    ("ProjectTasks", "ProjectId"): ("ProjectsV2", "ProjectId", "Project ID", "Projects"),
    ("ProjectHourJournalLines", "ProjectID"): ("ProjectsV2", "ProjectId", "Project ID", "Projects"),
    ("ProjectOnAccountForecasts", "ProjectID"): ("ProjectsV2", "ProjectId", "Project ID", "Projects"),
    ("FreeTextInvoiceHeaders", "CustomerAccount"): (
        "CustomersV3", "CustomerAccount", "Customer account", "Customers",
    ),
    ("FreeTextInvoiceHeaders", "TermsOfPayment"): ("PaymentTerms", "Name", "Terms of payment", "Terms of payment"),
    ("FreeTextInvoiceLines", "ProjectID"): ("ProjectsV2", "ProjectId", "Project ID", "Projects"),
    ("FreeTextInvoiceLines", "MainAccountDisplayValue"): (
        "MainAccounts", "MainAccountId", "Main account", "Main accounts",
    ),
    ("CustomerPaymentJournalLines", "AccountDisplayValue"): ("CustomersV3", "CustomerAccount", "Account", "Customers"),
}  # fmt: skip
