"""Pages made of the connectors themselves: the capability matrix and the integration catalog.

Nothing in them is written by hand, so nothing in them can be out of date; what a manifest leaves out is a gap that
fails the build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.samples import all_verbs
from isthmus.app.conformance.tables import loss_report
from isthmus.kit.manifest import CaptureFacts, LimitFacts, Manifest
from isthmus.ports.verbs import spec_of

STRATEGIES = {
    "native_key": "the vendor's idempotency key",
    "natural_key_upsert": "upsert by our key",
    "find_then_create": "looked up, then created",
}
MATRIX_HEAD = """# Capabilities

What each connected system offers, from the manifests of its connectors. This page is made by
`scripts/docs_connectors.py`; do not edit. How a firm connects them: the guides under [connect](../connect/). What the
hub does with them, verb by verb: the [catalog](catalog.md).
"""
CATALOG_HEAD = """# Integration catalog

Every connector, what the hub asks of it, who owns a refusal, how a write is made safe to repeat, what each error of
the system leads to, and what its mapping loses. Made by `scripts/docs_connectors.py` from manifests, ports and mapping
tables; do not edit.

**Recovery** is the same for all: an answer that never came is looked up by the key named here, then decided
([how](../learn/once.md)); *needs setup* pauses the connection with one case, and resolving it resumes every run; a
refusal is a case in the queue named here; what webhooks or feeds missed is found by the next sweep; a message that
cannot be read lies in quarantine with its reason and can be replayed.
"""


def gaps(facts: Manifest) -> list[str]:
    """What a manifest leaves out that people ask about before they connect a system."""
    wanted = ("vendor", "api_version", "release_cadence", "residency", "extension", "modelled_from")
    missing = [f"[system] {name}" for name in wanted if not getattr(facts.system, name).strip()]
    missing += [] if facts.limits.scope else ["[limits] scope"]
    missing += [] if facts.errors else ["[[errors]]"]
    if any(row.strategy == "native_key" for row in facts.verbs.values()) and not facts.idempotency.header:
        missing.append("[idempotency] header")
    return missing


def capabilities(benches: Iterable[Bench]) -> str:
    """The text of the capability matrix: a table of systems by capability."""
    benches = list(benches)
    rows = [[title, *(_cell(of(bench)) for bench in benches)] for title, of in CAPABILITIES.items()]
    head = ["Capability", *(f"[{b.name}](catalog.md#{b.name})" for b in benches)]
    return f"{MATRIX_HEAD}\n{_table(head, rows)}\n"


def catalog(benches: Iterable[Bench]) -> str:
    """The text of the integration catalog: a section per connector."""
    return CATALOG_HEAD + "".join(f"\n## {bench.name}\n\n{_section(bench)}" for bench in benches)


# -- the matrix --------------------------------------------------------------------------------------------------


def _captured(facts: CaptureFacts) -> str:
    told = {
        "signed_webhook": "signed webhooks",
        "event_log": f"event log of {facts.retention_hours} h",
        "delta_token": f"delta tokens, good for {facts.retention_hours} h",
        "watermark": f"polling by watermark, {facts.overlap_seconds} s overlap",
        "none": "none",
    }[facts.kind]
    swept = {
        "watermark": f"sweep by watermark, {facts.overlap_seconds} s overlap",
        "delta_token": "sweep by delta token",
        "none": "",
    }[facts.sweep]
    return "; ".join(part for part in (told, swept) if part)


def _proof(facts: CaptureFacts) -> str:
    if facts.signature is None:
        return "none sent"
    over = "+".join(facts.signature.over)
    algorithm = facts.signature.algorithm
    scheme = "shared secret" if algorithm == "plain" else f"HMAC {algorithm} over {over}"
    return f"{scheme} in {facts.signature.header}"


def _limited(facts: LimitFacts) -> str:
    if facts.kind == "concurrency":
        return f"{facts.limit} at once per {facts.scope}"
    if facts.kind == "window":
        return f"{facts.limit} in {facts.window_seconds:g} s per {facts.scope}"
    return "no number published; what it answers is obeyed"


def _strategies(facts: Manifest) -> str:
    used = dict.fromkeys(row.strategy for row in facts.verbs.values())
    return "; ".join(STRATEGIES[strategy] for strategy in used) or "writes nothing"


def _later(facts: Manifest) -> str:
    later = [verb for verb, row in facts.verbs.items() if row.poll]
    return ", ".join(later) or "no"


CAPABILITIES: dict[str, Callable[[Bench], str]] = {
    "Vendor": lambda b: b.manifest.system.vendor,
    "Fills": lambda b: ", ".join(b.manifest.system.ports),
    "API version": lambda b: b.manifest.system.api_version,
    "Release cadence": lambda b: b.manifest.system.release_cadence,
    "Data residency": lambda b: b.manifest.system.residency,
    "Own fields": lambda b: b.manifest.system.extension,
    "Ways in": lambda b: ", ".join(b.manifest.auth.kinds),
    "Change capture": lambda b: _captured(b.manifest.capture),
    "Webhook proof": lambda b: _proof(b.manifest.capture),
    "Own changes known by": lambda b: b.manifest.capture.origin.path if b.manifest.capture.origin else "content only",
    "Limits": lambda b: _limited(b.manifest.limits),
    "A write is repeated safely by": lambda b: _strategies(b.manifest),
    "Writes finished later": lambda b: _later(b.manifest),
    "Conditional writes": lambda b: ", ".join(v for v, row in b.manifest.verbs.items() if row.conditional) or "no",
    "Mapping checked by metadata": lambda b: "yes" if hasattr(b.kind, "describe") else "no",
    "Mapping versions": lambda b: ", ".join(b.kind.mappings) or "one",
    "Modelled from": lambda b: b.manifest.system.modelled_from,
}


# -- the catalog -------------------------------------------------------------------------------------------------


def _section(bench: Bench) -> str:
    facts = bench.manifest
    parts = [
        f"{facts.system.vendor}, {facts.system.api_version}. Guide: [connect](../connect/{bench.name}.md).",
        _table(["Verb", "Kind", "Look-up", "Safe by", "A refusal is", "for"], _verb_rows(facts)),
        _table(["Answer", "Means"], _error_rows(facts)),
    ]
    losses = list(_loss_rows(bench))
    if losses:
        parts += [_table(["Mapping table", "Sends", "One way", "Not carried"], losses)]
    return "\n\n".join(parts) + "\n"


def _verb_rows(facts: Manifest) -> Iterator[list[str]]:
    for verb, row in facts.verbs.items():
        spec = spec_of(all_verbs()[verb])
        kind = "write" if row.states == ("created",) else " → ".join(row.states)
        yield [f"`{verb}`", kind, f"`{row.find}`", STRATEGIES[row.strategy], f"`{spec.exception}`", spec.queue]
    for verb in facts.reads:
        yield [f"`{verb}`", "read", "", "", "", ""]


def _error_rows(facts: Manifest) -> Iterator[list[str]]:
    for row in facts.errors:
        said = [str(row.status), row.code, f"“{row.contains}”" if row.contains else ""]
        said += [f"{row.header}: {row.header_contains}"] if row.header else []
        said += ["to a write"] if row.writes_only else ["to a read"] if row.reads_only else []
        wait = f", {row.after_seconds:g} s" if row.after_seconds is not None else ""
        yield [" ".join(part for part in said if part), f"{row.raises}{wait}"]


def _loss_rows(bench: Bench) -> Iterator[list[str]]:
    tables = bench.kind(bench.samples.settings).tables()
    for name, found in loss_report(bench).items():
        about = tables[name].of
        kinds = [", ".join(loss.field for loss in found if loss.kind == kind) for kind in ("one way", "not carried")]
        yield [f"`{name}`", about.__name__ if about else "", *kinds]


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
