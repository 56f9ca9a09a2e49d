"""Webhooks that an administrator registers: which events they want, and the signed request that tells of one.

Modelled from the vendor's published material; not certified. The signature is published (X-Hub-Signature, sha256 of the
body with the secret); the name of the secret in a registration is not.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.jira.errors import Refused
from isthmus.sandbox.jira.jql import understood
from isthmus.sandbox.jira.reference import HUB, PEOPLE
from isthmus.sandbox.jira.site import Site
from isthmus.sandbox.jira.views import View
from isthmus.sandbox.push import Letter, Notice, Push

EVENTS = tuple(
    [f"jira:issue_{what}" for what in ("created", "updated", "deleted")]
    + [f"worklog_{what}" for what in ("created", "updated", "deleted")]
)
ATTEMPTS_MAX = 6  # the first one and five retries
_JQL = "issue-related-events-section"


class Hooks:
    """The registered webhooks and what is on its way."""

    def __init__(self, site: Site, now: Callable[[], datetime], base_url: Callable[[], str]) -> None:
        self._site, self._now, self._base_url = site, now, base_url
        self.push = Push(self._letter, attempts_max=ATTEMPTS_MAX)
        self.clear()

    def clear(self) -> None:
        """No webhooks, nothing on its way."""
        self.registered: dict[str, Record] = {}
        self._number = 0
        self.push.clear()

    def register(self, body: Record) -> Record:
        """Take a registration; a query that cannot be read is refused now, not when it is needed."""
        events = [str(event) for event in body.get("events") or []]
        unknown = [event for event in events if event not in EVENTS]
        if not body.get("name") or not body.get("url") or unknown:
            raise Refused(400, f"Specify a name, a URL and known events; unknown: {', '.join(unknown) or 'none'}")
        query = str((body.get("filters") or {}).get(_JQL) or "")
        if query:
            understood(query, self._site, PEOPLE[HUB])
        number = str(len(self.registered) + 1)
        self.registered[number] = {**body, "events": events, "query": query}
        return self.shown(number)

    def shown(self, number: str) -> Record:
        """A registration, without its secret."""
        one = self.registered[number]
        return {
            "name": one["name"],
            "url": one["url"],
            "events": one["events"],
            "filters": {_JQL: one["query"]},
            "excludeBody": False,
            "enabled": True,
            "self": f"{self._base_url()}/rest/webhooks/1.0/webhook/{number}",
        }

    def tell(self, event: str, about: Record, more: Record) -> None:
        """An event has happened: a message to every webhook that wants it."""
        if not self.registered:
            return
        view = View(self._site, PEOPLE[HUB], "2", self._base_url())
        body: Record = {"timestamp": int(self._now().timestamp() * 1000), "webhookEvent": event}
        if event.startswith("worklog_"):
            body["worklog"] = view.worklog(about)
        else:
            body |= {"user": view.person(more["user"]), "issue": view.issue(about, ["*navigable"], [])}
            if "changelog" in more:
                entry = more["changelog"]
                body["changelog"] = {"id": entry["id"], "items": entry["items"]}
        for one in self.registered.values():
            if event in one["events"] and self._meets(one["query"], about):
                self._number += 1
                self.push.put(str(one["url"]), body, {"id": f"{self._number:016x}", "secret": one.get("secret")})

    def _meets(self, query: str, about: Record) -> bool:
        """Work log events are filtered by nothing."""
        if not query or "issueId" in about:
            return True
        return understood(query, self._site, PEOPLE[HUB]).test(about)

    def _letter(self, url: str, notices: Sequence[Notice]) -> Letter:
        [notice] = notices
        content = json.dumps(notice.content, separators=(",", ":")).encode()
        context: Any = notice.context
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "User-Agent": "Atlassian Webhook HTTP Client",
            "X-Atlassian-Webhook-Identifier": context["id"],
        }
        if notice.attempts:
            headers["X-Atlassian-Webhook-Retry"] = str(notice.attempts)
        if context["secret"]:
            digest = hmac.new(str(context["secret"]).encode(), content, hashlib.sha256).hexdigest()
            headers["X-Hub-Signature"] = f"sha256={digest}"
        return content, headers
