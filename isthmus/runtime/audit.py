"""The audit chain. Entries are written with their change; one sealer chains them by hash in the order it sees them.

Sealing apart from writing keeps the chain from being a lock that every transaction waits for. From the seal on, an
entry cannot be changed or removed without the verification naming the place.
"""

from __future__ import annotations

import hashlib

from isthmus.runtime.hashing import canonical_json
from isthmus.store.records import AuditEntry, Counter
from isthmus.store.tx import Store

GENESIS = "0" * 64
CHAIN = "audit-chain"  # the name of the lock, and of the counter that shows when the end of the chain is cut off
_PAGE = 1000


def _hash(entry: AuditEntry) -> str:
    content = entry.model_dump(mode="json", exclude={"hash"})
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def sealed(entry: AuditEntry, chain: int, previous: str) -> AuditEntry:
    """The entry as this number of the chain, after the entry with the hash previous."""
    placed = entry.model_copy(update={"chain": chain, "previous_hash": previous})
    return placed.model_copy(update={"hash": _hash(placed)})


def seal(store: Store, limit: int = 1000) -> int:
    """Chain the entries not sealed yet; the number of them."""
    with store.transaction() as tx:
        tx.lock(CHAIN)
        last = tx.find(AuditEntry, order=("-chain",), limit=1)
        chain, previous = (last[0].chain, last[0].hash or GENESIS) if last else (0, GENESIS)
        waiting = tx.find(AuditEntry, chain=0, order=("at", "audit_id"), limit=limit)
        for entry in waiting:
            chain += 1
            placed = sealed(entry, chain, previous)
            previous = placed.hash
            tx.update(placed)
        if waiting:
            tx.put(Counter(name=CHAIN, value=chain))
    return len(waiting)


def verify(store: Store, last: int | None = None) -> list[str]:
    """What is wrong with the chain; empty when it is whole. last: look at so many entries of its end alone."""
    with store.transaction() as tx:
        tx.lock(CHAIN)
        ends = tx.find(AuditEntry, order=("-chain",), limit=1)
        counted = tx.get(Counter, CHAIN)
        length = max(ends[0].chain if ends else 0, counted.value if counted else 0)
        begins = 1 if last is None else max(1, length + 1 - last)
        wrong, previous = [], GENESIS if begins == 1 else ""
        for start in range(begins, length + 1, _PAGE):
            numbers = range(start, min(start + _PAGE, length + 1))
            entries = tx.find(AuditEntry, chain=tuple(numbers), order=("chain",))
            found, previous = _verify_page(numbers, entries, previous)
            wrong += found
    return wrong


def _verify_page(numbers: range, entries: list[AuditEntry], previous: str) -> tuple[list[str], str]:
    """(what is wrong with these numbers of the chain, the hash the next number must continue)."""
    wrong, by_number = [], {entry.chain: entry for entry in entries}
    if len(by_number) < len(entries):
        wrong.append(f"a number between {numbers[0]} and {numbers[-1]} is there twice")
    for number in numbers:
        entry = by_number.get(number)
        if entry is None:
            wrong.append(f"entry {number} is missing")
            previous = ""
            continue
        if entry.hash != _hash(entry) or previous not in ("", entry.previous_hash):
            wrong.append(f"entry {number} ({entry.action} of {entry.subject}) was changed")
        previous = entry.hash
    return wrong, previous
