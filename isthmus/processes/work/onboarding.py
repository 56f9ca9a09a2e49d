"""Steps of contract to project: check the terms, plan the project, keep what was agreed, open the gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from isthmus.domain.errors import NeedsDecision, Retryable
from isthmus.domain.objects import (
    BillingType,
    Client,
    ContractLine,
    ContractVersion,
    Engagement,
    ExternalRef,
    FiledContract,
    LegalEntity,
    Project,
    Task,
)
from isthmus.domain.states import EngagementState, move
from isthmus.domain.work import milestone_code
from isthmus.policies import readiness
from isthmus.policies.payers import check_payer_tax, taxed_payers, with_terms
from isthmus.ports import Crm, Erp, RateBook, TaxEngine
from isthmus.ports.messages import ProjectFacts, RateCardIn, Registrations, ScheduleIn, TaskIn
from isthmus.processes.work.signing import evidence_about
from isthmus.runtime.books import Books
from isthmus.runtime.run import Run
from isthmus.store.desk_records import ClientAlias

T = TypeVar("T")


def approved_terms(books: Books, contract: ContractVersion, *actions: str) -> ContractVersion:
    """P1.1 and P1.2: both approvals are there, named or signed for, and every term can be billed."""
    envelopes = evidence_about(books, contract.contract_no, contract.version)
    return readiness.check_terms(readiness.check_approvals(contract, envelopes, actions))


def read_terms(run: Run, contract_no: str, version: int) -> ContractVersion:
    """The contract's terms as they were handed in with this version, else as the CRM has them; approved and sane."""
    filed = run.decide("Look for the terms as they were handed in", find_filed, contract_no, version)
    if filed is not None:
        return run.decide("Check the terms as they were handed in", check_filed, filed)
    return run.read(
        "Read the approved contract and its terms",
        Crm.read_contract,
        contract_no,
        judge=approved_terms,
        unreadable=("EX-MAP-TERMS", "contract-operations"),
    )


def registrations(run: Run, contract: ContractVersion, client: Client, entity: LegalEntity) -> Registrations:
    """Where the entity is registered for tax: as its engine says, else as its own record does. While that is not enough
    it is asked again, so that a registration made meanwhile counts.
    """
    if run.decide("See who knows the tax registrations", has_engine, entity.code):
        return run.read(
            "Ask where the entity is registered for tax",
            TaxEngine.registrations,
            entity.code,
            judge=until(check_tax, contract, client),
        )
    return run.decide("Read where the entity is registered for tax", own_registrations, contract, client, entity.code)


def until(check: Callable[..., object], *args: Any) -> Callable[[Books, T], T]:
    """The judge of an answer that is asked for again until a check of it passes."""

    def judge(books: Books, answer: T) -> T:
        check(books, *args, answer)
        return answer

    return judge


def known_terms(run: Run, contract: ContractVersion, entity: LegalEntity) -> tuple[str, ...]:
    """Payment terms the ERP knows; asked again while the contract's are not among them."""
    judge = until(map_terms, contract, entity)
    return run.read("Ask the ERP for its payment terms", Erp.payment_terms, judge=judge)


def has_engine(books: Books, entity: str) -> bool:
    """True when a tax engine serves the entity."""
    return books.kernel.systems.fills("TaxEngine", entity)


def own_registrations(books: Books, contract: ContractVersion, client: Client, entity: str) -> Registrations:
    """The places the firm has written down for the entity, once they are enough."""
    found = Registrations(entity=entity, regions=books.entity(entity).tax_registrations)
    check_tax(books, contract, client, found)
    return found


def find_filed(books: Books, contract_no: str, version: int) -> ContractVersion | None:
    """The version as it was handed in complete, if it was."""
    filed = books.tx.get(FiledContract, contract_no, version)
    return filed.content if filed else None


def check_filed(books: Books, contract: ContractVersion) -> ContractVersion:
    """approved_terms, with the approvals that came after it was handed in."""
    given = books.answers.get("EX-APPROVAL-INCOMPLETE", {})
    names = ("legal_approved_by", "finance_approved_by")
    told = contract.model_copy(update={n: str(given[n]) for n in names if given.get(n)})
    return approved_terms(books, told, "approved")


