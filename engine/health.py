"""The state of each component: for `/readyz`, and for the watchdog's questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from engine.asterisk.ami import Ami, AmiAway, AmiFailed
from engine.asterisk.ari.client import AriClient
from engine.asterisk.ari.errors import AriError
from engine.console.deps import Component
from engine.files.watch import Companies
from engine.flows.texts.texting import Post
from engine.flows.watch.alarm import Alarms
from engine.flows.watch.watchdog import Probe
from engine.speech.voice import SpokenVoice
from engine.upkeep import Upkeep

log = structlog.get_logger()

SMS_STUCK_SECONDS = 30.0


class Health:
    """The state of each component, for `/readyz`."""

    def __init__(
        self,
        ari: AriClient,
        ami: Ami,
        voice: SpokenVoice,
        folders: Companies,
        alarms: Alarms,
        post: Post | None,
        recordings: Callable[[], Mapping[str, Component]],
    ) -> None:
        self._ari, self._ami, self._voice, self._folders, self._alarms = ari, ami, voice, folders, alarms
        self._post, self._recordings = post, recordings

    async def __call__(self) -> Mapping[str, Component]:
        """By name; `asterisk` and `store` are essential."""
        return {
            "asterisk": await self._asterisk(),
            "store": Component(True, "open"),
            "ami": self._manager(),
            "watchdog": self._watchdog(),
            "companies": self._companies(),
            "speech": self._speech(),
            "sms": self._sms(),
            **self._recordings(),
        }

    def _sms(self) -> Component:
        if self._post is None:
            return Component(False, "log", "no SMS gateway is configured: texts go to the log")
        health = self._post.health
        wrong = [f"{name}: {problem}" for name, problem in health.providers.items() if problem]
        if health.oldest_seconds >= SMS_STUCK_SECONDS:
            wrong.insert(0, f"urgent texts wait for {health.oldest_seconds:.0f} s: {health.problem}")
        working = len(health.providers) > len(wrong) and health.oldest_seconds < SMS_STUCK_SECONDS
        state = "up" if not wrong else "limping" if working else "failing"
        return Component(working, state, "; ".join(wrong) or f"{health.waiting} waiting")

    async def _asterisk(self) -> Component:
        if not self._ari.connected:
            return Component(False, "away", "Asterisk cannot be reached over ARI")
        try:
            await self._ari.asterisk.ping()
        except AriError as error:
            return Component(False, "failing", str(error))
        return Component(True, "connected")

    def _manager(self) -> Component:
        health = self._ami.health
        return Component(
            health.connected, "connected" if health.connected else "away", health.problem or None
        )

    def _watchdog(self) -> Component:
        standing = self._alarms.standing
        if not standing:
            return Component(True, "quiet")
        told = (f"{reason} since {one.since:%H:%M:%S} UTC: {one.detail}" for reason, one in standing.items())
        return Component(False, "alarm", "; ".join(told))

    def _companies(self) -> Component:
        loaded = self._folders()
        if not loaded:
            return Component(False, "none", "no company is loaded: dozvon import DIR")
        outdated = ", ".join(self._folders.outdated)
        detail = f"{outdated}: the files have mistakes, the last good ones are in force: dozvon check"
        return Component(True, f"{len(loaded)} loaded", detail if outdated else None)

    def _speech(self) -> Component:
        names = self._voice.engines()
        if not names:
            return Component(False, "missing", "no speech synthesis: run `make voices`")
        return Component(True, names[0])


def probes(ami: Ami, trunks: Sequence[str], upkeep: Upkeep, post: Post | None) -> Mapping[str, Probe]:
    """What the watchdog asks besides: the manager, whether the trunks' far ends answer, the disk, and whether texts get away."""

    async def manager() -> str | None:
        return None if ami.health.connected else ami.health.problem or "не отвечает"

    async def reachable() -> str | None:
        try:
            known = await ami.trunks(trunks)
        except (AmiAway, AmiFailed):
            return None  # that is the manager's alarm
        dead = [name for name, found in known.items() if found is None or not found.reachable]
        return ", ".join(dead) or None

    async def texts() -> str | None:
        return post.stuck if post is not None else None

    return {
        "disk_full": upkeep.probe,
        "manager_away": manager,
        "trunk_unreachable": reachable,
        "sms_stuck": texts,
    }
