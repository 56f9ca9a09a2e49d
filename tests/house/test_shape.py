"""The shape of the code: short functions, short files, no leftovers, and errors caught only where somebody can act."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import isthmus.processes
from isthmus.app.doctor import HARMLESS_READS
from isthmus.domain import errors
from isthmus.domain.errors import IsthmusError
from isthmus.ports import PORTS
from isthmus.runtime.process import PROCESSES

HUB = Path(isthmus.processes.__file__).parents[1]
DOCS = HUB.parent / "docs"
FUNCTION_LINES_MAX, FILE_LINES_MAX, CONNECTOR_LINES_MAX = 70, 500, 400
SOURCES = sorted(HUB.rglob("*.py"))
CONNECTORS = sorted(p for p in (HUB / "connectors").iterdir() if (p / "__init__.py").exists())

# The one exception to "runtime, kit and app catch": a function of these takes one message or entry out of its batch and
# keeps it, so that one wrong hour does not hold up the others.
TAKES_ONE_OUT_OF_ITS_BATCH = {
    "_entries_or_quarantine": "an unreadable message is quarantined with its reason",
    "_with_document": "an envelope whose document is gone is kept as evidence without it, and says so",
    "_capture_one": "an entry that needs a person goes on in a run of its own",
    "_price_one": "an entry that needs a person goes on in a run of its own",
    "_priced": "a contract with an hour that needs a person takes the ordinary way, where that hour goes alone",
}
CATCHING_ROOMS = ("runtime", "kit", "app")
HOUSE_ERRORS = {n for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, IsthmusError)}


def name_of(path: Path) -> str:
    """processes/work/evidence.py."""
    return path.relative_to(HUB).as_posix()


@lru_cache(maxsize=1024)
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def outside(*rooms: str) -> list[Path]:
    return [path for path in SOURCES if path.relative_to(HUB).parts[0] not in rooms]


def inside(*rooms: str) -> list[Path]:
    return [path for path in SOURCES if path.relative_to(HUB).parts[0] in rooms]


# -- size -----------------------------------------------------------------------------------------------------------


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{name_of(path)}:{f.name} has {f.end_lineno - f.lineno + 1} lines"
        for path in SOURCES
        for f in functions(path)
        if f.end_lineno and f.end_lineno - f.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_file_is_about_two_things() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert [f"{name}: {lines} lines" for name, lines in sizes.items() if lines > FILE_LINES_MAX] == []


# What a module of the kit speaks of when it is about the firm's business, and not about how a vendor's platform talks.
BUSINESS = {"isthmus.domain.objects", "isthmus.domain.journals", "isthmus.domain.work", "isthmus.ports.messages"}
NO_BUSINESS = {"ExternalRef"}  # what anything over there is called


@lru_cache(maxsize=1024)
def imported(path: Path) -> dict[str, set[str]]:
    """Modules a file imports, with the names it takes from each; a module as a whole without any."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name: set() for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.setdefault(node.module, set()).update(alias.name for alias in node.names)
            found |= {f"{node.module}.{alias.name}": set() for alias in node.names}
    return found


def kit_behind(paths: list[Path]) -> set[Path]:
    """Modules of the kit that these files use, and those that these use in turn."""
    waiting, found = list(paths), set[Path]()
    while waiting:
        for name in imported(waiting.pop()):
            module = HUB / "kit" / f"{name.removeprefix('isthmus.kit.')}.py"
            if name.startswith("isthmus.kit.") and module.is_file() and module not in found:
                found.add(module)
                waiting.append(module)
    return found


def about_business(path: Path) -> bool:
    """Whether it takes anything but a reference from these modules, or one of them as a whole."""
    found = [names for module, names in imported(path).items() if module in BUSINESS]
    return any(not names or names - NO_BUSINESS for names in found)


@lru_cache(maxsize=1)
def kit_elsewhere() -> set[Path]:
    """Modules of the kit that are used by others than connectors."""
    return kit_behind(outside("connectors", "kit"))


def lines_of_connector(folder: Path) -> dict[str, int]:
    """Lines of a connector: of its folder, and of modules of the kit that map its business alone."""
    used = {each: kit_behind(sorted(each.rglob("*.py"))) for each in CONNECTORS}
    others = kit_elsewhere().union(*(behind for each, behind in used.items() if each != folder))
    own = [module for module in used[folder] - others if about_business(module)]
    return {name_of(path): len(path.read_text().splitlines()) for path in [*folder.rglob("*.py"), *own]}


@pytest.mark.parametrize("folder", CONNECTORS, ids=lambda folder: folder.name)
def test_a_connector_is_small(folder: Path) -> None:
    """What a connector alone knows of the business counts with it wherever it lies; a platform's protocol does not."""
    lines = lines_of_connector(folder)
    assert sum(lines.values()) <= CONNECTOR_LINES_MAX, f"{folder.name} has {sum(lines.values())} lines: {lines}"


# -- leftovers and habits -------------------------------------------------------------------------------------------


def test_nothing_is_left_to_be_done_later() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX)\b")
    texts = [*SOURCES, *HUB.rglob("*.toml"), *HUB.rglob("*.md"), *DOCS.rglob("*.md")]
    assert [str(path) for path in texts if words.search(path.read_text())] == []


