"""What the desk does by itself: bulk fixes step by step, rules, cases that close themselves, the clock.

Here and not in the desk, because an item that cannot be decided is told so, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable

from isthmus.desk import bulk, clock, closing, rules
from isthmus.desk.config import DeskConfig
from isthmus.desk.notes import note
from isthmus.desk.proposals import Choice, decide, preview
from isthmus.domain.errors import IsthmusError
from isthmus.domain.states import CaseState
from isthmus.processes.work.standing import PROCESS, stands_in_the_way
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel, Subscriber
from isthmus.store.desk_records import BulkFix, BulkItem, BulkState
from isthmus.store.records import Case, OutboxEvent
from isthmus.store.tx import Tx

ITEMS_AT_ONCE = 25


def desk_subscribers(config: DeskConfig) -> dict[str, Subscriber]:
    """The desk's own subscribers: independent of all others, and told again when they fail."""
    told: dict[str, Subscriber] = {"standing": Subscriber(frozenset({"case.opened", "case.resolved"}), tell_the_source)}
    return {
        "closing": Subscriber(frozenset(closing.SUCCESSES), closing.close_older, closing.with_open_cases),
        "rules": Subscriber(frozenset({"case.opened"}), _applying(config)),
        **(told if config.write_back.cases else {}),
    }


def tell_the_source(books: Books, event: OutboxEvent) -> None:
    """The CRM shows that a contract waits for a person, or no longer does."""
    case = books.tx.get(Case, event.payload["case"])
    if case is None or not stands_in_the_way(case) or not books.kernel.systems.fills("Crm", case.entity):
        return
    key, args = f"{case.contract_no}:{event.event_id}", {"contract_no": case.contract_no}
    books.start(PROCESS, key, args, entity=case.entity, correlation_id=f"contract:{case.contract_no}")


def _applying(config: DeskConfig) -> Callable[[Books, OutboxEvent], None]:
    def apply_rule(books: Books, event: OutboxEvent) -> None:
        """Decide a new case by an active rule that fits; one that does not get through leaves a note."""
        case = books.tx.get(Case, event.payload["case"])
        if case is None or case.state is not CaseState.OPEN or case.pending:
            return
        rule = rules.rule_for(books.tx, case)
        if rule is None:
            return
        who, choice = rules.as_actor(rule, case), Choice(rule.action, f"{rule.rule_no}: {rule.text}", rule.values)
        own = books.kernel.books(books.tx, key=f"rule/{rule.rule_no}", actor=who.name)
        try:
            evidence = preview(books.kernel, who, case.case_no, choice, reads=False)
            with books.tx.savepoint():
                decide(own, who, case.case_no, choice, evidence=evidence, config=config, rule_no=rule.rule_no)
        except IsthmusError as error:
            note(own, case.case_no, "rule", f"{rule.rule_no} does not fit: {error.message}")

    return apply_rule


def tick(kernel: Kernel, config: DeskConfig) -> int:
    """One turn of everything that is due; how much there was to do."""
    return clock.tick(kernel, config) + work_bulk(kernel, config)


def work_bulk(kernel: Kernel, config: DeskConfig) -> int:
    """A few items of each bulk fix under way; the number of them."""
    with kernel.store.transaction() as tx:
        under_way = tx.find(BulkFix, state=(BulkState.PREVIEWING, BulkState.RUNNING), order=("bulk_no",))
    return sum(_work_one(kernel, fix, config) for fix in under_way)


def _work_one(kernel: Kernel, fix: BulkFix, config: DeskConfig) -> int:
    previewing = fix.state is BulkState.PREVIEWING
    with kernel.store.transaction() as tx:
        items = bulk.items_of(tx, fix.bulk_no, bulk.ASKED if previewing else bulk.READY, ITEMS_AT_ONCE)
    for item in items:
        if previewing:
            _preview_item(kernel, fix, item)
        else:
            _carry_out_item(kernel, fix, item, config)
    with kernel.store.transaction() as tx:
        tx.lock(f"bulk:{fix.bulk_no}")
        current = bulk.bulk_of(tx, fix.bulk_no)
        if current.state is fix.state:
            bulk.move_on(kernel.books(tx, key=f"bulk/{fix.bulk_no}", actor="hub"), current)
    return len(items)


def _preview_item(kernel: Kernel, fix: BulkFix, item: BulkItem) -> None:
    try:
        seen = bulk.preview_item(kernel, fix, item)
    except IsthmusError as error:
        seen = bulk.failed(item, error.message, before=True)
    with kernel.store.transaction() as tx:
        if _still(tx, fix, item, bulk.ASKED):
            tx.update(seen)


def _carry_out_item(kernel: Kernel, fix: BulkFix, item: BulkItem, config: DeskConfig) -> None:
    try:
        with kernel.store.transaction() as tx:
            if _still(tx, fix, item, bulk.READY):
                books = kernel.books(tx, key=f"bulk/{fix.bulk_no}", actor=fix.asked_by)
                bulk.carry_out_item(books, fix, item, config)
    except IsthmusError as error:
        with kernel.store.transaction() as tx:
            if _still(tx, fix, item, bulk.READY):
                tx.update(bulk.failed(item, error.message, before=False))


def _still(tx: Tx, fix: BulkFix, item: BulkItem, state: str) -> bool:
    """The item is this transaction's, no other worker has been at it, and nobody has stopped the bulk."""
    tx.lock(f"bulk-item:{item.bulk_no}:{item.case_no}")
    current = tx.get(BulkItem, item.bulk_no, item.case_no)
    stopped = bulk.bulk_of(tx, item.bulk_no).state is not fix.state
    return current is not None and current.state == state and not stopped
