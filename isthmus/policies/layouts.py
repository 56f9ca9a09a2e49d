"""How an invoice reads: which parts are shown as one line.

Layouts only say what is shown together. The net of every layout of the same evidence is the same, because a line is the
sum of its rounded parts (R0.2), never quantity * price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any, Literal

from isthmus.domain.objects import ContractLine, ContractVersion, InvoiceLine

POLICY = "layouts/1"
Layout = Literal["by_role", "by_person_task", "by_task", "detailed", "summary"]
NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A ready part with what an invoice shows of its item.

    contract_no may be empty where there is one contract only. tax_regime: empty means the client's own.
    """

    part_id: str
    line_uid: str
    role: str
    unit_price: Decimal
    quantity: Decimal
    net: Decimal
    contract_no: str = ""
    contract_version: int = 0
    payer: str = ""
    po_number: str = ""
    project_code: str = ""
    tax_category: str = ""
    tax_regime: str = ""
    source_type: str = "time"
    person: str = ""
    task_code: str = ""
    expense_class: str = ""
    service_date: date | None = None
    description: str = ""
    receipt_ref: str = ""


class Contracts:
    """The terms of the contracts that evidence is of, by contract and line."""

    def __init__(self, versions: Iterable[ContractVersion]) -> None:
        self._books: dict[str, list[ContractVersion]] = {}
        for version in sorted(versions, key=lambda v: v.version):
            self._books.setdefault(version.contract_no, []).append(version)
        self._lines: dict[tuple[str, str], ContractLine] = {}

    def _book(self, piece: Evidence) -> list[ContractVersion]:
        only = next(iter(self._books)) if not piece.contract_no and len(self._books) == 1 else piece.contract_no
        assert only in self._books, f"the terms of contract {piece.contract_no or '(none)'} are not given"
        return self._books[only]

    def newest(self, piece: Evidence) -> ContractVersion:
        """The version that says how the contract is invoiced."""
        return self._book(piece)[-1]

    def line(self, piece: Evidence) -> ContractLine:
        """The piece's line as its newest version has it; one that is gone may still be billed. BadInput if none has."""
        key = (piece.contract_no, piece.line_uid)
        if key not in self._lines:
            book = self._book(piece)
            having = [v for v in book if any(line.line_uid == piece.line_uid for line in v.lines)]
            self._lines[key] = (having or book)[-1].line(piece.line_uid)
        return self._lines[key]


def compose(
    evidence: Iterable[Evidence], versions: Iterable[ContractVersion], layout: Layout = "by_role"
) -> tuple[InvoiceLine, ...]:
    """The lines of one invoice. What differs in contract line, tax category or price is never one line.

    summary shows each contract line as one of its whole amount; detailed shows every part for itself.
    """
    contracts, label = Contracts(versions), LABELS[layout]

    def shown(piece: Evidence) -> tuple[Any, ...]:
        alone = (piece.service_date or date.min, piece.part_id) if layout == "detailed" else ()
        price = NOTHING if layout == "summary" else piece.unit_price
        return (piece.contract_no, piece.line_uid, piece.tax_category, *alone, label(piece), price)

    rows = groupby(sorted(evidence, key=lambda piece: (*shown(piece), piece.part_id)), key=shown)
    return tuple(
        _invoice_line(number, tuple(pieces), contracts, layout) for number, (_, pieces) in enumerate(rows, start=1)
    )


def _invoice_line(number: int, pieces: Sequence[Evidence], contracts: Contracts, layout: Layout) -> InvoiceLine:
    first = pieces[0]
    line, name = contracts.line(first), LABELS[layout](first)
    net = sum((piece.net for piece in pieces), NOTHING)
    projects = {piece.project_code for piece in pieces}
    return InvoiceLine(
        number=number,
        description=_described(line.description, name),
        quantity=Decimal(1) if layout == "summary" else sum((piece.quantity for piece in pieces), NOTHING),
        unit_price=net if layout == "summary" else first.unit_price,
        net=net,
        tax_code=line.tax_code,
        tax_category=first.tax_category or line.tax_category,
        line_uid=first.line_uid,
        part_ids=tuple(piece.part_id for piece in pieces),
        contract_no=first.contract_no,
        contract_version=max(piece.contract_version for piece in pieces),
        project_code=projects.pop() if len(projects) == 1 else "",
    )


def _described(line: str, name: str) -> str:
    """The contract line's words and what is told apart within it; neither is said twice."""
    if name in line:
        return line
    return name if name.startswith(line) else f"{line}: {name}"


# -- what a line is about --------------------------------------------------------------------------------------


def _what(piece: Evidence) -> str:
    """A role's hours, a kind of expense, a fee by its name."""
    return {"time": piece.role, "expense": piece.expense_class}.get(piece.source_type, piece.description)


def _person_and_task(piece: Evidence) -> str:
    if piece.source_type != "time":
        return _what(piece)
    return ", ".join(name for name in (piece.person, piece.task_code) if name)


def _task(piece: Evidence) -> str:
    return piece.task_code if piece.source_type == "time" else _what(piece)


def _everything(piece: Evidence) -> str:
    day = f"{piece.service_date}" if piece.service_date else ""
    return " ".join(word for word in (day, piece.person, piece.task_code, piece.description or _what(piece)) if word)


LABELS: dict[Layout, Callable[[Evidence], str]] = {
    "by_role": _what,
    "by_person_task": _person_and_task,
    "by_task": _task,
    "detailed": _everything,
    "summary": lambda piece: "",
}
