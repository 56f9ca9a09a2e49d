"""What a request carries so that its way can be followed: W3C trace context (traceparent) and the correlation id.

All requests of one journey have the same trace id, made of the correlation id, so that a vendor's support, a proxy's
log and the hub's own trail speak of the same thing.
"""

from __future__ import annotations

import hashlib
import secrets

from isthmus.ports.calls import correlation_of_call


def trace_headers() -> dict[str, str]:
    """Headers of one request. Without a correlation id the trace is one request long."""
    correlation = correlation_of_call.get()
    trace = hashlib.sha256(correlation.encode()).hexdigest()[:32] if correlation else secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    return headers | ({"X-Correlation-Id": correlation} if correlation else {})
