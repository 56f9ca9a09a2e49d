"""What the site starts with: people, one project, issue types, a workflow in which every status can be reached.

All synthetic. One person hides her address, one his time zone, as privacy settings of an account allow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HUB, AMARA, BELA, CHIDI, PETRA = (f"5f{number:022x}" for number in (0xA1, 0xB2, 0xC3, 0xD4, 0xE5))


@dataclass(frozen=True)
class Person:
    """An account. email, time_zone: empty where the person hides them; groups: whose work logs it may see."""

    account_id: str
    name: str
    email: str = ""
    time_zone: str = ""
    groups: tuple[str, ...] = ("jira-users",)


@dataclass(frozen=True)
class IssueType:
    """level: 1 an epic, 0 a task, -1 a subtask."""

    id: str
    name: str
    level: int


@dataclass(frozen=True)
class Status:
    """category: new, indeterminate or done, which every status of every site has."""

    id: str
    name: str
    category: str


@dataclass(frozen=True)
class Project:
    """A project."""

    id: str
    key: str
    name: str
    lead: str = field(default=PETRA)


PEOPLE = {
    person.account_id: person
    for person in (
        Person(HUB, "Hub Integration", "hub@consulting.example", "America/Los_Angeles"),
        Person(AMARA, "Amara Osei", "amara.osei@consulting.example", "America/New_York"),
        Person(BELA, "Bela Kovacs", "", "Europe/Berlin"),
        Person(CHIDI, "Chidi Eze", "chidi.eze@consulting.example", ""),
        Person(PETRA, "Petra Lindqvist", "petra.lindqvist@consulting.example", "America/New_York"),
    )
}
TYPES = {
    kind.name: kind
    for kind in (IssueType("10000", "Epic", 1), IssueType("10001", "Task", 0), IssueType("10002", "Sub-task", -1))
}
STATUSES = {
    status.name: status
    for status in (
        Status("10000", "To Do", "new"),
        Status("3", "In Progress", "indeterminate"),
        Status("10002", "Done", "done"),
        Status("10003", "Approved", "done"),
        Status("10004", "Cancelled", "done"),
    )
}
FIRST_STATUS = "To Do"
CATEGORIES = {
    "new": (2, "blue-gray", "To Do"),
    "indeterminate": (4, "yellow", "In Progress"),
    "done": (3, "green", "Done"),
}
PROJECTS = {
    project.key: project for project in (Project("10000", "CONS", "Consulting"), Project("10001", "INT", "Internal"))
}
