"""An export plays by itself and proves itself, with nothing but common tools."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import pytest

from engine.domain.errors import NotKnown
from engine.recordings.archive import Archive
from engine.recordings.export import export
from engine.recordings.folder import RecordingFolder
from engine.recordings.seal import Link, load_key, load_public_key, public_pem
from tests.fakes.legs import tone, write_leg


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kept"


async def test_an_export_plays_and_proves_itself(root: Path, tmp_path: Path) -> None:
    key = load_key(tmp_path / "key.pem")
    into = tmp_path / "дело 17"
    async with RecordingFolder(root, archive=Archive(root, key)).open() as folder:
        for call in ("a", "b", "other"):
            write_leg(root / "live", call, "in", tone(300, 1.0))
            write_leg(root / "live", call, "out", tone(700, 1.0))
            await folder.finish("demo", call, 2.0 if call == "b" else 1.0)
        exported = await export(folder, root, ["a", "b"], into, public_pem(key.public_key()), "Дело <17>")
        assert [one.facts.recording for one in exported] == ["a", "b"]
        with pytest.raises(FileExistsError):
            await export(folder, root, ["a"], into, b"", "ещё раз")
        with pytest.raises(NotKnown):
            await export(folder, root, ["a", "unknown"], tmp_path / "none", b"", "нет такой")
    assert not (tmp_path / "none").exists()
    assert not list(tmp_path.glob(".*.part"))

    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=into, capture_output=True, text=True, check=True
    )
    assert "a.listen.wav: OK" in checked.stdout
    with wave.open(str(into / "a.listen.wav")) as file:
        assert (file.getnchannels(), file.getnframes()) == (2, 8000)
    page = (into / "index.html").read_text()
    assert "Дело &lt;17&gt;" in page
    assert 'src="b.listen.wav"' in page
    assert "запись короче разговора" in page
    public = load_public_key((into / "key.pub").read_bytes())
    seals = [Link.read(line) for line in (into / "seals.jsonl").read_bytes().splitlines()]
    assert [seal.recording for seal in seals] == ["a", "b"]
    assert all(seal.signed_by(public) for seal in seals)
