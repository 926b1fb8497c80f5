"""What keeps the recordings: the folder with its keys as the settings say, the look at the disks, filing what was left over, letting go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from engine.asterisk.ami import AmiFailed
from engine.config import Settings
from engine.console.deps import Component
from engine.domain.company import Company, Keeping
from engine.domain.errors import DozvonError, TelephonyAway
from engine.flows.deps import Deps
from engine.flows.records import filing, keeping
from engine.flows.records.filing import Strays
from engine.jobs import quietly
from engine.ports import Companies, Muting
from engine.recordings.archive import Archive
from engine.recordings.crypt import KeyRing
from engine.recordings.disk import Disk, Level, Room
from engine.recordings.folder import RecordingFolder
from engine.recordings.seal import load_key

if TYPE_CHECKING:
    from engine.recordings.away import Away

log = structlog.get_logger()

DISK_EVERY_SECONDS = 10
TIDY_EVERY_SECONDS = 30
TELL_EVERY_SECONDS = 60.0
LET_GO_AT_HOUR = 3
"""Local time of the server: when few people call."""
KEY_FILE, KEYS_FOLDER = "recordings.pem", "recording-keys"
NO_RECORDING = ("dozvon/recording", "off")
"""Where the dialplan looks whether to record (family and key of Asterisk's own database)."""
MEGABYTE, GIGABYTE = 1024**2, 1024**3

Tell = Callable[[str, str, str], Awaitable[object]]
"""Writes into Asterisk's own database: family, key, value."""


def recording_keys(settings: Settings) -> KeyRing:
    """The companies' keys."""
    return KeyRing(settings.inside(KEYS_FOLDER))


def recordings_away(settings: Settings) -> Away | None:
    """The store that holds copies of the recordings, if there is to be one."""
    s3 = settings.recording.s3
    if s3.bucket is None:
        return None
    from engine.recordings.away import Away, s3_store  # its library is loaded where it is wanted

    store = s3_store(
        s3.bucket,
        endpoint=s3.endpoint,
        region=s3.region,
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        prefix=s3.prefix,
    )
    return Away(settings.recordings, store, s3.keep_local_for)


@asynccontextmanager
async def recording_folder(settings: Settings, companies: Companies) -> AsyncIterator[RecordingFolder]:
    """The folder of recordings, open, as the installation and its companies want it."""
    key = await asyncio.to_thread(load_key, settings.inside(KEY_FILE))
    archive = Archive(settings.recordings, key)

    def rules(company: str) -> Keeping:
        found: Company | None = next((one for one in companies() if one.id == company), None)
        return found.recordings if found else Keeping()

    away = recordings_away(settings)
    folder = RecordingFolder(
        settings.recordings,
        form=settings.recording.form,
        processes=settings.recording.workers,
        archive=archive,
        keys=recording_keys(settings),
        rules=rules,
        away=away,
    )
    async with folder.open():
        late = await asyncio.to_thread(archive.seal_earlier)
        if late:
            log.warning("recordings that were kept before there was a seal are sealed now", count=late)
        copying = asyncio.create_task(away.run() if away else _nothing(), name="recordings away")
        try:
            yield folder
        finally:
            copying.cancel()
            await asyncio.wait({copying})


async def _nothing() -> None:
    return


def _apart(settings: Settings) -> bool:
    """Whether recordings and data lie on different disks."""
    return settings.recordings.stat().st_dev != settings.inside().stat().st_dev


class Upkeep:
    """The recordings' regular work. `tell` reaches the dialplan."""

    def __init__(
        self, settings: Settings, deps: Deps, folder: RecordingFolder, muting: Muting, tell: Tell
    ) -> None:
        self._deps, self._folder, self._muting, self._tell = deps, folder, muting, tell
        part = settings.recording
        watch = partial(Disk, reserve=part.reserve_mb * MEGABYTE, low=part.warn_below_mb * MEGABYTE)
        self._disk = watch(settings.recordings, make_room=folder.make_room)
        self._others = [watch(settings.inside())] if _apart(settings) else []
        """The disk of the database and of Asterisk's tree, if that is another one."""
        self._room: Room | None = None
        self._strays: Strays = {}
        self._recording: bool | None = None
        self._told = 0.0

    async def look(self) -> None:
        """At the disk; when even the reserve is being used up, calls go on without being recorded, and everybody is told."""
        room = await self._disk.check()
        rooms = [room, *[await disk.check() for disk in self._others]]
        self._room = max(rooms, key=lambda one: list(Level).index(one.level))
        await self._switch(room.level is not Level.LAST, room.free)

    async def _switch(self, recording: bool, free: int) -> None:
        """Tell the dialplan; again and again, for an Asterisk that is killed forgets the last thing it was told."""
        now = time.monotonic()
        if recording is self._recording and now - self._told < TELL_EVERY_SECONDS:
            return
        try:
            await self._tell(*NO_RECORDING, "0" if recording else "1")
        except (DozvonError, AmiFailed) as error:
            log.warning("the dialplan cannot be told whether to record", reason=str(error))
            return
        if not recording and self._recording is not False:
            log.critical("calls are not recorded any more: the disk is full", free=free)
        elif recording and self._recording is False:
            log.warning("calls are recorded again", free=free)
        self._recording, self._told = recording, now

    async def tidy(self) -> None:
        """File what was left over, and let go of what was made for listeners."""
        with suppress(TelephonyAway):
            alive = await self._deps.phone.alive()
            await filing.tidy_recordings(alive, self._deps, self._strays)
            await keeping.keep_pauses(self._deps, self._muting)
        await asyncio.to_thread(self._folder.tidy)

    async def let_go(self) -> None:
        """Erase what has been kept for long enough."""
        if erased := await keeping.let_go(self._deps):
            log.info("recordings were erased, their time is over", count=erased)

    async def probe(self) -> str | None:
        """For the watchdog: what is wrong with the disk. (That room gets low is not yet an alarm: the log and `/readyz` say so.)"""
        room = self._room
        if room is None or room.level in (Level.OK, Level.LOW):
            return None
        left = f"осталось {room.free / GIGABYTE:.1f} ГБ"
        return f"{left}, разговоры не записываются" if self._recording is False else left

    def components(self) -> Mapping[str, Component]:
        """For `/readyz`."""
        return {"disk": self._disk_component(), "recordings": self._recordings_component()}

    def _disk_component(self) -> Component:
        room = self._room
        if room is None:
            return Component(True, "unknown", "not looked at yet")
        left = f"{room.free / GIGABYTE:.1f} GB of {room.total / GIGABYTE:.1f} GB are free"
        advice = None if room.level is Level.OK else f"{left}: free some, or move the recordings"
        return Component(room.level in (Level.OK, Level.LOW), str(room.level), advice)

    def _recordings_component(self) -> Component:
        waiting, strays = self._folder.backlog, len(self._strays)
        detail = f"{strays} belong to no known call" if strays else None
        if (away := self._folder.away) is not None and away.problem:
            detail = f"{away.waiting} wait for the store: {away.problem}"
        if self._recording is False:
            return Component(False, "off", "calls are not recorded: the disk is full")
        return Component(True, f"{waiting} waiting" if waiting else "up to date", detail)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Do all that from time to time while the block lasts."""
        scheduler = AsyncIOScheduler(timezone=UTC)
        now = datetime.now(UTC)
        soon = {"coalesce": True, "max_instances": 1, "next_run_time": now}
        later = {
            "coalesce": True,
            "max_instances": 1,
            "next_run_time": now + timedelta(seconds=TIDY_EVERY_SECONDS),
        }
        scheduler.add_job(quietly(self.look), "interval", seconds=DISK_EVERY_SECONDS, name="disk", **soon)
        scheduler.add_job(
            quietly(self.tidy), "interval", seconds=TIDY_EVERY_SECONDS, name="recordings", **later
        )
        scheduler.add_job(
            quietly(self.let_go), "cron", hour=LET_GO_AT_HOUR, name="retention", max_instances=1
        )
        scheduler.start()
        try:
            yield
        finally:
            scheduler.shutdown(wait=False)
