"""Issues: created, read, edited, moved along their workflow and deleted; what a body may say and what is refused.

Modelled from the vendor's published material; not certified. Every status can be reached from every other.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira import adf
from isthmus.sandbox.jira.errors import Refused
from isthmus.sandbox.jira.reference import PEOPLE, STATUSES, TYPES, Person
from isthmus.sandbox.jira.site import Site, known_project, known_type
from isthmus.sandbox.jira.views import View

SUMMARY_MAX, LABEL_MAX, PROPERTY_MAX = 255, 255, 32768
_TRANSITIONS = {name: str(11 + 10 * place) for place, name in enumerate(STATUSES)}


def create(site: Site, caller: Person, version: str, body: Record) -> Record:
    """A new issue from a body of fields, update and properties."""
    given = dict(body.get("fields") or {})
    if "project" not in given:
        raise Refused(400, project="Specify a valid project ID or key")
    fields: Record = {"project": known_project(given.pop("project")), "type": known_type(given.pop("issuetype", None))}
    if not str(given.get("summary") or "").strip():
        raise Refused(400, summary="You must specify a summary of the issue.")
    fields |= taken(site, given, version, {"labels": [], "type": fields["type"]})
    _add_to_labels(fields, body)
    if TYPES[fields["type"]].level < 0 and fields.get("parent") is None:
        raise Refused(400, parent="Issue type is a sub-task but parent issue key or id not specified.")
    return site.add_issue(fields, caller.account_id, properties=properties(body))


def edit(site: Site, issue: Record, caller: Person, version: str, body: Record) -> None:
    """Change an issue."""
    changes = taken(site, dict(body.get("fields") or {}), version, issue)
    changes.setdefault("labels", list(issue["labels"]))
    _add_to_labels(changes, body)
    for key, value in properties(body).items():
        site.set_property(issue, key, value)
    site.change_issue(issue, changes, caller.account_id)


def taken(site: Site, given: Record, version: str, issue: Record) -> Record:
    """Fields of a body as the site keeps them; a refusal names the first one that is wrong."""
    kept: Record = {}
    for name, value in given.items():
        if name == "summary":
            if len(str(value)) > SUMMARY_MAX or "\n" in str(value):
                raise Refused(400, summary=f"Summary must be less than {SUMMARY_MAX} characters.")
            kept[name] = str(value)
        elif name == "description":
            kept[name] = adf.taken(value, name, version)
        elif name == "labels":
            kept[name] = _labels(value)
        elif name == "duedate":
            kept[name] = _day(value)
        elif name == "parent":
            kept[name] = _parent(site, value, issue)
        elif name in ("assignee", "reporter"):
            kept[name] = _person(name, value)
        elif name.startswith("customfield_"):
            kept["custom"] = {**issue.get("custom", {}), **kept.get("custom", {}), name: value}
        else:
            text = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            raise Refused(400, **{name: text})
    return kept


def _labels(value: Any) -> list[str]:
    labels = [str(label) for label in value or []]
    for label in labels:
        if " " in label:
            raise Refused(400, labels=f"The label '{label}' contains spaces which is invalid.")
        if len(label) > LABEL_MAX:
            raise Refused(400, labels=f"The label '{label}' exceeds the maximum length for a single label.")
    return sorted(set(labels))


def _add_to_labels(changes: Record, body: Record) -> None:
    for operation in (body.get("update") or {}).get("labels") or []:
        if "add" in operation:
            changes["labels"] = _labels([*changes.get("labels", []), operation["add"]])
        elif "remove" in operation:
            changes["labels"] = [label for label in changes.get("labels", []) if label != operation["remove"]]


def _day(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise Refused(400, duedate="Error parsing date string: " + str(value)) from None


def _parent(site: Site, value: Any, issue: Record) -> str | None:
    if value is None:
        return None
    wanted = value.get("key") or value.get("id") if isinstance(value, dict) else None
    try:
        parent = site.issue(wanted)
    except Refused:
        raise Refused(400, parent="Could not find issue by id or key.") from None
    if TYPES[parent["type"]].level != TYPES[issue["type"]].level + 1:
        raise Refused(400, parent="Given parent issue does not belong to appropriate hierarchy.")
    return str(parent["id"])


def _person(name: str, value: Any) -> str | None:
    account_id = (value or {}).get("accountId") or (value or {}).get("id")
    if account_id is not None and account_id not in PEOPLE:
        raise Refused(400, **{name: "Specify a valid value for " + name})
    return account_id


def properties(body: Record) -> Record:
    """Properties that come with an issue or a work log."""
    return {str(one["key"]): checked_property(one.get("value")) for one in body.get("properties") or []}


def checked_property(value: Any) -> Any:
    """A property's value: any JSON but nothing."""
    if value is None or value == "":
        raise Refused(400, "The property value is not valid JSON or is empty.")
    if len(str(value)) > PROPERTY_MAX:
        raise Refused(400, f"The property value cannot exceed {PROPERTY_MAX} characters.")
    return value


def transitions(view: View) -> list[Record]:
    """The transitions of an issue."""
    return [
        {
            "id": number,
            "name": name,
            "to": view.status(name),
            "hasScreen": False,
            "isGlobal": True,
            "isInitial": False,
            "isAvailable": True,
            "isConditional": False,
        }
        for name, number in _TRANSITIONS.items()
    ]


def transition(site: Site, issue: Record, caller: Person, body: Record) -> None:
    """Move an issue to the status a transition leads to."""
    wanted = str((body.get("transition") or {}).get("id", ""))
    status = next((name for name, number in _TRANSITIONS.items() if number == wanted), None)
    if status is None:
        said = f"It seems that you have tried to perform a workflow operation ({wanted}) that is not valid"
        raise Refused(400, f"{said} for the current state of this issue.")
    site.change_issue(issue, {"status": status}, caller.account_id)
