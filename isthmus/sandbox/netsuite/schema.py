"""The record types of the account: their fields, what a field may hold, what is mandatory.

Names and types follow the vendor's REST browser (2026.1). The labels of enumerated ids are not published; those here
are the sandbox's own, served through select-options so that a client need not hard-code them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ENUMS: dict[str, dict[str, str]] = {
    "jobStatus": {"1": "Closed", "2": "In Progress", "3": "Not Awarded", "4": "Awarded", "5": "Pending"},
    "jobBilling": {
        "1": "Time and Materials",
        "2": "Fixed Bid, Interval",
        "3": "Fixed Bid, Milestone",
        "4": "Charge-Based",
        "5": "Standard",
    },
    "scheduleType": {
        "1": "Standard",
        "2": "Fixed Bid, Interval",
        "3": "Fixed Bid, Milestone",
        "4": "Time and Materials",
        "5": "Charge-Based",
    },
    "frequency": {
        n: n.capitalize()
        for n in [
            "NEVER",
            "DAILY",
            "WEEKLY",
            "BIWEEKLY",
            "SEMIMONTHLY",
            "MONTHLY",
            "BIMONTHLY",
            "QUARTERLY",
            "SEMIANNUALLY",
            "ANNUALLY",
            "CUSTOM",
        ]
    },
    "timeApproval": {"1": "Open", "2": "Pending Approval", "3": "Approved", "4": "Rejected"},
    "timeType": {"P": "Planned", "A": "Actual", "B": "Both"},
    "taskStatus": {"NOTSTART": "Not Started", "PROGRESS": "In Progress", "COMPLETE": "Completed"},
    "constraint": {"FIXEDSTART": "Fixed Start", "ASAP": "As Soon As Possible"},
    "priority": {"HIGH": "High", "MEDIUM": "Medium", "LOW": "Low"},
    "dependency": {"FS": "Finish-To-Start", "SS": "Start-To-Start", "FF": "Finish-To-Finish", "SF": "Start-To-Finish"},
    "scheduling": {"BACKWARD": "Backward", "FORWARD": "Forward"},
    "units": {"DAY": "Day", "WEEK": "Week", "MONTH": "Month"},
    "approval": {"1": "Pending Approval", "2": "Approved", "3": "Rejected", "11": "Open"},
    "invoiceStatus": {
        "A": "Open",
        "B": "Paid In Full",
        "D": "Pending Approval",
        "E": "Rejected",
        "V": "Voided",
    },
    "creditStatus": {"A": "Open", "B": "Fully Applied", "V": "Voided"},
    "paymentStatus": {"A": "Unapproved Payment", "B": "Not Deposited", "C": "Deposited", "R": "Rejected"},
    "journalStatus": {"A": "Pending Approval", "B": "Approved for Posting"},
    "billStatus": {
        "A": "Open",
        "B": "Paid In Full",
        "C": "Cancelled",
        "D": "Pending Approval",
        "E": "Rejected",
        "F": "Payment In-Transit",
    },
    "jeSchedule": {"Amortization": "Amortization", "RevRec": "RevRec"},
}

_LINES = {
    "item": """
        line int; item ref:serviceSaleItem; description str; quantity num; rate num; amount num; job ref:job
        department ref:department; class ref:classification; location ref:location; taxDetailsReference str
        grossAmt num; taxAmount num; orderLine int""",
    "taxDetails": """
        taxDetailsReference key; taxAmount num; taxBasis num; taxRate num; netAmount num; taxType str; taxCode any
        calcDetail str; lineName str; lineType str""",
    "apply": "doc ref:invoice; apply bool; amount num; due num; total num; refNum str; line int; applyDate date",
    "time": "doc ref:timeBill; apply bool; amount num; rate num; quantity str; item ref:serviceSaleItem; memo str",
    "journal": """
        line int; account ref:account; debit num; credit num; entity ref:customer,job,employee; memo str
        department ref:department; class ref:classification; location ref:location; startDate date; endDate date
        schedule any; scheduleType enum:jeSchedule; revenueRecognitionRule any""",
    "expense": """
        line int; account ref:account; amount num; memo str; customer ref:customer,job; isBillable bool; category any
        department ref:department; class ref:classification; location ref:location; taxCode any; grossAmt num""",
    "assignee": """
        resource ref:employee; serviceItem ref:serviceSaleItem; billingClass any; estimatedWork num; unitCost num
        unitPrice num; units num""",
    "predecessor": "predecessor ref:projectTask; type enum:dependency; lagDays num",
    "recurrence": """
        amount num; count int; paymentTerms ref:term; recurrenceDate date; units enum:units
        relativeToPrevious bool""",
    "milestone": """
        projectTask ref:projectTask; milestoneAmount num; milestoneDate date; milestoneActualCompletionDate date
        milestoneCompleted bool; milestoneTerms ref:term; comments str""",
    "address": "id str; label str; defaultBilling bool; defaultShipping bool; addressBookAddress obj",
    "budget": "id str; amount num; activityCode any; period any; item any; quantity num",
}

_HEAD = "id str; externalId str; refName str; links obj; "
_STAMPS = "; lastModifiedDate datetime"
_SALE = """
    entity ref:customer,job; job ref:job; subsidiary ref:subsidiary; currency ref:currency; exchangeRate num
    tranId str; tranDate date; postingPeriod ref:accountingPeriod; otherRefNum str; memo str; account ref:account
    department ref:department; class ref:classification; location ref:location; email str
    item lines:item; taxDetails lines:taxDetails; taxDetailsOverride bool; subtotal num; taxTotal num; total num
    createdDate datetime; vatRegNum str; entityTaxRegNum str; taxRegOverride bool; taxPointDate date"""

_BOUGHT = """
    entity ref:vendor; subsidiary ref:subsidiary; currency ref:currency; exchangeRate num; tranId str; tranDate date
    postingPeriod ref:accountingPeriod; memo str; account ref:account; expense lines:expense; taxTotal num; total num
    userTotal num; department ref:department; class ref:classification; location ref:location; createdDate datetime"""

_FIELDS = {
    "customer": """
        entityId str; companyName str; isPerson bool; firstName str; lastName str; subsidiary ref:subsidiary
        currency ref:currency; terms ref:term; email str; phone str; url str; taxItem any; category any
        addressBook lines:address; defaultAddress str; isInactive bool; comments str; vatRegNumber str
        creditLimit num; salesRep ref:employee; parent ref:customer; entityStatus any; dateCreated datetime
        custentity_tax_number str; legalName str; accountNumber str""",
    "job": """
        entityId str; companyName str; parent ref:customer,job; subsidiary ref:subsidiary; currency ref:currency
        startDate date; projectedEndDate date; endDate date; scheduledEndDate date; entityStatus enum:jobStatus
        jobBillingType enum:jobBilling; jobPrice num; billingSchedule ref:billingSchedule; billingRateCard any
        projectManager ref:employee; jobType any; jobItem ref:serviceSaleItem; projectExpenseType any
        allowTime bool; allowExpenses bool; limitTimeToAssignees bool; timeApproval enum:timeApproval
        schedulingMethod enum:scheduling; estimatedRevenue num; estimatedCost num; estimatedTimeOverride str
        percentComplete num; revRecForecastRule any; estimateRevRecTemplate any; bBudget lines:budget
        cBudget lines:budget; isInactive bool; comments str; dateCreated datetime; custentity_practice dim
        custentity_cost_center dim; department ref:department; class ref:classification; location ref:location""",
    "projectTask": """
        title str; project ref:job; parent ref:projectTask; startDateTime datetime; startDate date; endDate date
        estimatedWork num; nonBillableTask bool; status enum:taskStatus; constraintType enum:constraint
        priority enum:priority; finishByDate date; message str; assignee lines:assignee
        predecessor lines:predecessor""",
    "timeBill": """
        employee ref:employee; customer ref:customer,job; caseTaskEvent ref:projectTask; item ref:serviceSaleItem
        hours duration; tranDate date; isBillable bool; approvalStatus enum:timeApproval; supervisorApproval bool
        billingClass any; rate num; overrideRate bool; price any; memo str; timeType enum:timeType
        subsidiary ref:subsidiary; billingSubsidiary ref:subsidiary; department ref:department
        class ref:classification; location ref:location; posted bool; resourceAllocation any; rejectionNote str
        createdDate datetime""",
    "billingSchedule": """
        name str; scheduleType enum:scheduleType; job ref:job; transaction any; initialAmount num
        initialTerms ref:term; frequency enum:frequency; recurrence lines:recurrence; milestone lines:milestone
        billForActuals bool; inArrears bool; isPublic bool; isInactive bool""",
    "invoice": _SALE
    + """; dueDate date; terms ref:term; approvalStatus enum:approval; status enum:invoiceStatus
        createdFrom ref:job; time lines:time; amountPaid num; amountRemaining num; recognizedRevenue num
        deferredRevenue num; revenueStatus str; startDate date; endDate date; billAddress str""",
    "creditMemo": _SALE
    + """; createdFrom ref:invoice; apply lines:apply; applied num; unapplied num; amountRemaining num
        amountPaid num; autoApply bool; status enum:creditStatus""",
    "customerPayment": """
        customer ref:customer,job; payment num; currency ref:currency; exchangeRate num; tranDate date; tranId str
        subsidiary ref:subsidiary; account ref:account; arAcct ref:account; undepFunds bool; autoApply bool
        postingPeriod ref:accountingPeriod; apply lines:apply; applied num; unapplied num; total num; memo str
        checkNum str; otherRefNum str; status enum:paymentStatus; createdDate datetime""",
    "journalEntry": """
        subsidiary ref:subsidiary; currency ref:currency; exchangeRate num; tranDate date; tranId str; memo str
        postingPeriod ref:accountingPeriod; approved bool; approvalStatus enum:approval; reversalDate date
        reversalDefer bool; void bool; line lines:journal; total num; status enum:journalStatus
        createdDate datetime""",
    "vendor": """
        entityId str; companyName str; isPerson bool; firstName str; lastName str; legalName str
        subsidiary ref:subsidiary; currency ref:currency; terms ref:term; email str; accountNumber str
        vatRegNumber str; isInactive bool; dateCreated datetime""",
    "vendorBill": _BOUGHT
    + """; dueDate date; terms ref:term; approvalStatus enum:approval; paymentHold bool; status enum:billStatus""",
    "vendorCredit": _BOUGHT + "; status enum:billStatus; createdFrom ref:vendorBill",
    "subsidiary": "name str; currency ref:currency; country any; isInactive bool",
    "currency": "name str; symbol str; currencyPrecision int; exchangeRate num; isBaseCurrency bool; isInactive bool",
    "term": "name str; daysUntilNetDue int; isInactive bool",
    "employee": """
        entityId str; firstName str; lastName str; email str; subsidiary ref:subsidiary; laborCost num
        department ref:department; isInactive bool""",
    "serviceSaleItem": "itemId str; displayName str; rate num; incomeAccount ref:account; isInactive bool",
    "account": "acctNumber str; acctName str; acctType any; isInactive bool",
    "accountingPeriod": "periodName str; startDate date; endDate date; closed bool; isAdjust bool; isInactive bool",
    "department": "name str; isInactive bool",
    "classification": "name str; isInactive bool",
    "location": "name str; isInactive bool",
}
_REQUIRED = {
    "customer": ("subsidiary",),
    "job": ("companyName", "subsidiary", "custentity_practice", "custentity_cost_center"),
    "projectTask": ("title", "project"),
    "timeBill": ("employee", "hours"),
    "billingSchedule": ("name",),
    "invoice": ("entity", "subsidiary", "currency"),
    "creditMemo": ("entity", "subsidiary", "currency"),
    "customerPayment": ("customer", "payment", "currency"),
    "journalEntry": ("subsidiary", "currency"),
    "vendor": ("companyName", "subsidiary"),
    "vendorBill": ("entity", "subsidiary", "currency"),
    "vendorCredit": ("entity", "subsidiary", "currency"),
}
# Customers, projects, employees and vendors are all entities, and all transactions are one table: they share their ids.
_SPACES = {
    "entity": ("customer", "job", "employee", "vendor"),
    "transaction": ("invoice", "creditMemo", "customerPayment", "journalEntry", "vendorBill", "vendorCredit"),
}
TRANSFORMS = {
    ("job", "invoice"),
    ("invoice", "creditMemo"),
    ("invoice", "customerPayment"),
}
TRANSACTION_CODES = {
    "invoice": "CustInvc",
    "creditMemo": "CustCred",
    "customerPayment": "CustPymt",
    "journalEntry": "Journal",
    "vendorBill": "VendBill",
    "vendorCredit": "VendCred",
}
# Set by the vendor; a client's value is ignored.
READ_ONLY = frozenset(
    [
        "id",
        "links",
        "refName",
        "lastModifiedDate",
        "createdDate",
        "dateCreated",
        "subtotal",
        "taxTotal",
        "total",
        "amountPaid",
        "amountRemaining",
        "applied",
        "unapplied",
        "posted",
        "status",
        "recognizedRevenue",
        "deferredRevenue",
        "revenueStatus",
    ]
)


@dataclass(frozen=True)
class Field:
    """One field. kind: str num int bool date datetime duration obj any dim key ref enum lines."""

    name: str
    kind: str
    targets: tuple[str, ...] = ()  # record types a reference may point to
    options: dict[str, str] = field(default_factory=dict)  # id -> label of an enumerated field
    lines: dict[str, Field] = field(default_factory=dict)  # fields of a sublist line


@dataclass(frozen=True)
class RecordType:
    """One record type with its fields; space names the id sequence it draws from."""

    name: str
    fields: dict[str, Field]
    required: tuple[str, ...]
    space: str

    @property
    def is_transaction(self) -> bool:
        """True for what SuiteQL keeps in the transaction table."""
        return self.space == "transaction"

    def writable(self, name: str) -> bool:
        """False for what the vendor sets itself (the status of a task, though, is the user's)."""
        return name not in READ_ONLY or (name == "status" and self.name == "projectTask")


def _read(table: str) -> dict[str, Field]:
    fields = {}
    for entry in table.replace("\n", ";").split(";"):
        if not entry.strip():
            continue
        name, kind = entry.split()
        kind, _, rest = kind.partition(":")
        fields[name] = Field(
            name,
            kind,
            targets=tuple(rest.split(",")) if kind == "ref" else (),
            options=ENUMS[rest] if kind == "enum" else {},
            lines=_read(_LINES[rest]) if kind == "lines" else {},
        )
    return fields


def _space(name: str) -> str:
    return next((space for space, members in _SPACES.items() if name in members), name)


TYPES: dict[str, RecordType] = {
    name: RecordType(name, _read(_HEAD + table + _STAMPS), _REQUIRED.get(name, ()), _space(name))
    for name, table in _FIELDS.items()
}
CUSTOM_PREFIXES = ("custentity", "custbody", "custcol", "custevent", "custrecord", "custitem")


def named(record_type: str) -> RecordType | None:
    """The record type of a URL segment; the vendor does not mind the case."""
    return TYPES.get(record_type) or _LOWER.get(record_type.lower())


_LOWER = {name.lower(): made for name, made in TYPES.items()}
