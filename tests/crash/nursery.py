"""A process that has imported the hub already and forks hub processes from itself; and what such a process does.

Starting one costs a fork and what the hub really does at its start, not a second of imports.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socketserver
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from isthmus.app import bootstrap, worker
from isthmus.domain.errors import IsthmusError, LostRace
from isthmus.domain.objects import TimeEntry
from isthmus.domain.states import CaseState
from isthmus.kit.executor import trusted
from isthmus.kit.time_file import read_time_file
from isthmus.processes import sweeps
from isthmus.runtime import outbox
from isthmus.runtime.books import Books
from isthmus.runtime.clock import ShiftedClock
from isthmus.runtime.kernel import Subscriber
from isthmus.store.records import Case, OutboxEvent

worker.TICK_SECONDS, worker.IDLE_SECONDS = 0.02, 0.06
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
WITNESS = "witness"
WITNESSED = frozenset({"invoice.issued", "invoice.posted", "invoice.paid", "payment.received"})


def main() -> None:
    """Obey until standard input ends: fork a hub, or send one a signal."""
    for connector in bootstrap.CONNECTORS:
        bootstrap.connector_class(connector).read_manifest()
    trusted(True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps: a dead hub's process id is gone at once
    children: list[int] = []
    os.write(1, b"{}\n")
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_hub(command)
        children.append(os.pidfd_open(pid))  # a number may be a stranger's by the time we end
        os.write(1, (json.dumps({"pid": pid}) + "\n").encode())
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, signal.SIGKILL)


def _become_hub(spec: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null, log = os.open(os.devnull, os.O_RDWR), os.open(spec["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    for theirs, ours in ((null, 0), (log, 1), (log, 2)):
        os.dup2(theirs, ours)
    os.environ.update(spec["env"])
    try:
        run_hub(spec)
    finally:
        os._exit(1)


def run_hub(spec: dict[str, Any]) -> None:
    """The hub of one process: kernel, worker, and a door for senders."""
    began = datetime.fromisoformat(spec["began"])
    hub = bootstrap.build(spec["url"], clock=ShiftedClock(began + timedelta(seconds=spec["elapsed"])))
    hub.kernel.parallel_sends = spec.get("parallel_sends", 1)
    hub.kernel.subscribers[WITNESS] = Subscriber(WITNESSED, witness)
    looked = _count_first_looks(hub)
    if spec.get("gathers_whole", True):
        _gather_whole_messages()
    one = worker.Worker(hub, lease_seconds=spec.get("lease_seconds", 15.0), sweeping=spec.get("sweeping", True))
    if spec.get("working", True):
        one.start()
    if spec.get("sweeping", True):
        looked.wait(20)
    door = _Door(spec["door"], hub)
    door.serve_forever(poll_interval=5)


def _count_first_looks(hub: bootstrap.Hub) -> threading.Event:
    """Set when every sweep has looked once: from then on what arrives finds the hub settled."""
    filled = {port for connection in hub.firm.connections for port in connection.fills}
    waiting = {id(sweep) for port, sweep in worker.SWEEPS.items() if port in filled}
    looked = threading.Event()

    def counted(sweep: Callable[..., int]) -> Callable[..., int]:
        def look(*args: Any) -> int:
            try:
                return sweep(*args)
            finally:
                waiting.discard(id(sweep))
                if not waiting:
                    looked.set()

        return look

    for port, sweep in list(worker.SWEEPS.items()):
        worker.SWEEPS[port] = counted(sweep)
    return looked


def _gather_whole_messages() -> None:
    """Gather when no sender is at the door. What is sent together then makes one batch, so that the checkpoints of a
    trial can be told in advance; a test of its own leaves this out.
    """
    gather = sweeps.drain_time
    sweeps.drain_time = lambda kernel: 0 if _Request.at_the_door else gather(kernel)


def witness(books: Books, event: OutboxEvent) -> None:
    """A subscriber: it writes down, once, what it was told."""
    books.quiet("witnessed", event.event_id, event.type)


class _Door(socketserver.ThreadingUnixStreamServer):
    """One request a connection: a line of JSON in, a line of JSON out. No answer means that the hub has died."""

    daemon_threads = True

    def __init__(self, path: str, hub: bootstrap.Hub) -> None:
        self.hub = hub
        Path(path).unlink(missing_ok=True)
        super().__init__(path + ".new", _Request)
        os.rename(path + ".new", path)  # it is there only when it answers


class _Request(socketserver.StreamRequestHandler):
    at_the_door = 0
    _counting = threading.Lock()

    def _come(self, by: int) -> None:
        with self._counting:
            _Request.at_the_door += by

    def handle(self) -> None:
        """Serve one request."""
        self._come(1)
        try:
            self._serve()
        finally:
            self._come(-1)

    def _serve(self) -> None:
        request = json.loads(self.rfile.readline())
        hub = self.server.hub  # type: ignore[attr-defined]
        try:
            answer = _serve(hub, request)
        except IsthmusError as error:
            answer = {"error": error.code, "message": error.message}
        hub.kernel.checkpoint(f"served {request['do']}")
        self.wfile.write((json.dumps(answer) + "\n").encode())


def _serve(hub: bootstrap.Hub, request: dict[str, Any]) -> dict[str, Any]:
    for attempt in range(5):
        try:
            with hub.kernel.store.transaction() as tx:
                books = hub.kernel.books(tx, key="door", actor=request["by"])
                answer = REQUESTS[request["do"]](books, **request["with"])
                hub.kernel.checkpoint(f"committing {request['do']}")
            return answer
        except LostRace:
            if attempt == 4:
                raise
    raise AssertionError("unreachable")


def _webhook(books: Books, source: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"new": sweeps.accept_time(books, source, [TimeEntry.model_validate(e) for e in entries])}


def _file(books: Books, source: str, content: str) -> dict[str, Any]:
    file = read_time_file(content.encode(), "nightly.csv", system=source)
    return {"new": sweeps.accept_time(books, source, file.entries), "rejected": len(file.rejected)}


def _bill(books: Books, contract_no: str, name: str, cutoff: str) -> dict[str, Any]:
    args = {"contract_no": contract_no, "cutoff": cutoff, "prepared_by": "ana.billing"}
    correlation = f"contract:{contract_no}"
    run = books.start("bill_contract", f"{contract_no}:{name}", args, entity="US01", correlation_id=correlation)
    return {"run": run.run_id}


def _replay(books: Books, aggregate: str) -> dict[str, Any]:
    return {"events": outbox.replay(books, WITNESS, aggregate=aggregate)}


def _bill_many(books: Books, contract_no: str, count: int) -> dict[str, Any]:
    for number in range(count):
        _bill(books, contract_no, f"extra-{number}", "2026-03-31")
    return {"runs": count}


def _call_off_all(books: Books) -> dict[str, Any]:
    cases = books.tx.find(Case, state=CaseState.OPEN)
    for case in cases:
        books.kernel.resolve(books.tx, case.case_no, action="cancel", actor="pia.pmo", reason="not ours", values={})
    return {"cases": len(cases)}


REQUESTS: dict[str, Callable[..., dict[str, Any]]] = {
    "webhook": _webhook,
    "file": _file,
    "bill": _bill,
    "bill_many": _bill_many,
    "call_off_all": _call_off_all,
    "replay": _replay,
}

if __name__ == "__main__":
    main()
