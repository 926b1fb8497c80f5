"""The companies of an installation: a folder of folders, loaded at the start, read again when a file changes.

A broken file never replaces a good one: the company as it was stays, also when the engine is started anew (`good`), and what was found
goes to the callback.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import structlog

from engine.domain.company import Company
from engine.domain.finding import Finding
from engine.domain.model import Urgency
from engine.files.company import Loaded, load_company
from engine.files.good import READ, LastGood

log = structlog.get_logger()

Stamp: TypeAlias = frozenset[tuple[str, int, int]]
Tell: TypeAlias = Callable[[str, bool, tuple[Finding, ...]], None]
"""Told of each read of a folder: its name, whether the company is now as the files say, and what was found."""
POLL_SECONDS = 1.0
PREVIOUS = ".previous"
GOOD = ".good"
INCOMING = ".incoming-"


def company_folders(folder: Path) -> list[Path]:
    """The folders that hold a company, by name; what begins with a dot is not one."""
    if not folder.is_dir():
        return []
    return sorted(
        one for one in folder.iterdir() if not one.name.startswith(".") and (one / "company.yaml").is_file()
    )


def conflicts(companies: Mapping[Path, Company]) -> dict[Path, list[Finding]]:
    """Ids and DIDs that an earlier company has already."""
    found: dict[Path, list[Finding]] = {}
    ids: dict[str, Path] = {}
    dids: dict[str, Company] = {}
    for path, company in companies.items():
        if (other := ids.setdefault(company.id, path)) != path:
            words = {"id": company.id, "other": other.name}
            found.setdefault(path, []).append(Finding("company.taken", words=words, file="company.yaml"))
        for line in company.lines:
            owner = dids.setdefault(line.did, company)
            if owner is not company:
                words = {"did": line.did, "other": owner.title}
                found.setdefault(path, []).append(Finding("did.taken", words=words, file="company.yaml"))
    return found


class Companies:
    """The companies as they are configured now: call it. `refresh` loads them, `watch` keeps them fresh until it is cancelled."""

    def __init__(
        self,
        folder: Path,
        shipped: Path,
        tell: Tell | None = None,
        causes: Mapping[str, Urgency] | None = None,
    ) -> None:
        self.folder = folder
        self.shipped = shipped
        self.tell = tell or (lambda name, fresh, findings: None)
        self.causes = causes
        self._good: dict[Path, Company] = {}
        self._refused: set[str] = set()
        self._kept = LastGood(folder / GOOD)
        self._stamps: dict[Path, tuple[Stamp, Stamp, date]] = {}
        self._missing: set[Path] = set()
        self._now: tuple[Company, ...] = ()

    def __call__(self) -> Sequence[Company]:
        """Every company as it is now. A snapshot: a change makes a new one."""
        return self._now

    @property
    def outdated(self) -> tuple[str, ...]:
        """The folders whose files have mistakes, so that the company as it was before them is in force (or none is)."""
        return tuple(sorted(self._refused))

    async def watch(self, every: float = POLL_SECONDS) -> None:
        """Look for changes every so many seconds, for ever. Files are read in a thread."""
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(self.refresh)

    def refresh(self, now: datetime | None = None) -> bool:
        """Read what has changed since the last time. True if any company is different now.

        A new day counts as a change: imported calendars and the coming year move with it.
        """
        now = now or datetime.now(UTC)
        finish_imports(self.folder)
        shipped = _stamp(self.shipped)
        folders = company_folders(self.folder)
        changed = self._forget(set(folders))
        told: list[tuple[str, bool, tuple[Finding, ...]]] = []
        for path in folders:
            stamp = (_stamp(path), shipped, now.date())
            if self._stamps.get(path) == stamp:
                continue
            self._stamps[path] = stamp
            loaded = load_company(path, self.shipped, causes=self.causes, now=now)
            fresh, findings = self._take(path, loaded)
            if fresh:
                self._keep(path, stamp[0])
                self._refused.discard(path.name)
            else:
                self._refused.add(path.name)
            changed |= fresh or self._restore(path, now)
            told.append((path.name, fresh, findings))
        if changed:
            self._now = tuple(self._good[path] for path in sorted(self._good))
        for one in told:  # when it is told, it is so
            self.tell(*one)
        return changed

    def _take(self, path: Path, loaded: Loaded) -> tuple[bool, tuple[Finding, ...]]:
        if loaded.company is None:
            return False, loaded.findings
        others = {one: company for one, company in self._good.items() if one != path}
        clashes = conflicts({**others, path: loaded.company}).get(path, [])
        if clashes:
            return False, (*loaded.findings, *clashes)
        self._good[path] = loaded.company
        return True, loaded.findings

    def _keep(self, path: Path, read: Stamp) -> None:
        """Make what was read survive a restart. A disk that is full must not keep the company from being in force."""
        try:
            self._kept.keep(path, lambda: _stamp(path) == read)
        except OSError as error:
            log.warning(
                "the last good copy of a company could not be kept", company=path.name, reason=str(error)
            )

    def _restore(self, path: Path, now: datetime) -> bool:
        """Nothing of this company is in force, because its files have had a mistake since before the start: take the last good copy."""
        copy = self._kept.find(path.name)
        if path in self._good or copy is None:
            return False
        restored, _ = self._take(path, load_company(copy, self.shipped, causes=self.causes, now=now))
        return restored

    def _forget(self, present: set[Path]) -> bool:
        """A folder that is gone twice in a row is gone: one look may fall between an import's two renames."""
        missing = set(self._good) - present
        gone, self._missing = missing & self._missing, missing
        for path in gone:
            del self._good[path]
            self._stamps.pop(path, None)
            self._refused.discard(path.name)
            self._kept.drop(path.name)
        return bool(gone)


