"""A seeded world: clients, contracts, entries and their corrections, and what people will ask for, in a mixed order.

The world is data only: the driver lets its happenings come about, the auditor recomputes from it what is right.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from isthmus.domain.objects import (
    Address,
    BillingType,
    Cap,
    Client,
    ContractLine,
    ContractVersion,
    LegalEntity,
    Milestone,
    Rate,
    TimeEntry,
)
from isthmus.domain.terms import InvoiceTerms

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
ROLES = {"L1": ("Consultant", "Principal"), "L2": ("Builder",), "NB": ("Consultant",)}
GHOST = "GHOST"
MINUTES_A_DAY = 600


@dataclass(frozen=True)
class Signed:
    """A contract is approved in the CRM."""

    contract: ContractVersion


@dataclass(frozen=True)
class Approved:
    """A revision of an entry is approved in the PSA, and how its messages travel."""

    entry: TimeEntry
    webhooks: int
    in_file: bool


@dataclass(frozen=True)
class BillingAsked:
    """Somebody starts a billing run up to a cut-off."""

    contract_no: str
    name: str
    cutoff: date


@dataclass(frozen=True)
class ChangeOrdered:
    """The client accepts a higher cap."""

    contract_no: str
    name: str
    delta: Decimal


@dataclass(frozen=True)
class WriteOffAsked:
    """A project manager asks to give up a share of what is unbilled in a state."""

    contract_no: str
    name: str
    state: str
    share: Decimal


Happening = Signed | Approved | BillingAsked | ChangeOrdered | WriteOffAsked


@dataclass
class World:
    """Everything a seed decides before anything happens."""

    seed: int
    rng: random.Random
    billing: bool = True
    entities: list[LegalEntity] = field(default_factory=list)
    contracts: list[ContractVersion] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    minute: int = 0

    def stamp(self) -> datetime:
        """The PSA's own clock: every approval is later than the one before."""
        self.minute += 1
        return START + timedelta(minutes=self.minute)

    def approve(self, entry: TimeEntry) -> Approved:
        """A revision approved now, with its way to the hub: by webhook none, once or twice; the sweep brings all."""
        entry = entry.model_copy(update={"approved_at": self.stamp()})
        copies = self.rng.choices((0, 1, 2), (2, 5, 2))[0]
        return Approved(entry, copies, self.rng.random() < 0.15)


def make_world(seed: int, *, billing: bool = True) -> World:
    """The world of a seed. Without billing nothing is billed, written off or called off: only evidence arrives."""
    world = World(seed, random.Random(f"world {seed}"), billing)
    rng = world.rng
    world.entities = [_united_states(rng), _japan(rng)][: rng.choices((1, 2), (2, 1))[0]]
    clients = [_client(n, rng) for n in range(1, rng.randint(1, 3) + 1)]
    for n in range(1, rng.choices((1, 2, 3), (4, 3, 1))[0] + 1):
        world.contracts.append(_contract(n, world, rng.choice(clients)))
    entries = rng.choices((rng.randint(5, 12), rng.randint(13, 40)), (4, 1))[0]
    streams = {contract.contract_no: _stream(world, contract) for contract in world.contracts}
    numbers = sorted(streams)
    for n in range(1, entries + 1):
        contract = rng.choice(world.contracts)
        _add_entry(world, contract, f"T{n:03d}", streams[contract.contract_no])
    while any(streams.values()):
        number = rng.choice([n for n in numbers if streams[n]])
        world.happenings.append(streams[number].pop(0))
    world.happenings = [_restamped(world, happening) for happening in world.happenings]
    return world


def _restamped(world: World, happening: Happening) -> Happening:
    """Approvals get their instants in the order in which they happen."""
    return world.approve(happening.entry) if isinstance(happening, Approved) else happening


def _united_states(rng: random.Random) -> LegalEntity:
    return LegalEntity(
        code="US01",
        name="Narrow Strip Inc",
        functional_currency="USD",
        country="US",
        time_zone="America/New_York",
        currencies=("USD",),
        payment_terms=("NET30",),
        payment_days={"NET30": 30, "NET15": 15},
        days_ahead=None,
        invoice_approval_limit=Decimal(rng.choice(("0", "0", "2500"))),
        payment_tolerance=Decimal(rng.choice(("0", "0.50"))),
    )


