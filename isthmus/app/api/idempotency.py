"""The same key gets the same answer: kept in the transaction of what it answers, so neither is there without the other.

A refusal is not kept: nothing was done, and the same request may succeed once its cause is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic_core import to_jsonable_python
from starlette.responses import Response

from isthmus.app.api.admission import Visit
from isthmus.domain.errors import LostRace, SameKeyOtherContent
from isthmus.runtime.books import Books
from isthmus.runtime.hashing import canonical_json, content_hash
from isthmus.store.records import IdempotentReply
from isthmus.store.tx import Tx

KEPT = timedelta(hours=24)
RACES_MAX = 5


@dataclass(frozen=True)
class Reply:
    """What to answer."""

    status: int
    body: Any


def once(visit: Visit, body: Any, act: Callable[[Books], Reply], *, correlation_id: str = "") -> Response:
    """Act once for this caller, route and key; whoever asks meanwhile waits for the answer and gets the same one."""
    key, hashed = visit.key or f"content:{content_hash(body)}", content_hash([visit.route, body])

    def attempt(tx: Tx) -> Response:
        tx.lock(f"idempotency:{visit.caller.name}:{visit.route}:{key}")
        known = tx.get(IdempotentReply, visit.caller.name, visit.route, key)
        now = visit.hub.kernel.clock.now()
        if known is not None and now - known.created_at < KEPT:
            return _again(known, hashed)
        correlation = correlation_id or f"request:{key}"
        books = visit.hub.kernel.books(tx, key=f"request/{key}", actor=visit.caller.name, correlation_id=correlation)
        reply = act(books)
        kept = IdempotentReply(
            caller=visit.caller.name,
            idempotency_key=key,
            route=visit.route,
            body_hash=hashed,
            status=reply.status,
            reply=to_jsonable_python(reply.body),
            created_at=now,
        )
        tx.put(kept)
        return answer_of(kept.reply, kept.status)

    answer: Response = in_transaction(visit.hub.store.transaction, attempt)
    return answer


def in_transaction(begin: Callable[[], Any], act: Callable[[Tx], Any]) -> Any:
    """Carry out in one transaction; again from the start when another worker was first."""
    for race in range(1, RACES_MAX + 1):
        try:
            with begin() as tx:
                return act(tx)
        except LostRace:
            if race == RACES_MAX:
                raise
    raise AssertionError("unreachable")


def _again(known: IdempotentReply, hashed: str) -> Response:
    if known.body_hash != hashed:
        raise SameKeyOtherContent(f"the key {known.idempotency_key!r} was used before with another body")
    return answer_of(known.reply, known.status, {"Idempotent-Replayed": "true"})


def answer_of(body: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    """The answer with its keys sorted: the database keeps no order, and the same answer is the same to the byte."""
    return Response(canonical_json(body), status, headers, media_type="application/json")
