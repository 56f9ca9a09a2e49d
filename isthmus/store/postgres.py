"""The books on PostgreSQL: psycopg 3 on connections of SQLAlchemy's pool, READ COMMITTED with named locks.

The verbs of Tx speak to the driver: their statements are written once (store.statements, store.bulk). Questions put
together for one place alone are SQLAlchemy Core, on the same connection (raw).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from pydantic import BaseModel

from isthmus.domain.errors import IllegalTransition, LostRace, SameKeyOtherContent, Unreachable
from isthmus.store import bulk, copying, statements
from isthmus.store.tables import SPECS
from isthmus.store.tx import M

# A worker that stands still in the middle of a transaction must not keep its locks from those who take over.
IDLE_SECONDS_MAX = 15
_GONE = ("57P01", "57P02", "57P03", "25P03")  # shut down, crashed, starting up, idle for too long


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
            if ours is not None:
                raise ours from error
            if isinstance(error, psycopg.Error):  # whichever way a statement went, its error is the same
                raise sa.exc.DBAPIError.instance(None, None, error, psycopg.Error) from error
            raise

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
        found = self.find(model, **dict(zip(SPECS[model].key, key, strict=True)))
        return found[0] if found else None

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
        if statements.asks_for_none(equals):
            return []
        shape, values = statements.shape_of(equals), statements.values_of(equals)
        if limit is not None:
            values.append(limit)
        names = tuple(model.model_fields)
        rows = self._rows(statements.select(model, shape, order, limit is not None, skip_locked), values)
        return [model.model_validate(dict(zip(names, row, strict=True))) for row in rows]

    def tuples(self, model: type[BaseModel], fields: Sequence[str], **equals: Any) -> list[tuple[Any, ...]]:
        """See Tx."""
        if statements.asks_for_none(equals):
            return []
        text = statements.tuples(model, tuple(fields), statements.shape_of(equals))
        return self._rows(text, statements.values_of(equals))

    def counts(self, model: type[BaseModel], by: str, **equals: Any) -> dict[Any, int]:
        """See Tx."""
        if statements.asks_for_none(equals):
            return {}
        text = statements.counts(model, by, statements.shape_of(equals))
        return {value: int(number) for value, number in self._rows(text, statements.values_of(equals))}

    def copy(self, model: type[BaseModel], rows: Iterable[Sequence[Any]]) -> None:
        """See Tx."""
        with self._driver().cursor() as cursor, cursor.copy(copying.statement(model)) as copy:
            for piece in copying.buffers(model, rows):
                copy.write(piece)

    def _driver(self) -> Any:
        return self._connection.connection.driver_connection

    def _rows(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._driver().cursor() as cursor:
            found: list[tuple[Any, ...]] = cursor.execute(text, values).fetchall()
        return found

    def _write(self, text: str, values: Sequence[Any]) -> int:
        """How many rows it concerned."""
        with self._driver().cursor() as cursor:
            return int(cursor.execute(text, values).rowcount)

    def insert(self, row: BaseModel) -> None:
        """See Tx."""
        if not self.insert_new(row):
            key = tuple(getattr(row, name) for name in SPECS[type(row)].key)
            raise SameKeyOtherContent(f"{type(row).__name__} {key} exists already")

    def insert_new(self, row: BaseModel) -> bool:
        """See Tx."""
        return self.insert_new_many([row])[0]

    def insert_many(self, rows: Iterable[BaseModel]) -> None:
        """See Tx."""
        for part in _parts(list(rows)):
            self._write(bulk.insert(type(part[0])), [bulk.as_json(part)])

    def insert_new_many(self, rows: Sequence[BaseModel]) -> list[bool]:
        """See Tx. The keys that come back are the new ones."""
        new: set[tuple[Any, ...]] = set()
        for part in _parts(rows):
            new.update(self._rows(bulk.insert_new(type(part[0])), [bulk.as_json(part)]))
        answers = []
        for row in rows:
            key = tuple(getattr(row, name) for name in SPECS[type(row)].key)
            answers.append(key in new)
            new.discard(key)  # of two with one key the first is new, the second is not
        return answers

    def update(self, row: BaseModel) -> None:
        """See Tx."""
        self.update_many([row])

    def update_many(self, rows: Sequence[BaseModel]) -> None:
        """See Tx. The trigger guard_moves refuses a state change that domain.states does not allow."""
        for part in _parts(rows):
            model = type(part[0])
            changed = self._write(bulk.update(model), [bulk.as_json(part)])
            assert changed == len(part), f"{len(part)} {model.__name__} to update, {changed} are there"

    def put(self, row: BaseModel) -> None:
        """See Tx."""
        self._write(bulk.put(type(row)), [bulk.as_json([row])])

    def delete(self, row: BaseModel) -> None:
        """See Tx."""
        key = {name: getattr(row, name) for name in SPECS[type(row)].key}
        self._write(statements.delete(type(row), statements.shape_of(key)), statements.values_of(key))

    def next(self, counter: str) -> int:
        """See Tx. The row lock it takes makes the next caller wait for this transaction's end."""
        return self.add_many([counter], [1])[0]

    def add_many(self, counters: Sequence[str], steps: Sequence[int]) -> list[int]:
        """See Tx. Counters are taken in one order by everybody, so that two callers cannot wait for each other."""
        pairs = sorted(zip(counters, steps, strict=True))
        if not pairs:
            return []
        found = dict(self._rows(statements.ADD_MANY, [[name for name, _ in pairs], [step for _, step in pairs]]))
        return [int(found[name]) for name in counters]

    def lock(self, name: str) -> None:
        """See Tx."""
        self._write(statements.LOCK, [name])

    def lock_all(self, names: Iterable[str]) -> None:
        """See Tx."""
        ordered = sorted(set(names))
        if ordered:
            self._write(statements.LOCK_ALL, [ordered])

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """See Tx."""
        with self._connection.begin_nested():
            yield


def _parts(rows: Sequence[M]) -> Iterator[Sequence[M]]:
    """Rows in pieces that one statement takes."""
    for start in range(0, len(rows), bulk.ROWS_MAX):
        yield rows[start : start + bulk.ROWS_MAX]
