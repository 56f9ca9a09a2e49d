"""Callers: keep-alive connections that send signed webhooks one after the other. A process of its own, bounded.

It says "ready" when everything is signed, and sends when it is told to go.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from standardwebhooks.webhooks import Webhook

from isthmus.app.demo import world
from isthmus.app.demo.firm import WEBHOOK_SECRET

PEOPLE = sorted({person for _, person in world.TEAM.values()})


def requests(host: str, connection: str, first: int, number: int, project: str) -> list[bytes]:
    """Complete HTTP requests, one time entry each, signed beforehand so that signing is not measured."""
    signer, now = Webhook(WEBHOOK_SECRET), datetime.now(UTC)
    made = []
    for n in range(first, first + number):
        entry = {
            "source_id": f"b{n}",
            "project_code": project,
            "task_code": "LH-UX",
            "person": PEOPLE[n % len(PEOPLE)],
            "role": "Visual Designer",
            "service_date": f"2026-03-{1 + n // len(PEOPLE) % 28:02d}",
            "hours": f"{n // 168 % 3}.25",  # nine entries a person and day at 1,500: no day may exceed its hours
            "note": f"entry {n}",
            "approved_by": "pia",
            "approved_at": "2026-03-31T18:00:00+00:00",
        }
        body = json.dumps({"type": "time.approved", "schema_version": 1, "data": {"entries": [entry]}})
        signature = signer.sign(f"m{n}", now, body)
        made.append(
            (
                f"POST /webhooks/{connection} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"webhook-id: m{n}\r\nwebhook-timestamp: {int(now.timestamp())}\r\nwebhook-signature: {signature}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
    return made


async def _caller(host: str, port: int, work: list[bytes], latencies: list[float], refused: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while work:
        request = work.pop()
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 202"):
            refused.append(head[:20] + body[:200])
    writer.close()


async def send(url: str, work: list[bytes], callers: int) -> dict[str, object]:
    """Send all and tell how it went; cpu_seconds: what sending took of this process."""
    address, latencies, refused = urlsplit(url), list[float](), list[bytes]()
    assert address.hostname == "127.0.0.1" and address.port, "loopback only"
    number, started, used = len(work), time.perf_counter(), time.process_time()
    await asyncio.gather(*(_caller("127.0.0.1", address.port, work, latencies, refused) for _ in range(callers)))
    seconds = time.perf_counter() - started
    ranked = sorted(latencies)
    return {
        "per_second": number / seconds,
        "p50_ms": ranked[len(ranked) // 2] * 1000,
        "p99_ms": ranked[int(len(ranked) * 0.99)] * 1000,
        "cpu_seconds": time.process_time() - used,
        "refused": [r.decode(errors="replace") for r in refused[:3]],
    }


class Callers:
    """The process, as whoever measures sees it: ready when it is made."""

    def __init__(self, url: str, connection: str, first: int, number: int, callers: int, project: str) -> None:
        arguments = (url, connection, first, number, callers, project)
        command = [sys.executable, "-m", "benchmarks.callers", *map(str, arguments)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"

    def go(self) -> dict[str, float]:
        """Send, and what came of it. Nothing may be refused."""
        out, _ = self._child.communicate("go\n")
        told: dict[str, float] = json.loads(out)
        assert not told.pop("refused"), told
        return told


def main() -> None:
    """Sign, wait, send."""
    url, connection, first, number, callers, project = sys.argv[1:7]
    work = requests(urlsplit(url).netloc, connection, int(first), int(number), project)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(send(url, work, int(callers)))))


if __name__ == "__main__":
    main()
