"""Journals as moves of a Tryton server, as its module account keeps them. For connectors to it.

A move is drafted and then posted by a button; Tryton numbers what it posts. Nothing else of a move is unique there,
so ours stands before its description, as Tryton shows records with a code.
"""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.journals import Journal
from isthmus.domain.objects import ExternalRef
from isthmus.kit.journals import DraftedJournals, client_of
from isthmus.kit.tryton_rest import ModelConnector, labelled, starting_with, to_amount, to_day
from isthmus.kit.wire import Row, Verb

MOVE, FIELDS = "account.move", ("number", "state", "lines.debit")


class Moves(DraftedJournals, ModelConnector):
    """The setting general_journal names the journal they are in, by its code."""

    def journals_of(self, journal: Journal) -> Verb[list[Row]]:
        """See DraftedJournals."""
        named = ["description", "like", starting_with(labelled(journal.journal_no, ""))]
        return self.rows(MOVE, [["company", "=", self.company(journal.entity)], named], *FIELDS)

    def make_journal(self, journal: Journal) -> Verb[None]:
        """See DraftedJournals. In the period of its day, in the currency of the books; debts name the client."""
        company, day = self.company(journal.entity), to_day(journal.booked_on)
        yield from self._in_the_currency_of_the_books(company, journal)
        during = [["start_date", "<=", day], ["end_date", ">=", day], ["type", "=", "standard"]]
        periods = yield from self.rows("account.period", [["company", "=", company], *during], "name")
        codes = {self.account_of(line) for line in journal.lines}
        accounts = yield from self.ids_of("account.account", "code", codes, ["company", "=", company])
        clients = yield from self.ids_of("party.party", "code", filter(None, map(client_of, journal.lines)))
        sides = [
            {"debit": to_amount(line.debit), "credit": to_amount(line.credit), "description": line.text}
            | {"account": accounts[self.account_of(line)], "party": clients.get(client_of(line))}
            for line in journal.lines
        ]
        head: Row = {"company": company, "date": day, "description": labelled(journal.journal_no, journal.memo)}
        head["period"] = self.there(next(iter(periods), None), f"period of {journal.booked_on}")["id"]
        head["journal"] = yield from self.id_of("account.journal", "code", self.setting("general_journal"))
        yield from self.make(MOVE, head | {"lines": [["create", sides]]}, company)

    def drop_journal(self, row: Row) -> Verb[None]:
        """See DraftedJournals."""
        return self.drop(MOVE, row)

    def finish_journal(self, journal: Journal, row: Row) -> Verb[ExternalRef]:
        """See DraftedJournals. What is about to be posted has to be what the hub has kept."""
        debit = sum((Decimal(line["debit"]["decimal"]) for line in row["lines"]), Decimal(0))
        self.ready_to_book(journal, len(row["lines"]), debit)
        posted = yield from self.press(MOVE, row, "post", FIELDS, company=self.company(journal.entity))
        return self.ref(MOVE, posted["id"], posted["number"])

    def booked_as(self, row: Row) -> ExternalRef | None:
        """See DraftedJournals. Its version is Tryton's own number of it."""
        return self.ref(MOVE, row["id"], row["number"]) if row["state"] == "posted" else None

    def _in_the_currency_of_the_books(self, company: int, journal: Journal) -> Verb[None]:
        [books] = yield from self.rows("company.company", [["id", "=", company]], "currency.code")
        if books["currency"]["code"] != journal.currency:
            cause = f"{self.system} keeps the books of {journal.entity} in {books['currency']['code']}"
            raise self.refusal(f"{cause}: {journal.journal_no} is in {journal.currency}", "CURRENCY", "currency")
