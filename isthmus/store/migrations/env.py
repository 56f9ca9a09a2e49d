"""Alembic runs this for every command. The connection comes from isthmus.store.migrate, never from an ini file."""

from __future__ import annotations

from alembic import context

from isthmus.store.migrate import describe

context.configure(
    connection=context.config.attributes["connection"],
    process_revision_directives=context.config.attributes.get("process_revision_directives"),
    **describe(),
)
with context.begin_transaction():
    context.run_migrations()
