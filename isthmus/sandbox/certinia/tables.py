"""The objects of a PSA organisation as data: the standard ones PSA stands on, then the package's own (``pse__``).

Modelled from the vendor's published data dictionary and from facts of public package metadata; not certified. A subset
of the fields: those a hub reads or writes, and those the package's rules are about. Fields without the package's prefix
that end in ``__c`` are the firm's own. Picklists whose values are the firm's are open.
"""

from __future__ import annotations

from typing import Any

from isthmus.sandbox.platform.package import CURRENCY, ObjectType

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _daily(suffix: str, rest: str) -> str:
    return "\n".join(f"pse__{day}_{suffix}__c | {rest}" for day in DAYS)


USER = """
Username | string | 80 | required
Name | string | 121 | required
Email | email | 128 |
IsActive | boolean | |
"""

ACCOUNT = f"""
Name | string | 255 | required
OwnerId | reference | User |
{CURRENCY}
Client_No__c | string | 40 | external unique
"""

CONTACT = f"""
LastName | string | 80 | required
FirstName | string | 40 |
Name | string | 121 | readonly
OwnerId | reference | User |
AccountId | reference | Account |
Email | email | 80 |
{CURRENCY}
pse__Is_Resource__c | boolean | |
pse__Is_Resource_Active__c | boolean | |
pse__External_Resource__c | boolean | |
pse__Default_Cost_Rate__c | currency | 18.2 |
pse__Salesforce_User__c | reference | User |
"""

_HIERARCHY = f"""
Name | string | 80 | required
{CURRENCY}
"""

PROJECT = f"""
Name | string | 80 | required
OwnerId | reference | User |
{CURRENCY}
pse__Project_ID__c | string | 30 | readonly autonumber
pse__Account__c | reference | Account |
pse__Region__c | reference | pse__Region__c |
pse__Practice__c | reference | pse__Practice__c |
pse__Group__c | reference | pse__Grp__c |
pse__Project_Manager__c | reference | Contact |
pse__Rate_Card_Set__c | reference | pse__Rate_Card_Set__c |
pse__Rate_Card_Percentage_Discount__c | percent | 5.2 |
pse__Billing_Type__c | picklist | Fixed Price;Time and Materials |
pse__Stage__c | picklist | Planned;In Progress;Completed;Canceled |
pse__Is_Active__c | boolean | |
pse__Is_Billable__c | boolean | |
pse__Is_Template__c | boolean | |
pse__Start_Date__c | date | |
pse__End_Date__c | date | |
pse__Planned_Hours__c | double | 18.2 |
pse__Allow_Timecards_Without_Assignment__c | boolean | |
pse__Allow_Expenses_Without_Assignment__c | boolean | |
pse__Closed_for_Time_Entry__c | boolean | |
pse__Closed_for_Expense_Entry__c | boolean | |
pse__Exclude_From_Billing__c | boolean | |
pse__Time_Credited__c | boolean | |
pse__Time_Excluded__c | boolean | |
Hub_Id__c | string | 80 | external unique
Hub_Contested__c | string | 255 |
"""

TASK = """
Name | string | 80 | required
OwnerId | reference | User |
pse__Project__c | reference | pse__Proj__c |
pse__Parent_Task__c | reference | pse__Project_Task__c |
pse__Milestone__c | reference | pse__Milestone__c |
pse__Status__c | string | 255 |
pse__Started__c | boolean | |
pse__Completed__c | boolean | |
pse__Start_Date_Time__c | datetime | |
pse__End_Date_Time__c | datetime | |
pse__Estimated_Hours__c | double | 18.2 |
pse__Description__c | textarea | 255 |
pse__External_Task_ID__c | string | 100 | external
pse__Task_Key__c | string | 15 | external unique
pse__Task_Number__c | string | 30 | readonly autonumber
Hub_Id__c | string | 80 | external unique
"""

