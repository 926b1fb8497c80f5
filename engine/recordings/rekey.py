"""A new key for a company: its recordings' keys are wrapped anew, the recordings themselves stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.recordings import keep
from engine.recordings.crypt import KEYS, KeyLost, KeyRing, Tampered, Wrapped


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """The new key's id, how many recordings it serves, and those whose former key could not be read."""

    key: str
    recordings: int
    failed: tuple[Path, ...] = ()


def rekey(root: Path, company: str, keys: KeyRing) -> Rekeyed:
    """Make a new key, wrap everything with it, forget those that serve nothing any more. After a crash: again.

    Blocking. Beside a running engine: whatever it keeps meanwhile is found in the second round.
    """
    key = keys.renew(company)
    done = 0
    for _ in range(2):
        failed = []
        for path in _wrapped(root, company):
            try:
                wrapped = Wrapped.read(path)
                if wrapped.company_key != key:
                    keys.rewrap(company, wrapped).write(path)
                    done += 1
            except (KeyLost, Tampered):
                failed.append(path)
    in_use = frozenset(_key_of(path) for path in _wrapped(root, company))
    if not failed:
        keys.retire(company, in_use)
    return Rekeyed(key, done, tuple(failed))


def _wrapped(root: Path, company: str) -> list[Path]:
    return [path for day in keep.day_folders(root, company) for path in sorted(day.glob(f"*{KEYS}"))]


def _key_of(path: Path) -> str:
    try:
        return Wrapped.read(path).company_key
    except (KeyLost, Tampered):
        return ""
