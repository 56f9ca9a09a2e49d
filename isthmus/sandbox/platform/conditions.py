"""Conditional requests: entity tags on Account rows, modification dates on every row.

Modelled from the vendor's published material; not certified. The body of a 412 is not published.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from isthmus.sandbox.platform.calls import Call
from isthmus.sandbox.platform.errors import ApiError
from isthmus.sandbox.platform.values import parse_stamp

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def etag(record: dict[str, Any]) -> str:
    """The entity tag of a record's content."""
    digest = hashlib.sha1(json.dumps(record, sort_keys=True).encode(), usedforsecurity=False).digest()
    return f'"{base64.b64encode(digest).decode()}"'


def check_write(call: Call, entity: str, record: dict[str, Any]) -> None:
    """Refuse a write whose If-Match, If-None-Match or If-Unmodified-Since does not hold."""
    if entity == "Account":
        wanted = _tags(call, "if-match")
        if wanted is not None and etag(record) not in wanted:
            raise _failed("If-Match")
        unwanted = _tags(call, "if-none-match")
        if unwanted is not None and etag(record) in unwanted:
            raise _failed("If-None-Match")
    since = _moment(call, "if-unmodified-since")
    if since is not None and _modified(record) > since:
        raise _failed("If-Unmodified-Since")


def unchanged(call: Call, entity: str, record: dict[str, Any]) -> bool:
    """True when a read should be answered 304."""
    if entity == "Account":
        known = _tags(call, "if-none-match")
        if known is not None:
            return etag(record) in known
    since = _moment(call, "if-modified-since")
    return since is not None and _modified(record) <= since


def _tags(call: Call, header: str) -> list[str] | None:
    text = call.headers.get(header)
    if text is None:
        return None
    found = [f'"{tag.removesuffix("-gzip")}"' for tag in _TAG.findall(text)]
    if not found:
        raise ApiError(400, "INVALID_HEADER", f"Invalid value for header {header}: {text}")
    return found


def _moment(call: Call, header: str) -> datetime | None:
    text = call.headers.get(header)
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        raise ApiError(400, "INVALID_HEADER", f"Invalid value for header {header}: {text}") from None


def _modified(record: dict[str, Any]) -> datetime:
    # The headers carry whole seconds, so a stamp is compared without its fraction.
    return parse_stamp(record["LastModifiedDate"]).replace(microsecond=0)


def _failed(header: str) -> ApiError:
    return ApiError(412, "PRECONDITION_FAILED", f"{header} does not hold for the current record")
