"""The people of a simulated firm: what they do with an open case, and what the project manager corrects in the PSA."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import IllegalTransition, NotPermitted
from isthmus.domain.objects import ContractVersion, Engagement, Invoice, TimeEntry
from isthmus.domain.states import CaseState, EngagementState, InvoiceLife
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import Case, RunRow
from isthmus.store.tx import Tx
from tests.simulation.world import GHOST

Decided = tuple[str, dict[str, Any]]
CALL_OFF = ("EX-DIM", "EX-TERMS", "EX-CLIENT-DUP", "EX-REVIEW", "EX-WRITE-OFF", "EX-PSA-REJECT", "EX-ERP-REJECT")
NOT_SET_UP = ("EX-NOT-READY", "EX-UNKNOWN-PROJECT")
WRONG_LINE = ("EX-LINE-AMBIGUOUS", "EX-NO-CONTRACT-LINE")


@dataclass
class People:
    """Resolves cases. correct brings a corrected or new entry into the PSA; latest tells an entry's newest content.

    call_off_chance: how often a case is answered by calling off; 0 means that nobody calls off or corrects anything.
    """

    rng: random.Random
    correct: Callable[[TimeEntry], None]
    latest: Callable[[str], TimeEntry]
    contracts: dict[str, ContractVersion]
    calm: bool = False
    call_off_chance: float = 0.15
    corrected: set[str] = field(default_factory=set)
    tries: dict[tuple[str, str], int] = field(default_factory=dict)

    def work_on(self, kernel: Kernel, case: Case) -> bool:
        """Resolve the case; False when it has to stay open for now."""
        with kernel.store.transaction() as tx:
            decided = self._decide(tx, case)
        if decided is None:
            return False
        action, values = decided
        if action == "approve" and not self.calm and self.rng.random() < 0.2:
            self._preparer_tries(kernel, case)
        with kernel.store.transaction() as tx:
            kernel.resolve(tx, case.case_no, action=action, actor="fin", reason="simulated", values=values)
        return True

    def _preparer_tries(self, kernel: Kernel, case: Case) -> None:
        """Who prepared it wants to approve it: must be refused."""
        preparer = case.context["prepared_by"]
        try:
            with kernel.store.transaction() as tx:
                kernel.resolve(tx, case.case_no, action="approve", actor=preparer, reason="mine", values={})
        except NotPermitted:
            return
        raise AssertionError(f"{preparer} approved what {preparer} prepared: {case.case_no}")

    def _decide(self, tx: Tx, case: Case) -> Decided | None:
        if not case.actions:
            return None
        may_call_off = "cancel" in case.actions and case.exception in CALL_OFF and not self.calm
        chance = self.call_off_chance * (3 if case.exception == "EX-REVIEW" else 1)
        if may_call_off and self.rng.random() < chance:
            return "cancel", {}
        if case.exception == "EX-CAP-REACHED":
            return None  # the world's change orders and write-offs end it
        if case.exception in NOT_SET_UP:
            return self._not_set_up(tx, case)
        if case.exception in WRONG_LINE:
            return self._wrong_line(tx, case)
        if case.exception == "EX-CASH-UNMATCHED":
            return self._unmatched(tx, case)
        return self._usual(case)

    def _usual(self, case: Case) -> Decided:
        fixed: dict[str, Decided] = {
            "EX-DIM": ("fill", {"cost_center": "9"}),
            "EX-TERMS": ("map", {"payment_terms": "NET30"}),
            "EX-DUP-SUSPECT": ("accept", {}),
            "EX-LONG-DAY": ("accept", {}),
            "EX-AHEAD": ("accept", {}),
            "EX-SETUP": ("resume", {}),
            "EX-REVIEW": ("approve", {}),
            "EX-WRITE-OFF": ("approve", {}),
            "EX-SHORT-PAY": (self.rng.choice(("chase", "accept_partial")), {}),
        }
        if case.exception == "EX-CLIENT-DUP":
            candidate = case.context["candidates"][0]["client_no"]
            return self.rng.choice((("link", {"client_no": candidate}), ("create", {})))
        if case.exception in fixed:
            return fixed[case.exception]
        return self._try_again(case)

    def _try_again(self, case: Case) -> Decided:
        """Retry; call off what keeps failing, where that is still possible."""
        key = (case.run_id, case.exception)
        self.tries[key] = self.tries.get(key, 0) + 1
        tired = self.tries[key] > 5 and "cancel" in case.actions and self.call_off_chance > 0
        return ("cancel" if tired or "retry" not in case.actions else "retry"), {}

    def _not_set_up(self, tx: Tx, case: Case) -> Decided | None:
        """Time before its project: again once the engagement is active; dismissed when it was called off."""
        entry = _entry_of(tx, case)
        found = tx.find(Engagement, engagement_no=entry.project_code.removeprefix("P-"))
        state = found[0].state if found else EngagementState.REQUESTED
        if state is EngagementState.CANCELLED:
            return "cancel", {}
        ready = state is EngagementState.ACTIVE
        return ("retry", {}) if ready or (not self.calm and self.rng.random() < 0.2) else None

    def _wrong_line(self, tx: Tx, case: Case) -> Decided | None:
        """The project manager corrects the entry in the PSA, or leaves the case open."""
        if not self.call_off_chance:
            return None
        entry = _entry_of(tx, case)
        newest = self.latest(entry.key)
        if newest.approved_at > entry.approved_at:
            if self.tries.get((case.run_id, case.exception), 0) < 5:
                return self._try_again(case)
            newest = entry  # what came later is on a project that was called off: this is the last word
        if newest.task_code == GHOST:
            return self._name_the_task(newest)
        self._report_anew(tx, newest)
        return "cancel", {}

    def _name_the_task(self, entry: TimeEntry) -> Decided | None:
        """Half of the wrong tasks are corrected; the others stay an open case."""
        if int(entry.source_id[-1]) % 2:
            return None
        line = self.contracts[entry.project_code.removeprefix("P-")].line("L1")
        self.correct(entry.model_copy(update={"task_code": "L1", "role": line.rates[0].role}))
        return "cancel", {}

    def _report_anew(self, tx: Tx, newest: TimeEntry) -> None:
        """Billed hours cannot be moved: the old entry goes to zero where it was billed, a new one says the rest."""
        known = tx.find(TimeEntry, source=newest.source, source_id=newest.source_id, order=("-revision",), limit=1)[0]
        self.correct(known.model_copy(update={"hours": Decimal(0), "revision": 1}))
        again = f"{newest.source_id}-{len(self.corrected)}N"
        self.corrected.add(again)
        self.correct(newest.model_copy(update={"source_id": again, "note": "reported anew"}))

    def _unmatched(self, tx: Tx, case: Case) -> Decided | None:
        """Allocate to an open invoice if there is one; else the money stays on account."""
        amount = case.amount or Decimal(0)
        row = tx.get(RunRow, case.run_id)
        assert row is not None
        client = row.args["payment"]["client_no"]
        issued = tx.find(Invoice, client_no=client, life=InvoiceLife.ISSUED, currency=case.currency)
        still_open = sorted((i for i in issued if i.open > 0), key=lambda i: i.number)
        if still_open:
            number = still_open[0].number
            return "allocate", {"allocate": {number: str(min(amount, still_open[0].open))}}
        return self._try_again(case)


def _entry_of(tx: Tx, case: Case) -> TimeEntry:
    """The entry a capture run is about, as the message of the run has it."""
    from isthmus.processes.work.intake import entries_of
    from isthmus.store.records import InboxMessage

    row = tx.get(RunRow, case.run_id)
    assert row is not None
    source, message_id = row.args["messages"][0]
    message = tx.get(InboxMessage, source, message_id)
    assert message is not None
    return next(entry for entry in entries_of(message) if entry.key == row.args["alone"])


def open_cases(tx: Tx) -> list[Case]:
    """Open cases, oldest first."""
    return tx.find(Case, state=CaseState.OPEN, order=("case_no",))


def call_off(kernel: Kernel, row: RunRow) -> bool:
    """Cancel a waiting run that has not passed the point of no return."""
    try:
        with kernel.store.transaction() as tx:
            kernel.cancel(tx, row.run_id, actor="fin", reason="simulated")
    except IllegalTransition:
        return False
    return True


def is_called_off(tx: Tx, contract: ContractVersion) -> bool:
    """True when the contract's engagement was cancelled."""
    found = tx.get(Engagement, contract.contract_no)
    return found is not None and found.state is EngagementState.CANCELLED
