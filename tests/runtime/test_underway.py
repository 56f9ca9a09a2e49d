"""A write that is taken on and done later: its job is asked until it is done, and nothing is sent twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.conformance.ledger import Writer
from isthmus.domain.errors import NeedsDecision, OutcomeUnknown, RemoteRefusal, Retryable, Underway
from isthmus.domain.objects import ExternalRef
from isthmus.ports import Erp
from isthmus.ports.messages import PostedInvoice, PostInvoice
from isthmus.store.records import Effect, EffectState

INVOICE = PostInvoice(
    number="INV-1",
    client_no="C-1",
    entity="US01",
    project_code="P-1",
    currency="USD",
    issue_date=date(2026, 3, 31),
    due_date=date(2026, 4, 30),
    payment_terms="NET30",
    lines=(),
    net=Decimal("10.00"),
    tax=Decimal("0.00"),
    total=Decimal("10.00"),
)


class Slow:
    """An ERP that takes an invoice on, stages it and posts it in the end, or refuses it then."""

    name = writes_as = "erp"
    settling_time = timedelta(0)

    def __init__(self, polls: int, outcome: Any = None) -> None:
        self.polls, self.outcome = polls, outcome
        self.taken_on: list[str] = []
        self.found = 0

    def strategy(self, verb: str) -> str:
        return "find_then_create"

    def poll(self, verb: str) -> str:
        return "poll_invoice"

    def post_invoice(self, invoice: PostInvoice) -> PostedInvoice:
        self.taken_on.append(invoice.number)
        raise Underway("job 17 is accepted", job="17", state="accepted", after_seconds=5)

    def find_invoice(self, invoice: PostInvoice) -> PostedInvoice | None:
        self.found += 1
        return None  # it does not show before it is posted

    def poll_invoice(self, job: str) -> PostedInvoice:
        assert job == "17"
        self.polls -= 1
        if self.polls > 0:
            raise Underway("job 17 is staged", job="17", state="staged", after_seconds=5)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        ref = ExternalRef(system="erp", object_type="invoice", external_id="99")
        return PostedInvoice(ref=ref, number="INV-1", total=Decimal("10.00"), open=Decimal("10.00"), currency="USD")


def test_the_job_is_asked_until_it_is_done_and_sent_once() -> None:
    erp = Slow(polls=4)
    writer = Writer(erp)  # type: ignore[arg-type]
    posted, effect = writer.write("Erp.post_invoice", (INVOICE,))
    assert posted.ref.external_id == "99" and erp.taken_on == ["INV-1"] and erp.found == 0
    assert (effect.state, effect.sends, effect.lookups) == (EffectState.FOUND, 1, 4)
    assert writer.clock.now() == datetime(2026, 3, 6, 12, 0, 20, tzinfo=UTC), "it waits as long as it is told"


def test_a_crash_between_two_questions_forgets_no_job() -> None:
    erp = Slow(polls=3)
    writer = Writer(erp)  # type: ignore[arg-type]
    with pytest.raises(Retryable, match="job 17 is accepted"):
        writer.kernel.ledger.write(writer._row("a/1"), 1, Erp.post_invoice, [(INVOICE,)])
    after_the_crash = Writer(erp)  # type: ignore[arg-type]
    after_the_crash.kernel.store = writer.store
    after_the_crash.store = writer.store
    after_the_crash.write("Erp.post_invoice", (INVOICE,), run="a/1")
    assert erp.taken_on == ["INV-1"]


def test_a_job_that_fails_is_a_refusal_in_the_words_of_the_port() -> None:
    erp = Slow(polls=2, outcome=RemoteRefusal("period is closed", remote_code="P", system="erp"))
    writer = Writer(erp)  # type: ignore[arg-type]
    with pytest.raises(NeedsDecision, match="period is closed") as told:
        writer.write("Erp.post_invoice", (INVOICE,))
    assert told.value.exception == "EX-POST-REJECT" and told.value.money == (Decimal("10.00"), "USD")
    with writer.store.transaction() as tx:
        (effect,) = tx.find(Effect)
    assert (effect.state, effect.result) == (EffectState.REFUSED, None)


def test_an_answer_of_the_job_that_is_lost_is_asked_for_again() -> None:
    erp = Slow(polls=1)
    good, lost = erp.poll_invoice, [True]

    def poll(job: str) -> PostedInvoice:
        if lost.pop() if lost else False:
            raise OutcomeUnknown("no answer")
        return good(job)

    erp.poll_invoice = poll  # type: ignore[method-assign]
    _, effect = Writer(erp).write("Erp.post_invoice", (INVOICE,))  # type: ignore[arg-type]
    assert effect.state is EffectState.FOUND and erp.taken_on == ["INV-1"]
