"""Is a webhook the vendor's own? Checked by the scheme its manifest declares, in constant time, against every secret
that is valid now: while one is being rotated, two are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count

from isthmus.domain.errors import SignatureInvalid
from isthmus.kit.manifest import SignatureFacts

SIGNATURES_MAX = 100  # of one message; a sender of more is not the vendor


def verify(
    facts: SignatureFacts,
    secrets: Sequence[str],
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
) -> str:
    """The message's id, if a signature is right and fresh: the vendor's own id, else a digest of the body.

    headers: names in lower case. url: the whole address as the vendor knows it. SignatureInvalid if not.
    """
    given = signatures_in(facts, headers)
    if not given:
        raise SignatureInvalid(f"webhook: the header {facts.header} is missing")
    _check_age(facts, headers, now)
    parts = {
        "method": method.encode(),
        "url": url.encode(),
        "body": body,
        "timestamp": headers.get(facts.timestamp_header.lower(), "").encode(),
        "id": headers.get(facts.id_header.lower(), "").encode(),
    }
    signed = facts.separator.encode().join(parts[name] for name in facts.over)
    # Every pair is compared, so that the time taken does not tell which one was nearly right.
    right = [hmac.compare_digest(one.encode(), _expected(facts, s, signed).encode()) for one in given for s in secrets]
    if not any(right):
        raise SignatureInvalid("webhook: no signature is right")
    return headers.get(facts.id_header.lower(), "") or hashlib.sha256(body).hexdigest()[:32]


def signatures_in(facts: SignatureFacts, headers: Mapping[str, str]) -> list[str]:
    """The signatures a message carries, without their prefix."""
    if "{n}" not in facts.header:
        found = [headers.get(facts.header.lower(), "")]
    else:
        found = []
        for number in count(1):
            one = headers.get(facts.header.format(n=number).lower(), "")
            if not one or number > SIGNATURES_MAX:
                break
            found.append(one)
    return [one.removeprefix(facts.prefix) for one in found if one and one.startswith(facts.prefix)]


def _expected(facts: SignatureFacts, secret: str, signed: bytes) -> str:
    if facts.algorithm == "plain":
        return secret
    digest = hmac.new(secret.encode(), signed, getattr(hashlib, facts.algorithm)).digest()
    return digest.hex() if facts.encoding == "hex" else base64.b64encode(digest).decode()


def _check_age(facts: SignatureFacts, headers: Mapping[str, str], now: datetime) -> None:
    if not facts.timestamp_header:
        return
    said = headers.get(facts.timestamp_header.lower(), "")
    if not said.isdigit():
        raise SignatureInvalid(f"webhook: {facts.timestamp_header} is missing or no number")
    seconds = int(said) / (1000 if facts.timestamp_unit == "ms" else 1)
    if abs(now.timestamp() - seconds) > facts.tolerance_seconds:
        raise SignatureInvalid(f"webhook: signed more than {facts.tolerance_seconds} s from now")
