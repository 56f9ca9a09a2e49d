"""What a caller sees of the site's records: moments in his own time zone, people as their privacy allows.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira import adf
from isthmus.sandbox.jira.reference import CATEGORIES, PEOPLE, PROJECTS, STATUSES, TYPES, Person
from isthmus.sandbox.jira.site import Site

FIELDS = (
    "summary",
    "description",
    "labels",
    "issuetype",
    "project",
    "parent",
    "status",
    "statusCategory",
    "statuscategorychangedate",
    "duedate",
    "created",
    "updated",
    "creator",
    "reporter",
    "assignee",
    "timespent",
    "worklog",
)
NAVIGABLE = tuple(name for name in FIELDS if name not in ("worklog", "description"))
WORKLOGS_SHOWN = 20  # of an issue's field; the others are at their own address


def moment(at: str, caller: Person) -> str:
    """A kept moment as the API writes it: in the caller's time zone, milliseconds, offset without colon."""
    local = datetime.fromisoformat(at).astimezone(ZoneInfo(caller.time_zone or "UTC"))
    return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03d}{local:%z}"


class View:
    """One caller's view in one version of the API."""

    def __init__(self, site: Site, caller: Person, version: str, base_url: str) -> None:
        self.site, self.caller, self.version, self.base_url = site, caller, version, base_url
        self.root = f"{base_url}/rest/api/{version}"

    def person(self, account_id: str | None) -> Record | None:
        """Somebody's account."""
        if account_id is None:
            return None
        person = PEOPLE[account_id]
        shown: Record = {
            "self": f"{self.root}/user?accountId={account_id}",
            "accountId": account_id,
            "accountType": "atlassian",
            "active": True,
            "displayName": person.name,
        }
        shown |= {"emailAddress": person.email} if person.email else {}
        return shown | ({"timeZone": person.time_zone} if person.time_zone else {})

    def status(self, name: str) -> Record:
        """A status with its category."""
        status = STATUSES[name]
        number, color, label = CATEGORIES[status.category]
        category = {
            "self": f"{self.root}/statuscategory/{number}",
            "id": number,
            "key": status.category,
            "colorName": color,
            "name": label,
        }
        return {
            "self": f"{self.root}/status/{status.id}",
            "id": status.id,
            "name": status.name,
            "description": "",
            "statusCategory": category,
        }

    def issue_type(self, name: str) -> Record:
        """An issue type."""
        kind = TYPES[name]
        return {
            "self": f"{self.root}/issuetype/{kind.id}",
            "id": kind.id,
            "name": kind.name,
            "description": "",
            "subtask": kind.level < 0,
            "hierarchyLevel": kind.level,
        }

    def project(self, key: str) -> Record:
        """A project in short."""
        project = PROJECTS[key]
        return {
            "self": f"{self.root}/project/{project.id}",
            "id": project.id,
            "key": project.key,
            "name": project.name,
            "projectTypeKey": "software",
            "simplified": False,
            "style": "classic",
        }

    def issue(self, issue: Record, fields: list[str], properties: list[str], expand: str = "") -> Record:
        """An issue with the wanted fields, properties and, when asked for, its history."""
        shown: Record = {
            "expand": "names,schema,changelog",
            "id": issue["id"],
            "key": issue["key"],
            "self": f"{self.root}/issue/{issue['id']}",
            "fields": {name: self._field(issue, name) for name in _wanted(fields, issue)},
        }
        if properties:
            asked = {key: value for key, value in issue["properties"].items() if key in properties}
            shown["properties"] = asked
        if "changelog" in expand:
            histories = [self.history(entry) for entry in reversed(issue["history"])]
            number = len(histories)
            shown["changelog"] = {"startAt": 0, "maxResults": number, "total": number, "histories": histories}
        return shown

    def _field(self, issue: Record, name: str) -> Any:
        made: dict[str, Callable[[], Any]] = {
            "description": lambda: adf.shown(issue["description"], self.version),
            "issuetype": lambda: self.issue_type(issue["type"]),
            "project": lambda: self.project(issue["project"]),
            "parent": lambda: self._parent(issue),
            "status": lambda: self.status(issue["status"]),
            "statusCategory": lambda: self.status(issue["status"])["statusCategory"],
            "statuscategorychangedate": lambda: moment(_status_changed(issue), self.caller),
            "created": lambda: moment(issue["created"], self.caller),
            "updated": lambda: moment(issue["updated"], self.caller),
            "timespent": lambda: sum(w["seconds"] for w in self.site.worklogs(issue["id"])) or None,
            "worklog": lambda: self._worklogs(issue),
        }
        if name in made:
            return made[name]()
        if name in ("creator", "reporter", "assignee"):
            return self.person(issue[name])
        return issue[name] if name in issue else issue["custom"].get(name)

    def _parent(self, issue: Record) -> Record | None:
        if issue["parent"] is None:
            return None
        parent = self.site.issue(issue["parent"])
        fields = {
            "summary": parent["summary"],
            "status": self.status(parent["status"]),
            "issuetype": self.issue_type(parent["type"]),
        }
        link = f"{self.root}/issue/{parent['id']}"
        return {"id": parent["id"], "key": parent["key"], "self": link, "fields": fields}

    def _worklogs(self, issue: Record) -> Record:
        rows = [w for w in self.site.worklogs(issue["id"]) if self.site.visible(w, self.caller)]
        shown = [self.worklog(row) for row in rows[:WORKLOGS_SHOWN]]
        return {"startAt": 0, "maxResults": WORKLOGS_SHOWN, "total": len(rows), "worklogs": shown}

    def worklog(self, worklog: Record, with_properties: bool = False) -> Record:
        """A work log."""
        shown: Record = {
            "self": f"{self.root}/issue/{worklog['issueId']}/worklog/{worklog['id']}",
            "author": self.person(worklog["author"]),
            "updateAuthor": self.person(worklog["updateAuthor"]),
            "comment": adf.shown(worklog["comment"], self.version),
            "created": moment(worklog["created"], self.caller),
            "updated": moment(worklog["updated"], self.caller),
            "started": moment(worklog["started"], self.caller),
            "timeSpent": spent(worklog["seconds"]),
            "timeSpentSeconds": worklog["seconds"],
            "id": worklog["id"],
            "issueId": worklog["issueId"],
        }
        for name in ("comment", "visibility"):
            if worklog[name] is None:
                shown.pop(name, None)
        if worklog["visibility"] is not None:
            shown["visibility"] = worklog["visibility"]
        if with_properties:
            shown["properties"] = [{"key": key, "value": value} for key, value in worklog["properties"].items()]
        return shown

    def history(self, entry: Record) -> Record:
        """One entry of an issue's history."""
        return {
            "id": entry["id"],
            "author": self.person(entry["author"]),
            "created": moment(entry["created"], self.caller),
            "items": entry["items"],
        }


def spent(seconds: int) -> str:
    """A time as people write it, by a day of eight hours and a week of five days."""
    minutes = seconds // 60
    parts = []
    for unit, size in (("w", 2400), ("d", 480), ("h", 60), ("m", 1)):
        number, minutes = divmod(minutes, size)
        parts += [f"{number}{unit}"] if number else []
    return " ".join(parts) or "0m"


def _wanted(fields: list[str], issue: Record) -> list[str]:
    """Names of the fields asked for; ``*all``, ``*navigable``, and ``-name`` to leave one out."""
    names: list[str] = []
    for asked in fields or ["*all"]:
        if asked in ("*all", "*navigable"):
            names += [*(FIELDS if asked == "*all" else NAVIGABLE), *issue["custom"]]
        elif asked.startswith("-"):
            names = [name for name in names if name != asked[1:]]
        elif asked in FIELDS or asked in issue["custom"]:
            names.append(asked)
    return list(dict.fromkeys(names))


def _status_changed(issue: Record) -> str:
    changes = [e["created"] for e in issue["history"] if any(item["field"] == "status" for item in e["items"])]
    return str(max([issue["created"], *changes]))
