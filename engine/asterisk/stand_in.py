"""What the dialplan's fallback leaves behind (dialplans/fallback.conf.j2), and the numbers that it rings: `ports.StandIn`."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from engine.domain.errors import VoiceFailed
from engine.domain.wording import FALLBACK
from engine.ports import StoodInCall, StoodInLeg, Voice

log = structlog.get_logger()

COMPANIES, NUMBERS = "dozvon/company", "dozvon/fallback"
"""Families of Asterisk's own database: DID → company, and DID/1, DID/2, … → number."""
MOST_NUMBERS = 20
"""As many as the dialplan tries in one round."""
GIVEN_UP_SECONDS = 1800.0
"""Notes without an end that are older than this belong to a call that Asterisk did not live to finish."""
SUFFIX = ".fallback"
_ID = re.compile(r"[A-Za-z0-9._-]+")

PutDb = Callable[[str, str, str], Awaitable[object]]
DeleteDb = Callable[[str, str], Awaitable[object]]


class AsteriskStandIn:
    """Reads the notes in `live_dir`; keeps the numbers in Asterisk's own database with `put(family, key, value)` and `delete`.

    With a `voice` it also lays what the dialplan says into `sounds_dir`; without one Asterisk's own prompts serve.
    """

    def __init__(
        self,
        live_dir: Path,
        put: PutDb,
        delete: DeleteDb,
        sounds_dir: Path | None = None,
        voice: Voice | None = None,
    ) -> None:
        self._live_dir, self._put, self._delete = live_dir, put, delete
        self._sounds_dir, self._voice = sounds_dir, voice
        self._kept: dict[str, tuple[str, ...]] = {}
        self._spoken = voice is None

    async def calls(self) -> Sequence[StoodInCall]:
        """See `ports.StandIn.calls`. Notes that cannot be read are logged and left where they are."""
        return await asyncio.to_thread(self._read_all)

    async def forget(self, call: str) -> None:
        """See `ports.StandIn.forget`."""
        if _ID.fullmatch(call):  # the message is in the recording of the call as well
            for name in (f"{call}-message.wav", f"{call}{SUFFIX}.accepted", f"{call}{SUFFIX}"):
                (self._live_dir / name).unlink(missing_ok=True)

    async def keep(self, did: str, company: str, numbers: Sequence[str]) -> None:
        """See `ports.StandIn.keep`. Written only when it changes, and again after `forget_kept`."""
        await self._speak()
        wanted = (company, *numbers[:MOST_NUMBERS])
        if self._kept.get(did) == wanted:
            return
        self._kept.pop(did, None)
        await self._put(COMPANIES, did, company)
        family = f"{NUMBERS}/{did}"
        for key, number in enumerate(wanted[1:], start=1):
            await self._put(family, str(key), number)
        await self._delete(family, str(len(wanted)))  # the dialplan stops at the first key that is not there
        self._kept[did] = wanted

    def forget_kept(self) -> None:
        """Asterisk was restarted, perhaps killed in the midst of a write: tell it everything again."""
        self._kept.clear()

    async def _speak(self) -> None:
        """Lay the dialplan's sentences where it looks for them, once. A voice that fails now is asked again the next time."""
        if self._spoken or self._voice is None or self._sounds_dir is None:
            return
        try:
            for name, words in FALLBACK.items():
                sound = await self._voice.speak(words)
                await asyncio.to_thread(_lay, Path(sound.removeprefix("sound:")), self._sounds_dir / name)
        except (VoiceFailed, OSError) as error:
            log.warning("the dialplan cannot be given its sentences yet", reason=str(error))
            return
        self._spoken = True

    def _read_all(self) -> list[StoodInCall]:
        found = []
        for path in self._live_dir.glob(f"*{SUFFIX}"):
            try:
                call = self._read(path)
            except (OSError, ValueError, KeyError) as error:
                log.error(
                    "the notes of a call without the engine cannot be read", file=path.name, error=repr(error)
                )
                continue
            if call is not None:
                found.append(call)
        return sorted(found, key=lambda call: call.started)

    def _read(self, path: Path) -> StoodInCall | None:
        """The call behind the notes; None while it goes on. A disk that was full for a while may have swallowed any of them."""
        touched = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        lines = [line.partition("=") for line in path.read_text(errors="replace").splitlines()]
        notes: dict[str, list[str]] = {}
        for key, _, value in lines:
            notes.setdefault(key, []).append(value)
        if "ended" not in notes and (datetime.now(UTC) - touched).total_seconds() < GIVEN_UP_SECONDS:
            return None
        ended = _instant(notes["ended"][-1]) if "ended" in notes else touched
        known = next((notes[key][0] for key in ("started", "leg_at", "left_at") if key in notes), None)
        accepted = notes.get("accepted", [])
        with suppress(OSError):
            accepted = accepted or [path.with_name(path.name + ".accepted").read_text().strip()]
        return StoodInCall(
            id=path.name.removesuffix(SUFFIX),
            did=notes.get("did", [""])[0],
            caller=notes.get("caller", [""])[0] or None,
            started=_instant(known) if known else ended,
            ended=ended,
            spoke=any(key in notes for key in ("message", "rang"))
            or "call" not in notes,  # when in doubt, yes
            rang=tuple(dict.fromkeys(notes.get("rang", []))),
            accepted_by=accepted[0] if accepted else None,
            legs=tuple(_legs([(key, value) for key, _, value in lines], ended)),
        )


def _legs(lines: Sequence[tuple[str, str]], ended: datetime) -> Iterator[StoodInLeg]:
    """The phones that were picked up, in the order of the notes: `rang`, then `leg` and `leg_at`, then `left_at`, if it came to that."""
    number, leg, begun = "", None, None
    for key, value in (*lines, ("left_at", str(ended.timestamp()))):
        match key:
            case "rang":
                number = value
            case "leg":
                leg = value
            case "leg_at":
                begun = _instant(value)
            case "left_at" if leg is not None and begun is not None:
                yield StoodInLeg(leg, number, begun, _instant(value))
                leg = begun = None


def _instant(seconds: str) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)


def _lay(sound: Path, into: Path) -> None:
    """Copy a sound, in one step as Asterisk sees it."""
    part = into.with_name(f".{into.name}.part")
    shutil.copyfile(sound.with_name(f"{sound.name}.wav"), part)
    part.replace(into.with_name(f"{into.name}.wav"))
