"""The suite: every promise of a connector by name, what it is tried on, and the function that tries it.

Each function takes a bench (a connector at its counterpart, emptied before) and mostly one subject: a verb or an auth
kind. It returns what it saw in words, or raises Broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_type_hints

import httpx

from isthmus.app.conformance import (
    answers,
    asking,
    doubt,
    drift,
    echoes,
    facts,
    limits,
    refusals,
    secrecy,
    tables,
    tokens,
    verbs,
)
from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.samples import all_verbs
from isthmus.app.conformance.verdict import expect
from isthmus.domain.errors import IsthmusError
from isthmus.runtime.kernel import BUGS

About = Literal["connector", "auth kind", "write", "read", "verb", "feed"]


@dataclass(frozen=True)
class Check:
    """One promise. about: what it is tried on, each in turn. sandbox: False where it needs no counterpart."""

    name: str
    about: About
    run: Callable[..., str]
    sandbox: bool = True

    def subjects(self, bench: Bench) -> list[str]:
        """What it is tried on. A variant is about its writes alone."""
        if bench.variant:
            return list(bench.only) if self.about in ("write", "verb") else []
        facts = bench.manifest
        feeds = [verb for verb in facts.reads if drift.is_page(get_type_hints(all_verbs()[verb])["return"])]
        return {
            "connector": [""],
            "auth kind": list(facts.auth.kinds),
            "write": list(facts.verbs),
            "read": list(facts.reads),
            "verb": [*facts.verbs, *facts.reads],
            "feed": feeds,
        }[self.about]


SUITE = (
    Check("manifest", "connector", facts.manifest_is_whole, sandbox=False),
    Check("code", "connector", facts.code_keeps_to_its_place, sandbox=False),
    Check("unknown setting", "connector", facts.unknown_setting_is_refused, sandbox=False),
    Check("error rows", "connector", facts.each_error_row_raises_its_class, sandbox=False),
    Check("answers masked", "auth kind", echoes.masked_in_answers, sandbox=False),
    Check("sign-in masked", "auth kind", echoes.masked_at_the_sign_in, sandbox=False),
    Check("missing credential", "auth kind", echoes.missing_is_named, sandbox=False),
    Check("mapping losses", "connector", tables.losses_are_named, sandbox=False),
    Check("last days", "connector", tables.ends_are_last_days, sandbox=False),
    Check("mapping drift", "connector", tables.no_drift),
    Check("over the network", "auth kind", verbs.over_the_network),
    Check("write", "write", verbs.written_and_found),
    Check("read", "read", verbs.read),
    Check("asking changes nothing", "verb", asking.asking_changes_nothing),
    Check("conditional", "write", asking.conditional_is_meant),
    Check("refusals told", "verb", refusals.refusals_are_told),
    Check("each request lost", "write", doubt.each_request_lost),
    Check("batch in part", "write", doubt.a_batch_in_part),
    Check("delivered twice", "write", doubt.delivered_twice),
    Check("late to show", "write", doubt.late_to_show),
    Check("written before", "write", doubt.forgotten),
    Check("paging drift", "feed", drift.pages_while_records_change),
    Check("tasks in pages", "connector", drift.tasks_in_pages),
    Check("limits kept", "connector", limits.never_exceeded),
    Check("patience obeyed", "connector", limits.patience_obeyed),
    Check("token expires", "auth kind", tokens.expire_in_mid_run),
    Check("new fields", "verb", answers.new_fields),
    Check("missing fields", "verb", answers.missing_fields),
    Check("unknown states", "connector", answers.unknown_states),
    Check("secrets nowhere", "auth kind", secrecy.secrets_nowhere),
)


def doubts(outcomes: int) -> Check:
    """Many unknown outcomes of each write."""

    def many(bench: Bench, verb: str) -> str:
        found = doubt.many_doubts(bench, verb, outcomes)
        expect(not found.problems, f"{found.told()}: {'; '.join(found.problems)}")
        return found.told()

    return Check(f"{outcomes} unknown outcomes", "write", many)


# What a check of a connector that is not right may raise.
WRONG = (AssertionError, IsthmusError, httpx.HTTPError, RuntimeError, OSError, *BUGS)


@dataclass(frozen=True)
class Verdict:
    """What came of one check of one subject. problem is empty when the promise is kept."""

    check: str
    subject: str
    said: str
    problem: str = ""


def run(bench: Bench, checks: tuple[Check, ...] = SUITE) -> Iterator[Verdict]:
    """All verdicts, one after the other."""
    for check in checks:
        for subject in check.subjects(bench):
            yield tried(bench, check, subject)


def tried(bench: Bench, check: Check, subject: str) -> Verdict:
    """The verdict of one check of one subject."""
    if check.sandbox:
        bench.reset()
    shown = f"{subject} ({bench.variant})" if bench.variant else subject
    try:
        return Verdict(check.name, shown, check.run(bench, subject) if subject else check.run(bench))
    except WRONG as wrong:
        return Verdict(check.name, shown, "", f"{type(wrong).__name__}: {wrong}")
