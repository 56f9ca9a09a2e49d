"""What the ERPs claim of the hub's clients against what the hub has issued: a case for each break, with its owner.

Listed a few times a day by one of the workers. A case closes itself once the document is gone over there; whoever has
answered one is not asked about the same document again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

from isthmus.app.controls import billing_entities, listed
from isthmus.desk import watching
from isthmus.desk.alarms import DUPLICATE, UNKNOWN, Alarm
from isthmus.domain.errors import IsthmusError
from isthmus.reconciliation import Finding
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import Watermark

EVERY = timedelta(hours=4)
UNDATED = datetime(2000, 1, 1, tzinfo=UTC)  # a draft has no day yet; once it has, it is told again
CASES = {"duplicate": DUPLICATE, "unknown": UNKNOWN}


def tick(kernel: Kernel) -> int:
    """Compare each legal entity whose time has come; how many cases were opened or closed.

    One whose ERP cannot be asked holds up no other; its error is raised at the end, and it is tried at the next tick.
    """
    changed, failed = 0, None
    for entity in billing_entities(kernel):
        try:
            changed += compare(kernel, entity) if _is_due(kernel, entity) else 0
        except IsthmusError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return changed


def _is_due(kernel: Kernel, entity: str) -> bool:
    now = kernel.clock.now()
    with kernel.store.transaction() as tx:
        last = tx.get(Watermark, *_compared(entity))
    return last is None or not last.read_at <= now < last.read_at + EVERY


def _compared(entity: str) -> tuple[str, str]:
    """The watermark that says when the receivables of a legal entity were compared last."""
    return "hub", f"receivables {entity}"


def compare(kernel: Kernel, entity: str) -> int:
    """Compare now what is listed of a legal entity; how many cases were opened or closed."""
    findings, now = listed(kernel, entity), kernel.clock.now()
    under, (connection, feed) = f"watch/documents/{entity}/", _compared(entity)
    with kernel.store.transaction() as tx:
        tx.lock("compare")
        tx.put(Watermark(connection=connection, feed=feed, value=now.isoformat(), read_at=now))
        return watching.settle(kernel, tx, _alarms(findings, under), tuple(CASES.values()), under)


def _alarms(findings: list[Finding], under: str) -> Iterator[Alarm]:
    for each in findings:
        day = datetime.combine(each.since, time(), UTC) if each.since else UNDATED
        about = {"document": each.key, "client": each.client_no}
        run_id, money = f"{under}{each.key}", (each.amount, each.currency)
        tried = "Compare what the ERP claims with what was issued"
        yield Alarm(
            CASES[each.kind], run_id, each.key, day, each.problem, each.owner, tried, money, each.entity, context=about
        )
