"""What a vendor does to a connector that was right: another shape of its records, a window in which it is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.ledger import Writer
from isthmus.app.connecting.new import write
from isthmus.kit.executor import Connection
from isthmus.kit.traffic import Breaker, Maintenance, MaintenanceWindow
from isthmus.store.records import EffectState

# The connector has both shapes; the sandbox renames a field when its schema is 2.
EDITS = {
    "connector.py": [
        (
            '    """One @ account."""\n',
            '    """One @ account."""\n\n    mappings = {"1": {"ENTRY": m.ENTRY}, "2": {"ENTRY": m.ENTRY_2}}\n',
        ),
        ("**m.ENTRY.back(row)", '**self.mapped("ENTRY").back(row)'),
    ],
    "mapping.py": [
        ("\n\ndef billed(", '\nENTRY_2 = ENTRY.changed(Field("hours", "duration", back=Decimal))\n\n\ndef billed('),
    ],
    "sandbox.py": [
        ('    name = "$"\n', '    name = "$"\n    schema = 1\n'),
        (
            "        part = rows[place * limit",
            "        if self.schema == 2:\n"
            '            rows = [{("duration" if k == "hours" else k): v for k, v in row.items()} for row in rows]\n'
            "        part = rows[place * limit",
        ),
    ],
}


def two_shapes(name: str, folder: Path) -> Path:
    """The project of the template's connector with two mapping versions, at a sandbox with two schemas."""
    write(name, folder)
    for file, edits in EDITS.items():
        path = folder / name / name / file
        text = path.read_text()
        for old, new in edits:
            old, new = (each.replace("@", name.title()).replace("$", name) for each in (old, new))
            assert old in text, (file, old)
            text = text.replace(old, new)
        path.write_text(text)
    return folder / name


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(str(two_shapes(f"shape{abs(hash(tmp_path)) % 10**8}", tmp_path)))


def pinned(bench: Bench, version: str) -> Connection:
    """A connection whose firm has chosen a mapping version."""
    bench.samples = bench.samples.model_copy(update={"settings": {"mapping_version": version}})
    return bench.connect()


@pytest.mark.requirement("PAT-13")
def test_a_new_shape_of_the_vendors_records_is_told_and_taken_over_by_a_switch(bench: Bench) -> None:
    old = pinned(bench, "1")
    bench.prepare("TimeSource.approved_time", 1, old)
    before = old.approved_time("")
    assert [entry.hours for entry in before.entries] == [Decimal("7.50")] and before.unreadable == ()

    bench.counterpart.sandbox.schema = 2  # type: ignore[attr-defined]
    lost = old.approved_time("")
    assert lost.entries == () and len(lost.unreadable) == 1, "an hour that cannot be read is told, never dropped"
    assert "hours" in lost.unreadable[0][1]

    after = pinned(bench, "2").approved_time("")
    assert after.entries == before.entries, "the same hour, by content: nothing downstream notices the switch"


@pytest.mark.requirement("RES-09")
def test_a_maintenance_window_holds_writes_and_they_go_out_once_when_it_is_over(bench: Bench) -> None:
    connection = bench.connect()
    trial = bench.prepare("Psa.put_project", 1, connection)
    writer = Writer(connection)
    begins = datetime(2026, 3, 6, 12, 10, tzinfo=UTC)
    window = MaintenanceWindow(minutes=30, begins=begins)
    connection.traffic.maintenance = Maintenance([window], now=writer.clock.now)
    connection.traffic.breaker = Breaker(now=lambda: writer.clock.now().timestamp())
    writer.clock.move(timedelta(minutes=11))
    before = bench.census()
    made, effect = writer.write("Psa.put_project", trial.arguments)
    assert writer.clock.now() >= begins + timedelta(minutes=30), "it went out when the window was over"
    assert (effect.state, effect.sends, effect.lookups) == (EffectState.DONE, 1, 0), "held is not in doubt"
    after = bench.census()
    assert after["projects"] == before.get("projects", 0) + 1 and connection.find_project(*trial.arguments) == made
