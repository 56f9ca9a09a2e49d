"""The JWT grant of DocuSign: a token from the account server, then the address of the account it opens.

The connection's base URL is the account server, production or demo. Each account lies at an address of its own that the
account server tells; it may move, so each new token asks again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from isthmus.domain.errors import NeedsSetup
from isthmus.kit.auth import JwtBearer
from isthmus.kit.wire import Answer, Request, Row

SCOPES = "signature impersonation"
ACCOUNT = "{base_uri}/restapi/v2.1/accounts/{account_id}"


class JwtGrant(JwtBearer):
    """credentials: integration_key, user_id, private_key; account_id when the user has several accounts."""

    address = ""

    def claims(self) -> dict[str, str]:
        """The audience is the host of the account server, without a scheme."""
        host = urlsplit(self.base_url).netloc
        key, user = self.secrets["integration_key"], self.secrets["user_id"]
        return {"iss": key, "sub": user, "aud": host, "scope": SCOPES}

    def token_request(self, now: datetime) -> Request | None:
        """A token where there is none that lasts, then the account it is for."""
        asked = super().token_request(now)
        if asked is not None:
            self.address = ""
            return replace(asked, path=self.token_url)  # the connection's own address is the account's by now
        if self.address:
            return None
        return Request("GET", f"{self.base_url}/{self.facts.accounts_path}", headers=self.headers("GET", ""))

    def given(self, body: dict[str, Any]) -> bool:
        """True for a token and for the accounts of its user."""
        return "accounts" in body or super().given(body)

    def accept(self, answer: Answer, now: datetime) -> str | None:
        """The token; then the address of the account: the one that is named, or the user's default one."""
        if "accounts" not in answer.body:
            return super().accept(answer, now)
        accounts: list[Row] = answer.body["accounts"]
        wanted = self.secrets.get("account_id", "")
        for one in accounts:
            chosen = one.get("account_id") == wanted if wanted else str(one.get("is_default")).lower() == "true"
            if chosen and one.get("base_uri"):
                self.address = ACCOUNT.format(base_uri=str(one["base_uri"]).rstrip("/"), account_id=one["account_id"])
                return self.address
        there = ", ".join(f"{one.get('account_id')} ({one.get('account_name')})" for one in accounts) or "none"
        raise NeedsSetup(f"docusign: the user has no account {wanted or 'that is the default one'}; there are: {there}")
