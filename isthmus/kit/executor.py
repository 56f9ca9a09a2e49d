"""The one place that sends. Drives a connector's verb: signs, sends, and raises what the answer means (kit.meaning).

No answer at all: a connection never made is Unreachable; a lost answer is OutcomeUnknown for a write. A 401 renews the
token, then reads the credentials again, which takes a rotated one over; NeedsSetup when neither helps.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import structlog

from isthmus.domain.errors import BadInput, IsthmusError, NeedsSetup, OutcomeUnknown, Retryable, Unreachable
from isthmus.kit.auth import Auth, Secrets, make_auth
from isthmus.kit.cassette import Recording
from isthmus.kit.connector import Connector
from isthmus.kit.eventbus import Bus, Events
from isthmus.kit.limits import Budget, Concurrency, make_budget
from isthmus.kit.masking import masked
from isthmus.kit.meaning import meaning
from isthmus.kit.secrets import Keeper, Reader
from isthmus.kit.tracing import trace_headers
from isthmus.kit.traffic import Breaker, Maintenance, Traffic
from isthmus.kit.wire import Answer, Request, Verb, decode, encode
from isthmus.ports.calls import Exchange, exchanges_of_call, priority_of_call

log = structlog.get_logger("isthmus.kit")
RENEWALS_MAX = 2  # a token may be taken back between two requests, but not for ever
SIGN_IN_REQUESTS_MAX = 3  # a token, and what some vendors want to be asked before it opens anything
_KEYS = uuid.UUID("5f7f4b53-7a53-5d0e-9d6c-5c1b9d3f8f10")  # name space of idempotency keys


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _written(value: Any) -> str | list[str]:
    """A value as a query has it; several of one name."""
    return [str(each) for each in value] if isinstance(value, list | tuple) else str(value)


@cache
def trusted(verify: str | bool) -> ssl.SSLContext:
    """Whom to trust: a file of authorities, or everybody's (True). Read once: that takes tens of milliseconds."""
    return httpx.create_ssl_context(verify=verify)


