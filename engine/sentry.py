"""A thread that watches the engine's loop. When the loop stands still it alarms without it, says where it stands, and ends the process.

Whoever started the engine (`dozvon up`, systemd) starts it again, and every walk goes on from its timeline. A loop that stands still
rings nobody, so an end is the mend.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from engine.asterisk.call_file import CallFiles
from engine.domain.company import Company
from engine.domain.wording import alarm_words
from engine.flows.watch.alarm import addressees
from engine.hooks.signing import headers
from engine.ports import Sound

log = structlog.get_logger()

LOOK_SECONDS = 0.5
STALLED_SECONDS = 6.0
"""The watchdog beats every two seconds; a loop that is late by so much is not merely busy."""
HOPELESS_SECONDS = 20.0
FROZEN_SECONDS = 3.0
HOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Addressees:
    """Whom to alarm when nothing of the engine works: numbers to ring, webhooks to post to."""

    numbers: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    @classmethod
    def of(cls, companies: Sequence[Company], now: datetime) -> Addressees:
        """Those whom the companies' policies name for alarms."""
        numbers: dict[str, None] = {}
        hooks: dict[str, None] = {}
        for company in companies:
            people, names = addressees(company, now)
            numbers.update((callee.numbers[0], None) for callee in people)
            hooks.update((company.webhooks[name], None) for name in names)
        return cls(tuple(numbers), tuple(hooks))

    @classmethod
    def read(cls, file: Path) -> Addressees:
        """As an engine left them; nobody if there is nothing to be read."""
        try:
            kept = json.loads(file.read_text())
            return cls(tuple(kept["numbers"]), tuple(kept["hooks"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, file: Path) -> None:
        """Leave them for whoever watches the engine from outside."""
        fresh = file.with_name(f".{file.name}")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(file)


def kill_ourselves() -> None:
    """End at once, as a crash would: nothing that stands still could be ended in order."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(eq=False)
class Sentry:
    """`with sentry.on_watch():` around the engine's life; call `beat` from the loop. `heart` is a file whose age the supervisor sees."""

    calls: CallFiles
    secret: str = field(repr=False)
    heart: Path
    end: Callable[[], None] = kill_ourselves
    stalled_seconds: float = STALLED_SECONDS
    hopeless_seconds: float = HOPELESS_SECONDS
    addressees: Addressees = Addressees()
    """Kept fresh by the engine while it can."""
    sound: Sound | None = None
    _beat_at: float = field(default_factory=time.monotonic, init=False)
    _off: threading.Event = field(default_factory=threading.Event, init=False)

    def beat(self) -> None:
        """The loop turns."""
        self._beat_at = time.monotonic()
        self.heart.touch(mode=0o600)

    @contextmanager
    def on_watch(self) -> Iterator[Sentry]:
        """Watch while the block lasts."""
        self.beat()
        thread = threading.Thread(target=self._watch, name="sentry", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._off.set()
            thread.join()
            self.heart.unlink(missing_ok=True)

    def _watch(self) -> None:
        alarmed, looked_at = False, time.monotonic()
        while not self._off.wait(LOOK_SECONDS):
            slept, looked_at = time.monotonic() - looked_at, time.monotonic()
            if slept > FROZEN_SECONDS:  # the whole process stood still, not the loop alone: let it catch up
                self._beat_at = looked_at
            still = looked_at - self._beat_at
            if still < self.stalled_seconds:
                alarmed = False
                continue
            if not alarmed:
                alarmed = True
                log.critical("the engine's loop stands still", seconds=round(still, 1))
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                self.alarm(f"{still:.0f} с")
            if still >= self.hopeless_seconds:
                log.critical("the engine ends itself, to be started again")
                self.end()

    def alarm(self, detail: str) -> None:
        """Tell everybody, one way after the other; what fails is logged and stops nothing."""
        tell("loop_stalled", detail, self.addressees, self.calls, self.secret, self.sound)


def tell(
    reason: str,
    detail: str,
    addressees: Addressees,
    calls: CallFiles | None,
    secret: str,
    sound: Sound | None = None,
) -> None:
    """An alarm without any loop: webhooks by a plain request, phones by orders in Asterisk's spool."""
    now = datetime.now(UTC)
    name = f"alarm-{reason.replace('_', '-')}-{int(now.timestamp())}"
    told: dict[str, object] = {"id": name, "type": "InstallationAlarm", "at": now.isoformat()}
    body = json.dumps(
        {**told, "reason": reason, "text": alarm_words(reason, None, detail)}, ensure_ascii=False
    )
    for number in addressees.numbers if calls is not None else ():
        try:
            assert calls is not None
            calls.lay(f"{name}-{number.lstrip('+')}", number, sound)
        except (OSError, ValueError) as error:
            log.error("an alarm call could not be ordered", error=str(error))
    for url in addressees.hooks:
        try:
            _post(url, secret, body.encode(), name)
        except (OSError, ValueError) as error:
            log.error("an alarm did not reach a webhook", error=str(error))


def _post(url: str, secret: str, body: bytes, name: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise ValueError("a webhook's address begins with http:// or https://")
    signed = headers(secret, int(time.time()), body, "InstallationAlarm", name)
    request = urllib.request.Request(url, data=body, headers=signed, method="POST")  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=HOOK_SECONDS) as answer:  # noqa: S310
        answer.read(1)
