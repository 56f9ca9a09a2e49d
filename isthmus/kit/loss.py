"""What a mapping loses: a message sent out and read back, field by field.

A field survives when it reads back as it was; it is *one way* where its table says so (back=None); *changed* where it
reads back as something else, which is a mistake of the table; *not carried* where the table has no row for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from isthmus.domain.errors import BadInput
from isthmus.kit.mapping import Field, Table, set_at
from isthmus.kit.wire import decode, dig, encode

Kind = Literal["one way", "changed", "not carried"]


@dataclass(frozen=True)
class Loss:
    """One field that does not survive. sent and back: its values, where they tell something."""

    field: str
    kind: Kind
    sent: Any = None
    back: Any = None

    def told(self) -> str:
        """In words."""
        return f"{self.field} is sent as {self.sent!r} and reads back as {self.back!r}"


def losses(table: Table, source: BaseModel) -> tuple[Loss, ...]:
    """Every field of a message that does not survive its table. Fields that are empty lose nothing."""
    found = [_loss(field, getattr(source, field.ours, None)) for field in table.fields]
    mapped = {field.ours for field in table.fields}
    empty: tuple[Any, ...] = (None, "", (), {}, [])
    held = {name: getattr(source, name) for name in type(source).model_fields if name not in mapped}
    left_out = [Loss(name, "not carried", sent=value) for name, value in held.items() if value not in empty]
    return (*(loss for loss in found if loss is not None), *left_out)


def _loss(field: Field, value: Any) -> Loss | None:
    if value in (None, ""):
        return None
    if field.back is None:
        return Loss(field.ours, "one way", sent=value)
    sent = field.out(value)
    body: dict[str, Any] = {}
    set_at(body, field.theirs, sent)
    try:
        # Through JSON, as it goes over the wire: what is a date here is a text there.
        back = field.back(dig(decode(encode(body).decode()), field.theirs))
    except (BadInput, LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as wrong:
        back = wrong
    return None if back == value else Loss(field.ours, "changed", sent=sent, back=back)
