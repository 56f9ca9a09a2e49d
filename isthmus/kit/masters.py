"""Clients, projects and tasks as records of a system: what is asked of every PSA and ERP follows from few answers.

A connector says how a record is found by our key (``held``) and when it is in use. Whether one is there, open or closed
is then the same for all of them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from isthmus.domain.objects import Client, ExternalRef, Project
from isthmus.kit.connector import Connector
from isthmus.kit.keys import task_key
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import ContestedLines, ProjectFacts, TaskIn


class Masters(Connector):
    """Subclasses name their kinds of records."""

    def held(self, kind: str, key: str) -> Verb[Row | None]:
        """The record of this kind under our key; None when there is none."""
        raise NotImplementedError

    def in_use(self, kind: str, record: Row) -> bool:
        """True for an active client and for a project that is open."""
        raise NotImplementedError

    def retire(self, kind: str, key: str, record: Row) -> Verb[Any]:
        """Take one that is in use out of use; it is never deleted."""
        raise NotImplementedError

    def the(self, kind: str, key: str) -> Verb[Row]:
        """The record of this kind under our key. NotFound when there is none."""
        return self.there((yield from self.held(kind, key)), f"{kind} {key}")

    def ref_to(self, kind: str, record: Row | None) -> ExternalRef | None:
        """A reference to a record that was found."""
        return self.ref(kind, record["id"]) if record else None

    def _retired(self, kind: str, key: str) -> Verb[ExternalRef]:
        record = yield from self.the(kind, key)
        if self.in_use(kind, record):
            yield from self.retire(kind, key, record)
        return self.ref(kind, record["id"])

    def _if_it_is(self, kind: str, key: str, *, used: bool) -> Verb[ExternalRef | None]:
        record = yield from self.held(kind, key)
        return self.ref_to(kind, record) if record and self.in_use(kind, record) is used else None


class Clients(Masters):
    """What an ERP is asked about a client. client_kind: what it is there."""

    client_kind: ClassVar[str]

    def find_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The client, if it is there and active."""
        return self._if_it_is(self.client_kind, client.client_no, used=True)

    def find_inactive_client(self, client: Client) -> Verb[ExternalRef | None]:
        """The client, if it is there and inactive."""
        return self._if_it_is(self.client_kind, client.client_no, used=False)

    def deactivate_client(self, client: Client) -> Verb[ExternalRef]:
        """Take the client out of use; nothing else of it is touched."""
        return self._retired(self.client_kind, client.client_no)


class Projects(Masters):
    """What a PSA or an ERP is asked about a project and its tasks. project_kind, task_kind: what they are there."""

    project_kind: ClassVar[str]
    task_kind: ClassVar[str]

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        """Name, currency, client and tasks of a project, as ProjectFacts has them."""
        raise NotImplementedError

    def place_of(self, item: TaskIn) -> tuple[str, str]:
        """Kind and key of a task."""
        return self.task_kind, task_key(item.project_code, item.task.code)

    def the_project(self, project_code: str) -> Verb[Row]:
        """The project. NotFound when there is none."""
        return self.the(self.project_kind, project_code)

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The project, if it is there and open. One that only has the same name proves nothing."""
        return self._if_it_is(self.project_kind, project.project_code, used=True)

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """The project, if it is there and closed."""
        return self._if_it_is(self.project_kind, project.project_code, used=False)

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Close the project; it keeps its history."""
        return self._retired(self.project_kind, project.project_code)

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The task, if it is there."""
        kind, key = self.place_of(item)
        return self.ref_to(kind, (yield from self.held(kind, key)))

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The project as it is there, with the tasks that are ours."""
        project = yield from self.the_project(project_code)
        facts = yield from self.facts_of(project_code, project)
        ref, active = self.ref(self.project_kind, project["id"]), self.in_use(self.project_kind, project)
        return ProjectFacts(ref=ref, project_code=project_code, active=active, **facts)


class DisputeBoards(Projects):
    """Fills DisputeBoard where a firm has a field for text on projects, which the setting dispute_field names."""

    def note_on(self, project: Row, field: str) -> Verb[str]:
        """What the field of a project says."""
        raise NotImplementedError

    def put_note(self, project: Row, field: str, text: str) -> Verb[Any]:
        """Let the field of a project say this."""
        raise NotImplementedError

    def show_contested(self, contested: ContestedLines) -> Verb[ExternalRef]:
        """Show on the project what is contested now."""
        project = yield from self.the_project(contested.project_code)
        yield from self.put_note(project, self.needed("dispute_field"), contested.text)
        return self.ref(self.project_kind, project["id"])

    def find_contested(self, contested: ContestedLines) -> Verb[ExternalRef | None]:
        """The project, if it shows exactly this."""
        project = yield from self.held(self.project_kind, contested.project_code)
        shown = (yield from self.note_on(project, self.needed("dispute_field"))) if project else ""
        return self.ref_to(self.project_kind, project) if shown == contested.text else None
