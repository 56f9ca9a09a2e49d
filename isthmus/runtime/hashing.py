"""Content hashes: the same content gives the same hash, whatever the order of its keys."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic_core import to_jsonable_python


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and no spaces; models, decimals and dates as their JSON text."""
    return json.dumps(to_jsonable_python(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_hash(content: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
