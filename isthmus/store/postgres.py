"""The books on PostgreSQL: SQLAlchemy Core over psycopg 3, READ COMMITTED with named locks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import insert as pg_insert

from isthmus.domain.errors import IllegalTransition, LostRace, SameKeyOtherContent, Unreachable
from isthmus.store import bulk, copying
from isthmus.store.records import Counter
from isthmus.store.tables import SCHEMA, SPECS, TABLES, json_fields
from isthmus.store.tx import M

# A worker that stands still in the middle of a transaction must not keep its locks from those who take over.
IDLE_SECONDS_MAX = 15
_GONE = ("57P01", "57P02", "57P03", "25P03")  # shut down, crashed, starting up, idle for too long


def to_row(model_row: BaseModel) -> dict[str, Any]:
    """Column values of an object; composite fields as JSON values."""
    composite = json_fields(type(model_row))
    values = {name: getattr(model_row, name) for name in type(model_row).model_fields if name not in composite}
    if composite:
        values |= model_row.model_dump(mode="json", include=set(composite))
    serial = SPECS[type(model_row)].serial
    if serial:
        values.pop(serial)
    return values


def _in_utc(connection: Any, _: Any) -> None:
    """Instants come back in the session's time zone, and what is hashed must not change with a server's setting."""
    connection.execute("set time zone 'UTC'")
    connection.execute(f"set idle_in_transaction_session_timeout = '{IDLE_SECONDS_MAX}s'")
    connection.commit()


def _in_house_words(error: sa.exc.DBAPIError | psycopg.Error) -> Exception | None:
    """What PostgreSQL said, as the house's error with a plan for what happens next; None when there is none."""
    said = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(said, psycopg.Error):
        return None
    state, words = said.sqlstate, said.diag.message_primary or str(said)
    gone = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    if state in _GONE or (state or "")[:2] in ("08", "53") or gone:
        return Unreachable(f"the database has hung up: {words}")
    if state is None and isinstance(said, psycopg.OperationalError):
        return Unreachable(f"the database does not answer: {words}")
    if state in ("40001", "40P01", "55P03"):
        return LostRace(f"another worker was first: {words}")
    if state == "23505":
        return SameKeyOtherContent(f"{words}: {said.diag.message_detail}")
    if state == "ISM01":  # raised by the triggers guard_moves
        return IllegalTransition(words)
    if state == "ISM02":  # raised by guard_growth and guard_seal: nothing in the hub may try
        return AssertionError(words)
    return None


def _where(query: Any, table: sa.Table, equals: dict[str, Any]) -> Any:
    for name, value in equals.items():
        column = table.c[name]
        query = query.where(column.in_(value) if isinstance(value, tuple) else column == value)
    return query


def _asked(value: Any) -> str:
    return "any(%s)" if isinstance(value, tuple) else "%s"


class PostgresStore:
    """See Store. The runtime retries LostRace (deadlock, serialisation failure) and Unreachable (a lost connection)."""

    def __init__(self, url: str, pool_size: int = 20) -> None:
        self.url = url
        self.engine = sa.create_engine(url, pool_size=pool_size, max_overflow=20, pool_pre_ping=False)
        sa.event.listen(self.engine, "connect", _in_utc)

    @contextmanager
    def transaction(self) -> Iterator[PostgresTx]:
        """See Store."""
        try:
            with self.engine.begin() as connection:
                yield PostgresTx(connection)
        except sa.exc.TimeoutError as none_free:
            raise Unreachable(f"no connection to the database came free: {none_free}") from none_free
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            ours = _in_house_words(error)
            if ours is None:
                raise
            raise ours from error

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


