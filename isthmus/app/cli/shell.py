"""What all commands share: common options, how they answer, how an error becomes one line and an exit code."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from isthmus.domain.errors import (
    BadInput,
    IsthmusError,
    NeedsDecision,
    NeedsSetup,
    OutcomeUnknown,
    Retryable,
    Unreachable,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OK, REFUSED, USAGE, PERSON = 0, 1, 2, 3
PIPE_WIDTH = 160  # a table in a pipe or a file is not cut to a terminal's 80 columns
_NOT_PREPARED = ("42P01", "3F000", "42703")  # no such table, schema, column
_SECRET_WORDS = ("secret", "token", "password", "private_key", "authorization", "licence", "license")


@dataclass
class Settings:
    """What the options that every command has were set to."""

    as_json: bool = False
    verbose: bool = False
    debug: bool = False


SETTINGS = Settings()


Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout, for other programs.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Tell on stderr what is being done.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an unexpected error (also: ISTHMUS_DEBUG=1).")
]


def common(act: Callable[..., None]) -> Callable[..., None]:
    """A command with --json, --verbose and --debug besides its own options."""

    @functools.wraps(act)
    def run(*args: Any, as_json: bool, verbose: bool, debug: bool, **values: Any) -> None:
        SETTINGS.as_json, SETTINGS.verbose, SETTINGS.debug = as_json, verbose, debug or SETTINGS.debug
        log_to_stderr()  # here and not at import: --help never waits for it
        act(*args, **values)

    shared = {"as_json": Json, "verbose": Verbose, "debug": Debug}
    own = inspect.signature(act, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in shared.items()
    ]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own.parameters.values(), *added]}
    return run


class Group(TyperGroup):
    """The root: the one place where an error of the house becomes a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """See the class. An error without a plan goes on to the interpreter's own hook."""
        SETTINGS.as_json, SETTINGS.verbose, SETTINGS.debug = False, False, bool(os.environ.get("ISTHMUS_DEBUG"))
        try:
            return super().invoke(ctx)
        except _known() as error:
            explained = explain(error)
            if explained is None:
                raise
            if SETTINGS.debug:
                traceback.print_exception(error)
            tell_error(explained)
            raise typer.Exit(exit_code(explained)) from error


def _known() -> tuple[type[BaseException], ...]:
    """Errors that have an explanation. Looked up when an error is there, so that no command waits for the imports."""
    from sqlalchemy.exc import ArgumentError, DBAPIError

    from isthmus.store.embedded import EmbeddedPostgresError

    return IsthmusError, EmbeddedPostgresError, DBAPIError, ArgumentError


def explain(error: BaseException) -> IsthmusError | None:
    """The error as one of the house, with what to do; None when it is a bug."""
    from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

    from isthmus.store.embedded import EmbeddedPostgresError

    if isinstance(error, IsthmusError):
        return error
    if isinstance(error, EmbeddedPostgresError):
        return NeedsSetup(str(error))
    if isinstance(error, ArgumentError):
        return NeedsSetup(
            "ISTHMUS_DATABASE_URL is no database URL: write postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        )
    if isinstance(error, OperationalError):
        said = str(error.orig).strip().splitlines()[-1].strip()
        return Unreachable(f"the database cannot be reached: {said}; see 'isthmus db status' and ISTHMUS_DATABASE_URL")
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", "") in _NOT_PREPARED:
        return NeedsSetup(
            "the database is not at this version's schema: 'isthmus up' or 'isthmus apply DIR' prepares it"
        )
    return None


class WrongUsage(BadInput):
    """The command was put together wrongly."""


def exit_code(error: IsthmusError) -> int:
    """2 for wrong usage, 3 when a person or an administrator must act first, else 1."""
    if isinstance(error, WrongUsage):
        return USAGE
    return PERSON if isinstance(error, NeedsDecision | NeedsSetup) else REFUSED


def tell_error(error: IsthmusError) -> None:
    """One line on stderr, and one more for each of several problems; with --json the problem on stdout as well."""
    if SETTINGS.as_json:
        write_json(problem(error))
    told = "\n  ".join(" ".join(line.split()) for line in error.message.split("\n  "))
    typer.secho(f"isthmus: {told}", err=True, fg="red")


def problem(error: IsthmusError) -> dict[str, Any]:
    """The error in the words of RFC 9457, as the API gives it."""
    return {
        "type": f"urn:isthmus:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "owner": error.owner,
        "retryable": isinstance(error, Retryable | OutcomeUnknown),
    }


def unexpected(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """sys.excepthook of the command line: a bug is one line too, unless its traceback is wanted."""
    if SETTINGS.debug or os.environ.get("ISTHMUS_DEBUG"):
        traceback.print_exception(kind, error, trace)
        return
    said = (str(error).strip().splitlines() or [""])[0]
    if SETTINGS.as_json:
        detail = f"{kind.__name__}: {said}"
        write_json({"type": "urn:isthmus:problem:bug", "title": "bug", "status": 500, "detail": detail, "code": "bug"})
    line = f"isthmus: unexpected {kind.__name__}: {said}; --debug or ISTHMUS_DEBUG=1 shows where"
    typer.secho(line, err=True, fg="red")


# -- answering ------------------------------------------------------------------------------------------------------


def write_json(data: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(data, default=str, ensure_ascii=False, indent=2))


def write_json_line(data: Any) -> None:
    """One JSON object on one line, flushed: for commands that go on running."""
    typer.echo(json.dumps(data, default=str, ensure_ascii=False))
    sys.stdout.flush()


def show(data: Any, human: Callable[[Console], None]) -> None:
    """Answer: the data as JSON when that is wanted, else the picture for people."""
    if SETTINGS.as_json:
        write_json(data)
    else:
        human(console())


def console() -> Console:
    """Where people read. Data is never read as markup: a '[' in a client's name stays one."""
    from rich.console import Console

    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def table(*columns: str, title: str = "", right: tuple[str, ...] = ()) -> Table:
    """An empty table with these columns; the ones in right are aligned right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(title=title or None, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold")
    return made


# -- logging --------------------------------------------------------------------------------------------------------


def log_to_stderr() -> None:
    """structlog to stderr: warnings; with --verbose information, with --debug everything. Secrets are masked."""
    import logging

    import structlog

    level = logging.DEBUG if SETTINGS.debug else logging.INFO if SETTINGS.verbose else logging.WARNING
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            mask_secrets,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
    )


def mask_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: values under a name that speaks of a secret are not written."""
    return {k: "***" if any(word in k.lower() for word in _SECRET_WORDS) else v for k, v in event.items()}
