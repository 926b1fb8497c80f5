"""Recordings for an inspector or a court: a folder that plays by itself, with what proves that nothing was changed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from engine.recordings import keep
from engine.recordings.folder import Listened, RecordingFolder
from engine.recordings.formats import sha256
from engine.recordings.keep import Facts
from engine.recordings.seal import chain_files, links

MANIFEST, SUMS, SEALS, KEY, PAGE = "manifest.json", "SHA256SUMS", "seals.jsonl", "key.pub", "index.html"


@dataclass(frozen=True, slots=True)
class Exported:
    """One recording in the folder: its facts, and the names of its files there."""

    facts: Facts
    kept: str
    wav: str


async def export(
    folder: RecordingFolder, root: Path, recordings: Sequence[str], into: Path, public_key: bytes, title: str
) -> Sequence[Exported]:
    """Write the recordings to the new folder `into`: as they are kept and as WAV, with their seals, a manifest and a page that plays them.

    Raises `NotKnown` before anything is written if one of them does not exist, `FileExistsError` if `into` does.
    """
    pairs = []
    for recording in recordings:
        wav = await folder.listen(recording, "both", "wav")
        pairs.append((await folder.listen(recording, "both", wav.facts.format), wav))
    return await asyncio.to_thread(_write, pairs, root, into, public_key, title)


def _write(
    pairs: Sequence[tuple[Listened, Listened]], root: Path, into: Path, public_key: bytes, title: str
) -> Sequence[Exported]:
    part = into.with_name(f".{into.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    if into.exists():
        raise FileExistsError(f"{into} exists; name a new folder")
    part.mkdir(parents=True)
    exported: list[Exported] = []
    for kept, wav in pairs:
        facts = kept.facts
        one = Exported(facts, f"{facts.recording}.{facts.format}", f"{facts.recording}.listen.wav")
        shutil.copyfile(kept.path, part / one.kept)
        shutil.copyfile(kept.folder / f"{facts.recording}.json", part / f"{facts.recording}.json")
        shutil.copyfile(wav.path, part / one.wav)
        exported.append(one)
    _write_seals(
        part, root, {one.facts.company for one in exported}, {one.facts.recording for one in exported}
    )
    (part / KEY).write_bytes(public_key)
    (part / PAGE).write_text(_page(title, exported), encoding="utf-8")
    manifest = {"title": title, "recordings": [_about(one) for one in exported]}
    (part / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    sums = [f"{sha256(path)}  {path.name}\n" for path in sorted(part.iterdir())]
    (part / SUMS).write_text("".join(sums))
    keep.sync_folder(part)
    part.rename(into)
    return exported


def _write_seals(part: Path, root: Path, companies: Iterable[str], recordings: set[str]) -> None:
    """The lines of the chains that speak of these recordings: each is signed by itself, and can be checked with the key alone."""
    lines = [
        link.line()
        for company in sorted(companies)
        for path in chain_files(root / company)
        for link in links(path)
        if link.recording in recordings
    ]
    (part / SEALS).write_bytes(b"".join(lines))


def _about(one: Exported) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(one.facts)
    return facts | {
        "files": {"kept": one.kept, "listen": one.wav},
        "left": "собеседник",
        "right": "диспетчерская",
    }


def _page(title: str, exported: Iterable[Exported]) -> str:
    rows = "\n".join(
        f"<section><h2>{escape(one.facts.recording)}</h2>"
        f"<p>Начало: <time>{one.facts.started:%d.%m.%Y %H:%M:%S} UTC</time>, длина {one.facts.seconds:.1f} с.{_remark(one.facts)}</p>"
        f'<audio controls preload="none" src="{escape(one.wav)}"></audio>'
        f'<p><a href="{escape(one.kept)}" download>Файл в том виде, в каком он хранится</a>, '
        f"SHA-256 <code>{one.facts.content or one.facts.sha256}</code></p>"
        "</section>"
        for one in exported
    )
    return f"""<!doctype html>
<html lang="ru"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>
<style>
body{{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}}
audio{{width:100%}} code{{word-break:break-all}}
</style>
<h1>{escape(title)}</h1>
<p>Слева собеседник, справа диспетчерская. Целость файлов проверяется командой <code>sha256sum -c {SUMS}</code>;
подписи записей — в файле <a href="{SEALS}">{SEALS}</a>, открытый ключ — в <a href="{KEY}">{KEY}</a>.</p>
{rows}
</html>
"""


_REMARKS = {
    "missing": "одной из сторон в записи нет",
    "repaired": "запись оборвалась из-за сбоя и восстановлена",
    "short": "запись короче разговора",
    "silent": "в записи тишина",
}


def _remark(facts: Facts) -> str:
    remarks = ", ".join(_REMARKS.get(flaw, flaw) for flaw in facts.flaws)
    return f" Замечания: {escape(remarks)}." if remarks else ""
