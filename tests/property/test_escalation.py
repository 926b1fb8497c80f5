"""Whatever happens, in whatever order: the promises of a walk hold. The machine plays the world; `next_step` decides, with no help."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.escalation import (
    Cancel,
    EnterStep,
    Exhaust,
    Reconcile,
    Resume,
    Ring,
    Stop,
    Text,
    Wait,
    next_step,
)
from engine.domain.events import (
    Accepted,
    Declined,
    DialEnded,
    DialStarted,
    EscalationExhausted,
    EscalationResumed,
    EscalationStarted,
    Event,
    NoCoverage,
    Reported,
    RobocallAnswered,
    StepStarted,
    TextDelivered,
    TextFailed,
    TextQueued,
    TextUndelivered,
    TicketClosed,
    TicketOpened,
)
from engine.domain.model import Callee, Outcome, Purpose, Urgency, Via
from engine.domain.policy import AfterAccepting, Exhaustion, How, Policy, Sms, Step, Target, TargetKind
from engine.domain.walk import Walk

START = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = {
    name: Callee(name, name.title(), numbers)
    for name, numbers in {
        "anna": ("+79000000001", "+79000000011"),
        "boris": ("+79000000002",),
        "vera": ("+79000000003",),
        "gleb": ("+79000000004", "+79000000014", "+79000000024"),
    }.items()
}
ENDS = [o for o in Outcome if o not in (Outcome.ACCEPTED, Outcome.CANCELLED)]
seconds = st.integers(1, 120).map(lambda n: timedelta(seconds=n))
names = st.lists(st.sampled_from(sorted(PEOPLE)), max_size=3, unique=True)


@st.composite
def policies(draw: st.DrawFn) -> tuple[Policy, list[list[str]]]:
    """A policy, and whom each of its steps names."""
    crews = draw(st.lists(names, min_size=1, max_size=3))
    crews[-1] = crews[-1] or ["gleb"]  # a chain that names nobody at all is refused by `dozvon check`
    steps = tuple(
        Step(
            name=f"step{index}",
            ring=(Target(TargetKind.TEAM, str(index)),),
            how=draw(st.sampled_from(How)),
            sms=draw(st.sampled_from(Sms)),
            ring_for=draw(seconds),
            calls=draw(st.integers(1, 3)),
            again_after=draw(seconds),
            give_up_after=draw(seconds) * 4,
        )
        for index in range(len(crews))
    )
    clocks = AfterAccepting(
        draw(st.none() | seconds.map(lambda s: s * 10)), draw(st.none() | seconds.map(lambda s: s * 20))
    )
    exhaustion = Exhaustion(None, draw(seconds))
    return Policy(
        "p", "P", Urgency.EMERGENCY, steps, when_exhausted=exhaustion, after_accepting=clocks
    ), crews


class Walking(RuleBasedStateMachine):
    """One escalation, one or two walkers with their own memories, phones that do as they like."""

    @initialize(drawn=policies())
    def open(self, drawn: tuple[Policy, list[list[str]]]) -> None:
        self.policy, self.crews = drawn
        self.now = START
        self.history: list[Event] = [
            TicketOpened(at=START, company="demo", channel="api"),
            EscalationStarted(at=START, policy="p", frozen=self.policy),
        ]
        self.mine: set[str] = set()
        self.stopping: set[str] = set()
        self.last: object = None
        self.silent_since = START
        self.closed = False
        self.settle()

    # --- the walker, reduced to its bare hands ---

    def add(self, event: Event) -> None:
        self.history.append(event)

    def walk(self) -> Walk:
        return Walk.of(1, self.history)

    def settle(self) -> None:
        """Let the walker do all that is to be done at this instant."""
        for _ in range(200):
            walk = self.walk()
            action = next_step(walk, self.now, self.mine, self.stopping)
            assert action == next_step(
                Walk.of(1, list(self.history)), self.now, set(self.mine), set(self.stopping)
            )
            self.last = action
            match action:
                case Stop() | Wait():
                    return
                case Reconcile(attempt):
                    self.add(DialEnded(at=self.now, attempt=attempt, outcome=Outcome.LOST))
                case Cancel(attempt):
                    assert attempt in self.mine
                    assert attempt not in self.stopping
                    self.stopping.add(attempt)
                case EnterStep(round_, index, _):
                    self.left_fairly(walk)
                    people = tuple(PEOPLE[name] for name in self.crews[index])
                    self.add(
                        StepStarted(
                            at=self.now, round=round_, index=index, step=f"step{index}", people=people
                        )
                    )
                case Ring():
                    self.ring(walk, action)
                case Text(callee, template):
                    self.add(
                        TextQueued(
                            at=self.now,
                            text=str(len(self.history)),
                            number=action.number,
                            body="",
                            contact=callee.contact,
                            template=template,
                        )
                    )
                case Exhaust(round_, _):
                    self.add(EscalationExhausted(at=self.now, round=round_))
                case Resume(reason, index):
                    self.add(EscalationResumed(at=self.now, reason=reason, index=index))
        raise AssertionError(f"the decision never says «wait»: {self.last}")

    def ring(self, walk: Walk, ring: Ring) -> None:
        """Every promise about a ring, at the moment it is decided."""
        assert not walk.closed
        if ring.purpose is Purpose.ACCEPT:
            assert walk.accepted is None, "nobody is rung for a ticket that somebody has taken"
            step = self.policy.steps[walk.index]
            ringing = [r for r in walk.running.values() if r.place == (walk.round, walk.index)]
            assert step.how is How.ALL_AT_ONCE or not ringing, "two at once in a step that rings one by one"
            assert walk.step_at is not None
            assert self.now < walk.step_at + step.give_up_after
        else:
            assert walk.accepted is not None
            assert ring.callee.contact == walk.accepted.contact
        assert all(r.contact != ring.callee.contact for r in walk.running.values()), "one person, two calls"
        assert ring.number in ring.callee.numbers
        assert not any(isinstance(e, DialStarted) and e.attempt == ring.attempt for e in self.history)
        self.mine.add(ring.attempt)
        place = (
            (walk.round, walk.index) if ring.purpose is Purpose.ACCEPT else walk.places[ring.callee.contact]
        )
        self.add(
            DialStarted(
                at=self.now,
                attempt=ring.attempt,
                contact=ring.callee.contact,
                number=ring.number,
                step="",
                round=place[0],
                index=place[1],
                purpose=ring.purpose,
                trunk=ring.trunk,
            )
        )

    def left_fairly(self, walk: Walk) -> None:
        """A step is left when its time is over, or when everybody in it had their due: nobody is skipped."""
        step = walk.step
        if step is None or walk.step_at is None or walk.exhausted_round == walk.round or walk.entering:
            return
        if self.now >= walk.step_at + step.give_up_after:
            return
        for callee in walk.people:
            tries = walk.tried.get(callee.contact, [])
            rung = [t for t in tries if t.outcome not in (Outcome.FAILED, Outcome.LOST)]
            out = walk.uncovered(callee.contact, self.now)
            lost = sum(t.outcome is Outcome.LOST for t in tries)
            assert rung or lost > 2 or callee.contact in walk.declined or out, f"{callee.contact} was skipped"

    # --- the world ---

    @rule(delay=st.integers(0, 300))
    def time_passes(self, delay: int) -> None:
        self.now += timedelta(seconds=delay)
        self.settle()

    @rule()
    def until_the_walker_wakes(self) -> None:
        if isinstance(self.last, Wait) and self.last.until is not None:
            self.now = max(self.now, self.last.until)
        self.settle()

    def running(self) -> list[str]:
        return sorted(self.walk().running)

    @precondition(lambda self: self.walk().running)
    @rule(data=st.data())
    def a_phone_is_picked_up(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.running()))
        self.add(RobocallAnswered(at=self.now, attempt=attempt, accept_key="7"))
        self.settle()

    @precondition(lambda self: self.walk().running)
    @rule(data=st.data(), outcome=st.sampled_from(ENDS))
    def a_call_ends(self, data: st.DataObject, outcome: Outcome) -> None:
        attempt = data.draw(st.sampled_from(self.running()))
        if attempt in self.stopping:
            outcome = Outcome.CANCELLED
        self.end(attempt, outcome)

    def end(self, attempt: str, outcome: Outcome) -> None:
        self.mine.discard(attempt)
        self.stopping.discard(attempt)
        self.add(DialEnded(at=self.now, attempt=attempt, outcome=outcome))
        self.settle()

    @precondition(lambda self: self.walk().running)
    @rule(data=st.data())
    def the_key_is_pressed(self, data: st.DataObject) -> None:
        """Acceptance in a call; the ticket may be taken already, then the conditional write refuses."""
        attempt = data.draw(st.sampled_from(self.running()))
        walk = self.walk()
        if walk.accepted is None and not walk.closed:
            self.add(
                Accepted(at=self.now, contact=walk.running[attempt].contact, via=Via.CALL, attempt=attempt)
            )
        self.settle()
        self.end(attempt, Outcome.ACCEPTED)

    @rule(
        contact=st.sampled_from([*sorted(PEOPLE), "stranger"]),
        via=st.sampled_from([Via.SMS, Via.CONSOLE, Via.API, Via.CALLBACK]),
    )
    def accepted_otherwise(self, contact: str, via: Via) -> None:
        walk = self.walk()
        if walk.accepted is None and not walk.closed:
            self.add(Accepted(at=self.now, contact=contact, via=via))
            self.settle()

    @rule(contact=st.sampled_from(sorted(PEOPLE)))
    def declined_otherwise(self, contact: str) -> None:
        self.add(Declined(at=self.now, contact=contact, via=Via.SMS))
        self.settle()

    @rule(contact=st.sampled_from(sorted(PEOPLE)), minutes=st.integers(1, 120))
    def out_of_coverage(self, contact: str, minutes: int) -> None:
        until = self.now + timedelta(minutes=minutes)
        self.add(NoCoverage(at=self.now, contact=contact, until=until, via=Via.SMS))
        self.settle()

    @rule(what=st.sampled_from(["arrived", "localised", "done", "on_the_way"]))
    def reported(self, what: str) -> None:
        accepted = self.walk().accepted
        if accepted is not None:
            self.add(Reported(at=self.now, what=what, contact=accepted.contact, via=Via.SMS))
            self.settle()

    @rule()
    def killed(self) -> None:
        """`kill -9`: the new walker knows the timeline alone."""
        self.mine.clear()
        self.stopping.clear()
        self.settle()

    @rule(data=st.data(), kind=st.sampled_from([TextFailed, TextUndelivered, TextDelivered]))
    def news_of_a_text(self, data: st.DataObject, kind: type[Event]) -> None:
        """Reports come early, late, twice and in contradiction, or never. Bad ones only ever bring a call forward."""
        texts = [event.text for event in self.history if isinstance(event, TextQueued)]
        if not texts:
            return
        text, before = data.draw(st.sampled_from(texts)), self.last
        more = {} if kind is TextDelivered else {"reason": "undelivered"}
        more |= {"provider": "one"} if kind is TextUndelivered else {}
        self.add(kind(at=self.now, text=text, **more))
        walk = self.walk()
        hastened = next_step(walk, self.now, self.mine, self.stopping)
        if (
            kind is not TextDelivered
            and isinstance(before, Wait)
            and before.until
            and before.until > self.now
        ):
            assert not isinstance(hastened, Wait) or (hastened.until and hastened.until <= before.until)
        self.settle()

    @rule(attempt=st.integers(1, 50), outcome=st.sampled_from(ENDS))
    def a_late_fact(self, attempt: int, outcome: Outcome) -> None:
        """Of an attempt that has ended (or never was), as a dead owner might still write it."""
        name = f"1-{attempt}"
        if name not in self.walk().running:
            self.add(DialEnded(at=self.now, attempt=name, outcome=outcome))
            self.settle()

    @rule(back=st.integers(1, 3600))
    def the_clock_is_set_back(self, back: int) -> None:
        self.now -= timedelta(seconds=back)
        self.settle()

    @precondition(lambda self: len(self.history) > 30)
    @rule()
    def closed_for_good(self) -> None:
        self.add(TicketClosed(at=self.now, by="operator"))
        self.settle()

    # --- what always holds ---

    @invariant()
    def never_silent(self) -> None:
        """An open emergency that nobody has taken has a running attempt or a deadline."""
        if not hasattr(self, "history"):
            return
        walk = self.walk()
        if walk.closed:
            return
        if walk.accepted is None or walk.clock is not None:
            assert isinstance(self.last, Wait)
            assert self.last.until is not None or walk.running

    @invariant()
    def whoever_took_it_is_disturbed_no_more(self) -> None:
        if not hasattr(self, "history"):
            return
        walk = self.walk()
        if walk.accepted is None and not walk.closed:
            return
        for running in walk.running.values():
            winner = walk.accepted is not None and walk.accepted.attempt == running.attempt
            about_a_clock = running.purpose is not Purpose.ACCEPT
            assert winner or about_a_clock or running.attempt in self.stopping


Walking.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestWalking = Walking.TestCase


def test_every_target_is_reached_in_bounded_time() -> None:
    """If nobody ever answers, the last step begins no later than the sum of the earlier steps' limits."""
    steps = tuple(
        Step(f"s{i}", (Target(TargetKind.TEAM, str(i)),), calls=9, again_after=timedelta(seconds=1))
        for i in range(4)
    )
    policy = Policy("p", "P", Urgency.EMERGENCY, steps)
    history: list[Event] = [EscalationStarted(at=START, policy="p", frozen=policy)]
    now, limit = START, sum((s.give_up_after for s in steps[:-1]), timedelta(0))
    person = list(PEOPLE.values())
    mine: set[str] = set()
    while True:
        match next_step(Walk.of(1, history), now, mine):
            case EnterStep(round_, index, _):
                if index == 3:
                    break
                history.append(
                    StepStarted(at=now, round=round_, index=index, step="", people=(replace(person[index]),))
                )
            case Ring(attempt, callee, number):
                history.append(
                    DialStarted(
                        at=now,
                        attempt=attempt,
                        contact=callee.contact,
                        number=number,
                        step="",
                        round=1,
                        index=Walk.of(1, history).index,
                    )
                )
                now += timedelta(seconds=25)
                history.append(DialEnded(at=now, attempt=attempt, outcome=Outcome.NO_ANSWER))
            case Text(callee):
                history.append(TextQueued(at=now, text="t", number="", body="", contact=callee.contact))
            case Wait(until):
                assert until is not None
                now = max(now, until)
            case other:
                raise AssertionError(other)
    assert now - START <= limit + timedelta(seconds=3 * 25)
