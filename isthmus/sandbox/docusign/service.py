"""The account served: its account server, its API, and the controls tests use.

Modelled from the vendor's published material; not certified.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from isthmus.sandbox.base import Record, Sandbox
from isthmus.sandbox.docusign import login
from isthmus.sandbox.docusign.connect import Connect
from isthmus.sandbox.docusign.envelopes import Envelopes, recipient_of, shown, signers
from isthmus.sandbox.docusign.errors import NoGrant, Refused, bad_body, wrong_account
from isthmus.sandbox.docusign.limits import Counters, Limits
from isthmus.sandbox.docusign.listing import listed

_METHODS = ["GET", "POST", "PUT", "DELETE"]
ROOT = "/restapi/v2.1/accounts/{account}"
Handler = Callable[[Request, Record], "tuple[int, Any]"]


class DocusignSandbox(Sandbox):
    """One account with one application.

    login.consented, login.lifetime_seconds; counters.limits: no limits when None, set by POST /_control/limits;
    counters.violations: reads of the same thing within fifteen minutes (GET /_control/polling); the controls of
    Connect's messages are those of :mod:`isthmus.sandbox.push`. People act by POST /_control/act
    {"envelopeId", "who": id, e-mail or role, "does": "see" | "sign" | "decline", "reason"}.
    """

    name = "docusign"

    def __init__(self) -> None:
        super().__init__()
        self.login = login.Login(self.now)
        self.counters = Counters(self.now)
        self.connect = Connect(self.now)
        self.on_reset()

    def on_reset(self) -> None:
        """An empty account."""
        sender = {
            "userName": "Hub",
            "userId": login.USER_ID,
            "accountId": login.ACCOUNT_ID,
            "email": "hub@firm.example",
        }
        self.envelopes = Envelopes(self.records, self.now, sender)
        self.envelopes.teller = self.connect.tell
        self.login.clear()
        self.counters.clear()
        self.connect.clear()

    # -- what the base asks for ----------------------------------------------------------------------------------
    def routes(self) -> list[BaseRoute]:
        """Controls, the account server, the API, and the vendor's 404 for everything else."""
        envelope = ROOT + "/envelopes/{envelope}"
        table: dict[str, dict[str, Handler]] = {
            ROOT + "/envelopes": {"GET": self._list, "POST": self._create},
            envelope: {"GET": self._read, "PUT": self._update},
            envelope + "/recipients": {"GET": self._recipients},
            envelope + "/custom_fields": {"GET": self._fields, "POST": self._put_fields, "PUT": self._put_fields},
            envelope + "/documents": {"GET": self._documents},
            ROOT + "/connect": {"GET": self._connects, "POST": self._connect, "PUT": self._connect},
            ROOT + "/connect/failures": {"GET": self._failures},
            ROOT + "/connect/envelopes/retry_queue": {"PUT": self._retry},
            ROOT + "/connect/envelopes/{envelope}/retry_queue": {"PUT": self._retry},
            ROOT + "/connect/{connect}": {"GET": self._one_connect, "DELETE": self._one_connect},
        }
        return [
            *self.connect.push.routes(),
            Route("/_control/limits", self._limits, methods=["POST"]),
            Route("/_control/polling", self._polling, methods=["GET"]),
            Route("/_control/act", self._act, methods=["POST"]),
            Route("/oauth/auth", self._consent, methods=["GET"]),
            Route("/oauth/token", self._token, methods=["POST"]),
            Route("/oauth/userinfo", self._user_info, methods=["GET"]),
            Route(envelope + "/documents/{document}", self._document, methods=["GET"]),
            *(Route(path, self._endpoint(handlers), methods=_METHODS) for path, handlers in table.items()),
            Route("/{rest:path}", self._endpoint({}), methods=_METHODS),
        ]

    def credentials(self) -> dict[str, str]:
        """The application, the user it acts as, the account, and the keys of Connect. Synthetic."""
        return {
            "integration_key": login.INTEGRATION_KEY,
            "user_id": login.USER_ID,
            "account_id": login.ACCOUNT_ID,
            "private_key": login.private_key(),
            "account_host": self.base_url.partition("://")[2],
            "hmac_key_1": self.connect.keys[0],
            "hmac_key_2": self.connect.keys[-1],
        }

    def error(self, status: int) -> Response:
        """The vendor's body for an answer nobody planned."""
        code = {503: "SERVICE_UNAVAILABLE", 429: "HOURLY_APIINVOCATION_LIMIT_EXCEEDED"}.get(status, "UNSPECIFIED_ERROR")
        return JSONResponse({"errorCode": code, "message": f"HTTP {status}"}, status_code=status)

    def seed(self, collection: str, record: Record) -> Record:
        """An envelope as people make it: emailSubject, ``fields`` (custom fields by name), ``signers``, and how far it
        is: ``status`` sent, completed, declined or voided. With the envelopeId of a known one only the status.
        """
        if collection != "envelopes":
            raise ValueError(f"there are envelopes, no {collection}")
        known = self.records.get(collection, str(record.get("envelopeId", "")))
        envelope = known or self.envelopes.create(_definition(record))
        if record.get("status") == "completed":
            while envelope["status"] != "completed":
                turn = next(one for one in signers(envelope) if one["status"] in ("sent", "delivered"))
                self.envelopes.sign(envelope, turn)
        elif record.get("status") == "declined":
            self.envelopes.decline(envelope, signers(envelope)[0], str(record.get("reason") or "no"))
        elif record.get("status") == "voided":
            self.envelopes.void(envelope, str(record.get("reason") or "recalled"))
        return envelope

    # -- the API -------------------------------------------------------------------------------------------------
    def _endpoint(self, handlers: dict[str, Handler]) -> Any:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            try:
                self._let_in(request)
                handler = handlers.get(request.method)
                if handler is None:
                    raise Refused(404, "RESOURCE_NOT_FOUND", "The URL provided does not resolve to a resource.")
                status, body = handler(request, _object(raw))
                return JSONResponse(body, status, self.counters.headers())
            except Refused as refused:
                return self._told(refused)

        return endpoint

    def _let_in(self, request: Request) -> None:
        self.login.check(request.headers.get("authorization", ""))
        if request.path_params.get("account", login.ACCOUNT_ID) != login.ACCOUNT_ID:
            raise wrong_account()
        path = request.url.path
        self.counters.count(request.method, path, str(request.path_params.get("envelope", "")))

    def _told(self, refused: Refused) -> Response:
        return JSONResponse(refused.body, refused.status, self.counters.headers())

    def _found(self, request: Request) -> Record:
        return self.envelopes.get(request.path_params["envelope"])

    def _list(self, request: Request, _: Record) -> tuple[int, Any]:
        return 200, listed(self.envelopes, login.ACCOUNT_ID, request.query_params)

    def _create(self, _: Request, body: Record) -> tuple[int, Any]:
        made = self.envelopes.create(body)
        summary = {"envelopeId": made["envelopeId"], "uri": f"/envelopes/{made['envelopeId']}"}
        return 201, {**summary, "statusDateTime": made["statusChangedDateTime"], "status": made["status"]}

    def _read(self, request: Request, _: Record) -> tuple[int, Any]:
        include = set(request.query_params.get("include", "").split(","))
        return 200, shown(self._found(request), login.ACCOUNT_ID, include)

    def _update(self, request: Request, body: Record) -> tuple[int, Any]:
        envelope, status = self._found(request), body.get("status")
        if status == "voided":
            self.envelopes.void(envelope, str(body.get("voidedReason") or ""))
        elif status == "sent" and envelope["status"] == "created":
            self.envelopes.send(envelope)
        elif status is not None:
            raise Refused(400, "INVALID_REQUEST_BODY", f"An envelope that is {envelope['status']} cannot be {status}.")
        return 200, {"envelopeId": envelope["envelopeId"]}

    def _recipients(self, request: Request, _: Record) -> tuple[int, Any]:
        return 200, self._found(request)["recipients"]

    def _fields(self, request: Request, _: Record) -> tuple[int, Any]:
        return 200, self._found(request)["customFields"]

    def _put_fields(self, request: Request, body: Record) -> tuple[int, Any]:
        return (201 if request.method == "POST" else 200), self.envelopes.put_fields(self._found(request), body)

    def _documents(self, request: Request, _: Record) -> tuple[int, Any]:
        envelope = self._found(request)
        return 200, {"envelopeId": envelope["envelopeId"], "envelopeDocuments": envelope["envelopeDocuments"]}

    async def _document(self, request: Request) -> Response:
        try:
            self._let_in(request)
            content = self.envelopes.content(self._found(request), request.path_params["document"])
            return Response(content, 200, self.counters.headers(), "application/pdf")
        except Refused as refused:
            return self._told(refused)

    # -- Connect -------------------------------------------------------------------------------------------------
    def _connects(self, _: Request, __: Record) -> tuple[int, Any]:
        return 200, self.connect.listed()

    def _connect(self, request: Request, body: Record) -> tuple[int, Any]:
        return (201, self.connect.create(body)) if request.method == "POST" else (200, self.connect.update(body))

    def _one_connect(self, request: Request, _: Record) -> tuple[int, Any]:
        connect_id = request.path_params["connect"]
        if request.method == "DELETE":
            self.connect.delete(connect_id)
            return 200, {}
        return 200, self.connect.one(connect_id)

    def _failures(self, _: Request, __: Record) -> tuple[int, Any]:
        return 200, self.connect.failures()

    def _retry(self, request: Request, body: Record) -> tuple[int, Any]:
        named = request.path_params.get("envelope")
        return 200, self.connect.republish([named] if named else list(body.get("envelopeIds") or []))

    # -- the account server ----------------------------------------------------------------------------------------
    async def _token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        try:
            return JSONResponse(self.login.grant({name: texts[-1] for name, texts in form.items()}, self.base_url))
        except NoGrant as refused:
            return JSONResponse(refused.body, refused.status)

    async def _user_info(self, request: Request) -> Response:
        try:
            self.login.check(request.headers.get("authorization", ""))
        except Refused:
            return JSONResponse({"error": "internal_server_error", "reference_id": "synthetic"}, 401)
        return JSONResponse(self.login.user_info(self.base_url))

    async def _consent(self, request: Request) -> Response:
        """The user opens the consent page and agrees."""
        self.login.consented = True
        back = request.query_params.get("redirect_uri")
        return RedirectResponse(f"{back}?code=synthetic") if back else JSONResponse({"consented": True})

    # -- controls ------------------------------------------------------------------------------------------------
    async def _limits(self, request: Request) -> Response:
        given = await request.json()
        unknown = set(given) - {f.name for f in fields(Limits)}
        if unknown:
            return JSONResponse({"error": f"no such limit: {', '.join(sorted(unknown))}"}, 400)
        self.counters.limits = Limits(**given)
        return JSONResponse(given)

    async def _polling(self, _: Request) -> Response:
        return JSONResponse({"violations": self.counters.violations})

    async def _act(self, request: Request) -> Response:
        given = await request.json()
        try:
            envelope = self.envelopes.get(given["envelopeId"])
            recipient = recipient_of(envelope, given["who"])
            if given["does"] == "see":
                self.envelopes.see(envelope, recipient)
            elif given["does"] == "sign":
                self.envelopes.sign(envelope, recipient)
            else:
                self.envelopes.decline(envelope, recipient, str(given.get("reason") or "no"))
            return JSONResponse({"envelope": envelope["status"], "recipient": recipient["status"]})
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)


def _object(raw: bytes) -> Record:
    try:
        made = json.loads(raw or b"{}")
    except ValueError as wrong:
        raise bad_body(str(wrong)) from None
    if not isinstance(made, dict):
        raise bad_body("An object is expected.")
    return made


def _definition(record: Record) -> Record:
    """An envelope's definition from what a seed says."""
    text = str(record.get("document") or f"Agreement {record.get('fields', {})}")
    document = {"documentId": "1", "name": "Agreement", "documentBase64": base64.b64encode(text.encode()).decode()}
    named = [{"name": name, "value": str(value)} for name, value in (record.get("fields") or {}).items()]
    people = [{"recipientId": str(n), **one} for n, one in enumerate(record.get("signers") or [], start=1)]
    for one in people:
        one.setdefault("name", re.sub(r"@.*", "", str(one.get("email", ""))) or "Signer")
    return {
        "status": "created" if record.get("status") == "created" else "sent",
        "emailSubject": record.get("emailSubject") or "Please sign",
        "documents": [document],
        "recipients": {"signers": people},
        "customFields": {"textCustomFields": named},
    }
