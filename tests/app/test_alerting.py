"""Alerts on their way: signed webhooks and mail, tried again, and a case when it was in vain."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from isthmus.app import alerting
from isthmus.desk import alerts
from isthmus.desk.config import desk_config
from isthmus.domain.states import CaseState
from isthmus.store.desk_records import Alert, AlertState
from isthmus.store.records import Case
from tests.desk.stage import FINN, INES, Desk
from tests.processes.hub import contract

SECRET = "whsec_" + base64.b64encode(b"a secret of at least 24 bytes").decode()


class Chat:
    """A chat that takes webhooks; answers are given to it."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                chat.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(chat.answers.pop(0) if chat.answers else 204)
                self.send_header("location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def chat() -> Iterator[Chat]:
    one = Chat()
    yield one
    one.server.shutdown()
    one.server.server_close()


class Box(Sink):
    """A mail box."""

    def __init__(self) -> None:
        super().__init__()
        self.mail: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mail.append((envelope, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 kept"


@pytest.fixture
def box() -> Iterator[tuple[Box, int]]:
    kept = Box()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    yield kept, port
    controller.stop()


def desk_telling(receiver: dict[str, Any], **more: Any) -> Desk:
    """A desk with one heavy case, and its alert written down."""
    desk = Desk({"receivers": [receiver], **more})
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    write_down(desk)
    return desk


def write_down(desk: Desk) -> None:
    with desk.books(FINN) as books:
        alerts.raise_alerts(books, desk.config)


def send(desk: Desk) -> int:
    return alerting.send_due(desk.kernel, desk.config)


@pytest.mark.requirement("EXC-13")
def test_a_webhook_is_signed_and_says_what_the_case_is_about(chat: Chat) -> None:
    desk = desk_telling({"name": "chat", "kind": "webhook", "address": chat.url, "secret": f"demo:{SECRET}"})
    desk.clock.move_to(datetime.now(UTC))  # a signature is only good for some minutes
    assert (send(desk), send(desk)) == (1, 0)
    ((headers, body),) = chat.got
    told = Webhook(SECRET).verify(body, headers)
    assert told["type"] == "case.alert" and told["data"]["case"] == desk.case().case_no
    assert told["text"].startswith("A financial dimension is missing: Harbor Mutual\n10,000.00 USD at stake")
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"10000.00", b"90000.00"), headers)
    (alert,) = desk.rows(Alert)
    assert (alert.state, headers["webhook-id"]) == (AlertState.SENT, alert.alert_id) and alert.sent_at


@pytest.mark.requirement("EXC-13")
def test_mail_says_the_same(box: tuple[Box, int]) -> None:
    kept, port = box
    mail = {"host": "127.0.0.1", "port": port, "sender": "hub@narrows.example"}
    desk = desk_telling({"name": "finance", "kind": "mail", "address": "finance@narrows.example"}, mail=mail)
    assert send(desk) == 1
    ((envelope, message),) = kept.mail
    assert envelope.rcpt_tos == ["finance@narrows.example"] and message["From"] == "hub@narrows.example"
    assert message["Subject"] == "A financial dimension is missing: Harbor Mutual (weight 5)"
    assert message["Auto-Submitted"] == "auto-generated" and message["Message-ID"].startswith("<finance.CASE-00001.5@")
    assert "10,000.00 USD at stake" in message.get_content()


def test_what_does_not_get_through_is_sent_again_with_the_same_id(chat: Chat) -> None:
    chat.answers = [503, 302]
    desk = desk_telling({"name": "chat", "kind": "webhook", "address": chat.url})
    assert send(desk) == 0
    (alert,) = desk.rows(Alert)
    assert (alert.state, alert.attempts) == (AlertState.PENDING, 1) and "answered 503" in alert.reason
    assert send(desk) == 0 and len(chat.got) == 1, "not at once"
    desk.clock.move(timedelta(minutes=1))
    assert send(desk) == 0, "a redirect is no answer, and is not followed"
    desk.clock.move(timedelta(minutes=5))
    assert send(desk) == 1
    assert len({headers["webhook-id"] for headers, _ in chat.got}) == 1 and len(chat.got) == 3


def test_a_receiver_that_cannot_be_reached_is_a_case_that_closes_itself(chat: Chat) -> None:
    chat.answers = [500] * alerting.ATTEMPTS_MAX
    desk = desk_telling({"name": "chat", "kind": "webhook", "address": chat.url})
    for _ in range(alerting.ATTEMPTS_MAX):
        send(desk)
        desk.clock.move(timedelta(hours=2))
    assert desk.rows(Alert)[0].state is AlertState.FAILED
    (case,) = desk.rows(Case, exception="EX-ALERT")
    assert (case.state, case.queue) == (CaseState.OPEN, "integration")
    assert f"chat cannot be alerted since {alerting.ATTEMPTS_MAX} attempts" in case.cause
    write_down(desk)  # the case has grown older, so there is more to tell
    assert send(desk) >= 1
    assert desk.rows(Case, exception="EX-ALERT")[0].state is CaseState.RESOLVED


def test_a_receiver_that_is_gone_from_the_firm_folder_is_not_tried_for_days(chat: Chat) -> None:
    desk = desk_telling({"name": "chat", "kind": "webhook", "address": chat.url})
    desk.config = desk_config()
    assert send(desk) == 0 and desk.rows(Alert)[0].state is AlertState.FAILED
    assert "no receiver chat any more" in desk.rows(Case, exception="EX-ALERT")[0].cause
    desk.decide(INES, "accept", desk.rows(Case, exception="EX-ALERT")[0].case_no)


def test_two_workers_do_not_both_send(chat: Chat) -> None:
    desk = desk_telling({"name": "chat", "kind": "webhook", "address": chat.url})
    first, second = alerting._claim(desk.kernel), alerting._claim(desk.kernel)
    assert (len(first), len(second)) == (1, 0)
    desk.clock.move(timedelta(minutes=3))  # the first has died with it
    assert len(alerting._claim(desk.kernel)) == 1


def test_without_a_mail_server_a_case_says_what_to_set_up() -> None:
    desk = desk_telling({"name": "finance", "kind": "mail", "address": "finance@narrows.example"})
    for _ in range(alerting.ATTEMPTS_MAX):
        send(desk)
        desk.clock.move(timedelta(hours=2))
    assert "no mail server is set up: [desk.mail] host" in desk.rows(Case, exception="EX-ALERT")[0].cause
