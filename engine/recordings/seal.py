"""The seal: every kept recording is a line in its company's hash chain, signed with the installation's key.

A line is written to the chain of the day on which it is sealed (`COMPANY/YYYY/MM/DD/chain.jsonl`). Its `prev` is the hash of the line
before it, across days, so that no line, and no day but the last, can be taken away unseen. Holds and deletions are lines too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from engine.recordings import keep

CHAIN = "chain.jsonl"
KEPT, ERASED, HELD, RELEASED = "kept", "erased", "held", "released"


def load_key(path: Path) -> Ed25519PrivateKey:
    """The installation's signing key; made at first, readable by its owner only. Its public half lies beside it as `.pub`."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        key = Ed25519PrivateKey.generate()
        path.parent.mkdir(parents=True, exist_ok=True)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".pub").write_bytes(public_pem(key.public_key()))
        keep.sync_folder(path.parent)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key; restore it from a backup")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """The public key as it is given to an inspector."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """The public key from its PEM. Raises `ValueError` if it is another kind of key."""
    key = load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("this is no Ed25519 public key")
    return key


@dataclass(frozen=True, slots=True)
class Link:
    """One line of a chain. `files` maps the path below the company's folder to SHA-256 and length."""

    n: int
    at: datetime
    what: str
    recording: str
    prev: str
    files: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    by: str | None = None
    reason: str | None = None
    hash: str = ""
    signature: str = ""

    def content(self) -> bytes:
        """What the hash is taken of."""
        said = {
            "n": self.n,
            "at": self.at.isoformat(),
            "what": self.what,
            "recording": self.recording,
            "prev": self.prev,
            "files": {name: list(facts) for name, facts in sorted(self.files.items())},
            "by": self.by,
            "reason": self.reason,
        }
        return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    def line(self) -> bytes:
        """As it is written."""
        said = json.loads(self.content()) | {"hash": self.hash, "signature": self.signature}
        return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Link:
        """Raises `ValueError` for anything that is no line of ours."""
        try:
            said: dict[str, Any] = json.loads(line)
            said["at"] = datetime.fromisoformat(said["at"])
            said["files"] = {name: (str(sha), int(size)) for name, (sha, size) in said["files"].items()}
            return cls(**said)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a line of a chain: {error}") from error

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether the line is as it was signed."""
        if self.hash != hashlib.sha256(self.content()).hexdigest():
            return False
        try:
            signature = bytes.fromhex(self.signature)
            key.verify(signature, bytes.fromhex(self.hash))
        except (InvalidSignature, ValueError):
            return False
        return signature.hex() == self.signature


class Chain:
    """A company's chain, to append to. Several processes may (the engine, a command): a lock on a file keeps them in turn."""

    def __init__(self, company_folder: Path, key: Ed25519PrivateKey) -> None:
        self._folder = company_folder
        self._key = key
        self._last: Link | None = None
        self._end: tuple[Path, int] | None = None
        """The file that `_last` stands in, and how long it was: another length means that somebody else went on."""
        self._seen: dict[Path, tuple[int, set[str]]] = {}
        """What `sealed` has read so far of each day's chain: bytes, and the recordings that were sealed in them."""

    def append(
        self,
        what: str,
        recording: str,
        files: Mapping[str, tuple[str, int]] | None = None,
        *,
        by: str | None = None,
        reason: str | None = None,
        now: datetime | None = None,
    ) -> Link:
        """Sign and append a line, durably. A line that a crash cut is taken away first: nobody was told that it was there."""
        with self._turn():
            today = now or datetime.now(UTC)
            last = self._find_last(today.date())
            at = max(today, last.at) if last else today
            n, prev = (last.n + 1, last.hash) if last else (1, genesis(self._folder))
            link = Link(n, at, what, recording, prev, files or {}, by, reason)
            digest = hashlib.sha256(link.content())
            link = replace(link, hash=digest.hexdigest(), signature=self._key.sign(digest.digest()).hex())
            path = self._path(at.date())
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(link.line())
                file.flush()
                os.fsync(file.fileno())
                self._last, self._end = link, (path, file.tell())
            keep.sync_folder(path.parent)
            return link

    def sealed(self, recording: str, since: date) -> bool:
        """Whether the recording was sealed on that day or later."""
        for day in keep.day_folders(self._folder.parent, self._folder.name):
            if keep.day_of(day) < since:
                return False
            if recording in self._sealed_in(day / CHAIN):
                return True
        return False

    def _sealed_in(self, path: Path) -> set[str]:
        """The recordings that were sealed in a day's chain. Only what was added since the last time is read: a day has thousands."""
        read, found = self._seen.get(path, (0, set()))
        try:
            with path.open("rb") as file:
                if (
                    file.seek(0, os.SEEK_END) < read
                ):  # a torn line was taken away, or somebody else did something: begin anew
                    read, found = 0, set()
                file.seek(read)
                data = file.read()
        except FileNotFoundError:
            return set()
        whole = data[: data.rfind(b"\n") + 1]
        found |= {link.recording for link in _readable(whole) if link.what == KEPT}
        self._seen[path] = (read + len(whole), found)
        return found

    def _path(self, day: date) -> Path:
        return self._folder / f"{day:%Y/%m/%d}" / CHAIN

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / ".chain.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _find_last(self, today: date) -> Link | None:
        if self._end:
            path, length = self._end
            if path >= self._path(today) and path.exists() and path.stat().st_size == length:
                return self._last
        for path in reversed(chain_files(self._folder)):
            _cut_torn_line(path)
            if found := list(links(path, strict=False)):
                return found[-1]
        return None


def _cut_torn_line(path: Path) -> None:
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def genesis(company_folder: Path) -> str:
    """What the first line of a company's chain follows."""
    return hashlib.sha256(f"dozvon {company_folder.name}".encode()).hexdigest()


def chain_files(company_folder: Path) -> list[Path]:
    """The days' chains of a company, in order."""
    return [
        day / CHAIN
        for day in reversed(list(keep.day_folders(company_folder.parent, company_folder.name)))
        if (day / CHAIN).exists()
    ]


def links(path: Path, *, strict: bool = True) -> Iterator[Link]:
    """The lines of one day's chain. What is no line of ours raises `ValueError`, or is passed over.

    Sealing passes it over: a damaged chain must not keep a new recording from being sealed, and `verify` names the damage.
    """
    if not strict:
        yield from _readable(path.read_bytes())
        return
    for line in path.read_bytes().splitlines():
        try:
            yield Link.read(line)
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); run `dozvon recordings verify`") from error


def _readable(data: bytes) -> Iterator[Link]:
    for line in data.splitlines():
        with suppress(ValueError):
            yield Link.read(line)
