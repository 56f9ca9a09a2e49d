"""The audit chain. Entries are written with their change; one sealer chains them by hash in the order it sees them.

Sealing apart from writing keeps the chain from being a lock that every transaction waits for. From the seal on, an
entry cannot be changed or removed without the verification naming the place.
"""

from __future__ import annotations

import hashlib

from isthmus.runtime.hashing import canonical_json
from isthmus.store.records import AuditEntry
from isthmus.store.tx import Store

GENESIS = "0" * 64


def _hash(entry: AuditEntry) -> str:
    content = entry.model_dump(mode="json", exclude={"hash"})
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def seal(store: Store, limit: int = 1000) -> int:
    """Chain the entries not sealed yet; the number of them."""
    with store.transaction() as tx:
        tx.lock("audit-chain")
        last = tx.find(AuditEntry, order=("-chain",), limit=1)
        chain, previous = (last[0].chain, last[0].hash or GENESIS) if last else (0, GENESIS)
        waiting = tx.find(AuditEntry, chain=0, order=("at", "audit_id"), limit=limit)
        for entry in waiting:
            chain += 1
            sealed = entry.model_copy(update={"chain": chain, "previous_hash": previous})
            previous = _hash(sealed)
            tx.update(sealed.model_copy(update={"hash": previous}))
    return len(waiting)


def verify(store: Store) -> list[str]:
    """What is wrong with the chain; empty when it is whole."""
    with store.transaction() as tx:
        entries = [e for e in tx.find(AuditEntry, order=("chain",)) if e.chain > 0]
    wrong, previous = [], GENESIS
    for expected, entry in enumerate(entries, start=1):
        if entry.chain != expected:
            wrong.append(f"entry {expected} is missing (found {entry.chain})")
            return wrong
        if entry.previous_hash != previous or entry.hash != _hash(entry):
            wrong.append(f"entry {entry.chain} ({entry.action} of {entry.subject}) was changed")
        previous = entry.hash
    return wrong
