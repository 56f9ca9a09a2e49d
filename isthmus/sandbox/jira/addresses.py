"""The API by address: who answers which request, and how.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira import issues, screens, search, worklogs
from isthmus.sandbox.jira.errors import Refused, not_json
from isthmus.sandbox.jira.reference import PROJECTS, STATUSES, TYPES
from isthmus.sandbox.jira.site import Site
from isthmus.sandbox.jira.views import FIELDS, View, moment

Handler = Callable[["Call"], Any]


@dataclass
class Knobs:
    """What a test may turn. changes_page: work logs on a page of changes. numbered_moments: histories fetched in bulk
    say when as milliseconds, as the published example does, and not as text, as the published schema says.
    """

    changes_page: int = worklogs.CHANGES_PAGE
    numbered_moments: bool = False


@dataclass
class Call:
    """One request: who asks, in which version of the API, and what. parts: of the address, by name."""

    request: Request
    site: Site
    view: View
    knobs: Knobs
    body: Any
    parts: dict[str, str]

    @property
    def params(self) -> Any:
        """Query parameters."""
        return self.request.query_params

    def document(self) -> Record:
        """The body as an object."""
        if not isinstance(self.body, dict):
            raise not_json()
        return self.body

    def asked(self) -> Record:
        """What a search asks, in its body or its query."""
        if self.request.method == "POST":
            return self.document()
        return {name: self.params.getlist(name) if name != "jql" else self.params[name] for name in self.params}


def _issue(call: Call) -> Record:
    return call.site.issue(call.parts["issue"])


def _worklog(call: Call) -> Record:
    return call.site.worklog(_issue(call), call.parts["worklog"])


def _create(call: Call) -> Any:
    made = issues.create(call.site, call.view.caller, call.view.version, call.document())
    return 201, {"id": made["id"], "key": made["key"], "self": f"{call.view.root}/issue/{made['id']}"}


def _read(call: Call) -> Any:
    fields = [name for text in call.params.getlist("fields") for name in text.split(",") if name]
    asked = [name for text in call.params.getlist("properties") for name in text.split(",") if name]
    return call.view.issue(_issue(call), fields, asked, str(call.params.get("expand") or ""))


def _edit(call: Call) -> Any:
    issues.edit(call.site, _issue(call), call.view.caller, call.view.version, call.document())
    return 204, None


def _delete(call: Call) -> Any:
    call.site.delete_issue(_issue(call), call.view.caller.account_id)
    return 204, None


def _transitions(call: Call) -> Any:
    _issue(call)
    return {"expand": "transitions", "transitions": issues.transitions(call.view)}


def _transition(call: Call) -> Any:
    issues.transition(call.site, _issue(call), call.view.caller, call.document())
    return 204, None


def _history(call: Call) -> Any:
    return _page(call, [call.view.history(entry) for entry in _issue(call)["history"]], 100)


def _page(call: Call, rows: list[Record], most: int) -> Record:
    """The page that is asked for. most: rows on a page unless told otherwise."""
    page = _part(call, rows, "values", most)
    return page | {"isLast": page["startAt"] + page["maxResults"] >= len(rows)}


def _part(call: Call, rows: list[Record], under: str, most: int = 50) -> Record:
    """As some addresses show a page: without saying whether it is the last one."""
    start, most = int(call.params.get("startAt") or 0), int(call.params.get("maxResults") or most)
    return {"startAt": start, "maxResults": most, "total": len(rows), under: rows[start : start + most]}


def _types(call: Call) -> Any:
    return _part(call, screens.types(call.view, call.parts["project"]), "issueTypes")


def _new_fields(call: Call) -> Any:
    return _part(call, screens.fields(call.view, call.parts["project"], call.parts["type"]), "fields")


def _edit_fields(call: Call) -> Any:
    _issue(call)
    return screens.editable(call.view)


def _assign(call: Call) -> Any:
    screens.assign(call.site, _issue(call), call.view.caller, call.document())
    return 204, None


def _comments(call: Call) -> Any:
    return _part(call, screens.comments(call.site, call.view, _issue(call)), "comments", 5000)


def _add_comment(call: Call) -> Any:
    return 201, screens.add_comment(call.site, call.view, _issue(call), call.document())


def _none_of(call: Call) -> Any:
    _project(call)
    return []


def _add_worklog(call: Call) -> Any:
    made = worklogs.add(call.site, _issue(call), call.view.caller, call.view.version, call.document())
    return 201, call.view.worklog(made)


def _change_worklog(call: Call) -> Any:
    worklog = _worklog(call)
    changes = worklogs.fields_of(call.document(), call.view.version, creating=False)
    call.site.change_worklog(worklog, changes, call.view.caller.account_id)
    return call.view.worklog(worklog)


def _delete_worklog(call: Call) -> Any:
    call.site.delete_worklog(_worklog(call), call.view.caller.account_id)
    return 204, None


def _property_of(find: Callable[[Call], Record]) -> dict[str, Handler]:
    """The four requests about one property of an issue or a work log."""

    def read(call: Call) -> Any:
        key, owner = call.parts["key"], find(call)
        if key not in owner["properties"]:
            raise Refused(404, f"The property with key '{key}' does not exist.")
        return {"key": key, "value": owner["properties"][key]}

    def write(call: Call) -> Any:
        value = issues.checked_property(call.body)
        return (201 if call.site.set_property(find(call), call.parts["key"], value) else 200), {}

    def forget(call: Call) -> Any:
        key, owner = call.parts["key"], find(call)
        if owner["properties"].pop(key, None) is None:
            raise Refused(404, f"The property with key '{key}' does not exist.")
        return 204, None

    return {"GET": read, "PUT": write, "DELETE": forget}


def _keys_of(find: Callable[[Call], Record]) -> Handler:
    def keys(call: Call) -> Any:
        here = f"{call.view.root}/{call.request.path_params['path'].rstrip('/')}"
        return {"keys": [{"key": key, "self": f"{here}/{key}"} for key in find(call)["properties"]]}

    return keys


def _server_info(call: Call) -> Any:
    return {
        "baseUrl": call.view.base_url,
        "version": "1001.0.0-SNAPSHOT",
        "versionNumbers": [1001, 0, 0],
        "deploymentType": "Cloud",
        "buildNumber": 100300,
        "serverTime": moment(call.site.now(), call.view.caller),
        "serverTitle": "Sandbox",
        "serverTimeZone": "Etc/UTC",
    }


def _project(call: Call) -> Any:
    wanted = call.parts["project"]
    for project in PROJECTS.values():
        if wanted in (project.key, project.id):
            kinds = [call.view.issue_type(name) for name in TYPES]
            return call.view.project(project.key) | {"lead": call.view.person(project.lead), "issueTypes": kinds}
    raise Refused(404, f"No project could be found with key '{wanted}'.")


def _projects(call: Call) -> Any:
    """Projects by what is in their key or name, and by keys, ordered by key."""
    text, keys = str(call.params.get("query") or "").casefold(), call.params.getlist("keys")
    return _page(
        call,
        [
            call.view.project(key)
            for key, project in sorted(PROJECTS.items())
            if (not keys or key in keys) and text in f"{key} {project.name}".casefold()
        ],
        50,
    )


def _fields(call: Call) -> Any:
    return [
        {
            "id": name,
            "key": name,
            "name": name.title(),
            "custom": False,
            "orderable": True,
            "navigable": name not in ("worklog", "description"),
            "searchable": True,
            "clauseNames": [name],
        }
        for name in FIELDS
    ]


def _changes_asked(call: Call) -> tuple[Site, View, Any, int]:
    return call.site, call.view, call.params, call.knobs.changes_page


_ROUTES: dict[str, dict[str, Handler]] = {
    "serverInfo": {"GET": _server_info},
    "myself": {"GET": lambda call: call.view.person(call.view.caller.account_id)},
    "field": {"GET": _fields},
    "status": {"GET": lambda call: [call.view.status(name) for name in STATUSES]},
    "issuetype": {"GET": lambda call: [call.view.issue_type(name) for name in TYPES]},
    "issuetype/project": {"GET": lambda call: [call.view.issue_type(name) for name in TYPES]},
    "project": {"GET": lambda call: [call.view.project(key) for key in PROJECTS]},
    "project/search": {"GET": _projects},
    "project/{project}": {"GET": _project},
    "project/{project}/statuses": {"GET": lambda call: screens.statuses(call.view, call.parts["project"])},
    "project/{project}/versions": {"GET": _none_of},
    "project/{project}/components": {"GET": _none_of},
    "user/search": {"GET": lambda call: screens.people(call.view, call.params)},
    "issue/createmeta/{project}/issuetypes": {"GET": _types},
    "issue/createmeta/{project}/issuetypes/{type}": {"GET": _new_fields},
    "issue/bulk": {"POST": lambda call: screens.create_all(call.site, call.view, call.document())},
    "issue": {"POST": _create},
    "issue/bulkfetch": {"POST": lambda call: search.bulk_fetch(call.site, call.view, call.document())},
    "changelog/bulkfetch": {
        "POST": lambda call: search.bulk_histories(call.site, call.view, call.document(), call.knobs.numbered_moments)
    },
    "search/jql": {
        "GET": lambda call: search.search(call.site, call.view, call.asked()),
        "POST": lambda call: search.search(call.site, call.view, call.asked()),
    },
    "search/approximate-count": {"POST": lambda call: search.count(call.site, call.view, call.document())},
    "worklog/updated": {"GET": lambda call: worklogs.updated(*_changes_asked(call))},
    "worklog/deleted": {"GET": lambda call: worklogs.deleted(*_changes_asked(call))},
    "worklog/list": {
        "POST": lambda call: worklogs.listed(
            call.site, call.view, call.document(), str(call.params.get("expand") or "")
        )
    },
    "issue/{issue}": {"GET": _read, "PUT": _edit, "DELETE": _delete},
    "issue/{issue}/transitions": {"GET": _transitions, "POST": _transition},
    "issue/{issue}/changelog": {"GET": _history},
    "issue/{issue}/editmeta": {"GET": _edit_fields},
    "issue/{issue}/assignee": {"PUT": _assign},
    "issue/{issue}/comment": {"GET": _comments, "POST": _add_comment},
    "issue/{issue}/worklog": {
        "GET": lambda call: worklogs.of_issue(call.site, call.view, _issue(call), call.params),
        "POST": _add_worklog,
    },
    "issue/{issue}/worklog/{worklog}": {
        "GET": lambda call: call.view.worklog(_worklog(call)),
        "PUT": _change_worklog,
        "DELETE": _delete_worklog,
    },
    "issue/{issue}/properties": {"GET": _keys_of(_issue)},
    "issue/{issue}/properties/{key}": _property_of(_issue),
    "issue/{issue}/worklog/{worklog}/properties": {"GET": _keys_of(_worklog)},
    "issue/{issue}/worklog/{worklog}/properties/{key}": _property_of(_worklog),
}
_PATTERNS = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), path, verbs) for path, verbs in _ROUTES.items()]


def found(method: str, path: str) -> tuple[Handler, dict[str, str], str]:
    """Who answers, with the parts of the address, and the kind of request that limits count."""
    for pattern, template, handlers in _PATTERNS:
        match = pattern.fullmatch(path)
        if match is not None:
            if method not in handlers:
                raise Refused(405, "HTTP 405 Method Not Allowed")
            return handlers[method], match.groupdict(), f"{method} {template}"
    if path == "search" or path.startswith("webhook"):
        gone = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
        raise Refused(410, gone) if path == "search" else Refused(403, "The caller is not a Connect or OAuth app.")
    raise Refused(404, "HTTP 404 Not Found")
