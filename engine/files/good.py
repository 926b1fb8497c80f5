"""The last good copy of each company's folder, on disk: what is in force when the files have a mistake and the engine is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

READ = (".yaml", ".yml", ".csv", ".ics")
"""What a company's folder is read from, by suffix."""


class LastGood:
    """Copies under `folder`, one a company: `folder/NAME` links to the newest; a crash leaves the old link or the new one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str) -> Path | None:
        """The copy of the company's folder, or None if there never was a good one."""
        link = self.folder / name
        return link.resolve() if link.is_dir() else None

    def keep(self, source: Path, unchanged: Callable[[], bool]) -> None:
        """Copy the folder `source`, which was read and found good, unless the copy is already the same.

        `unchanged` is asked after the copying whether the files still are what was read; if not, the copy is dropped. Raises OSError.
        """
        before = self.find(source.name)
        if before is not None and _contents(before) == _contents(source):
            return
        fresh = self.folder / f".{source.name}-{uuid4().hex[:8]}"
        self.folder.mkdir(exist_ok=True)
        try:
            for name, content in _contents(source).items():
                _write(fresh / name, content)
            if not unchanged():
                raise FileNotFoundError(f"{source} is being edited")
            link = fresh.with_suffix(".link")
            link.symlink_to(fresh.name)
            if before is not None and not (self.folder / source.name).is_symlink():
                shutil.rmtree(before)  # a backup that was put back has followed the link
            link.replace(self.folder / source.name)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        self._sweep()

    def drop(self, name: str) -> None:
        """The company is gone: so is its copy."""
        link = self.folder / name
        with suppress(OSError):
            link.unlink(missing_ok=True) if link.is_symlink() else shutil.rmtree(link)
            self._sweep()

    def _sweep(self) -> None:
        """Remove the copies that no link names any more."""
        named = {link.resolve() for link in self.folder.iterdir() if link.is_symlink()}
        for path in self.folder.glob(".*"):
            if path.is_dir() and not path.is_symlink() and path.resolve() not in named:
                shutil.rmtree(path, ignore_errors=True)


def _contents(folder: Path) -> dict[str, bytes]:
    """What the company is read from, by path within its folder."""
    paths = (*folder.iterdir(), *(folder / "policies").glob("*"))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.suffix in READ and path.is_file()
    }


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
