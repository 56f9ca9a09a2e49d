"""The site's data: issues, work logs and properties, with the stamps and histories that changes leave behind.

Modelled from the vendor's published material; not certified. Where the vendor says nothing: logging work moves the
issue's ``updated``; a property of a work log moves it in the list of updated work logs, not its own ``updated``;
deleting an issue deletes its work logs, and they are in the list of deleted ones.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from isthmus.sandbox.base import Record, Records
from isthmus.sandbox.jira.errors import Refused, no_issue
from isthmus.sandbox.jira.reference import FIRST_STATUS, PROJECTS, STATUSES, TYPES, Person

Listener = Callable[[str, Record, Record], None]  # event, what it is about, more


class Site:
    """Moments are kept as text in UTC, so that they sort; what a caller sees of them is made elsewhere."""

    def __init__(self, records: Records, now: Callable[[], str]) -> None:
        self.records = records
        self.now = now
        self.listener: Listener = lambda *_: None
        self.clear()

    def clear(self) -> None:
        """Forget counters and what was deleted."""
        self._last = {"issue": 10000, "worklog": 10000, "history": 10100, "comment": 10000}
        self._keys: dict[str, int] = {}
        self.gone: list[tuple[int, str]] = []  # id and moment of deleted work logs

    # -- reading -------------------------------------------------------------------------------------------------
    def issue(self, id_or_key: Any) -> Record:
        """An issue by id or key; the site's 404 when there is none."""
        text = str(id_or_key)
        found = self.records.get("issue", text)
        if found is None:
            found = next((row for _, row in self.records.find("issue", key=text.upper())), None)
        if found is None:
            raise no_issue()
        return found

    def worklogs(self, issue_id: str) -> list[Record]:
        """Work logs of an issue, oldest first."""
        rows = [row for _, row in self.records.find("worklog", issueId=issue_id)]
        return sorted(rows, key=lambda row: (row["created"], int(row["id"])))

    def worklog(self, issue: Record, worklog_id: str) -> Record:
        """A work log of an issue."""
        found = self.records.get("worklog", worklog_id)
        if found is None or found["issueId"] != issue["id"]:
            raise Refused(404, f"Cannot find worklog with id: '{worklog_id}'.")
        return found

    def visible(self, worklog: Record, caller: Person) -> bool:
        """False when a group was chosen to which the caller does not belong."""
        visibility = worklog.get("visibility")
        return visibility is None or visibility.get("value") in caller.groups

    # -- issues --------------------------------------------------------------------------------------------------
    def add_issue(self, fields: Record, author: str, **given: Any) -> Record:
        """A new issue; given: stamps and status that people's own screens would have left."""
        number = self._keys.get(fields["project"], 0) + 1
        self._keys[fields["project"]] = number
        moment = given.get("created") or self.now()
        issue: Record = {
            "id": str(self.next_of("issue")),
            "key": f"{fields['project']}-{number}",
            "summary": "",
            "description": None,
            "labels": [],
            "parent": None,
            "duedate": None,
            "assignee": None,
            "custom": {},
            "status": FIRST_STATUS,
            "creator": author,
            "reporter": author,
            **fields,
            "created": moment,
            "updated": given.get("updated") or moment,
            "history": [],
            "properties": dict(given.get("properties") or {}),
        }
        self.records.put("issue", issue["id"], issue)
        self.listener("jira:issue_created", issue, {"user": author})
        return issue

    def change_issue(self, issue: Record, changes: Record, author: str, at: str = "") -> None:
        """Change fields, with an entry in the history for those that became different."""
        moment = at or self.now()
        different = {name: value for name, value in changes.items() if issue[name] != value}
        items = [_item(name, issue[name], value) for name, value in different.items()]
        issue.update(different)
        issue["updated"] = moment
        if not items:
            return
        entry = {"id": str(self.next_of("history")), "author": author, "created": moment, "items": items}
        issue["history"].append(entry)
        self.listener("jira:issue_updated", issue, {"user": author, "changelog": entry})

    def delete_issue(self, issue: Record, author: str) -> None:
        """Delete an issue with its work logs and properties."""
        for worklog in self.worklogs(issue["id"]):
            self.delete_worklog(worklog, author)
        self.records.delete("issue", issue["id"])
        self.listener("jira:issue_deleted", issue, {"user": author})

    # -- work logs -----------------------------------------------------------------------------------------------
    def add_worklog(self, issue: Record, fields: Record, author: str, **given: Any) -> Record:
        """A new work log."""
        moment = given.get("created") or self.now()
        worklog: Record = {
            "id": str(self.next_of("worklog")),
            "issueId": issue["id"],
            "author": author,
            "updateAuthor": author,
            "comment": None,
            "visibility": None,
            **fields,
            "created": moment,
            "updated": given.get("updated") or moment,
            "properties": dict(given.get("properties") or {}),
        }
        worklog["changed"] = worklog["updated"]  # its place in the list of updated work logs
        self.records.put("worklog", worklog["id"], worklog)
        issue["updated"] = max(issue["updated"], worklog["updated"])
        self.listener("worklog_created", worklog, {})
        return worklog

    def change_worklog(self, worklog: Record, changes: Record, author: str) -> None:
        """Change a work log."""
        worklog.update(changes)
        worklog["updated"] = worklog["changed"] = self.now()
        worklog["updateAuthor"] = author
        self.issue(worklog["issueId"])["updated"] = worklog["updated"]
        self.listener("worklog_updated", worklog, {})

    def delete_worklog(self, worklog: Record, author: str) -> None:
        """Delete a work log for good; only its id and the moment stay."""
        self.records.delete("worklog", worklog["id"])
        self.gone.append((int(worklog["id"]), self.now()))
        self.issue(worklog["issueId"])["updated"] = self.now()
        self.listener("worklog_deleted", worklog, {})

    def set_property(self, owner: Record, key: str, value: Any) -> bool:
        """Set a property of an issue or work log; True when it is new."""
        new = key not in owner["properties"]
        owner["properties"][key] = value
        if "issueId" in owner:
            owner["changed"] = self.now()
        return new

    def next_of(self, kind: str) -> int:
        """The next number of its kind."""
        self._last[kind] += 1
        return self._last[kind]


def _item(name: str, before: Any, after: Any) -> Record:
    """One line of a history."""
    ids: Record = {"from": None, "to": None}
    if name == "status":
        ids = {"from": STATUSES[before].id, "to": STATUSES[after].id}
    texts = {"fromString": _text(before), "toString": _text(after)}
    return {"field": name, "fieldtype": "jira", "fieldId": name, **ids, **texts}


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return " ".join(str(each) for each in value)
    return None if value is None else str(value)


def known_project(value: Any) -> str:
    """The key of a project named in a body by id or key."""
    wanted = value if isinstance(value, dict) else {}
    for project in PROJECTS.values():
        if project.key == wanted.get("key") or project.id == str(wanted.get("id")):
            return project.key
    raise Refused(400, project="Specify a valid project ID or key")


def known_type(value: Any) -> str:
    """The name of an issue type named in a body by id or name."""
    wanted = value if isinstance(value, dict) else {}
    for kind in TYPES.values():
        if kind.name == wanted.get("name") or kind.id == str(wanted.get("id")):
            return kind.name
    raise Refused(400, issuetype="Specify a valid issue type")


def kept(moment: datetime) -> str:
    """A moment as the site keeps it: in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def milliseconds(moment: str) -> int:
    """A kept moment as milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
