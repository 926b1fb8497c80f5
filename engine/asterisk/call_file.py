"""An alarm call that Asterisk places by itself: an order laid into its spool. It needs nothing of us once it lies there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from engine.ports import Sound

CONTEXT = "dozvon-alarm"
RING_SECONDS = 30
TRIES = 2
"""After the first one."""
PAUSE_SECONDS = 30
_NUMBER = re.compile(r"\+?[0-9]{2,15}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")


@dataclass(frozen=True, slots=True)
class CallFiles:
    """`ports.AlarmCalls`. `spool` is Asterisk's own (with `outgoing/` and `tmp/` in it); `trunk` the one to ring through."""

    spool: Path
    trunk: str
    caller_id: str = ""

    async def order(self, name: str, number: str, sound: Sound | None) -> None:
        """See `ports.AlarmCalls.order`."""
        self.lay(name, number, sound)

    def lay(self, name: str, number: str, sound: Sound | None = None) -> None:
        """The same without a loop, for whoever finds that the loop stands still. Under one name there is one order at a time."""
        if not _NUMBER.fullmatch(number) or not _NAME.fullmatch(name):
            raise ValueError(f"an alarm call to {number!r} cannot be ordered: it is not a plain number")
        lines = [
            f"Channel: PJSIP/{number}@{self.trunk}",
            f"CallerID: {self.caller_id}" if _NUMBER.fullmatch(self.caller_id) else "",
            f"WaitTime: {RING_SECONDS}",
            f"MaxRetries: {TRIES}",
            f"RetryTime: {PAUSE_SECONDS}",
            f"Context: {CONTEXT}",
            "Extension: s",
            "Priority: 1",
            f"Setvar: ALARM={_file_of(sound)}",
        ]
        draft = self.spool / "tmp" / f"{name}.call"
        draft.write_text("\n".join(filter(None, lines)) + "\n")
        os.replace(draft, self.spool / "outgoing" / draft.name)  # Asterisk must not see half of it


def _file_of(sound: Sound | None) -> str:
    """The path that Playback wants, if it is a plain one."""
    path = (sound or "").removeprefix("sound:")
    return path if re.fullmatch(r"[\w./-]+", path) else ""
