"""How a port says what its verbs are: reads, or writes with a business key, a look-up and an owner for refusals.

A port is a Protocol; a connection fills it. The runtime reads these declarations to keep the effect ledger, so a
process only names the verb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Fn = TypeVar("Fn", bound=Callable[..., Any])


@dataclass(frozen=True)
class VerbSpec:
    """Declaration of one verb.

    writes: it changes the other system. key: business key of the write from its arguments. find: the verb with the
    same arguments that returns the write's result if it has happened, else None. exception, queue: the case type and
    owner when the other system refuses. revisable: the same key may be written again with other content (facts about a
    client); without it other content under the same key is refused (an invoice). amount: (amount, currency) at stake.
    source: which of several systems that fill the port it goes to, by the name in the keys of what came from it.
    """

    name: str
    writes: bool
    key: Callable[..., str] | None = None
    find: str = ""
    exception: str = "EX-REMOTE-REFUSAL"
    queue: str = "integration"
    revisable: bool = False
    amount: Callable[..., tuple[Any, str]] | None = None
    source: Callable[..., str] | None = None


def reads(fn: Fn) -> Fn:
    """A verb that asks and changes nothing."""
    fn.__verb__ = VerbSpec(name=fn.__qualname__, writes=False)  # type: ignore[attr-defined]
    return fn


def writes(
    *,
    key: Callable[..., str],
    find: str,
    exception: str,
    queue: str,
    revisable: bool = False,
    amount: Callable[..., tuple[Any, str]] | None = None,
    source: Callable[..., str] | None = None,
) -> Callable[[Fn], Fn]:
    """A verb that changes the other system; see VerbSpec."""

    def declare(fn: Fn) -> Fn:
        spec = VerbSpec(fn.__qualname__, True, key, find, exception, queue, revisable, amount, source)
        fn.__verb__ = spec  # type: ignore[attr-defined]
        return fn

    return declare


def source_of(spec: VerbSpec, args: tuple[Any, ...]) -> str:
    """Which of several systems a call of this verb goes to; empty where a port is filled by one."""
    return spec.source(*args) if spec.source else ""


def spec_of(verb: Callable[..., Any]) -> VerbSpec:
    """The declaration of a port's verb."""
    spec: VerbSpec = verb.__verb__  # type: ignore[attr-defined]
    return spec
