"""Tryton's tables, read and emptied beside Tryton: how many business records there are, and the way back to none."""

from __future__ import annotations

import psycopg

# Business records, by what the suite counts. Everything else is set-up or the server's own.
COUNTED = (
    *("party_party", "party_address", "party_identifier", "project_work", "timesheet_work", "timesheet_line"),
    *("account_invoice", "account_invoice_line", "account_invoice_tax", "account_move", "account_move_line"),
    *("account_move_reconciliation", "account_invoice-account_move_line"),
)


class Ledger:
    """One database. What is there at first is the set-up: it is not counted and never removed."""

    def __init__(self, address: str) -> None:
        self._connection = psycopg.connect(address, autocommit=True)
        owned = self._connection.execute(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'id'"
            " where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace"
            " and c.relname !~ '^(ir|res)_' order by 1"
        )
        self._tables = [name for (name,) in owned]
        self._first = self._tops()

    def census(self) -> dict[str, int]:
        """Business records by table."""
        parts = [f"select '{name}', count(*) from \"{name}\" where id > {self._first[name]}" for name in COUNTED]
        return {
            str(name): int(number) for name, number in self._connection.execute(" union all ".join(parts)) if number
        }

    def empty(self) -> None:
        """Remove everything but the set-up, as if nobody had ever worked there. Numbers given are not given again."""
        tops = self._tops()
        gone = [name for name in self._tables if tops[name] > self._first[name]]
        statements = "".join(f'delete from "{name}" where id > {self._first[name]};' for name in gone)
        if statements:
            # Records point at each other in circles; with all of them gone nothing points anywhere.
            self._connection.execute(f"begin;set local session_replication_role = replica;{statements}commit")

    def _tops(self) -> dict[str, int]:
        parts = [f"select '{name}', coalesce(max(id), 0) from \"{name}\"" for name in self._tables]
        return {str(name): int(top) for name, top in self._connection.execute(" union all ".join(parts))}
