"""The two events that tell of billable parts, and how both are read: one change at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.domain.states import PartState

ONE = "billing.part_state_changed"
MANY = "billing.parts_billed"


def changes_of(event_type: str, payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every single change an event tells, as billing.part_state_changed has it; nothing for an event about others."""
    if event_type == ONE:
        yield payload
    if event_type != MANY:
        return
    for part, net, quantity in payload["parts"]:
        before = ""
        for state in payload["way"]:
            on_it = state not in (PartState.READY, PartState.OVER_CAP)
            yield {
                "part": part,
                "from": before,
                "to": state,
                "net": net,
                "quantity": quantity,
                "currency": payload["currency"],
                "cap": payload["cap"],
                "invoice": payload["invoice"] if on_it else "",
                "reason": payload["reason"],
            }
            before = state
