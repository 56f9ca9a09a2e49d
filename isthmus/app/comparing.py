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
from isthmus.reconciliation import Finding
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import Watermark

EVERY = timedelta(hours=4)
UNDATED = datetime(2000, 1, 1, tzinfo=UTC)  # a draft has no day yet; once it has, it is told again
CASES = {"duplicate": DUPLICATE, "unknown": UNKNOWN}
FEED = ("hub", "receivables")  # the watermark that says when they were compared last


def tick(kernel: Kernel) -> int:
    """Compare when it is time; how many cases were opened or closed."""
    now = kernel.clock.now()
    with kernel.store.transaction() as tx:
        tx.lock("compare")
        last = tx.get(Watermark, *FEED)
        if last is not None and last.read_at <= now < last.read_at + EVERY:
            return 0
        tx.put(Watermark(connection=FEED[0], feed=FEED[1], value=now.isoformat(), read_at=now))
    return sum(compare(kernel, entity) for entity in billing_entities(kernel))


def compare(kernel: Kernel, entity: str) -> int:
    """Compare now what is listed of a legal entity; how many cases were opened or closed."""
    findings = listed(kernel, entity)
    under = f"watch/documents/{entity}/"
    with kernel.store.transaction() as tx:
        tx.lock("compare")
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
