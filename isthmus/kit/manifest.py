"""A connector's manifest: every fact about the vendor in one TOML file. Unknown keys are refused."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from isthmus.domain.errors import NeedsSetup

Strategy = Literal["native_key", "natural_key_upsert", "find_then_create"]
Raises = Literal[
    "Unreachable",
    "Throttled",
    "OutcomeUnknown",
    "RemoteRefusal",
    "NeedsSetup",
    "StaleRead",
    "LostRace",
    "Absent",
    "Exists",
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SystemFacts(_Strict):
    """Who the vendor is and what its API promises. extension: how a firm adds fields of its own there."""

    name: str
    vendor: str
    ports: tuple[str, ...]
    api_version: str
    release_cadence: str
    residency: str
    extension: str = ""
    modelled_from: str


class AuthFacts(_Strict):
    """Kinds of authentication (see kit.auth), and the names of the credentials a connection must supply.

    optional: those with a default, which hold no secret. token_path: where tokens come from, relative to the base URL
    or whole; {tenant} and the like stand for credentials. accounts_path: where a token is asked which accounts it opens
    and where they lie. scope: of the token; {base_url} is the connection's.
    audience: of a signed assertion, when it is neither the base URL nor the token endpoint; assertion_seconds: how
    long one lasts. client_in: where client id and secret go in a token request. key_header, key_prefix, key_query:
    where an API key goes.
    """

    kinds: tuple[str, ...]
    token_path: str = ""
    accounts_path: str = ""
    credentials: tuple[str, ...]
    optional: tuple[str, ...] = ()
    scope: str = ""
    audience: str = ""
    assertion_seconds: int = 180
    client_in: Literal["body", "header"] = "body"
    key_header: str = "X-API-Key"
    key_prefix: str = ""
    key_query: str = ""


class LimitFacts(_Strict):
    """The vendor's limit: parallel requests per account, or requests per window.

    patience_headers: headers of a throttled answer that say how long to wait, the first one there counts: seconds, an
    HTTP date, an ISO 8601 moment or seconds since 1970.
    """

    kind: Literal["concurrency", "window", "none"]
    limit: int = 0
    window_seconds: float = 0
    scope: str = "connection"
    patience_headers: tuple[str, ...] = ("Retry-After",)


class SignatureFacts(_Strict):
    """How the vendor proves that a webhook is its own: an HMAC over some parts, or a shared secret as it is (plain).

    header: where the signature stands; {n} in it is counted from 1, where a vendor signs with several keys at once.
    over: parts in their order, joined by separator. prefix: before the signature in the header. timestamp_header: when
    it was signed, in units of timestamp_unit; older than tolerance_seconds is refused. id_header: the message's id.
    """

    header: str
    algorithm: Literal["sha256", "sha1", "plain"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    over: tuple[Literal["method", "url", "timestamp", "id", "body"], ...] = ("body",)
    separator: str = ""
    prefix: str = ""
    timestamp_header: str = ""
    timestamp_unit: Literal["s", "ms"] = "s"
    tolerance_seconds: int = 300
    id_header: str = ""


class OriginFacts(_Strict):
    """How a change that the hub has made itself is known, so that it is not taken for news: where the mark stands in a
    change (dotted path), and what it contains then; {setting} stands for a setting of the connection.
    """

    path: str
    contains: str


class CaptureFacts(_Strict):
    """How changes are learned. sweep: how what was missed is found all the same.

    retention_hours: how long an event log or a delta token is good. overlap_seconds: how far a watermark goes back each
    time, because what has been committed may show late.
    """

    kind: Literal["signed_webhook", "event_log", "delta_token", "watermark", "none"]
    sweep: Literal["watermark", "delta_token", "none"] = "none"
    retention_hours: int = 0
    overlap_seconds: int = 0
    signature: SignatureFacts | None = None
    origin: OriginFacts | None = None

    @model_validator(mode="after")
    def _can_lose_nothing(self) -> CaptureFacts:
        swept = "watermark" if self.kind == "watermark" else self.sweep
        if self.kind == "signed_webhook" and self.signature is None:
            raise ValueError("capture: signed webhooks need [capture.signature]")
        if self.kind in ("signed_webhook", "event_log") and self.sweep == "none":
            raise ValueError(f"capture: what {self.kind} misses must be found by a sweep: name it")
        if self.kind in ("event_log", "delta_token") and self.retention_hours <= 0:
            raise ValueError(f"capture: {self.kind} needs retention_hours")
        if swept == "watermark" and self.overlap_seconds <= 0:
            raise ValueError("capture: a watermark needs overlap_seconds")
        return self


class VerbFacts(_Strict):
    """How a write is made safe to repeat, and how it becomes final.

    states: those it goes through over there, the last one is what the verb returns. poll: the method that asks a job
    (its only argument) until it is done, where the write is only taken on at first: it returns the verb's result,
    raises Underway while it goes on and RemoteRefusal when it has failed. conditional: it is sent with If-Match.
    """

    strategy: Strategy
    find: str
    states: tuple[Literal["created", "accepted", "staged", "posted"], ...] = ("created",)
    poll: str = ""
    conditional: bool = False

    @model_validator(mode="after")
    def _what_is_taken_on_is_asked_for(self) -> VerbFacts:
        if {"accepted", "staged"} & set(self.states[:-1]) and not self.poll:
            raise ValueError("a write that is accepted or staged first needs poll")
        if self.states[-1] in ("accepted", "staged"):
            raise ValueError(f"{self.states[-1]} is not final: a verb returns what is created or posted")
        return self


class IdempotencyFacts(_Strict):
    """The vendor's own idempotency key, for verbs whose strategy is native_key: its header, how long it is known."""

    header: str = ""
    hours: float = 0