_BILLING = """
pse__Approved__c | boolean | |
pse__Approved_for_Billing__c | boolean | |
pse__Include_In_Financials__c | boolean | |
pse__Billing_Hold__c | boolean | |
pse__Exclude_from_Billing__c | boolean | |
pse__Billed__c | boolean | |
pse__Bill_Date__c | date | |
pse__Invoiced__c | boolean | |
pse__Invoice_Number__c | string | 80 |
pse__Invoice_Date__c | date | |
"""

MILESTONE = f"""
Name | string | 80 | required
OwnerId | reference | User |
{CURRENCY}
pse__Project__c | reference | pse__Proj__c |
pse__Status__c | picklist | Planned;Approved;Completed;Cancelled |
pse__Target_Date__c | date | | required
pse__Actual_Date__c | date | |
pse__Milestone_Amount__c | currency | 18.2 |
pse__Milestone_Cost__c | currency | 18.2 |
pse__Planned_Hours__c | double | 18.2 |
pse__Requires_Customer_Sign_off__c | boolean | |
pse__Approver__c | reference | User |
pse__Description__c | textarea | 32000 |
pse__Admin_Global_Edit__c | boolean | |
pse__Audit_Notes__c | textarea | 255 |
{_BILLING}
Hub_Id__c | string | 80 | external unique
"""

SCHEDULE = f"""
Name | string | 80 | readonly autonumber
pse__Start_Date__c | date | | required
pse__End_Date__c | date | | required
{_daily("Hours", "double | 4.2 | required")}
pse__Scheduled_Hours__c | double | 12.2 |
"""

ASSIGNMENT = f"""
Name | string | 80 |
OwnerId | reference | User |
{CURRENCY}
pse__Assignment_Number__c | string | 30 | readonly autonumber
pse__Project__c | reference | pse__Proj__c |
pse__Resource__c | reference | Contact |
pse__Schedule__c | reference | pse__Schedule__c |
pse__Milestone__c | reference | pse__Milestone__c |
pse__Rate_Card__c | reference | pse__Rate_Card__c |
pse__Role__c | string | 255 |
pse__Status__c | picklist | Tentative;Scheduled;Closed |
pse__Is_Billable__c | boolean | |
pse__Bill_Rate__c | currency | 18.4 |
pse__Daily_Bill_Rate__c | boolean | |
pse__Cost_Rate_Amount__c | double | 18.2 |
pse__Cost_Rate_Currency_Code__c | string | 3 |
pse__Planned_Hours__c | double | 12.2 |
pse__Start_Date__c | date | | readonly
pse__End_Date__c | date | | readonly
pse__Time_Credited__c | boolean | |
pse__Time_Excluded__c | boolean | |
Hub_Task__c | string | 80 |
"""

TIMECARD = f"""
Name | string | 80 | readonly autonumber
OwnerId | reference | User |
{CURRENCY}
pse__Project__c | reference | pse__Proj__c |
pse__Resource__c | reference | Contact |
pse__Assignment__c | reference | pse__Assignment__c |
pse__Milestone__c | reference | pse__Milestone__c |
pse__Start_Date__c | date | | required
pse__End_Date__c | date | | required
{_daily("Hours", "double | 4.2 |")}
{_daily("Notes", "string | 255 |")}
pse__Timecard_Notes__c | textarea | 255 |
pse__Status__c | picklist | Saved;Submitted;Approved;Rejected |
pse__Submitted__c | boolean | |
pse__Approved__c | boolean | |
pse__Approver__c | reference | User |
pse__Include_In_Financials__c | boolean | |
pse__Billable__c | boolean | |
pse__Bill_Rate__c | currency | 18.4 |
pse__Cost_Rate_Amount__c | double | 18.2 |
pse__Cost_Rate_Currency_Code__c | string | 3 |
pse__Total_Hours__c | double | 18.2 | readonly
pse__Total_Billable_Amount__c | currency | 18.2 | readonly
pse__Exclude_from_Billing__c | boolean | |
pse__Billed__c | boolean | |
pse__Invoiced__c | boolean | |
pse__Time_Credited__c | boolean | |
pse__Time_Excluded__c | boolean | |
pse__External_Resource__c | boolean | |
pse__Admin_Global_Edit__c | boolean | |
pse__Audit_Notes__c | textarea | 255 |
"""

