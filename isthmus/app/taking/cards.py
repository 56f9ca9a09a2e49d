"""Rate cards as files: all rows or none, a draft of its next version, and the run in which another person approves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isthmus.app.taking import contract_rates
from isthmus.app.taking.kept import File, keep, refuse_nameless
from isthmus.app.taking.records import problems_of
from isthmus.app.taking.report import FileTaken, card_taken
from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.money import minor_units
from isthmus.domain.objects import Client, RateCard
from isthmus.kit.rate_card import RateCardFile, read_rate_card
from isthmus.processes.work.adopting import changes_of, in_force, refuse_overlaps
from isthmus.runtime.books import Books
from isthmus.store.records import RunRow

KIND, SOURCE = "file.rate_card", "files"
CHANGES_SHOWN = 200


@dataclass(frozen=True)
class About:
    """Whose card it is: a client's, a legal entity's or one contract's (line_uid: on which line, where it has several);
    its code, and the currency its rates are in.
    """

    code: str
    currency: str
    entity: str = ""
    client_no: str = ""
    contract_no: str = ""
    line_uid: str = ""

    @property
    def scope(self) -> Literal["client", "entity"]:
        return "client" if self.client_no else "entity"

    def facts(self) -> tuple[tuple[str, str], ...]:
        """The same, to be kept beside the file."""
        return tuple((n, said) for n, said in vars(self).items() if said or n not in ("contract_no", "line_uid"))


def file_of(about: About, name: str, content: bytes, sheet: str = "") -> File:
    """The file at the door."""
    return File(KIND, SOURCE, name, content, sheet, about.facts())


def about_of(file: File) -> About:
    """What was said beside a kept file."""
    return About(**dict(file.about))


def read(file: File, *, require_totals: bool = False) -> RateCardFile:
    """The rates of the file. BadInput, with nothing used, when it cannot be trusted as a whole."""
    refuse_nameless(file)
    about = about_of(file)
    if not about.code.strip() or "@" in about.code:
        raise BadInput(f"{about.code!r} is no code of a rate card: write a short name without @")
    if [bool(about.entity), bool(about.client_no), bool(about.contract_no)].count(True) != 1:
        raise BadInput("a rate card is of a client, of a legal entity or of a contract: name one of them")
    minor_units(about.currency)
    return read_rate_card(
        file.content,
        file.name,
        currency=about.currency,
        scope="" if about.contract_no else about.scope,
        require_totals=require_totals,
        sheet=file.sheet,
    )


def take(books: Books, file: File, found: RateCardFile, by: str, *, dry_run: bool = False) -> FileTaken:
    """Make the draft and start the run that has it approved. With one bad row nothing is: a card with holes bills
    nothing for what is missing.
    """
    about = about_of(file)
    if about.contract_no:
        if about.currency != contract_rates.currency_of(books, about.contract_no):
            raise BadInput(f"contract {about.contract_no} is not priced in {about.currency}")
        named = (about.contract_no, about.line_uid)
        return contract_rates.take(books, file, found, *named, by, dry_run=dry_run)
    _whose(books, about)
    books.tx.lock(f"rate_card:{about.code}")
    known = books.tx.find(RateCard, code=about.code, order=("-version",))
    same = next((card for card in known if card.source.endswith(found.sha256) and card.state != "retired"), None)
    draft = same or _draft(about, found, (known[0].version if known else 0) + 1)
    refuse_overlaps(books, draft)
    usable = bool(found.rates) and not found.rejected
    run_id = ""
    if not dry_run:
        keep(books, file, problems_of(found.rejected) or ("" if usable else "it has no rates"))
        run_id = _start(books, draft, by, new=same is None) if usable else ""
        after = {"card": draft.key if usable else "", "rates": len(found.rates), "rejected": len(found.rejected)}
        books.audit(KIND, f"file:{found.sha256[:24]}", reason=file.name, after=after)
    changes = changes_of(draft, in_force(books, about.code))
    told = {"card": draft.key, "state": draft.state if same else "draft", "changes": changes[:CHANGES_SHOWN]}
    return card_taken(found, file, told, run_id, usable=usable, known=same is not None, dry_run=dry_run)


def _draft(about: About, found: RateCardFile, version: int) -> RateCard:
    return RateCard(
        code=about.code,
        version=version,
        scope=about.scope,
        client_no=about.client_no,
        entity=about.entity,
        currency=about.currency,
        rates=found.rates,
        state="draft",
        source=f"{found.source}, sha256 {found.sha256}",
    )


def _whose(books: Books, about: About) -> None:
    if about.entity:
        books.entity(about.entity)
    elif books.tx.get(Client, about.client_no) is None:
        raise NotFound(f"no client {about.client_no}")
    others = books.tx.find(RateCard, code=about.code, limit=1)
    if others and (others[0].client_no, others[0].entity) != (about.client_no, about.entity):
        raise BadInput(f"rate card {about.code} is of {others[0].client_no or others[0].entity}: use another code")


def _start(books: Books, card: RateCard, by: str, *, new: bool) -> str:
    if new:
        books.tx.insert(card)
    known = books.tx.get(RunRow, f"adopt_rate_card/{card.key}")
    if known is not None:  # by whoever handed the same card in first
        return known.run_id
    args = {"code": card.code, "version": card.version, "handed_in_by": by}
    return books.start("adopt_rate_card", card.key, args, entity=card.entity).run_id
