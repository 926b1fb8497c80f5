"""Look through sealed recordings: any byte that was changed, any file that is missing or was added, is found and named."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.recordings import keep
from engine.recordings.crypt import ENCRYPTED, KEYS, KeyLost, KeyRing, Tampered, Wrapped
from engine.recordings.formats import sha256
from engine.recordings.legs import calls_with_legs
from engine.recordings.seal import CHAIN, ERASED, KEPT, Link, chain_files, genesis

Elsewhere = Callable[[Path], str | None]
"""The hash of what a store of copies holds in the place of a file; None if nothing."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that is not as it was sealed. `what` is said to a person, in Russian; `line` is that of a chain.

    Not `serious`: worth knowing, and no sign that anybody changed anything.
    """

    path: Path
    what: str
    line: int | None = None
    serious: bool = True

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}" if self.line else f"{self.path}: {self.what}"


def verify(
    root: Path,
    key: Ed25519PublicKey,
    known: Iterable[str] = (),
    keys: KeyRing | None = None,
    away: Elsewhere | None = None,
) -> Iterator[Wrong]:
    """Everything under `root` that is not as it was sealed. `known` are recordings that must be there (those of the tickets).

    With `keys` it is also tried whether what is encrypted could be decrypted. What is not here may be `away`.
    """
    sealed: set[str] = set()
    for company in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if company.name != "live":
            yield from _verify_company(company, key, keys, away, sealed)
    for recording in known:
        if recording not in sealed:
            yield Wrong(root / recording, "запись числится в заявке, но в журнале записей её нет")


def _verify_company(
    company: Path,
    key: Ed25519PublicKey,
    keys: KeyRing | None,
    away: Elsewhere | None,
    sealed: set[str],
) -> Iterator[Wrong]:
    if not chain_files(company):
        earlier = [path.stem for path in keep.all_facts(company.parent, company.name)]
        sealed.update(earlier)
        if earlier:
            yield Wrong(company, f"записей без печати: {len(earlier)}, они старше, чем печать", serious=False)
            return
    files: dict[str, tuple[str, int]] = {}
    last: Link | None = None
    for path in chain_files(company):
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
            try:
                link = Link.read(line)
            except ValueError:
                yield Wrong(path, "строка журнала испорчена", number)
                continue
            if not line.endswith(b"\n"):
                yield Wrong(path, "строка журнала оборвана", number)
            elif line != link.line() or not link.signed_by(key):
                yield Wrong(
                    path, f"строка журнала изменена, или подписана другим ключом: {link.recording}", number
                )
            if link.prev != (last.hash if last else genesis(company)) or link.n != (
                last.n + 1 if last else 1
            ):
                yield Wrong(
                    path, "перед этой строкой журнала чего-то не хватает или строки переставлены", number
                )
            last = link
            if link.what == KEPT:
                files.update(link.files)
                sealed.add(link.recording)
            elif link.what == ERASED:
                for name in link.files:
                    files.pop(name, None)
    for name, (digest, size) in files.items():
        path = company / name
        if not path.is_file() and away is not None and (there := away(path)) is not None:
            if there != digest:
                yield Wrong(path, "в хранилище лежит не то, что было запечатано")
        elif not path.is_file():
            yield Wrong(path, "файла нет, хотя он не был удалён по правилам")
        elif path.stat().st_size != size:
            yield Wrong(path, f"длина файла {path.stat().st_size} байт, а была {size}")
        elif sha256(path) != digest:
            yield Wrong(path, "содержимое файла изменено")
    encrypted = [company / name for name in files if name.endswith(ENCRYPTED)]
    yield from _undecipherable(company.name, encrypted, keys)
    yield from _added(company, [*(company / name for name in files), *map(_keys_of, encrypted)], sealed)


def _undecipherable(company: str, encrypted: Iterable[Path], keys: KeyRing | None) -> Iterator[Wrong]:
    """What could not be heard again: its keys are not there, were changed, or the company's key is lost."""
    for path in encrypted:
        try:
            wrapped = Wrapped.read(_keys_of(path))
            if keys is not None:
                keys.unwrap(company, wrapped, path.name)
        except KeyLost:
            yield Wrong(path, "ключ утрачен, расшифровать нельзя: восстановите ключи из резервной копии")
        except Tampered:
            yield Wrong(_keys_of(path), "ключ записи изменён")


def _keys_of(path: Path) -> Path:
    """Where the wrapped key of an encrypted file lies."""
    return path.with_name(keep.recording_of(path.name) + KEYS)


def _added(company: Path, files: Iterable[Path], sealed: Container[str]) -> Iterator[Wrong]:
    expected = set(files)
    for day in keep.day_folders(company.parent, company.name):
        legs = {path for _, path in calls_with_legs(day)}  # of calls that are up, or not finished yet
        for path in sorted(day.iterdir()):
            if (
                path not in expected
                and path not in legs
                and path.name != CHAIN
                and not (path.suffix == keep.MARK and path.stem in sealed)
                and not path.name.startswith(".")
            ):
                yield Wrong(path, "файл добавлен: в журнале записей его нет")
