"""`dozvon recordings …`, as it is typed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from engine.cli import app
from engine.domain.company import Keeping
from engine.domain.events import CallStarted, RecordingAttached, TicketOpened
from engine.domain.model import CallKind
from engine.recordings.archive import Archive
from engine.recordings.crypt import KeyRing
from engine.recordings.folder import RecordingFolder
from engine.recordings.seal import load_key
from engine.store.store import Store
from tests.fakes.legs import tone, write_leg
from tests.unit.test_recordings_filing import NOW


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with two recordings of one ticket, the second encrypted."""
    folder = tmp_path / "var"
    monkeypatch.setenv("DOZVON_DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    asyncio.run(prepare(folder))
    return folder


async def prepare(data: Path) -> None:
    data.mkdir()
    root = data / "recordings"
    archive = Archive(root, load_key(data / "recordings.pem"))
    keys = KeyRing(data / "recording-keys")
    wanted = Keeping()
    folder = RecordingFolder(root, form="wav", archive=archive, keys=keys, rules=lambda company: wanted)
    async with Store.open(f"sqlite+aiosqlite:///{data / 'dozvon.sqlite'}") as store, folder.open():
        ticket = await store.open_ticket([TicketOpened(at=NOW, company="demo", channel="phone")])
        for call in ("a", "b"):
            wanted = Keeping(encrypt=call == "b")
            for side in ("in", "out"):
                write_leg(root / "live", call, side, tone(300, 1.0))
            kept = await folder.finish("demo", call, 1.0)
            assert kept is not None
            await store.append(
                ticket,
                [
                    CallStarted(at=NOW, call=call, kind=CallKind.RESIDENT),
                    RecordingAttached(at=NOW, recording=call, call=call, seconds=kept.seconds),
                ],
            )
        lost = RecordingAttached(at=NOW, recording="c", call="c", seconds=0.0, flaw="missing")
        await store.append(ticket, [CallStarted(at=NOW, call="c", kind=CallKind.RESIDENT), lost])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["recordings", *arguments])


def test_verify_names_what_is_wrong(data: Path) -> None:
    assert run("verify").exit_code == 0
    (sound,) = data.rglob("a.wav")
    whole = sound.read_bytes()
    sound.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])  # one flipped bit
    done = run("verify", "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert said["wrong"] == 1
    assert said["found"][0]["path"].endswith("a.wav")
    assert said["found"][0]["what"] == "содержимое файла изменено"
    for path in sound.parent.glob("a.*"):
        path.unlink()
    chain = sound.with_name("chain.jsonl")
    lines = chain.read_bytes().splitlines(keepends=True)
    chain.write_bytes(lines[1])  # the recording, and its line of the journal
    said = json.loads(run("verify", "--json").stdout)
    assert any("числится в заявке" in one["what"] for one in said["found"])


def test_recordings_older_than_the_seal_are_no_forgery(data: Path) -> None:
    (chain,) = data.rglob("chain.jsonl")
    chain.unlink()
    done = run("verify")
    assert done.exit_code == 0
    assert "записей без печати: 2" in done.stdout
    Archive(data / "recordings", load_key(data / "recordings.pem")).seal_earlier()
    assert "все записи на месте и целы" in run("verify").stdout


def test_export_of_a_ticket(data: Path, tmp_path: Path) -> None:
    done = run("export", str(tmp_path / "out"), "--ticket", "1001")
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"a.wav", "b.wav", "index.html", "manifest.json", "key.pub"} <= names
    assert (tmp_path / "out/b.wav").read_bytes()[:4] == b"RIFF", "it is still encrypted"
    assert run("export", str(tmp_path / "out"), "--ticket", "1001").exit_code == 2
    assert run("export", str(tmp_path / "none"), "--recording", "unknown").exit_code == 2
    assert run("export", str(tmp_path / "none")).exit_code == 2


def test_hold_release_and_a_new_key(data: Path) -> None:
    assert run("hold", "a", "--reason", "дело 2-17/2026", "--by", "юрист").exit_code == 0
    assert run("release", "a", "--reason", "закрыто", "--by", "юрист").exit_code == 0
    assert run("hold", "unknown", "--reason", "дело", "--by", "юрист").exit_code == 2
    done = run("rekey", "demo", "--json")
    assert json.loads(done.stdout)["recordings"] == 1
    assert run("verify").exit_code == 0
    for keys in (data / "recording-keys").iterdir():
        keys.unlink()
    assert "ключ утрачен" in run("verify").stdout
    assert run("rekey", "demo").exit_code == 1