class ErrorRow(_Strict):
    """One row of the error table: first match wins. status is a number or '5xx'; code is compared exactly.

    contains: in the body's text. header: a header the answer has, with header_contains in it. after_seconds: how long
    to wait when the answer itself does not say. only_this: a limit of this one record or call, so that others go on. A
    row for a 2xx says that this answer is an error all the same.
    """

    status: int | Literal["2xx", "4xx", "5xx"]
    code: str = ""
    contains: str = ""
    header: str = ""
    header_contains: str = ""
    raises: Raises
    writes_only: bool = False
    reads_only: bool = False
    after_seconds: float | None = None
    only_this: bool = False

    def matches(self, status: int, code: str, text: str, write: bool, headers: Mapping[str, str] | None = None) -> bool:
        """True when this row speaks of that answer."""
        family = self.status if isinstance(self.status, int) else None
        if family is not None and family != status:
            return False
        if family is None and str(status)[0] != str(self.status)[0]:
            return False
        if (self.writes_only and not write) or (self.reads_only and write):
            return False
        if self.header and (
            self.header not in (headers or {}) or self.header_contains not in (headers or {})[self.header]
        ):
            return False
        return (not self.code or self.code == code) and (not self.contains or self.contains in text)


class Manifest(_Strict):
    """All facts of one connector.

    error_code_path, error_message_path, error_field_path: where a refusal says what, why and about which field; a list
    or an object of fields speaks by its first one. errors_in_success: a 2xx answer with something at error_code_path is
    an error, as RPC services answer. states: by object there, its states in our words; total, see Connector.state.
    """

    system: SystemFacts
    auth: AuthFacts
    base_url: dict[str, str]
    limits: LimitFacts
    capture: CaptureFacts
    timeout_seconds: float = 30.0
    page_size: int = 100
    settling_seconds: float = 5.0
    error_code_path: str = ""
    error_message_path: str = ""
    error_field_path: str = ""
    errors_in_success: bool = False
    idempotency: IdempotencyFacts = IdempotencyFacts()
    verbs: dict[str, VerbFacts] = Field(default_factory=dict)
    states: dict[str, dict[str, str]] = Field(default_factory=dict)
    reads: tuple[str, ...] = ()
    errors: tuple[ErrorRow, ...] = ()


def load(folder: Path) -> Manifest:
    """The manifest.toml of a connector's folder. NeedsSetup names the key that is wrong."""
    path = folder / "manifest.toml"
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text()))
    except (ValidationError, tomllib.TOMLDecodeError) as wrong:
        raise NeedsSetup(f"{path.parent.name}/manifest.toml: {wrong}") from wrong
