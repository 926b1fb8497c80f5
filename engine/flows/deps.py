"""What every flow is given: the ports, the companies as they are now, and a few knobs. Built once, in `app`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from engine.domain.company import Company
from engine.domain.errors import NotKnown
from engine.domain.texts import USUAL_RULES, TextRules
from engine.flows.residents.board import Board
from engine.flows.residents.callers import Callers
from engine.flows.staff.absences import Absences
from engine.flows.staff.gate import Gates
from engine.flows.staff.lobby import Lobby
from engine.flows.watch.deadlines import Deadlines
from engine.ports import AlarmCalls, Clock, Companies, Hooks, Recordings, Store, Telephony, Texts, Voice

if TYPE_CHECKING:
    from engine.flows.conversation import Conversation
    from engine.flows.hotline import Call
    from engine.ports import Leg

ACCEPT_KEYS = "56789"
"""The keys of which one is drawn for each robocall: none that the menu uses, and not 1, which machines and pockets press."""

FAILPOINTS = (
    "hotline.ticket_opened",
    "hotline.answered",
    "hotline.announced",
    "hotline.classified",
    "hotline.asked",
    "hotline.joined",
    "hotline.number_told",
    "hotline.ended",
    "walker.decided",
    "walker.committed",
    "walker.acted",
    "dialout.answered",
    "dialout.key_drawn",
    "dialout.key_pressed",
    "dialout.accepted",
    "dialout.ended",
    "filing.kept",
    "texting.sent",
)
"""Where a flow can be killed: between any two of its effects."""


def draw_accept_key() -> str:
    """A key that no voicemail, IVR or pocket can foresee."""
    return secrets.choice(ACCEPT_KEYS)


class Operators(Protocol):
    """The operators' side of the hotline."""

    async def serve(self, talk: Conversation, call: Call) -> bool:
        """Find an operator for the caller; True once they have spoken. Raises `HungUp` when the caller is gone."""
        ...

    def on_duty(self, company: Company, did: str | None) -> bool:
        """Whether somebody is signed in who could serve a call on that line."""
        ...

    async def resume(self, leg: Leg) -> bool:
        """Take up a caller whom an earlier engine had connected with an operator. False: they were not."""
        ...

    async def consult(self, talk: Conversation, ticket: int, company: Company) -> bool:
        """Let a colleague on the line speak with an operator about the ticket. False: there is none. Raises `HungUp`."""
        ...

    async def join(self, talk: Conversation, ticket: int) -> bool:
        """Let a colleague sit down with the ticket's resident and an operator. False: they do not talk. Raises `HungUp`."""
        ...

    async def rejoin(self, talk: Conversation) -> bool:
        """Let a colleague go on with an operator as before a restart. False: they did not talk. Raises `HungUp`."""
        ...

    async def dialled(self, leg: Leg) -> bool:
        """Serve a desk phone that dialled a code. False: it is somebody else's call."""
        ...

    def promised(self, ticket: int) -> None:
        """The ticket promises a call back: see that it is kept."""
        ...

    async def run(self) -> None:
        """Until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class Deps:
    """The world of a flow."""

    store: Store
    phone: Telephony
    voice: Voice
    recordings: Recordings
    texts: Texts
    clock: Clock
    companies: Companies
    gates: Gates = field(default_factory=Gates)
    """The limits of the trunks."""
    lobby: Lobby = field(default_factory=Lobby)
    """The callers who are on the line now."""
    absences: Absences = field(default_factory=Absences)
    """Who is out of coverage."""
    callers: Callers = field(default_factory=Callers)
    board: Board = field(default_factory=Board)
    deadlines: Deadlines = field(default_factory=Deadlines)
    operators: Operators | None = None
    """None: no operator is on duty."""
    hooks: Hooks | None = None
    alarm_calls: AlarmCalls | None = None
    reached: Callable[[str], None] = lambda _: None
    """Told of each named point that a flow reaches; the crash tests kill the engine at one of them (`FAILPOINTS`)."""
    draw_key: Callable[[], str] = draw_accept_key
    robocall_seconds: float = 120.0
    """The longest that one robocall may talk."""
    message_seconds: float = 120.0
    """The longest message that a resident may leave."""
    engine: str = "engine"
    """What this engine is called among those that share its database; the same after a restart."""
    texting: TextRules = USUAL_RULES
    """How patiently texts are sent."""
    link: Callable[[str], str | None] = lambda _: None
    """The address at which whoever got that text can answer it; None where links are not offered."""

    def company(self, name: str) -> Company:
        """The company of that id as it is configured now. Raises `NotKnown`."""
        for company in self.companies():
            if company.id == name:
                return company
        raise NotKnown(f"компания «{name}» не настроена: её папки нет среди загруженных")

    def company_of_did(self, did: str | None) -> Company | None:
        """The company whose line was dialled, or None."""
        return next((company for company in self.companies() if company.line(did)), None)
