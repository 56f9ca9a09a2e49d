"""A cap that is full has an owner: one open case for each contract and cap, about all that is over it now.

The case is written where the evidence is placed, in the same transaction and under the same lock: it is opened with the
first cent over the cap, says the new amount whenever that changes, and closes itself when nothing is over the cap any
more (raised, written off, corrected). So it follows from what is over the cap, in whatever order that arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import ContractVersion
from isthmus.domain.states import CaseState, PartState
from isthmus.policies.caps import Placement
from isthmus.runtime.books import Books
from isthmus.runtime.loops import keeper
from isthmus.store.records import Case, RunRow, RunState

FULL = "EX-CAP-REACHED"
ZERO = Decimal(0)
Over = Mapping[str, tuple[Decimal, Decimal]]  # by cap: net and quantity
# What an answer has handed in: as long as that is under way, what is over the cap is somebody's already.
HANDED_IN = {"raise": "change_order", "write_off": "write_off"}


def settle(books: Books, version: ContractVersion, placements: Sequence[Placement], known: Iterable[str]) -> None:
    """Bring the cases of a contract's caps to what is over them. known: caps that something was over before."""
    over = _over(placements)
    for cap_id in sorted({*known, *over}):
        _settle_one(books, version, cap_id, over.get(cap_id))


def _over(placements: Sequence[Placement]) -> Over:
    over: dict[str, tuple[Decimal, Decimal]] = {}
    for placement in placements:
        if placement.state is PartState.OVER_CAP:
            net, quantity = over.get(placement.cap_id, (ZERO, ZERO))
            over[placement.cap_id] = (net + placement.net, quantity + placement.quantity)
    return over


def _settle_one(books: Books, version: ContractVersion, cap_id: str, over: tuple[Decimal, Decimal] | None) -> None:
    cases = books.tx.find(Case, run_id=_kept_under(version.contract_no, cap_id), order=("opened_at", "case_no"))
    case = _still_open(books, cases)
    if over is None:
        if case is not None:
            books.kernel.casework.close_by_itself(books.tx, case, "nothing is over the cap any more")
    elif case is not None:
        _say_anew(books, case, version, over)
    elif not (cases and _under_way(books, version.contract_no, cases[-1])):
        _open(books, version, cap_id, over)


def _kept_under(contract_no: str, cap_id: str) -> str:
    return f"cap/{contract_no}/{cap_id}"


def _still_open(books: Books, cases: Sequence[Case]) -> Case | None:
    """The open case of a cap, held by this transaction: whoever decides it meanwhile has to wait, or was first."""
    for case in cases:
        if case.state is CaseState.OPEN:
            books.tx.lock(f"case:{case.case_no}")
            current = books.tx.get(Case, case.case_no)
            if current is not None and current.state is CaseState.OPEN:
                return current
    return None


def _under_way(books: Books, contract_no: str, case: Case) -> bool:
    """True while the change order or write-off that the last answer has handed in is neither done nor called off.

    The one that places the evidence now has done its part.
    """
    answer = case.resolution or {}
    process = HANDED_IN.get(str(answer.get("action", "")))
    if process is None:
        return False
    run = books.tx.get(RunRow, f"{process}/{contract_no}:{handed_in_as(case)}")
    if run is None or run.run_id == books.run_id:
        return False
    return run.state not in (RunState.DONE, RunState.CANCELLED) and not run.cancelling


def handed_in_as(case: Case) -> str:
    """The name under which an answer hands in a change order (its own) or a write-off (the case's number)."""
    return str((case.resolution or {}).get("change_order", "")) or case.case_no


def _open(books: Books, version: ContractVersion, cap_id: str, over: tuple[Decimal, Decimal]) -> None:
    row = keeper(_kept_under(version.contract_no, cap_id), f"{version.contract_no} {cap_id}", books.now)
    about = {"entity": version.entity, "correlation_id": f"contract:{version.contract_no}", "process": "cap"}
    told = NeedsDecision(
        FULL,
        _cause(version, cap_id, over),
        queue="pmo",
        money=(over[0], version.currency),
        context=_facts(version, cap_id, over),
        actions=("raise", "write_off"),
    )
    books.kernel.open_case(books.tx, row.model_copy(update=about), 0, "place evidence under its caps", told)


def _say_anew(books: Books, case: Case, version: ContractVersion, over: tuple[Decimal, Decimal]) -> None:
    cap_id = str(case.context["cap"])
    now = {"amount": over[0], "cause": _cause(version, cap_id, over), "context": _facts(version, cap_id, over)}
    if (case.amount, case.cause, case.context) == (now["amount"], now["cause"], now["context"]):
        return
    books.tx.update(case.model_copy(update=now))
    before, after = {"amount": str(case.amount)}, {"amount": str(over[0])}
    books.audit("case.amount", case.case_no, reason=str(now["cause"]), before=before, after=after)


def _cause(version: ContractVersion, cap_id: str, over: tuple[Decimal, Decimal]) -> str:
    cap = next((cap for cap in version.caps if cap.cap_id == cap_id), None)
    limit = f" ({cap.limit} {'h' if cap.measure == 'hours' else version.currency})" if cap else ""
    return (
        f"cap {cap_id} of contract {version.contract_no}{limit} is full: {over[0]} {version.currency} of approved work"
        " is over it and cannot be billed until the client raises it"
    )


def _facts(version: ContractVersion, cap_id: str, over: tuple[Decimal, Decimal]) -> dict[str, str]:
    return {"contract": version.contract_no, "cap": cap_id, "over": str(over[0]), "quantity": str(over[1])}
