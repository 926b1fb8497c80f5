"""A timeline in plain words: each fact a line, an attempt and its outcome on one, a text and its delivery on one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from engine.console.words import Words, duration, masked, phone
from engine.domain import events as e
from engine.domain.company import Company
from engine.domain.model import Outcome, Purpose
from engine.domain.wording import place

GOOD_OUTCOMES = {Outcome.ACCEPTED}
QUIET_OUTCOMES = {Outcome.CANCELLED}
QUIET = (
    e.NothingPressed,
    e.CallAnswered,
    e.RecordingAnnounced,
    e.KeyPressed,
    e.NumberTold,
    e.RecordingAttached,
    e.CallResumed,
    e.MachineSuspected,
    e.HookPosted,
    e.OperatorRang,
    e.QueueJoined,
    e.PartiesConnected,
    e.CallsBridged,
)
"""Facts that matter when somebody asks, and otherwise stand back."""
BAD = (
    e.EscalationExhausted,
    e.AlarmRaised,
    e.DeadlineBroken,
    e.DeadlineNear,
    e.EscalationResumed,
    e.HookFailed,
)


@dataclass(slots=True)
class Line:
    """One line. `icon` names its picture, `tone` its colour: plain, quiet, good, bad; `badge` is what became of it."""

    seq: int
    at: datetime
    icon: str
    text: str
    tone: str = "plain"
    details: list[str] = field(default_factory=list)
    badge: str | None = None
    badge_tone: str = "plain"
    href: str | None = None


@dataclass(slots=True)
class Teller:
    """Tells one ticket's timeline. `company` is as it is configured now, if it still is."""

    words: Words
    company: Company | None
    zone: ZoneInfo
    lines: list[Line] = field(default_factory=list)
    _dials: dict[str, Line] = field(default_factory=dict)
    _texts: dict[str, Line] = field(default_factory=dict)
    _mailed: set[str] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)

    def tell(self, history: Sequence[e.Event]) -> list[Line]:
        """The lines of a whole timeline."""
        for seq, event in enumerate(history, 1):
            self._take(seq, event)
        return self.lines

    def name(self, contact: str | None) -> str:
        """What a member of staff is called; the id of one that nobody knows any more."""
        known = self.company.contacts.get(contact) if self.company and contact else None
        return known.name if known else self._names.get(contact or "", contact or "?")

    def _take(self, seq: int, event: e.Event) -> None:
        match event:
            case e.TextQueued(template="news", text=id):
                self._mailed.add(id)  # a mailing is told by its sum, not by thousands of lines
            case e.TextSent(text=id) | e.TextDelivered(text=id) if id in self._mailed:
                pass
            case e.TextFailed(text=id) | e.TextUndelivered(text=id) if id in self._mailed:
                pass
            case e.RobocallAnswered(attempt=id) if id in self._dials:
                self._badge(self._dials[id], self.words("outcome.listening"), "live")
            case e.DialEnded(attempt=id) if id in self._dials:
                self._dial_ended(self._dials[id], event)
            case e.CallStarted(call=id) | e.CallAnswered(call=id) | e.CallEnded(call=id) if id in self._dials:
                pass  # the attempt's own line says it
            case e.RecordingAttached(call=id) if id in self._dials:
                self._dials[id].href = f"#call-{id}"
            case e.TextSent(text=id) if id in self._texts:
                self._badge(self._texts[id], self.words("text.sent"), "plain")
            case e.TextDelivered(text=id) if id in self._texts:
                self._badge(self._texts[id], self.words("text.delivered"), "good")
            case e.TextUndelivered(text=id) if id in self._texts:
                self._badge(self._texts[id], self.words("text.undelivered"), "bad")
                self._texts[id].details.append(event.reason)
            case e.TextFailed(text=id) if id in self._texts:
                self._badge(self._texts[id], self.words("text.failed"), "bad")
                if event.reason not in self._texts[id].details:
                    self._texts[id].details.append(event.reason)
            case _:
                self._say(seq, event)

    def _say(self, seq: int, event: e.Event) -> None:
        words, kind = self.words, type(event).__name__
        line = Line(seq, event.at, kind, "")
        fields: dict[str, object] = {}
        match event:
            case e.TicketOpened():
                fields = {"channel": words.named("channel", event.channel)}
                line.details += [event.text] if event.text else []
            case e.Classified():
                title = event.title or event.cause or place(event.premises) if event.premises else event.title
                fields = {
                    "urgency": words.named("urgency", event.urgency),
                    "title": title or event.cause or "—",
                }
                line.details += [place(event.premises)] if event.premises and event.title else []
            case e.CallStarted():
                who = self.name(event.contact) if event.contact else phone(event.number)
                fields = {"kind": words.named("call", event.kind), "who": who or "—"}
            case e.CallEnded():
                fields = {"duration": duration(event.seconds), "ended": words.named("ended", event.by)}
            case e.KeyPressed():
                fields = {"key": event.key, "question": words.named("question", event.question)}
            case e.NothingPressed():
                fields = {"question": words.named("question", event.question)}
            case e.IncidentJoined():
                fields = {"incident": event.incident, "voice": event.voice}
                line.details += [place(event.premises)] if event.premises.address else []
            case e.NoticeGiven():
                fields = {"text": event.text}
            case e.MeterRead():
                fields = {"meter": event.meter, "value": event.value}
            case e.ResidentAsked():
                said = {True: "yes", False: "no", None: "none"}[event.done]
                fields = {"answer": words.named("answer", said)}
                line.details += [words("answer.mark").format(mark=event.mark)] if event.mark else []
            case e.EscalationStarted():
                fields = {"policy": event.frozen.title}
            case e.EscalationResumed():
                fields = {"reason": words.named("reason", event.reason)}
            case e.StepStarted():
                self._names.update((callee.contact, callee.name) for callee in event.people)
                kind += "" if event.people else ".nobody"
                people = ", ".join(callee.name for callee in event.people)
                fields = {"step": event.step, "round": event.round, "people": people}
                line.details += event.missing
            case e.DialStarted():
                kind, fields = self._dial_started(line, kind, event)
            case e.Accepted():
                if event.name:
                    self._names[event.contact] = event.name
                fields = {"name": self.name(event.contact), "via": words.named("via", event.via)}
                line.tone = "good"
            case e.Declined():
                fields = {"name": self.name(event.contact), "via": words.named("via", event.via)}
                line.details += [words.named("reason", event.reason)] if event.reason else []
            case e.NoCoverage():
                fields = {"name": self.name(event.contact), "until": self._clock(event.until)}
            case e.EscalationExhausted():
                fields = {"round": event.round}
            case e.AlarmRaised():
                fields = {"reason": words.named("reason", event.reason)}
                line.details += [", ".join(event.targets)] if event.targets else []
            case e.TextQueued():
                fields = {"name": self.name(event.contact) if event.contact else masked(event.number)}
                line.details.append(event.body)
                self._badge(line, words("text.queued"), "plain")
                self._texts[event.text] = line
            case e.TextReceived():
                name = self.name(event.contact) if event.contact else masked(event.number)
                fields = {"name": name, "text": event.body}
            case e.LinkUsed():
                fields = {"name": self.name(event.contact)}
            case e.RecordingAttached():
                fields = {"duration": duration(event.seconds)}
                line.href = f"#call-{event.call}"
                line.details += [words.named("flaw", event.flaw)] if event.flaw else []
            case e.Reported():
                what, via = words.named("what", event.what), words.named("via", event.via)
                fields = {"name": self.name(event.contact), "what": what, "via": via}
                line.tone = "good"
            case e.Noted():
                fields = {"by": event.by, "text": event.text}
            case e.MachineSuspected():
                fields = {"why": event.why}
            case e.HookPosted() | e.HookFailed():
                fields = {"hook": event.hook}
                line.details += [event.reason] if isinstance(event, e.HookFailed) else []
            case e.Digested():
                fields = {"name": self.name(event.contact), "tickets": ", ".join(map(str, event.tickets))}
            case e.RecordingPaused() | e.RecordingResumed() | e.RecordingErased():
                fields = {"by": event.by}
            case e.QueueLeft():
                fields = {"reason": words.named("left", event.reason)}
            case e.OperatorRang():
                fields = {"operator": event.operator, "desk": event.desk}
            case e.OperatorAnswered():
                fields = {"operator": event.operator, "waited": duration(event.waited)}
            case e.OperatorMissed():
                fields = {"desk": event.desk, "outcome": words.named("outcome", event.outcome)}
            case e.CallsBridged():
                fields = {"n": len(event.calls)}
            case e.PartiesConnected():
                kind += "" if len(event.calls) > 1 else ".hold"
                fields = {"n": len(event.calls)}
            case e.CallBackPromised():
                fields = {"number": masked(event.number), "due": self._clock(event.due)}
            case e.CallBackTried():
                fields = {"outcome": words.named("outcome", event.outcome)}
            case e.CallBackEnded():
                kind += "" if event.kept else ".broken"
            case e.TicketClosed() | e.TicketReopened():
                fields = {"by": event.by}
                line.details += [event.reason] if event.reason else []
            case e.DeadlineNear() | e.DeadlineBroken():
                fields = {"clock": words.named("clock", event.clock), "due": self._clock(event.due)}
            case _:
                pass  # says no more than its name
        if isinstance(event, QUIET):
            line.tone = "quiet"
        elif isinstance(event, BAD):
            line.tone = "bad"
        line.text = words.named("line", kind).format(**fields)
        self.lines.append(line)

    def _dial_started(self, line: Line, kind: str, event: e.DialStarted) -> tuple[str, dict[str, object]]:
        if event.name:
            self._names[event.contact] = event.name
        self._dials[event.attempt] = line
        self._badge(line, self.words("outcome.ringing"), "live")
        fields: dict[str, object] = {"name": self.name(event.contact), "number": masked(event.number)}
        if event.purpose is not Purpose.ACCEPT:
            return f"{kind}.{event.purpose.name}", fields
        self._tries[event.contact] = self._tries.get(event.contact, 0) + 1
        return kind, {**fields, "n": self._tries[event.contact]}

    def _dial_ended(self, line: Line, event: e.DialEnded) -> None:
        badge = self.words.named("outcome", event.outcome)
        if event.reason:
            badge += f": {self.words.named('reason', event.reason)}"
        good, quiet = event.outcome in GOOD_OUTCOMES, event.outcome in QUIET_OUTCOMES
        self._badge(line, badge, "good" if good else "plain" if quiet else "bad")

    @staticmethod
    def _badge(line: Line, text: str, tone: str) -> None:
        line.badge, line.badge_tone = text, tone

    def _clock(self, at: datetime) -> str:
        return f"{at.astimezone(self.zone):%H:%M}"


def days(lines: Iterable[Line], zone: ZoneInfo, words: Words) -> list[tuple[str, list[Line]]]:
    """The lines under the day on which they happened, there."""
    found: list[tuple[str, list[Line]]] = []
    for line in lines:
        day = words.day(line.at.astimezone(zone))
        if not found or found[-1][0] != day:
            found.append((day, []))
        found[-1][1].append(line)
    return found


def since(opened: datetime | None, at: datetime) -> str:
    """«+0:07»: how long after the ticket was opened."""
    return f"+{duration((at - opened) / timedelta(seconds=1))}" if opened else ""
