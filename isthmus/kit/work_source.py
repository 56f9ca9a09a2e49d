"""Approved time, expenses and milestones from the tool people work in: pages of what changed, and what was billed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from isthmus.domain.objects import MilestoneStatus
from isthmus.domain.work import milestone_of
from isthmus.kit.connector import Connector
from isthmus.kit.keys import source_id, task_key
from isthmus.kit.mapping import readable
from isthmus.kit.wire import Row
from isthmus.ports.messages import ExpensePage, InvoicedTime, MilestonePage, TimePage, Withdrawn

Page = TypeVar("Page", TimePage, ExpensePage, MilestonePage)
_NEVER: Mapping[str, datetime] = {}


class WorkSource(Connector):
    """The setting milestone_states says what their state of a milestone is here."""

    def page_of(
        self,
        of: type[Page],
        rows: Iterable[Row],
        read: Callable[[Row], Any],
        moments: Iterable[datetime],
        watermark: str,
        deleted: Mapping[str, datetime] = _NEVER,
    ) -> Page:
        """A page of what these rows say, up to the last of the moments.

        read: a row as what counts, or as Withdrawn; what it cannot read is told with its reason and hides no other.
        deleted: by id, when it was.
        """
        found, unreadable = readable(rows, read)
        counted, *_ = of.model_fields
        latest = max([watermark, *(at.isoformat() for at in moments)])
        page: Row = {"watermark": latest, "unreadable": unreadable}
        page[counted] = tuple(each for each in found if not isinstance(each, Withdrawn))
        gone = [each for each in found if isinstance(each, Withdrawn)]
        gone += [self.withdrawn(source_id, "deleted", at) for source_id, at in deleted.items()]
        return of(**page, **({"withdrawn": tuple(gone)} if "withdrawn" in of.model_fields else {}))

    def withdrawn(self, source_id: str, why: str, at: datetime) -> Withdrawn:
        """An entry or expense that counts no longer over there."""
        return Withdrawn(source=self.system, source_id=source_id, by=f"{self.system}: {why}", at=at)

    def milestone(self, project_code: str, key: str, state: str, **told: Any) -> MilestoneStatus:
        """How far the milestone is that our key names as a task; a state nobody has mapped is not guessed.

        told: source_id, by whom and at what moment.
        """
        line_uid, number = milestone_of(key.removeprefix(task_key(project_code, "")))
        ours = self.own_state("milestone_states", state)
        where = {"source": self.system, "project_code": project_code, "line_uid": line_uid, "number": number}
        return MilestoneStatus(**where, **told, state=ours)

    def ids_of(self, billed: InvoicedTime) -> set[str]:
        """The ids here of the entries that an invoice has billed. BadInput for an entry of another system."""
        return {source_id(key, self.system) for key in billed.entry_keys}

    def all_there(self, rows: list[Row], ids: Iterable[str], what: str) -> list[Row]:
        """The rows of what is to be marked as invoiced. A refusal names the ids that are not among them."""
        missing = ", ".join(sorted(set(ids) - {str(row["id"]) for row in rows}))
        if missing:
            raise self.refusal(f"{self.system} shows no {what} {missing}", "NOT_THERE", "entry_keys")
        return rows
