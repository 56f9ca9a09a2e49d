"""Secrets taken out of texts, however they were written: as they are, in JSON, in a URL or as base64.

An address that lets in by itself, as cloud storage gives out for one file, is masked whoever made it: its signature.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"
_SIGNED = re.compile(r"(?<![\w-])sig=[^&\s\"'\\]+")  # of an Azure shared access signature
_SHORT = 4  # what is shorter is no secret, and masking it would make every text unreadable


@lru_cache(maxsize=512)
def spellings(secret: str) -> frozenset[str]:
    """The ways in which a secret may stand in a text."""
    encoded = base64.b64encode(secret.encode()).decode()
    urlsafe = base64.urlsafe_b64encode(secret.encode()).decode()
    ways = {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret), encoded, urlsafe.rstrip("=")}
    return frozenset(ways)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without any of the secrets, and without the signature of an address."""
    known = {spelling for secret in secrets if len(secret) >= _SHORT for spelling in spellings(secret)}
    for spelling in sorted(known, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return _SIGNED.sub(f"sig={MASK}", text)
