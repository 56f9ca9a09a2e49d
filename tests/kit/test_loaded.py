"""Records that come side by side: the answer's own in its order, all the others by collection and id."""

from __future__ import annotations

import pytest

from isthmus.domain.errors import BadInput
from isthmus.kit.loaded import Loaded

BODY = {
    "count": 2,
    "meta": {"count": 2, "page_count": 1},
    "results": [{"key": "stories", "id": "9"}, {"key": "stories", "id": "7"}],
    "stories": {"7": {"id": "7"}, "9": {"id": "9"}},
    "users": {"3": {"id": "3", "name": "Ada"}},
}


def test_records_of_many_answers_are_kept_by_collection_and_id() -> None:
    loaded = Loaded()
    assert [row["id"] for row in loaded.take(BODY)] == ["9", "7"]
    loaded.take({"results": [], "users": {"4": {"id": "4"}}})
    assert set(loaded.all("users")) == {"3", "4"}
    assert loaded.all("meta") == loaded.all("roles") == {}
    assert loaded.one("users", 3, "approver")["name"] == "Ada"


def test_a_record_that_did_not_come_is_named() -> None:
    with pytest.raises(BadInput, match="its approver 5 cannot be read"):
        Loaded().one("users", 5, "approver")
