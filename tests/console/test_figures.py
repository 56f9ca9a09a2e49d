"""The read model: every figure is what adding up the ledger gives at that instant, whoever looks, wherever it shows."""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app import figures
from isthmus.app.api.reading import reading
from isthmus.app.console import case_lists
from isthmus.desk import alerts, silences
from isthmus.desk.config import Expectation, Receiver
from isthmus.desk.weight import weight_of
from isthmus.domain.objects import BillablePart, Engagement, Invoice
from isthmus.domain.states import CaseState, EngagementState, InvoiceLife, PartState, Posting, Settlement, may_move
from isthmus.policies.authority import Actor
from isthmus.store.records import Case, Effect, EffectState, RunRow, RunState, StageTime
from tests.console.stage import ConsoleStage, text_of

NOW = datetime(2026, 3, 31, 15, tzinfo=UTC)
TODAY = date(2026, 3, 31)
EVERYBODY = Actor("eve", frozenset({"controller"}))
ACTORS = [EVERYBODY, *(Actor(code, frozenset({"finance"}), frozenset({code})) for code in ("US01", "GB01"))]
ENTITIES = {"K-0": "US01", "K-1": "US01", "K-2": "GB01", "K-3": "GB01"}
CURRENCIES = ("USD", "GBP", "JPY")


def money(dice: random.Random, currency: str) -> Decimal:
    cents = Decimal(dice.randint(1, 900_000))
    return cents if currency == "JPY" else cents / 100


def ledger(stage: ConsoleStage, seed: int) -> None:
    """Parts that were placed, split and moved, cases of all ages, invoices, credits, writes and runs."""
    dice = random.Random(seed)
    stage.clock.move_to(NOW)
    with stage.hub.store.transaction() as tx:
        for number, entity in ENTITIES.items():
            state = dice.choice(list(EngagementState))
            tx.insert(
                Engagement(engagement_no=f"E-{number}", contract_no=number, client_no="C", entity=entity, state=state)
            )
        tx.insert_many([a_part(dice, n) for n in range(240)])
        tx.insert_many([a_case(dice, n) for n in range(180)])
        tx.insert_many([an_invoice(dice, n) for n in range(90)])
        tx.insert_many([a_run(dice, n) for n in range(60)])
        tx.insert_many([an_effect(dice, n) for n in range(90)])
    for _ in range(3):
        with stage.hub.store.transaction() as tx:
            for part in dice.sample(tx.find(BillablePart), 60):
                ways = [state for state in PartState if may_move(part.state, state)]
                if ways:
                    tx.update(part.model_copy(update={"state": dice.choice(ways)}))
        with stage.hub.store.transaction() as tx:
            figures.condense(tx, rows=2)


def a_part(dice: random.Random, number: int) -> BillablePart:
    contract_no, currency = dice.choice(list(ENTITIES)), dice.choice(CURRENCIES)
    return BillablePart(
        part_id=f"p{number}",
        item_id=f"i{number}",
        contract_no=contract_no,
        quantity=Decimal(dice.randint(1, 32)) / 4,
        net=money(dice, currency) * dice.choice((1, 1, 1, -1)),
        currency=currency,
        state=dice.choice(list(PartState)),
        service_date=TODAY - timedelta(days=dice.randint(-10, 200)),
        order_key=str(number),
    )


