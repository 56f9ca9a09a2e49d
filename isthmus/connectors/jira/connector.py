"""Jira as the place of delivery: an engagement is an epic, tasks are issues under it, hours come from work logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from isthmus.connectors.jira import mapping as m
from isthmus.domain.errors import BadInput, Unreachable
from isthmus.domain.objects import ExternalRef, MilestoneStatus, Project, TimeEntry
from isthmus.kit.drift import Described, RemoteField
from isthmus.kit.keys import task_codes
from isthmus.kit.mapping import Table, to_utc
from isthmus.kit.masters import Projects
from isthmus.kit.paging import Page, all_pages, by_cursor, in_batches
from isthmus.kit.wire import Request, Row, Verb
from isthmus.kit.work_source import WorkSource
from isthmus.ports.messages import InvoicedTime, MilestonePage, TaskIn, TimePage, Withdrawn


class Jira(Projects, WorkSource):
    """One Jira Cloud site."""

    project_kind, task_kind = "epic", "issue"

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._rule = "".join(self.names("approval", m.RULES)[:1])
        self._approved, self._persons = self.names("approved_statuses"), self.setting("persons")

    def tables(self) -> dict[str, Table]:
        """The tables, and the fields that the firm's own screens require of a new issue."""
        own = Table(there="issue").replaced({name: name for name in self.settings.get("fields", {})})
        return super().tables() | {"fields": own}

    def describe(self, there: str) -> Verb[Described]:
        """The fields that issues have on this site, custom ones among them."""
        return {row["id"]: RemoteField() for row in (yield Request("GET", "field")).body}

    # -- project -----------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create the engagement's epic, or bring the one that is ours to these facts and take it up again."""
        found = yield from self.held("epic", project.project_code)
        new = {"project": {"key": self.coded("projects", project.entity)}}
        mark = {"kind": "epic", "key": project.project_code, **m.PROJECT_MARK.out(project)}
        made = yield from self._put("epic", found, mark, m.PROJECT.out(project), new)
        if found and not self.in_use("epic", found):
            yield from self._move(found, self.setting("open_status"))
        return made

    def retire(self, kind: str, key: str, record: Row) -> Verb[None]:
        """See Masters. The epic is moved to the cancelled status."""
        return self._move(record, self.setting("cancelled_status"))

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create the issue under the epic, or bring the one that is ours to these facts."""
        (_, key), kind = self.place_of(item), "milestone" if item.task.milestone else "task"
        mark = {"kind": kind, "key": key, "code": item.task.code, "project": item.project_code}
        found = yield from self.held("issue", key)
        epic = yield from self.the_project(item.project_code)
        new = {"project": {"id": epic["fields"]["project"]["id"]}, "parent": {"id": epic["id"]}}
        return (yield from self._put("issue", found, mark, m.TASK.out(item.task), new))

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        """See Projects. Client and currency are what the hub has put there."""
        below = yield from self._search(f"parent = {project['id']} AND labels = {m.MARK}")
        tasks = task_codes(project_code, (m.mark_of(row).get("key", "") for row in below))
        return {"name": project["fields"]["summary"], "tasks": tasks} | m.FACTS.back(m.mark_of(project))

    def in_use(self, kind: str, record: Row) -> bool:
        """See Masters. Its status is none of those that end work."""
        return bool(record["fields"]["status"]["statusCategory"]["key"] != "done")

    def held(self, kind: str, key: str) -> Verb[Row | None]:
        """See Masters. By its mark: the label only finds it, as people copy issues, and labels with them."""
        rows = yield from self._search(f'labels = "{m.own(m.MARK, key)}"')
        return self.one_of([row for row in rows if m.mark_of(row).get("key") == key], f"{kind} {key}")

    def _put(self, what: str, found: Row | None, mark: Row, fields: Row, new: Row) -> Verb[ExternalRef]:
        """Change the issue, or create it with its mark and label in one request."""
        body = {"fields": fields, "properties": [{"key": m.MARK, "value": mark}]}
        if found is not None:
            yield Request("PUT", f"issue/{found['id']}", json=body)
            return self.ref(what, found["id"])
        own = {**self.settings.get("fields", {}), "labels": [m.MARK, m.own(m.MARK, mark["key"])]}
        kind = {"issuetype": {"name": self.setting(f"{mark['kind']}_type")}}
        answer = yield Request("POST", "issue", json=body | {"fields": own | kind | new | fields})
        return self.ref(what, answer.body["id"])

    def _move(self, issue: Row, status: str) -> Verb[None]:
        """Move an issue along its workflow. A refusal says where it could go."""
        answer = yield Request("GET", f"issue/{issue['id']}/transitions")
        ways = {way["to"]["name"]: way["id"] for way in answer.body["transitions"]}
        if status not in ways:
            raise self.refusal(f"{issue['key']} cannot go to {status}, only to {', '.join(ways)}", "NO_WAY", "status")
        yield Request("POST", f"issue/{issue['id']}/transitions", json={"transition": {"id": ways[status]}})

    # -- time --------------------------------------------------------------------------------------------------
    def approved_time(self, watermark: str) -> Verb[TimePage]:
        """Approved work logs changed after the watermark, or of an issue that was moved; deleted ones are withdrawn."""
        if self.needed("approval") == "issue_status":
            self.needed("approved_statuses")
        since = self.since(watermark)
        changed = yield from self._changes("updated", since)
        deleted = yield from self._changes("deleted", since)
        rows = [{"id": each} for each in (*changed, *deleted) if each not in deleted or not each.isdigit()]
        rows += yield from self._by_batch(filter(str.isdigit, changed), self._worklogs)
        if since and self._rule == "issue_status":
            rows += yield from self._worklogs_of_moved(since)
        ours = yield from self._placed({row["id"]: row for row in rows}.values())
        moments = (*changed.values(), *deleted.values(), *(m.changed_at(row) for row in ours if row["move"]))
        gone = {each: at for each, at in deleted.items() if each.isdigit()}
        return self.page_of(TimePage, ours, self._to_entry, moments, watermark, gone)

    def _placed(self, rows: Iterable[Row]) -> Verb[list[Row]]:
        """Work logs of our engagements with what is around them, and those that may be of one."""
        issues = yield from self._issues({row["issueId"] for row in rows if "issueId" in row})
        moves = (yield from self._moves(issues)) if self._rule == "issue_status" else {}
        placed = [row | m.around(row.get("issueId", ""), issues, moves) for row in rows]
        return [row for row in placed if row["place"] or not row["issue"]]

    def _to_entry(self, row: Row) -> TimeEntry | Withdrawn:
        """An approved entry, or that it is not. BadInput says what cannot be read."""
        if not row["issue"]:
            raise BadInput("jira shows neither it nor that it is deleted, or hides its issue or one above")
        approval = self._approval(row)
        if approval is None:
            return self.withdrawn(row["id"], "not approved", m.changed_at(row))
        facts = m.facts_of(row, self._persons, self.setting("roles"), self.setting("time_zone"))
        return TimeEntry(source=self.system, source_id=row["id"], **approval, **facts)

    def _approval(self, row: Row) -> Row | None:
        """Who has approved it and when, by the firm's rule. Nobody is named whom Jira does not name."""
        if self._rule == "worklog_property":
            told = m.told(row, self.setting("approval_property"))
            given = {"approved_by": told.get("by"), "approved_at": told.get("at")}
            return given if told.get("seconds") == row["timeSpentSeconds"] else None
        if self._rule == "issue_status" and row["issue"]["fields"]["status"]["name"] not in self._approved:
            return None
        by = m.name_of(row["move"]["author"], self._persons) if row["move"] else f"{self.system}: {self._rule}"
        return {"approved_by": by, "approved_at": m.changed_at(row)}

    def _changes(self, what: str, since: datetime | None) -> Verb[dict[str, datetime]]:
        """Ids of work logs updated or deleted since a moment, with when; the last minute is not in it yet."""

        def page(cursor: str) -> Verb[tuple[list[Row], str]]:
            start = int(cursor or (since.timestamp() * 1000 if since else 0))
            answer = yield Request("GET", f"worklog/{what}", query={"since": start})
            rows, until = answer.body["values"], int(answer.body["until"])
            if answer.body["lastPage"] or until - 1 > start:  # one back, as several may have the stamp of the last one
                return rows, "" if answer.body["lastPage"] else str(until - 1)
            beyond = {"worklogId": f"{what} at {until}, beyond the page", "updatedTime": until}
            return [*rows, beyond], str(until)

        rows = yield from by_cursor(page)
        return {str(each["worklogId"]): to_utc(each["updatedTime"]) for each in rows}

    def _worklogs_of_moved(self, since: datetime) -> Verb[list[Row]]:
        """All work logs of issues whose status has changed since a moment: it may approve or withdraw them."""
        issues = yield from self._search("", since)
        rows: list[Row] = []
        for issue_id, move in (yield from self._moves(row["id"] for row in issues)).items():
            if to_utc(move["created"]) >= since:
                rows += yield from all_pages(partial(self._worklog_page, issue_id))
        return rows

    def _worklog_page(self, issue_id: str, place: int) -> Verb[Page]:
        size = self.manifest.page_size
        query = {"startAt": place * size, "maxResults": size, "expand": "properties"}
        answer = yield Request("GET", f"issue/{issue_id}/worklog", query=query)
        return Page(rows=answer.body["worklogs"], more=place * size + size < int(answer.body["total"]))

    # -- billing -----------------------------------------------------------------------------------------------
    def mark_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef]:
        """Put the invoice's number on its work logs, and the invoice on the engagement's epic."""
        day = {"issue_date": billed.issue_date.isoformat()}
        for row in (yield from self._billed(billed)):
            numbers = dict.fromkeys((*m.told(row, m.INVOICE).get("numbers", ()), billed.number))
            path = f"issue/{row['issueId']}/worklog/{row['id']}/properties/{m.INVOICE}"
            yield Request("PUT", path, json=day | {"numbers": list(numbers)})
        told = {"number": billed.number, "total": str(billed.total), "currency": billed.currency}
        yield Request("PUT", (yield from self._invoice(billed)), json=day | told)
        return self.ref("invoice", billed.number)

    def find_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef | None]:
        """The mark, if the epic has the invoice and every work log its number."""
        if (yield Request("GET", (yield from self._invoice(billed)), allow=(404,))).status == 404:
            return None
        rows = yield from self._billed(billed)
        marked = all(billed.number in m.told(row, m.INVOICE).get("numbers", ()) for row in rows)
        return self.ref("invoice", billed.number) if marked else None

    def _invoice(self, billed: InvoicedTime) -> Verb[str]:
        epic = yield from self.the_project(billed.project_code)
        return f"issue/{epic['id']}/properties/{m.own(m.INVOICE, billed.number)}"

    def _billed(self, billed: InvoicedTime) -> Verb[list[Row]]:
        ids = self.ids_of(billed)
        return self.all_there((yield from self._by_batch(ids, self._worklogs)), ids, "work log")

    # -- milestones --------------------------------------------------------------------------------------------
    def milestones_changed(self, watermark: str) -> Verb[MilestonePage]:
        """Milestones of ours changed after the watermark, as they were last moved, or created."""
        rows = yield from self._search(f"labels = {m.MARK}", self.since(watermark))
        ours = [row for row in rows if m.mark_of(row).get("kind") == "milestone"]
        moves = yield from self._moves(row["id"] for row in ours)
        moments = (to_utc(row["fields"]["updated"]) for row in rows)
        return self.page_of(MilestonePage, ours, lambda row: self._to_milestone(row, moves), moments, watermark)

    def _to_milestone(self, row: Row, moves: Mapping[str, Row]) -> MilestoneStatus:
        mark, fields = m.mark_of(row), row["fields"]
        last = moves.get(row["id"]) or {"created": fields["created"], "author": fields["creator"]}
        told: Row = {"by": m.name_of(last["author"], self._persons), "at": to_utc(last["created"])}
        return self.milestone(mark["project"], mark["key"], fields["status"]["name"], source_id=row["id"], **told)

    # -- what requests and answers have in common --------------------------------------------------------------
    def _search(self, jql: str, since: datetime | None = None) -> Verb[list[Row]]:
        """Issues of a query, changed since a moment. JQL takes it in the time zone of the integration's own account."""
        zone = (yield Request("GET", "myself")).body["timeZone"] if since else ""
        fields = ["summary", "status", "project", "created", "updated", "creator"]
        asked = {"jql": m.jql(jql, since, zone), "fields": fields, "properties": [m.MARK]}
        return (yield from self._pages("search/jql", asked | {"maxResults": self.manifest.page_size}, "issues"))

    def _issues(self, ids: Iterable[str]) -> Verb[dict[str, Row]]:
        """Issues by id, with those above them up to the top."""
        known, wanted = dict[str, Row](), set(ids)
        asked = {"fields": ["status", "parent"], "properties": [m.MARK]}
        for _ in range(m.LEVELS_MAX):
            rows = yield from self._by_ids("issue/bulkfetch", "issues", wanted, asked)
            known |= {row["id"]: row for row in rows}
            wanted = {above for row in rows if (above := m.parent_of(row)) and above not in known}
        return known

    def _moves(self, ids: Iterable[str]) -> Verb[dict[str, Row]]:
        """The last change of status of issues, of histories that are oldest first: when, and its author."""
        logs = yield from self._by_ids("changelog/bulkfetch", "issueChangeLogs", ids, {"fieldIds": ["status"]})
        return {str(log["issueId"]): log["changeHistories"][-1] for log in logs if log["changeHistories"]}

    def _by_ids(self, path: str, under: str, ids: Iterable[str], asked: Row) -> Verb[list[Row]]:
        return self._by_batch(ids, lambda some: self._pages(path, asked | {"issueIdsOrKeys": some}, under))

    def _by_batch(self, ids: Iterable[str], ask: Callable[[list[str]], Verb[list[Row]]]) -> Verb[list[Row]]:
        return in_batches(ids, self.manifest.page_size, ask)

    def _worklogs(self, ids: list[str]) -> Verb[list[Row]]:
        asked = {"ids": [int(each) for each in ids]}
        answer = yield Request("POST", "worklog/list", query={"expand": "properties"}, json=asked, writes=False)
        return list(answer.body)

    def _pages(self, path: str, asked: Row, under: str) -> Verb[list[Row]]:
        """All rows of what is asked in a body, page by page."""

        def page(token: str) -> Verb[tuple[list[Row], str]]:
            body = asked | ({"nextPageToken": token} if token else {})
            answer = yield Request("POST", path, json=body, writes=False)
            for error in answer.body.get("issueErrors") or ():
                raise Unreachable(f"jira: {path}: {error['errorMessage']}")
            return answer.body[under], answer.body.get("nextPageToken") or ""

        return by_cursor(page)
