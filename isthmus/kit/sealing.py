"""Secrets sealed at rest by envelope encryption: each under a data key of its own, the data keys under a master key.

AES-256-GCM throughout (NIST SP 800-38D), with the secret's name as associated data: a sealed text put under another
name does not open. The master key is kept outside of what holds the sealed texts; several may be known while one is
replaced: the first seals, all open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from isthmus.domain.errors import NeedsSetup

KEY_BYTES, NONCE_BYTES = 32, 12
KEY, KEY_FILE = "ISTHMUS_SEAL_KEY", "ISTHMUS_SEAL_KEY_FILE"


@dataclass(frozen=True)
class SealedText:
    """A secret at rest. key_id: which master key its data key is under; both boxes are base64, nonce first."""

    key_id: str
    wrapped_key: str
    box: str


def new_key() -> str:
    """A master key as text: 32 random bytes in base64."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def master_keys() -> list[bytes]:
    """The master keys of this machine: ISTHMUS_SEAL_KEY, or the file ISTHMUS_SEAL_KEY_FILE names; several separated by
    white space, the newest first. NeedsSetup when there is none, or one is no key.
    """
    text = os.environ.get(KEY, "")
    named = os.environ.get(KEY_FILE, "")
    if not text and named:
        try:
            text = Path(named).read_text()
        except OSError as missing:
            raise NeedsSetup(f"{KEY_FILE}: {named} cannot be read: {missing.strerror}") from missing
    if not text.split():
        raise NeedsSetup(f"sealed secrets need a master key: set {KEY} or {KEY_FILE}; 'isthmus secret key' makes one")
    return [_decoded(word) for word in text.split()]


def _decoded(word: str) -> bytes:
    try:
        key = base64.b64decode(word, validate=True)
    except binascii.Error as wrong:
        raise NeedsSetup(f"a master key is no base64: {wrong}") from wrong
    if len(key) != KEY_BYTES:
        raise NeedsSetup(f"a master key has {KEY_BYTES} bytes, this one {len(key)}")
    return key


class Seal:
    """Seals and opens with master keys."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {hashlib.sha256(key).hexdigest()[:12]: key for key in keys}
        self.key_id = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"Seal({', '.join(self._keys)})"

    def close(self, name: str, secret: str) -> SealedText:
        """Seal a secret under its name."""
        data_key = AESGCM.generate_key(bit_length=KEY_BYTES * 8)
        wrapped = _boxed(self._keys[self.key_id], data_key, self._bound(name, self.key_id))
        return SealedText(self.key_id, wrapped, _boxed(data_key, secret.encode(), name.encode()))

    def open(self, name: str, sealed: SealedText) -> str:
        """The secret. NeedsSetup when its master key is not known here, or the text was changed or moved."""
        return _opened(self._data_key(name, sealed), sealed.box, name.encode(), name).decode()

    def renewed(self, name: str, sealed: SealedText) -> SealedText:
        """The same secret with its data key under the newest master key; the secret itself is not opened."""
        wrapped = _boxed(self._keys[self.key_id], self._data_key(name, sealed), self._bound(name, self.key_id))
        return SealedText(self.key_id, wrapped, sealed.box)

    def _data_key(self, name: str, sealed: SealedText) -> bytes:
        if sealed.key_id not in self._keys:
            known = ", ".join(self._keys)
            raise NeedsSetup(f"secret {name} is sealed under the master key {sealed.key_id}; known here: {known}")
        return _opened(self._keys[sealed.key_id], sealed.wrapped_key, self._bound(name, sealed.key_id), name)

    @staticmethod
    def _bound(name: str, key_id: str) -> bytes:
        return f"{key_id}:{name}".encode()


def _boxed(key: bytes, content: bytes, bound: bytes) -> str:
    nonce = os.urandom(NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, content, bound)).decode()


def _opened(key: bytes, box: str, bound: bytes, name: str) -> bytes:
    try:
        raw = base64.b64decode(box, validate=True)
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], bound)
    except (InvalidTag, binascii.Error, ValueError) as wrong:
        raise NeedsSetup(f"secret {name} does not open: it was changed, or belongs to another name") from wrong
