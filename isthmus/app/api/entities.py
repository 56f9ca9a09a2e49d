"""Process API between the firm's legal entities: what they charge each other, and thresholds to register for tax."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from isthmus.app.api.admission import Visiting
from isthmus.app.api.endpoints import Asked, endpoint
from isthmus.app.api.idempotency import Reply, once
from isthmus.app.api.money import Month, known_entity
from isthmus.app.api.reading import reading
from isthmus.app.api.starts import Name, Number, Started, started
from isthmus.domain.errors import BadInput
from isthmus.domain.lending import LendingAgreement, TaxThreshold
from isthmus.domain.money import Exact
from isthmus.domain.terms import TransferPrice
from isthmus.processes.work.thresholds import standings_of
from isthmus.runtime.books import Books


class AgreementAsked(Asked):
    """What one entity charges another for hours of its people; kept as it is, a change is an agreement of its own."""

    agreement_no: Number
    lender: Number
    borrower: Number
    people: Annotated[tuple[Number, ...], Field(min_length=1, max_length=1000)]
    price: TransferPrice
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    effective_from: date
    effective_to: date | None = None


class ChargesAsked(Asked):
    """Charge the hours of a month that the lender's people have worked for the borrower."""

    lender: Number
    borrower: Number
    period: Month
    name: Name


class ThresholdAsked(Asked):
    """From how much an entity must register in a state; amount in the currency of its books. The last word stands."""

    entity: Number
    state: Number
    amount: Exact | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    both: bool = False
    window: Literal["calendar_year", "rolling_12_months"] = "calendar_year"
    services: bool = True


class StandingShown(BaseModel):
    """How near an entity is to the threshold of a state."""

    state: str
    amount: Exact
    count: int
    limit_amount: Exact | None
    limit_count: int | None
    since: date
    percent: Exact
    level: str


class Standings(BaseModel):
    """Every threshold of an entity, nearest first."""

    entity: str
    on: date
    thresholds: list[StandingShown]


@endpoint("POST /v1/lending-agreements", answer=LendingAgreement, status=201)
def agree_to_lend(visit: Visiting, asked: AgreementAsked) -> Response:
    """Keep what one entity charges another for hours of its people."""

    def act(books: Books) -> Reply:
        for code in (asked.lender, asked.borrower):
            known_entity(books, code)
            visit.speak_for("intercompany", code)
        kept = LendingAgreement(**asked.model_dump(), agreed_by=visit.caller.name, recorded_at=books.now)
        books.tx.insert(kept)
        books.audit("lending.agree", f"lending:{kept.agreement_no}", after=kept.model_dump(mode="json"))
        return Reply(201, kept)

    return once(visit, asked, act)


@endpoint("POST /v1/intercompany-charges", answer=Started, status=202)
def charge_between(visit: Visiting, asked: ChargesAsked) -> Response:
    """Charge hours lent in a month; corrected hours are reversed as they were charged and charged anew."""

    if asked.lender == asked.borrower:
        raise BadInput(f"{asked.lender} lends to itself: there is nothing to charge")

    def act(books: Books) -> Reply:
        for code in (asked.lender, asked.borrower):
            known_entity(books, code)
            visit.speak_for("intercompany", code)
        key = f"{asked.lender}>{asked.borrower}:{asked.period}:{asked.name}"
        args = {"lender": asked.lender, "borrower": asked.borrower, "period": asked.period}
        about = f"lending:{asked.lender}>{asked.borrower}"
        row = books.start("charge_between_entities", key, args, entity=asked.lender, correlation_id=about)
        return Reply(202, started(row))

    return once(visit, asked, act)


@endpoint("POST /v1/tax-thresholds", answer=TaxThreshold, status=201)
def keep_threshold(visit: Visiting, asked: ThresholdAsked) -> Response:
    """Keep a threshold from which an entity must register for tax in a state; sales are watched from now on."""

    def act(books: Books) -> Reply:
        known_entity(books, asked.entity)
        visit.speak_for("tax_threshold", asked.entity)
        kept = TaxThreshold(**asked.model_dump(), kept_by=visit.caller.name, recorded_at=books.now)
        books.tx.put(kept)
        books.audit("threshold.keep", f"entity:{kept.entity}", after=kept.model_dump(mode="json"))
        return Reply(201, kept)

    return once(visit, asked, act)


@endpoint("GET /v1/entities/{code}/tax-thresholds", answer=Standings)
def show_thresholds(visit: Visiting, code: str) -> Standings:
    """Show how near an entity's sales are to each threshold kept for it, nearest first."""
    with reading(visit.hub) as tx:
        books = visit.hub.kernel.books(tx, key="thresholds", actor=visit.caller.name)
        visit.sees(tx, known_entity(books, code))
        today = books.today(code)
        found = standings_of(books, code, today)
    return Standings(
        entity=code,
        on=today,
        thresholds=[
            StandingShown(
                state=one.threshold.state,
                amount=one.amount,
                count=one.count,
                limit_amount=one.threshold.amount,
                limit_count=one.threshold.count,
                since=one.since,
                percent=one.percent.quantize(Decimal("0.1")),
                level=one.level,
            )
            for one in found
        ],
    )
