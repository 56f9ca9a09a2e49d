"""Learning of changes: tokens that become invalid, logs that forget, webhooks that never come: nothing is missed."""

from __future__ import annotations

import random
import tomllib
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isthmus.domain.errors import BadInput, Unreachable
from isthmus.kit.capture import DeltaPage, LogPage, by_delta_token, from_event_log, is_echo, parts_of
from isthmus.kit.manifest import CaptureFacts, OriginFacts
from isthmus.kit.wire import Answer, Request, Row, Verb
from tests.kit.model import manifest


def run(steps: Verb[Any]) -> Any:
    """What a verb returns when every request is answered."""
    try:
        next(steps)
        while True:
            steps.send(Answer(200, httpx.Headers(), None, ""))
    except StopIteration as done:
        return done.value


class Vendor:
    """Rows that change; a log of changes with a short memory; delta tokens that name a moment. 3 rows a page."""

    PAGE = 3

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.changes: list[Row] = []
        self.log_from = 0  # events before this are forgotten
        self.valid_from = 0  # tokens of before this are invalid

    def change(self, key: str) -> None:
        row = {"id": key, "version": len(self.changes) + 1}
        self.rows[key] = row
        self.changes.append(row)

    def ask_delta(self, token: str) -> Verb[DeltaPage]:
        """Tokens: "from:upto:place". The first page of everything has an empty one."""
        yield Request("GET", "delta")
        upto = len(self.changes)
        start, end, place = (int(part) for part in token.split(":")) if token else (-1, upto, 0)
        if token and (start if start >= 0 else end) < self.valid_from:
            return DeltaPage([], invalid=True)
        end = upto if token and place == 0 else end
        seen = self.changes[max(start, 0) : end] if start >= 0 else list(self.rows.values())
        more = place + self.PAGE < len(seen)
        return DeltaPage(
            seen[place : place + self.PAGE],
            next=f"{start}:{end}:{place + self.PAGE}" if more else "",
            token="" if more else f"{end}:{end}:0",
        )

    def read_log(self, position: str) -> Verb[LogPage]:
        yield Request("GET", "log")
        if not position:
            return LogPage([], str(len(self.changes)))
        start = int(position)
        if start < self.log_from:
            return LogPage([], position, gone=True)
        rows = self.changes[start : start + self.PAGE]
        end = start + len(rows)
        return LogPage(rows, str(end), at=str(end), more=end < len(self.changes))

    def sweep(self, since: str) -> Verb[tuple[list[Row], str]]:
        yield Request("GET", "rows")
        rows = [row for row in self.rows.values() if row["version"] > int(since or 0)]
        return rows, str(len(self.changes))


KEYS = [f"k{n}" for n in range(6)]
acts = st.lists(st.sampled_from([*KEYS, "forget", "look"]), max_size=40)


