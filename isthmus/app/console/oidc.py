"""Login by the firm's identity provider: authorization code with PKCE, the id token checked, roles from its claims."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from isthmus.app.bootstrap import Hub
from isthmus.app.console.sessions import hashed
from isthmus.app.console_config import Grant, Oidc
from isthmus.domain.errors import NeedsSetup, NotPermitted, Unreachable
from isthmus.kit.references import read_secret
from isthmus.policies.authority import Actor
from isthmus.runtime.clock import Clock
from isthmus.store.desk_records import LoginStart

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import OAuth2Client

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
START_VALID = timedelta(minutes=10)
LEEWAY_SECONDS = 60
TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Claims:
    """Who somebody is by the provider's word."""

    name: str
    groups: tuple[str, ...]


class Provider:
    """One identity provider. Its addresses and keys are read when they are first needed, and keys anew when unknown."""

    def __init__(self, config: Oidc, clock: Clock, read: Callable[[str], str] = read_secret) -> None:
        self.config, self.clock, self._read = config, clock, read
        self._facts: dict[str, Any] = {}

    def begin(self, hub: Hub, callback: str, next_page: str) -> tuple[str, str]:
        """(state, the address to send somebody to). What must come back is kept in the books."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        start = LoginStart(
            state_hash=hashed(state), nonce=nonce, verifier=verifier, next_page=next_page, created_at=self.clock.now()
        )
        with hub.store.transaction() as tx:
            tx.insert(start)
        with self._client(callback) as client:
            url, _ = client.create_authorization_url(
                self._fact("authorization_endpoint"),
                state=state,
                nonce=nonce,
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
            )
        return state, str(url)

    def finish(self, hub: Hub, callback: str, state: str, code: str) -> tuple[Claims, str]:
        """(who it is, the page they wanted). NotPermitted when what came back is not what was asked for."""
        with hub.store.transaction() as tx:
            start = tx.get(LoginStart, hashed(state))
            if start is not None:
                tx.delete(start)  # an answer counts once
        if start is None or self.clock.now() - start.created_at > START_VALID:
            raise NotPermitted("this login was not begun here, or too long ago; please begin again")
        with self._client(callback) as client:
            try:
                token = client.fetch_token(self._fact("token_endpoint"), code=code, code_verifier=start.verifier)
            except httpx.HTTPError as error:
                raise Unreachable(f"the identity provider does not answer: {error}") from error
        return self._claims(str(token.get("id_token", "")), start.nonce), start.next_page

    def _client(self, callback: str) -> OAuth2Client:
        from authlib.integrations.httpx_client import OAuth2Client  # slow to import, and only some firms need it

        secret = self._read(self.config.client_secret) if self.config.client_secret else None
        return OAuth2Client(
            self.config.client_id,
            secret,
            scope=" ".join(self.config.scopes),
            redirect_uri=callback,
            timeout=TIMEOUT_SECONDS,
            verify=self.config.ca_file or True,
            trust_env=False,
        )

    def _claims(self, id_token: str, nonce: str) -> Claims:
        try:
            claims = jwt.decode(id_token, self._keys(), algorithms=ALGORITHMS).claims
        except (JoseError, ValueError):
            self._facts.pop("keys", None)  # keys may have been changed over there
            try:
                claims = jwt.decode(id_token, self._keys(), algorithms=ALGORITHMS).claims
            except (JoseError, ValueError) as wrong:
                raise NotPermitted(f"the identity provider's token cannot be trusted: {wrong}") from wrong
        self._check(claims, nonce)
        name = str(claims.get(self.config.name_claim) or claims.get("sub") or "").strip()
        if not name:
            raise NotPermitted(f"the identity provider names nobody: no claim {self.config.name_claim}")
        return Claims(name, _listed(claims.get(self.config.groups_claim)))

    def _check(self, claims: dict[str, Any], nonce: str) -> None:
        now = self.clock.now().timestamp()
        audience = _listed(claims.get("aud"))
        problems = {
            "issuer": str(claims.get("iss", "")).rstrip("/") != self.config.issuer.rstrip("/"),
            "audience": self.config.client_id not in audience,
            "authorised party": len(audience) > 1 and claims.get("azp") != self.config.client_id,
            "nonce": claims.get("nonce") != nonce,
            "time": float(claims.get("exp", 0)) + LEEWAY_SECONDS < now,
        }
        wrong = [name for name, is_wrong in problems.items() if is_wrong]
        if wrong:
            raise NotPermitted(f"the identity provider's token is not for this login: wrong {', '.join(wrong)}")

    def _keys(self) -> KeySet:
        if "keys" not in self._facts:
            self._facts["keys"] = KeySet.import_key_set(self._get(self._fact("jwks_uri")))
        keys: KeySet = self._facts["keys"]
        return keys

    def _fact(self, name: str) -> str:
        if "discovery" not in self._facts:
            self._facts["discovery"] = self._get(f"{self.config.issuer.rstrip('/')}/.well-known/openid-configuration")
        found = self._facts["discovery"].get(name)
        if not found:
            raise NeedsSetup(f"the identity provider {self.config.issuer} does not say its {name}")
        return str(found)

    def _get(self, url: str) -> Any:
        try:
            answer = httpx.get(url, timeout=TIMEOUT_SECONDS, verify=self.config.ca_file or True, trust_env=False)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"the identity provider cannot be asked: {url}: {error}") from error


def _listed(claim: Any) -> tuple[str, ...]:
    if isinstance(claim, str):
        return tuple(claim.replace(",", " ").split())
    return tuple(str(one) for one in claim) if isinstance(claim, Iterable) else ()


def granted(claims: Claims, grants: Iterable[Grant], hub: Hub) -> Actor:
    """The roles and legal entities of all groups somebody is in. NotPermitted when no group gives any."""
    mine = [grant for grant in grants if grant.group in claims.groups]
    if not mine:
        raise NotPermitted(f"{claims.name} is in no group that may use the console")
    actors = [hub.firm.actor(grant) for grant in mine]
    limits = [actor.entities for actor in actors]
    entities = None if None in limits else frozenset().union(*(limit for limit in limits if limit is not None))
    return Actor(claims.name, frozenset().union(*(actor.roles for actor in actors)), entities)