class PostgresTx:
    """See Tx."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @property
    def raw(self) -> Any:
        """The SQLAlchemy connection."""
        return self._connection

    def get(self, model: type[M], *key: Any) -> M | None:
        """See Tx."""
        table, spec = TABLES[model], SPECS[model]
        where = [table.c[name] == value for name, value in zip(spec.key, key, strict=True)]
        row = self._connection.execute(sa.select(table).where(*where)).mappings().first()
        return model.model_validate(dict(row)) if row is not None else None

    def find(
        self,
        model: type[M],
        *,
        order: tuple[str, ...] = (),
        limit: int | None = None,
        skip_locked: bool = False,
        **equals: Any,
    ) -> list[M]:
        """See Tx."""
        table = TABLES[model]
        query = _where(sa.select(table), table, equals)
        for name in order:
            query = query.order_by(table.c[name.lstrip("-")].desc() if name.startswith("-") else table.c[name])
        if limit is not None:
            query = query.limit(limit)
        if skip_locked:
            query = query.with_for_update(skip_locked=True)
        return [model.model_validate(dict(row)) for row in self._connection.execute(query).mappings()]

    def tuples(self, model: type[BaseModel], fields: Sequence[str], **equals: Any) -> list[tuple[Any, ...]]:
        """See Tx. Asked without SQLAlchemy, which makes an object of each row."""
        spec, clauses = SPECS[model], [f'"{name}" = {_asked(value)}' for name, value in equals.items()]
        composite = json_fields(model)
        named = ", ".join(f'"{name}"::text' if name in composite else f'"{name}"' for name in fields)
        where = f" where {' and '.join(clauses)}" if clauses else ""
        values = [list(value) if isinstance(value, tuple) else value for value in equals.values()]
        with self._driver().cursor() as cursor:
            cursor.execute(f'select {named} from {SCHEMA}."{spec.table}"{where}', values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def counts(self, model: type[BaseModel], by: str, **equals: Any) -> dict[Any, int]:
        """See Tx."""
        table = TABLES[model]
        query = _where(sa.select(table.c[by], sa.func.count()), table, equals).group_by(table.c[by])
        return {value: int(number) for value, number in self._connection.execute(query)}

    def copy(self, model: type[BaseModel], rows: Iterable[Sequence[Any]]) -> None:
        """See Tx."""
        with self._driver().cursor() as cursor, cursor.copy(copying.statement(model)) as copy:
            for piece in copying.buffers(model, rows):
                copy.write(piece)

    def _driver(self) -> Any:
        return self._connection.connection.driver_connection

    def insert(self, row: BaseModel) -> None:
        """See Tx."""
        if not self.insert_new(row):
            key = tuple(getattr(row, name) for name in SPECS[type(row)].key)
            raise SameKeyOtherContent(f"{type(row).__name__} {key} exists already")

    def insert_new(self, row: BaseModel) -> bool:
        """See Tx."""
        statement = pg_insert(TABLES[type(row)]).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        return self._connection.execute(statement, to_row(row)).rowcount == 1

    def insert_many(self, rows: Iterable[BaseModel]) -> None:
        """See Tx."""
        batch = list(rows)
        for start in range(0, len(batch), bulk.ROWS_MAX):
            part = batch[start : start + bulk.ROWS_MAX]
            self._connection.execute(bulk.insert(type(part[0])), {"rows": bulk.as_json(part)})

    def insert_new_many(self, rows: Sequence[BaseModel]) -> list[bool]:
        """See Tx. The keys that come back are the new ones."""
        new: set[tuple[Any, ...]] = set()
        for start in range(0, len(rows), bulk.ROWS_MAX):
            part = rows[start : start + bulk.ROWS_MAX]
            told = self._connection.execute(bulk.insert_new(type(part[0])), {"rows": bulk.as_json(part)})
            new |= {tuple(key) for key in told}
        answers = []
        for row in rows:
            key = tuple(getattr(row, name) for name in SPECS[type(row)].key)
            answers.append(key in new)
            new.discard(key)  # of two with one key the first is new, the second is not
        return answers

    def update(self, row: BaseModel) -> None:
        """See Tx. The trigger guard_moves refuses a state change that domain.states does not allow."""
        table, spec, values = TABLES[type(row)], SPECS[type(row)], to_row(row)
        where = [table.c[name] == values.pop(name) for name in spec.key]
        changed = self._connection.execute(sa.update(table).where(*where).values(**values)).rowcount
        assert changed == 1, f"{type(row).__name__} to update is not there"

    def update_many(self, rows: Sequence[BaseModel]) -> None:
        """See Tx."""
        for start in range(0, len(rows), bulk.ROWS_MAX):
            part = rows[start : start + bulk.ROWS_MAX]
            changed = self._connection.execute(bulk.update(type(part[0])), {"rows": bulk.as_json(part)}).rowcount
            assert changed == len(part), f"{len(part)} {type(part[0]).__name__} to update, {changed} are there"

    def put(self, row: BaseModel) -> None:
        """See Tx."""
        table, spec, values = TABLES[type(row)], SPECS[type(row)], to_row(row)
        changed = {name: value for name, value in values.items() if name not in spec.key}
        statement = pg_insert(table).values(**values)
        self._connection.execute(statement.on_conflict_do_update(index_elements=list(spec.key), set_=changed))

    def delete(self, row: BaseModel) -> None:
        """See Tx."""
        table, spec = TABLES[type(row)], SPECS[type(row)]
        self._connection.execute(sa.delete(table).where(*(table.c[n] == getattr(row, n) for n in spec.key)))

    def next(self, counter: str) -> int:
        """See Tx. The row lock it takes makes the next caller wait for this transaction's end."""
        table = TABLES[Counter]
        statement = (
            pg_insert(table)
            .values(name=counter, value=1)
            .on_conflict_do_update(index_elements=["name"], set_={"value": table.c.value + 1})
            .returning(table.c.value)
        )
        return int(self._connection.execute(statement).scalar_one())

    def add_many(self, counters: Sequence[str], steps: Sequence[int]) -> list[int]:
        """See Tx. Counters are taken in one order by everybody, so that two callers cannot wait for each other."""
        if not counters:
            return []
        table, pairs = TABLES[Counter], sorted(zip(counters, steps, strict=True))
        statement = pg_insert(table).values([{"name": name, "value": step} for name, step in pairs])
        added = {"value": table.c.value + statement.excluded.value}
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=added)
        found = {r.name: r.value for r in self._connection.execute(statement.returning(table.c.name, table.c.value))}
        return [int(found[name]) for name in counters]

    def lock(self, name: str) -> None:
        """See Tx."""
        self._connection.execute(sa.text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})

    def lock_all(self, names: Iterable[str]) -> None:
        """See Tx."""
        ordered = sorted(set(names))
        if ordered:
            text = "select pg_advisory_xact_lock(hashtextextended(name, 0)) from unnest(cast(:names as text[])) as name"
            self._connection.execute(sa.text(text), {"names": ordered})

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See Tx."""
        with self._connection.begin_nested():
            yield