SPLIT = f"""
Name | string | 80 | readonly autonumber
{CURRENCY}
pse__Timecard_Header__c | reference | pse__Timecard_Header__c | required
pse__Project__c | reference | pse__Proj__c |
pse__Resource__c | reference | Contact |
pse__Assignment__c | reference | pse__Assignment__c |
pse__Milestone__c | reference | pse__Milestone__c |
pse__Start_Date__c | date | |
pse__End_Date__c | date | |
{_daily("Hours", "double | 4.2 |")}
{_daily("Notes", "string | 255 |")}
pse__Timecard_Notes__c | textarea | 255 |
pse__Status__c | picklist | Saved;Submitted;Approved;Rejected |
pse__Submitted__c | boolean | |
pse__Billable__c | boolean | |
pse__External_Resource__c | boolean | |
pse__Total_Hours__c | double | 5.2 |
pse__Total_Billable_Amount__c | currency | 18.2 |
pse__Total_Cost__c | currency | 18.2 |
pse__Time_Credited__c | boolean | |
pse__Time_Excluded__c | boolean | |
pse__Eligible_for_Billing__c | string | 3 | readonly
{_BILLING}
"""

EXPENSE_REPORT = f"""
Name | string | 80 | required
OwnerId | reference | User |
{CURRENCY}
pse__Project__c | reference | pse__Proj__c |
pse__Resource__c | reference | Contact |
pse__Assignment__c | reference | pse__Assignment__c |
pse__Milestone__c | reference | pse__Milestone__c |
pse__Status__c | picklist | Draft;Submitted;Approved;Rejected |
pse__Submitted__c | boolean | |
pse__Approved__c | boolean | |
pse__Approver__c | reference | User |
pse__Billable__c | boolean | |
pse__Include_In_Financials__c | boolean | |
pse__Description__c | textarea | 255 |
pse__Expense_Report_Reference__c | string | 255 | external unique
pse__Admin_Global_Edit__c | boolean | |
pse__Audit_Notes__c | textarea | 255 |
"""

EXPENSE = f"""
Name | string | 80 | readonly autonumber
{CURRENCY}
pse__Expense_Report__c | reference | pse__Expense_Report__c |
pse__Project__c | reference | pse__Proj__c |
pse__Resource__c | reference | Contact |
pse__Assignment__c | reference | pse__Assignment__c |
pse__Milestone__c | reference | pse__Milestone__c |
pse__Expense_Date__c | date | | required
pse__Type__c | string | 255 |
pse__Amount__c | currency | 18.2 | required
pse__Incurred_Tax__c | currency | 18.2 |
pse__Incurred_Tax_Non_Billable__c | boolean | |
pse__Non_Billable_Incurred_Amount__c | currency | 18.2 |
pse__Non_Billable_Incurred_Subtotal__c | currency | 18.2 | readonly
pse__Non_Reimbursible__c | boolean | |
pse__Distance__c | double | 8.2 |
pse__Rate_Unit__c | string | 255 |
pse__Tax_Type__c | string | 255 |
pse__Lost_Receipt__c | boolean | |
pse__Description__c | textarea | 255 |
pse__Notes__c | textarea | 255 |
pse__Status__c | picklist | Draft;Submitted;Approved;Rejected |
pse__Submitted__c | boolean | |
pse__Billable__c | boolean | |
pse__Mobile_Expense_Reference_ID__c | string | 255 | external unique
pse__Admin_Global_Edit__c | boolean | |
pse__Audit_Notes__c | textarea | 255 |
pse__Eligible_for_Billing__c | string | 3 | readonly
{_BILLING}
"""

