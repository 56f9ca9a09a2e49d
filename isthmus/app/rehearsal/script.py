"""The script of a rehearsal: who there is, what was agreed, what happens on which day, and what is expected then.

A TOML file. Objects are the hub's own (docs/lookup/objects), so a field that is not known is refused with its place.
Amounts and hours are text ("1240.00"); days are TOML dates. Every act says ``on`` which day and what it ``do``es.
"""

from __future__ import annotations

import tomllib
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from isthmus.app.rehearsal.acts import (
    Act,
    BillClientAct,
    ChargeEntitiesAct,
    LendAct,
    Part,
    SubcontractAct,
    SupplierBillAct,
    SupplierReleaseAct,
    ThresholdAct,
)
from isthmus.app.rehearsal.checks import problems_of
from isthmus.domain.errors import BadInput
from isthmus.domain.money import Exact
from isthmus.domain.objects import Client, ContractVersion, LegalEntity
from isthmus.domain.terms import Rate


class Work(Part):
    """One entry of time. id is its id in its source; the same id again is a correction, approved later."""

    id: str
    person: str
    role: str
    task: str = ""
    day: date
    hours: Exact
    note: str = ""
    grade: str = ""
    region: str = ""
    work_type: str = ""
    location: str = ""
    started_at: str = ""
    days: tuple[date, ...] = ()
    cost_rate: Exact | None = None


class TimeAct(Act):
    """Approved time arrives."""

    do: Literal["time", "submit_time"]
    contract: str
    approved_by: str = "pia.pm"
    entries: tuple[Work, ...]


class Spent(Part):
    """One expense; see the fields of an expense."""

    id: str
    person: str
    category: str
    day: date
    task: str = ""
    gross: Exact | None = None
    tax: Exact | None = None
    tax_recoverable: bool = False
    personal: Exact | None = None
    currency: str
    card_rate: Exact | None = None
    receipt: str = ""
    location: str = ""
    per_diem_day: Literal["", "first", "full", "last"] = ""
    meals_provided: tuple[Literal["breakfast", "lunch", "dinner"], ...] = ()
    distance: Exact | None = None
    billable: bool = True
    note: str = ""


class ExpenseAct(Act):
    """Approved expenses arrive."""

    do: Literal["expenses"]
    contract: str
    approved_by: str = "pia.pm"
    entries: tuple[Spent, ...]


class MilestoneAct(Act):
    """The PSA or the engagement manager says how far a milestone is."""

    do: Literal["milestone"]
    contract: str
    line: str = ""
    number: int
    state: Literal["planned", "in_progress", "completed", "accepted", "rejected"]
    by: str
    evidence: str = ""


class PercentAct(Act):
    """Progress of a fixed price is approved."""

    do: Literal["percent"]
    contract: str
    line: str
    percent: Exact
    by: str = "pia.pm"


class UsageAct(Act):
    """A meter or a billing engine reports a quantity with its evidence."""

    do: Literal["usage"]
    contract: str
    line: str
    id: str
    period_start: date
    period_end: date
    quantity: Exact
    unit_price: Exact
    amount: Exact | None = None
    evidence: str


class ContractAct(Act):
    """A contract version is handed in: the first sets the project up, a later one amends the contract."""

    do: Literal["contract"]
    contract: str
    version: int


class BillAct(Act):
    """A billing run for a contract up to a cut-off day."""

    do: Literal["bill"]
    contract: str
    cutoff: date
    name: str = ""
    prepared_by: str = "ana.billing"


class AdvanceAct(Act):
    """The deposit of a line is invoiced."""

    do: Literal["advance"]
    contract: str
    line: str


class ReleaseAct(Act):
    """A holdback is asked for."""

    do: Literal["release_holdback"]
    contract: str
    line: str
    finally_accepted: bool = True


class CreditAct(Act):
    """An invoice is credited; invoice is its place in the order of issue (1 is the first), lines: amount by number."""

    do: Literal["credit"]
    invoice: int
    lines: dict[str, Exact] = Field(default_factory=dict)
    reason: Literal["error_rebill", "concession", "dispute_settlement", "duplicate", "tax"]
    disposition: Literal["", "ready", "written_off", "transferred"] = ""
    by: str = "ana.billing"


