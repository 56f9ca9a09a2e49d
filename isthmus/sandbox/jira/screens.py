"""What a site's own screens show: types and fields a new issue may have, people to choose from, comments.

Modelled from the vendor's published material; not certified. Every type has the same fields on every screen.
"""

from __future__ import annotations

from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira import adf, issues
from isthmus.sandbox.jira.errors import Refused
from isthmus.sandbox.jira.reference import PEOPLE, STATUSES, TYPES, Person
from isthmus.sandbox.jira.site import Site, known_project
from isthmus.sandbox.jira.views import View, moment

BULK_MAX = 50
# Fields of a screen: type of value, operations, whether a new issue needs it.
_FIELDS: dict[str, tuple[str, list[str], bool]] = {
    "summary": ("string", ["set"], True),
    "issuetype": ("issuetype", [], True),
    "project": ("project", ["set"], True),
    "description": ("doc", ["set"], False),
    "labels": ("array", ["add", "set", "remove"], False),
    "parent": ("issuelink", ["set"], False),
    "duedate": ("date", ["set"], False),
    "assignee": ("user", ["set"], False),
    "reporter": ("user", ["set"], False),
}


def types(view: View, project: str) -> list[Record]:
    """Types of issue that a project takes."""
    known_project({"key": project} if not project.isdigit() else {"id": project})
    return [view.issue_type(name) for name in TYPES]


def fields(view: View, project: str, type_id: str) -> list[Record]:
    """Fields a new issue of a type may have."""
    if type_id not in [kind["id"] for kind in types(view, project)]:
        raise Refused(400, "The issue type selected is invalid.")
    return [{"fieldId": name, **_field(view, name)} for name in _FIELDS]


def editable(view: View) -> Record:
    """Fields of an issue that is there, by name."""
    return {"fields": {name: _field(view, name) for name in _FIELDS if name not in ("project", "reporter")}}


def _field(view: View, name: str) -> Record:
    kind, operations, required = _FIELDS[name]
    schema: Record = {"type": kind, "system": name} | ({"items": "string"} if kind == "array" else {})
    shown: Record = {"required": required, "schema": schema, "name": name.title(), "key": name}
    shown |= {"hasDefaultValue": False, "operations": operations}
    return shown | ({"allowedValues": [view.issue_type(one) for one in TYPES]} if name == "issuetype" else {})


def statuses(view: View, project: str) -> list[Record]:
    """The statuses of each type of issue."""
    shown = [view.status(name) for name in STATUSES]
    kinds = ("self", "id", "name", "subtask")
    return [{name: kind[name] for name in kinds} | {"statuses": shown} for kind in types(view, project)]


def people(view: View, params: Any) -> list[Record]:
    """People by what their name or address begins with, as far as they show it, or by account."""
    text, account = str(params.get("query") or "").casefold(), params.get("accountId")
    if not text and not account:
        raise Refused(400, "Either the 'query' or 'accountId' parameter is required.")
    start, most = int(params.get("startAt") or 0), int(params.get("maxResults") or 50)
    found = [key for key, person in PEOPLE.items() if key == account or (text and _begins(person, text))]
    return [dict(view.person(key) or {}) for key in found[start : start + most]]


def _begins(person: Person, text: str) -> bool:
    words = [*person.name.casefold().split(), person.name.casefold(), person.email.casefold()]
    return any(word.startswith(text) for word in words)


def assign(site: Site, issue: Record, caller: Person, body: Record) -> None:
    """Give an issue to somebody, or to nobody."""
    account_id = body.get("accountId")
    if account_id is not None and account_id not in PEOPLE:
        raise Refused(400, assignee="Specify a valid value for assignee")
    site.change_issue(issue, {"assignee": account_id}, caller.account_id)


def create_all(site: Site, view: View, body: Record) -> tuple[int, Record]:
    """Several issues, each for itself: what was made, and what was refused at which place."""
    asked = body.get("issueUpdates")
    if not isinstance(asked, list) or not 0 < len(asked) <= BULK_MAX:
        raise Refused(400, f"Between 1 and {BULK_MAX} issues can be created at once.")
    made, wrong = [], []
    for place, one in enumerate(asked):
        try:
            new = issues.create(site, view.caller, view.version, one)
            made.append({"id": new["id"], "key": new["key"], "self": f"{view.root}/issue/{new['id']}"})
        except Refused as refused:
            wrong.append({"status": refused.status, "elementErrors": refused.body(), "failedElementNumber": place})
    return (201 if made else 400), {"issues": made, "errors": wrong}


# -- comments ------------------------------------------------------------------------------------------------------


def add_comment(site: Site, view: View, issue: Record, body: Record) -> Record:
    """A new comment; it moves the issue's ``updated``."""
    if body.get("body") in (None, ""):
        raise Refused(400, comment="Comment body can not be empty!")
    now, author = site.now(), view.caller.account_id
    row: Record = {"id": str(site.next_of("comment")), "issueId": issue["id"], "author": author, "created": now}
    row["body"] = adf.taken(body["body"], "comment", view.version)
    site.records.put("comment", row["id"], row)
    issue["updated"] = now
    return _comment(view, row)


def comments(site: Site, view: View, issue: Record) -> list[Record]:
    """Comments of an issue, oldest first."""
    return [_comment(view, row) for _, row in site.records.find("comment", issueId=issue["id"])]


def _comment(view: View, row: Record) -> Record:
    at, by = moment(row["created"], view.caller), view.person(row["author"])
    here = f"{view.root}/issue/{row['issueId']}/comment/{row['id']}"
    shown = {"self": here, "id": row["id"], "author": by, "body": adf.shown(row["body"], view.version)}
    return shown | {"updateAuthor": by, "created": at, "updated": at, "jsdPublic": True}
