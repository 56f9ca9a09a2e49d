"""How a process file declares itself: a card that the catalogue and the timeline print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isthmus.runtime.run import Run


@dataclass(frozen=True)
class Process:
    """A process: its story and its card.

    starts: what begins it. owner: who answers for it. key: its business key in words. parks: exception types that may
    park it. undo: what a cancellation takes back. lane: which lane its work runs in.
    """

    name: str
    story: Callable[..., Any]
    starts: str
    owner: str
    key: str
    parks: tuple[str, ...]
    undo: str
    lane: str


PROCESSES: dict[str, Process] = {}


def process(
    *, starts: str, owner: str, key: str, parks: tuple[str, ...] = (), undo: str = "nothing", lane: str = "standard"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a process function ``story(run, **args)``."""

    def declare(story: Callable[..., Any]) -> Callable[..., Any]:
        name = story.__name__
        PROCESSES[name] = Process(name, story, starts, owner, key, parks, undo, lane)
        return story

    return declare


Story = Callable[["Run"], Any]