class BadDebtAct(Act):
    """What is open of an invoice, or an amount of it, is given up; or all that was given up is claimed again."""

    do: Literal["bad_debt"]
    invoice: int
    amount: Exact | None = None
    claim_again: bool = False
    reason: str
    by: str = "ana.billing"


class DisputeAct(Act):
    """A client contests a line of an invoice."""

    do: Literal["dispute"]
    invoice: int
    line: int
    amount: Exact | None = None
    reason: str
    by: str = "client"


class DecideAct(Act):
    """A person decides the open case of a type."""

    do: Literal["decide"]
    case: str
    action: str
    by: str = "finn.finance"
    subject: str = ""
    values: dict[str, Any] = Field(default_factory=dict)


class PaymentAct(Act):
    """A client pays invoices, by their place in the order of issue. withheld: tax it says it keeps back of each."""

    do: Literal["payment"]
    id: str
    applies: dict[str, Exact]
    withheld: dict[str, Exact] = Field(default_factory=dict)
    reference: str = ""


class CloseAct(Act):
    """A month is closed, or opened again."""

    do: Literal["close_period", "reopen_period"]
    entity: str
    period: str
    by: str = "cora.controller"
    reason: str = ""


class HoldAct(Act):
    """A person holds evidence, or lets it go."""

    do: Literal["hold", "release_hold"]
    contract: str
    id: str
    reason: Literal["MILESTONE", "CLIENT_REQUEST", "TAX", "MANUAL", "DEFERRED", "RECEIPT_MISSING"] = "MANUAL"
    line: str = ""
    source: str = ""
    amount: Exact | None = None
    until: date | None = None
    by: str = "ana.billing"


class WriteOffAct(Act):
    """Unbilled evidence is given up, when another person agrees."""

    do: Literal["write_off"]
    contract: str
    amount: Exact
    state: Literal["ready", "held", "deferred", "over_cap"]
    by: str = "pia.pm"
    reason: str = "agreed with the client"


class WriteDownAct(Act):
    """What is ready up to a day is to be billed at less, when another person agrees."""

    do: Literal["write_down"]
    contract: str
    down_to: Exact
    cutoff: date
    by: str = "pia.pm"
    reason: str = "agreed with the client"


class ChangeOrderAct(Act):
    """A change order to the contract's cap is accepted."""

    do: Literal["change_order"]
    contract: str
    name: str
    cap_delta: Exact


class ReceiptAct(Act):
    """A person lets a missing receipt pass."""

    do: Literal["waive_receipt"]
    contract: str
    source: str
    by: str = "finn.finance"


class InvoiceExpected(Part):
    """What one issued document must be; only what is given is compared."""

    kind: str | None = None
    contract: str | None = None
    bill_to: str | None = None
    net: Exact | None = None
    tax: Exact | None = None
    total: Exact | None = None
    open: Exact | None = None
    disputed: Exact | None = None
    number: str | None = None
    issue_date: date | None = None
    lines: tuple[dict[str, Any], ...] | None = None


class ExpectAct(Act):
    """What must be true on that day. Only what is given is compared.

    parts: net by state for a contract; hours: the same in hours. invoices: all issued documents in the order of issue.
    cases: types of open cases; at_stake: what the open cases of a type are about, added up. events: how often each was
    published. erp: what the ERP sandbox holds. held_back, deposit: what a contract's ledgers add up to. bills: of a
    supplier's bill by number, any of its fields. kept_back: by subcontract, what is kept back from its supplier. lent:
    what one legal entity has charged another, by lender>borrower. near: percent of a threshold that sales have
    reached, by entity/state.
    """

    do: Literal["expect"]
    contract: str = ""
    parts: dict[str, Exact] | None = None
    hours: dict[str, Exact] | None = None
    invoices: tuple[InvoiceExpected, ...] | None = None
    cases: tuple[str, ...] | None = None
    at_stake: dict[str, Exact] | None = None
    events: dict[str, int] | None = None
    erp: dict[str, Any] | None = None
    retainer: tuple[dict[str, Any], ...] | None = None
    held_back: Exact | None = None
    deposit: Exact | None = None
    period: dict[str, Any] | None = None
    sources: dict[str, dict[str, Any]] | None = None
    bills: dict[str, dict[str, Any]] | None = None
    lent: dict[str, Exact] | None = None
    near: dict[str, Exact] | None = None
    kept_back: dict[str, Exact] | None = None


