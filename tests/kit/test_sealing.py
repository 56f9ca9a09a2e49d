"""Sealed at rest: opened with the right master key under the right name only, renewed without being opened."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import NeedsSetup
from isthmus.kit.sealing import KEY, KEY_FILE, Seal, SealedText, master_keys, new_key

KEYS = [base64.b64decode(new_key()) for _ in range(3)]


@given(st.text(min_size=1), st.text(max_size=20))
def test_what_is_sealed_opens_as_it_was_and_cannot_be_read(secret: str, name: str) -> None:
    seal = Seal(KEYS[:1])
    sealed = seal.close(name, secret)
    assert seal.open(name, sealed) == secret
    assert secret.encode() not in base64.b64decode(sealed.box) or len(secret.encode()) < 3
    assert seal.close(name, secret).box != sealed.box, "twice the same secret must not look the same"


def test_under_another_name_or_changed_it_does_not_open() -> None:
    seal = Seal(KEYS[:1])
    sealed = seal.close("erp", "hush")
    with pytest.raises(NeedsSetup, match="belongs to another name"):
        seal.open("crm", sealed)
    for field in ("box", "wrapped_key"):
        raw = bytearray(base64.b64decode(getattr(sealed, field)))
        raw[-1] ^= 1
        changed = SealedText(**{**vars(sealed), field: base64.b64encode(raw).decode()})
        with pytest.raises(NeedsSetup, match="does not open"):
            seal.open("erp", changed)
    with pytest.raises(NeedsSetup, match="does not open"):
        seal.open("erp", SealedText(sealed.key_id, sealed.wrapped_key, "no base64!"))


def test_another_master_key_is_told_by_its_id() -> None:
    sealed = Seal(KEYS[:1]).close("erp", "hush")
    with pytest.raises(NeedsSetup, match=f"sealed under the master key {sealed.key_id}"):
        Seal(KEYS[1:2]).open("erp", sealed)


def test_a_master_key_is_replaced_without_opening_the_secret() -> None:
    old, both, new = Seal(KEYS[:1]), Seal([KEYS[1], KEYS[0]]), Seal(KEYS[1:2])
    sealed = old.close("erp", "hush")
    assert both.open("erp", sealed) == "hush"
    renewed = both.renewed("erp", sealed)
    assert renewed.box == sealed.box and new.open("erp", renewed) == "hush"
    with pytest.raises(NeedsSetup):
        old.open("erp", renewed)
    assert "hush" not in repr(both) and KEYS[0].hex() not in repr(both)


def test_master_keys_come_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (KEY, KEY_FILE):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NeedsSetup, match="isthmus secret key"):
        master_keys()
    file = tmp_path / "seal.key"
    monkeypatch.setenv(KEY_FILE, str(file))
    with pytest.raises(NeedsSetup, match="cannot be read"):
        master_keys()
    keys = [new_key(), new_key()]
    file.write_text("\n".join(keys))
    assert [base64.b64encode(key).decode() for key in master_keys()] == keys
    for text, why in (("c2hvcnQ=", "has 32 bytes, this one 5"), ("***", "no base64")):
        monkeypatch.setenv(KEY, text)
        with pytest.raises(NeedsSetup, match=why):
            master_keys()