def a_case(dice: random.Random, number: int) -> Case:
    contract_no, currency = dice.choice([*ENTITIES, ""]), dice.choice(CURRENCIES)
    edge = dice.choice([timedelta(hours=8), timedelta(hours=24), timedelta(days=3), timedelta(days=7)])
    opened = NOW - dice.choice((edge, timedelta(minutes=dice.randint(0, 20_000))))
    is_open, waits = dice.random() < 0.8, dice.random() < 0.2
    return Case(
        case_no=f"CASE-{number:05d}",
        run_id=f"r{number}",
        seq=1,
        exception=dice.choice(("EX-REVIEW", "EX-TAX-CODE", "EX-DIM", "EX-POST-REJECT")),
        cause="because",
        queue=dice.choice(("tax", "finance", "billing", "pmo")),
        severity=dice.choice(("low", "normal", "high", "critical")),
        amount=money(dice, currency) if dice.random() < 0.8 else None,
        currency=currency,
        entity=ENTITIES.get(contract_no, ""),
        contract_no=contract_no,
        record=dice.choice(("invoice:I-1", "contract:K-1", "time:psa:1", "payment:erp:1", "connection:erp")),
        state=CaseState.OPEN if is_open else CaseState.RESOLVED,
        opened_at=opened,
        resolved_at=None if is_open else opened + timedelta(minutes=dice.randint(1, 3000)),
        due_at=opened + timedelta(hours=dice.randint(1, 72)) if dice.random() < 0.9 else None,
        waiting_for="the client" if waits else "",
        waiting_since=opened + timedelta(minutes=1) if waits else None,
        pending="P-1" if dice.random() < 0.1 else "",
        group_key=f"g{dice.randint(0, 9)}",
    )


def an_invoice(dice: random.Random, number: int) -> Invoice:
    contract_no, currency = dice.choice(list(ENTITIES)), dice.choice(CURRENCIES)
    net, life = money(dice, currency), dice.choice(list(InvoiceLife))
    kind = dice.choice(("standard", "standard", "credit", "advance"))
    issued = life in (InvoiceLife.ISSUED, InvoiceLife.CREDITED)
    return Invoice(
        invoice_id=f"I-{number}",
        contract_no=contract_no,
        contract_version=1,
        client_no="C",
        entity=ENTITIES[contract_no],
        project_code="P",
        currency=currency,
        period="2026-03",
        lines=(),
        net=net,
        total=net * 2,
        open=Decimal(0) if kind == "credit" else dice.choice((Decimal(0), net)),
        number=f"N-{number}" if issued else "",
        issue_date=TODAY - timedelta(days=dice.randint(0, 420)) if issued else None,
        due_date=TODAY - timedelta(days=dice.choice((-30, -1, 0, 1, 60))) if issued else None,
        life=life,
        kind=kind,
        posting=dice.choice(list(Posting)),
        settlement=dice.choice(list(Settlement)),
    )


