"""Write the next revision of the schema: what tables.py and the states say and the migrations do not yet.

.venv/bin/python scripts/new_migration.py "Expenses have a receipt"

A server of its own is started in a temporary folder and migrated to the last revision; the differences become
isthmus/store/migrations/versions/NNNN_expenses_have_a_receipt.py. Read it, add what a machine cannot know (how existing
rows get their values), and commit it. A revision that has been released is never edited.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.operations import ops

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from isthmus.domain.states import MOVES  # noqa: E402
from isthmus.store import embedded, migrate  # noqa: E402
from isthmus.store.tables import SPECS  # noqa: E402

FUNCTION = """
create or replace function hub.guard_moves_{track}() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from hub.legal_move m where m.table_name = tg_table_name and m.track = '{track}'
                 and m.old = old.{track} and m.new = new.{track}) then
    raise exception '%: {track} cannot go from % to %', tg_table_name, old.{track}, new.{track}
      using errcode = 'ISM01';
  end if;
  return new;
end $$
"""
MOVES_TRIGGER = """
create trigger guard_moves_{track} before update of {track} on hub.{table}
for each row when (old.{track} is distinct from new.{track}) execute function hub.guard_moves_{track}()
"""
GROWTH_TRIGGER = """
create trigger guard_growth_{each} before {operations} on hub.{table} for each {each}
execute function hub.guard_growth()
"""
Move = tuple[str, str, str, str]


def wanted_moves() -> set[Move]:
    """(table, track, from, to) for every move that domain.states allows."""
    tracks = [(model, spec.table, track) for model, spec in SPECS.items() for track in spec.tracks]
    return {
        (table, track, str(old), str(new))
        for model, table, track in tracks
        for old, allowed in MOVES[model.model_fields[track].annotation].items()  # type: ignore[index]
        for new in allowed
    }


def guard_statements(connection: sa.Connection) -> list[str]:
    """SQL that brings the guards of the database up to the code."""
    rows = connection.execute(sa.text("select table_name, track, old, new from hub.legal_move"))
    known, wanted = {tuple(map(str, row)) for row in rows}, wanted_moves()
    columns = "table_name, track, old, new"
    texts = {move: ", ".join(f"'{word}'" for word in move) for move in known | wanted}  # type: ignore[operator]
    statements = [f"insert into hub.legal_move ({columns}) values ({texts[m]})" for m in sorted(wanted - known)]
    statements += [f"delete from hub.legal_move where ({columns}) = ({texts[m]})" for m in sorted(known - wanted)]
    return statements + missing_triggers(connection)


def missing_triggers(connection: sa.Connection) -> list[str]:
    """The triggers of new tracks and of new tables that only grow."""
    named = "select c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid where not t.tgisinternal"
    known = {(str(table), str(trigger)) for table, trigger in connection.execute(sa.text(named))}
    statements = []
    for spec in SPECS.values():
        for track in spec.tracks:
            if (spec.table, f"guard_moves_{track}") not in known:
                statements += [text.format(table=spec.table, track=track) for text in (FUNCTION, MOVES_TRIGGER)]
        if spec.growing and (spec.table, "guard_growth_statement") not in known:
            each = [("row", "delete" if spec.seal else "update or delete"), ("statement", "truncate")]
            statements += [GROWTH_TRIGGER.format(table=spec.table, each=e, operations=o) for e, o in each]
    return statements


def write(connection: sa.Connection, message: str) -> Path | None:
    """Write the revision; None when there is nothing to write."""
    config = migrate.settings(connection)
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    guards = guard_statements(connection)

    def complete(context: Any, revision: Any, directives: list[Any]) -> None:
        directives[0].upgrade_ops.ops.extend(ops.ExecuteSQLOp(statement) for statement in guards)
        if directives[0].upgrade_ops.is_empty():
            directives.clear()

    config.attributes["process_revision_directives"] = complete
    number = f"{int(migrate.head()) + 1:04}"
    made = command.revision(config, message, autogenerate=True, rev_id=number)
    return Path(made.path) if made is not None and not isinstance(made, list) else None


def main(message: str) -> None:
    """See the module."""
    with tempfile.TemporaryDirectory(prefix="isthmus-migration-") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "postgres"
        try:
            url = embedded.ensure(data)
            migrate.upgrade(url)
            with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
                path = write(connection, message)
        finally:
            embedded.stop(data)
    if path is None:
        print("the migrations say all that tables.py and the states say; nothing was written")
        return
    for step in (["check", "-q", "--fix"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *step, str(path)], check=False)
    print(f"{path.relative_to(ROOT)}: read it, complete it, then run scripts/docs_tables.py")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
