"""Sends alerts: signed webhooks (Standard Webhooks) and mail. What does not get through is tried again, then a case.

An alert may come twice (a receiver's answer can be lost); its id is the same, and Standard Webhooks says to go by it.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

import httpx
import structlog
from standardwebhooks.webhooks import Webhook

from isthmus.app.bootstrap import Hub
from isthmus.desk.alerts import raise_alerts
from isthmus.desk.config import DeskConfig, Receiver
from isthmus.domain.errors import IsthmusError, NeedsDecision, NeedsSetup
from isthmus.kit.references import read_secret
from isthmus.runtime.kernel import Kernel
from isthmus.runtime.loops import keeper
from isthmus.store.desk_records import Alert, AlertState
from isthmus.store.tx import Tx

log = structlog.get_logger("isthmus.alerts")
AT_ONCE, ATTEMPTS_MAX, TIMEOUT_SECONDS = 20, 8, 10
CLAIMED_FOR = timedelta(minutes=2)  # so long nobody else sends it; longer than any attempt takes
CASE = "EX-ALERT"
FAILURES = (IsthmusError, OSError, httpx.HTTPError, smtplib.SMTPException, ValueError)
Read = Callable[[str], str]


def turn(hub: Hub) -> int:
    """Write down what is to be told, and send what is due; how many were written or sent."""
    if not hub.desk.receivers:
        return 0
    with hub.store.transaction() as tx:
        books = hub.kernel.books(tx, key="desk/alerts", actor="hub")
        made = raise_alerts(books, hub.desk, hub.firm.console.public_url)
    return made + send_due(hub.kernel, hub.desk, hub.vault.read)


def send_due(kernel: Kernel, config: DeskConfig, read: Read = read_secret) -> int:
    """Send alerts whose time has come, each claimed first; how many went out."""
    receivers = {one.name: one for one in config.receivers}
    sent = 0
    for alert in _claim(kernel):
        receiver = receivers.get(alert.receiver)
        try:
            if receiver is None:
                raise NeedsSetup(f"there is no receiver {alert.receiver} any more")
            _send(receiver, alert, config, read, kernel.clock.now())
        except FAILURES as error:
            _put_off(kernel, alert, error, gone=receiver is None)
            continue
        with kernel.store.transaction() as tx:
            tx.update(alert.model_copy(update={"state": AlertState.SENT, "sent_at": kernel.clock.now(), "reason": ""}))
            kernel.close_alert(tx, _keeper(alert.receiver), CASE)
        sent += 1
    return sent


def _claim(kernel: Kernel) -> list[Alert]:
    """The next alerts, put off for everybody else while they are under way."""
    now = kernel.clock.now()
    with kernel.store.transaction() as tx:
        tx.lock("alerts:sending")
        waiting = tx.find(Alert, state=AlertState.PENDING, order=("next_at", "alert_id"), limit=AT_ONCE)
        mine = [alert for alert in waiting if alert.next_at <= now]
        claimed = [a.model_copy(update={"next_at": now + CLAIMED_FOR, "attempts": a.attempts + 1}) for a in mine]
        tx.update_many(claimed)
    return claimed


def _put_off(kernel: Kernel, alert: Alert, error: BaseException, *, gone: bool) -> None:
    """Later again, further apart each time; after the last attempt a case tells the integration team."""
    reason = str(error) or type(error).__name__
    log.warning("alert", receiver=alert.receiver, alert=alert.alert_id, reason=reason)
    last = gone or alert.attempts >= ATTEMPTS_MAX
    later = kernel.clock.now() + timedelta(seconds=min(5 * 4**alert.attempts, 3600))
    state = AlertState.FAILED if last else AlertState.PENDING
    with kernel.store.transaction() as tx:
        tx.update(alert.model_copy(update={"state": state, "next_at": later, "reason": reason}))
        if last:
            _tell(kernel, tx, alert, reason)


def _tell(kernel: Kernel, tx: Tx, alert: Alert, reason: str) -> None:
    tx.lock(_keeper(alert.receiver))
    cause = f"{alert.receiver} cannot be alerted since {alert.attempts} attempts: {reason}"
    row = keeper(_keeper(alert.receiver), alert.receiver, kernel.clock.now())
    told = NeedsDecision(CASE, cause, queue="integration", context={"receiver": alert.receiver}, actions=("accept",))
    kernel.open_case(tx, row, 0, "Send an alert", told)


def _keeper(receiver: str) -> str:
    return f"watch/alerts/{receiver}"


def _send(receiver: Receiver, alert: Alert, config: DeskConfig, read: Read, now: datetime) -> None:
    if receiver.kind == "webhook":
        _post(receiver, alert, read, now)
    else:
        _mail(receiver, alert, config, read, now)


def _post(receiver: Receiver, alert: Alert, read: Read, now: datetime) -> None:
    """Any 2xx is an answer; a redirect is not followed: what is told is told to the address that was approved."""
    body = json.dumps(alert.body, separators=(",", ":"), ensure_ascii=False)
    headers = {"content-type": "application/json", "webhook-id": alert.alert_id}
    headers["webhook-timestamp"] = str(int(now.timestamp()))
    if receiver.secret:
        headers["webhook-signature"] = Webhook(read(receiver.secret)).sign(alert.alert_id, now, body)
    answer = httpx.post(
        receiver.address, content=body.encode(), headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
    )
    if not answer.is_success:
        raise NeedsSetup(f"{receiver.address} answered {answer.status_code}")


def _mail(receiver: Receiver, alert: Alert, config: DeskConfig, read: Read, now: datetime) -> None:
    mail = config.mail
    if not mail.host:
        raise NeedsSetup("no mail server is set up: [desk.mail] host")
    message = EmailMessage()
    first, _, rest = alert.text.partition("\n")
    message["Subject"] = f"{first} (weight {alert.weight})"
    message["From"], message["To"] = mail.sender, receiver.address
    message["Date"], message["Message-ID"] = format_datetime(now), f"<{alert.alert_id.replace('/', '.')}@isthmus>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{first}\n{rest}\n")
    with smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_SECONDS) as server:
        if mail.tls:
            server.starttls(context=ssl.create_default_context())
        if mail.user:
            server.login(mail.user, read(mail.password) if mail.password else "")
        server.send_message(message)
