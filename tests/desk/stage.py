"""A hub in memory with the desk's hook, and people with roles: what the tests of the desk stand on."""

from __future__ import annotations

from typing import Any

from isthmus.app import desk_tasks
from isthmus.app.desk_tasks import desk_subscribers
from isthmus.desk import proposals
from isthmus.desk.config import DeskConfig, desk_config
from isthmus.desk.filing import filer
from isthmus.desk.proposals import Choice
from isthmus.policies.authority import Actor
from isthmus.runtime import outbox
from isthmus.store.desk_records import CaseNote, Proposal
from isthmus.store.records import AuditEntry, Case
from tests.processes.hub import Hub


def person(name: str, *roles: str, entities: frozenset[str] | None = None) -> Actor:
    return Actor(name, frozenset(roles), entities)


FINN, FAY = person("finn", "finance"), person("fay", "finance")
CORA, STELLA, TARA = person("cora", "controller"), person("stella", "steward"), person("tara", "tax")
BERT, PIA, INES, RITA = (
    person("bert", "billing"),
    person("pia", "project_manager"),
    person("ines", "integration"),
    person("rita", "reader"),
)


class Desk(Hub):
    """A hub whose cases are filed, decided through the one door for people."""

    def __init__(self, own: dict[str, Any] | None = None, **more: Any) -> None:
        self.config: DeskConfig = desk_config(own)
        super().__init__(**more)
        self.kernel.filed = filer(self.config)
        self.kernel.subscribers = desk_subscribers(self.config)

    def hand_on(self) -> None:
        """Events to the desk's subscribers, and what follows from them."""
        for name in self.kernel.subscribers:
            while outbox.dispatch(self.kernel, name):
                pass
        self.go()

    def tick(self, times: int = 1) -> None:
        """Turns of the desk's own work."""
        for _ in range(times):
            desk_tasks.tick(self.kernel, self.config)
        self.go()

    def books(self, who: Actor) -> Any:
        """Books in a transaction, as a context manager."""
        return _Books(self, who)

    def decide(self, who: Actor, action: str, case_no: str = "", **values: Any) -> tuple[Case, Proposal]:
        """Preview, decide, and let the runs go on."""
        number, choice = case_no or self.case().case_no, Choice(action, "looked into it", values)
        evidence = proposals.preview(self.kernel, who, number, choice)
        with self.books(who) as books:
            decided = proposals.decide(books, who, number, choice, evidence=evidence, config=self.config)
        self.go()
        return decided

    def agree(self, who: Actor, proposal: Proposal) -> tuple[Case, Proposal]:
        """A second person agrees."""
        with self.books(who) as books:
            decided = proposals.approve(books, who, proposal.proposal_no, "agreed", self.config)
        self.go()
        return decided

    def notes(self, case_no: str) -> list[CaseNote]:
        return self.rows(CaseNote, case_no=case_no, order=("number",))

    def rows_of_rule(self, rule_no: str) -> list[AuditEntry]:
        return [entry for entry in self.rows(AuditEntry) if entry.subject == f"rule:{rule_no}"]

    def audited(self, action: str) -> list[AuditEntry]:
        return [entry for entry in self.rows(AuditEntry) if entry.action == action]


class _Books:
    def __init__(self, desk: Desk, who: Actor) -> None:
        self.desk, self.who = desk, who

    def __enter__(self) -> Any:
        self._transaction = self.desk.store.transaction()
        tx = self._transaction.__enter__()
        return self.desk.kernel.books(tx, key="desk", actor=self.who.name)

    def __exit__(self, *error: Any) -> Any:
        return self._transaction.__exit__(*error)