def _japan(rng: random.Random) -> LegalEntity:
    return LegalEntity(
        code="JP01",
        name="Narrow Strip KK",
        functional_currency="JPY",
        country="JP",
        time_zone="Asia/Tokyo",
        currencies=("JPY",),
        payment_terms=("NET30",),
        payment_days={"NET30": 30},
        days_ahead=14,
        invoice_approval_limit=Decimal(rng.choice(("0", "200000"))),
    )


def _client(number: int, rng: random.Random) -> Client:
    names = {1: "Acme Holdings", 2: rng.choice(("Acme Holding", "Borealis Grain")), 3: "Cobalt Shipping"}
    address = Address(country="US", region="NY", city="New York", postal_code="10001")
    return Client(client_no=f"C-{number}", legal_name=names[number], country="US", address=address)


def _amount(text: str, currency: str) -> Decimal:
    """An amount given in dollars, or a hundred times as many yen."""
    return Decimal(text) if currency == "USD" else (Decimal(text) * 100).quantize(Decimal(1))


def _contract(number: int, world: World, client: Client) -> ContractVersion:
    rng, entity = world.rng, world.rng.choice(world.entities)
    currency, no = entity.functional_currency, f"K-{number}"
    lines = [_time_line("L1", currency, rng)]
    lines += [_time_line("L2", currency, rng)] if rng.random() < 0.5 else []
    free = BillingType.NON_BILLABLE
    lines.append(ContractLine(line_uid="NB", description="Internal", billing_type=free, tax_code="SERVICES"))
    lines += [_milestone_line(currency)] if rng.random() < 0.25 else []
    caps = []
    if rng.random() < 0.7:
        limit = _amount(f"{rng.randint(500, 9000)}.{rng.randint(0, 99):02d}", currency)
        caps.append(Cap(cap_id=f"{no}:cap", scope="contract", limit=limit))
    if rng.random() < 0.4:
        limit = _amount(f"{rng.randint(300, 5000)}.{rng.randint(0, 99):02d}", currency)
        caps.append(Cap(cap_id=f"{no}:L1", scope="line", line_uid="L1", limit=limit))
    return ContractVersion(
        contract_no=no,
        version=1,
        client_no=client.client_no,
        client=client,
        entity=entity.code,
        currency=currency,
        effective_from=date(2026, 3, 1),
        signed_on=date(2026, 2, 20),
        legal_approved_by="leila",
        finance_approved_by="fritz",
        payment_terms=rng.choice(("NET30", "NET30", "NET30", "WHENEVER")),
        dimensions={"practice": "A"} if rng.random() < 0.15 else {"practice": "A", "cost_center": "1"},
        lines=tuple(lines),
        caps=tuple(caps),
        invoicing=InvoiceTerms(below_zero="wait"),  # the auditor of this world has no book of credit memos
    )


def _time_line(uid: str, currency: str, rng: random.Random) -> ContractLine:
    roles = ROLES[uid][: rng.randint(1, len(ROLES[uid]))]
    rates = tuple(
        Rate(
            role=role,
            bill_rate=_amount(f"{rng.randint(60, 280)}.{rng.choice((0, 0, 25, 33, 99)):02d}", currency),
            effective_from=date(2026, 3, 1),
        )
        for role in roles
    )
    return ContractLine(
        line_uid=uid, description=f"Work {uid}", billing_type=BillingType.TM, tax_code="SERVICES", rates=rates
    )


def _milestone_line(currency: str) -> ContractLine:
    milestones = (Milestone(number=1, name="Go-live", amount=_amount("9000.00", currency), due=date(2026, 6, 30)),)
    return ContractLine(
        line_uid="M",
        description="Go-live",
        billing_type=BillingType.FIXED_MILESTONE,
        tax_code="SERVICES",
        milestones=milestones,
    )


