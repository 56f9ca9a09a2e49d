"""Mapping tables: canonical field to remote field, both ways from one declaration where a field is invertible.

    CLIENT = Table(client_no="externalId", legal_name="companyName", currency=("currency", ref_name, name_of_ref))
    CLIENT.out(client)  -> {"externalId": ..., "companyName": ..., "currency": {"refName": ...}}
    CLIENT.back(record) -> {"client_no": ..., "legal_name": ..., "currency": ...}

A firm's own fields are configuration: ``CLIENT.extended({"industry": "custentity_industry"})``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.domain.money import minor_units
from isthmus.kit.wire import Row, dig

Converter = Callable[[Any], Any]
T = TypeVar("T")


def same(value: Any) -> Any:
    """No conversion."""
    return value


def to_iso_date(value: Any) -> Any:
    """A date as ISO 8601 text; empty stays out."""
    return value.isoformat() if value is not None else None


def to_last_day(end: Any) -> Any:
    """An exclusive end as the last day that counts, as ISO 8601 text; empty stays out."""
    return (end - timedelta(days=1)).isoformat() if end is not None else None


def from_iso_date(text: str) -> date:
    """The day of ISO 8601 text, of a moment too."""
    return date.fromisoformat(str(text)[:10])


def from_last_day(text: str) -> date:
    """An exclusive end from the last day that counts, undoing to_last_day."""
    return from_iso_date(text) + timedelta(days=1)


def negated(value: bool) -> bool:
    """Yes for no: some vendors ask the question the other way round."""
    return not value


def to_utc(stamp: str | int) -> datetime:
    """A moment of ISO 8601 text, without a zone in UTC, of a bare date its midnight; or of milliseconds since 1970."""
    if isinstance(stamp, int):
        return datetime.fromtimestamp(stamp / 1000, UTC)
    moment = datetime.fromisoformat(stamp)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_minor_units(amount: Decimal, currency: str) -> int:
    """An amount as integer minor units (cents). BadInput when it does not fit."""
    scaled = amount.scaleb(minor_units(currency))
    if scaled != scaled.to_integral_value():
        raise BadInput(f"{amount} {currency} is finer than the currency's minor unit")
    return int(scaled)


def from_minor_units(units: int, currency: str) -> Decimal:
    """An amount from integer minor units."""
    return Decimal(units).scaleb(-minor_units(currency))


def at_minor_unit(amount: Decimal, currency: str) -> Decimal:
    """The amount written with the currency's decimals: 120000.0 USD is 120000.00. BadInput when it does not fit."""
    return from_minor_units(to_minor_units(amount, currency), currency)


