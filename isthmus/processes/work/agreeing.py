"""Subcontracts: what is agreed with a supplier for a project, kept as versions."""

from __future__ import annotations

from typing import Any

from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.objects import Engagement
from isthmus.domain.subcontracting import Subcontract
from isthmus.processes.work.buying import newest
from isthmus.runtime.books import Books


def keep_subcontract(books: Books, facts: dict[str, Any], by: str) -> Subcontract:
    """The subcontract, or its next version; the same again is the version that is there.

    facts: its fields without version and who agreed. NotFound for a project nobody has set up; BadInput when another
    supplier, project or currency would take over what was agreed and billed.
    """
    number, project = str(facts["subcontract_no"]), str(facts["project_code"])
    books.tx.lock(f"subcontract:{number}")
    found = books.tx.find(Engagement, project_code=project, limit=1)
    if not found:
        raise NotFound(f"no project {project}")
    own = {"entity": found[0].entity, "contract_no": found[0].contract_no}
    known = newest(books.tx, number)
    version = known.version + 1 if known is not None else 1
    made = Subcontract.model_validate({**facts, **own, "version": version, "agreed_by": by, "recorded_at": books.now})
    if known is not None:
        for name in ("supplier", "project_code", "currency"):
            if getattr(known, name) != getattr(made, name):
                raise BadInput(f"subcontract {number} is of {name} {getattr(known, name)}: use another number")
        same = {"version": version, "agreed_by": by, "recorded_at": books.now}
        if known.model_copy(update=same) == made:
            return known
    books.tx.insert(made)
    told = {"subcontract": number, "version": version, "supplier": made.supplier, "project": project}
    books.emit("subcontract.agreed", f"subcontract:{number}", told, entity=made.entity)
    books.audit("subcontract.agree", f"subcontract:{number}", actor=by, after=made.model_dump(mode="json"))
    return made
