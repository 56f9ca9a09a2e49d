"""Console sessions: a secret in a cookie, its hash in the books; they end when idle, when old, or when left."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from isthmus.app.bootstrap import Hub
from isthmus.app.console_config import ConsoleConfig
from isthmus.policies.authority import Actor
from isthmus.runtime.clock import Clock
from isthmus.store.desk_records import LockOut, LoginStart, Session

COOKIE = "isthmus_session"
KEPT, FORGET_MAX = timedelta(days=7), 500
SEEN_EVERY = timedelta(seconds=30)  # how often a look is written down
NAME_MAX = 200
ADDRESS_TIMES = 4  # an address may fail so many times as often as a name: several people may share one


def hashed(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class Sessions:
    """Begins, finds and ends sessions. clock is the machine's: a session's age is real whatever month the hub is in."""

    hub: Hub
    config: ConsoleConfig
    clock: Clock

    def begin(self, who: Actor, via: str, address: str) -> str:
        """A new session; returns its secret, which is told once."""
        secret, now = secrets.token_urlsafe(32), self.clock.now()
        session = Session(
            session_hash=hashed(secret),
            name=who.name,
            roles=sorted(who.roles),
            entities=sorted(who.entities) if who.entities is not None else None,
            via=via,
            csrf=secrets.token_urlsafe(24),
            address=address,
            created_at=now,
            seen_at=now,
            expires_at=now + timedelta(hours=self.config.session_hours),
        )
        with self.hub.store.transaction() as tx:
            tx.insert(session)
            self._audit(tx, "session.begin", who.name, f"by {via} from {address}")
        return secret

    def find(self, secret: str, *, seen: bool = True) -> Session | None:
        """The session of a secret, when it still holds; what a person does (seen) keeps it from going idle."""
        if not secret:
            return None
        now = self.clock.now()
        with self.hub.store.transaction() as tx:
            session = tx.get(Session, hashed(secret))
            if session is None or session.ended_at is not None:
                return None
            idle = now - session.seen_at > timedelta(minutes=self.config.idle_minutes)
            if idle or now >= session.expires_at:
                tx.update(session.model_copy(update={"ended_at": now}))
                self._audit(tx, "session.expire", session.name, "idle" if idle else "too old")
                return None
            if seen and now - session.seen_at >= SEEN_EVERY:
                session = session.model_copy(update={"seen_at": now})
                tx.update(session)
        return session

    def end(self, session: Session) -> None:
        """Leave."""
        with self.hub.store.transaction() as tx:
            tx.update(session.model_copy(update={"ended_at": self.clock.now()}))
            self._audit(tx, "session.end", session.name, "logged out")

    # -- lock-out -------------------------------------------------------------------------------------------------

    def locked(self, name: str, address: str) -> datetime | None:
        """Until when this name or address is locked out; None when it may try."""
        now = self.clock.now()
        with self.hub.store.transaction() as tx:
            found = [tx.get(LockOut, who) for who in _who(name, address)]
        until = [one.locked_until for one in found if one is not None and one.locked_until and one.locked_until > now]
        return max(until, default=None)

    def refused(self, name: str, address: str, why: str) -> None:
        """Keep in the audit that somebody was not let in."""
        with self.hub.store.transaction() as tx:
            self._audit(tx, "session.denied", name[:NAME_MAX] or "unknown", f"{why}, from {address}")

    def failed(self, name: str, address: str, why: str) -> None:
        """Count a failed attempt against the name and the address, and keep it in the audit."""
        now, span = self.clock.now(), timedelta(minutes=self.config.lock_minutes)
        with self.hub.store.transaction() as tx:
            for who in _who(name, address):
                tx.lock(f"lock-out:{who}")
                known = tx.get(LockOut, who)
                fresh = known is None or now - known.first_at > span
                failures = 1 if fresh or known is None else known.failures + 1
                first = now if fresh or known is None else known.first_at
                most = self.config.failures_max * (ADDRESS_TIMES if who.startswith("address:") else 1)
                until = now + span if failures >= most else None
                tx.put(LockOut(who=who, failures=failures, first_at=first, locked_until=until))
            self._audit(tx, "session.denied", name[:NAME_MAX] or "unknown", f"{why}, from {address}")

    def succeeded(self, name: str, address: str) -> None:
        """Forget failed attempts."""
        with self.hub.store.transaction() as tx:
            for who in _who(name, address):
                known = tx.get(LockOut, who)
                if known is not None:
                    tx.delete(known)

    def _audit(self, tx: object, action: str, name: str, reason: str) -> None:
        books = self.hub.kernel.books(tx, key=f"console/{name}", actor=name)  # type: ignore[arg-type]
        books.audit(action, f"person:{name}", reason=reason)


def _who(name: str, address: str) -> list[str]:
    named = [f"name:{name.strip().casefold()[:NAME_MAX]}"] if name.strip() else []
    return [*named, f"address:{address}"]


def actor_of(session: Session) -> Actor:
    """Whoever is logged in, as the one authorisation knows them."""
    limits = frozenset(session.entities) if session.entities is not None else None
    return Actor(session.name, frozenset(session.roles), limits)


def forget_old(hub: Hub, now: datetime) -> None:
    """Sessions, logins begun and lock-outs that mean nothing any more; the audit keeps who was here."""
    with hub.store.transaction() as tx:
        for session in tx.find(Session, order=("created_at",), limit=FORGET_MAX):
            if session.expires_at < now - KEPT:
                tx.delete(session)
        for start in tx.find(LoginStart, order=("created_at",), limit=FORGET_MAX):
            if start.created_at < now - KEPT:
                tx.delete(start)
        for one in tx.find(LockOut, order=("first_at",), limit=FORGET_MAX):
            if one.first_at < now - KEPT:
                tx.delete(one)


def csrf_holds(session: Session, request: Request, form: dict[str, str]) -> bool:
    """True when the request carries the session's own token, in its form or its header."""
    given = form.get("csrf", "") or request.headers.get("x-csrf", "")
    return hmac.compare_digest(given.encode(), session.csrf.encode())


def set_cookie(request: Request, response: Response, secret: str, hours: float) -> None:
    """The session's secret, out of reach of scripts; over TLS only where the page came by TLS."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(hours * 3600),
        path="/console",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def clear_cookie(response: Response) -> None:
    """Forget the secret."""
    response.delete_cookie(COOKIE, path="/console")