class Connection:
    """A connector, its credentials and its budget: callable verbs of the ports it fills.

    secrets: credentials by name; reread: where they come from, asked again when the vendor no longer takes them;
    keeper: where credentials go that the vendor rotates. transport: what carries requests, when it is not the network;
    cassette: where each exchange is written down, scrubbed (kit.cassette). maintenance, breaker: see kit.traffic.
    one_at_a_time: the budget of one, shared by the fleet, for what the vendor takes one request at a time for.
    """

    def __init__(
        self,
        name: str,
        connector: Connector,
        *,
        base_url: str,
        auth_kind: str,
        secrets: Mapping[str, str],
        budget: Budget | None = None,
        client: httpx.Client | None = None,
        transport: httpx.BaseTransport | None = None,
        verify: str | bool = True,
        settling_seconds: float | None = None,
        reread: Reader | None = None,
        keeper: Keeper | None = None,
        cassette: Path | None = None,
        writes_as: str = "",
        entities: tuple[str, ...] = (),
        maintenance: Maintenance | None = None,
        breaker: Breaker | None = None,
        one_at_a_time: Callable[[str], Budget] | None = None,
    ) -> None:
        self.name, self.writes_as, self.entities = name, writes_as, entities
        self.connector = connector
        self.secrets = Secrets(secrets, name, reread, keeper)
        self.base_url = base_url.rstrip("/")
        facts, own = connector.manifest.auth, connector.auth_kinds
        self.auth: Auth = make_auth(auth_kind, self.secrets, self.base_url, facts, own)
        self.budget = budget or make_budget(connector.manifest.limits)
        self.traffic = Traffic(name, self.budget, maintenance=maintenance, breaker=breaker)
        limits, tls = httpx.Limits(max_connections=64, max_keepalive_connections=64), trusted(verify)
        if cassette is not None:
            network = transport or httpx.HTTPTransport(verify=tls, limits=limits)
            transport = Recording(network, cassette, self._guarded)
        timeout = connector.manifest.timeout_seconds
        self._bus = Bus(verify)
        self._client = client or httpx.Client(timeout=timeout, limits=limits, verify=tls, transport=transport)
        self._token_lock = threading.Lock()
        self._one_at_a_time = one_at_a_time or (lambda _: Concurrency(1))
        self._turns: dict[str, Budget] = {}
        manifest_says = connector.manifest.settling_seconds
        self._settling_seconds = manifest_says if settling_seconds is None else settling_seconds

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb.startswith("_"):
            raise AttributeError(verb)
        method = getattr(self.connector, verb)
        return lambda *args: self._drive(verb, method(*args))

    def close(self) -> None:
        """Close what is open towards the other system, and give the budget's places back."""
        self._client.close()
        self._bus.close()
        give_back = getattr(self.budget, "close", None)
        if give_back is not None:
            give_back()

    def strategy(self, verb: str) -> str:
        """How the manifest makes this write safe to repeat."""
        return self.connector.manifest.verbs[verb].strategy

    def poll(self, verb: str) -> str:
        """The method that asks what became of a job of this write. NeedsSetup when the manifest names none."""
        method = self.connector.manifest.verbs[verb].poll
        if not method:
            raise NeedsSetup(f"{self.connector.system}: the manifest names no poll for {verb}", self.name)
        return method

    @property
    def settling_time(self) -> timedelta:
        """How long a look-up may fail to show what the system has accepted."""
        return timedelta(seconds=self._settling_seconds)

    # -- verbs -------------------------------------------------------------------------------------------------
    def _drive(self, verb: str, steps: Verb[Any]) -> Any:
        """Run one verb to its end, request by request."""
        wrote = False
        try:
            request = next(steps)
            while True:
                answer = self.send(request)
                try:
                    following = steps.send(answer)
                except IsthmusError:
                    raise
                except (KeyError, TypeError, AttributeError, IndexError, ValueError, ArithmeticError) as surprise:
                    raise self._unreadable(verb, request, answer, surprise) from surprise
                wrote = wrote or request.is_write
                request = following
        except StopIteration as done:
            return done.value
        except Retryable as later:
            if wrote:  # "nothing happened" is true of this request, not of a verb whose earlier one changed something
                raise OutcomeUnknown(f"{later.message}; an earlier request of the same call was carried out") from later
            raise

    def _unreadable(self, verb: str, request: Request, answer: Answer, why: Exception) -> IsthmusError:
        """An answer without the fields the vendor documents, or with values that break their rules.

        After a write that is not success, it is unknown. A value read again stays what it is: it is bad input.
        """
        bad_value = isinstance(why, ValueError | ArithmeticError)
        text = f"{self.name}: {verb}: {request.method} {request.path} answered {answer.status} "
        text += self._masked(f"with a value that cannot be read: {why}" if bad_value else f"without {why}")
        if request.is_write:
            return OutcomeUnknown(text)
        return BadInput(text) if bad_value else Unreachable(text)

    # -- requests ----------------------------------------------------------------------------------------------
    def send(self, request: Request) -> Answer:
        """Send one request and return its answer, or raise what the answer means."""
        answer = self._attempt(request)
        for _ in range(RENEWALS_MAX):
            if answer.status != 401 or 401 in request.allow or request.elsewhere or not self._renewable():
                break
            answer = self._attempt(request)
        wrong = meaning(self.connector.manifest, self.name, request, answer, self._masked)
        self.traffic.heard(wrong)
        if wrong is not None:
            raise wrong
        return answer

    def _renewable(self) -> bool:
        """True when another attempt may be let in: with a new token, or with credentials changed meanwhile.

        Of several requests that meet one dead token at the same time each may try again, not only the first.
        """
        self.auth.forget()
        return self.auth.signed_in or self.secrets.reread()

    def _attempt(self, request: Request) -> Answer:
        with self._turn(request), self.traffic.place(priority_of_call.get()):
            try:
                self._renew_token()
                if isinstance(request, Events):
                    return self._listen(request)
                return self._transmit(request, signed=not request.elsewhere)
            except IsthmusError as error:
                self.traffic.heard(error)
                raise

    def _turn(self, request: Request) -> AbstractContextManager[None]:
        """The turn of a request for which the vendor takes one at a time. Throttled when it does not come in time."""
        if not request.alone:
            return nullcontext()
        with self._token_lock:
            if request.alone not in self._turns:
                self._turns[request.alone] = self._one_at_a_time(request.alone)
        return self._turns[request.alone].slot(priority_of_call.get())

    def _renew_token(self) -> None:
        """Get a token when there is none that lasts; once more when the credentials have changed meanwhile."""
        with self._token_lock, self.auth.alone():
            request = self.auth.token_request(datetime.now(UTC))
            if request is None:
                return
            try:
                self._sign_in(request)
            except NeedsSetup:
                if not self.secrets.reread():
                    raise
                again = self.auth.token_request(datetime.now(UTC))
                assert again is not None
                self._sign_in(again)

    def _sign_in(self, request: Request) -> None:
        """Get a token, by as many requests as this kind needs."""
        asked: Request | None = request
        for _ in range(SIGN_IN_REQUESTS_MAX):
            if asked is None:
                return
            self._ask_for_token(asked)
            asked = self.auth.token_request(datetime.now(UTC))

    def _ask_for_token(self, request: Request) -> None:
        answer = self._transmit(request, signed=False)
        if answer.status >= 500 or answer.status == 429:
            raise Unreachable(f"{self.name}: the token endpoint answered {answer.status}")
        if answer.status != 200 or not isinstance(answer.body, dict) or not self.auth.given(answer.body):
            # A signed assertion is as good as a password for a while.
            said = masked(self._masked(answer.text), (request.form or {}).values())
            raise NeedsSetup(f"{self.name}: login refused ({answer.status}): {said[:300]}", self.name)
        named = self.auth.accept(answer, datetime.now(UTC))
        self.base_url = (named or self.base_url).rstrip("/")

    def _transmit(self, request: Request, signed: bool) -> Answer:
        url = httpx.URL(f"{self.base_url}/{request.path.lstrip('/')}")
        if "://" in request.path and not signed:  # some vendors give tokens on another host than their API
            url = httpx.URL(request.path)
        query = {**request.query, **(self.auth.parameters() if signed else {})}
        if query:
            url = url.copy_merge_params({name: _written(value) for name, value in query.items()})
        content = encode(request.json) if request.json is not None else request.content
        headers = self._headers(request)
        if signed:
            headers.update(self.auth.headers(request.method, str(url)))
        response = self._exchange(request, url, content, headers)
        return Answer(response.status_code, response.headers, decode(response.text), response.text, response.content)

    def _listen(self, request: Events) -> Answer:
        """Ask an event bus, with the token of this connection."""
        who = {"accesstoken": self.auth.token, "instanceurl": self.base_url, "tenantid": request.tenant}
        answer = self._bus.ask(request, {**who, **{name.lower(): value for name, value in trace_headers().items()}})
        log.debug("exchange", connection=self.name, method=request.method, path=request.topic, status=answer.status)
        return answer

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"Accept": "application/json", **trace_headers(), **request.headers}
        if request.json is not None:
            headers.setdefault("Content-Type", "application/json")
        if request.if_match:
            headers["If-Match"] = request.if_match
        if request.key:
            name = self.connector.manifest.idempotency.header
            if not name:
                raise NeedsSetup(f"{self.connector.system}: the manifest names no [idempotency] header", self.name)
            headers[name] = str(uuid.uuid5(_KEYS, f"{self.name} {request.method} {request.path} {request.key}"))
        return headers

    def _exchange(
        self, request: Request, url: httpx.URL, content: bytes | None, headers: dict[str, str]
    ) -> httpx.Response:
        where = f"{self.name}: {request.method} {url.path}"
        patience = httpx.USE_CLIENT_DEFAULT if request.timeout_seconds is None else request.timeout_seconds
        started = time.perf_counter()
        try:
            response = self._client.request(
                request.method, url, content=content, data=request.form, headers=headers, timeout=patience
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as nothing_sent:
            raise Unreachable(f"{where}: no connection ({type(nothing_sent).__name__})") from nothing_sent
        except httpx.RequestError as lost:
            kind = type(lost).__name__
            self._record(request.method, url.path, content, None, started)
            if request.is_write:
                raise OutcomeUnknown(f"{where}: sent, but no answer ({kind})") from lost
            raise Unreachable(f"{where}: no answer ({kind})") from lost
        self._record(request.method, url.path, content, response, started)
        return response

    def _record(
        self, method: str, path: str, content: bytes | None, response: httpx.Response | None, started: float
    ) -> None:
        """Note an exchange as digests; response: None when what was sent was never answered."""
        path = self._masked(path)  # an address may hold a tenant or an account
        status, got = (response.status_code, _digest(response.content)) if response is not None else (0, "")
        seen = exchanges_of_call.get()
        if seen is not None:
            took = (time.perf_counter() - started) * 1000
            seen.append(Exchange(method, path, status, took, _digest(content or b""), got))
        log.debug("exchange", connection=self.name, method=method, path=path, status=status)

    def _guarded(self) -> list[str]:
        """Everything that lets somebody in."""
        return [*self.secrets.values(), self.auth.token]

    def _masked(self, text: str) -> str:
        return masked(text, self._guarded())