def request_engagement(books: Books, contract: ContractVersion) -> Engagement:
    """One engagement per contract, however often it is announced."""
    engagement = Engagement(
        engagement_no=contract.contract_no,
        contract_no=contract.contract_no,
        client_no=contract.client_no,
        entity=contract.entity,
        sold_value=contract.transaction_price,
        currency=contract.currency,
    )
    if not books.tx.insert_new(engagement):
        found = books.tx.get(Engagement, contract.contract_no)
        assert found is not None
        if found.state not in (EngagementState.REQUESTED, EngagementState.VALIDATING):
            raise _amendment(contract, found)
        return found
    payload = {"contract": contract.key, "client": contract.client.legal_name}
    books.emit("contract.approved", f"contract:{contract.contract_no}", payload, entity=contract.entity)
    books.emit("engagement.requested", f"engagement:{contract.contract_no}", payload, entity=contract.entity)
    return _to(books, engagement, EngagementState.VALIDATING)


def _amendment(contract: ContractVersion, engagement: Engagement) -> NeedsDecision:
    """Terms of a running contract change by change order; a new version must not be set up over it."""
    return NeedsDecision(
        "EX-AMENDMENT",
        f"contract {contract.key} was announced while its engagement is {engagement.state}:"
        " bring the change in as a change order",
        queue="contract-operations",
        context={"contract": contract.key, "engagement": str(engagement.state)},
    )


def _to(books: Books, engagement: Engagement, state: EngagementState) -> Engagement:
    moved = move(engagement, "state", state)
    books.tx.update(moved)
    return moved


def find_client(books: Books, contract: ContractVersion) -> Client:
    """P1.3: the client by number, or the one a steward has merged it with; a look-alike is a person's decision."""
    alias = books.tx.get(ClientAlias, contract.client_no)
    canonical = books.tx.get(Client, alias.canonical_no) if alias is not None and alias.active else None
    if canonical is not None:
        return canonical
    found = readiness.resolve_client(contract, books.tx.find(Client, order=("client_no",)), books.answers)
    return found


def client_is_new(books: Books, client: Client) -> bool:
    """Take a new client into the hub's books; True when it was not there."""
    new = books.tx.insert_new(client)
    if new:
        books.emit("client.created", f"client:{client.client_no}", {"name": client.legal_name})
    return new


def choose_entity(books: Books, contract: ContractVersion) -> LegalEntity:
    """P1.4: the selling legal entity."""
    return readiness.check_entity(contract, books.entities(), books.answers)


def check_currency(books: Books, contract: ContractVersion, entity: LegalEntity) -> str:
    """P1.4: the entity's currencies are read anew, so a currency added meanwhile counts."""
    return readiness.check_currency(contract, books.entity(entity.code))


def complete_dimensions(books: Books, contract: ContractVersion, entity: LegalEntity) -> dict[str, str]:
    """P1.4: all financial dimensions the entity requires."""
    return readiness.check_dimensions(contract, entity, books.answers)


def check_tax(books: Books, contract: ContractVersion, client: Client, registered: Registrations) -> str:
    """P1.5: registered where the client is taxed; or taxed by the entity's own rates, and nothing lacks for that.

    The same for payers who are taxed themselves; their certificates of exemption come with the contract.
    """
    entity, engine = books.entity(registered.entity), has_engine(books, registered.entity)
    today, places = books.today(entity.code), registered.regions
    for payer in taxed_payers(contract):
        check_payer_tax(contract, payer, entity, today, None if _by_own_rates(engine, entity, payer) else places)
    if _by_own_rates(engine, entity, client):
        return readiness.check_tax_decision(contract, client, entity, today, books.answers)
    return readiness.check_tax(contract, client, places, books.answers)


def _by_own_rates(engine: bool, entity: LegalEntity, client: Client) -> bool:
    """True for a client abroad whose tax the hub decides itself."""
    return not engine and bool(entity.tax_rates) and entity.country != client.country


def map_terms(books: Books, contract: ContractVersion, entity: LegalEntity, known: tuple[str, ...]) -> str:
    """P1.6: payment terms the ERP knows, and the entity the due date of."""
    return readiness.check_payment_terms(contract, known, books.entity(entity.code), books.answers)


