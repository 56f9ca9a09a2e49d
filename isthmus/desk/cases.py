"""Deciding a case: what each action needs, and what it changes besides letting the run go on.

One row per exception type and action that needs or changes something. An action without a row takes no values:
a decision says exactly what it is asked for, nothing a step might misread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import Client, LegalEntity
from isthmus.domain.states import CaseState
from isthmus.runtime.books import Books
from isthmus.store.records import Case
from isthmus.store.tx import Tx

TEXT_MAX = 200
Values = dict[str, Any]
Check = Callable[[Books, Case, Values], None]


@dataclass(frozen=True)
class Form:
    """What an action asks for. needs: text values by name. check: whether they hold. carry_out: its side effect."""

    needs: tuple[str, ...] = ()
    check: Check = lambda books, case, values: None
    carry_out: Check = lambda books, case, values: None


def case_of(tx: Tx, case_no: str) -> Case:
    """The case with this number."""
    case = tx.get(Case, case_no)
    if case is None:
        raise NotFound(f"no case {case_no}")
    return case


def resolve(books: Books, case_no: str, *, action: str, actor: str, reason: str, values: Mapping[str, Any]) -> Case:
    """Check the decision, carry its side effect out and let the run go on, in the transaction of the books."""
    books.tx.lock(f"case:{case_no}")
    case = case_of(books.tx, case_no)
    given = {str(name): value for name, value in values.items()}
    form = FORMS.get((case.exception, action), Form())
    offered = case.state is CaseState.OPEN and action in case.actions
    if offered:
        given = _checked(books, case, action, form, given)
    resolved = books.kernel.resolve(books.tx, case_no, action=action, actor=actor, reason=reason, values=given)
    if offered:
        form.carry_out(books, resolved, given)
    return resolved


def asks_for(case: Case) -> dict[str, list[str]]:
    """The form of a case: for each action offered, the names of the values it needs."""
    return {action: list(_needs(case, action, FORMS.get((case.exception, action), Form()))) for action in case.actions}


def _needs(case: Case, action: str, form: Form) -> tuple[str, ...]:
    if (case.exception, action) == ("EX-DIM", "fill"):
        return tuple(str(name) for name in case.context.get("missing", ()))
    return form.needs


def _checked(books: Books, case: Case, action: str, form: Form, values: Values) -> Values:
    needs = _needs(case, action, form)
    missing = [name for name in needs if values.get(name) in (None, "", {}, [])]
    unknown = sorted(set(values) - set(needs))
    if missing or unknown:
        told = f"needs {' and '.join(missing)}" if missing else f"takes no {' and '.join(unknown)}"
        asked = f"it asks for {', '.join(needs)}" if needs else "it asks for nothing"
        raise BadInput(f"case {case.case_no}: {action} {told}; {asked}")
    for name, value in values.items():
        # An allocation is the one value that is a table; its own check looks into it.
        if name != "allocate" and not (isinstance(value, str) and value.strip() and len(value) <= TEXT_MAX):
            raise BadInput(f"case {case.case_no}: {name} is a text of at most {TEXT_MAX} characters")
    cleaned = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
    form.check(books, case, cleaned)
    return cleaned


# -- checks -----------------------------------------------------------------------------------------------------


def _client_is_known(books: Books, case: Case, values: Values) -> None:
    if books.tx.get(Client, values["client_no"]) is None:
        raise BadInput(f"case {case.case_no}: there is no client {values['client_no']}")


def _entity_is_active(books: Books, case: Case, values: Values) -> None:
    entity = books.tx.get(LegalEntity, values["entity"])
    if entity is None or not entity.active:
        raise BadInput(f"case {case.case_no}: {values['entity']} is no active legal entity")


def _terms_are_known(books: Books, case: Case, values: Values) -> None:
    known = case.context.get("known", [])
    if values["payment_terms"] not in known:
        raise BadInput(f"case {case.case_no}: the ERP knows {', '.join(known)}; not {values['payment_terms']}")


def _line_is_offered(books: Books, case: Case, values: Values) -> None:
    lines = case.context.get("lines", [])
    if lines and values["line_uid"] not in lines:
        raise BadInput(f"case {case.case_no}: the role fits {', '.join(lines)}; not {values['line_uid']}")


def _allocation_adds_up(books: Books, case: Case, values: Values) -> None:
    wanted, still_open = values["allocate"], case.context.get("open", {})
    if not isinstance(wanted, dict):
        raise BadInput(f"case {case.case_no}: allocate is a table of invoice number to amount")
    total = Decimal(0)
    for number, amount in wanted.items():
        if number not in still_open:
            names = ", ".join(sorted(still_open)) or "none"
            raise BadInput(f"case {case.case_no}: {number} is not open for this client; open: {names}")
        share = _amount(case, number, amount)
        if share > Decimal(still_open[number]):
            raise BadInput(f"case {case.case_no}: {share} is more than the {still_open[number]} open on {number}")
        total += share
    if case.amount is not None and total > case.amount:
        raise BadInput(f"case {case.case_no}: {total} is more than the payment of {case.amount} {case.currency}")


def _amount(case: Case, number: str, amount: Any) -> Decimal:
    try:
        share = Decimal(amount) if isinstance(amount, str | int) and not isinstance(amount, bool) else Decimal("NaN")
    except InvalidOperation:
        share = Decimal("NaN")
    if not share.is_finite() or not 0 < share < 10**15 or not is_exact_amount(share, case.currency):
        raise BadInput(f"case {case.case_no}: {amount!r} for {number} is no amount in {case.currency}; send it as text")
    return share


# -- side effects -----------------------------------------------------------------------------------------------


def _add_currency(books: Books, case: Case, values: Values) -> None:
    """From now on the entity invoices in the contract's currency; the step reads the entity anew."""
    code, currency = str(case.context["entity"]), str(case.context["currency"])
    books.tx.lock(f"entity:{code}")
    entity = books.entity(code)
    if currency in entity.currencies:
        return
    added = entity.model_copy(update={"currencies": (*entity.currencies, currency)})
    books.tx.update(added)
    books.audit(
        "entity.add_currency",
        f"entity:{code}",
        reason=f"{case.case_no}: {(case.resolution or {}).get('reason', '')}",
        before={"currencies": list(entity.currencies)},
        after={"currencies": list(added.currencies)},
        actor=case.resolved_by,
    )


FORMS: dict[tuple[str, str], Form] = {
    ("EX-CLIENT-DUP", "link"): Form(("client_no",), _client_is_known),
    ("EX-CLIENT-NEW", "create"): Form(("client_no", "legal_name")),
    ("EX-LE", "choose"): Form(("entity",), _entity_is_active),
    ("EX-CCY", "add"): Form(carry_out=_add_currency),
    ("EX-DIM", "fill"): Form(),  # asks for the dimensions that are missing
    ("EX-TAX-REG", "exempt"): Form(("exemption_certificate",)),
    ("EX-TERMS", "map"): Form(("payment_terms",), _terms_are_known),
    ("EX-LINE-AMBIGUOUS", "assign"): Form(("line_uid",), _line_is_offered),
    ("EX-NO-CONTRACT-LINE", "assign"): Form(("line_uid",), _line_is_offered),
    ("EX-CASH-UNMATCHED", "allocate"): Form(("allocate",), _allocation_adds_up),
}
