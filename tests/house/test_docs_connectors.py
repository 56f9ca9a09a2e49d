"""The pages about connectors say what the connectors are; a capability nobody has written down fails the build."""

from __future__ import annotations

import re
from functools import lru_cache
from keyword import iskeyword
from pathlib import Path

import pytest

from isthmus.app.conformance.bench import Bench
from isthmus.app.conformance.pages import CAPABILITIES, capabilities, catalog, gaps
from isthmus.app.connecting.found import OURS
from isthmus.kit.manifest import Manifest, load

ROOT = Path(__file__).parents[2]
LOOKUP = ROOT / "docs" / "lookup"
NAMES = re.compile(r'"[^"]*"|\w+')
COPIED_LINES = 6  # that many lines in a row, the same in two connectors, are a copy


@lru_cache
def benches() -> tuple[Bench, ...]:
    return tuple(Bench(name) for name in OURS)


def manifest_of(name: str) -> Manifest:
    return load(ROOT / "isthmus" / "connectors" / name)


@pytest.mark.requirement("GOV-19")
def test_the_capability_matrix_is_what_the_manifests_say() -> None:
    text = capabilities(benches())
    assert (LOOKUP / "capabilities.md").read_text() == text, "run scripts/docs_connectors.py"
    for needed in ("API version", "Limits", "Webhook proof", "Own fields", "Data residency", "Release cadence"):
        assert f"| {needed} |" in text and needed in CAPABILITIES


def test_the_catalog_is_what_connectors_and_ports_say() -> None:
    text = catalog(benches())
    assert (LOOKUP / "catalog.md").read_text() == text, "run scripts/docs_connectors.py"
    for bench in benches():
        for verb in (*bench.manifest.verbs, *bench.manifest.reads):
            assert f"| `{verb}` |" in text


@pytest.mark.parametrize("name", OURS)
def test_no_capability_is_left_out(name: str) -> None:
    assert gaps(manifest_of(name)) == []


@pytest.mark.parametrize(
    "name", ["vendor", "api_version", "release_cadence", "residency", "extension", "modelled_from"]
)
def test_a_capability_that_is_left_out_is_a_gap(name: str) -> None:
    facts = manifest_of("netsuite")
    without = facts.model_copy(update={"system": facts.system.model_copy(update={name: " "})})
    assert gaps(without) == [f"[system] {name}"]


def test_every_connector_has_its_guide_and_its_lines_are_counted() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    lines = {}
    for bench in benches():
        lines[bench.name] = sum(len(path.read_text().splitlines()) for path in bench.folder.rglob("*.py"))
        assert f"connect/{bench.name}.md" in index, f"docs/README.md does not lead to {bench.name}"
    print("lines of Python per connector: " + ", ".join(f"{name} {number}" for name, number in sorted(lines.items())))
    assert max(lines.values()) <= 400


def nameless(line: str) -> str:
    """A line whose names and texts are all the same: a copy in which they were changed is still one."""
    return NAMES.sub(lambda found: found[0] if iskeyword(found[0]) else "_", line)


def runs_of(folder: Path) -> dict[tuple[str, ...], str]:
    """Every run of lines of a connector's code that stand together, with where it begins; imports and data left out.

    Tables of names (mapping.py) are much alike and meant to be: there only the same names are a copy.
    """
    found: dict[tuple[str, ...], str] = {}
    for path in sorted(folder.rglob("*.py")):
        lines = [(n, line.strip()) for n, line in enumerate(path.read_text().splitlines(), 1) if line.strip()]
        code = [(n, line) for n, line in lines if not line.startswith(("from ", "import ", "#", '"""', "Field("))]
        for place in range(len(code) - COPIED_LINES + 1):
            run = code[place : place + COPIED_LINES]
            told = tuple(line if path.name == "mapping.py" else nameless(line) for _, line in run)
            found.setdefault(told, f"{folder.name}/{path.name}:{run[0][0]}")
    return found


def test_connectors_copy_nothing_from_each_other() -> None:
    """What two of them share belongs to the kit."""
    seen: dict[tuple[str, ...], str] = {}
    copied = []
    for bench in benches():
        mine = runs_of(bench.folder)
        copied += [f"{where} = {seen[run]}" for run, where in mine.items() if run in seen]
        seen |= {run: where for run, where in mine.items() if run not in seen}
    assert copied == [], "put what they share into isthmus/kit"


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in ("capabilities.md", "catalog.md"):
        text = (LOOKUP / page).read_text()
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert (LOOKUP / target).exists(), f"{page}: {target}"
