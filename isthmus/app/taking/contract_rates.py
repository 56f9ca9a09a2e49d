"""The rates of one contract as a file: an amended version with these rates, approved like every other."""

from __future__ import annotations

from isthmus.app.amending import hand_in
from isthmus.app.taking.kept import File, keep
from isthmus.app.taking.records import problems_of
from isthmus.app.taking.report import FileTaken, card_taken
from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.objects import ContractLine, ContractVersion, FiledContract
from isthmus.kit.rate_card import RateCardFile
from isthmus.processes.work.adopting import differences
from isthmus.runtime.books import Books
from isthmus.store.records import RunRow

KIND = "file.rate_card"
CHANGES_SHOWN = 200


def take(
    books: Books, file: File, found: RateCardFile, contract_no: str, line_uid: str, by: str, *, dry_run: bool
) -> FileTaken:
    """Hand in the contract's next version with the rates of the file: all rows or none.

    It takes effect on the first day of the file, but not before the contract. Its approvals are still to be given; what
    is billed since that day is reviewed, as with every amendment.
    """
    current = _current(books, contract_no)
    line = _line(current, line_uid)
    usable = bool(found.rates) and not found.rejected
    before, run_id = _known(books, current, found), ""
    named = before or _amended(books, current, line, found, file.name)
    if not dry_run:
        keep(books, file, problems_of(found.rejected) or ("" if usable else "it has no rates"))
        if before is not None:
            known = books.tx.get(RunRow, f"amend_contract/{before.key}")
            run_id = known.run_id if known else ""
        elif usable:
            run_id = hand_in(books, named, by).run_id
        after = {"contract": named.key if usable else "", "rates": len(found.rates), "rejected": len(found.rejected)}
        books.audit(KIND, f"file:{found.sha256[:24]}", reason=file.name, after=after)
    detail = {
        "card": named.key,
        "line": line.line_uid,
        "effective_from": str(named.effective_from),
        "changes": differences(found.rates, line.rates)[:CHANGES_SHOWN],
    }
    return card_taken(found, file, detail, run_id, usable=usable, known=before is not None, dry_run=dry_run)


def currency_of(books: Books, contract_no: str) -> str:
    """What the contract is priced in."""
    return _current(books, contract_no).currency


def _current(books: Books, contract_no: str) -> ContractVersion:
    found = books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    if not found:
        raise NotFound(f"no contract {contract_no}: there is nothing whose rates could change")
    return found[0]


def _line(version: ContractVersion, line_uid: str) -> ContractLine:
    """The line that is named, or the only one with rates."""
    if line_uid:
        return version.line(line_uid)
    priced = [line for line in version.lines if line.rates]
    if len(priced) != 1:
        names = ", ".join(line.line_uid for line in priced) or "none"
        raise BadInput(f"contract {version.key} has rates on {len(priced)} lines ({names}): say which line")
    return priced[0]


def _known(books: Books, current: ContractVersion, found: RateCardFile) -> ContractVersion | None:
    """The version this very file has made already."""
    filed = books.tx.find(FiledContract, contract_no=current.contract_no)
    return next((one.content for one in filed if one.content.document_hash == found.sha256), None)


def _amended(
    books: Books, current: ContractVersion, line: ContractLine, found: RateCardFile, name: str
) -> ContractVersion:
    first = min(v.effective_from for v in books.tx.find(ContractVersion, contract_no=current.contract_no))
    days = [rate.effective_from for rate in found.rates]
    changed = line.model_copy(update={"rates": found.rates})
    return current.model_copy(
        update={
            "version": current.version + 1,
            "lines": tuple(changed if one.line_uid == line.line_uid else one for one in current.lines),
            "effective_from": max(min(days, default=first), first),
            "signed_on": books.today(current.entity),
            "legal_approved_by": "",
            "finance_approved_by": "",
            "document_ref": name,
            "document_hash": found.sha256,
        }
    )
