"""`dozvon recordings …`: verify, export, hold, release, rekey; beside a running engine or without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import sqlalchemy as sa
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.cli.common import JSON, UNUSABLE, WRONG, complain, emit, settings_of, wait
from engine.config import Settings
from engine.domain.errors import DozvonError, NotKnown
from engine.recordings.archive import Archive
from engine.recordings.export import export as export_to
from engine.recordings.folder import RecordingFolder
from engine.recordings.rekey import rekey
from engine.recordings.seal import load_key, public_pem
from engine.recordings.verify import verify
from engine.store.store import Store
from engine.store.tables import recordings as rows
from engine.upkeep import KEY_FILE, recording_keys, recordings_away

Change = Callable[[Archive], None]

recordings = typer.Typer(
    help="Recordings: whether they are as they were, and what is to become of them.", no_args_is_help=True
)
app = typer.Typer()
app.add_typer(recordings, name="recordings")


@recordings.command("verify")
def verify_command(
    context: typer.Context,
    tickets: bool = typer.Option(True, help="Ask the database, too, which recordings there must be."),
    as_json: bool = JSON,
) -> None:
    """Name every recording that was changed, is missing or was added since it was sealed. Exits 1 if there is one."""
    settings = settings_of(context)
    key = _key(settings)
    known = wait(_known(settings)) if tickets else ()
    root = settings.recordings
    away = recordings_away(settings)
    ask = (lambda path: wait(away.remote_hash(path))) if away else None
    keys = recording_keys(settings)
    found = list(verify(root, key.public_key(), known, keys, ask)) if root.is_dir() else []
    wrong = [one for one in found if one.serious]
    lines = [f"{one}" if one.serious else f"{one} (замечание)" for one in found]
    lines.append(f"не так, как было запечатано: {len(wrong)}" if wrong else "все записи на месте и целы")
    told = [
        {"path": str(one.path), "line": one.line, "what": one.what, "serious": one.serious} for one in found
    ]
    emit({"wrong": len(wrong), "found": told}, as_json, "\n".join(lines))
    if wrong:
        raise typer.Exit(WRONG)


@recordings.command("export")
def export_command(
    context: typer.Context,
    into: Path = typer.Argument(help="A folder that does not exist yet."),
    recording: list[str] = typer.Option([], "--recording", help="A recording's id; may be given again."),
    ticket: list[int] = typer.Option(
        [], "--ticket", help="All of a ticket's recordings; may be given again."
    ),
    title: str = typer.Option("Записи разговоров", help="The heading of the page."),
    as_json: bool = JSON,
) -> None:
    """Write recordings for an inspector or a court: a folder that plays by itself, with the proof that nothing was changed."""
    settings = settings_of(context)
    key = _key(settings)

    async def work() -> Sequence[str]:
        wanted = [*recording, *(await _of_tickets(settings, ticket))]
        if not wanted:
            raise NotKnown("назовите запись (--recording) или заявку, у которой есть записи (--ticket)")
        away, keys = recordings_away(settings), recording_keys(settings)
        folder = RecordingFolder(settings.recordings, keys=keys, away=away)
        async with folder.open(tidy=False):
            pem = public_pem(key.public_key())
            done = await export_to(folder, settings.recordings, wanted, into, pem, title)
        return [one.facts.recording for one in done]

    try:
        exported = wait(work())
    except (DozvonError, FileExistsError, ValueError) as error:
        complain(str(error))
        raise typer.Exit(UNUSABLE) from error
    emit({"folder": str(into), "recordings": exported}, as_json, f"записей: {len(exported)}, папка {into}")


@recordings.command()
def hold(
    context: typer.Context,
    recording: str,
    reason: str = typer.Option(help="Why it must be kept: the number of the case."),
    by: str = typer.Option(help="Who says so."),
    as_json: bool = JSON,
) -> None:
    """Keep a recording whatever its age, until it is released."""
    _change(context, recording, as_json, lambda archive: archive.hold(recording, by, reason), "удержана")


@recordings.command()
def release(
    context: typer.Context,
    recording: str,
    reason: str = typer.Option(help="Why it need not be kept any more."),
    by: str = typer.Option(help="Who says so."),
    as_json: bool = JSON,
) -> None:
    """End the hold of a recording: it is erased when its time is over."""
    _change(context, recording, as_json, lambda archive: archive.release(recording, by, reason), "отпущена")


@recordings.command("rekey")
def rekey_command(context: typer.Context, company: str, as_json: bool = JSON) -> None:
    """Give a company a new key. Its recordings are not written anew: only their wrapped keys are."""
    settings = settings_of(context)
    done = rekey(settings.recordings, company, recording_keys(settings))
    told = {"key": done.key, "recordings": done.recordings, "failed": [str(path) for path in done.failed]}
    emit(told, as_json, f"новый ключ {done.key}, записей под ним: {done.recordings}")
    for path in done.failed:
        complain(f"{path}: прежний ключ не подходит или утрачен, запись осталась под ним")
    if done.failed:
        raise typer.Exit(WRONG)


def _change(context: typer.Context, recording: str, as_json: bool, change: Change, done: str) -> None:
    settings = settings_of(context)
    try:
        change(Archive(settings.recordings, _key(settings)))
    except (NotKnown, ValueError) as error:
        complain(f"{recording}: {error}")
        raise typer.Exit(UNUSABLE) from error
    emit({"recording": recording}, as_json, f"запись {recording} {done}")


def _key(settings: Settings) -> Ed25519PrivateKey:
    path = settings.inside(KEY_FILE)
    if not path.exists():
        complain(f"{path}: нет ключа, которым запечатывают записи; он появится при первом запуске dozvon run")
        raise typer.Exit(UNUSABLE)
    return load_key(path)


async def _known(settings: Settings) -> Sequence[str]:
    """The recordings that tickets have. One that is said to be missing was never there."""
    async with Store.open(settings.database, guest=True) as store:
        return [row.id for row in await store.read.rows(sa.select(rows.c.id).where(rows.c.seconds > 0))]


async def _of_tickets(settings: Settings, tickets: Sequence[int]) -> Sequence[str]:
    if not tickets:
        return ()
    async with Store.open(settings.database, guest=True) as store:
        found = [row for number in tickets for row in await store.read.recordings_of(number)]
    return [row.id for row in found if row.seconds > 0]
