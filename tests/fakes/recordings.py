"""A folder of recordings without files: a test says what was recorded, and reads what was kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.ports import Aged, Gap, Kept


@dataclass
class FakeRecordings:
    """Fulfils `engine.ports.Recordings`. `legs` is what lies on disk (call → seconds), `kept` what was finished (call → Kept).

    With `always`, any call has legs: exactly as long as it was up.
    """

    always: bool = False
    legs: dict[str, float] = field(default_factory=dict)
    writing: set[str] = field(default_factory=set)
    kept: dict[str, Kept] = field(default_factory=dict)
    company_of: dict[str, str] = field(default_factory=dict)
    gaps: dict[str, tuple[Gap, ...]] = field(default_factory=dict)
    began: dict[str, datetime] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    erased: dict[str, str] = field(default_factory=dict)
    """What was erased, and why."""
    full: bool = False
    """The disk is full: what is recorded stays, nothing can be joined."""

    def record(self, call: str, seconds: float) -> None:
        """The dialplan recorded this call."""
        self.legs[call] = seconds

    async def finish(
        self, company: str, call: str, seconds: float | None, gaps: Sequence[Gap] = ()
    ) -> Kept | None:
        if call not in self.kept:
            if self.always:
                self.legs.setdefault(call, seconds or 0.0)
            if call not in self.legs:
                return None
            if call in self.writing:
                raise TimeoutError(f"{call} is still being written")
            if self.full:
                raise OSError(28, "No space left on device")
            there = self.legs[call]
            short = seconds is not None and there < seconds - 0.3
            flaw = "missing" if not there else "short" if short else None
            self.kept[call] = Kept(call, there, flaw, self.began.get(call), company or None)
            self.company_of[call] = company
            self.gaps[call] = tuple(gaps)
        self.legs.pop(call, None)
        return self.kept[call]

    async def orphans(self) -> Sequence[str]:
        return [call for call in self.legs if call not in self.writing]

    async def older_than(self, company: str, before: datetime) -> Sequence[Aged]:
        old = [(at, call) for call, at in self.began.items() if at < before and call not in self.held]
        return [
            Aged(call, call.partition("@")[0], at)
            for at, call in sorted(old)
            if self.company_of[call] == company
        ]

    async def erase(self, recording: str, by: str, reason: str) -> None:
        if recording in self.held:
            raise ValueError(f"{recording} is on hold")
        self.erased[recording] = reason
        del self.kept[recording], self.began[recording]