def a_run(dice: random.Random, number: int) -> RunRow:
    contract_no = dice.choice(list(ENTITIES))
    facts: dict[str, Any] = {
        "run_id": f"bill_contract/{number}",
        "process": "bill_contract",
        "key": str(number),
        "args": {},
        "args_hash": "x",
        "lane": dice.choice(("financial", "standard", "bulk")),
        "correlation_id": f"contract:{contract_no}",
        "entity": ENTITIES[contract_no],
        "state": dice.choice(list(RunState)),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return RunRow.model_validate({name: value for name, value in facts.items() if name in RunRow.model_fields})


def an_effect(dice: random.Random, number: int) -> Effect:
    return Effect(
        effect_key=f"e{number}",
        run_id=f"bill_contract/{dice.randint(0, 59)}",
        seq=1,
        connection=dice.choice(("erp", "psa")),
        verb="Erp.post_invoice",
        business_key=str(number),
        args_hash="x",
        state=dice.choice(list(EffectState)),
        created_at=NOW - timedelta(minutes=dice.randint(1, 999)),
    )


def own(actor: Actor, rows: Iterable[Any]) -> list[Any]:
    """The rows an actor serves, by the contract."""
    return [
        row for row in rows if actor.serves(ENTITIES.get(row.contract_no, "") or str(getattr(row, "entity", "") or ""))
    ]


def by_currency(rows: Iterable[Any], amount: str) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        value = getattr(row, amount)
        if value:
            sums[row.currency] += value
    return {currency: total for currency, total in sums.items() if total}


@pytest.fixture(params=[11, 12])
def stage(request: pytest.FixtureRequest, stage: ConsoleStage) -> ConsoleStage:
    ledger(stage, request.param)
    return stage


@pytest.mark.requirement("DSH-10", "KPI-10")
def test_every_figure_is_what_the_ledger_adds_up_to(stage: ConsoleStage) -> None:
    for actor in ACTORS:
        with reading(stage.hub) as tx:
            _evidence(tx, actor)
            _cases(tx, actor)
            _invoices(tx, actor)
            _rest(tx, actor)


def _evidence(tx: Any, actor: Actor) -> None:
    parts = [p for p in own(actor, tx.find(BillablePart)) if p.state is not PartState.SUPERSEDED]
    told = {(e.state, e.currency): (e.net, e.hours, e.parts) for e in figures.evidence(tx, actor)}
    expected = {
        key: (sum(p.net for p in group), sum(p.quantity for p in group), len(group))
        for key, group in _grouped(parts, lambda p: (p.state, p.currency)).items()
    }
    assert told == expected
    unbilled = [p for p in parts if p.state in figures.UNBILLED]
    aged = {(a.age, a.currency): a.by_state for a in figures.unbilled_by_age(tx, actor, TODAY)}
    for (age, currency), states in aged.items():
        for state, net in states.items():
            of_age = [p for p in unbilled if _age(p) == age and p.currency == currency and p.state == state]
            assert net == sum(p.net for p in of_age)
    assert sum(a.net for a in figures.unbilled_by_age(tx, actor, TODAY)) == sum(p.net for p in unbilled)
    early = [p for p in unbilled if p.state is PartState.READY and f"{p.service_date:%Y-%m}" < f"{TODAY:%Y-%m}"]
    sums = _grouped(early, lambda p: (p.contract_no, p.currency))
    told = figures.longest_unbilled(tx, actor, TODAY, limit=100)
    assert {(one.contract_no, one.currency) for one in told} == {
        k for k, g in sums.items() if sum(p.net for p in g) > 0
    }
    for one in told:
        mine = sums[one.contract_no, one.currency]
        assert one.net == sum(p.net for p in mine) and one.since == min(f"{p.service_date:%Y-%m}" for p in mine)


def _age(part: BillablePart) -> str:
    back = (TODAY.year - part.service_date.year) * 12 + TODAY.month - part.service_date.month
    return figures.MONTHS[max(0, min(back, 3))]


def _grouped(rows: Iterable[Any], key: Any) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def aged(ages: list[timedelta]) -> list[int]:
    """How many are in each of the spans of the read model."""
    bounds = [timedelta(0), *(length for _, length in figures.AGES)]
    return [sum(low <= age < high for age in ages) for low, high in itertools.pairwise(bounds)]


def _cases(tx: Any, actor: Actor) -> None:
    all_cases = own(actor, tx.find(Case))
    cases = [case for case in all_cases if case.state is CaseState.OPEN]
    for about in ("", "invoice"):
        chosen = [case for case in cases if case.record.startswith(f"{about}:" if about else "")]
        loads = {load.queue: load for load in figures.case_load(tx, actor, NOW, about=about)}
        assert set(loads) == {case.queue for case in chosen}
        for queue, load in loads.items():
            group = [case for case in chosen if case.queue == queue]
            assert (load.cases, load.oldest) == (len(group), min(c.opened_at for c in group))
            assert load.overdue == sum(bool(c.due_at and c.due_at < NOW and not c.waiting_for) for c in group)
            assert (load.waiting, load.pending) == (
                sum(bool(c.waiting_for) for c in group),
                sum(bool(c.pending) for c in group),
            )
            assert load.at_stake == by_currency(group, "amount")
            bounds = [timedelta(0), *(length for _, length in figures.AGES)]
            for (age, _), low, high in zip(figures.AGES, bounds, bounds[1:], strict=False):
                assert load.by_age[age] == sum(low <= NOW - c.opened_at < high for c in group), age
        decided = sorted(
            c.resolved_at - c.opened_at
            for c in all_cases
            if c.resolved_at
            and c.resolved_at > NOW - timedelta(days=30)
            and c.record.startswith(f"{about}:" if about else "")
        )
        told = figures.hours_to_decide(tx, actor, NOW, about=about)
        middle = (decided[(len(decided) - 1) // 2] + decided[len(decided) // 2]) / 2
        assert told is not None and abs(told - Decimal(str(middle / timedelta(hours=1)))) <= Decimal("0.05")
    assert figures.at_risk(figures.case_load(tx, actor, NOW)) == by_currency(cases, "amount")
    for stall in figures.stalls(tx, actor, NOW):
        where = case_lists.conditions(dict(re.findall(r"(\w+)=(\w+)", stall.href)), actor, NOW)
        assert stall.count == case_lists.counted(tx, where), stall.name
    weighed = case_lists.heaviest(tx, case_lists.conditions({}, actor, NOW), stage_desk(), NOW, limit=500)
    assert [(one.case.case_no, one.weight) for one in weighed] == [
        (case.case_no, weight_of(case, stage_desk(), NOW)) for case in (one.case for one in weighed)
    ]
    assert [one.weight for one in weighed] == sorted((one.weight for one in weighed), reverse=True)
    assert len(weighed) == len(cases)


def stage_desk() -> Any:
    from isthmus.desk.config import desk_config

    return desk_config()


def _invoices(tx: Any, actor: Actor) -> None:
    invoices = own(actor, tx.find(Invoice))
    made = [i for i in invoices if i.life in (InvoiceLife.ISSUED, InvoiceLife.CREDITED)]
    for one in figures.invoice_figures(tx, actor, TODAY):
        mine = [i for i in made if i.currency == one.currency]
        claims = [i for i in mine if i.kind != "credit"]
        credits = [i for i in mine if i.kind == "credit"]
        assert one.net == sum(i.net for i in claims) - sum(i.net for i in credits)
        assert one.total == sum(i.total for i in claims) - sum(i.total for i in credits)
        assert one.open == sum(i.open for i in claims)
        assert one.overdue == sum(i.open for i in claims if i.due_date < TODAY)
        assert (one.issued, one.credits) == (len(claims), len(credits))
        assert one.posted == sum(i.posting is Posting.POSTED for i in claims)
        assert one.paid == sum(i.settlement is Settlement.PAID for i in claims)
        assert one.not_posted == sum(i.posting is not Posting.POSTED for i in mine)
        drafts = [i for i in invoices if i.life is InvoiceLife.DRAFT and i.currency == one.currency]
        assert (one.drafts, one.drafts_net) == (len(drafts), sum(i.net for i in drafts))
    for currency, months in figures.billed_by_month(tx, actor, TODAY).items():
        assert [name for name, _ in months] == sorted(name for name, _ in months) and len(months) == 12
        for name, net in months:
            of_month = [i for i in made if i.currency == currency and f"{i.issue_date:%Y-%m}" == name]
            assert net == sum(-i.net if i.kind == "credit" else i.net for i in of_month)


def _rest(tx: Any, actor: Actor) -> None:
    engagements = [e for e in tx.find(Engagement) if actor.serves(e.entity)]
    counted = {str(s): len(rows) for s, rows in _grouped(engagements, lambda e: e.state).items()}
    assert figures.engagements_by_state(tx, actor) == counted
    runs = {run.run_id: run for run in tx.find(RunRow) if actor.serves(run.entity)}
    live = [run for run in runs.values() if run.state in figures.LIVE_RUNS]
    lanes = {
        lane: {str(s): len(group) for s, group in _grouped(rows, lambda r: r.state).items()}
        for lane, rows in _grouped(live, lambda r: r.lane).items()
    }
    assert figures.runs_by_lane(tx, actor) == lanes
    effects = [e for e in tx.find(Effect) if e.run_id in runs]
    for one in figures.backlog_by_system(tx, actor):
        states = [str(e.state) for e in effects if e.connection == one.connection]
        assert one.in_doubt == states.count("in_doubt") and one.refused == states.count("refused")
        assert one.to_send == states.count("intended") + states.count("not_sent")


@pytest.mark.requirement("DSH-10")
def test_the_same_number_is_on_every_page_and_in_the_api(stage: ConsoleStage) -> None:
    visitor = stage.visit("cora")
    views = {view: text_of(visitor.get(f"/console/?view={view}").text) for view in ("finance", "pmo", "executive")}
    cases = [c for c in stage.rows(Case) if c.state is CaseState.OPEN]
    overdue = sum(bool(c.due_at and c.due_at < NOW and not c.waiting_for) for c in cases)
    risk = max(by_currency(cases, "amount").items(), key=lambda one: one[1])
    for told in views.values():
        assert f"Open cases {len(cases)} {overdue} overdue" in told
        assert f"{risk[1]:,} {risk[0]}" in told
    listed = text_of(visitor.get("/console/cases?view=list").text)
    assert f"{len(cases)} cases" in listed
    summary = stage.get("/v1/summary", by="cora").json()
    assert sum(summary["cases_open"].values()) == len(cases)
    with reading(stage.hub) as tx:
        figures_of = {one.currency: one for one in figures.invoice_figures(tx, EVERYBODY, TODAY)}
    for one in summary["invoices"]:
        assert Decimal(one["net"]) == figures_of[one["currency"]].net
        assert Decimal(one["open"]) == figures_of[one["currency"]].open


@pytest.mark.requirement("EXC-13")
def test_the_database_finds_the_same_cases_to_tell_of(stage: ConsoleStage) -> None:
    """What is due for an alert is asked of the database; here it is worked out case by case."""
    receivers = [
        Receiver(name="all", kind="webhook", address="https://x.example", from_weight=3),
        Receiver(name="some", kind="mail", address="x@x.example", queues=("tax", "pmo"), entities=("US01",)),
    ]
    config = stage_desk().model_copy(update={"receivers": tuple(receivers)})
    cases = [case for case in stage.rows(Case) if case.state is CaseState.OPEN]
    with stage.hub.store.transaction() as tx:
        for receiver in receivers:
            least = max(receiver.from_weight, 1)
            expected = {case.case_no: weight_of(case, config, NOW) for case in cases if alerts._is_for(receiver, case)}
            found = {case.case_no: weight for case, weight in alerts._due(tx, receiver, config, NOW)}
            assert found == {case_no: weight for case_no, weight in expected.items() if weight >= least} and found
        books = stage.hub.kernel.books(tx, key="test", actor="hub")
        assert alerts.raise_alerts(books, config) > 2
        assert [alerts._due(tx, receiver, config, NOW) for receiver in receivers] == [[], []]


def test_the_database_finds_the_same_contracts_that_do_not_get_on(stage: ConsoleStage) -> None:
    expected = Expectation(name="x", stage="active", then="first time", within_hours=1, queue="pmo")
    ages = {"K-0": 5, "K-1": 3, "K-2": 2, "K-3": 0}
    with stage.hub.store.transaction() as tx:
        for contract_no, hours in ages.items():
            at = NOW - timedelta(hours=hours)
            tx.insert(StageTime(contract_no=contract_no, stage="active", at=at, event_id="e"))
        tx.insert(StageTime(contract_no="K-1", stage="first time", at=NOW, event_id="e"))
        stuck = silences._stuck(tx, expected, NOW - timedelta(hours=1))
    assert [one.contract_no for one in stuck] == ["K-0", "K-2"]


@pytest.mark.requirement("KPI-10")
def test_invoice_exceptions_are_shown_by_age_and_owner(stage: ConsoleStage) -> None:
    told = text_of(stage.visit("cora").get("/console/?view=controller").text)
    section = told[told.index("Invoice exceptions by age") :]
    cases = [c for c in stage.rows(Case) if c.state is CaseState.OPEN and c.record.startswith("invoice:")]
    titles = {"tax": "Tax desk", "billing": "Billing", "pmo": "Project management office", "finance": "Finance"}
    for queue, title in titles.items():
        mine = [NOW - c.opened_at for c in cases if c.queue == queue]
        if mine:
            assert f"{title} {' '.join(str(n) if n else '–' for n in aged(mine))}" in section, title
    assert re.search(r"Median time to decide one, last 30 days: [\d.]+ h", section)
