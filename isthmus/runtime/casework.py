"""Cases as the runtime knows them: opened once for a run, step and type, decided once, and then their run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isthmus.domain.errors import BadInput, IllegalTransition, NeedsDecision, NotFound, NotPermitted
from isthmus.domain.names import same_person
from isthmus.domain.states import CaseState, move
from isthmus.runtime.books import Books
from isthmus.store.records import (
    Case,
    ConnectionState,
    Decision,
    DeliveryState,
    EventDelivery,
    RunRow,
    RunState,
)
from isthmus.store.tx import Tx

if TYPE_CHECKING:
    from isthmus.runtime.kernel import Kernel

# Cases that belong to no run: a loop of the worker, a control, something watched, a full cap. Deciding one moves
# nothing by itself; what it hands in is the desk's (EFFECTS).
WITHOUT_A_RUN = ("loop/", "quarantine/", "watch/", "cap/")
FINAL_BY_ACTION = {
    "cancel": CaseState.CANCELLED,
    "skip": CaseState.WAIVED,
    "override": CaseState.WAIVED,
    "waive": CaseState.WAIVED,
}


class Casework:
    """Opens, decides and closes cases; everything in the caller's transaction."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def open(self, tx: Tx, row: RunRow, seq: int, phrase: str, error: NeedsDecision) -> Case:
        """The open case of this run, step and type; a new one when there is none."""
        same = tx.find(Case, run_id=row.run_id, seq=seq, exception=error.exception, state=CaseState.OPEN)
        if same:
            return same[0]
        amount, currency = error.money or (None, "")
        actions = [action for action in error.actions if not (row.committed and action == "cancel")]
        case = Case(
            case_no=f"CASE-{tx.next('case'):05d}",
            run_id=row.run_id,
            seq=seq,
            exception=error.exception,
            cause=error.message,
            queue=error.queue,
            amount=amount,
            currency=currency,
            entity=row.entity,
            subject=row.key,
            context=error.context,
            actions=actions,
            tried=phrase,
            opened_at=self._kernel.clock.now(),
            correlation_id=row.correlation_id,
        )
        case = self._kernel.filed(tx, case)
        tx.insert(case)
        books = Books(self._kernel, tx, run_id=row.run_id, correlation_id=row.correlation_id)
        payload = {"case": case.case_no, "exception": case.exception, "cause": case.cause, "queue": case.queue}
        books.emit("case.opened", f"case:{case.case_no}", payload, entity=row.entity)
        return case

    def resolve(self, tx: Tx, case_no: str, *, action: str, actor: str, reason: str, values: dict[str, Any]) -> Case:
        """Carry out a person's decision on an open case; its run goes on at the same step."""
        tx.lock(f"case:{case_no}")
        case = tx.get(Case, case_no)
        if case is None:
            raise NotFound(f"no case {case_no}")
        if case.state is not CaseState.OPEN:
            raise IllegalTransition(f"case {case_no} is {case.state} already (by {case.resolved_by})")
        if action == "approve" and same_person(actor, str(case.context.get("prepared_by", ""))):
            raise NotPermitted(f"case {case_no}: {actor} prepared it; another person must approve")
        if action not in case.actions:
            raise BadInput(f"case {case_no} offers {', '.join(case.actions) or 'no action'}; not {action!r}")
        resolution = {**values, "action": action, "reason": reason}
        case = self.close(tx, case, actor, resolution, FINAL_BY_ACTION.get(action, CaseState.RESOLVED))
        self._go_on(tx, case, action, actor, values)
        return case

    def close_by_itself(self, tx: Tx, case: Case, why: str) -> Case:
        """Close a case that nobody need decide any more, with the reason as its resolution."""
        return self.close(tx, case, "hub", {"action": "closed_by_itself", "reason": why}, CaseState.RESOLVED)

    def close(self, tx: Tx, case: Case, actor: str, resolution: dict[str, Any], final: CaseState) -> Case:
        """The case in a final state, with audit and event; no run is moved."""
        closed = move(case, "state", final).model_copy(
            update={"resolved_at": self._kernel.clock.now(), "resolved_by": actor, "resolution": resolution}
        )
        tx.update(closed)
        books = Books(self._kernel, tx, run_id=case.run_id, correlation_id=case.correlation_id, actor=actor)
        before, after = {"state": str(case.state)}, {"state": str(final), **resolution}
        books.audit("case.resolve", case.case_no, reason=str(resolution.get("reason", "")), before=before, after=after)
        books.emit("case.resolved", f"case:{case.case_no}", {"case": case.case_no, **resolution}, entity=case.entity)
        return closed

    def _go_on(self, tx: Tx, case: Case, action: str, actor: str, values: dict[str, Any]) -> None:
        if case.run_id.startswith("connection/"):
            self._resume_connection(tx, case.run_id.removeprefix("connection/"))
            return
        if case.run_id.startswith(WITHOUT_A_RUN):
            return
        if case.run_id.startswith("delivery/"):
            self._deliver_again(tx, case.context["event"], case.context["subscriber"])
            return
        if action not in ("retry", "cancel"):
            decision = Decision(
                run_id=case.run_id,
                exception=case.exception,
                values={**values, "action": action, "by": actor, "seq": case.seq},
                case_no=case.case_no,
                decided_by=actor,
                decided_at=self._kernel.clock.now(),
            )
            tx.put(decision)
        row = self._kernel.locked(tx, case.run_id)
        if row.state in (RunState.PARKED, RunState.FAILED):
            self._kernel.requeue(tx, row, cancelling=row.cancelling or action == "cancel", reason="")

    def _resume_connection(self, tx: Tx, connection: str) -> None:
        # A run that is just going to sleep on the pause is waited for: nobody else would wake it.
        tx.lock(f"connection:{connection}")
        now = self._kernel.clock.now()
        tx.put(ConnectionState(connection=connection, paused=False, reason="", changed_at=now))
        for row in tx.find(RunRow, state=RunState.WAITING, reason=f"connection:{connection}"):
            self._kernel.requeue(tx, row, reason="")

    def _deliver_again(self, tx: Tx, event_id: str, subscriber: str) -> None:
        known = tx.get(EventDelivery, event_id, subscriber)
        if known is not None:
            due = {"state": DeliveryState.PENDING, "attempts": 0, "next_at": self._kernel.clock.now()}
            tx.put(known.model_copy(update=due))