def _stream(world: World, contract: ContractVersion) -> list[Happening]:
    """What happens to one contract besides its entries, in order."""
    rng, no = world.rng, contract.contract_no
    stream: list[Happening] = [Signed(contract)]
    if any(cap.scope == "contract" for cap in contract.caps) and rng.random() < 0.4:
        delta = _amount(f"{rng.randint(50, 4000)}.{rng.randint(0, 99):02d}", contract.currency)
        stream.append(ChangeOrdered(no, f"{no}:CO1", delta))
    if world.billing:
        cutoffs = [date(2026, 3, 31), date(2026, 3, 12), date(2026, 3, 20)]
        stream += [BillingAsked(no, f"{no}:run{n}", rng.choice(cutoffs)) for n in range(1, rng.randint(1, 3) + 1)]
    if world.billing and rng.random() < 0.3:
        state, share = rng.choice(("over_cap", "ready")), Decimal(rng.choice(("0.1", "0.5", "1")))
        stream.append(WriteOffAsked(no, f"{no}:W1", state, share))
    later = stream[1:]
    rng.shuffle(later)
    return [stream[0], *later]


def _add_entry(world: World, contract: ContractVersion, source_id: str, stream: list[Happening]) -> None:
    """An entry and its corrections, anywhere in the contract's stream but in their order."""
    rng = world.rng
    revisions = [_entry(world, contract, source_id)]
    while len(revisions) < 4 and rng.random() < 0.3:
        revisions.append(_corrected(world, contract, revisions))
    places = sorted(rng.randint(0 if rng.random() < 0.1 else 1, len(stream)) for _ in revisions)
    for offset, (place, revision) in enumerate(zip(places, revisions, strict=True)):
        stream.insert(place + offset, Approved(revision, 0, False))


def _entry(world: World, contract: ContractVersion, source_id: str) -> TimeEntry:
    rng = world.rng
    task, role = _task_of(contract, rng)
    return TimeEntry(
        source="psa",
        source_id=source_id,
        project_code=f"P-{contract.contract_no}",
        task_code=task,
        person=rng.choice(("ann", "bo")),
        role=role,
        service_date=date(2026, 3, rng.randint(2, 28)),
        hours=_hours(rng),
        approved_by="pm",
        approved_at=START,
    )


def _hours(rng: random.Random) -> Decimal:
    """Whole minutes, as four decimals of an hour; round hours often, so that twins occur."""
    minutes = rng.choice((rng.randint(1, MINUTES_A_DAY), 480, 240))
    return (Decimal(minutes) / 60).quantize(Decimal("0.0001"))


def _task_of(contract: ContractVersion, rng: random.Random) -> tuple[str, str]:
    line = rng.choice([line for line in contract.lines if line.rates])
    role = rng.choice(line.rates).role
    chance = rng.random()
    if chance < 0.10:
        return "NB", role
    if chance < 0.16:
        return GHOST, role
    return ("" if chance < 0.22 else line.line_uid), role


def _corrected(world: World, contract: ContractVersion, earlier: list[TimeEntry]) -> TimeEntry:
    """The next content of an entry: other hours, none, the first content again, another task or another contract."""
    rng, last = world.rng, earlier[-1]
    chance = rng.random()
    if chance < 0.10:
        return last.model_copy(update={"hours": Decimal(0)})
    if chance < 0.20 and len(earlier) > 1 and earlier[0].task_code != GHOST:
        return earlier[0].model_copy()
    if chance < 0.30:
        return last.model_copy(update={"task_code": "NB"})
    if chance < 0.38:
        other = rng.choice(world.contracts)
        line = rng.choice([line for line in other.lines if line.rates])
        place = {"project_code": f"P-{other.contract_no}", "task_code": line.line_uid, "role": line.rates[0].role}
        return last.model_copy(update=place)
    if last.task_code == GHOST:
        return last.model_copy(update={"task_code": "L1", "role": contract.line("L1").rates[0].role})
    return last.model_copy(update={"hours": _hours(rng)})