def newest(rows: list[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in sorted(rows, key=lambda row: row["version"])}


@given(acts)
def test_a_token_feed_shows_every_row_as_it_is_however_often_tokens_become_invalid(acts: list[str]) -> None:
    vendor, token, known = Vendor(), "", dict[str, Row]()
    for act in [*acts, "look"]:
        if act == "forget":
            vendor.valid_from = len(vendor.changes)
        elif act == "look":
            rows, token, whole = run(by_delta_token(vendor.ask_delta, token))
            known = newest(rows) if whole else newest([*known.values(), *rows])
            assert known == vendor.rows
        else:
            vendor.change(act)


@given(acts)
def test_a_log_that_forgets_is_made_up_for_by_a_sweep(acts: list[str]) -> None:
    vendor, watermark, known = Vendor(), "", dict[str, Row]()
    for act in [*acts, "look"]:
        if act == "forget":
            vendor.log_from = len(vendor.changes)
        elif act == "look":
            had = watermark
            rows, watermark, swept = run(from_event_log(vendor.read_log, vendor.sweep, watermark))
            known = newest([*known.values(), *rows])
            assert known == vendor.rows
            lost = not had or int(parts_of(had)["position"]) < vendor.log_from
            assert swept == lost, "a sweep costs much and is made when it is needed only"
        else:
            vendor.change(act)


def test_what_happens_during_the_sweep_is_read_again_from_the_log() -> None:
    vendor = Vendor()
    vendor.change("k0")

    def sweep(since: str) -> Verb[tuple[list[Row], str]]:
        found = yield from vendor.sweep(since)
        vendor.change("k1")  # after the rows were read, before the sweep is over
        return found

    rows, watermark, _ = run(from_event_log(vendor.read_log, sweep, ""))
    assert [row["id"] for row in rows] == ["k0"]
    rows, _, swept = run(from_event_log(vendor.read_log, vendor.sweep, watermark))
    assert [row["id"] for row in rows] == ["k1"] and not swept


def test_a_feed_that_contradicts_itself_is_an_error() -> None:
    def invalid(token: str) -> Verb[DeltaPage]:
        yield Request("GET", "x")
        return DeltaPage([], invalid=True)

    def endless(token: str) -> Verb[DeltaPage]:
        yield Request("GET", "x")
        return DeltaPage([], next="again")

    def no_token(token: str) -> Verb[DeltaPage]:
        yield Request("GET", "x")
        return DeltaPage([{"id": 1}])

    for ask, kind in ((invalid, Unreachable), (endless, Unreachable), (no_token, BadInput)):
        with pytest.raises(kind):
            run(by_delta_token(ask, ""))
    with pytest.raises(BadInput, match="is no watermark of this feed"):
        parts_of("2026-03-06")


@pytest.mark.parametrize("seed", range(20))
def test_a_tenth_of_all_webhooks_dropped_and_the_sweep_repairs_to_none_missing(seed: int) -> None:
    """Webhooks ring late, twice, out of order or not at all; each ring is one look; a look now and then sweeps."""
    chance = random.Random(seed)
    vendor, watermark, known = Vendor(), "", dict[str, Row]()
    bells, dropped = list[int](), 0
    for moment in range(1000):
        vendor.change(f"k{chance.randrange(300)}")
        if chance.random() < 0.1:
            dropped += 1
        else:
            rings = [moment + chance.randrange(1, 30) for _ in range(1 if chance.random() < 0.8 else 2)]
            bells += rings
        due = bells.count(moment) > 0 or moment % 100 == 99
        bells = [ring for ring in bells if ring > moment]
        if due:
            rows, watermark = run(vendor.sweep(watermark))
            known = newest([*known.values(), *rows])
    rows, watermark = run(vendor.sweep(watermark))  # the next regular look, after the last bell was lost
    known = newest([*known.values(), *rows])
    missing = {key for key, row in vendor.rows.items() if known.get(key) != row}
    assert dropped > 60 and missing == set()


def test_a_change_of_our_own_is_no_news_and_everything_else_is() -> None:
    facts = OriginFacts(path="header.changeOrigin", contains="client={client}")
    ours = {"header": {"changeOrigin": "com/rest;client=isthmus"}}
    assert is_echo(facts, ours, {"client": "isthmus"})
    assert not is_echo(facts, ours, {"client": "another"})
    assert not is_echo(facts, ours, {}), "an unset setting must not swallow everything"
    assert not is_echo(facts, {"header": {"changeOrigin": "com/ui"}}, {"client": "isthmus"})
    assert not is_echo(facts, {}, {"client": "isthmus"}) and not is_echo(None, ours, {})
    assert not is_echo(OriginFacts(path="by", contains=""), {"by": "anybody"}, {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('kind = "signed_webhook"\nsweep = "watermark"\noverlap_seconds = 5', "capture.signature"),
        ('kind = "signed_webhook"\nsignature = { header = "X" }', "found by a sweep"),
        ('kind = "event_log"\nretention_hours = 72', "found by a sweep"),
        ('kind = "event_log"\nsweep = "watermark"\noverlap_seconds = 5', "retention_hours"),
        ('kind = "watermark"', "overlap_seconds"),
        ('kind = "delta_token"', "retention_hours"),
        ('kind = "gossip"', "Input should be"),
    ],
)
def test_a_manifest_whose_capture_could_miss_changes_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        manifest(capture=text)
    assert CaptureFacts.model_validate(tomllib.loads('kind = "none"'))