def keep_contract(
    books: Books, contract: ContractVersion, client: Client, entity: LegalEntity, dimensions: dict[str, str], terms: str
) -> ContractVersion:
    """The version as agreed, completed by people's decisions; immutable from here on."""
    exemption = books.answers.get("EX-TAX-REG", {}).get("exemption_certificate", client.exemption_certificate)
    client = client.model_copy(update={"exemption_certificate": str(exemption), "payment_terms": terms})
    agreed = contract.model_copy(
        update={
            "client": client,
            "client_no": client.client_no,
            "payers": with_terms(contract.payers, terms),
            "entity": entity.code,
            "dimensions": dimensions,
            "payment_terms": terms,
        }
    )
    books.tx.insert_new(agreed)
    engagement = books.tx.get(Engagement, contract.contract_no)
    assert engagement is not None
    books.tx.update(engagement.model_copy(update={"client_no": client.client_no, "entity": entity.code}))
    facts = {"hash": agreed.document_hash, "document": agreed.document_ref}
    approved = {"legal_approved_by": agreed.legal_approved_by, "finance_approved_by": agreed.finance_approved_by}
    books.audit("contract.keep", f"contract:{agreed.key}", after={**facts, **approved})
    return agreed


def plan_project(books: Books, contract: ContractVersion) -> Project:
    """The project as PSA and ERP are to have it."""
    project = planned_project(contract)
    books.tx.insert_new(project)
    engagement = books.tx.get(Engagement, contract.contract_no)
    assert engagement is not None
    if engagement.state is EngagementState.VALIDATING:
        engagement = _to(books, engagement, EngagementState.PROVISIONING)
    books.tx.update(engagement.model_copy(update={"project_code": project.project_code}))
    return project


def planned_project(contract: ContractVersion) -> Project:
    """One task per line, one per milestone and per task a milestone depends on, the contract's rates."""
    tasks: list[Task] = []
    for line in contract.lines:
        tasks += _tasks_of(line)
    budgets = [cap.limit for cap in contract.caps if cap.scope == "contract" and cap.measure == "amount"]
    return Project(
        project_code=project_code(contract.contract_no),
        name=f"{contract.client.legal_name} {contract.contract_no}",
        contract_no=contract.contract_no,
        contract_version=contract.version,
        client_no=contract.client_no,
        entity=contract.entity,
        currency=contract.currency,
        start=contract.effective_from,
        end=contract.effective_to,
        dimensions=contract.dimensions,
        template=contract.template,
        budget=budgets[0] if budgets else contract.transaction_price,
        tasks=tuple(tasks),
        rates=tuple(rate for line in contract.lines for rate in line.rates),
    )


def _tasks_of(line: ContractLine) -> list[Task]:
    uid = line.line_uid
    if not line.milestones:
        billable = line.billing_type is not BillingType.NON_BILLABLE
        return [Task(code=uid, name=line.description, line_uid=uid, billable=billable)]
    tasks = [
        Task(code=milestone_code(uid, m.number), name=m.name, line_uid=uid, billable=False, milestone=m.number)
        for m in line.milestones
    ]
    named = [(code, m.number) for m in line.milestones for code in m.tasks]
    return tasks + [
        Task(code=code, name=code, line_uid=uid, billable=False, milestone=number) for code, number in named
    ]


def project_code(contract_no: str) -> str:
    """The project's code follows from the contract's number, so it is the same on every attempt."""
    return f"P-{contract_no}"


def tasks_of(project: Project) -> list[tuple[TaskIn]]:
    """The arguments of one put_task per task."""
    return [(TaskIn(project_code=project.project_code, task=task),) for task in project.tasks]


def rate_card_of(project: Project) -> RateCardIn:
    """The project's rates as one card."""
    return RateCardIn(project_code=project.project_code, currency=project.currency, rates=project.rates)


def push_rates(run: Run, project: Project) -> ExternalRef | None:
    """P1.10: the project's rates where its PSA keeps them; fees, milestones and cost plus have none to show there."""
    card = rate_card_of(project)
    return run.effect_if_offered("Push the rates to the PSA", RateBook.put_rates, card, needed=bool(card.rates))