RATE_CARD = f"""
Name | string | 80 | readonly autonumber
{CURRENCY}
pse__Account__c | reference | Account |
pse__Region__c | reference | pse__Region__c |
pse__Practice__c | reference | pse__Practice__c |
pse__Group__c | reference | pse__Grp__c |
pse__Role__c | string | 255 |
pse__Suggested_Bill_Rate__c | currency | 18.4 | required
pse__Average_Cost_Rate__c | currency | 18.2 | required
pse__Cascading_Role__c | boolean | |
pse__Start_Date__c | date | |
pse__End_Date__c | date | |
Hub_Id__c | string | 255 | external unique
"""

RATE_CARD_SET = f"""
Name | string | 80 | required
{CURRENCY}
Hub_Id__c | string | 80 | external unique
"""

RATE_CARD_JUNCTION = f"""
Name | string | 80 | readonly autonumber
{CURRENCY}
pse__Rate_Card__c | reference | pse__Rate_Card__c | required
pse__Rate_Card_Set__c | reference | pse__Rate_Card_Set__c | required
Hub_Id__c | string | 255 | external unique
"""

# By API name. The key prefixes of custom objects differ by organisation.
OBJECTS = {
    "User": ObjectType("005", "User", "Users", "", USER),
    "Account": ObjectType("001", "Account", "Accounts", "", ACCOUNT),
    "Contact": ObjectType("003", "Contact", "Contacts", "", CONTACT),
    "pse__Region__c": ObjectType("a2R", "Region", "Regions", "", _HIERARCHY),
    "pse__Practice__c": ObjectType("a2Q", "Practice", "Practices", "", _HIERARCHY),
    "pse__Grp__c": ObjectType("a2G", "Group", "Groups", "", _HIERARCHY),
    "pse__Proj__c": ObjectType("a2P", "Project", "Projects", "PR-{:06d}", PROJECT),
    "pse__Project_Task__c": ObjectType("a2T", "Project Task", "Project Tasks", "{:06d}", TASK),
    "pse__Milestone__c": ObjectType("a2M", "Milestone", "Milestones", "", MILESTONE),
    "pse__Schedule__c": ObjectType("a2C", "Schedule", "Schedules", "SCH-{:06d}", SCHEDULE),
    "pse__Assignment__c": ObjectType("a2A", "Assignment", "Assignments", "{:06d}", ASSIGNMENT),
    "pse__Timecard_Header__c": ObjectType("a2H", "Timecard", "Timecards", "TCH-{:06d}", TIMECARD),
    "pse__Timecard__c": ObjectType("a2S", "Timecard Split", "Timecard Splits", "TC-{:06d}", SPLIT),
    "pse__Expense_Report__c": ObjectType("a2E", "Expense Report", "Expense Reports", "", EXPENSE_REPORT),
    "pse__Expense__c": ObjectType("a2X", "Expense", "Expenses", "EXP-{:06d}", EXPENSE),
    "pse__Rate_Card__c": ObjectType("a2K", "Rate Card", "Rate Cards", "RC-{:06d}", RATE_CARD),
    "pse__Rate_Card_Set__c": ObjectType("a2L", "Rate Card Set", "Rate Card Sets", "", RATE_CARD_SET),
    "pse__Rate_Card_Set_Junction__c": ObjectType(
        "a2J", "Rate Card Set Junction", "Rate Card Set Junctions", "RCSJ-{:06d}", RATE_CARD_JUNCTION
    ),
}

# What the package fills in when a new record leaves the field out.
DEFAULTS: dict[str, dict[str, Any]] = {
    "pse__Timecard_Header__c": {"pse__Status__c": "Saved"},
    "pse__Expense_Report__c": {"pse__Status__c": "Draft"},
    "pse__Expense__c": {"pse__Status__c": "Draft"},
    "pse__Milestone__c": {"pse__Status__c": "Planned"},
}

# What is deleted with a record.
CHILDREN = {"pse__Timecard_Header__c": (("pse__Timecard__c", "pse__Timecard_Header__c"),)}
