"""The one place that sends. Drives a connector's verb: signs, sends, classifies the answer by the manifest's table.

What an answer means is decided in this order: an allowed status goes back to the verb; the manifest's error table,
first match; then the common rules: 401 renews the token, NeedsSetup when that does not help; 403 is NeedsSetup, 404 is
NotFound, 408 and 5xx of a write are OutcomeUnknown (of a read: Unreachable), 429 is Throttled, other 4xx a refusal.
No answer at all: a connection never made is Unreachable; a lost answer is OutcomeUnknown for a write.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog

from isthmus.domain.errors import (
    BadInput,
    IsthmusError,
    NeedsSetup,
    NotFound,
    OutcomeUnknown,
    RemoteRefusal,
    Retryable,
    StaleRead,
    Throttled,
    Unreachable,
)
from isthmus.kit.auth import Auth, Secrets, make_auth
from isthmus.kit.connector import Connector
from isthmus.kit.limits import Budget, make_budget
from isthmus.kit.wire import Answer, Request, Verb, decode, dig, encode
from isthmus.ports.calls import Exchange, correlation_of_call, exchanges_of_call, priority_of_call

log = structlog.get_logger("isthmus.kit")
RENEWALS_MAX = 2  # a token may be taken back between two requests, but not for ever


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


class Connection:
    """A connector, its credentials and its budget: callable verbs of the ports it fills."""

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
        verify: str | bool = True,
        settling_seconds: float | None = None,
    ) -> None:
        self.name = name
        self.connector = connector
        self.secrets = Secrets(secrets, name)
        self.base_url = base_url.rstrip("/")
        self.auth: Auth = make_auth(auth_kind, self.secrets, self.base_url, connector.manifest.auth)
        self.budget = budget or make_budget(connector.manifest.limits)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self._client = client or httpx.Client(timeout=connector.manifest.timeout_seconds, limits=limits, verify=verify)
        self._token_lock = threading.Lock()
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
        give_back = getattr(self.budget, "close", None)
        if give_back is not None:
            give_back()

    def strategy(self, verb: str) -> str:
        """How the manifest makes this write safe to repeat."""
        return self.connector.manifest.verbs[verb].strategy

    @property
    def settling_time(self) -> timedelta:
        """How long a look-up may fail to show what the system has accepted."""
        return timedelta(seconds=self._settling_seconds)

    def _drive(self, verb: str, steps: Verb[Any]) -> Any:
        """Run one verb to its end, request by request."""
        wrote = False
        try:
            request = next(steps)
            while True:
                answer = self._send_next(request, wrote)
                wrote = wrote or request.is_write
                try:
                    request = steps.send(answer)
                except IsthmusError:
                    raise
                except (KeyError, TypeError, IndexError, ValueError, ArithmeticError) as surprise:
                    raise self._unreadable(verb, request, answer, surprise) from surprise
        except StopIteration as done:
            return done.value

    def _send_next(self, request: Request, wrote: bool) -> Answer:
        """Send; "nothing happened" is no longer true of a verb whose earlier request has changed something."""
        try:
            return self.send(request)
        except Retryable as later:
            if wrote:
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

    def send(self, request: Request) -> Answer:
        """Send one request and return its answer, or raise what the answer means."""
        answer = self._attempt(request)
        for _ in range(RENEWALS_MAX):
            if answer.status != 401 or 401 in request.allow or self.auth.expires is None:
                break
            self.auth.forget()
            answer = self._attempt(request)
        if 200 <= answer.status < 300 or answer.status in request.allow:
            return answer
        raise self._meaning(request, answer)

    def _attempt(self, request: Request) -> Answer:
        self._renew_token()
        with self.budget.slot(priority_of_call.get()):
            return self._transmit(request, signed=True)

    def _renew_token(self) -> None:
        with self._token_lock:
            request = self.auth.token_request(datetime.now(UTC))
            if request is None:
                return
            answer = self._transmit(request, signed=False)
            if answer.status >= 500 or answer.status == 429:
                raise Unreachable(f"{self.name}: the token endpoint answered {answer.status}")
            if answer.status != 200 or not isinstance(answer.body, dict) or "access_token" not in answer.body:
                said = self._masked(answer.text)
                for sent in (request.form or {}).values():  # a signed assertion is as good as a password for a while
                    said = said.replace(sent, "***")
                raise NeedsSetup(f"{self.name}: login refused ({answer.status}): {said[:300]}", self.name)
            named = self.auth.accept(answer, datetime.now(UTC))
            self.base_url = (named or self.base_url).rstrip("/")

    def _transmit(self, request: Request, signed: bool) -> Answer:
        url = httpx.URL(f"{self.base_url}/{request.path.lstrip('/')}")
        if not signed and "://" in request.path:  # some vendors give tokens on another host than their API
            url = httpx.URL(request.path)
        if request.query:
            url = url.copy_merge_params({k: str(v) for k, v in request.query.items()})
        content = encode(request.json) if request.json is not None else None
        headers = {"Accept": "application/json", **request.headers}
        if correlation_of_call.get():
            headers.setdefault("X-Correlation-Id", correlation_of_call.get())
        if content is not None:
            headers.setdefault("Content-Type", "application/json")
        if signed:
            headers.update(self.auth.headers(request.method, str(url)))
        started = time.perf_counter()
        response = self._exchange(request, url, content, headers)
        self._record(request, content or b"", response, (time.perf_counter() - started) * 1000)
        return Answer(response.status_code, response.headers, decode(response.text), response.text)

    def _exchange(
        self, request: Request, url: httpx.URL, content: bytes | None, headers: dict[str, str]
    ) -> httpx.Response:
        where = f"{self.name}: {request.method} {url.path}"
        try:
            return self._client.request(request.method, url, content=content, data=request.form, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as nothing_sent:
            raise Unreachable(f"{where}: no connection ({type(nothing_sent).__name__})") from nothing_sent
        except httpx.RequestError as lost:
            kind = type(lost).__name__
            if request.is_write:
                raise OutcomeUnknown(f"{where}: sent, but no answer ({kind})") from lost
            raise Unreachable(f"{where}: no answer ({kind})") from lost

    def _record(self, request: Request, content: bytes, response: httpx.Response, milliseconds: float) -> None:
        path = response.request.url.path
        seen = exchanges_of_call.get()
        if seen is not None:
            sent, got = _digest(content), _digest(response.content)
            seen.append(Exchange(request.method, path, response.status_code, milliseconds, sent, got))
        log.debug("exchange", connection=self.name, method=request.method, path=path, status=response.status_code)

    def _meaning(self, request: Request, answer: Answer) -> IsthmusError:
        """The error an answer stands for."""
        manifest = self.connector.manifest
        code = str(dig(answer.body, manifest.error_code_path) or "")
        # Masked before it is cut, or the first half of a secret would show.
        said = str(dig(answer.body, manifest.error_message_path) or self._masked(answer.text)[:300])
        text = self._masked(f"{self.name}: {request.method} {request.path}: {answer.status} {code} {said}".strip())
        for row in manifest.errors:
            if row.matches(answer.status, code, answer.text, request.is_write):
                return self._raise_as(row.raises, text, code, answer)
        return self._raise_as(_common_rule(answer.status, request.is_write), text, code, answer)

    def _raise_as(self, kind: str, text: str, code: str, answer: Answer) -> IsthmusError:
        after = answer.headers.get("Retry-After", "")
        patience = float(after) if after.replace(".", "", 1).isdigit() else None
        made: dict[str, Callable[[], IsthmusError]] = {
            "Unreachable": lambda: Unreachable(text, patience),
            "Throttled": lambda: Throttled(text, patience),
            "StaleRead": lambda: StaleRead(text, patience),
            "OutcomeUnknown": lambda: OutcomeUnknown(text),
            "Exists": lambda: OutcomeUnknown(text),
            "Absent": lambda: NotFound(text),
            "NeedsSetup": lambda: NeedsSetup(text, self.name),
            "RemoteRefusal": lambda: RemoteRefusal(text, remote_code=code, system=self.name),
        }
        return made[kind]()

    def _masked(self, text: str) -> str:
        for secret in self.secrets.values():
            text = text.replace(secret, "***")
        return text.replace(self.auth.token, "***") if self.auth.token else text


def _common_rule(status: int, write: bool) -> str:
    if status in (401, 403):
        return "NeedsSetup"
    if status == 404:
        return "Absent"
    if status == 429:
        return "Throttled"
    if status >= 500 or status == 408:
        return "OutcomeUnknown" if write else "Unreachable"
    return "RemoteRefusal"
