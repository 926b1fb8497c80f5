"""The facts on a ticket's timeline. Append-only; the state of a ticket is folded from them.

Each event has `at` (UTC, microseconds). Its place in the timeline is its `seq`, counted from 1, which the store assigns. The class's
name is the event's type in the API and in the store: names and fields only ever grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.domain.model import Callee, CallKind, Outcome, Premises, Purpose, Urgency, Via
from engine.domain.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact, and when it became one."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketOpened(Event):
    """The ticket exists. `channel` is how it came in: phone, api, console, fallback, sms, alarm."""

    company: str
    channel: str
    phone: str | None = None
    did: str | None = None
    premises: Premises = Premises()
    applicant: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(Event):
    """A leg belongs to this ticket. `call` is the Asterisk channel's id, and names the recording."""

    call: str
    kind: CallKind
    number: str | None = None
    did: str | None = None
    contact: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(Event):
    """The leg is up and both sides are recorded from here on."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingAnnounced(Event):
    """The caller was told that the call is recorded (152-FZ); the announcement had been played to its end."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPressed(Event):
    """A key, and the question that it answered."""

    call: str
    key: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingPressed(Event):
    """A question of the hotline that was met with silence; with the keys it lets a restarted engine go on where the talk was."""

    call: str
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentJoined(Event):
    """A caller says that this known incident is theirs too: one more voice. On the incident's timeline `voice` is the caller's own
    ticket, with their message; on the caller's own, `incident` is the incident."""

    call: str
    incident: int
    voice: int
    premises: Premises = Premises()
    phone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeGiven(Event):
    """News for the callers of some houses (of one entrance, if it is said): a planned outage, or anything else that is to be told."""

    text: str
    houses: tuple[str, ...] = ()
    """Empty: all of the company's."""
    entrance: int | None = None
    starts: datetime | None = None
    ends: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRead(Event):
    """A reading that a resident gave. `value` counts whole units of the meter; `unusual`: far more than before, and confirmed."""

    house: str
    flat: str
    meter: str
    value: int
    call: str | None = None
    unusual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentAsked(Event):
    """The resident was asked whether the work is done: what they said (None: nothing was to be had), and the mark, 1 to 5."""

    call: str
    done: bool | None = None
    mark: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResumed(Event):
    """A restarted engine took up the call where it was."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(Event):
    """The leg is gone. `cause` is the Q.850 hang-up cause; `by` is `caller` (the far end), `us` or `network`; `seconds` were answered."""

    call: str
    cause: int = 16
    by: str = "us"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified(Event):
    """What the ticket is about, as far as is known; a later one overrides an earlier one. `by` is a call's id or a user."""

    urgency: Urgency
    cause: str | None = None
    title: str | None = None
    premises: Premises | None = None
    text: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberTold(Event):
    """The applicant knows the ticket's number."""

    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationStarted(Event):
    """A walk begins, by a policy that is frozen here: a later edit of its file changes only the next walk."""

    policy: str
    frozen: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationResumed(Event):
    """The acceptance did not hold (no arrival reported, the acceptor gave it back, reopened): the walk goes on at `index`."""

    reason: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A step of the tree begins, with the people whom its targets named at this instant. None of them: the walk moves on at once."""

    round: int
    index: int
    step: str
    people: tuple[Callee, ...]
    missing: tuple[str, ...] = ()
    """Targets that named nobody, each with the reason, in Russian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialStarted(Event):
    """The intent to ring a person, on disk before the phone rings. `attempt` is the Asterisk channel's id."""

    attempt: str
    contact: str
    number: str
    step: str
    round: int
    index: int
    purpose: Purpose = Purpose.ACCEPT
    name: str | None = None
    ring_seconds: float = 25.0
    trunk: int = 0
    """Which trunk, counted from the preferred one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobocallAnswered(Event):
    """The person picked up; `accept_key` is the key drawn for this call alone."""

    attempt: str
    accept_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSuspected(Event):
    """AMD takes whoever picked up for a machine. It shortens the waiting and decides nothing: silence looks like a machine too."""

    attempt: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialEnded(Event):
    """What became of an attempt. `cause` is Q.850 (or the SIP status, `tech_cause`, when known); `reason` the one that was keyed in."""

    attempt: str
    outcome: Outcome
    cause: int | None = None
    tech_cause: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Event):
    """One person has taken the ticket. There is one winner."""

    contact: str
    via: Via
    name: str | None = None
    attempt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined(Event):
    """A person will not come, told otherwise than in a robocall (whose DialEnded says it)."""

    contact: str
    via: Via
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCoverage(Event):
    """A person will be out of coverage until `until`; they are not rung before that."""

    contact: str
    until: datetime
    via: Via


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationExhausted(Event):
    """Round `round` (from 1) of the tree ended without an acceptance. The walk goes round again."""

    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    """Something is wrong that a human must know; `targets` are the alarm's addressees as the policy names them."""

    reason: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HookPosted(Event):
    """A webhook of the company took the alarm that is event number `alarm` of this timeline."""

    hook: str
    alarm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFailed(Event):
    """A webhook refused the alarm, or could not be reached for so long that it was given up."""

    hook: str
    alarm: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Digested(Event):
    """The person was told of these tickets by one text, which is on the first one's timeline."""

    contact: str
    text: str
    tickets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQueued(Event):
    """The intent to text somebody, on disk before it is sent. `text` is its id; `body` what they will read."""

    text: str
    number: str
    body: str
    contact: str | None = None
    template: str = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSent(Event):
    """A provider took the text; that is not yet delivery."""

    text: str
    provider: str
    parts: int = 1
    references: tuple[str, ...] = ()
    """What the provider calls it, by which its delivery reports name it."""
    reports: bool = False
    """Whether a delivery report is to be expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelivered(Event):
    """The network reports that the phone has it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFailed(Event):
    """No provider could send it, or the network reports that it was not delivered."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextUndelivered(Event):
    """The text is not where it should be: `provider` reports so, or (None) no gateway can be reached. Other ways are still tried.

    The walk does not wait for news like this, but hastens upon it: whoever was to be called after their text is called now.
    """

    text: str
    provider: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReceived(Event):
    """Somebody texted us. `text` is its id, `meaning` what was understood (`engine.domain.replies.Meaning`)."""

    text: str
    number: str
    body: str
    contact: str | None = None
    meaning: str = "note"
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUsed(Event):
    """The link in a text was used; it works no more."""

    text: str
    contact: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingAttached(Event):
    """A call's recording is closed, joined and kept. `recording` is its id (the call's), `seconds` its length."""

    recording: str
    call: str
    seconds: float
    flaw: str | None = None
    """What is wrong with it, if anything: `short` (by more than 0.3 s), `repaired` (cut by a crash), `silent`, `missing`."""
    started: datetime | None = None
    left: str | None = None
    """Who spoke on the left leg: a contact's id, else the far end's number."""
    right: str | None = None
    """Who spoke on the right leg, our side."""
    cause: int | None = None
    """The Q.850 cause with which the call ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsBridged(Event):
    """These calls, a robocall and its ticket's resident, were put through to each other: from here on each is heard on the other's
    recording."""

    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPaused(Event):
    """From here on nothing of the call is kept, at somebody's wish: words are said that must not be (a card's number)."""

    call: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingResumed(Event):
    """The call is recorded again."""

    call: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingErased(Event):
    """The recording's files were deleted; its hash, and this fact, stay."""

    recording: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Event):
    """Progress after the acceptance: `what` is arrived, localised, done, on_the_way."""

    what: str
    contact: str
    via: Via


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """A remark by a member of staff or the engine."""

    by: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketClosed(Event):
    """The ticket is closed; a walk of it stops."""

    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketReopened(Event):
    """The ticket is open again; an emergency's walk begins anew."""

    by: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineNear(Event):
    """A legal clock will run out soon."""

    clock: str
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineBroken(Event):
    """A legal clock has run out."""

    clock: str
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueJoined(Event):
    """The caller waits for an operator. `since` is their first ring, by which their place and the clock of the answer are counted."""

    call: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLeft(Event):
    """The caller waits no more: `reason` is message, callback, hung_up or no_operator. (Who is answered has an OperatorAnswered.)"""

    call: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRang(Event):
    """The intent to ring an operator's desk phone for `call`; `attempt` is the desk phone's leg."""

    call: str
    attempt: str
    desk: str
    operator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAnswered(Event):
    """The operator took `call`; `waited` seconds after its first ring."""

    call: str
    attempt: str
    desk: str
    operator: str
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorMissed(Event):
    """The desk phone rang in vain, and somebody else is rung."""

    attempt: str
    desk: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PartiesConnected(Event):
    """These legs, and nobody else, talk with each other from now on; fewer than two: a hold."""

    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBackPromised(Event):
    """The caller was promised a call at `number` by `due`; their place in the queue is kept, counted from `since`."""

    call: str
    number: str
    since: datetime
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBackTried(Event):
    """A call back reached nobody; `attempt` is its leg (see CallStarted)."""

    attempt: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBackEnded(Event):
    """The promise is settled: `kept`, or given up after the last try."""

    kept: bool


EVENT_TYPES: dict[str, type[Event]] = {
    name: kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""Every type that a timeline may hold, by its name."""
