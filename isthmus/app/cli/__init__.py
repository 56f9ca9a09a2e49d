"""The command line: ``isthmus COMMAND``. Everything heavy is imported inside the command that needs it.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 something needs a person (a parked run, a missing credential,
a dangerous change of the firm folder).
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of the console script."""
    # Sandboxes stream over gRPC beside child processes; its notes about that are no messages to whoever runs a command.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    import typer

    from isthmus.app.cli.application import app
    from isthmus.app.cli.shell import unexpected

    # Not app(): Typer would put its own hook, with its own traceback, in place of ours.
    sys.excepthook = unexpected
    typer.main.get_command(app)(prog_name="isthmus")
