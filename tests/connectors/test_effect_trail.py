"""The effect ledger holds a digest of every request of a write and of its answer, of attempts without one too."""

from __future__ import annotations

import hashlib

import httpx

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.ledger import Writer
from isthmus.app.conformance.weather import Trouble, Weather
from isthmus.ports.calls import Exchange
from isthmus.runtime.effects import TRAIL_MAX, with_trail
from isthmus.store.records import Effect, EffectState


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


class Answers(httpx.BaseTransport):
    """Carries requests on and keeps what was answered."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner, self.seen = inner, list[bytes]()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        self.seen.append(answer.read())
        return answer


def written(plan: dict[int, Trouble]) -> tuple[Effect, list[httpx.Request], list[bytes]]:
    """A tax document calculated while its requests meet this weather; its row, what was sent, what was answered."""
    bench = Bench("avalara")
    bench.reset()
    answers = Answers(bench.counterpart.transport())
    weather = Weather(answers, bench.manifest)
    connection = bench.connect(transport=weather)
    trial = bench.prepare("TaxEngine.calculate", 1, connection)
    connection.find_document(*trial.arguments)
    answers.seen.clear()
    weather.under(lambda _, place: plan.get(place))
    _, effect = Writer(connection).write("TaxEngine.calculate", trial.arguments)
    return effect, weather.seen, answers.seen


def test_what_was_sent_and_answered_is_in_the_ledger() -> None:
    effect, sent, answered = written({})
    [posted] = [request for request in sent if request.method == "POST"]
    [kept] = [row for row in effect.digests if row["method"] == "POST"]
    assert (effect.state, kept["status"], kept["path"]) == (EffectState.DONE, 201, posted.url.path)
    assert kept["request_digest"] == digest(posted.content)
    assert [row["response_digest"] for row in effect.digests] == [digest(each) for each in answered]
    assert [row["method"] for row in effect.digests] == [request.method for request in sent]


def test_an_attempt_without_an_answer_is_in_it_too_and_stays_when_it_is_found() -> None:
    _, clean, _ = written({})
    lost = next(place for place, request in enumerate(clean) if request.method == "POST")
    effect, sent, _ = written({lost: "lost_after"})
    assert effect.state is EffectState.FOUND
    assert [(row["method"], row["status"], row["response_digest"]) for row in effect.digests][-1] == ("POST", 0, "")
    assert effect.digests[-1]["request_digest"] == digest(sent[lost].content)


def test_each_attempt_has_its_place() -> None:
    _, clean, _ = written({})
    lost = next(place for place, request in enumerate(clean) if request.method == "POST")
    effect, _, _ = written({lost: "lost_before"})
    assert effect.state is EffectState.RESENT
    assert [row["status"] for row in effect.digests if row["method"] == "POST"] == [0, 201]


def test_a_write_that_is_looked_up_for_days_keeps_its_first_exchanges_and_its_last() -> None:
    effect, _, _ = written({})
    effect = effect.model_copy(update={"digests": []})
    for place in range(3 * TRAIL_MAX):
        effect = with_trail(effect, [Exchange("GET", f"/{place}", 200, 1.0, "", "")])
    paths = [row["path"] for row in effect.digests]
    half = TRAIL_MAX // 2
    assert paths == [f"/{n}" for n in (*range(half), *range(3 * TRAIL_MAX - half, 3 * TRAIL_MAX))]
