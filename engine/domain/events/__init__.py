"""The facts on a ticket's timeline. Append-only; the state of a ticket is folded from them.

Each event has `at` (UTC, microseconds). Its place in the timeline is its `seq`, counted from 1, which the store assigns. The class's
name is the event's type in the API and in the store: names and fields only ever grow.
"""

from engine.domain.events.base import Event
from engine.domain.events.calls import (
    CallAnswered,
    CallEnded,
    CallResumed,
    CallsBridged,
    CallStarted,
    KeyPressed,
    NothingPressed,
    PartiesConnected,
    RecordingAnnounced,
)
from engine.domain.events.escalations import (
    Accepted,
    AlarmRaised,
    Declined,
    DialEnded,
    DialStarted,
    EscalationExhausted,
    EscalationResumed,
    EscalationStarted,
    HookFailed,
    HookPosted,
    MachineSuspected,
    NoCoverage,
    RobocallAnswered,
    StepStarted,
)
from engine.domain.events.operators import (
    CallBackEnded,
    CallBackPromised,
    CallBackTried,
    OperatorAnswered,
    OperatorMissed,
    OperatorRang,
    QueueJoined,
    QueueLeft,
)
from engine.domain.events.recordings import (
    RecordingAttached,
    RecordingErased,
    RecordingPaused,
    RecordingResumed,
)
from engine.domain.events.texts import (
    LinkUsed,
    TextDelivered,
    TextFailed,
    TextQueued,
    TextReceived,
    TextSent,
    TextUndelivered,
)
from engine.domain.events.tickets import (
    Classified,
    DeadlineBroken,
    DeadlineNear,
    Digested,
    IncidentJoined,
    MeterRead,
    Noted,
    NoticeGiven,
    NumberTold,
    Reported,
    ResidentAsked,
    TicketClosed,
    TicketOpened,
    TicketReopened,
)

__all__ = [
    "EVENT_TYPES",
    "Accepted",
    "AlarmRaised",
    "CallAnswered",
    "CallBackEnded",
    "CallBackPromised",
    "CallBackTried",
    "CallEnded",
    "CallResumed",
    "CallStarted",
    "CallsBridged",
    "Classified",
    "DeadlineBroken",
    "DeadlineNear",
    "Declined",
    "DialEnded",
    "DialStarted",
    "Digested",
    "EscalationExhausted",
    "EscalationResumed",
    "EscalationStarted",
    "Event",
    "HookFailed",
    "HookPosted",
    "IncidentJoined",
    "KeyPressed",
    "LinkUsed",
    "MachineSuspected",
    "MeterRead",
    "NoCoverage",
    "Noted",
    "NothingPressed",
    "NoticeGiven",
    "NumberTold",
    "OperatorAnswered",
    "OperatorMissed",
    "OperatorRang",
    "PartiesConnected",
    "QueueJoined",
    "QueueLeft",
    "RecordingAnnounced",
    "RecordingAttached",
    "RecordingErased",
    "RecordingPaused",
    "RecordingResumed",
    "Reported",
    "ResidentAsked",
    "RobocallAnswered",
    "StepStarted",
    "TextDelivered",
    "TextFailed",
    "TextQueued",
    "TextReceived",
    "TextSent",
    "TextUndelivered",
    "TicketClosed",
    "TicketOpened",
    "TicketReopened",
]


EVENT_TYPES: dict[str, type[Event]] = {
    name: kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""Every type that a timeline may hold, by its name."""