def caught_by(handler: ast.ExceptHandler) -> set[str]:
    """Names an except clause catches; "" for a bare one."""
    if handler.type is None:
        return {""}
    listed = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {n.attr if isinstance(n, ast.Attribute) else n.id if isinstance(n, ast.Name) else "?" for n in listed}


def catches(path: Path) -> Iterator[tuple[str, set[str], int]]:
    """(function, names it catches, line) of every except clause; the innermost function names it."""
    owner = {id(inner): f.name for f in functions(path) for inner in ast.walk(f)}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            yield owner.get(id(node), ""), caught_by(node), node.lineno


def test_nobody_catches_everything() -> None:
    broad = [f"{name_of(p)}:{line}" for p in SOURCES for _, names, line in catches(p) if names & {"", "Exception"}]
    assert broad == []


def test_only_runtime_kit_and_app_catch_errors_of_the_house() -> None:
    found = {
        (path.relative_to(HUB).parts[0], function)
        for path in outside(*CATCHING_ROOMS, "sandbox")
        for function, names, _ in catches(path)
        if names & HOUSE_ERRORS
    }
    assert found == {("processes", function) for function in TAKES_ONE_OUT_OF_ITS_BATCH}


def test_policies_and_connectors_try_nothing() -> None:
    tries = [
        f"{name_of(path)}:{node.lineno}"
        for path in inside("policies", "connectors")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Try)
    ]
    assert tries == []


def stories() -> list[tuple[str, ast.FunctionDef]]:
    """Every function declared with @process, by name."""
    found = []
    for path in inside("processes"):
        for function in functions(path):
            called = [d.func for d in function.decorator_list if isinstance(d, ast.Call)]
            decorated = [name.id for name in called if isinstance(name, ast.Name)]
            if "process" in decorated and isinstance(function, ast.FunctionDef):
                found.append((function.name, function))
    return found


@pytest.mark.parametrize("story", [s for _, s in stories()], ids=[name for name, _ in stories()])
def test_a_story_reads_like_the_sentence_finance_would_say(story: ast.FunctionDef) -> None:
    assert story.end_lineno and story.end_lineno - story.lineno < FUNCTION_LINES_MAX
    forbidden = (ast.Try, ast.While, ast.With, ast.Raise, ast.Lambda)
    assert [type(n).__name__ for n in ast.walk(story) if isinstance(n, forbidden)] == []
    assert ast.get_docstring(story)


def test_the_core_has_no_floats() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in inside("domain", "policies")
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]
    assert found == []


def test_only_the_command_line_prints() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        if not name_of(path).startswith("app/cli")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []


# -- cases ----------------------------------------------------------------------------------------------------------


def cards() -> dict[str, set[str]]:
    """Process -> the cases its card says may park it."""
    for module in pkgutil.walk_packages(isthmus.processes.__path__, "isthmus.processes."):
        importlib.import_module(module.name)
    return {name: set(card.parks) for name, card in PROCESSES.items()}


def codes_in(node: ast.AST) -> list[str]:
    texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [text for text in texts if re.fullmatch(r"EX-[A-Z]+(-[A-Z]+)*", text)]


def opened() -> set[str]:
    """Case types the code can open: every mention outside the process cards themselves."""
    declared = [code for _, story in stories() for d in story.decorator_list for code in codes_in(d)]
    mentioned = [code for path in outside("sandbox") for code in codes_in(tree_of(path))]
    for code in declared:
        mentioned.remove(code)
    return set(mentioned)


def test_every_case_the_code_opens_is_on_a_process_card_or_documented() -> None:
    documented = set(re.findall(r"`(EX-[A-Z-]+)`", (DOCS / "lookup" / "errors.md").read_text()))
    assert opened() - set().union(*cards().values()) - documented == set()


def test_no_card_or_page_names_a_case_that_nothing_opens() -> None:
    documented = set(re.findall(r"`(EX-[A-Z-]+)`", (DOCS / "lookup" / "errors.md").read_text()))
    assert (set().union(*cards().values()) | documented) - opened() == set()


def test_parts_change_through_one_door() -> None:
    """Evidence balances are rebuilt from events: a part that moved past partition.py would be missing there."""
    door = HUB / "processes" / "work" / "partition.py"
    past = [name_of(path) for path in SOURCES if path != door and re.search(r"move\([^)]*PartState", path.read_text())]
    assert past == []


def test_doctor_has_a_harmless_read_for_every_port() -> None:
    assert set(HARMLESS_READS) == set(PORTS)


def test_the_revisions_of_the_schema_form_one_line() -> None:
    """Two revisions made side by side would leave the schema with two ends, and no way to tell which is the last."""
    files = sorted((HUB / "store/migrations/versions").glob("[0-9]*.py"))
    named = [re.findall(r'^(?:down_)?revision = "?(\w+)"?', file.read_text(), re.M) for file in files]
    assert [own for own, _ in named] == [file.name[:4] for file in files]
    assert [earlier for _, earlier in named] == ["None", *(own for own, _ in named[:-1])]
