"""Deciding a case: its values are checked against its form, its side effects carried out, and its run goes on.

The checks that look into the books, and what a decision changes besides letting the run go on, are listed here by type
and action. A decision says exactly what it is asked for, nothing a step might misread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from isthmus.desk import clients, full_caps, fx_rates
from isthmus.desk.forms import correctable_paths, names_of, value_at
from isthmus.desk.types import action_of
from isthmus.domain.errors import BadInput, IllegalTransition, NotFound
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
class Checked:
    """Values that fit the form. original: what they replace, when the action corrects what was sent."""

    values: Values
    original: Values | None = field(default=None)


def case_of(tx: Tx, case_no: str) -> Case:
    """The case with this number."""
    case = tx.get(Case, case_no)
    if case is None:
        raise NotFound(f"no case {case_no}")
    return case


def open_case(tx: Tx, case_no: str) -> Case:
    """The case with this number, held by this transaction. IllegalTransition when it is decided already."""
    tx.lock(f"case:{case_no}")
    case = case_of(tx, case_no)
    if case.state is not CaseState.OPEN:
        raise IllegalTransition(f"case {case_no} is {case.state} already (by {case.resolved_by})")
    return case


def asks_for(case: Case) -> dict[str, list[str]]:
    """For each action offered, the names of the values it needs."""
    return {action: list(names_of(case, action)) for action in case.actions}


def check(books: Books, case: Case, action: str, values: Mapping[str, Any]) -> Checked:
    """The values of a decision, cleaned. BadInput says what is missing, unknown or does not fit."""
    if action not in case.actions:
        offers = ", ".join(case.actions) or "no action"
        raise BadInput(f"case {case.case_no} offers {offers}; not {action!r}")
    given = {str(name): value for name, value in values.items()}
    if action_of(case.exception, action).edits:
        return _corrections(books, case, given)
    needs = names_of(case, action)
    missing = [name for name in needs if given.get(name) in (None, "", {}, [])]
    unknown = sorted(set(given) - set(needs))
    if missing or unknown:
        told = f"needs {' and '.join(missing)}" if missing else f"takes no {' and '.join(unknown)}"
        asked = f"it asks for {', '.join(needs)}" if needs else "it asks for nothing"
        raise BadInput(f"case {case.case_no}: {action} {told}; {asked}")
    cleaned = {name: _text(case, name, value) for name, value in given.items()}
    CHECKS.get((case.exception, action), _nothing)(books, case, cleaned)
    return Checked(cleaned)


def carry_out(books: Books, case_no: str, *, action: str, actor: str, reason: str, checked: Checked) -> Case:
    """Decide an open case with checked values; its run goes on, in the transaction of the books."""
    resolved = books.kernel.resolve(
        books.tx, case_no, action=action, actor=actor, reason=reason, values=dict(checked.values)
    )
    EFFECTS.get((resolved.exception, action), _nothing)(books, resolved, checked.values)
    return resolved


def _text(case: Case, name: str, value: Any) -> Any:
    """A text without its edges. An allocation is the one value that is a table; its own check looks into it."""
    if name == "allocate":
        return value
    if not (isinstance(value, str) and value.strip() and len(value) <= TEXT_MAX):
        raise BadInput(f"case {case.case_no}: {name} is a text of at most {TEXT_MAX} characters")
    return value.strip()


def _corrections(books: Books, case: Case, given: Values) -> Checked:
    """What differs from what was sent, for the step that was refused; both versions are kept with the decision."""
    allowed, sent = correctable_paths(books.tx, case), case.context.get("sent", {})
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise BadInput(
            f"case {case.case_no}: {', '.join(unknown)} cannot be corrected here; {', '.join(sorted(allowed))} can"
        )
    changes = {}
    for path, value in given.items():
        cleaned = "" if value == "" else _text(case, path, value)
        if cleaned != value_at(sent, path):
            changes[path] = cleaned
    if not changes:
        raise BadInput(f"case {case.case_no}: nothing is different from what was refused; use retry to send it again")
    original = {path: value_at(sent, path) for path in changes}
    return Checked({"key": str(case.context.get("key", "")), "changes": changes}, original)


def _nothing(books: Books, case: Case, values: Values) -> None:
    """Nothing to check, nothing to change."""


# -- checks -------------------------------------------------------------------------------------------------------


def _client_is_known(books: Books, case: Case, values: Values) -> None:
    if books.tx.get(Client, values["client_no"]) is None:
        raise BadInput(f"case {case.case_no}: there is no client {values['client_no']}")


def _payer_is_client(books: Books, case: Case, values: Values) -> None:
    _payer_is_meant(case, values)
    _client_is_known(books, case, values)


def _payer_is_whole(books: Books, case: Case, values: Values) -> None:
    _payer_is_meant(case, values)
    if not (len(values["country"]) == 2 and values["country"].isascii() and values["country"].isupper()):
        raise BadInput(f"case {case.case_no}: {values['country']!r} is no country; write two capital letters, like DE")


def _payer_is_meant(case: Case, values: Values) -> None:
    if values["payer"] != case.context["payer"]:
        raise BadInput(f"case {case.case_no} is about payer {case.context['payer']}; not {values['payer']}")


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


CHECKS: dict[tuple[str, str], Check] = {
    ("EX-CLIENT-DUP", "link"): _client_is_known,
    ("EX-CLIENT-DUP", "merge"): _client_is_known,
    ("EX-PAYER", "link"): _payer_is_client,
    ("EX-PAYER", "create"): _payer_is_whole,
    ("EX-LE", "choose"): _entity_is_active,
    ("EX-TERMS", "map"): _terms_are_known,
    ("EX-LINE-AMBIGUOUS", "assign"): _line_is_offered,
    ("EX-NO-CONTRACT-LINE", "assign"): _line_is_offered,
    ("EX-CASH-UNMATCHED", "allocate"): _allocation_adds_up,
    ("EX-FX-RATE", "enter"): fx_rates.is_a_rate,
    ("EX-CAP-REACHED", "raise"): full_caps.can_be_raised,
    ("EX-CAP-REACHED", "write_off"): full_caps.can_be_written_off,
}


# -- what a decision changes besides letting the run go on --------------------------------------------------------


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


def _merge_clients(books: Books, case: Case, values: Values) -> None:
    """The number of the contract's client stands for the chosen client from now on."""
    duplicate = str(case.context.get("offered", {}).get("client_no", ""))
    reason = f"{case.case_no}: {(case.resolution or {}).get('reason', '')}"
    clients.merge(books, duplicate, values["client_no"], by=case.resolved_by, reason=reason, case_no=case.case_no)


EFFECTS: dict[tuple[str, str], Check] = {
    ("EX-CAP-REACHED", "raise"): full_caps.raise_cap,
    ("EX-CAP-REACHED", "write_off"): full_caps.write_off,
    ("EX-CCY", "add"): _add_currency,
    ("EX-CLIENT-DUP", "merge"): _merge_clients,
    ("EX-FX-RATE", "enter"): fx_rates.keep_rate,
}
