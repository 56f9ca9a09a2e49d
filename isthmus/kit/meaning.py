"""What an answer means: nothing to say, or an error of the house whose class says what happens next.

Decided in this order: an allowed status goes back to the verb; the manifest's error table, first match; then the common
rules: 401 and 403 are NeedsSetup, 404 is NotFound, 412 LostRace, 408 and 5xx of a write OutcomeUnknown (of a read:
Unreachable), 429 Throttled, other 4xx a refusal. Status alone does not decide: a row may ask for a code or text of the
body and for a header, and where the manifest says errors_in_success a 2xx that holds an error code is no success. A 2xx
that is no answer at all, such as a proxy's sign-in page, is none either: of a write the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from isthmus.domain.errors import (
    IsthmusError,
    LostRace,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    StaleRead,
    Throttled,
    Unreachable,
)
from isthmus.kit.manifest import ErrorRow, Manifest
from isthmus.kit.wire import Answer, Request, dig

TEXT_MAX = 300
Mask = Callable[[str], str]


def meaning(manifest: Manifest, connection: str, request: Request, answer: Answer, masked: Mask) -> IsthmusError | None:
    """The error an answer stands for; None when it is what was asked for."""
    if answer.status in request.allow:
        return None
    code = str(dig(answer.body, manifest.error_code_path) or "")
    row = next((r for r in manifest.errors if _speaks_of(r, answer, code, request.is_write)), None)
    if 200 <= answer.status < 300 and row is None and not (manifest.errors_in_success and code):
        return _no_answer(connection, request, answer, masked)
    # Masked before it is cut, or the first half of a secret would show.
    said = str(dig(answer.body, manifest.error_message_path) or masked(answer.text)[:TEXT_MAX])
    text = masked(f"{connection}: {request.method} {request.path}: {answer.status} {code} {said}".strip())
    kind = row.raises if row else _common_rule(answer.status, request.is_write)
    patience = patience_of(manifest, answer)
    if patience is None and row is not None:
        patience = row.after_seconds
    field = _first(dig(answer.body, manifest.error_field_path))
    error = _made(kind, text, code, field, connection, patience)
    if isinstance(error, Throttled) and row is not None and row.only_this:
        error.widely = False
    if isinstance(error, RemoteRefusal):
        error.context["words"] = masked(said)
    return error


def _no_answer(connection: str, request: Request, answer: Answer, masked: Mask) -> IsthmusError | None:
    """What a 2xx means that is not JSON, though that was asked for: somebody else has answered. None otherwise. A file
    elsewhere (blob storage) is whatever it is, and taken without a word.
    """
    if request.elsewhere or any(name.lower() == "accept" for name in request.headers):
        return None
    kind = answer.headers.get("Content-Type", "nothing")
    said = masked(f"{connection}: {request.method} {request.path}: {answer.status} with {kind}")
    if request.is_write:
        silent = answer.text.strip() in ("", "null")
        return None if silent or answer.body is not None else OutcomeUnknown(f"{said}, which is no JSON")
    holds = isinstance(answer.body, dict | list)
    return None if holds else Unreachable(f"{said}, which holds no record: is it the system that answers there?")


def _first(named: Any) -> str:
    """The field a refusal speaks of, where it names several or explains each: the first one."""
    several = list(named) if isinstance(named, list | dict) else [named]
    return str(several[0] or "") if several else ""


def _speaks_of(row: ErrorRow, answer: Answer, code: str, write: bool) -> bool:
    return row.matches(answer.status, code, answer.text, write, answer.headers)


def _made(kind: str, text: str, code: str, field: str, connection: str, patience: float | None) -> IsthmusError:
    made: dict[str, Callable[[], IsthmusError]] = {
        "Unreachable": lambda: Unreachable(text, patience),
        "Throttled": lambda: Throttled(text, patience),
        "StaleRead": lambda: StaleRead(text, patience),
        "LostRace": lambda: LostRace(text, patience),
        "OutcomeUnknown": lambda: OutcomeUnknown(text),
        "Exists": lambda: OutcomeUnknown(text),
        "Absent": lambda: NotFound(text),
        "NeedsSetup": lambda: NeedsSetup(text, connection),
        "RemoteRefusal": lambda: RemoteRefusal(text, remote_code=code, field=field, system=connection),
    }
    return made[kind]()


def _common_rule(status: int, write: bool) -> str:
    if status in (401, 403):
        return "NeedsSetup"
    if status == 404:
        return "Absent"
    if status == 412:
        return "LostRace"
    if status == 429:
        return "Throttled"
    if status >= 500 or status == 408:
        return "OutcomeUnknown" if write else "Unreachable"
    return "RemoteRefusal"


def patience_of(manifest: Manifest, answer: Answer, now: datetime | None = None) -> float | None:
    """Seconds to wait, as the answer's headers say it; None when they do not."""
    named = (answer.headers.get(header, "") for header in manifest.limits.patience_headers)
    said = next((value.strip() for value in named if value.strip()), "")
    if said.replace(".", "", 1).isdigit():
        seconds = float(said)
        if seconds < 1e9:
            return seconds
        moment = seconds if seconds < 1e11 else seconds / 1000  # some count milliseconds
        return max(0.0, moment - (now or datetime.now(UTC)).timestamp())
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(said)
        except ValueError:
            continue
        whole = found if found.tzinfo else found.replace(tzinfo=UTC)
        return max(0.0, (whole - (now or datetime.now(UTC))).total_seconds())
    return None
