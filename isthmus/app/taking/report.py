"""What became of a file: every row and every hour or cent of it is taken, repeated or refused, and the sums say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from isthmus.app.taking.kept import File
from isthmus.kit.csv_rows import Rejection
from isthmus.kit.rate_card import RateCardFile


class Refusal(BaseModel):
    """One bad cell: where, what, why. case: of a row that is taken, what a person will decide."""

    line: int
    column: str
    value: str
    reason: str
    case: str = ""


class Sums(BaseModel):
    """Rows, and the sum of their hours, gross amounts or bill rates as sent."""

    rows: int
    total: str


class Balance(BaseModel):
    """In is taken and repeated and refused: nothing of the file is anywhere else."""

    sent: Sums
    taken: Sums
    repeated: Sums
    refused: Sums


class FileTaken(BaseModel):
    """What became of a file, or would become of it (dry_run).

    rows: below the header. controlled: it had control totals and they agreed. accepted: taken and new; duplicates:
    taken and known before. repeated_lines say again what an earlier line said. to_decide: rows that are taken and will
    wait for a person, with the case. message_id: the file itself, kept as it came.
    """

    kind: str
    name: str
    sha256: str
    dry_run: bool
    controlled: bool
    rows: int
    balance: Balance
    accepted: int
    duplicates: int
    repeated_lines: list[int]
    rejected: list[Refusal]
    to_decide: list[Refusal]
    message_id: str
    message_ids: list[str]
    run_id: str = ""
    detail: dict[str, Any] = {}


def refusals(rejected: Iterable[Rejection], case: str = "") -> list[Refusal]:
    """Rejections as they are told."""
    return [Refusal(line=r.line, column=r.column, value=r.value, reason=r.reason, case=case) for r in rejected]


def balance_of(
    sent: Mapping[int, Decimal], taken: Sequence[Decimal], repeated: Sequence[int], rejected: Sequence[Rejection]
) -> Balance:
    """The sums of a file. taken: the amounts of the records that are used, read from the records themselves."""
    refused = sorted({rejection.line for rejection in rejected})
    found = Balance(
        sent=_sums(list(sent.values())),
        taken=_sums(taken),
        repeated=_sums([sent[line] for line in repeated]),
        refused=_sums([sent[line] for line in refused]),
    )
    parts = (found.taken, found.repeated, found.refused)
    rows, total = sum(part.rows for part in parts), sum((Decimal(part.total) for part in parts), Decimal(0))
    assert (rows, total) == (found.sent.rows, Decimal(found.sent.total)), f"a row of the file is lost: {found}"
    return found


def _sums(amounts: Sequence[Decimal]) -> Sums:
    return Sums(rows=len(amounts), total=f"{sum(amounts, Decimal(0)):f}")


def card_taken(
    found: RateCardFile, file: File, detail: dict[str, Any], run_id: str, *, usable: bool, known: bool, dry_run: bool
) -> FileTaken:
    """The report of a file of rates. usable: it has rates that can be agreed; known: they are in force already."""
    return FileTaken(
        kind="rate_card",
        name=file.name,
        sha256=found.sha256,
        dry_run=dry_run,
        controlled=found.controlled,
        rows=found.count,
        balance=balance_of(found.sent, [rate.bill_rate for rate in found.rates], found.repeated, found.rejected),
        accepted=len(found.rates) if usable and not known else 0,
        duplicates=len(found.rates) if known else 0,
        repeated_lines=list(found.repeated),
        rejected=refusals(found.rejected),
        to_decide=[],
        message_id=file.message_id,
        message_ids=[],
        run_id=run_id,
        detail=detail,
    )