def import_company(
    source: Path, companies: Path, shipped: Path, *, causes: Mapping[str, Urgency] | None = None
) -> Loaded:
    """Check a company's folder and, if nothing is wrong with it, put it in the place of the one with the same id.

    All or nothing: with an error nothing is touched. What was there before is kept in `companies/.previous/ID`. Raises OSError if the
    files cannot be written.
    """
    loaded = load_company(source, shipped, causes=causes)
    if loaded.company is None:
        return loaded
    id = loaded.company.id
    others = {path: load_company(path, shipped).company for path in company_folders(companies)}
    clashing = {path: one for path, one in others.items() if one is not None and one.id != id} | {
        source: loaded.company
    }
    clashes = conflicts(clashing).get(source, [])
    if clashes:
        return Loaded(None, (*loaded.findings, *clashes))
    target = next((path for path, one in others.items() if one is not None and one.id == id), companies / id)
    companies.mkdir(parents=True, exist_ok=True)
    staged = companies / f"{INCOMING}{target.name}.{uuid4().hex[:8]}.part"
    shutil.copytree(source, staged, ignore=shutil.ignore_patterns(".*"))
    _sync(staged)
    staged.rename(staged.with_suffix(""))  # from here on a restart finishes the import
    finish_imports(companies)
    return loaded


def finish_imports(companies: Path) -> None:
    """Put whole copies that wait beside the companies in their places. Does nothing if none waits; safe to repeat after a crash."""
    for staged in sorted(companies.glob(f"{INCOMING}*")):
        if staged.suffix == ".part":
            continue
        target = companies / staged.name.removeprefix(INCOMING).rpartition(".")[0]
        before = companies / PREVIOUS / target.name
        try:
            if target.exists():
                before.parent.mkdir(exist_ok=True)
                shutil.rmtree(before, ignore_errors=True)
                target.rename(before)
            staged.rename(target)
        except FileNotFoundError:
            continue  # another process was quicker


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _stamp(folder: Path) -> Stamp:
    found = set()
    for path in folder.rglob("*"):
        if path.suffix in READ:
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            found.add((str(path), state.st_mtime_ns, state.st_size))
    return frozenset(found)
