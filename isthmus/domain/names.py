"""Names of people, as the two-person rules compare them: however one's own name is written, it is nobody else."""

from __future__ import annotations

import unicodedata

UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})  # controls, and what takes no place: a zero-width space, say


def person_key(name: str) -> str:
    """The name as people read it: letter case, full-width forms, spaces and unseen characters do not tell two apart."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(c for c in folded if unicodedata.category(c) not in UNSEEN).split())


def same_person(one: str, other: str) -> bool:
    """True when both names are read as one; a name that is not given is nobody's."""
    key = person_key(one)
    return bool(key) and key == person_key(other)