def schedule_of(contract: ContractVersion) -> ScheduleIn | None:
    """The billing schedule of the fixed amounts; None for pure time and materials."""
    fixed = tuple((m.name, m.due, m.amount) for line in contract.lines for m in line.milestones)
    if not fixed:
        return None
    return ScheduleIn(project_code=project_code(contract.contract_no), currency=contract.currency, milestones=fixed)


def set_revenue_treatment(books: Books, contract: ContractVersion) -> dict[str, str]:
    """P1.13: the method per line. Time and materials as incurred, limited to hard caps; milestones at acceptance."""
    methods = {
        BillingType.TM: "as_incurred",
        BillingType.COST_PLUS: "as_incurred",
        BillingType.USAGE: "as_incurred",
        BillingType.FIXED_MILESTONE: "milestone",
        BillingType.FIXED_PERCENT: "percent_complete",
        BillingType.RETAINER: "as_used",
        BillingType.SUBSCRIPTION: "straight_line",
        BillingType.NON_BILLABLE: "none",
    }
    chosen = {line.line_uid: methods[line.billing_type] for line in contract.lines}
    books.audit("revenue.treatment", f"contract:{contract.key}", after=dict(chosen))
    return chosen


def same_as(project: Project) -> Callable[[ProjectFacts], ProjectFacts]:
    """P1.15: what the other system shows equals what was agreed; a write it does not show yet is waited for."""

    def check(facts: ProjectFacts) -> ProjectFacts:
        wanted = {task.code for task in project.tasks}
        missing = sorted(wanted - set(facts.tasks))
        if missing:
            raise Retryable(f"{facts.ref.system} does not show task {', '.join(missing)} yet")
        other_client = facts.client_no not in ("", project.client_no)
        if facts.currency != project.currency or not facts.active or other_client:
            state = "open" if facts.active else "closed"
            client = f" for {facts.client_no}" if facts.client_no else ""
            raise NeedsDecision(
                "EX-READY",
                f"project {project.project_code} in {facts.ref.system}: {facts.currency}, {state}{client};"
                f" agreed: {project.currency}, open for {project.client_no}",
                queue="pmo",
                context={"project": project.project_code, "system": facts.ref.system},
            )
        return facts

    return check


def rates_are_there(card: RateCardIn) -> Callable[[ExternalRef | None], ExternalRef | None]:
    """P1.10: the PSA shows exactly the agreed rates; until it does nobody records time on others."""

    def check(found: ExternalRef | None) -> ExternalRef | None:
        if found is None:
            raise Retryable(f"the PSA does not show the agreed rates of {card.project_code}; they are asked for again")
        return found

    return check


def pass_gate(books: Books, contract: ContractVersion) -> Engagement:
    """All blocking steps are done and both systems agree: financially ready."""
    return _event_move(books, contract, EngagementState.READY, "engagement.ready")


def put_in_force(books: Books, contract: ContractVersion) -> str:
    """The contract version is in force; subscribers hear of it."""
    payload = {"contract": contract.key, "effective_from": str(contract.effective_from)}
    books.emit("contract.version_activated", f"contract:{contract.contract_no}", payload, entity=contract.entity)
    return contract.key


def activate(books: Books, contract: ContractVersion) -> Engagement:
    """Time may be recorded; the contract version is in force."""
    put_in_force(books, contract)
    return _event_move(books, contract, EngagementState.ACTIVE, "engagement.activated")


def _event_move(books: Books, contract: ContractVersion, state: EngagementState, event: str) -> Engagement:
    engagement = books.tx.get(Engagement, contract.contract_no)
    assert engagement is not None
    moved = _to(books, engagement, state)
    payload = {"contract": contract.key, "project": engagement.project_code}
    books.emit(event, f"engagement:{contract.contract_no}", payload, entity=contract.entity)
    return moved


def call_off(books: Books, contract: ContractVersion) -> Engagement:
    """Undo of the request: the engagement is cancelled."""
    return _event_move(books, contract, EngagementState.CANCELLED, "engagement.cancelled")
