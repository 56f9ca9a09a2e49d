"""Files of subcontractors' bills: each bill is held against what is agreed, kept whole, and started on its way."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.app.taking.kept import File, keep, refuse_nameless
from isthmus.app.taking.records import problems_of
from isthmus.app.taking.report import FileTaken, Refusal, balance_of, refusals
from isthmus.domain.errors import BadInput
from isthmus.domain.subcontracting import Subcontract, SubcontractorBill
from isthmus.kit.bill_file import BillFile, ReadBill, read_bill_file
from isthmus.kit.csv_rows import Rejection
from isthmus.processes.work import matching, receiving
from isthmus.processes.work.buying import newest
from isthmus.runtime.books import Books

KIND, SOURCE = "file.subcontractor_bills", "files"


@dataclass(frozen=True)
class _Fitting:
    """A bill that fits a subcontract, as the hub would keep it. known: it is there already."""

    read: ReadBill
    bill: SubcontractorBill
    known: bool


def file_of(name: str, content: bytes, sheet: str = "") -> File:
    """The file at the door."""
    return File(KIND, SOURCE, name, content, sheet)


def read(file: File, *, require_totals: bool = False) -> BillFile:
    """The bills of the file. BadInput, with nothing used, when it cannot be trusted as a whole."""
    refuse_nameless(file)
    return read_bill_file(file.content, file.name, require_totals=require_totals, sheet=file.sheet)


def entities_of(books: Books, found: BillFile) -> set[str]:
    """The legal entities that the bills of a file are for."""
    agreed = (newest(books.tx, bill.subcontract_no) for bill in found.bills)
    return {subcontract.entity for subcontract in agreed if subcontract is not None}


def take(books: Books, file: File, found: BillFile, by: str, *, dry_run: bool = False) -> FileTaken:
    """Start every bill that fits what is agreed; name the rows of the others. Who hands it in confirms none of them."""
    fitting: list[_Fitting] = []
    rejected = list(found.rejected)
    for read_bill in found.bills:
        fits, refused = _fit(books, found, read_bill, by)
        fitting += [fits] if fits is not None else []
        rejected += refused
    rejected.sort(key=lambda rejection: rejection.line)
    deciding = [refusal for one in fitting if not one.known for refusal in _to_decide(books, found, one)]
    if not dry_run:
        for one in fitting:
            receiving.receive(books, one.bill, f"{file.name}, sha256 {found.sha256}")
        keep(books, file, problems_of(rejected))
        after = {"accepted": sum(not one.known for one in fitting), "rejected": len(rejected), "rows": found.count}
        books.audit(KIND, f"file:{found.sha256[:24]}", reason=file.name, after=after)
    rows = {known: sum(len(one.read.at) for one in fitting if one.known is known) for known in (True, False)}
    return FileTaken(
        kind="subcontractor_bills",
        name=file.name,
        sha256=found.sha256,
        dry_run=dry_run,
        controlled=found.controlled,
        rows=found.count,
        balance=balance_of(found.sent, [line.amount for one in fitting for line in one.read.lines], (), rejected),
        accepted=rows[False],
        duplicates=rows[True],
        repeated_lines=[],
        rejected=refusals(rejected),
        to_decide=deciding,
        message_id=file.message_id,
        message_ids=[],
        detail={"bills": [one.bill.bill_id for one in fitting if not one.known]},
    )


def _fit(books: Books, found: BillFile, one: ReadBill, by: str) -> tuple[_Fitting | None, list[Rejection]]:
    subcontract = newest(books.tx, one.subcontract_no)
    wrong = _misfit(one, subcontract)
    if wrong or subcontract is None:
        return None, found.refused(one, *wrong)
    bill = receiving.drawn_up(books, subcontract, one.bill_no, one.billed_on, one.lines, by)
    try:
        known = receiving.known_as(books.tx, bill) is not None
    except BadInput as other:
        return None, found.refused(one, "bill_no", other.message)
    return _Fitting(one, bill, known), []


def _misfit(one: ReadBill, subcontract: Subcontract | None) -> tuple[str, str] | tuple[()]:
    """The field that does not fit what is agreed, and why."""
    if subcontract is None:
        return "subcontract_no", "is no subcontract that is known"
    if one.supplier != subcontract.supplier:
        return "supplier", f"is not {subcontract.supplier}, with whom {one.subcontract_no} is agreed"
    if one.currency != subcontract.currency:
        return "currency", f"is not {subcontract.currency}, in which {one.subcontract_no} is agreed"
    return ()


def _to_decide(books: Books, found: BillFile, one: _Fitting) -> list[Refusal]:
    """What a person will have to decide of a bill, as far as the door can tell."""
    matched, same_as = matching.looked_at(books, one.bill)
    problems = [f"has the content of bill {same_as}"] if same_as else []
    problems += matched.problems
    told = found.refused(one.read, "bill_no", "; ".join(problems))[:1] if problems else []
    return refusals(told, "EX-SUBCON-MATCH")
