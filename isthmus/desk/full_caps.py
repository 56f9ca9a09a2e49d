"""What a decision about a full cap hands in: a change order the client has accepted, or a request to write off."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import Cap, ContractVersion
from isthmus.runtime.books import Books
from isthmus.store.records import Case, RunRow

Values = dict[str, Any]


def can_be_raised(books: Books, case: Case, values: Values) -> None:
    """The cap grows by a positive amount that it can hold, under a change order nobody has handed in before."""
    delta, contract_no = values["cap_delta"], str(case.context["contract"])
    known = re.fullmatch(r"\d+(\.\d{1,4})?", delta) is not None and Decimal(delta) > 0
    if not known or (_measure(books, case) == "amount" and not is_exact_amount(Decimal(delta), case.currency)):
        raise BadInput(f"case {case.case_no}: {delta!r} is nothing by which the cap could grow: write 400 or 400.00")
    if books.tx.get(RunRow, f"change_order/{contract_no}:{values['change_order']}") is not None:
        raise BadInput(
            f"case {case.case_no}: change order {values['change_order']} of {contract_no} is handed in already"
        )


def _measure(books: Books, case: Case) -> str:
    """In what the cap counts; the amount of a purchase order is no cap of its own."""
    versions = books.tx.find(ContractVersion, contract_no=case.context["contract"], order=("-version",), limit=1)
    caps: dict[str, Cap] = {cap.cap_id: cap for cap in versions[0].caps}
    cap = caps.get(str(case.context["cap"]))
    return cap.measure if cap is not None else "amount"


def raise_cap(books: Books, case: Case, values: Values) -> None:
    """Hand the change order in: a new contract version, the caps evaluated again, the budget pushed."""
    contract_no = str(case.context["contract"])
    args = {
        "contract_no": contract_no,
        "change_order": values["change_order"],
        "cap_delta": values["cap_delta"],
        "accepted_on": books.today(case.entity).isoformat(),
        "evidence": values["evidence"],
        "cap_id": str(case.context["cap"]),
    }
    _start(books, "change_order", f"{contract_no}:{values['change_order']}", args, case)


def write_off(books: Books, case: Case, values: Values) -> None:
    """Ask to give up what is over the cap now; another person approves."""
    contract_no = str(case.context["contract"])
    args = {
        "contract_no": contract_no,
        "amount": str(case.amount),
        "state": "over_cap",
        "requested_by": case.resolved_by,
        "reason": values["why"],
        "cap_id": str(case.context["cap"]),
    }
    _start(books, "write_off", f"{contract_no}:{case.case_no}", args, case)


def can_be_written_off(books: Books, case: Case, values: Values) -> None:
    """Hours that are worth nothing cannot be written off."""
    if not case.amount or case.amount <= 0:
        raise BadInput(
            f"case {case.case_no}: what is over the cap is worth {case.amount}: there is nothing to write off"
        )


def _start(books: Books, process: str, key: str, args: dict[str, str], case: Case) -> None:
    books.start(process, key, args, entity=case.entity, correlation_id=f"contract:{case.context['contract']}")
