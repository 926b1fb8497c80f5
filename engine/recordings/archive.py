"""What may happen to a kept recording: sealed, held for a case, released, erased when its time is over. Each is a line of the chain."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.domain.company import KEEP_DAYS
from engine.domain.errors import NotKnown
from engine.recordings import keep
from engine.recordings.crypt import KEYS
from engine.recordings.formats import sha256
from engine.recordings.keep import Facts
from engine.recordings.seal import ERASED, HELD, KEPT, RELEASED, Chain, chain_files, links

DAYS = KEEP_DAYS
"""How long a recording is kept unless the company says otherwise: three years."""
LATE = "kept before there was a seal"


class OnHold(ValueError):
    """The recording is held for a case, and cannot be erased until it is released."""


class Archive:
    """The kept recordings under `root`, and their seals. Blocking; safe to call from several threads of one process."""

    def __init__(self, root: Path, key: Ed25519PrivateKey) -> None:
        self._root = root
        self._key = key
        self._chains: dict[str, Chain] = {}
        self._lock = threading.Lock()

    def seal(self, folder: Path, facts: Facts) -> None:
        """Seal what was just kept in a day's folder; twice is once."""
        with self._lock:
            chain = self._chain(facts.company)
            if not chain.sealed(facts.recording, facts.started.date()):
                chain.append(KEPT, facts.recording, _files(folder, facts))

    def hold(self, recording: str, by: str, reason: str) -> None:
        """Keep it whatever its age, until it is released. Raises `NotKnown`."""
        self._note(HELD, recording, by, reason)

    def release(self, recording: str, by: str, reason: str) -> None:
        """End its hold. Raises `NotKnown`."""
        self._note(RELEASED, recording, by, reason)

    def held(self, company: str) -> frozenset[str]:
        """The company's recordings that are on hold. Raises `ValueError` if its chain is damaged: nothing is erased then."""
        held: set[str] = set()
        for path in chain_files(self._root / company):
            for link in links(path):
                if link.what == HELD:
                    held.add(link.recording)
                elif link.what == RELEASED:
                    held.discard(link.recording)
        return frozenset(held)

    def erase(self, recording: str, by: str, reason: str) -> None:
        """Delete its files; that it was there, its hash, who erased it and why stay in the chain.

        Raises `NotKnown`, or `OnHold`. After a crash, erase it again: the second time finishes what the first began.
        """
        with self._lock:
            folder, facts = self._find(recording)
            if recording in self.held(facts.company):
                raise OnHold(f"recording {recording} is on hold; release it first")
            files = _files(folder, facts)
            self._chain(facts.company).append(ERASED, recording, files, by=by, reason=reason)
            for rendered in self._root.glob(f".rendered/{facts.company}-{recording}-*"):
                rendered.unlink(missing_ok=True)
            # The facts go last: as long as they are there, the recording is found and can be erased again.
            (folder / f"{recording}{KEYS}").unlink(missing_ok=True)
            for name in sorted(files, key=lambda name: name.endswith(f"/{recording}.json")):
                (self._root / facts.company / name).unlink(missing_ok=True)
            keep.sync_folder(folder)

    def expired(self, company: str, days: int = DAYS, now: datetime | None = None) -> Sequence[str]:
        """The company's recordings that are older than so many days and not on hold, the oldest first."""
        before = (now or datetime.now(UTC)) - timedelta(days=days)
        return [facts.recording for facts in self.older_than(company, before)]

    def older_than(self, company: str, before: datetime) -> Sequence[Facts]:
        """The company's recordings of calls that began before that and that are not on hold, the oldest first."""
        old = [
            facts
            for path in keep.all_facts(self._root, company)
            if keep.day_of(path.parent) <= before.date()
            and (facts := keep.read_facts(path))
            and facts.started < before
        ]
        held = self.held(company) if old else ()
        return [
            facts for facts in sorted(old, key=lambda facts: facts.started) if facts.recording not in held
        ]

    def seal_earlier(self) -> int:
        """Seal what was kept before there was a seal: the companies that have recordings and no chain yet. Returns how many."""
        sealed = 0
        companies = [path for path in self._root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        for company in companies:
            if chain_files(company):
                continue
            for path in reversed(list(keep.all_facts(self._root, company.name))):
                if facts := keep.read_facts(path):
                    files = _files(path.parent, facts)
                    with self._lock:
                        self._chain(company.name).append(KEPT, facts.recording, files, reason=LATE)
                    sealed += 1
        return sealed

    def _note(self, what: str, recording: str, by: str, reason: str) -> None:
        with self._lock:
            _, facts = self._find(recording)
            self._chain(facts.company).append(what, recording, by=by, reason=reason)

    def _chain(self, company: str) -> Chain:
        return self._chains.setdefault(company, Chain(self._root / company, self._key))

    def _find(self, recording: str) -> tuple[Path, Facts]:
        if (found := keep.find_facts(self._root, recording)) is None:
            raise NotKnown(f"there is no recording {recording}")
        return found


def _files(folder: Path, facts: Facts) -> dict[str, tuple[str, int]]:
    """What is sealed: by path below the company's folder, the hash and length of each file as they were when it was kept."""
    names = {facts.file: facts.sha256, facts.peaks: None, f"{facts.recording}.json": None}
    day = "/".join(folder.parts[-3:])
    return {
        f"{day}/{name}": (
            known or sha256(folder / name),
            facts.bytes if known else (folder / name).stat().st_size,
        )
        for name, known in names.items()
        if known or (folder / name).exists()
    }
