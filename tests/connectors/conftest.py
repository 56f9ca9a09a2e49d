"""Tests of connectors make hundreds of thousands of requests: no line is logged for each."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from isthmus.app.conformance.doubt import Doubts

FIGURES = ("outcomes", "trials", "sends", "look_ups", "duplicates", "lost")


def figures(doubts: Doubts) -> list[int]:
    """What a verb's unknown outcomes came to, in the order of the table."""
    return [getattr(doubts, name) for name in FIGURES]


@pytest.fixture(scope="package", autouse=True)
def quiet() -> Iterator[None]:
    usual = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.configure(**usual)
