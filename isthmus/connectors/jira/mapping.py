"""Jira's names for ours: marks on issues, moments, work logs, and the converters they use. No requests here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from isthmus.domain.errors import BadInput
from isthmus.domain.objects import Project, Task
from isthmus.kit.keys import to_external_id
from isthmus.kit.mapping import LAST_DAY, Table, seconds_to_hours, to_utc
from isthmus.kit.wire import Row

MARK = "isthmus"  # label of every issue of ours, and the property that says which one it is
INVOICE = "isthmus-invoice"  # property of a work log that was billed, and of its engagement
LEVELS_MAX = 5  # from a subtask up to its epic, with levels a firm may have added
RULES = ("issue_status", "worklog_property", "not_required")

PROJECT = Table(of=Project, there="issue", name="summary", end=("duedate", *LAST_DAY))
TASK = Table(of=Task, there="issue", name="summary")
FACTS = Table(client_no="client_no", currency="currency")
# What the mark of an epic repeats, as Jira has no field for it.
PROJECT_MARK = Table(*FACTS.fields, of=Project, contract_no="contract_no", contract_version="contract_version")


def own(what: str, key: str) -> str:
    """A label or the key of a property, for what our key names; labels take no spaces."""
    return f"{what}-{to_external_id(key)}"


def mark_of(issue: Row) -> Row:
    """What an issue says it is; nothing when it is not ours."""
    return issue.get("properties", {}).get(MARK) or {}


def jql(condition: str, since: datetime | None, zone: str) -> str:
    """A query by key, so that none moves over a page edge, of whole minutes in the caller's own time zone."""
    changed = f'updated >= "{since.astimezone(ZoneInfo(zone)):%Y/%m/%d %H:%M}"' if since else ""
    return f"{' AND '.join(each for each in (condition, changed) if each)} ORDER BY key ASC"


def text_of(node: Any) -> str:
    """The text of a document, a line per paragraph."""
    if not isinstance(node, dict):
        return ""
    own = str(node.get("text") or node.get("attrs", {}).get("text", ""))  # the latter of people and signs
    return own or ("\n" if node.get("type") == "doc" else "").join(text_of(child) for child in node.get("content", ()))


def changed_at(row: Row) -> datetime:
    """When a work log became what it is: by a change of its own, or of its issue's status."""
    return max(to_utc(each) for each in (row["updated"], row["move"]["created"] if row["move"] else row["updated"]))


def parent_of(issue: Row) -> str:
    """The id of the issue above; empty at the top."""
    return str((issue["fields"].get("parent") or {}).get("id", ""))


def around(issue_id: str, issues: Mapping[str, Row], moves: Mapping[str, Row]) -> Row:
    """Our project and task by the marks on an issue and above it, empty when not ours; no issue when one is hidden."""
    task, at, place = "", issue_id, Row()
    while at in issues and not place:
        mark = mark_of(issues[at])
        place = {"project_code": mark["key"], "task_code": task} if mark.get("kind") == "epic" else {}
        task, at = task or str(mark.get("code", "")), parent_of(issues[at])
    return {"issue": issues.get(issue_id) if place or not at else None, "move": moves.get(issue_id), "place": place}


def told(worklog: Row, key: str) -> Row:
    """What a property of a work log says; nothing when it does not have it, or says no such thing."""
    values = [each["value"] for each in worklog.get("properties") or () if each["key"] == key]
    return values[0] if values and isinstance(values[0], dict) else {}


def name_of(account: Row, persons: Mapping[str, str]) -> str:
    """Who an account is: our person, else the e-mail address or name it shows."""
    return str(persons.get(account["accountId"]) or account.get("emailAddress") or account["displayName"])


def facts_of(row: Row, persons: Mapping[str, str], roles: Mapping[str, str], time_zone: str) -> Row:
    """Who did how much when, in the worker's own calendar. BadInput names the setting that would tell."""
    author = row["author"]
    person, zone = name_of(author, persons), author.get("timeZone") or time_zone
    if not persons.get(author["accountId"]) and not author.get("emailAddress"):
        raise BadInput(f"account {author['accountId']} ({person}) is nobody we know: setting persons")
    if not zone:
        raise BadInput(f"{person} shows no time zone, so the day is not known: setting time_zone")
    started = to_utc(row["started"]).astimezone(ZoneInfo(zone))
    facts: Row = {"service_date": started.date(), "started_at": f"{started:%H:%M}", "note": text_of(row.get("comment"))}
    facts |= {"person": person, "role": roles.get(person, ""), "hours": seconds_to_hours(row["timeSpentSeconds"])}
    return {**facts, **row["place"]}
