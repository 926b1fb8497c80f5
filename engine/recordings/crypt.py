"""Encryption at rest: each file with a key of its own (AES-256-GCM), those keys wrapped by a key of the company.

A file is `MAGIC`, then chunks of 64 KiB, each with its own tag. The chunk's number and whether it is the last one are its nonce (a key
serves one file only), so that no chunk can be moved, dropped or added unseen. The wrapped keys lie beside the files, in `CALLID.keys`:
to change the company's key, only these small files are written anew.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.domain.errors import DozvonError

MAGIC = b"DOZVON1\n"
CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
KEY_BYTES = 32
NONCE_BYTES = 12
ENCRYPTED, KEYS = ".enc", ".keys"


class KeyLost(DozvonError, ValueError):
    """The key that a file was encrypted with is not there; the text says which one, and what to do."""


class Tampered(DozvonError, ValueError):
    """An encrypted file, or its wrapped key, is not as it was written."""


def new_key() -> bytes:
    """A key for one file."""
    return secrets.token_bytes(KEY_BYTES)


def encrypt(source: Path, into: Path, key: bytes, name: str) -> None:
    """Write `source` encrypted to `into`, durably. `name` is bound to it: under another one it does not decrypt."""
    cipher = AESGCM(key)
    with source.open("rb") as plain, into.open("wb") as file:
        file.write(MAGIC)
        for number, chunk, last in _chunks(plain, CHUNK_BYTES):
            file.write(cipher.encrypt(_nonce(number, last), chunk, name.encode()))
        file.flush()
        os.fsync(file.fileno())


def decrypt(source: Path, into: Path, key: bytes, name: str) -> None:
    """Write `source` decrypted to `into`. Raises `Tampered`."""
    cipher = AESGCM(key)
    with source.open("rb") as file, into.open("wb") as plain:
        if file.read(len(MAGIC)) != MAGIC:
            raise Tampered(f"{source} is no encrypted file of ours")
        for number, chunk, last in _chunks(file, CHUNK_BYTES + TAG_BYTES):
            try:
                plain.write(cipher.decrypt(_nonce(number, last), chunk, name.encode()))
            except InvalidTag:
                raise Tampered(f"{source} was changed, or encrypted with another key") from None


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """(number, chunk, is it the last) of a file; an empty one has a single empty chunk."""
    number, chunk = 0, file.read(size)
    while True:
        following = file.read(size)
        yield number, chunk, not following
        if not following:
            return
        number, chunk = number + 1, following


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(NONCE_BYTES - 1, "big") + bytes([last])


@dataclass(frozen=True, slots=True)
class Wrapped:
    """The keys of one recording's files, as they lie in `CALLID.keys`: by file name, wrapped by the company's key of that id."""

    company_key: str
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Wrapped:
        """Raises `KeyLost` if it is not there, `Tampered` if it is damaged."""
        try:
            said = json.loads(path.read_bytes())
            return cls(str(said["company_key"]), {str(n): str(k) for n, k in said["files"].items()})
        except FileNotFoundError:
            raise KeyLost(f"{path} is not there: without it the recording cannot be decrypted") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Tampered(f"{path} is damaged ({error}); restore it from a backup") from None

    def write(self, path: Path) -> None:
        """Durably, and all or nothing."""
        _write(path, {"version": 1, "company_key": self.company_key, "files": dict(self.files)})


class KeyRing:
    """The companies' keys, one file each in `folder`, readable by its owner only. Blocking; for several threads.

    Keep a copy of that folder elsewhere: what was encrypted with a lost key is lost.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def wrap(self, company: str, keys: Mapping[str, bytes]) -> Wrapped:
        """Wrap the keys of files (by name) with the company's current key, made if there is none yet."""
        with self._lock:
            current, ring = self._ring(company)
            if current is None:
                current = self._add(company, ring)
            return self._wrapped(company, current, ring[current], keys)

    def unwrap(self, company: str, wrapped: Wrapped, name: str) -> bytes:
        """The key of the file of that name. Raises `KeyLost` or `Tampered`."""
        _, ring = self._ring(company)
        try:
            key = ring[wrapped.company_key]
        except KeyError:
            raise KeyLost(
                f"the key {wrapped.company_key} of the company {company} is lost; "
                f"restore {self._path(company)} from a backup, or what it encrypted cannot be heard again"
            ) from None
        try:
            data = bytes.fromhex(wrapped.files[name])
            return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], f"{company} {name}".encode())
        except (KeyError, ValueError, InvalidTag):
            raise Tampered(f"the wrapped key of {name} was changed; restore it from a backup") from None

    def rewrap(self, company: str, wrapped: Wrapped) -> Wrapped:
        """The same keys, wrapped by the company's current key. Raises `KeyLost` or `Tampered`."""
        return self.wrap(company, {name: self.unwrap(company, wrapped, name) for name in wrapped.files})

    def renew(self, company: str) -> str:
        """Make a new key and let it be the current one; the former ones stay for what they have wrapped. Returns its id."""
        with self._lock:
            return self._add(company, self._ring(company)[1])

    def retire(self, company: str, in_use: frozenset[str]) -> None:
        """Forget the keys that wrap nothing any more. The current one stays."""
        with self._lock:
            current, ring = self._ring(company)
            left = {name: key for name, key in ring.items() if name in in_use or name == current}
            if left != ring:
                self._save(company, current, left)

    def current(self, company: str) -> str | None:
        """The id of the company's current key; None if it has none yet."""
        return self._ring(company)[0]

    def _add(self, company: str, ring: dict[str, bytes]) -> str:
        # Ids are drawn, not counted: should the file be lost, no new key is taken for a former one.
        id = secrets.token_hex(4)
        self._save(company, id, {**ring, id: new_key()})
        ring.update(self._ring(company)[1])
        return id

    def _wrapped(self, company: str, id: str, key: bytes, keys: Mapping[str, bytes]) -> Wrapped:
        files = {}
        for name, plain in keys.items():
            nonce = secrets.token_bytes(NONCE_BYTES)
            files[name] = (nonce + AESGCM(key).encrypt(nonce, plain, f"{company} {name}".encode())).hex()
        return Wrapped(id, files)

    def _path(self, company: str) -> Path:
        return self._folder / f"{company}.json"

    def _ring(self, company: str) -> tuple[str | None, dict[str, bytes]]:
        try:
            said = json.loads(self._path(company).read_bytes())
            return said["current"], {id: bytes.fromhex(key) for id, key in said["keys"].items()}
        except FileNotFoundError:
            return None, {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise KeyLost(f"{self._path(company)} is damaged ({error}); restore it from a backup") from None

    def _save(self, company: str, current: str | None, ring: Mapping[str, bytes]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self._path(company), {"current": current, "keys": {id: key.hex() for id, key in ring.items()}})


def _write(path: Path, value: object) -> None:
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
