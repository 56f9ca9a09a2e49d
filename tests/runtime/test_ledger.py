"""The effect ledger between runs: one key, one content, one writer at a time; and timers that keep their time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from isthmus.domain.errors import Retryable, SameKeyOtherContent, Unreachable
from isthmus.ports import Erp
from isthmus.runtime.effects import TAKE_OVER_AFTER
from isthmus.store.records import Effect, EffectState, RunRow, RunState
from tests.processes.hub import Hub, entry
from tests.runtime.test_underway import INVOICE


def a_run(hub: Hub, name: str) -> RunRow:
    with hub.store.transaction() as tx:
        return hub.kernel.start(tx, "bill_contract", name, {}, entity="US01")


def write(hub: Hub, run: RunRow, invoice: Any = INVOICE) -> Any:
    return hub.kernel.ledger.write(run, 1, Erp.post_invoice, [(invoice,)])


def test_a_number_is_never_posted_with_other_content() -> None:
    hub = Hub()
    first, second = a_run(hub, "one"), a_run(hub, "two")
    results, effects = write(hub, first)
    hub.kernel.ledger.keep(effects)
    assert write(hub, second)[0] == results, "the same again is what is there already"
    with pytest.raises(SameKeyOtherContent, match="written before with other content"):
        write(hub, second, INVOICE.model_copy(update={"memo": "another text"}))
    assert len(hub.systems.erp.things["invoice"]) == 1


def test_what_another_run_is_writing_is_waited_for_and_looked_up_when_that_one_is_gone() -> None:
    hub = Hub()
    gone, waiting = a_run(hub, "one"), a_run(hub, "two")
    post = hub.systems.erp.post_invoice

    def dies(invoice: Any) -> Any:
        post(invoice)
        raise KeyboardInterrupt

    hub.systems.erp.post_invoice = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        write(hub, gone)
    hub.systems.erp.post_invoice = post  # type: ignore[method-assign]
    assert [e.state for e in hub.rows(Effect)] == [EffectState.INTENDED]
    with pytest.raises(Retryable, match="is being written by bill_contract/one"):
        write(hub, waiting)
    hub.clock.move(TAKE_OVER_AFTER)
    _, effects = write(hub, waiting)
    assert [(e.state, e.lookups) for e in effects] == [(EffectState.FOUND, 1)]
    assert len(hub.systems.erp.things["invoice"]) == 1


def test_a_waiting_run_is_woken_when_its_time_has_come_and_not_before() -> None:
    hub = Hub()
    hub.set_up()
    hub.capture(entry(1, "8.0"))
    down = [True]
    calculate = hub.systems.tax.calculate

    def fails(document: Any) -> Any:
        if down[0]:
            raise Unreachable("the tax engine asks for patience", 90)
        return calculate(document)

    hub.systems.tax.calculate = fails  # type: ignore[method-assign]
    run = hub.bill("2026-03")
    assert run.state is RunState.WAITING and run.wake_at == hub.clock.now() + timedelta(seconds=90)
    down[0] = False
    hub.clock.move(timedelta(seconds=89))
    assert hub.kernel.wake_due() == 0 and hub.run(run.run_id).state is RunState.WAITING
    hub.clock.move(timedelta(seconds=1))
    assert hub.kernel.wake_due() == 1
    hub.go()
    assert hub.run(run.run_id).state is RunState.DONE
