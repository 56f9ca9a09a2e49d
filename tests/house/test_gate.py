"""The write gate is at every door: it knows what each write verb is about, and what each captured change is about."""

from __future__ import annotations

from isthmus.app.worker import SWEEPS
from isthmus.policies.ownership import CAPTURED, SENT
from isthmus.ports import PORTS
from isthmus.ports.verbs import VerbSpec


def test_every_write_of_a_port_is_about_something_the_gate_knows() -> None:
    verbs = [
        member.__verb__ for port in PORTS.values() for member in vars(port).values() if hasattr(member, "__verb__")
    ]
    writes = {spec.name for spec in verbs if isinstance(spec, VerbSpec) and spec.writes}
    assert set(SENT) == writes


def test_every_port_that_is_asked_for_changes_is_about_something_the_gate_knows() -> None:
    assert set(CAPTURED) == set(SWEEPS)