def sum_by_key(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """The sum of the amounts of each key."""
    sums: dict[str, Decimal] = {}
    for key, amount in amounts:
        sums[key] = sums.get(key, Decimal(0)) + amount
    return sums


def hours_to_minutes(hours: Decimal) -> int:
    """Hours as whole minutes, undoing minutes_to_hours. BadInput when they are not a whole number of minutes."""
    # Twenty minutes are 0.3333 h at four decimals, so the nearest minute is right when it gives these hours back.
    minutes = int((hours * 60).to_integral_value())
    if minutes_to_hours(minutes) != hours:
        raise BadInput(f"{hours} h is not a whole number of minutes")
    return minutes


def minutes_to_hours(minutes: int) -> Decimal:
    """Minutes as hours at four decimals."""
    return (Decimal(minutes) / 60).quantize(Decimal("0.0001"))


def seconds_to_hours(seconds: int) -> Decimal:
    """Seconds as hours at four decimals."""
    return (Decimal(seconds) / 3600).quantize(Decimal("0.0001"))


def shortened(length: int) -> Converter:
    """A converter to a text of at most this length; what is cut off is a loss to be named."""
    return lambda text: str(text)[:length].rstrip()


def segments(values: Mapping[str, str], order: str, delimiter: str) -> str:
    """Values as one text, in an order that names them. BadInput when the delimiter is in one of them."""
    parts = [values.get(name.strip(), "") for name in order.split(",")]
    if any(delimiter in part for part in parts):
        raise BadInput(f"{parts} cannot be written with {delimiter!r} between them")
    return delimiter.join(parts)


def readable(
    rows: Iterable[Row], read: Callable[[Row], T], id_field: str = "id"
) -> tuple[tuple[T, ...], tuple[tuple[str, str], ...]]:
    """What can be read of remote rows, and (id, reason) of each row that cannot: one bad row never hides the others."""
    good: list[T] = []
    bad: list[tuple[str, str]] = []
    for row in rows:
        try:
            good.append(read(row))
        except BadInput as wrong:
            bad.append((str(row.get(id_field)), wrong.message))
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as wrong:
            bad.append((str(row.get(id_field)), f"{type(wrong).__name__}: {wrong}"))
    return tuple(good), tuple(bad)


def hours_to_clock(hours: Decimal) -> str:
    """Hours as a clock shows them: 7.5 is 7:30. BadInput when they are not whole minutes."""
    whole, minutes = divmod(hours_to_minutes(hours), 60)
    return f"{whole}:{minutes:02d}"


def clock_to_hours(clock: str) -> Decimal:
    """Hours from a clock, undoing hours_to_clock. BadInput for what is no clock."""
    whole, _, minutes = str(clock).partition(":")
    if not (whole.isdigit() and minutes.isdigit()):
        raise BadInput(f"{clock!r} is no time such as 7:30")
    return minutes_to_hours(int(whole) * 60 + int(minutes))


@dataclass(frozen=True)
class Field:
    """One row: canonical field, remote field (dotted path when nested), converters out and back.

    back=None says that the field cannot be read back (a named loss).
    """

    ours: str
    theirs: str
    out: Converter = same
    back: Converter | None = same


# Converters in pairs, out and back: Field("start", "startDate", *DAY)
DAY = (to_iso_date, from_iso_date)
LAST_DAY = (to_last_day, from_last_day)
CLOCK = (hours_to_clock, clock_to_hours)
NEGATED = (negated, negated)


@dataclass(frozen=True)
class Table:
    """A mapping table. of: the canonical object that is sent with it, empty for a table that is only read; there: what
    the vendor calls the object. rows: further fields by our name, each as its remote one or as a Field without ours.
    """

    fields: tuple[Field, ...]
    of: type | None
    there: str

    def __init__(
        self, *fields: Field, of: type | None = None, there: str = "", **rows: str | tuple[str, *tuple[Any, ...]]
    ) -> None:
        further = (Field(ours, *((row,) if isinstance(row, str) else row)) for ours, row in rows.items())
        object.__setattr__(self, "fields", (*fields, *further))
        object.__setattr__(self, "of", of)
        object.__setattr__(self, "there", there)

    def extended(self, custom: Mapping[str, str]) -> Table:
        """The table with a firm's own fields added."""
        own = (Field(ours, theirs) for ours, theirs in custom.items())
        return Table(*self.fields, *own, of=self.of, there=self.there)

    def replaced(self, custom: Mapping[str, str]) -> Table:
        """The table with a firm's own fields instead of its own, each as it is."""
        return Table(*(Field(ours, theirs) for ours, theirs in custom.items()), of=self.of, there=self.there)

    def at(self, there: str) -> Table:
        """The table for an object of this name: what a firm calls the object where its fields are kept."""
        return Table(*self.fields, of=self.of, there=there)

    def changed(self, *fields: Field) -> Table:
        """The table with other rows for some of our fields, and rows for new ones: its next version."""
        new = {field.ours: field for field in fields}
        kept = [new.pop(field.ours, field) for field in self.fields]
        return Table(*kept, *new.values(), of=self.of, there=self.there)

    def renamed(self, names: Mapping[str, str]) -> Table:
        """The table with a firm's own remote names for fields it has; an empty name takes a field out.

        NeedsSetup for a field the table does not have: a misspelt setting must not fall back to the default.
        """
        unknown = set(names) - {field.ours for field in self.fields}
        if unknown:
            known = ", ".join(field.ours for field in self.fields)
            raise NeedsSetup(f"unknown field {', '.join(sorted(unknown))}; known: {known}")
        kept = (replace(field, theirs=names.get(field.ours, field.theirs)) for field in self.fields)
        return Table(*(field for field in kept if field.theirs), of=self.of, there=self.there)

    def out(self, source: Any) -> dict[str, Any]:
        """The remote body; fields that are None or empty text stay out."""
        body: dict[str, Any] = {}
        for field in self.fields:
            value = source.get(field.ours) if isinstance(source, Mapping) else getattr(source, field.ours, None)
            value = field.out(value) if value not in (None, "") else None
            if value not in (None, ""):
                set_at(body, field.theirs, value)
        return body

    def back(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Canonical fields from a remote record; absent ones stay out."""
        found: dict[str, Any] = {}
        for field in self.fields:
            value = dig(record, field.theirs)
            if field.back is not None and value not in (None, ""):
                found[field.ours] = field.back(value)
        return found


def set_at(body: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a dotted path."""
    *parents, last = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


@dataclass(frozen=True)
class StatusTable:
    """A total table of remote states: a value that is not in it is an error that names it, never a guess."""

    name: str
    rows: Mapping[str, str]

    def read(self, remote: Any) -> str:
        """Our state for a remote one. BadInput for a value nobody has decided about."""
        if str(remote) not in self.rows:
            raise BadInput(f"{self.name}: unknown state {remote!r}; known: {', '.join(self.rows)}")
        return self.rows[str(remote)]
