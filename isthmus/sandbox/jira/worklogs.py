"""Work logs: added, changed and deleted on issues; which of the site have changed or gone since a moment.

Modelled from the vendor's published material; not certified. The lists of changes leave out the last minute, as the
vendor says. There is no approval of work logs.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira import adf
from isthmus.sandbox.jira.errors import Refused
from isthmus.sandbox.jira.issues import properties
from isthmus.sandbox.jira.reference import Person
from isthmus.sandbox.jira.site import Site, milliseconds
from isthmus.sandbox.jira.site import kept as stamp
from isthmus.sandbox.jira.views import View

LIST_MAX, CHANGES_PAGE = 1000, 1000
QUIET_SECONDS = 60  # changes younger than this are not listed yet
_SPENT = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhm])")
_MINUTES = {"w": 2400, "d": 480, "h": 60, "m": 1}


def fields_of(body: Record, version: str, creating: bool) -> Record:
    """What a body says of a work log."""
    kept: Record = {}
    if "timeSpent" in body and "timeSpentSeconds" in body:
        raise Refused(400, timeLogged="Only one of time spent and time spent in seconds can be given.")
    if "timeSpentSeconds" in body or "timeSpent" in body:
        seconds = _seconds(body)
        if seconds < 60:
            raise Refused(400, timeLogged="Invalid time duration entered.")
        kept["seconds"] = seconds // 60 * 60
    elif creating:
        raise Refused(400, timeLogged="You must indicate the time spent working.")
    if body.get("started"):
        try:
            kept["started"] = stamp(datetime.fromisoformat(str(body["started"])))
        except ValueError:
            raise Refused(400, started=f"Error parsing time: {body['started']}") from None
    if "comment" in body:
        kept["comment"] = adf.taken(body["comment"], "comment", version)
    if "visibility" in body:
        kept["visibility"] = body["visibility"]
    return kept


def _seconds(body: Record) -> int:
    if "timeSpentSeconds" in body:
        text = str(body["timeSpentSeconds"])
        return int(text) if text.isdigit() else 0
    text = str(body["timeSpent"])
    if _SPENT.sub("", text).strip():
        return 0
    return round(sum(float(number) * _MINUTES[unit] for number, unit in _SPENT.findall(text)) * 60)


def add(site: Site, issue: Record, caller: Person, version: str, body: Record) -> Record:
    """A new work log of the caller; author and stamps in the body are ignored."""
    kept = {"started": site.now(), **fields_of(body, version, creating=True)}
    return site.add_worklog(issue, kept, caller.account_id, properties=properties(body))


def of_issue(site: Site, view: View, issue: Record, params: Any) -> Record:
    """A page of an issue's work logs, those the caller may see."""
    rows = [row for row in site.worklogs(issue["id"]) if site.visible(row, view.caller)]
    after, before = params.get("startedAfter"), params.get("startedBefore")
    rows = [r for r in rows if after is None or milliseconds(r["started"]) >= int(after)]
    rows = [r for r in rows if before is None or milliseconds(r["started"]) < int(before)]
    start, most = int(params.get("startAt") or 0), min(int(params.get("maxResults") or 5000), 5000)
    shown = [view.worklog(row, "properties" in str(params.get("expand"))) for row in rows[start : start + most]]
    return {"startAt": start, "maxResults": most, "total": len(rows), "worklogs": shown}


def listed(site: Site, view: View, body: Record, expand: str) -> list[Record]:
    """Work logs by id; those that are gone or hidden are left out."""
    ids = body.get("ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= LIST_MAX:
        raise Refused(400, f"Between 1 and {LIST_MAX} worklog IDs must be provided.")
    rows = [site.records.get("worklog", str(i)) for i in dict.fromkeys(ids)]
    return [view.worklog(r, "properties" in expand) for r in rows if r is not None and site.visible(r, view.caller)]


def updated(site: Site, view: View, params: Any, page: int) -> Record:
    """Work logs changed since a moment, oldest first, but for the last minute."""
    rows = [row for _, row in site.records.all("worklog") if site.visible(row, view.caller)]
    with_properties = "properties" in str(params.get("expand"))
    changes = [
        (row["changed"], int(row["id"]), [{"key": k, "value": v} for k, v in row["properties"].items()]) for row in rows
    ]
    shown = [(at, number, told if with_properties else []) for at, number, told in changes]
    return _changes(site, view, "updated", shown, params, page)


def deleted(site: Site, view: View, params: Any, page: int) -> Record:
    """Work logs deleted since a moment."""
    return _changes(site, view, "deleted", [(at, number, []) for number, at in site.gone], params, page)


def _changes(
    site: Site, view: View, what: str, changes: list[tuple[str, int, list[Record]]], params: Any, page: int
) -> Record:
    given = str(params.get("since") or 0)
    if not given.isdigit():
        raise Refused(400, "The since parameter must be a UNIX timestamp in milliseconds.")
    since, horizon = int(given), milliseconds(site.now()) - QUIET_SECONDS * 1000
    found = sorted(change for change in changes if since < milliseconds(change[0]) <= horizon)
    shown, address = found[:page], f"{view.root}/worklog/{what}"
    until = milliseconds(shown[-1][0]) if shown else since
    last = len(found) <= page
    values = [{"worklogId": number, "updatedTime": milliseconds(at), "properties": told} for at, number, told in shown]
    answer: Record = {
        "values": values,
        "since": since,
        "until": until,
        "self": f"{address}?since={since}",
        "lastPage": last,
    }
    return answer if last else {**answer, "nextPage": f"{address}?since={until}"}
