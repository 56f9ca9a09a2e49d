"""The Certinia sandbox: PSA's objects, splits and validation chain, driven by simple-salesforce over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest

from isthmus.sandbox import server
from isthmus.sandbox.certinia import CertiniaSandbox, tables
from isthmus.sandbox.certinia.chain import RULES
from isthmus.sandbox.platform.schema import Field, Schema
from tests.sandbox.platform_client import published_client
from tests.vendor_specs import specification

WEEK = {"pse__Start_Date__c": "2026-03-30", "pse__End_Date__c": "2026-04-05"}  # two days in March, five in April
HOURS = {"pse__Monday_Hours__c": 7.5, "pse__Wednesday_Hours__c": 8, "pse__Friday_Hours__c": 0.25}


@pytest.fixture(scope="module")
def tls() -> Iterator[server.Running]:
    with server.running("certinia", tls=True) as served:
        yield served["certinia"]


@pytest.fixture
def box(tls: server.Running) -> CertiniaSandbox:
    made = tls.sandbox
    assert isinstance(made, CertiniaSandbox)
    made.reset()
    return made


@pytest.fixture
def sf(tls: server.Running, box: CertiniaSandbox) -> Salesforce:
    return published_client(tls)


@pytest.fixture
def project(sf: Salesforce) -> dict[str, str]:
    """A billable project in euro with its client, one consultant and her assignment: ids by name."""
    client = sf.Account.create({"Name": "Meridian", "Client_No__c": "C-1"})["id"]
    sf.pse__Proj__c.upsert(
        "Hub_Id__c/P-1",
        {
            "Name": "Data platform",
            "CurrencyIsoCode": "EUR",
            "pse__Account__r": {"Client_No__c": "C-1"},
            "pse__Is_Billable__c": True,
        },
    )
    made = sf.pse__Proj__c.get_by_custom_id("Hub_Id__c", "P-1")["Id"]
    [amara] = sf.query("SELECT Id FROM Contact WHERE Email = 'amara.osei@consulting.example'")["records"]
    place = {"pse__Project__c": made, "pse__Resource__c": amara["Id"]}
    terms = {"pse__Role__c": "Consultant", "pse__Is_Billable__c": True, "pse__Bill_Rate__c": 250.5}
    assignment = sf.pse__Assignment__c.create({**place, **terms, "pse__Cost_Rate_Amount__c": 95.5})["id"]
    return {"client": client, "project": made, "resource": amara["Id"], "assignment": assignment}


def week(project: dict[str, str], **fields: Any) -> dict[str, Any]:
    """The body of a timecard on the project."""
    lookups = {f"pse__{name.title()}__c": project[name] for name in ("project", "resource", "assignment")}
    return {**lookups, **WEEK, **HOURS, **fields}


def splits(sf: Salesforce) -> list[dict[str, Any]]:
    columns = ", ".join(tables_of("pse__Timecard__c"))
    found = sf.query(f"SELECT {columns} FROM pse__Timecard__c ORDER BY pse__Start_Date__c")
    rows: list[dict[str, Any]] = found["records"]
    return rows


def tables_of(entity: str) -> list[str]:
    return list(Schema(tables.OBJECTS).object(entity).fields)


def refused(work: Any) -> tuple[str, str, list[str]]:
    """Code, message and fields of what the organisation refuses."""
    with pytest.raises(SalesforceMalformedRequest) as caught:
        work()
    [error] = caught.value.content
    return error["errorCode"], error["message"], error["fields"]


# -- timecards and their splits ----------------------------------------------------------------------------------
def test_a_week_over_the_end_of_a_month_has_two_splits(sf: Salesforce, project: dict[str, str]) -> None:
    sf.pse__Timecard_Header__c.create(week(project, pse__Status__c="Submitted"))
    march, april = splits(sf)
    assert (march["pse__Start_Date__c"], march["pse__End_Date__c"]) == ("2026-03-30", "2026-03-31")
    assert (april["pse__Start_Date__c"], april["pse__End_Date__c"]) == ("2026-04-01", "2026-04-05")
    assert (march["pse__Monday_Hours__c"], march["pse__Wednesday_Hours__c"]) == (7.5, None)
    assert (april["pse__Monday_Hours__c"], april["pse__Wednesday_Hours__c"]) == (None, 8.0)
    assert (march["pse__Total_Hours__c"], march["pse__Total_Billable_Amount__c"]) == (7.5, 1878.75)
    assert (april["pse__Total_Hours__c"], april["pse__Total_Billable_Amount__c"]) == (8.25, 2066.63)
    assert (march["pse__Total_Cost__c"], march["CurrencyIsoCode"]) == (716.25, "EUR")
    assert (march["pse__Submitted__c"], march["pse__Approved__c"]) == (True, False)


def test_approval_of_the_week_reaches_its_splits_and_a_reopened_week_leaves_none_approved(
    sf: Salesforce, project: dict[str, str]
) -> None:
    made = sf.pse__Timecard_Header__c.create(week(project))["id"]
    before = [row["SystemModstamp"] for row in splits(sf)]
    sf.pse__Timecard_Header__c.update(made, {"pse__Status__c": "Approved"})
    after = splits(sf)
    assert all(row["pse__Approved__c"] and row["pse__Include_In_Financials__c"] for row in after)
    assert all(row["SystemModstamp"] > stamp for row, stamp in zip(after, before, strict=True))
    sf.pse__Timecard_Header__c.update(made, {"pse__Status__c": "Rejected"})
    assert not any(row["pse__Approved__c"] or row["pse__Submitted__c"] for row in splits(sf))


def test_a_correction_changes_only_the_split_it_is_about(sf: Salesforce, project: dict[str, str]) -> None:
    made = sf.pse__Timecard_Header__c.create(week(project, pse__Status__c="Approved"))["id"]
    march, april = splits(sf)
    sf.pse__Timecard_Header__c.update(made, {"pse__Wednesday_Hours__c": 6})
    march_after, april_after = splits(sf)
    assert march_after["SystemModstamp"] == march["SystemModstamp"]
    assert april_after["SystemModstamp"] > april["SystemModstamp"]
    assert april_after["pse__Total_Hours__c"] == 6.25


def test_a_deleted_week_takes_its_splits_along(sf: Salesforce, project: dict[str, str]) -> None:
    made = sf.pse__Timecard_Header__c.create(week(project))["id"]
    sf.pse__Timecard_Header__c.delete(made)
    assert splits(sf) == []
    gone = sf.query_all("SELECT Id, IsDeleted FROM pse__Timecard__c", include_deleted=True)["records"]
    assert [row["IsDeleted"] for row in gone] == [True, True]


# -- the validation chain ----------------------------------------------------------------------------------------
CHAIN = "FIELD_CUSTOM_VALIDATION_EXCEPTION"


def test_a_split_is_billed_only_when_approved_and_invoiced_only_when_billed(
    sf: Salesforce, project: dict[str, str]
) -> None:
    header = sf.pse__Timecard_Header__c.create(week(project))["id"]
    split = splits(sf)[0]["Id"]
    write = sf.pse__Timecard__c.update
    assert refused(lambda: write(split, {"pse__Billed__c": True})) == (
        CHAIN,
        "For a Timecard Split to be marked as Billed, it must also be marked as Included in Financials and Approved.",
        ["pse__Billed__c"],
    )
    sf.pse__Timecard_Header__c.update(header, {"pse__Status__c": "Approved"})
    assert refused(lambda: write(split, {"pse__Invoiced__c": True}))[1].endswith("it must also be marked as Billed.")
    number = {"pse__Invoice_Number__c": "INV-1"}
    assert refused(lambda: write(split, number))[1].startswith("Invoice Number or Date is not allowed")
    write(split, {"pse__Billed__c": True, "pse__Invoiced__c": True, **number, "pse__Invoice_Date__c": "2026-04-30"})
    locked = {"pse__Invoice_Date__c": "2026-05-01"}
    assert refused(lambda: write(split, locked))[1] == "Invoice Date is locked if Invoiced."
    assert refused(lambda: write(split, {"pse__Bill_Date__c": "2026-05-01"}))[1].startswith("Bill Date is locked")
    # What is billed cannot lose its approval behind the accountants' backs.
    reopened = refused(lambda: sf.pse__Timecard_Header__c.update(header, {"pse__Status__c": "Rejected"}))
    assert reopened[1].startswith("For a Timecard Split to be marked as Billed")
    assert sf.pse__Timecard_Header__c.get(header)["pse__Status__c"] == "Approved"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pse__Assignment__c": None}, "Timecards for this Project and/or Resource require an Assignment."),
        ({"pse__End_Date__c": "2026-04-06"}, "Timecard Header must span 1 week (7 days inclusive)."),
        ({"pse__Monday_Hours__c": 24.5}, "No individual day for a single line can be more than 24 hours"),
        (
            {"pse__Approved__c": True},
            "For a Timecard to be marked as Approved, it must also be marked as Submitted.",
        ),
        (
            {"pse__Project__c": None},
            "A Timecard Header's Project field value may not be blank and may not be updated once set (unless Admin"
            " Global Edit is checked, Audit Notes are provided, and Actuals Calculation Mode is Scheduled).",
        ),
    ],
)
def test_a_timecard_that_breaks_a_rule_is_refused_in_the_vendors_words(
    sf: Salesforce, project: dict[str, str], change: dict[str, Any], message: str
) -> None:
    code, said, fields = refused(lambda: sf.pse__Timecard_Header__c.create(week(project, **change)))
    assert (code, said) == (CHAIN, message)
    assert fields
    assert sf.query("SELECT COUNT() FROM pse__Timecard__c")["totalSize"] == 0


def test_a_timecard_is_of_its_assignments_project_and_billable_only_if_both_are(
    sf: Salesforce, project: dict[str, str]
) -> None:
    other = sf.pse__Proj__c.create({"Name": "Internal", "CurrencyIsoCode": "EUR"})["id"]
    elsewhere = week(project, pse__Project__c=other, pse__Billable__c=False)
    said = refused(lambda: sf.pse__Timecard_Header__c.create(elsewhere))
    assert said[1:] == ("Timecard Project must match Assignment Project.", ["pse__Assignment__c"])
    place = {"pse__Project__c": other, "pse__Resource__c": project["resource"]}
    unbilled = {"pse__Is_Billable__c": False, "pse__Bill_Rate__c": 0}
    mine = sf.pse__Assignment__c.create({**place, **unbilled})["id"]
    billable = week(project, **place, pse__Assignment__c=mine, pse__Billable__c=True)
    assert refused(lambda: sf.pse__Timecard_Header__c.create(billable))[1].startswith("A Timecard may only be marked")
    rate = {**place, "pse__Is_Billable__c": False, "pse__Bill_Rate__c": 10}
    assert refused(lambda: sf.pse__Assignment__c.create(rate))[1].startswith("Assignments marked non-billable")


def test_project_and_currency_stay_unless_an_administrator_says_why(sf: Salesforce, project: dict[str, str]) -> None:
    currency = {"CurrencyIsoCode": "USD"}
    assert refused(lambda: sf.pse__Proj__c.update(project["project"], currency))[1].startswith("A Project's Currency")
    twin = {"Name": "Two", "CurrencyIsoCode": "EUR", "pse__Allow_Timecards_Without_Assignment__c": True}
    other = sf.pse__Proj__c.create(twin)["id"]
    header = sf.pse__Timecard_Header__c.create(week(project, pse__Billable__c=False))["id"]
    move = {"pse__Project__c": other, "pse__Assignment__c": None}
    assert refused(lambda: sf.pse__Timecard_Header__c.update(header, move))[2] == ["pse__Project__c"]
    told = {"pse__Admin_Global_Edit__c": True, "pse__Audit_Notes__c": "booked on the wrong project"}
    sf.pse__Timecard_Header__c.update(header, {**move, **told})
    assert {row["pse__Project__c"] for row in splits(sf)} == {other}


def test_expense_lines_follow_their_report(sf: Salesforce, project: dict[str, str]) -> None:
    place = {f"pse__{name.title()}__c": project[name] for name in ("project", "resource", "assignment")}
    report = sf.pse__Expense_Report__c.create({"Name": "March", **place, "pse__Billable__c": True})["id"]
    line = {"pse__Expense_Date__c": "2026-03-03", "pse__Type__c": "Lodging", "pse__Amount__c": 118.0}
    made = sf.pse__Expense__c.create({**line, "pse__Expense_Report__c": report, "pse__Incurred_Tax__c": 18})["id"]
    sf.pse__Expense_Report__c.update(report, {"pse__Status__c": "Approved"})
    row = sf.pse__Expense__c.get(made)
    assert (row["pse__Approved__c"], row["CurrencyIsoCode"]) == (True, "EUR")
    assert row["pse__Project__c"] == project["project"]
    too_much = {"pse__Incurred_Tax__c": 118.01}
    assert refused(lambda: sf.pse__Expense__c.update(made, too_much))[2] == ["pse__Incurred_Tax__c"]
    alone = {**line, "pse__Submitted__c": True}
    assert refused(lambda: sf.pse__Expense__c.create(alone))[2] == ["pse__Expense_Report__c"]
    assert refused(lambda: sf.pse__Expense__c.update(made, {"pse__Expense_Report__c": None}))[0] == CHAIN


def test_milestones_and_rate_cards_have_their_rules(sf: Salesforce, project: dict[str, str]) -> None:
    goal = {"Name": "Go-live", "pse__Project__c": project["project"], "Hub_Id__c": "P-1:L1-M1"}
    assert refused(lambda: sf.pse__Milestone__c.create(goal))[0] == "REQUIRED_FIELD_MISSING"
    made = sf.pse__Milestone__c.create({**goal, "pse__Target_Date__c": "2026-06-01"})["id"]
    assert refused(lambda: sf.pse__Milestone__c.update(made, {"pse__Billed__c": True}))[2] == ["pse__Billed__c"]
    good = {"pse__Approved__c": True, "pse__Include_In_Financials__c": True, "pse__Billed__c": True}
    sf.pse__Milestone__c.update(made, good)
    card = {"pse__Suggested_Bill_Rate__c": 250, "pse__Average_Cost_Rate__c": 90, "pse__Role__c": "Consultant"}
    [region] = sf.query("SELECT Id FROM pse__Region__c WHERE Name = 'Europe'")["records"]
    both = {**card, "pse__Account__c": project["client"], "pse__Region__c": region["Id"]}
    assert refused(lambda: sf.pse__Rate_Card__c.create(both))[1].startswith("Rate Card must not reference more")
    dollars = sf.pse__Rate_Card__c.create({**card, "CurrencyIsoCode": "USD"})["id"]
    euros = sf.pse__Rate_Card_Set__c.create({"Name": "P-1", "CurrencyIsoCode": "EUR"})["id"]
    link = {"pse__Rate_Card__c": dollars, "pse__Rate_Card_Set__c": euros}
    assert refused(lambda: sf.pse__Rate_Card_Set_Junction__c.create(link))[1].endswith("use the same currency.")


def test_splits_are_written_in_bulk_each_for_itself(
    sf: Salesforce, box: CertiniaSandbox, project: dict[str, str]
) -> None:
    box.bulk_polls = 0
    sf.pse__Timecard_Header__c.create(week(project, pse__Status__c="Approved"))
    march, april = (row["Id"] for row in splits(sf))
    rows = [{"Id": march, "pse__Billed__c": "true"}, {"Id": april, "pse__Invoiced__c": "true"}]
    (outcome,) = sf.bulk2.pse__Timecard__c.update(records=rows, wait=0.05)
    assert (outcome["numberRecordsProcessed"], outcome["numberRecordsFailed"]) == (2, 1)
    assert "must also be marked as Billed" in sf.bulk2.pse__Timecard__c.get_failed_records(outcome["job_id"])
    assert [row["pse__Billed__c"] for row in splits(sf)] == [True, False]


def test_the_organisation_is_its_own_and_starts_anew_with_its_standing_records(
    sf: Salesforce, box: CertiniaSandbox, tls: server.Running, project: dict[str, str]
) -> None:
    with server.running("salesforce") as crm:
        other = crm["salesforce"].sandbox.credentials()
        assert {other["consumer_key"], other["organization_id"]} & set(box.credentials().values()) == set()
        account = crm["salesforce"].sandbox.seed("Account", {"Name": "Meridian"})
        assert account["Id"] != project["client"]
    consultants = sf.query("SELECT Name, Email FROM Contact ORDER BY Name")["records"]
    assert [row["Name"] for row in consultants] == ["Amara Osei", "Bela Kovacs", "Chidi Eze", "Dana Moreau"]
    box.reset()
    fresh = published_client(tls)
    assert fresh.query("SELECT COUNT() FROM pse__Proj__c")["totalSize"] == 0
    assert fresh.query("SELECT COUNT() FROM Contact")["totalSize"] == 4
    assert box.store.changes.latest == 0


def test_changes_of_custom_objects_are_in_the_feed_under_their_own_topic(
    sf: Salesforce, tls: server.Running, project: dict[str, str]
) -> None:
    sf.pse__Timecard_Header__c.create(week(project))
    feed = httpx.get(f"{tls.url}/_control/changes", params={"since": 0}, verify=False).json()
    topics = [event["topic"] for event in feed["events"]]
    assert topics.count("/data/pse__Timecard__ChangeEvent") == 2
    assert topics.count("/data/pse__Timecard_Header__ChangeEvent") == 1


# -- against the vendor's own package ----------------------------------------------------------------------------
_TYPES = {
    "Checkbox": "boolean",
    "Currency": "currency",
    "Date": "date",
    "DateTime": "datetime",
    "Number": "double",
    "Percent": "percent",
    "Lookup": "reference",
    "MasterDetail": "reference",
}


def _package() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(specification("certinia", "pse_fields_extracted.json").read_text())
    return found


def _differs(column: Field, theirs: dict[str, Any]) -> str:
    """How a field of the sandbox differs from the package's own; empty when it does not."""
    wanted = _TYPES.get(theirs["type"])
    if wanted is not None and column.type != wanted:
        return f"{column.type}, there {theirs['type']}"
    if wanted in ("currency", "double", "percent") and (column.precision, column.scale) != (
        int(theirs["precision"]),
        int(theirs["scale"]),
    ):
        return f"{column.precision}.{column.scale}, there {theirs['precision']}.{theirs['scale']}"
    if wanted == "reference" and column.reference_to != theirs["referenceTo"]:
        return f"refers to {column.reference_to}, there {theirs['referenceTo']}"
    if theirs["type"] == "Text" and not theirs.get("formula") and column.length != int(theirs["length"]):
        return f"{column.length} long, there {theirs['length']}"
    if column.external_id != (theirs.get("externalId") == "true"):
        return "external id or not"
    if column.values and "values" in theirs and set(column.values) != set(theirs["values"]):
        return f"{column.values}, there {theirs['values']}"
    if column.read_only != bool(theirs.get("formula") or theirs["type"] == "AutoNumber"):
        return "written or worked out"
    return ""


def test_every_field_of_the_package_is_as_its_metadata_has_it() -> None:
    package, problems, checked = _package(), [], 0
    for name, sobject in Schema(tables.OBJECTS).objects.items():
        for column in sobject.fields.values():
            if not column.name.startswith("pse__") or not name.startswith("pse__"):
                continue
            checked += 1
            theirs = package[name]["fields"].get(column.name)
            why = "unknown there" if theirs is None else _differs(column, theirs)
            problems += [f"{name}.{column.name}: {why}"] if why else []
    print(f"{checked} fields compared")
    assert problems == []


def test_every_rule_is_one_of_the_package_that_is_active_in_its_words() -> None:
    package = _package()
    problems = []
    for entity, rules in RULES.items():
        active = {rule["msg"] for rule in package[entity]["validationRules"].values() if rule["active"] == "true"}
        problems += [f"{entity}: {rule.message}" for rule in rules if rule.message not in active]
    assert problems == []
