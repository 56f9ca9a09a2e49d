"""Several connections that fill one port: which contracts, entities and sources each of them serves."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.app.firm import ConnectionConfig, FirmConfig
from tests.processes.hub import ENTITY


def psa(name: str, *ports: str, **facts: Any) -> ConnectionConfig:
    given = {"connector": name, "base_url": "http://127.0.0.1:9", "auth": "bearer", "writes_as": "psa"}
    return ConnectionConfig(name=name, fills=ports or ("Psa",), **{**given, **facts})


def firm(*connections: ConnectionConfig) -> FirmConfig:
    other = ENTITY.model_copy(update={"code": "US02"})
    return FirmConfig(name="Narrows", entities=(ENTITY, other), connections=connections, callers=())


WEST, DIGITAL = {"practice": ("WEST",)}, {"practice": ("DIGITAL", "DATA")}


@pytest.mark.parametrize(
    "connections",
    [
        (psa("kantata", dimensions=DIGITAL), psa("certinia", dimensions=WEST)),
        (psa("kantata", entities=("US01",)), psa("certinia", entities=("US02",))),
        (psa("kantata", "TimeSource"), psa("jira", "TimeSource"), psa("certinia", "Psa")),
    ],
    ids=["by dimension", "by entity", "several sources"],
)
def test_what_is_told_apart_may_fill_a_port_together(connections: tuple[ConnectionConfig, ...]) -> None:
    assert firm(*connections).connections == connections


@pytest.mark.parametrize(
    "connections",
    [
        (psa("kantata", dimensions=DIGITAL), psa("certinia")),
        (psa("kantata", dimensions=DIGITAL), psa("certinia", dimensions={"practice": ("WEST", "DATA")})),
        (psa("kantata", dimensions=DIGITAL), psa("certinia", dimensions={"region": ("EMEA",)})),
    ],
    ids=["one serves all", "a value in common", "other dimensions"],
)
def test_two_that_could_both_serve_a_contract_are_refused(connections: tuple[ConnectionConfig, ...]) -> None:
    with pytest.raises(ValueError, match="kantata and certinia both fill Psa for US01"):
        firm(*connections)


def test_dimensions_limit_no_ledger() -> None:
    with pytest.raises(ValueError, match="netsuite fills Erp, which dimensions cannot limit"):
        firm(psa("netsuite", "Erp", dimensions=WEST))
