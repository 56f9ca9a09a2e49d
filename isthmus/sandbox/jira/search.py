"""Finding issues: enhanced search with page tokens, counting, fetching by id, and histories of many issues.

Modelled from the vendor's published material; not certified. A page is cut from the list as it stands when it is asked
for. How many issues a page may hold is not published; 100 with fields is what users report.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira.errors import Refused
from isthmus.sandbox.jira.jql import sort_key, understood
from isthmus.sandbox.jira.site import Site, milliseconds
from isthmus.sandbox.jira.views import View

DEFAULT_PAGE, PAGE_MAX, PAGE_MAX_IDS_ONLY = 50, 100, 5000
FETCH_MAX, HISTORIES_MAX, PROPERTIES_MAX, RECONCILED_MAX = 100, 1000, 5, 50


def search(site: Site, view: View, asked: Mapping[str, Any]) -> Record:
    """Answer search/jql."""
    fields = _list(asked.get("fields")) or ["id"]
    rows = _rows(site, view, str(asked.get("jql") or ""), [str(i) for i in _list(asked.get("reconcileIssues"))])
    most = PAGE_MAX_IDS_ONLY if set(fields) <= {"id", "key"} else PAGE_MAX
    size = min(max(_number(asked.get("maxResults"), DEFAULT_PAGE), 1), most)
    start = _start(asked.get("nextPageToken"))
    page = rows[start : start + size]
    expand, properties = _text(asked.get("expand")), _properties(asked.get("properties"))
    answer: Record = {"issues": [_shown(view, row, fields, properties, expand) for row in page]}
    last = start + size >= len(rows)
    answer["isLast"] = last
    return answer if last else {**answer, "nextPageToken": _token(start + size)}


def count(site: Site, view: View, asked: Mapping[str, Any]) -> Record:
    """Answer search/approximate-count."""
    return {"count": len(_rows(site, view, str(asked.get("jql") or ""), []))}


def bulk_fetch(site: Site, view: View, asked: Mapping[str, Any]) -> Record:
    """Issues by id or key; those that are not there are simply left out."""
    wanted = [str(i) for i in asked.get("issueIdsOrKeys") or []]
    if not 1 <= len(wanted) <= FETCH_MAX:
        raise Refused(400, f"Between 1 and {FETCH_MAX} issue IDs or keys must be provided.")
    found: dict[str, Record] = {}
    for one in wanted:
        try:
            row = site.issue(one)
        except Refused:
            continue
        found[row["id"]] = row
    fields, properties = _list(asked.get("fields")) or ["*navigable"], _properties(asked.get("properties"))
    rows = sorted(found.values(), key=lambda row: int(row["id"]))
    return {"issues": [view.issue(r, fields, properties) for r in rows], "issueErrors": []}


def bulk_histories(site: Site, view: View, asked: Mapping[str, Any], as_numbers: bool) -> Record:
    """Histories of many issues, oldest first, of the wanted fields only. as_numbers: moments as milliseconds."""
    wanted = [str(i) for i in asked.get("issueIdsOrKeys") or []]
    if not 1 <= len(wanted) <= HISTORIES_MAX:
        raise Refused(400, f"Between 1 and {HISTORIES_MAX} issue IDs or keys must be provided.")
    only = set(asked.get("fieldIds") or [])
    entries = []
    for one in dict.fromkeys(wanted):
        issue = site.issue(one)
        for entry in issue["history"]:
            items = [item for item in entry["items"] if not only or item["fieldId"] in only]
            entries += [(entry["created"], int(issue["id"]), {**entry, "items": items})] if items else []
    entries.sort(key=lambda entry: entry[:2])
    size, start = min(max(_number(asked.get("maxResults"), 1000), 1), 1000), _start(asked.get("nextPageToken"))
    grouped: dict[int, list[Record]] = {}
    for created, issue_id, entry in entries[start : start + size]:
        shown = view.history(entry)
        shown |= {"created": milliseconds(created)} if as_numbers else {}
        grouped.setdefault(issue_id, []).append(shown)
    logs = [{"issueId": str(issue_id), "changeHistories": shown} for issue_id, shown in grouped.items()]
    more = start + size < len(entries)
    return {"issueChangeLogs": logs} | ({"nextPageToken": _token(start + size)} if more else {})


def _rows(site: Site, view: View, jql: str, reconciled: list[str]) -> list[Record]:
    """Issues that meet a query, as the index has them; those to be reconciled as they are."""
    if len(reconciled) > RECONCILED_MAX:
        raise Refused(400, f"At most {RECONCILED_MAX} issues can be reconciled.")
    found = understood(jql, site, view.caller)
    seen = dict(site.records.all("issue"))
    seen |= {i: row for i in reconciled if (row := site.records.get("issue", i)) is not None}
    rows = sorted((row for row in seen.values() if found.test(row)), key=lambda row: -int(row["id"]))
    for field, descending in reversed(found.order):
        rows.sort(key=lambda row, field=field: sort_key(row, field), reverse=descending)  # type: ignore[misc]
    return rows


def _shown(view: View, row: Record, fields: list[str], properties: list[str], expand: str) -> Record:
    if fields == ["id"] and not properties:
        return {"id": row["id"]}
    return view.issue(row, fields, properties, expand)


def _properties(value: Any) -> list[str]:
    names = _list(value)
    if len(names) > PROPERTIES_MAX:
        raise Refused(400, f"The maximum number of properties is {PROPERTIES_MAX}.")
    return names


def _list(value: Any) -> list[Any]:
    """A list, in a body as JSON, in a query as text with commas or the parameter repeated."""
    if value is None or value == "":
        return []
    given = value if isinstance(value, list) else [value]
    return [part for one in given for part in (one.split(",") if isinstance(one, str) else [one])]


def _text(value: Any) -> str:
    return ",".join(str(each) for each in value) if isinstance(value, list) else str(value or "")


def _number(value: Any, otherwise: int) -> int:
    text = str(value[0] if isinstance(value, list) else value)
    return int(text) if text.isdigit() else otherwise


def _token(start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"from": start}).encode()).decode()


def _start(token: Any) -> int:
    if not token:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(str(token[0] if isinstance(token, list) else token)))["from"])
    except (ValueError, KeyError, TypeError):
        raise Refused(400, "The provided next page token is invalid or expired.") from None