AnyAct = Annotated[
    TimeAct
    | ExpenseAct
    | MilestoneAct
    | PercentAct
    | UsageAct
    | ContractAct
    | BillAct
    | BillClientAct
    | LendAct
    | ChargeEntitiesAct
    | ThresholdAct
    | AdvanceAct
    | ReleaseAct
    | CreditAct
    | BadDebtAct
    | DisputeAct
    | DecideAct
    | PaymentAct
    | CloseAct
    | HoldAct
    | WriteOffAct
    | WriteDownAct
    | ChangeOrderAct
    | ReceiptAct
    | SubcontractAct
    | SupplierBillAct
    | SupplierReleaseAct
    | ExpectAct,
    Field(discriminator="do"),
]


class FxQuote(Part):
    """A rate of exchange of a day: units of to for one unit of from."""

    rate_type: str = "ecb"
    from_currency: str
    to_currency: str
    day: date
    rate: Exact
    source: str = "rehearsal"


class Card(Part):
    """Prices agreed with a client or for an entity."""

    code: str
    scope: Literal["client", "entity"]
    client_no: str = ""
    entity: str = ""
    currency: str
    rates: tuple[Rate, ...]


class Script(Part):
    """A whole rehearsal."""

    title: str
    about: str = ""
    starts: datetime
    entities: tuple[LegalEntity, ...]
    clients: tuple[Client, ...]
    contracts: tuple[ContractVersion, ...]
    cards: tuple[Card, ...] = ()
    fx: tuple[FxQuote, ...] = ()
    acts: tuple[AnyAct, ...]

    @model_validator(mode="after")
    def _acts_are_in_order(self) -> Script:
        days = [(act.on, act.at) for act in self.acts]
        for earlier, later in pairwise(days):
            if later < earlier:
                raise ValueError(f"an act on {later[0]} comes after one on {earlier[0]}: acts stand in order of time")
        known = {(c.contract_no, c.version) for c in self.contracts}
        for act in self.acts:
            if isinstance(act, ContractAct) and (act.contract, act.version) not in known:
                raise ValueError(
                    f"contract {act.contract} version {act.version} is handed in, but not in [[contracts]]"
                )
        return self


def read_script(path: Path) -> Script:
    """The script in a file. BadInput names every problem with its place."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise BadInput(f"{path}: {wrong}") from wrong
    return parse_script(content, str(path))


def parse_script(content: dict[str, Any], name: str) -> Script:
    """A script from its content; each contract gets the facts of the client it names."""
    for table in ("clients", "contracts"):
        if not all(isinstance(one, dict) for one in _listed(content, table)):
            raise BadInput(f"{name}: {table}: write each as a table [[{table}]]")
    clients = {str(c.get("client_no")): c for c in _listed(content, "clients")}
    filled = []
    for terms in _listed(content, "contracts"):
        known = clients.get(str(terms.get("client_no", "")))
        if known is None:
            raise BadInput(f"{name}: contract {terms.get('contract_no')} names client {terms.get('client_no')!r}: none")
        payers = [clients[number] for number in _payers_of(terms) if number in clients]
        filled.append({"client": known, "payers": payers, **terms})
    try:
        script = TypeAdapter(Script).validate_python({**content, "contracts": filled})
    except ValidationError as wrong:
        told = [f"{'.'.join(str(step) for step in e['loc'])}: {e['msg']}" for e in wrong.errors()]
        raise BadInput(_told(name, told)) from wrong
    problems = list(problems_of(script))
    if problems:
        raise BadInput(_told(name, problems))
    return script


def _payers_of(terms: dict[str, Any]) -> list[str]:
    """Whom the lines of a contract name as payers beside its client; what is not of that shape is refused later."""
    lines = [line for line in _listed(terms, "lines") if isinstance(line, dict)]
    named = [p.get("bill_to") for line in lines for p in _listed(line, "payers") if isinstance(p, dict)]
    return [number for number in dict.fromkeys(map(str, named)) if number != terms.get("client_no")]


def _listed(content: dict[str, Any], table: str) -> list[Any]:
    found = content.get(table, [])
    return found if isinstance(found, list) else [found]


def _told(name: str, problems: list[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{name}: {count}\n  " + "\n  ".join(problems[:50])
