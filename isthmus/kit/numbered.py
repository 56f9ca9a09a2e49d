"""Reading documents that are numbered when they are begun and count only when they are finished, like journals.

Where nothing tells when one was finished, a date would lose those that are dated back. So the watermark says how far
the numbers have been read, and which documents were unfinished by then: these are asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from isthmus.domain.errors import BadInput
from isthmus.kit.wire import decode, encode


@dataclass(frozen=True)
class Progress:
    """How far one series of numbers has been read.

    seen: the highest number of the last reading; after: that of the one before, from where the next one starts, because
    a number may become visible after a higher one. open: unfinished documents.
    """

    after: str = ""
    seen: str = ""
    open: tuple[str, ...] = ()

    def moved(self, found: Iterable[tuple[str, bool]]) -> Progress:
        """The progress after a reading that found these numbers, each with whether its document is finished."""
        rows = list(found)
        unfinished = {number for number, finished in rows if not finished}
        return Progress(self.seen, max([self.seen, *(number for number, _ in rows)]), tuple(sorted(unfinished)))


def progress_of(watermark: str) -> dict[str, Progress]:
    """Progress by series; an empty watermark is the beginning. BadInput for one of another kind."""
    kept = decode(watermark) if watermark else {}
    try:
        return {name: Progress(row["after"], row["seen"], tuple(row["open"])) for name, row in kept.items()}
    except (AttributeError, KeyError, TypeError) as other:
        raise BadInput(f"{watermark!r} is no watermark of numbered documents") from other


def watermark_of(progress: dict[str, Progress]) -> str:
    """The watermark that progress_of reads."""
    return encode({name: asdict(progress[name]) for name in sorted(progress)}).decode()
