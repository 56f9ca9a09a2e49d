"""What a contract's derived charges are worked out of: its terms over time, its evidence and what was reported."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import BillableItem, ContractLine, ContractVersion, Project
from isthmus.policies.charges import Charge
from isthmus.runtime.books import Books
from isthmus.runtime.clock import local_day

ONE = Decimal(1)


class Facts:
    """What a line's charges are worked out of: the books of one contract up to a day.

    only_then: evidence of later days is left out too, to see what was billed by that day.
    """

    def __init__(self, books: Books, version: ContractVersion, through: date, *, only_then: bool = False) -> None:
        self.books, self.version, self.through = books, version, through
        self.items = books.tx.find(BillableItem, contract_no=version.contract_no, order=("source_key", "revision"))
        if only_then:
            self.items = [item for item in self.items if item.service_date <= through]
        known = books.tx.find(ContractVersion, contract_no=version.contract_no, order=("version",))
        self.versions = [one for one in known if one.version < version.version] + [version]
        projects = books.tx.find(Project, contract_no=version.contract_no, limit=1)
        self.project = projects[0].project_code if projects else ""

    def day_of(self, instant: datetime) -> date:
        """The calendar day where the contract's legal entity is."""
        return local_day(instant, self.books.entity(self.version.entity).time_zone)

    def latest(self, line_uid: str, types: Iterable[str] = ("time", "expense")) -> list[BillableItem]:
        """The last word on each source of a line, of these types."""
        wanted = frozenset(types)
        last = {i.source_key: i for i in self.items if i.line_uid == line_uid and i.source_type in wanted}
        return list(last.values())

    def version_on(self, day: date) -> ContractVersion:
        """The terms in force on a day; before all of them the first, after all of them the newest."""
        begun = [v for v in self.versions if v.effective_from <= day]
        covering = [v for v in begun if not v.effective_to or day < v.effective_to]
        return covering[-1] if covering else begun[-1] if begun else self.versions[0]

    def lines(self) -> list[ContractLine]:
        """Every line the contract has had, each as it was last: what a line has earned outlives it."""
        last = {line.line_uid: line for version in self.versions for line in version.lines}
        return [
            *self.version.lines,
            *(last[uid] for uid in last if uid not in {o.line_uid for o in self.version.lines}),
        ]

    def terms_of(self, line_uid: str) -> list[tuple[ContractVersion, ContractLine]]:
        """A line by every version that has it, oldest first."""
        return [(v, line) for v in self.versions for line in v.lines if line.line_uid == line_uid]

    def ran(self, line_uid: str, name: str) -> list[tuple[ContractVersion, ContractLine, Any]]:
        """A recurring term of a line by every version that has it, each up to where its contract ends, or to where a
        later version begins it anew.
        """
        having = [(v, line, getattr(line, name)) for v, line in self.terms_of(line_uid) if getattr(line, name)]
        found = []
        for place, (version, line, term) in enumerate(having):
            after = [later.start for _, _, later in having[place + 1 :] if later.start > term.start]
            if version.effective_to and not self._goes_on(version.effective_to):
                after.append(version.effective_to)
            last = [term.end] if term.end else []
            end = min([*last, *(day - timedelta(days=1) for day in after)], default=None)
            if end is None or end >= term.start:
                found.append((version, line, term.model_copy(update={"end": end})))
        return found

    def _goes_on(self, day: date) -> bool:
        """True when some version is in force on a day, not only the last one before it."""
        then = self.version_on(day)
        return then.effective_from <= day and (then.effective_to is None or day < then.effective_to)

    def line_on(self, line_uid: str, day: date) -> ContractLine | None:
        """A line as it was in force on a day; None where the terms of that day have no such line."""
        return next((line for line in self.version_on(day).lines if line.line_uid == line_uid), None)

    def paid_on(self, line: ContractLine, day: date) -> ContractLine:
        """The line with the payers in force on a day: what was earned before new shares keeps its payers."""
        then = self.line_on(line.line_uid, day) if len(self.versions) > 1 else None
        return line.model_copy(update={"payers": then.payers}) if then else line

    def new_shares(self, line: ContractLine) -> list[date]:
        """The days from which the line is shared among others than the day before, oldest first."""
        days = sorted({version.effective_from for version in self.versions[1:]})
        before = timedelta(days=1)
        return [day for day in days if self.paid_on(line, day).payers != self.paid_on(line, day - before).payers]

    def charge(
        self, line: ContractLine, key: str, source_type: str, day: date, net: Decimal, description: str, **more: object
    ) -> Charge:
        """One amount as a charge: quantity one at that price, unless more says otherwise."""
        fixed = {"quantity": ONE, "unit_price": net}
        return Charge(
            key=f"{self.version.contract_no}/{line.line_uid}/{key}",
            entry_key=f"{self.version.contract_no}/{line.line_uid}/{key}",
            entry_revision=0,
            source_type=source_type,
            version=self.version,
            line=self.paid_on(line, day),
            service_date=day,
            extended=net,
            project_code=self.project,
            description=description,
            approved_by="contract",
            **{**fixed, **more},  # type: ignore[arg-type]
        )
