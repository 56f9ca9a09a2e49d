"""The firm's legal entities and its clients."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field, field_validator

from isthmus.domain.base import Canonical
from isthmus.domain.money import Exact


class ExternalRef(Canonical):
    """Where an object lives in another system. url_id is the id the other system assigned."""

    system: str
    object_type: str
    external_id: str
    version: str = ""


class Address(Canonical):
    """A postal address; country is ISO 3166-1 alpha-2."""

    street: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = ""


# -- reference and party --------------------------------------------------------------------------------------


class Approval(Canonical):
    """Who may approve an action up to an amount; above the last row nobody may. up_to None: no limit."""

    action: Literal["invoice", "credit", "write_off", "write_down", "bad_debt", "prior_period", "rerate"]
    up_to: Exact | None = None
    role: str


class LegalEntity(Canonical):
    """A company of the firm. Codes of terms, currencies and dimensions are what its ERP accepts.

    invoice_approval_limit: invoices above this net need a second person (0: none does). payment_tolerance: a
    difference up to this amount on the last payment is written off as a small difference. payment_days: days until
    due, per payment term. tax_rounding: line as US engines round, category as EN 16931 does. tax_rates: rate (0.21) per
    tax category, used where no tax engine serves the entity; tax_rates_from: rates that take their place from a day
    on; tax_point: the day whose rates apply to a line (policies.tax_decision). prior_period_threshold: evidence of a
    closed period above this net needs the controller. accrual_percent: of the sales value of unapproved time at
    close. holidays: ISO 3166 code of the calendar of public holidays. bill_tolerance_hours, bill_tolerance_amount:
    how far a line of a subcontractor's bill may be off approved time, where the subcontract says nothing; the amount
    is in its currency. days_ahead: how many days after today approved work may be dated; None: any.
    bad_debt_relief_months: months after the due date from which tax within a bad debt is had back; None: never.
    """

    code: str
    name: str
    functional_currency: str
    country: str
    time_zone: str
    currencies: tuple[str, ...]
    payment_terms: tuple[str, ...]
    dimensions_required: tuple[str, ...] = ("practice", "cost_center")
    tax_registrations: tuple[str, ...] = ()
    tax_id: str = ""
    tax_rounding: Literal["line", "category"] = "line"
    invoice_series: str = "INV"
    credit_series: str = "CN"
    tax_rates: dict[str, Exact] = Field(default_factory=dict)
    tax_rates_from: dict[date, dict[str, Exact]] = Field(default_factory=dict)
    tax_point: Literal["issue", "service_end", "earliest"] = "issue"
    invoice_approval_limit: Exact = Decimal("0")
    payment_tolerance: Exact = Decimal("0")
    payment_days: dict[str, int] = Field(default_factory=dict)
    approval_matrix: tuple[Approval, ...] = ()
    prior_period_threshold: Exact = Decimal("0")
    accrual_percent: Exact = Decimal("0")
    bill_tolerance_hours: Exact = Decimal("0")
    bill_tolerance_amount: Exact = Decimal("0")
    days_ahead: int | None = 7
    bad_debt_relief_months: int | None = None
    holidays: str = ""
    address: Address = Address()
    active: bool = True

    @field_validator("tax_rates")
    @classmethod
    def _shares(cls, rates: dict[str, Decimal]) -> dict[str, Decimal]:
        for category, rate in rates.items():
            if not 0 <= rate < 1:
                raise ValueError(f"the tax rate of category {category} is {rate}: 21 % is written 0.21")
        return rates

    @field_validator("tax_rates_from")
    @classmethod
    def _shares_from(cls, changes: dict[date, dict[str, Decimal]]) -> dict[date, dict[str, Decimal]]:
        return {day: cls._shares(rates) for day, rates in changes.items()}

    def rates_on(self, day: date) -> dict[str, Decimal]:
        """The tax rates per category that are in force on a day."""
        rates = dict(self.tax_rates)
        for since in sorted(self.tax_rates_from):
            if since <= day:
                rates |= self.tax_rates_from[since]
        return rates


class Client(Canonical):
    """Who buys. tax_ids are as given; validation is a separate fact."""

    client_no: str
    legal_name: str
    country: str
    tax_id: str = ""
    tax_exempt: bool = False
    exemption_certificate: str = ""
    tax_status: Literal["business", "consumer", "public", "exempt"] = "business"
    tax_id_validated_on: date | None = None
    tax_id_valid_until: date | None = None
    parent_no: str = ""
    currency: str = ""
    payment_terms: str = ""
    address: Address = Address()
    blocked: bool = False
    recorded_at: datetime | None = None

    @property
    def place_of_taxation(self) -> str:
        """Where it is taxed: a state of the United States such as US-NY, elsewhere the country."""
        return f"{self.country}-{self.address.region}" if self.country == "US" else self.country
