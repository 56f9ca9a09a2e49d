"""The lines of a story as they are written: read from the source, so that what comes next can be told beforehand."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from isthmus.runtime.process import PROCESSES

STEPS = frozenset({"read", "decide", "effect", "effects", "effect_if_offered"})
WRITES = frozenset({"effect", "effects", "effect_if_offered"})


@dataclass(frozen=True)
class Line:
    """One line of a story. verb: what it asks of another system, empty for the hub's own books; in the order of the
    source, so a line under a condition may be left out when the run gets there.
    """

    phrase: str
    verb: str = ""
    writes: bool = False

    @property
    def port(self) -> str:
        """Which system it asks or writes to."""
        return self.verb.partition(".")[0]


@cache
def lines_of(process: str) -> tuple[Line, ...]:
    """All lines of a process, top down, with those of the functions it hands its run to."""
    return tuple(_lines_in(PROCESSES[process].story, ()))


def _lines_in(story: Callable[..., Any], within: tuple[Callable[..., Any], ...]) -> Iterator[Line]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(story)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        line = _line(call)
        if line is not None:
            yield line
            continue
        chapter = _chapter(call, story)
        if chapter is not None and chapter not in within:
            yield from _lines_in(chapter, (*within, story))


def _chapter(call: ast.Call, story: Callable[..., Any]) -> Callable[..., Any] | None:
    """chapter(run, …) or module.chapter(run, …): the function that tells a part of the story."""
    if not call.args or not isinstance(call.args[0], ast.Name) or call.args[0].id != "run":
        return None
    known: Any = inspect.unwrap(story).__globals__
    if isinstance(call.func, ast.Name):
        found = known.get(call.func.id)
    elif isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        found = getattr(known.get(call.func.value.id), call.func.attr, None)
    else:
        found = None
    return found if inspect.isfunction(found) else None


def rest_of(process: str, phrase: str) -> list[Line]:
    """The lines after this phrase; all of them when it is none of the story's own."""
    lines = list(lines_of(process))
    places = [place for place, line in enumerate(lines) if line.phrase == phrase]
    return lines[places[-1] + 1 :] if places else lines


def _line(call: ast.Call) -> Line | None:
    """run.effect("phrase", Port.verb, …), or helper(run, "phrase", …)."""
    function, args = call.func, call.args
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "run":
        if function.attr not in STEPS or not args or not _text(args[0]):
            return None
        verb = args[1] if len(args) > 1 else None
        told = ""
        if isinstance(verb, ast.Attribute) and isinstance(verb.value, ast.Name) and function.attr != "decide":
            told = f"{verb.value.id}.{verb.attr}"
        return Line(_text(args[0]), told, function.attr in WRITES)
    hands_on = len(args) > 1 and isinstance(args[0], ast.Name) and args[0].id == "run" and _text(args[1])
    return Line(_text(args[1])) if hands_on else None


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
